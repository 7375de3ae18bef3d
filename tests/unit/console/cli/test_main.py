"""The command line: options stand anywhere, what is wrong is one plain message, exit codes are what scripts rely on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.sim.sources import forget
from console import __version__
from console.cli import main
from console.config.settings import Config
from tests.support.make import VERSIONS, Commands, play
from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No configuration, no Slurm, no terminal, no log."""
    monkeypatch.setattr("console.runtime.log.begin", lambda path: None)
    for name in ("WACHT_CONFIG", "SLURM_CONF"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setattr(
        "console.config.settings.load.__defaults__", (None, os.environ, tmp_path / "etc" / "config.toml")
    )
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield
    forget("demo")


@pytest.fixture
def wacht(monkeypatch, capsysbinary):
    """Runs `wacht` with these words; gives its exit code, what it printed and what it complained of."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wacht", *words])
        with pytest.raises(SystemExit) as ended:
            main.main()
        out, err = capsysbinary.readouterr()
        return ended.value.code, out.decode(), err.decode()

    return run


@pytest.fixture
def commands(tmp_path, monkeypatch):
    return Commands(tmp_path, monkeypatch)


@pytest.fixture
def opened(monkeypatch):
    """What a console would have been opened with, instead of opening it."""
    seen: list[tuple[str, Config]] = []
    monkeypatch.setattr(
        main, "open_console", lambda ctx, config, chosen, *more, **others: seen.append((chosen.name, config))
    )
    return seen


def test_version_and_help(wacht):
    assert wacht("--version") == (0, f"wacht, version {__version__}\n", "")
    code, out, _ = wacht("--help")
    assert code == 0 and all(word in out for word in ("snapshot", "demo", "act", "journal", "--read-only", "--config"))
    assert wacht("-h")[1] == out


# -- nothing to watch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [(), ("snapshot",), ("snapshot", "--json"), ("act", "drain", "gpu1", "--reason", "x")]
)
def test_without_configuration_and_slurm_it_says_what_to_do(wacht, commands, words):
    code, out, err = wacht(*words)
    assert (code, out) == (2, "")
    assert err.startswith(
        "wacht: no cluster to watch: no [cluster.NAME] in ~/.config/wacht/config.toml, /etc/wacht/config.toml"
    )
    assert "squeue, scontrol, sinfo not on PATH" in err and err.endswith("wacht demo\n") and "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("snapshot", "--colour"), "No such option"),
        (("nonsense",), "No such command 'nonsense'"),
        (("--screen", "attic", "snapshot"), "'attic' is not one of"),
        (("snapshot", "--demo", "--nodes", "0"), "0 is not in the range"),
        (("snapshot", "--config"), "requires an argument"),
        (("--config", "/nowhere/x.toml", "snapshot"), "/nowhere/x.toml: No such file or directory"),
        (("snapshot", "--config", "/nowhere/x.toml"), "/nowhere/x.toml: No such file or directory"),
    ],
)
def test_a_mistake_is_one_plain_message(wacht, words, says):
    code, out, err = wacht(*words)
    assert (code, out) == (2, "") and says in err and "Traceback" not in err


# -- without a terminal ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("demo",), ("demo", "--nodes", "8", "--incident", "pdu"), ("demo", "--nvl72")])
def test_without_a_terminal_the_console_refuses(wacht, words):
    code, out, err = wacht(*words)
    assert (code, out) == (2, "")
    assert err == "Error: the console needs a terminal; for scripts there is: wacht snapshot --json\n"


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_is_refused(wacht, monkeypatch, term):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", term)
    code, out, err = wacht("demo")
    assert (code, out) == (2, "") and err.startswith("Error: TERM=dumb can show no screen")


def test_without_a_terminal_nothing_of_the_screen_is_loaded(tmp_path):
    script = ("import sys; sys.argv = ['wacht', 'demo']\ntry:\n from console.cli.main import main; main()\n"
              "except SystemExit as e: print(e.code, 'textual' in sys.modules)")  # fmt: skip
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
                           stdin=subprocess.DEVNULL, env={"PATH": os.defpath, "HOME": str(tmp_path)})  # fmt: skip
    assert ended.stdout == "2 False\n" and "\x1b" not in ended.stderr


# -- common options ----------------------------------------------------------------------------------------------------

CONFIG = (
    'theme = "of the file"\nread_only = false\n[cluster.a]\nsim = { nodes = 4 }\n[cluster.b]\nsim = { nodes = 2 }\n'
)
OPTIONS = ("--cluster", "b", "--read-only", "--theme", "daylight", "--screen", "jobs", "--log", "/tmp/log")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(CONFIG)
    path.chmod(0o644)
    return str(path)


def test_options_of_the_console(wacht, opened, file):
    assert wacht("--config", file)[0] == 0
    assert wacht("--config", file, *OPTIONS)[0] == 0
    (first, plain), (second, given) = opened
    assert (first, plain.theme, plain.read_only, plain.screen, plain.log) == ("a", "of the file", False, None, None)
    assert (second, given.theme, given.read_only, given.screen, given.log) == (
        "b",
        "daylight",
        True,
        "jobs",
        "/tmp/log",
    )


@pytest.mark.parametrize("before", range(0, 10, 2))
def test_options_before_and_after_the_subcommand(wacht, opened, file, before):
    words = [*OPTIONS[:2], *OPTIONS[3:], "--config", file]
    assert wacht("--read-only", *words[:before], "demo", *words[before:])[0] == 0
    assert wacht(*words[:before], "demo", "--read-only", *words[before:])[0] == 0
    for name, config in opened:
        assert name == "demo" and config.read_only is True
        assert (config.theme, config.screen, config.log) == ("daylight", "jobs", "/tmp/log")


def test_the_later_option_wins(wacht, opened, file):
    assert wacht("--theme", "first", "--config", file, "demo", "--theme", "second")[0] == 0
    assert opened[0][1].theme == "second"


def test_a_lock_cannot_be_loosened(wacht, opened, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "config.toml").write_text("[lock]\nread_only = true\n[cluster.a]\nsim = { nodes = 2 }\n")
    assert wacht()[0] == 0
    assert opened[0][1].read_only is True


def test_the_cluster_asked_for(wacht, file):
    code, out, _ = wacht("snapshot", "--json", "--config", file, "--cluster", "b")
    assert code == 0 and json.loads(out)["cluster"] == "b" and len(json.loads(out)["nodes"]) == 2
    assert wacht("--cluster", "c", "--config", file, "snapshot") == (
        2, "", "wacht: no cluster c is configured; there are: a, b\n",
    )  # fmt: skip
    forget("b")


# -- snapshot ----------------------------------------------------------------------------------------------------------


def test_a_snapshot_of_the_demo(wacht):
    code, out, err = wacht("snapshot", "--demo", "--json", "--nodes", "6", "--jobs", "3", "--seed", "2")
    assert (code, err) == (0, "") and len(json.loads(out)["nodes"]) == 6
    code, out, err = wacht("snapshot", "--demo", "--nodes", "6")
    assert (code, err) == (0, "") and out.startswith("demo  DEMO  2") and "nodes  6: " in out and "\x1b" not in out


@pytest.mark.parametrize("version", VERSIONS)
def test_a_snapshot_of_the_slurm_on_path(wacht, commands, version):
    play(commands, version)
    code, out, err = wacht("snapshot", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "") and document["cluster"] == ("lab-trixie" if version == "24.11" else "lab-forky")
    assert (len(document["nodes"]), len(document["jobs"]), len(document["partitions"])) == (16, 36, 3)


def test_a_snapshot_that_failed_in_part(wacht, commands):
    play(commands, "24.11")
    commands.script("squeue", "echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2; exit 1")
    code, out, _ = wacht("snapshot", "--json")
    document = json.loads(out)
    assert code == 1 and document["jobs"] is None and len(document["nodes"]) == 16
    assert {row["name"]: row["ok"] for row in document["sources"]}["slurm.jobs"] is False
    code, out, _ = wacht("snapshot")
    assert code == 1 and "jobs   unknown" in out and "slurm.jobs           failed: squeue: Socket timed out" in out


def test_a_snapshot_that_failed(wacht, commands):
    for program in ("scontrol", "squeue", "sinfo", "sdiag"):
        commands.says(program, "", "slurm_load error: Unable to contact slurm controller (connect failure)\n", 1)
    code, out, _ = wacht("snapshot", "--json")
    document = json.loads(out)
    assert code == 2 and document["nodes"] is document["jobs"] is document["totals"]["nodes"] is None
    assert all("Unable to contact" in row["error"] for row in document["sources"])


def test_who_stops_reading_gets_no_traceback(tmp_path):
    script = "import sys; sys.argv = ['wacht', 'snapshot', '--demo']; from console.cli.main import main; main()"
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=write, stderr=subprocess.PIPE,
        text=True, env={"PATH": os.defpath, "HOME": str(tmp_path)}, check=False,
    )  # fmt: skip
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, "")

"""How the command line ends where something around it is not as usual: a reader that goes, a stream that is closed, a
disk that is full, a locale without UTF-8, Ctrl-C. Scripts go by the exit status, so each has its own."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.files import exists
from collectors.sim.sources import forget
from console.cli import main
from console.cli.act_command import asked
from console.config.settings import Config
from console.doctor import file_checks
from console.session.cluster_sources import ClusterSources
from tests.support.paths import ROOT

MAIN = "import sys; from console.cli.main import main; sys.argv[0] = 'wacht'; main()"
ACT = ("act", "drain", "gpu0001", "--reason", "bad DIMM")


def start(home: Path, *words: str, stdout: int = subprocess.PIPE, after: str = "", **env: str) -> subprocess.Popen[str]:
    """`wacht` in a process of its own; `after` is what a shell is told of its streams."""
    command = [sys.executable, "-c", MAIN, *words]
    if after:
        command = ["/bin/sh", "-c", f'exec "$@" {after}', "sh", *command]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True,
        env={"PATH": os.defpath, "HOME": str(home), **env},
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [("keys",), ("completion", "bash"), (*ACT, "--demo", "--dry-run"), ("doctor", "--json"), ("report",)],
    ids=lambda words: words[0],
)
def test_a_reader_that_has_gone_ends_it_as_sigpipe_would(tmp_path: Path, words: tuple[str, ...]) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[cluster.a]\nsim = { nodes = 2 }\n")
    read, write = os.pipe()
    os.close(read)
    ended = start(tmp_path, *words, stdout=write, WACHT_CONFIG=str(config))
    os.close(write)
    assert (ended.communicate(timeout=30)[1], ended.returncode) == ("", 141)


def test_what_was_done_is_said_by_the_status_though_nobody_reads(tmp_path: Path) -> None:
    """`wacht act … | grep -q`: the preview was read, and the action was carried out."""
    going = start(tmp_path, *ACT, "--demo", "--nodes", "4", "--yes")
    assert going.stdout is not None and going.stderr is not None
    assert going.stdout.readline() == "Drain gpu0001 on demo\n"
    going.stdout.close()
    assert (going.wait(30), going.stderr.read()) == (0, "")


@pytest.mark.parametrize(
    ("after", "words", "status", "says"),
    [
        ("<&-", (*ACT, "--yes"), 0, ""),
        ("<&-", ACT, 2, "not confirmed: there is no terminal to ask at; --yes would answer"),
        ("<&-", ("doctor",), None, ""),
        ("<&-", (), 2, "the console needs a terminal"),
        (">&-", (*ACT, "--yes"), 0, ""),
        (">&-", ("snapshot",), 2, "there is no standard output to write to: it is closed"),
        (">/dev/full", ("snapshot", "--json"), 2, "the standard output cannot be written: No space left on device"),
        (">/dev/full", ("keys",), 2, "the standard output cannot be written: No space left on device"),
    ],
)
def test_streams_that_are_closed_or_full(
    tmp_path: Path, after: str, words: tuple[str, ...], status: int | None, says: str
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[cluster.a]\nsim = { nodes = 4 }\n")
    ended = start(tmp_path, *words, after=after, WACHT_CONFIG=str(config))
    err = ended.communicate(timeout=30)[1]
    assert says in err and "of its own" not in err and "Exception ignored" not in err, err
    assert ended.returncode in ({0, 1} if status is None else {status})


def test_a_locale_without_utf_8_ends_nothing(tmp_path: Path) -> None:
    """Characters that the locale lacks are escaped: no crash over a dash after the action."""
    ended = start(tmp_path, *ACT[:-1], "Kühlung – cdu-2", "--demo", "--nodes", "4", "--yes", PYTHONIOENCODING="ascii")
    out, err = ended.communicate(timeout=30)
    assert (ended.returncode, err) == (0, "") and r"K\xfchlung \u2013 cdu-2" in out


def test_json_is_json_in_any_locale(tmp_path: Path) -> None:
    words = (*ACT[:-1], "Kühlung – cdu-2", "--demo", "--nodes", "4", "--dry-run", "--json")
    out = start(tmp_path, *words, PYTHONIOENCODING="latin-1").communicate(timeout=30)[0]
    assert json.loads(out)["reason"] == "Kühlung – cdu-2"


# -- in this process ---------------------------------------------------------------------------------------------------


@pytest.fixture
def wacht(tmp_path, monkeypatch, capsys):
    """Runs `wacht` with these words; gives its exit code, what it printed and what it complained of."""
    monkeypatch.setattr("console.config.settings.load.__defaults__", (None, {}, tmp_path / "etc" / "config.toml"))
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wacht", *words])
        with pytest.raises(SystemExit) as ended:
            main.main()
        return (ended.value.code, *capsys.readouterr())

    yield run
    forget("demo")


@pytest.mark.parametrize("words", [("keys",), ("snapshot", "--demo", "--nodes", "2")], ids=lambda words: words[0])
def test_an_account_without_a_name_and_a_home_is_no_crash(wacht, monkeypatch, words: tuple[str, ...]) -> None:
    """As a container has them that runs under any number."""

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name)
    code, out, err = wacht(*words)
    assert (code, err) == (0, "") and out


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that this account may not look into, as after `su` without `-`; root, who may, is told the same."""
    folder, real = tmp_path / "home-of-another", Path.stat

    def stat(self: Path, **more: bool) -> os.stat_result:
        if self.is_relative_to(folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return real(self, **more)

    monkeypatch.setattr(Path, "stat", stat)
    return folder


def test_what_cannot_be_seen_is_not_taken_for_nothing(closed: Path, tmp_path: Path) -> None:
    assert exists(tmp_path) and exists(closed / "journal")
    assert not exists(tmp_path / "none") and not exists(Path(__file__) / "none")


@pytest.mark.parametrize("words", [("report", "--since", "1h"), ("act", "undo")], ids=lambda words: words[0])
def test_the_home_of_another_is_no_crash(wacht, monkeypatch, closed: Path, tmp_path: Path, words) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[cluster.a]\nsim = { nodes = 4 }\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(closed))
    code, out, err = wacht("--config", str(config), *words)
    assert "of its own" not in err and code == (0 if words[0] == "report" else 2), err
    assert "the recording cannot be read" in " ".join(out.split()) if words[0] == "report" else err
    forget("a")


def test_doctor_names_the_folders_that_it_may_not_look_into(monkeypatch, closed: Path) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(closed))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(closed))
    found = file_checks.findings(ClusterSources(name="a", demo=False, slurm=None, others={}), Config())
    told = {one.name: one.said for one in found if one.mark == "warn"}
    assert told["journal"].startswith(f"{closed}/wacht/journal cannot be written")
    assert told["shelf"] == f"{closed}/wacht/readings: Permission denied"


def test_what_was_typed_before_the_question_is_no_answer(monkeypatch) -> None:
    master, slave = os.openpty()
    os.write(master, b"y\n")
    monkeypatch.setattr(sys, "stdin", os.fdopen(slave))
    monkeypatch.setattr("click.echo", lambda *_, **__: os.write(master, b"n\n"))
    with sys.stdin:
        assert asked("drain gpu0001? ") == "n\n"
    os.close(master)


@pytest.mark.parametrize(("wrote", "says"), [(False, "nothing was sent"), (True, "it was on its way")])
def test_ctrl_c_says_whether_anything_was_sent(wacht, monkeypatch, wrote: bool, says: str) -> None:
    def interrupted(gate, *_, **__):
        monkeypatch.setattr(type(gate), "wrote", wrote)
        raise KeyboardInterrupt

    monkeypatch.setattr("console.cli.act.run_act", interrupted)
    code, out, err = wacht(*ACT, "--demo", "--nodes", "4")
    assert (code, out) == (130, "") and f"wacht: interrupted: {says}" in err


@pytest.mark.parametrize("words", [("show",), ("show", "--json"), ("verify", "--json")])
def test_why_there_is_no_journal_is_an_error_and_no_json(wacht, tmp_path: Path, words: tuple[str, ...]) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[cluster.a]\nsim = { nodes = 4 }\n")
    code, out, err = wacht("--config", str(config), "journal", *words)
    assert (code, out) == (2, "") and err.startswith("wacht: ") and "a.jsonl" in err

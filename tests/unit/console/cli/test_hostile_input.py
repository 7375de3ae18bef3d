"""The command line under hostile words, files and environment: plain text comes out, and nothing of them is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.clock import SystemClock
from console.config.settings import load
from console.health.xid_policy import load_policy
from console.runtime.errors import UserError
from console.session.cluster_sources import choose
from console.session.site_gate import open_gate
from tests.hostile import site
from tests.hostile.corpus import ARGUMENTS, CORPUS
from tests.hostile.output import plain_faults
from tests.support import alertmanager_server, make, prometheus_server

BAD = "\x1b[2J\x1b]52;c;eA==\x07\u202e\x9b31m"


class Shell:
    """Runs wacht, with what it reads in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = dict.fromkeys(("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"), str(folder))
        self.env = {**os.environ, **own, "TERM": "xterm-256color"}

    def __call__(self, *words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        """Run it; neither of its outputs may steer a terminal, and it ends without a traceback."""
        argv = [sys.executable, "-c", "from console.cli.main import main; main()", *words]
        done = subprocess.run(
            argv, env=self.env | env, cwd=self.folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=60
        )
        assert not plain_faults(done.stdout), (words, plain_faults(done.stdout)[:3])
        assert not plain_faults(done.stderr), (words, plain_faults(done.stderr)[:3])
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done

    def config(self, text: str) -> str:
        """A configuration; its path."""
        path = self.folder / "site.toml"
        path.write_text(text)
        path.chmod(0o600)
        return str(path)


@pytest.fixture
def wacht(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        (BAD,), ("snapshot", f"--{BAD}"), ("--cluster", BAD, "snapshot", "--demo"), ("--screen", BAD, "demo"),
        ("--config", BAD, "snapshot"), ("node", BAD), ("act", BAD, "x", "--demo"), ("act", "undo", BAD, "--demo"),
        ("act", "drain", BAD, "--demo", "--reason", BAD, "--dry-run"), ("journal", "show", "--last", BAD),
        ("act", "drain", "gpu0001", "--demo", "--reason", BAD, "--dry-run"), ("--cluster", BAD, "journal", "show"),
        ("act", "priority", "1", "--demo", "--priority", BAD), ("act", "take", BAD, "--demo", "--for", BAD),
        ("act", "drain", "gpu0001", "--demo", "--resume-after", BAD), ("demo", "--theme", BAD), ("demo", "--log", BAD),
    ],
)  # fmt: skip
def test_words_of_the_command_line(wacht: Shell, words: tuple[str, ...]) -> None:
    wacht(*words)


#: A text of TOML that holds what BAD is.
_BAD = json.dumps(BAD)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        f"{_BAD} = 1", f"theme = {_BAD}", f"screen = {_BAD}", f"notify = {_BAD}", f"[cluster.{_BAD}]",
        f"[guard]\n{_BAD} = 1", f"[cluster.x]\n{_BAD} = 1", f"[cluster.x]\nslurm = {{ {_BAD} = 1 }}",
        f"[cluster.x]\nslurm = {{ prefix = [{_BAD}] }}",
        f"[cluster.x]\nprometheus = {{ url = {_BAD} }}", f"[cluster.x]\nalertmanager = {{ url = {_BAD} }}",
        f'[cluster.x]\nprometheus = {{ url = "https://127.0.0.1:1", token_file = {_BAD} }}',
        f'[cluster.x]\nprometheus = {{ url = "https://127.0.0.1:1", ca = {_BAD} }}',
        f'[cluster.x]\nalertmanager = {{ url = "https://127.0.0.1:1", ca = {_BAD} }}',
        f'[cluster.x]\nalertmanager = {{ url = "https://127.0.0.1:1", token_file = {_BAD} }}',
        f'[cluster.x]\nprometheus = {{ url = "http://127.0.0.1:1/{BAD[0:0]}", matchers = {_BAD} }}',
        f"[cluster.x]\nracks = {{ pattern = {_BAD} }}", f"[cluster.x]\nracks = {{ file = {_BAD} }}",
        f"[cluster.x]\npower = {{ rack_label = {_BAD} }}", f"[cluster.x]\npower = {{ node = {_BAD} }}",
        f"xid_policy = {_BAD}\n[cluster.x]", f"journal = {_BAD}\n[cluster.x]", f"log = {_BAD}\n[cluster.x]",
        "x = \x1b[2J", "\x9b31m",
    ],
)  # fmt: skip
def test_a_configuration(wacht: Shell, text: str) -> None:
    path = wacht.config(text)
    for words in (("snapshot",), ("snapshot", "--json"), ("node", "gpu0001"), ("journal", "show")):
        wacht("--config", path, *words, PATH=os.defpath)


@pytest.mark.slow
def test_a_policy_and_a_journal(wacht: Shell, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    for text in (f"{_BAD} = 1", f"[xid.{_BAD}]", f"[xid.79]\n{_BAD} = 1", f"[xid.79]\naction = {_BAD}"):
        policy.write_text(text)
        policy.chmod(0o600)
        path = wacht.config(f'xid_policy = "{policy}"\n[cluster.lab]')
        wacht("--config", path, "node", "gpu0001")
    site.journal(tmp_path / "wacht" / "journal" / "lab.jsonl")
    path = wacht.config("[cluster.lab]")
    shown = wacht("--config", path, "journal", "show").stdout.decode()
    assert "red\\e[31;5m\\e[2Jalarm\\x07" in shown and shown.count("\n") == 6 * len(CORPUS)
    wacht("--config", path, "journal", "show", "--json")
    wacht("--config", path, "journal", "verify")


@pytest.mark.slow
def test_a_snapshot_of_the_hostile_site(wacht: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.slurm(make.Commands(tmp_path, monkeypatch))
    with prometheus_server.StandIn() as watched, alertmanager_server.StandIn() as rung:
        site.telemetry(watched)
        site.alerts(rung)
        path = wacht.config(
            f'[cluster.lab]\nprometheus = {{ url = "{watched.settings.url}" }}\n'
            f'alertmanager = {{ url = "{rung.settings.url}" }}'
        )
        env = {"PATH": os.environ["PATH"], "USER": BAD, "LOGNAME": BAD, "SSH_CONNECTION": BAD, "SLURM_CONF": BAD}
        text = wacht("--config", path, "snapshot", **env)
        whole = json.loads(wacht("--config", path, "snapshot", "--json", **env).stdout)
        for action, target in (("drain", "gpu0001"), ("cancel", "101"), ("lift", "x"), ("take", "ALL")):
            for word in ("escape", "option"):
                reason = f"--reason={ARGUMENTS[word]}"
                wacht("--config", path, "act", action, target, reason, "--dry-run", **env)
    assert text.returncode == 1 and len(whole["nodes"]) == len(CORPUS) and len(whole["jobs"]) == len(CORPUS)
    assert {one["name"] for one in whole["nodes"]} == set(site.NAMES), "nothing was forged"


HARMLESS = ("; {}", "$({})", "`{}`", "| {}", "!{}", "{}", "-oProxyCommand={}", "__import__('os').system('{}')",
            "{{{}}}", "file:///bin/sh -c '{}'", "exec://{}", "%({})s", "${{{}}}",
            "!!python/object/apply:os.system ['{}']")  # fmt: skip


def test_no_text_of_a_configuration_is_run(wacht: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `prefix` names a program, for changes alone: opening a site, its gate and its policy starts nothing."""

    def started(*words: object, **_: object) -> None:
        raise AssertionError(f"{words} was started")

    for module, name in ((subprocess, "Popen"), (os, "system"), (os, "posix_spawn"), (os, "execve"), (os, "fork")):
        monkeypatch.setattr(module, name, started)
    mark, policy, tried = tmp_path / "was-run", tmp_path / "policy.toml", 0
    for one in HARMLESS:
        text = json.dumps(one.format(f"touch {mark}"))
        policy.write_text(
            f"[xid.79]\nmeaning = {text}\naction = {text}\n" if tried % 2 else f"[xid.79]\nmeaning = {text}"
        )
        policy.chmod(0o600)
        for settings in (
            f"theme = {text}", f"screen = {text}", f"log = {text}", f"journal = {text}", f'xid_policy = "{policy}"',
            f"[cluster.x.racks]\npattern = {text}", f"[cluster.x.racks]\nfile = {text}",
            f'[cluster.x.prometheus]\nurl = "http://127.0.0.1:1"\ntoken_file = {text}\nmatchers = {text}',
            f"[cluster.x.prometheus]\nurl = {text}", f"[cluster.x.power]\nnode_series = {text}\nsource = {text}",
            f"[cluster.x.alertmanager]\nurl = {text}", f"[cluster.x.slurm]\nprefix = [{text}]",
        ):  # fmt: skip
            tried += _opened(wacht.config(settings if "[cluster" in settings else f"{settings}\n[cluster.x]"))
    assert tried > 60 and not mark.exists()


def _opened(path: str) -> bool:
    """Whether this configuration was taken and its site opened."""
    try:
        config = load(path, {}, Path(path).with_name("no-such-file.toml"))
        load_policy(config.xid_policy)
        place = choose(config, None)
    except UserError:
        return False
    open_gate(place, config, place.transport(), SystemClock())
    place.telemetry()
    for one in place.collectors():
        one.close()
    return True

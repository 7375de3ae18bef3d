"""Completion: what the command line offers a shell, what it never asks for that, and a Tab in a real bash."""

from __future__ import annotations

import sys

import pytest
from click.shell_completion import BashComplete

from collectors import process
from console.actions.registry import BY_ID
from console.cli.completion_command import SHELLS
from console.cli.main import cli
from console.cli.options import SCREENS
from tests.support.paths import ROOT
from tests.support.pty_program import Pty
from themes import themes


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    """A configuration of two clusters, and any command that is started fails the test."""
    config = tmp_path / "config.toml"
    config.write_text("[cluster.alpha]\n[cluster.beta]\n")
    monkeypatch.setenv("WACHT_CONFIG", str(config))

    def started(*_words, **_options):
        raise AssertionError("completing started a command")

    for name in ("run", "find", "Child"):
        monkeypatch.setattr(process, name, started)
    return config


def offers(*words: str) -> list[str]:
    """What a Tab after these words would offer; the last one is half typed."""
    found = BashComplete(cli, {}, "wacht", "_WACHT_COMPLETE").get_completions([*words[:-1]], words[-1])
    return [one.value for one in found]


def test_commands_options_and_what_they_may_say():
    assert {"act", "demo", "journal", "completion"} < set(offers(""))
    assert offers("--th") == ["--theme"] and "--dry-run" in offers("act", "--")
    assert offers("--screen", "") == list(SCREENS) and offers("demo", "--incident", "xid") == ["xid-storm"]
    assert offers("journal", "") == ["show", "verify"] and offers("completion", "") == list(SHELLS)


def test_names_of_this_site():
    assert offers("--cluster", "") == ["alpha", "beta"] and offers("snapshot", "--cluster", "b") == ["beta"]
    assert offers("--theme", "") == list(themes())
    assert offers("act", "") == [*BY_ID, "undo"] and offers("act", "dr") == ["drain"]
    assert offers("act", "drain", "gpu") == []  # the nodes are known to Slurm, which is not asked


def test_the_option_says_which_configuration(tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("[cluster.gamma]\n")
    assert offers("--config", str(other), "--cluster", "") == ["gamma"]


@pytest.mark.parametrize("text", ["[cluster.alpha]\nnot toml", "[cluster.alpha]\nunknown = 1\n", "\0", None])
def test_a_broken_configuration_offers_nothing_and_says_nothing(quiet, text, capsys):
    if text is None:
        quiet.unlink()
    else:
        quiet.write_text(text)
    assert offers("--cluster", "") == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.pty
def test_tab_in_a_real_bash(tmp_path, monkeypatch):
    wacht = tmp_path / "wacht"
    wacht.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from console.cli.main import main; main()' \"$@\"\n")
    wacht.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    one = Pty(program=["bash", "--norc", "-i"], PS1="ready> ", INPUTRC="/dev/null")
    try:
        one.read_until(b"ready> ")
        one.type(b'eval "$(wacht completion bash)" && echo read"y"\n')
        one.read_until(b"\rready\r\n")
        one.type(b"wacht --cluster be\t")
        one.read_until(b"beta ")
        one.type(b"\x15wacht act dra\t")
        one.read_until(b"drain ")
    finally:
        one.close()

"""A site's own commands at the console: a key, the palette, the output, the gate for one that changes something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from collectors.site_command import Template
from collectors.site_command_write import open_writer
from console.actions.registry import ACTIONS, BY_ID
from console.config.commands import SITE_COMMANDS
from console.config.keymap import KeyLine
from console.config.paths import journal_path
from console.config.settings import Config
from console.config.site_commands import SiteCommand
from console.screens.command_output import CommandOutputScreen
from tests.support.operator import console


@pytest.fixture(autouse=True)
def tables(tmp_path, monkeypatch):
    """The tables of actions and commands as they were before; a journal of one's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    actions, by_id = list(ACTIONS), dict(BY_ID)
    yield
    ACTIONS[:] = actions
    BY_ID.clear()
    BY_ID.update(by_id)
    SITE_COMMANDS.clear()


def program(folder: Path, script: str) -> str:
    """A program in sh."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def named(**commands: SiteCommand) -> dict[str, SiteCommand]:
    return {name.replace("_", "-"): one for name, one in commands.items()}


async def ended(op) -> None:
    await op.until(lambda: isinstance(op.app.screen, CommandOutputScreen) and not op.app.screen.running, "its end")
    await op.pilot.pause()


@pytest.mark.slow
async def test_its_key_its_name_and_the_palette_run_it_and_its_output_is_shown_cleaned(tmp_path):
    said = program(tmp_path, "printf 'on %s\\n\\033[2Jraw\\n' \"$1\"; echo oops >&2; exit 3")
    one = SiteCommand(label="site check", argv=(said, "{cluster}"), key="f6")
    async with console((120, 40), commands=named(site_check=one)) as op:
        await op.press("f6")
        await ended(op)
        op.sees("on groningen", "\\e[2Jraw", "oops", "exit status 3", "program groningen")
        await op.press("escape")
        await op.command("site-check")
        await ended(op)
        await op.press("escape", "question_mark")
        op.sees("Commands of this site", "F6", f"site check: {said}"[:40])
        await op.press("escape", "ctrl+p")
        await op.type("site check")
        op.sees("Site check")
        await op.press("enter")
        await ended(op)


@pytest.mark.slow
async def test_it_runs_on_the_row_under_the_cursor_and_on_one_that_exists(tmp_path):
    said = program(tmp_path, f'echo "$#:$1"; echo "$1" >> {tmp_path}/ran')
    one = SiteCommand(label="bmc log", argv=(said, "--host={node}"), target="node")
    async with console((120, 40), commands=named(bmc_log=one)) as op:
        await op.arrive({"nodes"})
        await op.command("bmc-log gpu0001")
        op.sees("the simulated cluster has no node")
        await op.press("escape")
        op.app.session.site = replace(op.app.session.site, demo=False)
        for typed, words in (
            ("bmc-log", "put the cursor on it"),
            ("bmc-log gpu0001;id", "no node gpu0001;id is known"),
            ("bmc-log --help", "no node --help is known"),
            ("bmc-log gpu[0001-0002]", "no node"),
        ):
            await op.command(typed)
            op.sees(words)
            await op.press("escape")
        assert not (tmp_path / "ran").exists()
        await op.press("2")
        await op.select("gpu0003")
        await op.command("bmc-log")
        await ended(op)
        op.sees("1:--host=gpu0003", "exit status 0")


@pytest.mark.slow
async def test_one_that_hangs_is_killed_at_its_limit_or_when_it_is_left(tmp_path):
    slow = program(tmp_path, f"echo $$ > {tmp_path}/pid; echo begun; sleep 600")
    short = SiteCommand(label="short", argv=(slow,), timeout_s=0.3)
    long = SiteCommand(label="long", argv=(slow,), timeout_s=600.0)

    def alive() -> bool:
        return Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()

    async with console((120, 40), commands=named(short=short, long=long)) as op:
        await op.command("short")
        op.sees("running for")
        await ended(op)
        op.sees("begun", "no end in 0.3 s: killed")
        assert not alive()
        await op.press("escape")
        (tmp_path / "pid").unlink()
        await op.command("long")
        await op.until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), "it runs")
        await op.press("escape")
        await op.until(lambda: not alive(), "its end")


@pytest.mark.slow
async def test_one_that_floods_is_ended(tmp_path):
    flood = SiteCommand(label="flood", argv=("/bin/sh", "-c", "exec yes"), timeout_s=60.0)
    missing = SiteCommand(label="missing", argv=("/nowhere/x",))
    async with console((120, 40), commands=named(flood=flood, missing=missing)) as op:
        await op.command("flood")
        await ended(op)
        op.sees("more than 256 KB: killed")
        await op.press("escape")
        await op.command("missing")
        await ended(op)
        op.sees("/nowhere/x cannot be started")


@pytest.mark.slow
async def test_a_key_that_is_taken_is_told_and_the_name_works_still(tmp_path):
    said = program(tmp_path, "echo ran")
    first, second, third = (SiteCommand(label=name, argv=(said,), key=key) for name, key in (
        ("one", "d"), ("two", "f6"), ("three", "f6")))  # fmt: skip
    async with console((120, 40), commands=named(one=first, two=second, three=third, drain=second)) as op:
        await op.comes("command.one has no key: d is drain; :one runs it")
        op.sees("command.three has no key: f6 is two", "command.drain is left out")
        await op.command("one")
        await ended(op)
        op.sees("ran")


async def test_a_key_of_the_operators_own_goes_first(tmp_path):
    one = SiteCommand(label="one", argv=(program(tmp_path, "echo ran"),), key="f6")
    lines = (KeyLine("config.toml:1", "alerts", "f6"),)
    async with console((120, 40), keys=lines, commands=named(one=one)) as op:
        await op.comes("command.one has no key: f6 is alerts")
        await op.press("f6")
        assert op.app.screen.crumb == "alerts"


@pytest.mark.slow
async def test_one_that_changes_something_has_a_preview_is_confirmed_and_stands_in_the_journal(tmp_path):
    said = program(tmp_path, f'echo "ticket for $1: $2"; echo "$1|$2" >> {tmp_path}/ran')
    one = SiteCommand(label="ticket", argv=(said, "{node}", "{reason}"), target="node", key="f6", changes=True)
    async with console((120, 40), commands=named(open_case=one)) as op:
        template = Template(kind="node", argv=one.argv)
        op.app.session.gate._open_writer = lambda kind: open_writer("groningen", template)
        await op.arrive({"nodes"})
        await op.press("2")
        await op.select("gpu0003")
        await op.press("f6")
        await op.confirm(reason="bad $(fan)", answer="y")
        await op.until(lambda: isinstance(op.app.screen, CommandOutputScreen), "its output")
        await op.pilot.pause()
        op.sees("ticket for gpu0003: bad $(fan)", "exit status 0")
        assert (tmp_path / "ran").read_text() == "gpu0003|bad $(fan)\n"
        lines = [json.loads(line) for line in journal_path("groningen", Config()).read_text().splitlines()]
        intent, result = (next(one for one in lines if one.get("event") == event) for event in ("intent", "result"))
        assert intent["action"] == "open-case" and result["sent"][0]["argv"][1:] == ["gpu0003", "bad $(fan)"]


@pytest.mark.slow
async def test_read_only_leaves_those_that_read(tmp_path):
    said = program(tmp_path, f"echo ran; touch {tmp_path}/ran")
    reads = SiteCommand(label="reads", argv=(said,))
    changes = SiteCommand(label="ticket", argv=(said, "{node}"), target="node", changes=True)
    async with console((120, 40), commands=named(reads=reads, open_case=changes), read_only=True) as op:
        await op.arrive({"nodes"})
        await op.command("open-case gpu0003")
        op.sees("read-only")
        assert not (tmp_path / "ran").exists()
        await op.press("escape")
        await op.command("reads")
        await ended(op)
        op.sees("ran")

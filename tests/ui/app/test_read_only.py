"""Read-only, as a matrix made from the tables themselves: no key, no palette entry, no `:` command, no `wacht act`
on any screen starts a writing command. What is added to the tables is in the matrix by itself.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from collectors import process
from console.actions.action import Action, rows_of
from console.actions.registry import ACTIONS, BY_ID, NAVIGATION
from console.app.app import WachtApp
from console.app.confirm_dialog import ConfirmDialog
from console.cli.main import cli
from console.gate import gate as gate_module
from tests.faults import fault
from tests.support.operator import Operator, console

SCREENS = sorted(WachtApp.SCREENS)
#: What is typed behind the targets where a number would not do.
VALUES = {"timelimit": "5h", "exclude": "none", "signal": "USR1", "extend": "4h", "ticket": "A-5"}
#: Keys that leave the console or hand the terminal away; they are pressed nowhere else either.
LEAVING = {"quit", "ssh"}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every writer that is asked for, and every process that is not a reading one."""
    seen: list[str] = []

    def open_writer(kind: str, *_: object) -> None:
        seen.append(f"writer {kind}")
        raise AssertionError("a writer was opened in read-only mode")

    def run(argv: list[str], *_: object, **__: object) -> None:
        seen.append(f"process {argv}")
        raise AssertionError("a process was started on the simulated cluster")

    monkeypatch.setattr(gate_module, "open_writer", open_writer)
    monkeypatch.setattr(process, "run", run)
    return seen


def everything(operator: Operator) -> object:
    """What an action could have changed, as the machine itself has it."""
    machine = operator.machine
    nodes = {name: (node.state, node.flags, node.reason) for name, node in machine.nodes().items()}
    jobs = {name: (job.state, job.reason, job.priority, job.restarts) for name, job in machine.jobs().items()}
    return nodes, jobs, {name: alert.state for name, alert in machine.alerts().items()}


async def settle(operator: Operator) -> None:
    """Nothing lies on top that would eat the next key."""
    assert not isinstance(operator.app.screen, ConfirmDialog), "a dialog opened in read-only mode"
    while len(operator.app.screen_stack) > 2:
        operator.app.pop_screen()
    await operator.pilot.pause()


@pytest.mark.slow
@fault(
    "read-only",
    "every key on every screen",
    "no writer is opened, nothing changes",
    case="read-only against every view, key and palette entry",
)
@pytest.mark.parametrize("screen", SCREENS)
async def test_no_key_on_any_screen_changes_anything(opened, screen):
    async with console(read_only=True, incident="pdu") as operator:
        before = everything(operator)
        operator.app.navigation.go(screen)
        await operator.pilot.pause()
        # What has no key is in the palette.
        acts = [action.key for action in ACTIONS if action.key]
        for key in [*acts, *(k.keys[0] for k in NAVIGATION if k.id not in LEAVING)]:
            await operator.press(key)
            if key in {"slash", "colon", "ctrl+p"}:
                await operator.press("escape")
            await settle(operator)
            if operator.app.screen is not operator.app.get_screen(screen):
                operator.app.navigation.go(screen)
                await operator.pilot.pause()
        assert opened == [] and everything(operator) == before


@pytest.mark.slow
@fault(
    "read-only",
    "every entry of the palette on every screen",
    "no writer is opened, nothing changes",
    case="read-only against every view, key and palette entry",
)
async def test_no_command_of_the_palette_changes_anything(opened):
    async with console(read_only=True, incident="pdu") as operator:
        before = everything(operator)
        for screen in SCREENS:
            operator.app.navigation.go(screen)
            await operator.pilot.pause()
            found = list(operator.app.command_line.palette_entries())
            named = {f"{action.label.capitalize()} {action.kind}" for action in ACTIONS}
            assert named <= {one.name for one in found if one.refused}
            for one in found:
                if one.name in named:
                    one.run()
            assert not any(isinstance(one, ConfirmDialog) for one in operator.app.screen_stack)
            await settle(operator)
        assert opened == [] and everything(operator) == before


def typed(action: Action, operator: Operator) -> str:
    """The action as somebody would type it, on something that is there."""
    said = VALUES.get(action.id, "5")
    if action.kind in {"alert", "silence"}:
        return f"{action.id} because"
    if action.kind == "user":
        return f"{action.id} alice because"
    return f"{action.id} {next(iter(rows_of(action, operator.cluster)))} {said}"


@pytest.mark.slow
@fault(
    "read-only",
    "every action typed as a command",
    "no writer is opened, nothing changes",
    case="read-only against every view, key and palette entry",
)
@pytest.mark.parametrize("screen", ["overview", "alerts", "nodes"])
async def test_no_typed_command_changes_anything(opened, screen):
    async with console(read_only=True, incident="pdu") as operator:
        before = everything(operator)
        for action in ACTIONS:
            operator.app.navigation.go(screen)
            await operator.pilot.pause()
            # The line as it is once it is typed: letter by letter it would take minutes.
            operator.app.input.open_command_line(typed(action, operator))
            await operator.press("enter", "escape")
            await settle(operator)
        assert opened == [] and everything(operator) == before


@fault(
    "read-only",
    "every action of `wacht act`, with every option",
    "refused, exit code 2; no writer is opened",
    case="read-only against every view, key and palette entry",
)
@pytest.mark.parametrize("action", [one.id for one in ACTIONS])
def test_no_act_of_the_command_line_changes_anything(opened, action, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    words = [*(["gpu0001"] if action not in {"hold"} else ["1"]), "--reason", "x", "--yes", "--count", "1"]
    words += ["--value", VALUES.get(action, "5")] if BY_ID[action].value is not None else []
    for extra in ([], ["--break-glass"], ["--dry-run"], ["--json"]):
        argv = ["act", action, *words, *extra, "--demo", "--nodes", "8", "--read-only"]
        ended = CliRunner().invoke(cli, argv, standalone_mode=False)
        assert ended.return_value == 2 and "read-only" in ended.output, ended.output
    assert opened == [] and list(Path(tmp_path).rglob("*.jsonl")) == []


def test_the_sites_lock_cannot_be_opened_by_an_option(tmp_path):
    site, own = tmp_path / "site.toml", tmp_path / "own.toml"
    site.write_text("[lock]\nread_only = true\n")
    own.write_text("read_only = false\n")
    for path in (site, own):
        path.chmod(0o600)
    from console.config.settings import load

    assert load(str(own), os.environ, site).read_only

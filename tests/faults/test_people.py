"""What hands do at a console: rows that move, targets that go, keys held down and pastes act on nothing unconfirmed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual import events

from console.app.confirm_dialog import ConfirmDialog
from console.journal.writer import read
from tests.faults import fault
from tests.support.make import change_of
from tests.support.operator import Operator, console


@pytest.fixture
async def op(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    """An operator at the simulated cluster, with a journal of their own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with console() as operator:
        yield operator


def intents(op: Operator) -> list[dict]:
    """What was sent, as the journal has it."""
    path = op.app.session.journal_path
    return [one for one in read(path) if one["event"] == "intent"] if path.exists() else []


async def listens(op: Operator) -> None:
    await op.until(lambda: isinstance(op.app.screen, ConfirmDialog) and op.dialog._armed_at, "the dialog listens")


def waiting(op: Operator, count: int) -> list[str]:
    """Jobs that wait and are not held."""
    found = [job.id for job in op.cluster.jobs.values() if job.state == "PENDING" and job.reason == "Priority"]
    return found[:count]


@fault("people", "rows move between key and confirmation", "what was named is acted on, nothing that took its place")
async def test_rows_that_move_under_the_dialog(op: Operator) -> None:
    await op.press("2")
    await op.filter("!down")
    name = op.node("allocated", 9)[-1]
    keys = list(op.list.table.keys)
    await op.select(name)
    await op.press("d")
    await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the dialog")
    for other in keys[: keys.index(name)] + keys[keys.index(name) + 1 :][:5]:
        op.machine.break_node(other, "Not responding", down=True)
    await op.look_again()
    await op.confirm(reason="bad DIMM", answer="y")
    await op.comes(f"drained: {name}")
    assert "DRAIN" in op.truth(name).flags and list(op.list.table.keys).index(name) < keys.index(name), "rows moved"
    assert [one["targets"] for one in intents(op)] == [[name]]


@fault("people", "target vanishes while the dialog is open", "that one is dropped and named; the other is acted on")
async def test_a_target_that_goes_under_the_dialog(op: Operator) -> None:
    goes, stays = waiting(op, 2)
    await op.press("3")
    op.list.table.mark([goes, stays])
    await op.press("K")
    await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the dialog")
    op.machine.apply(change_of(action="cancel", kind="job", targets=(goes,)))
    await op.confirm(answer="2")
    await op.comes(goes)
    await op.until(lambda: stays not in op.machine.jobs(), "the other is cancelled")
    (intent,) = intents(op)
    assert intent["targets"] == [stays] and "no longer lists it" in intent["dropped"][goes]


@fault("people", "Enter ten times in 50 ms", "nothing is sent, whatever is asked: y, a reason or a count")
@pytest.mark.parametrize(("screen", "key", "marks"), [("3", "H", 1), ("3", "K", 2), ("2", "d", 2)])
async def test_enter_held_down(op: Operator, screen: str, key: str, marks: int) -> None:
    await op.press(screen)
    targets = waiting(op, marks) if screen == "3" else op.node("allocated", marks)
    op.list.table.mark(targets)
    await op.press(key)
    await listens(op)
    await op.burst("\n" * 10)
    for _ in range(10):
        await op.pilot.pause(0.01)
    assert intents(op) == [] and op.app.is_running


@fault("people", "pasted dyyy", "nothing is sent, with and without bracketed paste, on a list and in a dialog",
       case="pasted dyyy")  # fmt: skip
@pytest.mark.parametrize("bracketed", [True, False])
@pytest.mark.parametrize("where", ["list", "dialog"])
async def test_a_paste_confirms_nothing(op: Operator, bracketed: bool, where: str) -> None:
    await op.press("3")
    (job,) = waiting(op, 1)
    await op.select(job)
    if where == "dialog":
        await op.press("H")
        await listens(op)
    text = "Hyyy\n" if where == "list" else "dyyy\n"
    if bracketed:
        op.app.post_message(events.Paste(text))
        await op.pilot.pause()
    else:
        await op.burst(text)
    for _ in range(10):
        await op.pilot.pause(0.01)
    assert intents(op) == [] and op.machine.jobs()[job].reason == "Priority"

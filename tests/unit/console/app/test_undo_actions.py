"""Undo: what it asks for, and when it says why not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from console.app.undo_actions import UndoActions
from console.journal import writer
from console.journal.undo import Undo
from console.runtime.operator_identity import login_name
from tests.support import fake_app
from tests.support.fake_app import Desk


@pytest.fixture
def entries(monkeypatch) -> dict[str, SimpleNamespace]:
    """The entries of the journal."""
    held: dict[str, SimpleNamespace] = {}
    monkeypatch.setattr(writer, "entries_of", lambda path: held)
    return held


def undoing(desk: Desk) -> UndoActions:
    return UndoActions(desk.fleet, desk.notifications, desk.acting, desk.app)


def test_there_is_nothing_to_undo(desk: Desk, entries) -> None:
    desk.show()
    undoing(desk).undo()
    desk.app.work()
    assert desk.notes == ["there is nothing of yours to undo"]


def test_an_entry_that_is_gone_is_said(desk: Desk, entries) -> None:
    desk.show()
    undoing(desk).undo("a7")
    desk.app.work()
    assert desk.notes == ["that is not in the journal"]


def test_what_is_locked_reads_no_journal(state) -> None:
    desk = Desk(fake_app.session(read_only=True))
    undoing(desk).undo()
    assert desk.notes[0].startswith("undo refused: ") and not desk.app.threads


def test_the_inverse_is_asked_for_like_by_a_key(desk: Desk, entries, monkeypatch) -> None:
    from console.journal import undo

    entry = SimpleNamespace(key="a1", action="drain", targets=("n1",), by=login_name())
    entries["a1"] = entry
    found = Undo(action="undrain", targets=("n1",), reason=None, options=None, notes=("as it was",))
    monkeypatch.setattr(undo, "undo_of", lambda *_: found)
    asked = []
    desk.acting.ask = lambda *given, **more: asked.append((given, more))
    desk.show()
    undoing(desk).undo("a1")
    desk.app.work()
    assert asked == [(("undrain", ("n1",), None, None), {"notes": ("as it was",)})]


def test_an_undo_that_comes_late_is_dropped(desk: Desk, entries) -> None:
    desk.show()
    undoing(desk).undo("a1")
    desk.show("n1")
    desk.app.work()
    assert desk.notes == ["undo: you went on meanwhile; ask for it again"]


def test_a_journal_that_cannot_be_read_is_said(desk: Desk, monkeypatch) -> None:
    def breaks(path):
        raise OSError("the disk is gone")

    monkeypatch.setattr(writer, "entries_of", breaks)
    desk.show()
    undoing(desk).undo()
    desk.app.work()
    assert desk.notes == ["the journal cannot be read: the disk is gone"] and desk.app.severities == ["error"]


@pytest.mark.parametrize("ends", [False, True])
def test_what_has_no_result_is_read_back_unless_it_may_still_end(desk: Desk, entries, monkeypatch, ends: bool) -> None:
    entries["a1"] = SimpleNamespace(action="drain", targets=("n1",), kind="node", cluster="groningen")
    monkeypatch.setattr(writer, "may_still_end", lambda entry, now: not ends)
    monkeypatch.setattr("console.journal.entries.targets_text", lambda entry: "n1")
    desk.session.gate = SimpleNamespace(settle_orphan=lambda entry: ({"n1": {"state": "done"}}, ""))
    undoing(desk).read_back("a1")
    desk.app.work()
    assert ("read back" if ends else "it is under way still") in desk.notes[0]

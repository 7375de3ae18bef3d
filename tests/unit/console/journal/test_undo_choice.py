"""Whose action a bare undo takes back, and which entries of the journal are left alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from collectors.model import Reservation
from collectors.slurm.operations import moment_of
from console.cli.act import undoing
from console.journal.undo import Undo, last_undoable
from tests.support import make
from tests.support.journal_entries import HOUR, Book, drained, nodes
from tests.support.make import NOW

NODES = [make.node(f"n{at}") for at in range(1, 5)]


def last(book: Book, who: str = "jdv") -> str | None:
    entry = last_undoable(book.entries, who)
    return None if entry is None else entry.plan


def test_a_bare_undo_never_takes_another_persons_last_action():
    book = Book().act("mine", "drain", [NODES[0]], ago=3 * HOUR)
    book.act("anns", "drain", [NODES[1]], who="ann", ago=2 * HOUR).act("bobs", "cancel", [], who="bob")
    assert (last(book), last(book, "ann"), last(book, "eve")) == ("mine", "anns", None)
    assert last(Book().act("anns", "drain", [NODES[1]], who="ann")) is None


@pytest.mark.parametrize(("who", "found"), [("jdv", "n1"), ("ann", "n2"), ("eve", None)])
def test_a_bare_undo_in_a_shell_is_of_the_person_who_types_it(tmp_path: Path, monkeypatch, who, found):
    book = Book().act("mine", "drain", [NODES[0]], reason="bad DIMM", ago=3 * HOUR)
    book.act("anns", "drain", [NODES[1]], reason="bad DIMM", who="ann")
    monkeypatch.setattr("console.cli.act.login_name", lambda: who)
    monkeypatch.setattr("console.cli.act.entries_of", lambda path: book.entries)
    now = nodes(drained("n1"), drained("n2", by="ann"))
    if found is None:
        with pytest.raises(ValueError, match="there is nothing to undo"):
            undoing(tmp_path, (), now, NOW)
    else:
        assert undoing(tmp_path, (), now, NOW)[0].targets == (found,)
    # By its id another person's action can be taken back.
    assert undoing(tmp_path, ("anns",), now, NOW)[0].targets == ("n2",)


@pytest.mark.parametrize("state", ["failed", "dropped"])
def test_a_bare_undo_skips_what_did_not_take_place_and_what_was_an_undo(state):
    book = Book().act("a", "drain", NODES[:2], ago=5 * HOUR).act("b", "drain", [NODES[2]], ago=4 * HOUR)
    book.act("c", "undrain", [NODES[2]], ago=3 * HOUR, undoes="b").act("d", "drain", [NODES[3]], state, ago=2 * HOUR)
    assert last(book) == "a", "b was undone by c, c is an undo, d did not take place"
    book.act("e", "undrain", [NODES[0]], undoes="a")
    assert last(book) == "a", "of half of its nodes it stands"
    book.act("f", "undrain", [NODES[1]], undoes="a")
    assert last(book) is None


@pytest.mark.parametrize("action", ["drain", "undrain", "resume"])
def test_an_entry_whose_outcome_is_unknown_is_left_alone(action):
    """An undo of what perhaps did not take place would change what another person did."""
    before = [NODES[0], NODES[1]] if action == "drain" else [drained("n1"), drained("n2")]
    book = Book().act("a", action, before, ["unknown", "done"], "bad DIMM")
    rows = [drained("n1"), drained("n2")] if action == "drain" else NODES[:2]
    undo = book.undo("a", nodes(*rows))
    assert isinstance(undo, Undo) and undo.targets == ("n2",)
    assert "left alone: n1: it was not done: unknown" in undo.notes
    alone = Book().act("a", action, before[:1], "unknown", "bad DIMM").undo("a", nodes(*rows))
    assert isinstance(alone, str) and "it was not done: unknown" in alone


def test_a_target_that_the_result_does_not_name_is_left_alone():
    book = Book().act("a", "drain", NODES[:2], "done", "bad DIMM")
    del book.records[-1]["outcome"]["n1"]
    undo = book.undo("a", nodes(drained("n1"), drained("n2")))
    assert isinstance(undo, Undo) and undo.targets == ("n2",) and "left alone: n1: no result" in undo.notes


def test_an_intent_without_a_result_is_read_back_before_it_is_undone():
    book = Book().act("a", "drain", [NODES[0]], None, "bad DIMM")
    assert "read it back first" in book.undo("a", nodes(drained("n1")))


@pytest.mark.parametrize(
    ("later_s", "by", "told"),
    [
        (-600, "bob", False), (-299, "bob", False), (0, "bob", False), (60, "bob", False), (300, "bob", False),
        (301, "bob", True), (3600, "bob", True), (3600, "jdv", False), (3600, None, False),
    ],
)  # fmt: skip
def test_the_sign_of_a_clock_skew(later_s, by, told):
    """Slurm's clock may be behind the journal's or up to five minutes ahead: only a reason later than that is another
    drain, by another person, and one that is earlier never is."""

    book = Book().act("a", "drain", [NODES[0]], reason="bad DIMM", ago=HOUR)
    row = msgspec.structs.replace(drained("n1"), reason_by=by, reason_at=int(NOW - HOUR + later_s))
    undo = book.undo("a", nodes(row))
    assert isinstance(undo, Undo) and undo.targets == ("n1",)
    assert any("drained again since" in note for note in undo.notes) is told


@pytest.mark.parametrize(("left_s", "undone"), [(-60, False), (0, False), (59, False), (60, True), (3600, True)])
def test_no_reservation_gets_an_end_back_that_is_as_good_as_over(left_s, undone):
    """Slurm would end it at once, and the jobs in it: the preview takes longer to read."""
    before = Reservation(name="fw", state="ACTIVE", starts=int(NOW) - HOUR, ends=int(NOW) + left_s, nodes="n1")
    now = msgspec.structs.replace(before, ends=int(NOW) + 4 * HOUR)
    book = Book().act("a", "extend", [before], values={"fw": moment_of(int(NOW) + 4 * HOUR)})
    found = book.undo("a", make.cluster(nodes=[NODES[0]], reservations=[now]))
    if undone:
        assert isinstance(found, Undo) and dict(found.options.values) == {"fw": moment_of(int(NOW) + left_s)}
    else:
        assert isinstance(found, str) and "the end that it had is over" in found

"""What takes reservations and blocks back, from what the journal kept of them, whatever stands in it."""

from __future__ import annotations

import pytest

from collectors.model import Association, Reservation, User
from console.journal.undo import Undo
from tests.support import make
from tests.support.journal_entries import HOUR, Book, nodes
from tests.support.make import NOW

GONE = make.cluster(nodes=[make.node("n1"), make.node("n2")])


def booked(name="maint", **more) -> Reservation:
    given = {"state": "ACTIVE", "starts": int(NOW - HOUR), "ends": int(NOW + HOUR), "nodes": "n[1-2]", "users": "alice"}
    return Reservation(name=name, **{**given, **more})


def undo(row: Reservation, cluster=GONE):
    return Book().act("a", "unreserve", [row]).undo("a", cluster)


def test_a_deleted_reservation_is_made_again_with_what_was_known():
    found = undo(booked(flags=("MAINT", "SPEC_NODES", "IGNORE_JOBS"), comment="fw"))
    assert isinstance(found, Undo)
    assert (found.action, found.targets, found.reason) == ("reserve", ("n1", "n2"), "fw")
    assert found.options.settings == {"name": "maint", "start": "now", "users": "alice", "flags": "MAINT,IGNORE_JOBS"}
    assert found.options.seconds == HOUR and found.options.undoes == "a" and found.notes == ("its nodes are n[1-2]",)


def test_what_does_not_come_back_of_it_is_said():
    found = undo(booked(flags=("PURGE_COMP=00:05:00",), groups="ops", licenses="abaqus:3"))
    assert "without its flag PURGE_COMP=00:05:00" in " ".join(found.notes)
    assert "without its groups ops" in " ".join(found.notes) and "licenses abaqus:3" in " ".join(found.notes)


def test_one_that_begins_later_begins_then():
    found = undo(booked(starts=int(NOW + HOUR), ends=int(NOW + 3 * HOUR), users=None, accounts="ml"))
    assert found.options.settings == {"name": "maint", "start": str(int(NOW + HOUR)), "accounts": "ml"}
    assert found.options.seconds == 2 * HOUR


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (booked(ends=int(NOW + 30)), "maint: it would have ended by now"),
        (booked(ends=None), "maint: when it was is not known"),
        (booked(nodes=None), "maint: which nodes it had is not known"),
        (booked(nodes="ALL"), "maint: which nodes it had is not known"),
        (booked(nodes="n[1-"), "maint: which nodes it had is not known"),
        (booked(users="-alice"), "maint: its users cannot be set again"),
    ],
)
def test_what_cannot_be_made_again_is_said(row, why):
    assert undo(row) == why


def test_one_that_stands_again_is_not_made_twice_and_the_rest_takes_a_second_undo():
    book = Book().act("a", "unreserve", [booked("one"), booked("two"), booked("three")])
    again = make.cluster(nodes=[make.node("n1"), make.node("n2")], reservations=[booked("one")])
    found = book.undo("a", again)
    assert found.options.settings["name"] == "two" and found.rest == ("three",)
    assert book.undo("a", again, only=["one"]) == "one exists again"


def test_a_new_reservation_is_deleted_while_it_is_the_same():
    book = Book().act("a", "reserve", [make.node("n1"), make.node("n2")], settings={"name": "maint"})
    stands = make.cluster(nodes=[make.node("n1"), make.node("n2")], reservations=[booked()])
    found = book.undo("a", stands)
    assert (found.action, found.targets, found.options.undoes) == ("unreserve", ("maint",), "a")
    other = make.cluster(reservations=[booked(nodes="n[1-3]")])
    assert "has other nodes now" in book.undo("a", other)
    assert book.undo("a", GONE) == "reservation maint does not exist any more"
    nameless = Book().act("a", "reserve", [make.node("n1")])
    assert nameless.undo("a", stands) == "the journal does not say what it was called"


def test_a_block_gives_each_account_back_what_it_had():
    of = (Association(account="ml", max_submit=20), Association(account="bio"))
    book = Book().act("a", "block", [User(name="alice", cluster="lab", associations=of)], reason="mining")
    found = book.undo("a", nodes())
    assert (found.action, found.targets, found.options.settings) == ("unblock", ("alice",), {"alice": "ml=20,bio=-1"})
    again = Book().act("a", "unblock", [User(name="alice", cluster="lab", associations=of)]).undo("a", nodes())
    assert (again.action, again.targets) == ("block", ("alice",)) and again.reason.startswith("undo of unblock by jdv")


@pytest.mark.parametrize(
    "kept", [{"state": "x"}, {"state": "x", "name": 7}, {"state": "x", "associations": [[[]]]}, {}]
)
def test_a_journal_that_was_tampered_with_gives_nothing_back(kept):
    book = Book().act("a", "block", [User(name="alice", cluster="lab")], reason="x")
    book.records[0]["seen"]["alice"] = kept
    assert book.undo("a", nodes()) == "the journal does not say which limits they had"
    book = Book().act("a", "unreserve", [booked()])
    book.records[0]["seen"]["maint"] = {**kept, "starts": "now"}
    assert book.undo("a", GONE) == "the journal does not say how maint was"

"""The journal joined to entries: what is read back, what is told, and that no file whatever breaks it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.gate.outcome import journal_row
from console.journal.entries import (
    join,
    line_text,
    orphans_text,
    outcome_of,
    outcome_text,
    row_before,
    targets_text,
    valid_targets,
)
from console.journal.undo import Undo, undo_of, undone_by, undos_by_plan
from console.tables.journal_columns import JOURNAL, JournalCtx, commands, detail
from tests.support import make
from tests.support.journal_entries import Book, alert, drained, silence, waiting
from tests.support.make import NOW

# -- read back --------------------------------------------------------------------------------------------------------


def test_what_came_of_an_orphan_is_read_from_what_is_true_now():
    book = Book().act("a", "drain", [make.node("n1"), make.node("n2"), make.node("n3")], None, reason="bad DIMM")
    one = book.entries["a"]
    told = outcome_of(one, {"n1": drained("n1"), "n2": make.node("n2")})
    assert told["n1"] == {"state": "done", "why": "read back: it is as it was meant to be"}
    assert told["n2"] == {"state": "unknown", "why": "read back, not seen: now idle"}
    assert told["n3"]["state"] == "unknown" and "not there any more" in told["n3"]["why"]


def test_each_target_is_held_against_what_was_meant_for_it():
    book = Book().act("a", "drain", [make.node("n1")], None, reason="undo", reasons={"n1": "bad DIMM"})
    assert outcome_of(book.entries["a"], {"n1": drained("n1", "bad DIMM")})["n1"]["state"] == "done"
    book = Book().act("b", "priority", [waiting("1", priority=1)], None, priorities={"1": 500})
    now = {"1": waiting("1", priority=500)}
    assert outcome_of(book.entries["b"], now)["1"]["state"] == "done"
    assert outcome_of(book.entries["b"], {"1": waiting("1", priority=499)})["1"]["state"] == "unknown"


@pytest.mark.parametrize(
    "row",
    [drained("n1"), waiting("1"), alert("f1", "n1"), silence("s1", "n1")],
    ids=["node", "job", "alert", "silence"],
)
def test_what_the_gate_notes_is_read_as_the_row_it_was(row):
    action = {"n1": "resume", "1": "hold", "f1": "take", "s1": "lift"}[getattr(row, "id", None) or row.name]
    (entry,) = Book().act("a", action, [row]).entries.values()
    again = row_before(entry, entry.targets[0])
    assert journal_row(again) == journal_row(row)


def test_without_what_it_looked_like_nothing_is_guessed():
    book = Book().act("a", "drain", [make.node("n1")], None, reason="bad DIMM")
    del book.records[0]["seen"]
    told = outcome_of(book.entries["a"], {"n1": drained("n1")})
    assert told["n1"]["state"] == "unknown" and "does not say how it was" in told["n1"]["why"]


def test_only_names_are_read_back():
    (one,) = join(
        [{"event": "intent", "id": "a", "kind": "node", "targets": ["n1", "-M evil", "ALL;x", "", "n[1-9]"]}]
    ).values()
    assert valid_targets(one) == ("n1",)
    (one,) = join([{"event": "intent", "id": "a", "kind": "job", "targets": ["1", "1_2", "1+0", "-u", "1;2"]}]).values()
    assert valid_targets(one) == ("1", "1_2", "1+0")
    (one,) = join([{"event": "intent", "id": "a", "kind": "x", "targets": ["1"]}]).values()
    assert valid_targets(one) == ()


def test_orphans_are_told_in_one_breath():
    book = Book()
    assert orphans_text([]) == ""
    for number in range(5):
        book.act(f"p{number}", "drain", [make.node(f"n{number}")], None)
    told = orphans_text(list(book.entries.values()))
    assert told.startswith("5 actions have no result: drain n2 by jdv at 20") and "and 2 more" in told


def test_words_for_what_came_of_it():
    book = Book().act("a", "drain", [make.node(f"n{n}") for n in range(4)], ["done", "done", "unknown", "dropped"])
    book.act("b", "hold", [waiting("1"), waiting("2")], "failed").act("c", "drain", [make.node("n1")], None)
    assert [outcome_text(one) for one in book.entries.values()] == [
        "2 done, 1 unknown, 1 dropped",
        "2 refused",
        "no result",
    ]
    assert targets_text(book.entries["a"]) == "n[0-3]" and targets_text(book.entries["b"]) == "1,2"
    silent = Book().act("a", "take", [alert("f1", "n1"), alert("f2", "n2")]).entries["a"]
    assert targets_text(silent) == "NodeDown n[1-2]"


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.just(10**400)
    | st.text(max_size=6)
    | st.sampled_from(["n1", "drain", "done", "IDLE"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["event", "id", "time", "targets", "kind", "action", "seen", "outcome", "login", "undoes",
                          "silences", "sent", "argv", "priorities", "gap", "reasons", "time", "uid", "age_s",
                          "note"])  # fmt: skip
known = st.sampled_from(["intent", "result", "verified", "gap", "a", ["n1"], {"n1": {"state": "done"}}, "node", "take",
                         "2026-11-24T03:12:07+00:00", "0001-01-01T00:00:00+00:00",
                         {"n1": {"state": "IDLE", "ends": 5, "matchers": [], "reason": "x", "by": None}},
                         [{"rc": 0, "took_s": 10**400, "err": "x"}], [["scontrol", "x"]],
                         [{"alerts": ["n1"], "matchers": [{"name": "a", "value": "b"}]}], "silence"])  # fmt: skip


@given(st.lists(st.dictionaries(fields, values | known, max_size=10), max_size=6))
def test_no_record_whatever_breaks_it(records):
    entries = join(json.loads(json.dumps(records)))
    cluster = make.cluster(nodes=[make.node("n1")], jobs=[], silences=[silence("s1", "n1")], alerts=[])
    ctx = JournalCtx(NOW)
    for entry in entries.values():
        assert isinstance(undo_of(entry, entries, cluster, NOW), Undo | str)
        assert targets_text(entry) is not None and outcome_text(entry)
        outcome_of(entry, cluster.nodes)
        assert detail(entry, ctx, 40, undone_by(entry, undos_by_plan(entries)), entry) and commands(entry) is not None
        assert all(column.cell(entry, ctx) is not None for column in JOURNAL)
    for record in records:
        assert line_text(record)
    orphans_text(list(entries.values()))


def test_a_text_of_the_journal_cannot_steer_a_terminal():
    book = Book().act("a", "drain", [make.node("n1")], reason="\x1b]52;c;x\x07", who="\x1b[2J")
    entry = book.entries["a"]
    assert "\x1b" not in entry.who + (entry.reason or "") + entry.text

"""What was done here before, from a journal written by the real gate's own form, and from spoiled ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from collectors.clock import ManualClock
from console.journal import writer
from console.journal.entries import STATES
from console.journal.past_actions import action_times, drains, drains_text, on_target, past_actions, resumed
from console.journal.writer import Journal
from console.tables.inspection_lines import history_lines
from tests.support.make import NOW

HOUR, DAY = 3600, 86400


def intent(plan, targets, ago, action="drain", reason="XID 79", kind="node", **more):
    return {
        "event": "intent", "id": plan, "time": datetime.fromtimestamp(NOW - ago, UTC).isoformat(), "action": action,
        "kind": kind, "targets": targets, "reason": reason, "login": "jdv", "uid": 1001, "host": "ops1",
        "seen": {one: {"state": "MIXED+PLANNED", "reason": None} for one in targets}, **more,
    }  # fmt: skip


def ended(plan, event="result", **states):
    return {
        "event": event,
        "id": plan,
        "outcome": {name: {"state": state, "why": "w"} for name, state in states.items()},
    }


def test_an_action_is_told_with_who_when_why_and_what_came_of_it():
    records = [intent("a", ["gpu0001", "gpu0002"], HOUR), ended("a", gpu0001="pending", gpu0002="failed"),
               ended("a", "verified", gpu0001="done")]  # fmt: skip
    (one,) = on_target("gpu0001", records)
    assert (one.at, one.who, one.host, one.action, one.reason, one.state) == (
        NOW - HOUR, "jdv", "ops1", "drain", "XID 79", "done")  # fmt: skip
    assert one.before == "MIXED+PLANNED" and one.took_place
    (two,) = on_target("gpu0002", records)
    assert (two.state, two.why, two.took_place) == ("failed", "w", False)
    assert on_target("gpu0003", records) == []


def test_the_newest_comes_first_and_kinds_do_not_mix():
    records = [
        intent("a", ["7"], 3 * HOUR, "requeue", None, "job"), ended("a", **{"7": "done"}),
        intent("b", ["gpu0001"], 2 * HOUR), ended("b", gpu0001="done"),
        intent("c", ["gpu0001"], HOUR, "resume", None), ended("c", gpu0001="done"),
    ]  # fmt: skip
    assert [act.action for act in past_actions(records)] == ["resume", "drain", "requeue"]
    assert [act.action for act in on_target("gpu0001", records, "node", limit=1)] == ["resume"]
    assert [act.action for act in past_actions(records, "job")] == ["requeue"]
    assert on_target("7", records, "node") == []
    assert resumed(records) == {"gpu0001": NOW - HOUR}


def test_an_intent_without_a_result_is_told_as_sent():
    (one,) = on_target("gpu0001", [intent("a", ["gpu0001"], HOUR)])
    assert one.state == "sent" and one.took_place


def test_drains_are_counted_by_kind_in_the_days_asked_for():
    records = []
    for plan, ago, reason, state in (
        ("a", 100 * DAY, "XID 79", "done"), ("b", 80 * DAY, "XID 79 again", "done"), ("c", 9 * DAY, "xid 119", "done"),
        ("d", 3 * DAY, "fan tray", "done"), ("e", 2 * DAY, "fan tray", "failed"), ("f", DAY, "fan tray", "dropped"),
    ):  # fmt: skip
        records += [intent(plan, ["gpu0001"], ago, reason=reason), ended(plan, gpu0001=state)]
    assert drains("gpu0001", records, NOW) == {"gpu": 2, "power": 1}
    assert drains("gpu0001", records, NOW, days=5) == {"power": 1}
    assert drains("gpu0002", records, NOW) == {}
    said = drains_text(drains("gpu0001", records, NOW))
    assert said == "drained 3 times with wacht in 90 days (journal: 2 GPU, XID; 1 power, cooling)"
    assert drains_text({}) == "not drained with wacht in 90 days (journal)"
    assert drains_text({"human": 1}, 7).startswith("drained once with wacht in 7 days")


def test_every_action_on_a_node_is_told_and_what_was_done_to_its_alerts():
    about = {"f1": {"state": "active", "name": "NodeDown", "node": "gpu0001"},
             "f2": {"state": "active", "name": "GpuXid", "node": "gpu0001"},
             "f3": {"state": "active", "name": "NodeDown", "node": "gpu0002"}}  # fmt: skip
    records = [
        intent("a", ["gpu0001"], 4 * HOUR, "down", "smoke"), ended("a", gpu0001="done"),
        intent("b", ["gpu0001"], 3 * HOUR, "reboot", "new firmware"), ended("b", gpu0001="unknown"),
        intent("c", list(about), 2 * HOUR, "silence", "PDU work", "alert", seen=about), ended("c", f1="done"),
        intent("d", ["f3"], HOUR, "take", None, "alert", seen=about), ended("d", f3="done"),
    ]  # fmt: skip
    told = [(act.action, act.about, act.state) for act in on_target("gpu0001", records, "node")]
    assert told == [("silence", "NodeDown", "done"), ("reboot", "", "unknown"), ("down", "", "done")]
    lines = history_lines(on_target("gpu0001", records, "node"), drains("gpu0001", records, NOW), NOW)
    texts = ["".join(text for text, _ in one.spans) for one in lines]
    assert any('silence NodeDown by jdv "PDU work"  done' in text for text in texts)
    assert any('down by jdv "smoke"  done' in text for text in texts)
    # Nobody's own alerts are counted as theirs.
    assert [act.action for act in past_actions(records, "node")] == ["reboot", "down"]


def test_an_undo_is_told_on_both_sides():
    records = [
        intent("a", ["gpu0001", "gpu0002"], 2 * HOUR), ended("a", gpu0001="done", gpu0002="done"),
        intent("b", ["gpu0001"], HOUR, "undrain", None, login="ann", undoes="a"), ended("b", gpu0001="done"),
    ]  # fmt: skip
    undo, drain = on_target("gpu0001", records)
    assert (undo.undoes, undo.undone_by, drain.undone_by) == (True, "", "ann")
    assert on_target("gpu0002", records)[0].undone_by == ""
    texts = ["".join(text for text, _ in one.spans) for one in history_lines([undo, drain], None, NOW)]
    assert "undrain by ann as an undo  done" in texts[0] and 'drain by jdv "XID 79"  done  undone by ann' in texts[1]


def test_the_journal_of_the_real_form_is_read(tmp_path):
    path = tmp_path / "j.jsonl"
    book = Journal(path, "lab", ManualClock(NOW))
    book.write("intent", id="a", action="drain", kind="node", targets=("gpu0001",), reason="bad DIMM", seen={})
    book.write("result", id="a", action="drain", kind="node", targets=("gpu0001",), sent=[],
               outcome={"gpu0001": {"state": "pending", "why": ""}})  # fmt: skip
    book.write("verified", id="a", action="drain", kind="node", outcome={"gpu0001": {"state": "done", "why": ""}})
    (one,) = on_target("gpu0001", writer.read(path))
    assert (one.at, one.state, one.reason, one.before) == (NOW, "done", "bad DIMM", None)
    assert one.who and drains("gpu0001", writer.read(path), NOW + 1) == {"memory": 1}


def test_a_spoiled_journal_breaks_nothing_and_cannot_steer_the_terminal():
    bad = intent("a", ["gpu0001"], HOUR, reason="\x1b]52;c;x\x07", login="\x1b[2J")
    records = [
        {"event": "unreadable"}, {}, {"event": "intent"}, {"event": "result", "id": "a", "outcome": []}, bad,
        {"event": "result", "id": "a", "outcome": {"gpu0001": "done", "gpu0002": {"state": "done"}}},
        {"event": "result", "id": "a", "outcome": {"gpu0001": {"state": "blown up"}}},
        intent("b", "gpu0001", HOUR), intent("c", ["gpu0001", 3], HOUR, time="yesterday", login=None, seen=[]),
    ]  # fmt: skip
    first, last = on_target("gpu0001", records)
    assert first.state == "sent" and "\x1b" not in first.who + (first.reason or "")
    assert (last.at, last.who) == (None, "uid 1001")
    assert drains("gpu0001", records, NOW)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(["gpu0001", "drain", "node", "done"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["event", "id", "time", "targets", "kind", "action", "seen", "outcome", "login", "reason"])
records = st.dictionaries(keys, values | st.sampled_from(["intent", "result", ["gpu0001"]]), max_size=8)


@given(st.lists(records, max_size=6))
def test_no_record_whatever_breaks_it(found):
    for act in past_actions(json.loads(json.dumps(found))):
        assert act.state in {*STATES, "sent"}
    drains("gpu0001", found, NOW)
    resumed(found)


def test_times_of_actions_are_those_that_changed_something_since_then():
    records = [
        intent("a", ["gpu0001", "gpu0002"], 5 * HOUR), ended("a", gpu0001="done", gpu0002="failed"),
        intent("b", ["gpu0001"], 3 * HOUR), ended("b", gpu0001="failed"),
        intent("c", ["7"], HOUR, "requeue", None, "job"), ended("c", **{"7": "done"}),
        intent("d", ["gpu0001"], 30 * HOUR), ended("d", gpu0001="done"),
    ]  # fmt: skip
    assert action_times(records, NOW - DAY) == (NOW - 5 * HOUR, NOW - HOUR)
    assert action_times(records, NOW - DAY, "node", "gpu0001") == (NOW - 5 * HOUR,)
    assert action_times(records, NOW - DAY, "node", "gpu0002") == ()

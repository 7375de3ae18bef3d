"""Undo: the action that takes another one back, from what the journal says and from what is true now."""

from __future__ import annotations

import pytest

from collectors.model import TAKEN, NewSilence, Partition
from console.actions.registry import ACTIONS, BY_ID
from console.journal.undo import Undo, undo_of, undone_by, undos_by_plan
from tests.support import make
from tests.support.journal_entries import HOUR, Book, alert, drained, jobs, matchers, nodes, silence, waiting
from tests.support.make import NOW

#: Of reservations and users: test_undo_reservations.py.
BOOKED = {"reserve", "unreserve", "block", "unblock", "incident"}

# -- nodes ------------------------------------------------------------------------------------------------------------


def test_a_drain_is_undrained_where_it_was_done():
    book = Book().act("a", "drain", [make.node("n1"), make.node("n2"), make.node("n3")],
                      ["done", "pending", "failed"], "bad DIMM")  # fmt: skip
    undo = book.undo("a", nodes(drained("n1"), drained("n2"), make.node("n3")))
    assert isinstance(undo, Undo)
    assert (undo.action, undo.targets, undo.reason, undo.options.undoes) == ("undrain", ("n1", "n2"), None, "a")
    assert undo.notes == ("left alone: n3: it was not done: failed",) and undo.rest == ()


def test_what_was_drained_before_stays_drained():
    book = Book().act("a", "drain", [drained("n1", "NHC: check_gpu", "nhc"), make.node("n2")], reason="bad DIMM")
    undo = book.undo("a", nodes(drained("n1", "bad DIMM [was by nhc: NHC: check_gpu]"), drained("n2")))
    assert undo.targets == ("n2",)
    assert 'n1: it was drained before by nhc "NHC: check_gpu", and stays so' in undo.notes[0]


def test_another_persons_reason_is_not_swept_away():
    book = Book().act("a", "drain", [make.node("n1"), make.node("n2")], reason="bad DIMM")
    undo = book.undo("a", nodes(drained("n1", "fan tray", "ann"), drained("n2")))
    assert undo.targets == ("n2",) and 'n1: it has another reason now by ann "fan tray"' in undo.notes[0]
    assert book.undo("a", nodes(drained("n1", "fan tray", "ann"), drained("n2")), only=["n1"]) == (
        'it has another reason now by ann "fan tray"'
    )


@pytest.mark.parametrize("reason", ["bad DIMM in slot 4, do not touch", "fan [was by jdv: bad DIMM]", "bad"])
def test_a_reason_that_only_has_ours_in_it_is_another_persons(reason):
    book = Book().act("a", "drain", [make.node("n1")], reason="bad DIMM")
    assert "it has another reason now by bob" in book.undo("a", nodes(drained("n1", reason, "bob")))
    assert book.undo("a", nodes(drained("n1", '"bad DIMM"'))).targets == ("n1",)


def test_the_same_reason_of_somebody_later_is_told():
    book = Book().act("a", "drain", [make.node("n1"), make.node("n2")], reason="bad DIMM", ago=3 * HOUR)
    undo = book.undo("a", nodes(drained("n1", by="bob"), drained("n2")))
    assert undo.targets == ("n1", "n2")
    assert undo.notes == ("n1: it was drained again since with the same reason, by bob",)


def test_what_is_not_drained_any_more_needs_no_undo():
    book = Book().act("a", "drain", [make.node("n1")], reason="bad DIMM")
    assert book.undo("a", nodes(make.node("n1"))) == "nothing to undrain: idle"
    assert book.undo("a", nodes()) == "it is not known any more"


def test_a_reason_that_is_lost_is_said():
    whole = "PSU [was by slurm: Not responding]"
    book = Book().act("a", "drain", [make.node("n1", "DOWN", reason="Not responding", reason_by="slurm")], reason="PSU",
                      reasons={"n1": whole})  # fmt: skip
    undo = book.undo("a", nodes(drained("n1", whole, state="DOWN+DRAIN")))
    assert undo.targets == ("n1",) and 'was down before by slurm "Not responding"' in undo.notes[0]


@pytest.mark.parametrize("action", ["resume", "undrain"])
def test_a_return_to_work_is_drained_again_with_each_nodes_own_reason(action):
    book = Book().act("a", action, [drained("n1", "bad DIMM"), drained("n2", "fan tray"), drained("n3", None)])
    undo = book.undo("a", nodes(make.node("n1"), make.node("n2"), make.node("n3")))
    assert (undo.action, undo.targets) == ("drain", ("n1", "n2", "n3"))
    assert undo.options.reasons == {"n1": "bad DIMM", "n2": "fan tray"}
    assert undo.reason.startswith(f"undo of {action} by jdv at 20")


def test_a_node_that_was_down_is_drained_and_that_is_said():
    book = Book().act("a", "resume", [make.node("n1", "DOWN", reason="Not responding", reason_by="slurm")])
    undo = book.undo("a", nodes(make.node("n1")))
    assert (
        undo.options.reasons == {"n1": "Not responding"} and "n1: it was down before and not drained" in undo.notes[0]
    )


def test_undo_of_one():
    book = Book().act("a", "drain", [make.node("n1"), make.node("n2")], reason="PDU")
    now = nodes(drained("n1", "PDU"), drained("n2", "PDU"))
    assert book.undo("a", now, only=["n2"]).targets == ("n2",)
    assert book.undo("a", now, only=["n9"]) == "n9: not among its targets"


# -- undone already ---------------------------------------------------------------------------------------------------


def test_what_was_undone_is_undone_once_and_the_rest_can_follow():
    book = Book().act("a", "drain", [make.node("n1"), make.node("n2")], reason="PDU", ago=3 * HOUR)
    now = nodes(drained("n1", "PDU"), drained("n2", "PDU"))
    book.act("b", "undrain", [drained("n1", "PDU")], ago=2 * HOUR, who="ann", undoes="a")
    undo = book.undo("a", now)
    assert undo.targets == ("n2",) and "n1: undone already by ann at 20" in undo.notes[0]
    book.act("c", "undrain", [drained("n2", "PDU")], who="bob", undoes="a")
    assert book.undo("a", now).startswith("nothing to undo: n1: undone already by ann")
    assert {target: one.who for target, one in undone_by(book.entries["a"], undos_by_plan(book.entries)).items()} == {
        "n1": "ann", "n2": "bob"
    }  # fmt: skip


def test_an_undo_that_failed_or_was_undone_itself_counts_for_nothing():
    book = Book().act("a", "drain", [make.node("n1")], reason="PDU", ago=5 * HOUR)
    book.act("b", "undrain", [drained("n1", "PDU")], "failed", ago=4 * HOUR, undoes="a")
    assert book.undo("a", nodes(drained("n1", "PDU"))).targets == ("n1",)
    book.act("c", "undrain", [drained("n1", "PDU")], ago=3 * HOUR, undoes="a")
    again = book.undo("c", nodes(make.node("n1")))
    assert (again.action, again.options.reasons, again.options.undoes) == ("drain", {"n1": "PDU"}, "c")
    book.act("d", "drain", [make.node("n1")], ago=2 * HOUR, undoes="c")
    assert book.undo("a", nodes(drained("n1", "PDU"))).targets == ("n1",)


def test_a_journal_whose_undos_bite_their_tails_hangs_nobody():
    book = Book().act("a", "drain", [make.node("n1")], reason="PDU", undoes="b")
    book.act("b", "undrain", [drained("n1", "PDU")], undoes="a").act("c", "drain", [make.node("n1")], undoes="c")
    for plan in "abc":
        book.undo(plan, nodes(make.node("n1")))


# -- jobs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "now"), [("hold", "JobHeldAdmin"), ("uhold", "JobHeldUser")])
def test_a_hold_is_released_and_a_hold_before_comes_back_by_a_second_undo(action, now):
    other = {"hold": "JobHeldUser", "uhold": "JobHeldAdmin"}[action]
    inverse = {"hold": "uhold", "uhold": "hold"}[action]
    book = Book().act("a", action, [waiting("1"), waiting("2", other, priority=0)])
    cluster = jobs(waiting("1", now, priority=0), waiting("2", now, priority=0))
    first = book.undo("a", cluster)
    assert (first.action, first.targets, first.rest) == ("release", ("1",), ("2",))
    assert first.notes == (f"2: {BY_ID[inverse].label}, by a second undo",)
    book.act("b", "release", [waiting("1", now, priority=0)], undoes="a")
    second = book.undo("a", cluster)
    assert (second.action, second.targets, second.rest) == (inverse, ("2",), ())


def test_a_release_is_held_again_as_it_was_held():
    book = Book().act(
        "a", "release", [waiting("1", "JobHeldUser", priority=0), waiting("2", "JobHeldAdmin", priority=0)]
    )
    undo = book.undo("a", jobs(waiting("1"), waiting("2")))
    assert (undo.action, undo.targets, undo.rest) == ("hold", ("2",), ("1",))
    started = jobs(make.job("1"), make.job("2"))
    assert "only a waiting job can be held: RUNNING" in book.undo("a", started)


@pytest.mark.parametrize(
    ("action", "before", "now", "why"),
    [
        ("uhold", "Priority", waiting("1", "JobHeldAdmin", priority=0), "it is held otherwise now: JobHeldAdmin"),
        ("hold", "Priority", waiting("1", "JobHeldUser", priority=0), "it is held otherwise now: JobHeldUser"),
        ("hold", "JobHeldUser", waiting("1"), "it is not held any more: PENDING"),
        ("release", "JobHeldAdmin", waiting("1", "JobHeldUser", priority=0), "it is held again: JobHeldUser"),
    ],
)
def test_a_hold_that_somebody_else_laid_or_lifted_since_is_left_alone(action, before, now, why):
    held = {} if before == "Priority" else {"priority": 0}
    assert Book().act("a", action, [waiting("1", before, **held)]).undo("a", jobs(now)) == why


def test_an_owner_releases_what_the_owner_held():
    book = Book().act("a", "hold", [waiting("1", user="jdv")])
    assert book.undo("a", jobs(waiting("1", "JobHeldUser", priority=0, user="jdv"))).targets == ("1",)


def test_a_priority_that_somebody_else_gave_since_stays():
    book = Book().act("a", "priority", [waiting("1", priority=7), waiting("2", priority=7)],
                      values={"1": "1000", "2": "1000"})  # fmt: skip
    undo = book.undo("a", jobs(waiting("1", priority=50), waiting("2", priority=1000)))
    assert (undo.targets, undo.options.values) == (("2",), {"2": "7"})
    assert "1: it has another priority now: 50" in undo.notes[1]


def test_a_partition_that_somebody_set_otherwise_since_is_left_alone():
    def gpu(state):
        return Partition(name="gpu", state=state)

    book = Book().act("a", "partition-down", [gpu("UP")])
    assert book.undo("a", make.cluster(partitions=[gpu("DOWN")])).action == "partition-up"
    assert book.undo("a", make.cluster(partitions=[gpu("DRAIN")])) == "it is DRAIN now, and this made it DOWN"
    book = Book().act("a", "partition-up", [gpu("DOWN")])
    assert book.undo("a", make.cluster(partitions=[gpu("UP")])).action == "partition-down"
    assert book.undo("a", make.cluster(partitions=[gpu("INACTIVE")])) == "it is INACTIVE now, and this made it UP"


def test_a_priority_goes_back_to_what_it_was():
    book = Book().act(
        "a", "priority", [waiting("1", priority=100), waiting("2", priority=200), waiting("3", priority=None)],
        values={"1": "9", "2": "9", "3": "9"},
    )  # fmt: skip
    undo = book.undo("a", jobs(waiting("1", priority=9), waiting("2", priority=200), waiting("3", priority=9)))
    assert (undo.action, undo.targets, undo.options.values) == ("priority", ("1",), {"1": "100"})
    assert "the one put back is fixed" in undo.notes[0]
    assert "2: its priority is as before" in undo.notes[1] and "3: the journal does not say" in undo.notes[1]


# -- alerts -----------------------------------------------------------------------------------------------------------


def silenced(action="silence", comment="PDU work", **more):
    made = [
        NewSilence(alerts=(f"f{n}",), matchers=matchers(f"n{n}"), seconds=60, by="jdv", comment=comment) for n in (1, 2)
    ]
    return Book().act("a", action, [alert("f1", "n1"), alert("f2", "n2")], reason=comment, silences=made, **more)


def test_a_silence_is_lifted_and_found_by_what_it_is():
    standing = [silence("s1", "n1"), silence("s2", "n2"), silence("x1", "n1", by="ann"), silence("x2", "n2", "other")]
    cluster = make.cluster(silences=standing)
    undo = silenced().undo("a", cluster)
    assert (undo.action, undo.targets, undo.options.undoes) == ("lift", ("s1", "s2"), "a")
    assert silenced().undo("a", cluster, only=["f2"]).targets == ("s2",)
    assert "no silence of it is active any more" in silenced().undo("a", make.cluster(silences=standing[2:]))


def test_a_take_is_lifted_and_its_younger_twin_is_not():
    comment = f"{TAKEN}I'm on it"
    twins = [silence("young", "n1", comment, starts=-60), silence("old", "n1", comment, starts=-HOUR)]
    assert silenced("take", comment).undo("a", make.cluster(silences=twins)).targets == ("old",)


def test_the_other_alerts_of_a_silence_are_told():
    both = NewSilence(alerts=("f1", "f2"), matchers=matchers("n1"), seconds=60, by="jdv", comment="PDU work")
    book = Book().act("a", "silence", [alert("f1", "n1"), alert("f2", "n1")], silences=[both])
    undo = book.undo("a", make.cluster(silences=[silence("s1", "n1")]), only=["f1"])
    assert undo.targets == ("s1",) and "1 more of its alerts" in undo.notes[0]


def test_a_journal_that_does_not_say_which_silences_is_honest():
    book = Book().act("a", "take", [alert("f1", "n1")])
    assert "alerts screen" in book.undo("a", make.cluster(silences=[silence("s1", "n1")]))


def test_a_lift_is_silenced_for_the_rest_of_its_time():
    book = Book().act("a", "lift", [silence("s1", "n1", ends=2 * HOUR), silence("s2", "n2", ends=HOUR)])
    undo = book.undo("a", make.cluster(alerts=[alert("f1", "n1"), alert("f3", "n3")], silences=[]))
    assert (undo.action, undo.targets, undo.options.seconds, undo.reason) == ("silence", ("f1",), HOUR, "PDU work")
    assert "all will end with the first" in undo.notes[0]
    over = Book().act("a", "lift", [silence("s1", "n1", ends=30)])
    assert over.undo("a", make.cluster(alerts=[alert("f1", "n1")])) == "it would have ended by now"
    quiet = make.cluster(alerts=[alert("f3", "n3")])
    assert book.undo("a", quiet) == "no alert that it kept quiet rings now"


def test_a_lifted_take_is_taken_again():
    book = Book().act("a", "lift", [silence("s1", "n1", f"{TAKEN}looking")])
    undo = book.undo("a", make.cluster(alerts=[alert("f1", "n1")]))
    assert (undo.action, undo.reason) == ("take", "looking")


def test_a_silence_that_was_lifted_as_an_undo_is_undone():
    book = silenced(ago=2 * HOUR).act("b", "lift", [silence("s1", "n1"), silence("s2", "n2")], who="ann", undoes="a")
    assert "undone already by ann" in book.undo("a", make.cluster(silences=[silence("s1", "n1")]))


# -- no way back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [one.id for one in ACTIONS if one.inverse is None])
def test_what_cannot_be_undone_says_what_is_nearest(action):
    rows = [make.node("n1")] if BY_ID[action].kind == "node" else [make.job("1")]
    said = Book().act("a", action, rows).undo("a", make.cluster(nodes=[], jobs=[]))
    assert said == BY_ID[action].irreversible and "cannot be undone" in said


def test_what_nobody_wrote_the_end_of_is_read_back_first():
    assert "read it back first" in Book().act("a", "drain", [make.node("n1")], None).undo("a", nodes())


def test_strange_actions_and_gaps_have_no_undo():
    book = Book().act("a", "explode", [make.node("n1")])
    book.records.append({"event": "gap", "gap": 3})
    assert book.undo("a", nodes()) == "explode cannot be undone"
    gap = list(book.entries.values())[-1]
    assert "written late" in undo_of(gap, book.entries, nodes(), NOW)


def test_every_inverse_of_the_table_is_proposed_by_some_test_here():
    own = {"drain", "undrain", "resume", "hold", "uhold", "release", "take", "silence", "lift"}
    # What sets something goes back by the value that it had (test_values), what turns something by turning it back.
    assert {one.id for one in ACTIONS if one.inverse and one.value is None and not one.toggles} - BOOKED == own


@pytest.mark.parametrize(("action", "state", "after"), [
    ("suspend", "RUNNING", "SUSPENDED"), ("unsuspend", "SUSPENDED", "RUNNING"),
])  # fmt: skip
def test_a_job_is_woken_and_suspended_again(action, state, after):
    book = Book().act("a", action, [make.job("1", state)])
    back = book.undo("a", jobs(make.job("1", after)))
    assert (back.action, back.targets) == (BY_ID[action].inverse, ("1",))
    assert isinstance(book.undo("a", jobs(make.job("1", state))), str), "it is as it was"


def test_power_is_given_and_taken_back():
    book = Book().act("a", "powerdown", [make.node("n1"), make.node("n2")])
    back = book.undo("a", nodes(make.node("n1", "IDLE+POWERED_DOWN"), make.node("n2")))
    assert (back.action, back.targets) == ("powerup", ("n1",)) and "n2: it has power: idle" in back.notes[0]

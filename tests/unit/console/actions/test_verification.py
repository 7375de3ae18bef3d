"""What proves a change, action by action, and how long it is waited for."""

from __future__ import annotations

import pytest

from collectors.model import Alert, Cluster, Matcher, Silence, Source
from console.actions.action import Expected
from console.actions.drift import find_drift
from console.actions.registry import BY_ID
from console.actions.verification import PendingTarget, Settled, Verification, done_word, is_done, state_word
from tests.support import make
from tests.support.make import job, node


@pytest.mark.parametrize(
    ("action", "before", "after", "shown"),
    [
        ("drain", "IDLE", node("a", "IDLE+DRAIN", reason="bad DIMM"), True),
        ("drain", "MIXED", node("a", "MIXED+DRAIN", reason='said "bad DIMM'), True),
        ("drain", "IDLE", node("a", "IDLE+DRAIN", reason="NHC"), False),
        ("drain", "IDLE", node("a", "IDLE"), False),
        ("drain", "IDLE", None, None),
        ("undrain", "IDLE+DRAIN", node("a", "IDLE*"), True),
        ("undrain", "DOWN+DRAIN", node("a", "DOWN"), True),
        ("undrain", "IDLE+DRAIN", node("a", "IDLE+DRAIN"), False),
        ("resume", "DOWN", node("a", "IDLE"), True),
        ("resume", "MIXED+DRAIN", node("a", "MIXED", reason="old"), True),
        ("resume", "DOWN", node("a", "IDLE*"), False),
        ("resume", "DOWN", node("a", "DOWN*"), False),
        ("resume", "IDLE+DRAIN", node("a", "IDLE+FAIL"), False),
        ("resume", "UNKNOWN*+DRAIN", node("a", "UNKNOWN*"), True),
        ("resume", "DOWN", None, None),
        ("resume", "IDLE+DRAIN", node("a", "IDLE+INVALID_REG"), False),
        ("down", "MIXED", node("a", "DOWN", reason="bad DIMM"), True),
        ("down", "MIXED", node("a", "DOWN*", reason="Not responding"), False),
        ("down", "MIXED", node("a", "MIXED+DRAIN", reason="bad DIMM"), False),
        ("reboot", "MIXED", node("a", "MIXED+DRAIN+REBOOT_REQUESTED"), True),
        ("reboot", "IDLE", node("a", "DOWN+DRAIN+REBOOT_ISSUED"), True),
        ("reboot", "IDLE", node("a", "IDLE", boot_at=9000), False),
    ],
)
def test_nodes(action, before, after, shown):
    assert is_done(action, node("a", before), after, Expected(reason="bad DIMM")) is shown


HELD = {"reason": "JobHeldAdmin", "priority": 0}


@pytest.mark.parametrize(
    ("action", "before", "after", "shown"),
    [
        ("cancel", job("1"), None, True),
        ("cancel", job("1"), job("1", "CANCELLED"), True),
        ("cancel", job("1"), job("1", "COMPLETING"), False),
        ("cancel", job("1"), job("1"), False),
        ("requeue", job("1"), job("1", "PENDING", restarts=1), True),
        ("requeue", job("1"), job("1", "COMPLETING", restarts=1), False),
        ("requeue", job("1"), job("1", "RUNNING", restarts=1), True),
        ("requeue", job("1", restarts=None), job("1", "PENDING", restarts=None), True),
        ("requeue", job("1"), job("1"), False),
        ("requeue", job("1"), job("1", "COMPLETED"), None),
        ("requeue", job("1"), None, None),
        ("requeuehold", job("1"), job("1", "PENDING", restarts=1, **HELD), True),
        ("requeuehold", job("1"), job("1", "COMPLETING", restarts=1, **HELD), False),
        ("requeuehold", job("1"), job("1", "PENDING", restarts=1, reason="job requeued in held state"), True),
        ("requeuehold", job("1"), job("1", "PENDING", restarts=1, priority=1), False),
        ("hold", job("1", "PENDING", priority=1), job("1", "PENDING", **HELD), True),
        ("hold", job("1", "PENDING", reason="JobHeldUser"), job("1", "PENDING", **HELD), True),
        ("uhold", job("1", "PENDING", **HELD), job("1", "PENDING", **HELD), False),
        ("hold", job("1", "PENDING"), None, None),
        ("release", job("1", "PENDING", **HELD), job("1", "PENDING", reason="None", priority=1), True),
        ("release", job("1", "PENDING", **HELD), job("1", "RUNNING"), True),
        ("release", job("1", "PENDING", **HELD), job("1", "PENDING", **HELD), False),
    ],
)
def test_jobs(action, before, after, shown):
    assert is_done(action, before, after, Expected()) is shown


ENDING = Expected(reason="x", resume_after_s=600)


def test_a_drain_that_ends_by_itself_shows_when():
    after = node("a", "IDLE+DRAIN", reason="x")
    assert is_done("drain", node("a"), after, ENDING) is False
    assert is_done("drain", node("a"), node("a", "IDLE+DRAIN", reason="x", resume_at=1), ENDING) is True


def test_a_priority_is_the_one_that_was_asked_for():
    before = job("1", "PENDING", priority=7)
    for priority, shown in ((9, True), (7, False), (8, False), (None, False)):
        assert is_done("priority", before, job("1", "PENDING", priority=priority), Expected(value="9")) is shown
    assert is_done("priority", before, job("1", "RUNNING", priority=9), Expected(value="9")) is True
    assert is_done("priority", before, None, Expected(value="9")) is None


def alert(*silences: str, state: str | None = None) -> Alert:
    return make.alert(id="f1", state=state or ("suppressed" if silences else "active"), silenced_by=silences)


def silence(state: str = "active", **more: object) -> Silence:
    about = {"matchers": (Matcher("node", "gpu0001"),), "ends": 900, "by": "jdv", "comment": "swap"} | more
    return Silence(id="s1", state=state, **about)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (alert(), alert("s1"), True),
        (alert("s0"), alert("s0", "s1"), True),
        (alert("s0"), alert("s0"), False),
        (alert(), alert(), False),
        (alert(state="suppressed"), alert(state="suppressed"), False),
        (alert(), None, None),
    ],
)
def test_a_silenced_alert_has_a_silence_that_it_had_not(before, after, shown):
    for action in ("take", "silence"):
        assert is_done(action, before, after, Expected()) is shown


def test_a_lifted_silence_is_gone_or_expired():
    assert [is_done("lift", silence(), after, Expected()) for after in (None, silence("expired"), silence())] == [
        True,
        True,
        False,
    ]


def waiting(target: str, **more: object) -> PendingTarget:
    about = {
        "plan": "p",
        "action": "drain",
        "kind": "node",
        "sent": Expected(reason="x"),
        "before": node(target),
        "since": 100.0,
    }
    return PendingTarget(target=target, **{**about, **more})


def facts(*nodes: object) -> Cluster:
    return make.cluster(nodes=nodes)


def test_pending_until_a_reading_shows_it():
    watch, _ = Verification().add([waiting("gpu0001"), waiting("gpu0002")])
    assert watch.row_texts("node") == {"gpu0001": "draining…", "gpu0002": "draining…"} and watch.row_texts("job") == {}
    same, settled = watch.check(facts(node("gpu0001"), node("gpu0002")), 101.0)
    assert same is watch and settled == ()
    drained = node("gpu0001", "IDLE+DRAIN", reason="x")
    watch, settled = watch.check(facts(drained, node("gpu0002")), 102.0)
    assert settled == (Settled(plan="p", action="drain", target="gpu0001", state="done", shown_state="drained"),)
    assert list(watch.row_texts("node")) == ["gpu0002"]
    watch, settled = watch.check(facts(drained, node("gpu0002", "MIXED")), 100.0 + BY_ID["drain"].verify_s)
    assert watch.waiting == () and (settled[0].state, settled[0].why) == ("unknown", "not seen after 60 s, now mixed")


def test_facts_that_were_never_read_prove_nothing():
    watch = Verification((waiting("101", kind="job", action="cancel", before=job("101")),))
    blank = make.cluster()
    assert watch.check(blank, 101.0) == (watch, ())
    assert watch.check(blank, 160.0)[1][0].why == "not seen after 60 s"


@pytest.mark.parametrize(
    ("target", "left_out", "certain"),
    [
        ("101_5", {"101_*", "101"}, False), ("102_5", {"101_*", "101"}, True), ("101_5", {"*_5"}, False),
        ("101_6", {"*_5"}, True), ("101", {"*_5"}, True), ("101", {"*"}, False), ("101", {"101"}, False),
        ("40+1", {"*+1"}, False), ("40+0", {"*+1"}, True), ("101", set(), True),
    ],
)  # fmt: skip
def test_a_job_whose_row_may_be_left_out_is_not_gone(target, left_out, certain):
    watch = Verification((waiting(target, kind="job", action="cancel", before=job(target)),))
    source = Source(name="slurm.jobs", hidden=frozenset(left_out))
    cluster = make.cluster(jobs=(), sources=[source])
    if certain:
        assert watch.check(cluster, 101.0)[1][0].state == "done"
        return
    assert watch.check(cluster, 101.0) == (watch, ())
    (settled,) = watch.check(cluster, 160.0)[1]
    assert (settled.state, settled.why) == (
        "unknown", "not seen after 60 s, and what was read of the jobs leaves rows out"
    )  # fmt: skip
    by_name = make.cluster(jobs=())
    assert watch.check(by_name, 102.0)[1][0].state == "done"


def test_what_slurm_said_is_kept():
    watch = Verification((waiting("gpu0001", err="Invalid node state specified"),))
    (settled,) = watch.check(facts(node("gpu0001")), 200.0)[1]
    assert settled.why == "not seen after 100 s, now idle; Slurm said: Invalid node state specified"


def test_a_target_that_is_gone_is_settled_at_once():
    (settled,) = Verification((waiting("gpu0001"),)).check(facts(), 100.0)[1]
    assert (settled.state, settled.why) == ("unknown", "Slurm no longer lists it")


@pytest.mark.parametrize(
    ("found", "state", "why"),
    [("IDLE+DRAIN", "done", ""), ("DOWN", "unknown", "resume came before it was seen: down")],
)
def test_a_later_change_of_the_same_target_takes_its_place(found, state, why):
    later = waiting("gpu0001", plan="q", action="resume", before=node("gpu0001", found, reason="x"))
    watch, over = Verification((waiting("gpu0001"), waiting("gpu0002"))).add([later])
    assert [(one.plan, one.target) for one in watch.waiting] == [("p", "gpu0002"), ("q", "gpu0001")]
    assert over == (
        Settled(
            plan="p",
            action="drain",
            target="gpu0001",
            state=state,
            why=why,
            shown_state="drained" if state == "done" else "",
        ),
    )


def test_what_is_made_of_nodes_is_waited_for_whatever_is_done_to_these():
    booked = waiting("gpu0001", action="reserve", sent=Expected(value="maint"))
    watch, over = Verification((booked,)).add([waiting("gpu0001", plan="q")])
    assert [one.plan for one in watch.waiting] == ["p", "q"] and over == ()


def test_an_unchanged_target_has_not_drifted():
    for action, row in (("drain", node("a", "MIXED", reason="old")), ("cancel", job("1")), ("requeue", job("1"))):
        assert find_drift(BY_ID[action], make.cluster(), row, row) is None


# -- what is followed until it is over ---------------------------------------------------------------------------------


def follow(action: str, before: str, *readings: tuple[float, object], **more: object) -> tuple[list[str], list[str]]:
    """The row's words reading by reading, and what was settled in the end."""
    start = node("a", before, boot_at=1000)
    watch = Verification((waiting("a", action=action, before=start, since=0.0, **more),))
    words, ends = [], []
    for at, now in readings:
        watch, settled = watch.check(facts(now), at)
        words += watch.row_texts("node").values()
        ends += [f"{one.state}: {one.why}" for one in settled]
    return words, ends


RESUMED, UP = node("a", "IDLE*"), node("a", "IDLE", boot_at=1001)


def test_a_resume_is_followed_until_the_node_has_registered():
    words, ends = follow("resume", "DOWN", (1, node("a", "DOWN")), (2, RESUMED), (200, RESUMED), (201, UP))
    assert words == ["resuming…", "registering", "registering"] and ends == ["done: registered, idle"]


@pytest.mark.parametrize(
    ("readings", "end"),
    [
        ([(300, node("a", "DOWN*", reason="Not responding"))], "down: not registered after 300 s: Not responding"),
        ([(10, RESUMED), (300, RESUMED)], "resuming: not registered after 300 s"),
        ([(10, RESUMED), (70, node("a", "DOWN*", reason="Not responding"))], "down again: Not responding"),
        ([(10, RESUMED), (12, node("a", "IDLE+DRAIN", reason="NHC: gpu"))], "drained again: NHC: gpu"),
        ([(10, RESUMED), (12, node("a", "IDLE+DRAIN+INVALID_REG", reason="7 < 8"))], "invalid again: 7 < 8"),
    ],
)
def test_a_resume_that_comes_to_nothing_says_which(readings, end):
    assert follow("resume", "DOWN", *readings)[1] == [f"unknown: {end}"]


def test_a_node_that_works_and_did_not_answer_yet_is_on_its_way():
    """Slurm marks every node that was put back NOT_RESPONDING until its slurmd was asked."""
    words, ends = follow("resume", "MIXED+DRAIN", (1, node("a", "MIXED*")), (2, node("a", "MIXED")))
    assert words == ["registering"] and ends == ["done: registered, mixed"]


def test_a_node_that_slurm_never_heard_of_is_resumed_all_the_same():
    assert follow("resume", "UNKNOWN*+DRAIN", (1, node("a", "UNKNOWN*")))[1] == [
        "done: as before: Slurm never heard of it"
    ]


ASKED, ISSUED = node("a", "MIXED+DRAIN+REBOOT_REQUESTED"), node("a", "DOWN+DRAIN+REBOOT_ISSUED")


def test_a_reboot_is_followed_stage_by_stage():
    done = node("a", "IDLE", boot_at=2000)
    words, ends = follow(
        "reboot", "MIXED", (1, node("a", "MIXED", boot_at=1002)), (2, ASKED), (700, ISSUED), (890, done)
    )
    assert words == ["rebooting…", "reboot asked", "rebooting"] and ends == ["done: rebooted, idle"]


@pytest.mark.parametrize(
    ("readings", "end"),
    [
        ([(2, ISSUED), (9, node("a", "DOWN", boot_at=2000, reason="fw : reboot complete"))],
         "done: rebooted, down: fw : reboot complete"),
        ([(2, ISSUED), (99, node("a", "DOWN+DRAIN", boot_at=1001, reason="fw : reboot timed out"))],
         "unknown: not rebooted, down: fw : reboot timed out"),
        ([(2, ASKED), (9, node("a", "MIXED", boot_at=1000, reason="fw"))], "unknown: not rebooted, mixed"),
        ([(2, ASKED), (BY_ID["reboot"].verify_s, ASKED)],
         "done: reboot asked for: Slurm waits until its jobs have ended"),
        ([(2, ISSUED), (900, ISSUED)], "unknown: not seen after 900 s, now rebooting"),
        ([(899, node("a", "MIXED")), (900, node("a", "MIXED"))], "unknown: not seen after 900 s, now mixed"),
    ],
)  # fmt: skip
def test_how_a_reboot_ends(readings, end):
    assert follow("reboot", "MIXED", *readings)[1] == [end]


def test_a_node_whose_boot_time_nobody_knew_must_be_seen_on_its_way():
    watch = Verification((waiting("a", action="reboot", before=node("a"), since=0.0),))
    assert watch.check(facts(node("a", "IDLE", boot_at=5)), 1.0) == (watch, ())
    watch, _ = watch.check(facts(ISSUED), 2.0)
    assert watch.check(facts(node("a", "IDLE", boot_at=5)), 3.0)[1][0].why == "rebooted, idle"


def test_who_waits_no_longer_hears_how_far_it_is():
    watch = Verification((waiting("a", action="resume", before=node("a", "DOWN"), since=0.0),))
    assert watch.check(facts(RESUMED), 20.0, 20.0)[1][0].why == "resuming: not registered after 20 s"


def test_an_older_order_to_resume_is_told():
    drained = node("a", "IDLE+DRAIN", reason="x", resume_at=9)
    assert "will resume it automatically" in Verification((waiting("a"),)).check(facts(drained), 101.0)[1][0].why
    assert (
        Verification((waiting("a", sent=Expected(reason="x", resume_after_s=60)),))
        .check(facts(drained), 101.0)[1][0]
        .why
        == ""
    )


def test_alerts_and_silences_are_waited_for_too():
    watch = Verification((waiting("f1", kind="alert", action="take", before=alert()),
                   waiting("s1", kind="silence", action="lift", before=silence())))  # fmt: skip
    blank = make.cluster(alerts=[alert()])
    assert watch.check(blank, 101.0) == (watch, ())
    quiet = make.cluster(alerts=[alert("s2")], silences=())
    assert [(one.target, one.state) for one in watch.check(quiet, 102.0)[1]] == [("f1", "done"), ("s1", "done")]
    over = make.cluster(alerts=())
    assert [one.why for one in watch.check(over, 103.0)[1]] == ["it is over"]


# -- what is no longer as it was confirmed -----------------------------------------------------------------------------


def drift(action: str, before: object, now: object, *jobs: object, **known: object) -> str | None:
    found = find_drift(BY_ID[action], make.cluster(**known), before, now, *jobs)
    return None if found is None else found.why


@pytest.mark.parametrize(
    ("action", "before", "now", "jobs", "why"),
    [
        ("down", "MIXED", "ALLOCATED", ({"1", "2"}, {"2", "3"}), "a job started there meanwhile: 3"),
        ("down", "MIXED", "MIXED", (set(), {"1", "2", "3", "4"}), "a job started there meanwhile: 1, 2, 3 and 1 more"),
        ("down", "MIXED", "MIXED", ({"1", "2"}, {"2"}), None),
        ("down", "MIXED", "MIXED", (None, {"2"}), None),
        ("down", "IDLE", "MIXED", (None, None), "a job started there meanwhile: mixed"),
        ("down", "IDLE", "DOWN", (set(), set()), "already down"),
        ("reboot", "IDLE", "MIXED", ({"1"}, {"1", "2"}), None),
        ("reboot", "IDLE", "IDLE+DRAIN+REBOOT_REQUESTED", (), "a reboot is under way"),
        ("drain", "IDLE", "MIXED", (set(), {"1"}), None),
    ],
)
def test_nodes_that_have_drifted(action, before, now, jobs, why):
    assert drift(action, node("a", before), node("a", now), *jobs) == why


def test_jobs_that_have_drifted():
    before = job("1", "PENDING", reason="Priority", priority=5)
    assert drift("priority", before, job("1", "PENDING", reason="Resources", priority=9)) is None
    assert "RUNNING" in str(drift("priority", before, job("1", "RUNNING", priority=5)))
    held = drift("priority", before, job("1", "PENDING", reason="JobHeldAdmin", priority=0))
    assert held is not None and "held" in held


def test_alerts_and_silences_that_have_drifted():
    other = {"s2": silence(by="mkoster", comment="taken: mine")}
    assert drift("take", alert(), alert()) is None
    assert drift("take", alert(), None) == "it is over"
    for action in ("take", "silence"):
        assert "by mkoster: taken: mine" in str(drift(action, alert(), alert("s2"), silences=other))
        assert drift(action, alert(), alert("s3"), silences=other) == "silenced meanwhile"
    assert drift("lift", silence(), silence()) is None
    assert drift("lift", silence(), silence("expired")) == "it is over: expired"
    assert drift("lift", silence(), None) == "it is over"
    changed = silence(by="mkoster", ends=1800)
    assert drift("lift", silence(), changed) == "it was changed meanwhile by mkoster: swap"


@pytest.mark.parametrize(
    ("action", "row", "word"),
    [
        ("drain", node("a", "MIXED+DRAIN"), "draining"),
        ("drain", node("a", "IDLE+DRAIN"), "drained"),
        ("drain", node("a", "DOWN+DRAIN"), "down"),
        ("down", node("a", "DOWN"), "down"),
        ("undrain", node("a", "ALLOCATED"), "undrained"),
        ("cancel", job("1", "CANCELLED"), "cancelled"),
        ("cancel", job("1", "COMPLETED"), "completed"),
        ("cancel", None, "cancelled"),
        ("hold", job("1", "PENDING", **HELD), "held"),
        ("unsuspend", job("1", "RUNNING"), "running"),
        ("requeue", job("1", "PENDING"), "requeued"),
    ],
)
def test_what_was_done_is_called_by_the_state_that_was_seen(action, row, word):
    assert done_word(BY_ID[action], state_word(row)) == word

"""What proves a change, action by action, and how long it is waited for."""

from __future__ import annotations

import pytest

from collectors.model import Cluster
from console.actions import BY_ID
from console.verify import PATIENCE_S, Settled, Waiting, Watch, drifted, seen
from tests.test_gate import job, node


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
    ],
)
def test_nodes(action, before, after, shown):
    assert seen(action, node("a", before), after, "bad DIMM") is shown


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
    assert seen(action, before, after) is shown


def waiting(target: str, **more: object) -> Waiting:
    about = {"plan": "p", "action": "drain", "kind": "node", "reason": "x", "before": node(target), "since": 100.0}
    return Waiting(target=target, **{**about, **more})


def facts(*nodes: object) -> Cluster:
    return Cluster(name="lab", nodes={one.name: one for one in nodes}, known=frozenset({"nodes"}))


def test_pending_until_a_reading_shows_it():
    watch = Watch().add([waiting("gpu0001"), waiting("gpu0002")])
    assert watch.words("node") == {"gpu0001": "draining…", "gpu0002": "draining…"} and watch.words("job") == {}
    same, settled = watch.check(facts(node("gpu0001"), node("gpu0002")), 101.0)
    assert same is watch and settled == ()
    drained = node("gpu0001", "IDLE+DRAIN", reason="x")
    watch, settled = watch.check(facts(drained, node("gpu0002")), 102.0)
    assert settled == (Settled(plan="p", action="drain", target="gpu0001", state="done"),)
    assert list(watch.words("node")) == ["gpu0002"]
    watch, settled = watch.check(facts(drained, node("gpu0002", "MIXED")), 100.0 + PATIENCE_S)
    assert watch.waiting == () and (settled[0].state, settled[0].why) == ("unknown", "not seen after 60 s, now mixed")


def test_facts_that_were_never_read_prove_nothing():
    watch = Watch((waiting("101", kind="job", action="cancel", before=job("101")),))
    blank = Cluster(name="lab")
    assert watch.check(blank, 101.0) == (watch, ())
    assert watch.check(blank, 160.0)[1][0].why == "not seen after 60 s"


def test_what_slurm_said_is_kept():
    watch = Watch((waiting("gpu0001", err="Invalid node state specified"),))
    (settled,) = watch.check(facts(node("gpu0001")), 200.0)[1]
    assert settled.why == "not seen after 100 s, now idle; Slurm said: Invalid node state specified"


def test_a_target_that_is_gone_is_settled_at_once():
    (settled,) = Watch((waiting("gpu0001"),)).check(facts(), 100.0)[1]
    assert (settled.state, settled.why) == ("unknown", "Slurm no longer lists it")


def test_a_later_change_of_the_same_target_takes_its_place():
    watch = Watch((waiting("gpu0001"),)).add([waiting("gpu0001", plan="q", action="resume")])
    assert [one.plan for one in watch.waiting] == ["q"]


def test_an_unchanged_target_has_not_drifted():
    for action, row in (("drain", node("a", "MIXED", reason="old")), ("cancel", job("1")), ("requeue", job("1"))):
        assert drifted(BY_ID[action], Cluster(name="lab"), row, row) is None

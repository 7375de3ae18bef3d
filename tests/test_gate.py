"""The gate, act by act: what is refused, what must be typed, what is looked at again, what is written down."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from collectors.clock import ManualClock
from collectors.model import Change, Cluster, Fault, Job, Node, Sent, Source, SourceFault
from collectors.nodestate import display_word, parse_state
from console.actions import ACTIONS
from console.gate import Gate, Outcome, Plan, Refusal, Result
from console.journal import Journal, JournalFault, read, verify
from console.plan import Confirm, Skip

NOW = 1_795_000_000


def node(name: str, state: str = "IDLE", **more: object) -> Node:
    base, flags = parse_state(state)
    more = {"partitions": ("gpu",), **more}
    return Node(name=name, state=base, flags=flags, display=display_word(base, flags), **more)


def job(id: str, state: str = "RUNNING", **more: object) -> Job:
    more = {
        "name": "train",
        "user": "alice",
        "restarts": 0,
        "started": NOW - 3600 if state == "RUNNING" else None,
        **more,
    }
    return Job(id=id, state=state, **more)


class World:
    """A small Slurm that does what it is told, with a Writer and a Transport that can be broken."""

    def __init__(self, folder: Path, nodes: Sequence[Node] = (), jobs: Sequence[Job] = ()) -> None:
        self.nodes = {one.name: one for one in nodes}
        self.jobs = {one.id: one for one in jobs}
        self.clock = ManualClock(now=NOW)
        self.path = folder / "journal.jsonl"
        self.sent: list[Change] = []
        self.reads = 0
        self.blind = False
        self.deaf = False
        """Takes every command and does nothing."""
        self.rc: int | None = 0
        self.err = ""
        self.refuses: Mapping[str, str] = {}
        self.explodes = False
        self.batch = 1000
        self.before_send = lambda: None

    def cluster(self, **more: object) -> Cluster:
        on: dict[str, tuple[str, ...]] = {}
        for one in self.jobs.values():
            if one.nodes and one.state == "RUNNING":
                on[one.nodes] = (*on.get(one.nodes, ()), one.id)
        about = {
            "nodes": dict(self.nodes), "jobs": dict(self.jobs), "jobs_on": on, "known": frozenset({"nodes", "jobs"}),
            "sources": {f"slurm.{kind}": Source(name=f"slurm.{kind}", ok=True, read_mono=self.clock.mono())
                        for kind in ("nodes", "jobs")},
        }  # fmt: skip
        return Cluster(name="lab", **{**about, **more})

    def gate(self, **options: object) -> Gate:
        options = {"transport": self, **options}
        return Gate("lab", lambda: self, options.pop("transport"), lambda: Journal(self.path, "lab", self.clock),
                    self.clock, **options)  # fmt: skip

    def journal(self) -> list[dict]:
        return read(self.path) if self.path.exists() else []

    # Transport
    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        return self._read(self.nodes, names)

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        return self._read(self.jobs, ids)

    def _read(self, rows, names):
        self.reads += 1
        if self.blind:
            raise SourceFault("timeout", "the controller is silent", "try: sdiag")
        return {name: rows[name] for name in names if name in rows}

    # Writer
    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        some = [change.targets[at : at + self.batch] for at in range(0, len(change.targets), self.batch)]
        return [
            ("do", change.action, *([f"Reason={change.reason}"] if change.kind == "node" else []), *one) for one in some
        ]

    def send(self, change: Change) -> Sequence[Sent]:
        self.before_send()
        self.sent.append(change)
        if self.explodes:
            raise RuntimeError("a bug in the writer")
        done = []
        for argv in self.commands(change):
            targets = tuple(word for word in argv if word in change.targets)
            refused = {name: why for name, why in self.refuses.items() if name in targets}
            done.append(Sent(argv=argv, targets=targets, rc=self.rc, err=self.err, refused=refused))
            if not self.deaf:
                for name in targets:
                    if name not in refused:
                        self.do(change, name)
            if self.rc is None:
                break
        return done

    def do(self, change: Change, name: str) -> None:
        if change.action == "drain":
            self.node(name, "IDLE+DRAIN", reason=change.reason, reason_by="root")
        elif change.kind == "node":
            self.node(name, "IDLE", reason=None)
        elif change.action == "cancel":
            del self.jobs[name]
        elif change.action.startswith("requeue"):
            held = {"reason": "JobHeldUser", "priority": 0} if change.action == "requeuehold" else {}
            self.jobs[name] = job(name, "PENDING", restarts=(self.jobs[name].restarts or 0) + 1, **held)
        else:
            reason = {"hold": "JobHeldAdmin", "uhold": "JobHeldUser", "release": "Priority"}[change.action]
            self.jobs[name] = job(name, "PENDING", reason=reason, priority=int(change.action == "release"))

    def node(self, name: str, state: str, **more: object) -> None:
        self.nodes[name] = node(name, state, **more)


@pytest.fixture
def world(tmp_path):
    return World(
        tmp_path,
        nodes=[
            node("gpu0001"),
            node("gpu0002", "MIXED"),
            node("gpu0003", "IDLE+DRAIN", reason="NHC: check_gpu", reason_by="nhc"),
            node("gpu0004", "DOWN"),
        ],
        jobs=[
            job("88121", nodes="gpu0002", node_count=1, gpus_held=8, time_limit_s=7200),
            job("88133", "PENDING", reason="Priority", priority=5),
            job("88140", "COMPLETED", started=NOW - 60),
        ],
    )


def planned(gate: Gate, action: str, *targets: str, reason: str | None = "bad DIMM", cluster: Cluster) -> Plan:
    plan = gate.plan(action, targets, reason, cluster)
    assert isinstance(plan, Plan), plan
    return plan


def refused(gate: Gate, action: str, *targets: str, cluster: Cluster) -> str:
    refusal = gate.plan(action, targets, "x", cluster)
    assert isinstance(refusal, Refusal), refusal
    return refusal.why


# -- the plan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        ((), "no nodes were named"),
        (("ALL",), "ALL is never sent"),
        (("gpu0001", "all"), "ALL is never sent"),
        (("gpu9999",), "unknown node gpu9999"),
        (("gpu0001", "gpu9998", "gpu9999"), "unknown nodes gpu[9998-9999]"),
        (("gpu0001", "gpu0001"), "a node was named twice"),
        (("gpu[0001-0002]",), "unknown node gpu[0001-0002]"),
        (("-oProxyCommand=x",), "unknown node -oProxyCommand=x"),
        (("\x1b]52;c;x\x07",), r"unknown node \e]52;c;x\x07"),
        (("gpu0003",), 'nothing to drain: gpu0003: already drained by nhc "NHC: check_gpu"'),
    ],
)
def test_targets_that_are_refused(world, targets, why):
    assert refused(world.gate(), "drain", *targets, cluster=world.cluster()).startswith(why)


def test_jobs_are_refused_by_name(world):
    assert refused(world.gate(), "cancel", "99", "98", cluster=world.cluster()) == "unknown jobs 99, 98"
    assert refused(world.gate(), "cancel", "88140", cluster=world.cluster()).endswith("it has ended: COMPLETED")


def test_what_was_never_read_is_not_acted_on(world):
    silent = Source(name="slurm.jobs", fault=Fault("refused", "Unable to contact slurm controller"))
    blank = Cluster(name="lab", sources={"slurm.jobs": silent})
    assert refused(world.gate(), "cancel", "1", cluster=blank) == (
        "the jobs of lab were never read: Unable to contact slurm controller"
    )


def test_unknown_actions_and_foreign_clusters(world):
    assert refused(world.gate(), "nuke", "gpu0001", cluster=world.cluster()).startswith(
        "unknown action nuke; there is drain"
    )
    foreign = msgspec.structs.replace(world.cluster(), name="other")
    assert "facts of other" in refused(world.gate(), "drain", "gpu0001", cluster=foreign)


@pytest.mark.parametrize("action", [action.id for action in ACTIONS])
def test_read_only_plans_nothing(world, action):
    gate = world.gate(read_only=True)
    for targets in (("gpu0001",), ("88121",), ("88133",), ()):
        assert gate.plan(action, targets, "x", world.cluster()) == Refusal("read-only")
    assert world.sent == [] and world.journal() == []


def test_the_preview_of_a_drain(world):
    plan = planned(world.gate(), "drain", "gpu0001", "gpu0002", "gpu0003", cluster=world.cluster())
    assert plan.change == Change(action="drain", kind="node", targets=("gpu0001", "gpu0002"), reason="bad DIMM")
    assert plan.skipped == (Skip("gpu0003", 'already drained by nhc "NHC: check_gpu"'),)
    (hit,) = plan.jobs or ()
    assert (hit.id, hit.user, hit.gpus, hit.elapsed_s, hit.left_s) == ("88121", "alice", 8, 3600, 3600)
    assert plan.empty_in_s == 3600 and not plan.kills
    (share,) = plan.shares
    assert (share.partition, share.nodes, share.healthy, share.newly_out) == ("gpu", 4, 2, 2)
    assert share.part == 1.0 and share.out_then == 1.0
    assert plan.commands == (("do", "drain", "Reason=bad DIMM", "gpu0001", "gpu0002"),)
    assert plan.confirm == Confirm("count", 2) and world.sent == [] and world.reads == 0


def test_jobs_without_a_limit_make_the_end_unknown(world):
    world.jobs["88122"] = job("88122", nodes="gpu0002")
    assert planned(world.gate(), "drain", "gpu0002", cluster=world.cluster()).empty_in_s is None


def test_unread_jobs_are_unknown_not_none(world):
    cluster = world.cluster(jobs={}, jobs_on={}, known=frozenset({"nodes"}))
    assert planned(world.gate(), "drain", "gpu0002", cluster=cluster).jobs is None


@pytest.mark.parametrize(
    ("action", "targets", "confirm"),
    [
        ("drain", ("gpu0001",), Confirm("plain", 1)),
        ("drain", ("gpu0001", "gpu0003"), Confirm("plain", 1)),
        ("drain", ("gpu0001", "gpu0002"), Confirm("count", 2)),
        ("resume", ("gpu0003", "gpu0004"), Confirm("count", 2)),
        ("hold", ("88133",), Confirm("plain", 1)),
        ("cancel", ("88133",), Confirm("count", 1)),
        ("requeue", ("88121",), Confirm("count", 1)),
    ],
)
def test_what_must_be_typed(world, action, targets, confirm):
    assert planned(world.gate(), action, *targets, cluster=world.cluster()).confirm == confirm


def test_a_drain_that_kills_needs_the_count(world):
    world.node("gpu0002", "ALLOCATED#")
    plan = planned(world.gate(), "drain", "gpu0002", cluster=world.cluster())
    assert plan.confirm == Confirm("count", 1) and plan.kills


@pytest.mark.parametrize(
    ("confirm", "right", "wrong"),
    [
        (Confirm("plain", 1), ("y", "yes", "1"), ("", "n", "Y", "yy", "y\n", "2", "01")),
        (Confirm("count", 4), ("4",), ("", "y", "yes", "3", "04", "4 ", "44", "4\n", "٤")),
    ],
)
def test_only_the_very_answer_counts(confirm, right, wrong):
    assert all(confirm.accepts(answer) for answer in right)
    assert not any(confirm.accepts(answer) for answer in wrong)


def test_a_reason_can_come_later_and_makes_the_first_plan_void(world):
    gate = world.gate()
    first = planned(gate, "drain", "gpu0001", reason=None, cluster=world.cluster())
    assert first.lacks_reason and first.commands == (("do", "drain", "Reason=…", "gpu0001"),)
    assert gate.with_reason(first, " \n") == Refusal("a reason is required")
    second = gate.with_reason(first, "bad\nDIMM")
    assert isinstance(second, Plan) and second.change.reason == "bad DIMM" and not second.lacks_reason
    assert gate.with_reason(first, "again") == Refusal("this plan was used already")
    assert gate.send(first, "y").refused is not None and world.sent == []
    assert gate.send(second, "y").refused is None
    assert world.sent[0].reason == "bad DIMM"


def test_without_its_reason_nothing_is_sent(world):
    gate = world.gate()
    plan = planned(gate, "drain", "gpu0001", reason=None, cluster=world.cluster())
    assert gate.send(plan, "y").refused == "a reason is required" and world.sent == []


# -- the deed ---------------------------------------------------------------------------------------------------------


def test_done_is_what_a_later_reading_shows(world):
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert outcome.results == {"gpu0001": Result("pending")} and len(outcome.waiting) == 1
    outcome = gate.follow(outcome, sleep=world.clock.advance)
    assert outcome.results == {"gpu0001": Result("done")} and outcome.waiting == ()
    assert [line["event"] for line in world.journal()] == ["intent", "result", "verified"]
    assert verify(world.path).ok


def test_the_intent_is_on_the_disk_before_the_command(world):
    seen = []
    world.before_send = lambda: seen.extend(world.journal())
    gate = world.gate()
    gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    (intent,) = seen
    assert (intent["event"], intent["action"], intent["targets"]) == ("intent", "drain", ["gpu0001"])
    assert intent["argv"] == [["do", "drain", "Reason=bad DIMM", "gpu0001"]] and intent["age_s"] == 0
    assert intent["seen"] == {"gpu0001": {"state": "IDLE", "reason": None, "by": None, "at": None}}


def test_without_a_journal_nothing_is_sent(world):
    world.path.mkdir()
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert "the journal cannot be written" in (outcome.refused or "") and world.sent == []


def test_a_result_that_cannot_be_written_is_said(world):
    world.before_send = lambda: (world.path.unlink(), world.path.mkdir())
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert outcome.refused is None and outcome.results["gpu0001"].state == "pending"
    assert "not in the journal" in outcome.warning


def test_a_wrong_answer_spends_the_plan(world):
    gate = world.gate()
    plan = planned(gate, "cancel", "88121", cluster=world.cluster())
    assert "1 was asked for" in (gate.send(plan, "y").refused or "")
    assert "used already" in (gate.send(plan, "1").refused or "")
    assert world.sent == [] and world.journal() == []


def test_many_hands_send_once(world):
    gate = world.gate()
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster())
    outcomes: list[Outcome] = []
    start = threading.Barrier(8)

    def press() -> None:
        start.wait()
        outcomes.append(gate.send(plan, "y"))

    hands = [threading.Thread(target=press) for _ in range(8)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert len(world.sent) == 1 and sum(outcome.refused is None for outcome in outcomes) == 1


def test_a_plan_of_another_gate_is_not_sent(world):
    plan = planned(world.gate(), "drain", "gpu0001", cluster=world.cluster())
    assert world.gate().send(plan, "y").refused is not None
    gate = world.gate()
    forged = msgspec.structs.replace(planned(gate, "drain", "gpu0001", cluster=world.cluster()), id="forged")
    assert gate.send(forged, "y").refused is not None and world.sent == []


# -- looked at again --------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_again_is_not_acted_on(world):
    gate = world.gate()
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster())
    world.blind = True
    assert "could not be read again" in (gate.send(plan, "y").refused or "") and world.sent == []


def test_without_a_transport_only_fresh_facts_count(world):
    gate = world.gate(transport=None)
    cluster = world.cluster()
    stale = planned(gate, "drain", "gpu0001", cluster=cluster)
    world.clock.advance(31)
    assert "too old" in (gate.send(stale, "y").refused or "") and world.sent == []
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert gate.follow(outcome, sleep=world.clock.advance).results["gpu0001"].state == "unknown"


def change_node(state: str, **more: object):
    return lambda world: world.node("gpu0002", state, **more)


def change_job(id: str, state: str, **more: object):
    return lambda world: world.jobs.update({id: job(id, state, **more)})


@pytest.mark.parametrize(
    ("action", "targets", "meanwhile", "why"),
    [
        ("drain", ("gpu0001", "gpu0002"), lambda world: world.nodes.pop("gpu0002"), "no longer lists it"),
        ("drain", ("gpu0001", "gpu0002"), change_node("MIXED+DRAIN", reason="mine", reason_by="jdv"), "already draining by jdv"),
        ("drain", ("gpu0001", "gpu0002"), change_node("MIXED", reason="mine", reason_by="jdv"), "another reason"),
        ("drain", ("gpu0001", "gpu0002"), change_node("ALLOCATED#"), "it would now kill jobs"),
        ("cancel", ("88133", "88121"), lambda world: world.jobs.pop("88121"), "no longer lists it"),
        ("cancel", ("88121", "88133"), change_job("88133", "RUNNING"), "it started meanwhile"),
        ("cancel", ("88133", "88121"), change_job("88121", "RUNNING", user="bob"), "another job of bob"),
        ("cancel", ("88133", "88121"), change_job("88121", "RUNNING", restarts=1), "requeued meanwhile"),
        ("cancel", ("88133", "88121"), change_job("88121", "COMPLETING"), "it is ending"),
    ],
)  # fmt: skip
def test_worse_than_confirmed_drops_that_target(world, action, targets, meanwhile, why):
    gate = world.gate()
    plan = planned(gate, action, *targets, cluster=world.cluster())
    meanwhile(world)
    outcome = gate.send(plan, "2")
    left, other = targets
    assert outcome.refused is None and world.sent[0].targets == (left,)
    assert outcome.results[other].state == "dropped" and why in outcome.results[other].why
    assert world.journal()[0]["dropped"].keys() == {other}


def test_a_new_reason_drops_a_resume(world):
    gate = world.gate()
    plan = planned(gate, "resume", "gpu0003", cluster=world.cluster())
    world.node("gpu0003", "IDLE+DRAIN", reason="do not touch", reason_by="jdv")
    assert 'another reason was set meanwhile by jdv "do not touch"' in (gate.send(plan, "y").refused or "")
    assert world.sent == [] and world.journal() == []


def test_less_harm_than_confirmed_does_not_stop_it(world):
    gate = world.gate()
    plan = planned(gate, "drain", "gpu0002", cluster=world.cluster())
    world.node("gpu0002", "DOWN")
    assert gate.send(plan, "y").refused is None


# -- what came of it --------------------------------------------------------------------------------------------------


def test_a_timeout_is_unknown_then_what_is_seen(world):
    world.rc, world.err = None, "no answer in 30 s"
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert outcome.results["gpu0001"] == Result("unknown", "no answer in 30 s")
    assert gate.follow(outcome, sleep=world.clock.advance).results["gpu0001"].state == "done"
    assert len(world.sent) == 1


def test_a_timeout_that_nobody_sees_stays_unknown_and_is_not_sent_again(world):
    world.rc, world.err, world.deaf = None, "no answer in 30 s", True
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    result = gate.follow(outcome, 60, sleep=world.clock.advance).results["gpu0001"]
    assert result.state == "unknown" and "now idle" in result.why and "no answer in 30 s" in result.why
    assert len(world.sent) == 1


def test_single_refusals_fail_and_the_rest_goes_on(world):
    world.rc, world.refuses = 1, {"88121": "Access/permission denied"}
    gate = world.gate()
    outcome = gate.send(planned(gate, "cancel", "88121", "88133", cluster=world.cluster()), "2")
    assert outcome.results == {"88121": Result("failed", "Access/permission denied"), "88133": Result("pending")}
    assert gate.follow(outcome, sleep=world.clock.advance).results["88133"].state == "done"
    assert world.journal()[1]["outcome"]["88121"] == {"state": "failed", "why": "Access/permission denied"}


def test_an_error_that_names_nobody_is_unknown_until_read_back(world):
    world.rc, world.err = 1, "slurm_update error: Invalid node state specified"
    gate = world.gate()
    outcome = gate.send(planned(gate, "resume", "gpu0003", "gpu0004", cluster=world.cluster()), "2")
    assert {result.state for result in outcome.results.values()} == {"unknown"}
    assert {one.state for one in gate.follow(outcome, sleep=world.clock.advance).results.values()} == {"done"}


def test_what_was_not_sent_any_more_is_told(world):
    world.rc, world.err, world.batch = None, "no answer", 1
    gate = world.gate()
    outcome = gate.send(planned(gate, "cancel", "88121", "88133", cluster=world.cluster()), "2")
    assert [outcome.results[one].state for one in ("88121", "88133")] == ["unknown", "dropped"]
    assert "88133" in world.jobs


def test_a_broken_writer_is_unknown_and_written_down(world):
    world.explodes = True
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert outcome.results["gpu0001"] == Result("unknown", "RuntimeError: a bug in the writer")
    assert world.journal()[-1]["failure"] == "RuntimeError: a bug in the writer"


def test_a_journal_that_breaks_on_the_way_does_not_hide_the_deed(world):
    class Broken(Journal):
        def write(self, event: str, **fields: object) -> None:
            if event != "intent":
                raise JournalFault("disk gone")
            super().write(event, **fields)

    gate = Gate("lab", lambda: world, world, lambda: Broken(world.path, "lab", world.clock), world.clock)
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    outcome = gate.follow(outcome, sleep=world.clock.advance)
    assert outcome.results["gpu0001"].state == "done" and outcome.warning == "this is not in the journal: disk gone"

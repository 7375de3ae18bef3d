"""Whatever people, clocks and controllers do: only what was confirmed is sent, at most once, after its intent."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from console.actions import BY_ID, keys_for
from console.gate import Plan
from console.journal import orphans, verify
from tests.test_gate import World, job, node

NODES = [f"gpu{number:04d}" for number in range(1, 5)]
JOBS = [str(number) for number in range(101, 105)]
NODE_STATES = [
    "IDLE",
    "MIXED",
    "ALLOCATED#",
    "IDLE+DRAIN",
    "MIXED+DRAIN",
    "DOWN",
    "DOWN+DRAIN",
    "IDLE+INVALID_REG+DRAIN",
]
JOB_STATES = ["PENDING", "RUNNING", "COMPLETING", "COMPLETED", "SUSPENDED"]
ANYTHING = st.tuples(
    st.sampled_from([*BY_ID, "nuke"]), st.lists(st.sampled_from([*NODES, *JOBS, "gpu9999", "ALL", ""]), max_size=5)
)
FITTING = st.one_of(
    st.tuples(
        st.sampled_from([action.id for action in keys_for(kind)]),
        st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True),
    )
    for kind, names in (("node", NODES), ("job", JOBS))
)


class Operators(RuleBasedStateMachine):
    """Two people at one cluster, one of them at a read-only console, while the machine does what it likes."""

    plans: Bundle[Plan] = Bundle("plans")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="wacht-gate-")
        self.world = World(
            Path(self.folder.name), [node(name) for name in NODES], [job(one, "PENDING", priority=1) for one in JOBS]
        )
        self.world.before_send = self.intent_first
        self.gate = self.world.gate()
        self.watcher = self.world.gate(read_only=True)
        self.allowed: list[tuple[str, frozenset[str], str | None]] = []
        self.spent: set[str] = set()

    def intent_first(self) -> None:
        last = self.world.journal()[-1]
        assert last["event"] == "intent"
        self.promised = last

    @rule(target=plans, pressed=st.one_of(FITTING, FITTING, ANYTHING), reason=st.sampled_from([None, "", "x", "y"]))
    def press(self, pressed, reason):
        action, names = pressed
        cluster = self.world.cluster()
        plan = self.gate.plan(action, names, reason, cluster)
        assert not isinstance(self.watcher.plan(action, names, reason, cluster), Plan)
        if not isinstance(plan, Plan):
            return multiple()
        rows = cluster.nodes if plan.action.kind == "node" else cluster.jobs
        assert plan.change.targets and set(plan.change.targets) <= set(names) <= set(rows)
        assert {skip.target for skip in plan.skipped} == set(names) - set(plan.change.targets)
        assert plan.confirm.expect == len(plan.change.targets)
        if plan.kills or len(plan.change.targets) > 1:
            assert plan.confirm.kind == "count"
        return plan

    @rule(target=plans, plan=plans, reason=st.sampled_from(["", "bad DIMM", "x\ny"]))
    def give_a_reason(self, plan, reason):
        more = self.gate.with_reason(plan, reason)
        if not isinstance(more, Plan):
            return multiple()
        assert plan.id not in self.spent
        self.spent.add(plan.id)
        return more

    @rule(plan=plans, answer=st.sampled_from([None, None, "y", "", "1", "2", "3", "yes"]))
    def answer(self, plan, answer):
        self.confirm(plan, answer)

    @rule(pressed=FITTING, moved=st.sampled_from(NODES), state=st.sampled_from([None, *NODE_STATES]), more=st.data())
    def do_it(self, pressed, moved, state, more):
        """Press and confirm, with at most one thing happening in between."""
        plan = self.gate.plan(*pressed, "bad DIMM", self.world.cluster())
        if state is not None:
            self.world.node(moved, state)
            self.world.jobs[JOBS[0]] = job(JOBS[0], more.draw(st.sampled_from(JOB_STATES)))
        if isinstance(plan, Plan):
            self.confirm(plan, None)

    def confirm(self, plan, answer):
        answer = plan.confirm.words if answer is None else answer
        before = len(self.world.sent)
        outcome = self.gate.send(plan, answer)
        new = self.world.sent[before:]
        if outcome.refused is not None:
            assert new == []
        else:
            (change,) = new
            assert plan.id not in self.spent and plan.confirm.accepts(answer)
            assert change.action == plan.action.id and change.reason == plan.change.reason
            assert set(change.targets) <= set(plan.change.targets)
            assert not plan.action.needs_reason or change.reason
            assert self.promised["id"] == plan.id and self.promised["targets"] == list(change.targets)
            assert [list(one.argv) for one in outcome.sent] == self.promised["argv"][: len(outcome.sent)]
            assert outcome.results.keys() == set(plan.change.targets)
            self.gate.follow(outcome, 5, sleep=self.world.clock.advance)
        self.spent.add(plan.id)

    @rule(plan=plans, answer=st.sampled_from(["y", "1", "2"]))
    def answer_at_another_console(self, plan, answer):
        assert self.watcher.send(plan, answer).refused is not None

    @rule(name=st.sampled_from(NODES), state=st.sampled_from(NODE_STATES), reason=st.sampled_from([None, "NHC"]))
    def the_machine_moves(self, name, state, reason):
        self.world.node(name, state, reason=reason, reason_by="nhc" if reason else None)

    @rule(one=st.sampled_from(JOBS), state=st.sampled_from(JOB_STATES), priority=st.integers(0, 1))
    def jobs_move(self, one, state, priority):
        self.world.jobs[one] = job(one, state, priority=priority, nodes=NODES[0] if state == "RUNNING" else None)

    @rule(gone=st.sampled_from([*NODES[2:], *JOBS[2:]]))
    def something_vanishes(self, gone):
        self.world.nodes.pop(gone, None)
        self.world.jobs.pop(gone, None)

    @rule(rc=st.sampled_from([0, 1, None]), deaf=st.booleans(), blind=st.booleans(), explodes=st.booleans())
    def the_controller_sulks(self, rc, deaf, blind, explodes):
        self.world.rc, self.world.deaf, self.world.blind, self.world.explodes = rc, deaf, blind, explodes

    @rule(seconds=st.integers(0, 100))
    def time_passes(self, seconds):
        self.world.clock.advance(seconds)

    @invariant()
    def every_command_has_its_intent_and_its_result(self):
        lines = self.world.journal()
        intents = [line["id"] for line in lines if line["event"] == "intent"]
        assert len(intents) == len(set(intents)) == len(self.world.sent)
        assert not lines or (verify(self.world.path).ok and orphans(self.world.path) == [])

    def teardown(self):
        self.folder.cleanup()


TestOperators = Operators.TestCase
TestOperators.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

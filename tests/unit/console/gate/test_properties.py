"""Whatever people, clocks, nodes and controllers do: only what was confirmed is sent, at most once, after its intent,
and no partition loses more by it than was confirmed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from collectors.nodestate import UNAVAILABLE
from console.actions.action import rows_of
from console.actions.options import Guard, Options
from console.actions.plan import Plan
from console.actions.registry import BY_ID, keys_for
from console.gate.outcome import Progress
from console.journal.writer import unfinished, verify
from tests.support.gate_world import World, alert, job, node

pytestmark = pytest.mark.slow

NODES = [f"gpu{number:04d}" for number in range(1, 9)]
JOBS = [str(number) for number in range(101, 105)]
NODE_STATES = [
    "IDLE",
    "MIXED",
    "ALLOCATED#",
    "IDLE+DRAIN",
    "MIXED+DRAIN",
    "DOWN",
    "DOWN*",
    "DOWN+DRAIN",
    "IDLE+INVALID_REG+DRAIN",
]
#: Of eight nodes three go by their count, four break the glass; of four that are left two do.
GUARD = Guard(batch=2, share_nodes=1, break_pct=40)
#: What becomes of some nodes at once.
MOVES = st.dictionaries(st.sampled_from(NODES), st.sampled_from(NODE_STATES), max_size=len(NODES))
REASON = st.sampled_from([None, "NHC"])
#: What takes nodes out or puts them back.
MOVING = [action.id for action in keys_for("node") if action.takes_out or action.returns]
ALERTS = [f"f{number}" for number in range(1, 4)]
JOB_STATES = ["PENDING", "RUNNING", "COMPLETING", "COMPLETED", "SUSPENDED"]
ANYTHING = st.tuples(
    st.sampled_from([*BY_ID, "nuke"]),
    st.lists(st.sampled_from([*NODES, *JOBS, *ALERTS, "gpu9999", "ALL", ""]), max_size=5),
)
FITTING = st.one_of(
    st.tuples(
        st.sampled_from([action.id for action in keys_for(kind)]),
        st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True),
    )
    for kind, names in (("node", NODES), ("job", JOBS), ("alert", ALERTS), ("silence", [f"s-{a}" for a in ALERTS]))
)
#: What is given where an action sets something, spelt as it is read.
VALUES = {"timelimit": "9:00:00", "exclude": "", "signal": "USR1"}
WORDS = st.builds(
    Options,
    resume_after_s=st.sampled_from([None, 3600]),
    next_state=st.sampled_from([None, "DOWN"]),
    break_glass=st.booleans(),
)


def fitting_words(action: str, options: Options) -> Options:
    """The options without those that the action does not know, and with the one that it cannot do without."""
    knows = BY_ID[action].option_fields if action in BY_ID else ()
    kept = {name: getattr(options, name) for name in ("resume_after_s", "next_state") if name in knows}
    if action == "priority":
        kept["value"] = "7"
    if action in BY_ID and BY_ID[action].value is not None:
        kept["value"] = VALUES.get(action, "5")
    return Options(break_glass=options.break_glass, **kept)


class Operators(RuleBasedStateMachine):
    """Two people at one cluster, one of them at a read-only console, while the machine does what it likes."""

    plans: Bundle[Plan] = Bundle("plans")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="wacht-gate-")
        self.world = World(
            Path(self.folder.name), [node(name) for name in NODES], [job(one, "PENDING", priority=1) for one in JOBS],
            [alert(one, node=NODES[at]) for at, one in enumerate(ALERTS)],
        )  # fmt: skip
        self.world.before_send = self.intent_first
        self.gate = self.world.gate(guard=GUARD)
        self.watcher = self.world.gate(read_only=True)
        self.allowed: list[tuple[str, frozenset[str], str | None]] = []
        self.spent: set[str] = set()
        self.broken: AssertionError | None = None

    def intent_first(self) -> None:
        last = self.world.journal()[-1]
        assert last["event"] == "intent"
        self.promised = last
        if self.sending.action.kind == "node":
            try:
                self.no_more_than_was_confirmed()
            except AssertionError as error:
                self.broken = error  # the gate takes it for a writer that broke

    @invariant()
    def nothing_was_sent_beyond_what_was_confirmed(self) -> None:
        if self.broken is not None:
            raise self.broken

    def no_more_than_was_confirmed(self) -> None:
        """Just before some are sent, of all that are still to be sent."""
        plan, nodes = self.sending, self.world.nodes
        done = {target for change in self.world.sent[self.sent_before :] for target in change.targets}
        left = [nodes[name] for name in self.promised["targets"] if name not in done]
        healthy = sum(one.display not in UNAVAILABLE for one in nodes.values())
        newly = sum(one.display not in UNAVAILABLE for one in left)
        if plan.action.takes_out and newly > GUARD.share_nodes and 100 * newly > GUARD.break_pct * healthy:
            assert plan.confirmation.kind == "break"
        if plan.action.takes_out:
            was = plan.rows
            assert not any(one.display not in UNAVAILABLE and was[one.name].display in UNAVAILABLE for one in left)
        if plan.action.returns:
            assert all(one.reason in {None, plan.rows[one.name].reason} for one in left)

    @rule(
        target=plans,
        pressed=st.one_of(FITTING, FITTING, ANYTHING),
        reason=st.sampled_from([None, "", "x", "y"]),
        options=WORDS,
    )
    def press(self, pressed, reason, options):
        action, names = pressed
        cluster = self.world.cluster()
        plan = self.gate.plan(action, names, reason, cluster, fitting_words(action, options))
        assert not isinstance(self.watcher.plan(action, names, reason, cluster), Plan)
        if not isinstance(plan, Plan):
            return multiple()
        rows = rows_of(plan.action, cluster)
        assert plan.change.targets and set(plan.change.targets) <= set(names) <= set(rows)
        assert {skip.target for skip in plan.skipped} == set(names) - set(plan.change.targets)
        assert plan.confirmation.count == len(plan.change.targets)
        if (
            plan.kills
            or plan.action.count_confirmed
            or (len(plan.change.targets) > 1 and not plan.action.plain_confirmed)
        ):
            assert plan.confirmation.kind in {"count", "break"}
        if any(100 * share.fraction > GUARD.break_pct and share.newly_out > GUARD.share_nodes for share in plan.shares):
            assert plan.confirmation.kind == "break" and not plan.confirmation.accepts(str(len(plan.change.targets)))
        assert options.break_glass or all(check.level != "bad" for check in plan.checks)
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

    @rule(pressed=FITTING, moved=MOVES, state=st.sampled_from(JOB_STATES))
    def do_it(self, pressed, moved, state):
        """Press and confirm, with some things happening in between."""
        options = fitting_words(pressed[0], Options())
        plan = self.gate.plan(*pressed, "bad DIMM", self.world.cluster(), options)
        if moved:
            self.move(moved, None)
            self.world.jobs[JOBS[0]] = job(JOBS[0], state)
        if isinstance(plan, Plan):
            self.confirm(plan, None)

    @rule(
        action=st.sampled_from(MOVING), count=st.sampled_from([2, 3, 8]), before=MOVES, moved=MOVES, reason=REASON,
        falls=st.integers(3, 8),
    )  # fmt: skip
    def do_it_while_nodes_come_and_go(self, action, count, before, moved, reason, falls):
        """The same of many nodes at once, with a controller that is awake: some come back, others fall."""
        self.world.rc, self.world.blind = 0, False
        self.move(dict.fromkeys(NODES, "IDLE") | before, None)
        plan = self.gate.plan(action, NODES[:count], "bad DIMM", self.world.cluster())
        self.move(dict.fromkeys(NODES[falls:], "DOWN*") | moved, reason)
        if isinstance(plan, Plan):
            self.confirm(plan, None)

    @rule(plan=plans)
    def stop_after_the_first_batch(self, plan):
        progress = Progress()
        progress.stop()
        self.confirm(plan, None, progress)

    def confirm(self, plan, answer, progress=None):
        answer = plan.confirmation.prompt if answer is None else answer
        self.sending, self.sent_before = plan, len(self.world.sent)
        outcome = self.gate.send(plan, answer, progress)
        new = self.world.sent[self.sent_before :]
        if outcome.refused is not None:
            assert new == []
        else:
            slow = plan.kills or plan.action.batched
            assert len(new) == 1 or (slow and all(len(change.targets) <= 2 for change in new))
            assert progress is None or len(new) == 1
            assert plan.id not in self.spent and plan.confirmation.accepts(answer)
            sent = [target for change in new for target in change.targets]
            assert len(sent) == len(set(sent)) and set(sent) <= set(plan.change.targets)
            for change in new:
                assert change.action == plan.action.id and change.reason == plan.change.reason
                assert set(change.reasons) | set(change.values) | set(change.next_state) <= set(change.targets)
                assert change.next_state.items() <= plan.change.next_state.items()
                assert set(change.values) == (set(change.targets) if plan.action.value is not None else set())
                assert {one for made in change.silences for one in made.alerts} <= set(change.targets)
            assert not plan.needs_reason or plan.reason
            assert self.promised["id"] == plan.id and set(sent) <= set(self.promised["targets"])
            assert set(self.promised["targets"]) <= set(plan.change.targets)
            assert outcome.results.keys() == set(plan.change.targets)
            self.gate.follow(outcome, 5, sleep=self.world.clock.advance)
        self.spent.add(plan.id)

    @rule(plan=plans, answer=st.sampled_from(["y", "1", "2"]))
    def answer_at_another_console(self, plan, answer):
        assert self.watcher.send(plan, answer).refused is not None

    @rule(moved=MOVES, reason=REASON)
    def the_machine_moves(self, moved, reason):
        self.move(moved, reason)

    def move(self, moved: Mapping[str, str], reason: str | None) -> None:
        for name, state in moved.items():
            self.world.node(name, state, reason=reason, reason_by="nhc" if reason else None)

    @rule(one=st.sampled_from(JOBS), state=st.sampled_from(JOB_STATES), priority=st.integers(0, 1))
    def jobs_move(self, one, state, priority):
        self.world.jobs[one] = job(one, state, priority=priority, nodes=NODES[0] if state == "RUNNING" else None)

    @rule(gone=st.sampled_from([*NODES[2:], *JOBS[2:], ALERTS[2]]))
    def something_vanishes(self, gone):
        self.world.alerts.pop(gone, None)
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
        assert len(intents) == len(set(intents)) <= len(self.world.sent)
        assert sum(line["event"] == "result" for line in lines) == len(intents)
        assert not lines or (verify(self.world.path).ok and unfinished(self.world.path) == [])

    def teardown(self):
        self.folder.cleanup()


TestOperators = Operators.TestCase
TestOperators.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

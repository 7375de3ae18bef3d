"""Actions that set something: how it is typed, what each target has and gets, what is refused, and the way back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from collectors.model import Cluster, Partition, Reservation
from console.actions.action import Expected
from console.actions.drift import find_drift
from console.actions.job_actions import limit_text
from console.actions.node_actions import with_ticket
from console.actions.option_parsing import split_options, with_value
from console.actions.options import Guard, Options
from console.actions.plan import Plan, Refusal
from console.actions.registry import ACTIONS, BY_ID
from console.actions.verification import is_done
from console.gate import preview
from console.journal.entries import JournalEntry, join
from console.journal.undo import undo_of
from console.preflight.checks import PreflightReads
from tests.support import make
from tests.support.gate_world import World, job, node
from tests.support.make import NOW

HOUR = 3600
PARTS = {
    "gpu": Partition(name="gpu", state="UP", nodes="gpu[0001-0004]", node_count=4, time_limit_s=48 * HOUR),
    "debug": Partition(name="debug", state="DOWN", nodes="gpu0001", node_count=1, time_limit_s=1800),
}
MAINT = Reservation(name="fw", state="INACTIVE", starts=NOW + 3 * HOUR, ends=NOW + 9 * HOUR, nodes="gpu[0001-0003]",
                    flags=("MAINT",))  # fmt: skip


class Week(World):
    """A small Slurm of which jobs and nodes can be given something."""

    def cluster(self, **more: object) -> Cluster:
        known = frozenset({"nodes", "jobs", "partitions", "reservations"})
        return super().cluster(**{"partitions": PARTS, "reservations": {}, "known": known, **more})

    def plan(
        self, action: str, *targets: str, value: str | None = None, extra: PreflightReads | None = None, **more: object
    ):
        about = {name: more.pop(name) for name in ("reservations", "partitions", "known") if name in more}
        options = with_value(BY_ID[action], Options(value=value, **more))
        self.of = self.gate(guard=Guard(break_pct=100, share_pct=100))
        return self.of.plan(action, targets, None, self.cluster(**about), options, extra)

    def does(self, *words: str, **more: object) -> dict[str, str]:
        plan = self.plan(*words, **more)
        assert isinstance(plan, Plan), plan
        outcome = self.of.send(plan, plan.confirmation.prompt)
        assert outcome.refused is None, outcome.refused
        ended = self.of.follow(outcome, sleep=self.clock.advance)
        return {target: result.state for target, result in ended.results.items()}

    def entries(self) -> dict[str, JournalEntry]:
        return join(self.journal())

    def undo(self):
        entries = self.entries()
        return undo_of(list(entries.values())[-1], entries, self.cluster(), NOW + 60)


@pytest.fixture
def week(tmp_path: Path) -> Week:
    runs = job("1", nodes="gpu0001", node_count=1, partition="gpu", time_limit_s=4 * HOUR)
    waits = [job(str(n), "PENDING", priority=7, partition="gpu", qos="normal", time_limit_s=HOUR, node_count=2, nice=0,
                 excluded="") for n in (2, 3)]  # fmt: skip
    nodes = [node(f"gpu000{n}", features=("h100", "ib")) for n in range(1, 5)]
    nodes[1] = msgspec.structs.replace(nodes[1], comment="ticket=OLD-1 since=2026-01-02 spare PSU")
    return Week(tmp_path, nodes, [runs, *waits])


def texts(plan: Plan) -> str:
    return "\n".join(preview.text(plan))


# -- what is typed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "typed", "read"),
    [
        ("timelimit", "4h", "4:00:00"), ("timelimit", "1h30m", "1:30:00"), ("timelimit", "90m", "1:30:00"),
        ("timelimit", "unlimited", "UNLIMITED"), ("timelimit", " Unlimited ", "UNLIMITED"),
        ("timelimit", "infinite", "UNLIMITED"), ("timelimit", "2-12", "2-12:00:00"), ("timelimit", "+2h", "+2:00:00"),
        ("timelimit", "36:00", "1-12:00:00"), ("timelimit", "36:00:00", "1-12:00:00"),
        ("timelimit", "2-12:00:00", "2-12:00:00"), ("timelimit", "2d", "2-00:00:00"),
        ("jobpartition", " long ", "long"), ("qos", "high", "high"),
        ("nice", "+50", "50"), ("nice", "-100", "-100"), ("nice", "007", "7"),
        ("exclude", "gpu0002,gpu0001", "gpu[0001-0002]"), ("exclude", "none", ""), ("exclude", "", ""),
        ("signal", "sigterm", "TERM"), ("signal", "b:usr1", "B:USR1"), ("notify", ' a  "b" ', 'a "b'),
        ("comment", "spare  PSU", "spare PSU"), ("comment", "-", ""), ("ticket", "KubeGPU-1182", "KubeGPU-1182"),
        ("ticket", "none", ""), ("features", "ib, h100", "h100,ib"), ("features", "none", ""),
    ],
)  # fmt: skip
def test_what_is_typed_is_read_as_slurm_shows_it(action, typed, read):
    assert BY_ID[action].value.parse(typed) == read
    assert with_value(BY_ID[action], Options(), typed).value == read


@pytest.mark.parametrize(
    ("action", "typed"),
    [
        ("timelimit", "4"), ("timelimit", "unlimited!"), ("timelimit", "+"), ("timelimit", "+unlimited"),
        ("timelimit", ""), ("timelimit", "30s"), ("timelimit", "2 years"),
        ("timelimit", "400d"), ("timelimit", "-1:00:00"),
        ("jobpartition", "a b"), ("jobpartition", "ALL"), ("jobpartition", "-x"), ("qos", "$(id)"), ("qos", ""),
        ("nice", "x"), ("nice", "2147483646"), ("nice", "1.5"), ("exclude", "ALL"), ("exclude", "gpu[1-"),
        ("signal", "9"), ("signal", "BOOM"), ("notify", "-v"), ("notify", ""), ("ticket", "a b"), ("ticket", "a;b"),
        ("features", "a b"), ("features", "$(x)"),
    ],
)  # fmt: skip
def test_what_is_nothing_of_the_kind_is_refused_with_what_would_do(action, typed):
    with pytest.raises(ValueError, match=r"."):
        BY_ID[action].value.parse(typed)


def test_a_limit_is_sent_as_squeue_prints_it():
    from collectors.slurm.fields import duration_s

    for seconds in (60, 3600, 86_399, 86_400, 365 * 86_400, 91):
        assert duration_s(limit_text(seconds)) == -(-seconds // 60) * 60


def test_the_word_of_the_command_line():
    options, rest = split_options(["88121", "--value", "4h"])
    assert (options.value, rest) == ("4h", ["88121"])
    assert with_value(BY_ID["drain"], Options()).value is None


# -- from the preview to what is seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "target", "value", "move"),
    [
        ("timelimit", "2", "2h", "time limit    2: 1:00:00 → 2:00:00"),
        ("timelimit", "2", "+2h", "time limit    2: 1:00:00 → 3:00:00"),
        ("jobpartition", "2", "gpu,debug", "partition     2: gpu → gpu,debug"),
        ("qos", "2", "high", "QOS           2: normal → high"),
        ("nice", "2", "100", "nice value    2: 0 → 100"),
        ("exclude", "2", "gpu0003", "list of nodes 2: none → gpu0003"),
        ("comment", "gpu0001", "spare PSU", "comment       gpu0001: none → spare PSU"),
    ],
)
def test_it_is_set_proven_and_taken_back(week, action, target, value, move):
    rows = week.nodes if BY_ID[action].kind == "node" else week.jobs
    before = BY_ID[action].value.current(rows[target])
    assert move in texts(week.plan(action, target, value=value))
    assert week.does(action, target, value=value) == {target: "done"}
    entry = list(week.entries().values())[-1]
    assert entry.values == {target: BY_ID[action].value.current(rows[target])} and entry.seen[target]["value"] == before
    back = week.undo()
    assert (back.action, back.targets, back.options.values) == (action, (target,), {target: before})
    assert week.does(back.action, *back.targets, **msgspec.structs.asdict(back.options)) == {target: "done"}
    assert BY_ID[action].value.current(rows[target]) == before


def test_one_command_sets_many_and_each_has_its_own_way_back(week):
    week.jobs["3"] = msgspec.structs.replace(week.jobs["3"], time_limit_s=7200)
    plan = week.plan("timelimit", "2", "3", value="4h")
    assert plan.confirmation.kind == "count" and plan.change.values == {"2": "4:00:00", "3": "4:00:00"}
    assert week.does("timelimit", "2", "3", value="4h") == {"2": "done", "3": "done"}
    assert week.undo().options.values == {"2": "1:00:00", "3": "2:00:00"}


def test_what_it_has_already_is_left_alone(week):
    plan = week.plan("timelimit", "2", "3", value="1h")
    assert isinstance(plan, Refusal) and plan.why == "2, 3: its time limit is that already"
    assert isinstance(week.plan("timelimit", "2"), Refusal) and "a time limit is required: 4h" in week.plan(
        "timelimit", "2").why  # fmt: skip
    assert week.plan("cancel", "2", values={"2": "x"}).why == "cancel takes no value"


def test_an_undo_leaves_alone_what_somebody_set_since(week):
    week.does("timelimit", "2", "3", value="4h")
    week.jobs["3"] = msgspec.structs.replace(week.jobs["3"], time_limit_s=9000)
    back = week.undo()
    assert back.targets == ("2",) and "it has another time limit now: 2:30:00" in " ".join(back.notes)
    week.jobs["2"] = msgspec.structs.replace(week.jobs["2"], time_limit_s=3600)
    assert "its time limit is as before" in week.undo()


def test_what_was_changed_meanwhile_is_not_overwritten(week):
    plan = week.plan("comment", "gpu0001", value="mine")
    week.nodes["gpu0001"] = msgspec.structs.replace(week.nodes["gpu0001"], comment="theirs")
    outcome = week.of.send(plan, "y")
    assert week.sent == [] and "its comment was changed meanwhile: theirs" in outcome.refused


def test_what_no_poll_holds_is_not_a_change():
    # The poll knows no nice value, what was read by name does.
    before, now = job("2", "PENDING", priority=1), job("2", "PENDING", priority=1, nice=5)
    assert find_drift(BY_ID["nice"], make.cluster(), before, now) is None
    assert (
        is_done("nice", before, now, Expected(value="5")) is True
        and is_done("nice", before, now, Expected(value="6")) is False
    )


def test_what_no_poll_holds_is_read_before_it_is_planned(week):
    poor = make.cluster(jobs=[msgspec.structs.replace(week.jobs["2"], nice=None, excluded=None)])
    plan = week.gate().plan("nice", ["2"], None, poor, Options(value="5"), PreflightReads(rows={"2": week.jobs["2"]}))
    assert isinstance(plan, Plan) and "2: 0 → 5" in texts(plan)
    assert "2: unknown → 5" in texts(week.gate().plan("nice", ["2"], None, poor, Options(value="5")))


# -- time limits ------------------------------------------------------------------------------------------------------


def test_a_limit_that_would_kill_is_refused(week):
    for value in ("30m", "1h", "1h5m"):
        plan = week.plan("timelimit", "1", value=value)
        assert isinstance(plan, Refusal) and "it has run 1h 00m: that would kill it" in plan.why, value
    week.jobs["1"] = msgspec.structs.replace(week.jobs["1"], started=None)
    assert week.plan("timelimit", "1", value="2h").can_break_glass, "when it began is not known: only against the glass"
    assert isinstance(week.plan("timelimit", "1", value="5h"), Plan), "longer kills nothing"


def test_a_lower_limit_says_when_it_ends(week):
    assert "it would be killed 2h 00m sooner, in 60m" in texts(week.plan("timelimit", "1", value="2h")).replace(
        "in 1h 00m", "in 60m")  # fmt: skip


def test_a_limit_that_runs_into_a_maintenance_is_told(week):
    booked = {"fw": MAINT}
    said = texts(week.plan("timelimit", "1", value="6h", reservations=booked))
    assert "it would run into the maintenance fw of 1 of its nodes" in said
    assert "fw" not in texts(week.plan("timelimit", "1", value="3h", reservations=booked)), "it ends before"
    said = texts(week.plan("timelimit", "2", value="6h", reservations=booked))
    assert "it could no longer start before the maintenance fw begins" in said, "one node is left, it asks for two"
    small = msgspec.structs.replace(MAINT, nodes="gpu0001", flags=())
    said = texts(week.plan("timelimit", "2", value="6h", reservations={"fw": small}))
    assert "1 of 4 nodes of gpu would be closed to it: reservation fw" in said
    over = msgspec.structs.replace(MAINT, starts=NOW - 60)
    assert "fw" not in texts(week.plan("timelimit", "2", value="6h", reservations={"fw": over})), "it is under way"
    assert "whether a reservation is in its way" in texts(
        week.plan("timelimit", "2", value="6h", known=frozenset({"jobs", "nodes"})))  # fmt: skip


def test_a_limit_beyond_the_partitions_is_told(week):
    assert "longer than gpu allows" in texts(week.plan("timelimit", "2", value="3d"))


def test_no_limit_at_all_is_offered_with_what_it_means_and_taken_back(week):
    booked = {"fw": MAINT}
    said = texts(plan := week.plan("timelimit", "1", "2", value="unlimited", reservations=booked))
    assert "1: no reservation and no maintenance bounds it: each that begins on its nodes finds it there" in said
    assert "2: no reservation and no maintenance bounds it: it starts on no node that one will need" in said
    assert "it would run into the maintenance fw of 1 of its nodes" in said and "longer than gpu allows" in said
    assert plan.change.values == {"1": "UNLIMITED", "2": "UNLIMITED"} and "4:00:00 → UNLIMITED" in said
    assert week.does("timelimit", "1", "2", value="unlimited") == {"1": "done", "2": "done"}
    assert week.jobs["1"].unlimited and week.jobs["1"].time_limit_s is None
    assert "its time limit is that already" in week.plan("timelimit", "1", value="unlimited").why
    found = week.undo()
    assert found.options.values == {"1": "4:00:00", "2": "1:00:00"}


def test_a_limit_that_is_not_known_is_no_unlimited_one(week):
    """Its proof must be read: that nobody tells a limit proves nothing."""
    week.jobs["1"] = msgspec.structs.replace(week.jobs["1"], time_limit_s=None)
    plan = week.plan("timelimit", "1", value="unlimited")
    assert isinstance(plan, Plan) and plan.change.targets == ("1",)
    week.do = lambda change, name: None
    assert week.does("timelimit", "1", value="unlimited") == {"1": "unknown"}


# -- partitions, nodes ------------------------------------------------------------------------------------------------


def test_a_partition_must_be_there(week):
    plan = week.plan("jobpartition", "2", value="nowhere")
    assert isinstance(plan, Refusal) and "there is no partition nowhere; there is gpu, debug" in plan.why
    said = texts(week.plan("jobpartition", "2", value="debug"))
    assert "debug is DOWN" in said and "its time limit is longer" in said and "it asks for 2 nodes, debug has 1" in said
    assert "only a waiting job" in week.plan("jobpartition", "1", value="debug").why


def test_excluded_nodes_must_be_there(week):
    assert "unknown nodes: gpu0009" in week.plan("exclude", "2", value="gpu0009").why
    assert "that leaves 1 nodes of gpu, it asks for 2" in texts(week.plan("exclude", "2", value="gpu[0001-0003]"))


# -- tickets ----------------------------------------------------------------------------------------------------------


def test_a_ticket_keeps_what_else_stands_there(week):
    assert week.does("ticket", "gpu0001", "gpu0002", value="KubeGPU-1182") == dict.fromkeys(
        ("gpu0001", "gpu0002"), "done")  # fmt: skip
    day = week.nodes["gpu0001"].comment
    assert day == "ticket=KubeGPU-1182 since=2026-11-18" and week.nodes["gpu0002"].comment == f"{day} spare PSU"
    back = week.undo()
    assert back.action == "comment" and back.options.values["gpu0002"] == "ticket=OLD-1 since=2026-01-02 spare PSU"
    assert with_ticket(week.nodes["gpu0002"], "", NOW) == "spare PSU"
    assert with_ticket(node("n", comment="myticket=x"), "A-1", NOW) == "ticket=A-1 since=2026-11-18 myticket=x"


# -- messages ---------------------------------------------------------------------------------------------------------


def test_a_message_goes_once_to_each_user(week):
    for id, user in (("4", "bob"), ("5", "alice"), ("6", "bob")):
        week.jobs[id] = job(id, user=user, nodes="gpu0001")
    plan = week.plan("notify", "1", "4", "5", "6", value="gpu0001 goes down; your jobs {jobs} are on it")
    assert plan.change.values == {
        "1": "gpu0001 goes down; your jobs 1, 5 are on it", "4": "gpu0001 goes down; your jobs 4, 6 are on it",
    }  # fmt: skip
    said = texts(plan)
    assert "to alice: gpu0001 goes down; your jobs 1, 5" in said and "6: its user gets the message through 4" in said
    assert week.does("notify", "1", "4", value="x") == {"1": "sent", "4": "sent"}
    assert "notify cannot be undone" in week.undo()


def test_a_draft_says_what_goes_out_and_why(week):
    from console.actions.user_messages import draft

    assert draft(week.cluster(), ["1"]) == "your jobs {jobs}: "
    week.nodes["gpu0001"] = node("gpu0001", "ALLOCATED+DRAIN", reason="XID 79")
    assert draft(week.cluster(), ["1"]) == "gpu0001 goes down for repair (XID 79); your jobs {jobs} are on it"


# -- signals, suspensions ---------------------------------------------------------------------------------------------


def test_a_signal_is_counted_like_a_kill_and_ends_with_what_slurm_said(week):
    plan = week.plan("signal", "1", value="USR1")
    assert plan.kills and plan.confirmation.kind == "count" and [hit.id for hit in plan.jobs] == ["1"]
    assert "one that does not handle USR1 dies of it" in texts(plan)
    assert week.does("signal", "1", value="USR1") == {"1": "sent"} and week.sent[0].values == {"1": "USR1"}
    assert "no process of it runs: PENDING" in week.plan("signal", "2", value="USR1").why


def test_suspend_says_what_stays(week):
    plan = week.plan("suspend", "1")
    assert plan.confirmation.kind == "count" and "of the GPUs too, stays there" in texts(plan)
    suspended = msgspec.structs.replace(week.jobs["1"], state="SUSPENDED")
    assert is_done("suspend", week.jobs["1"], suspended, Expected()) and not is_done(
        "unsuspend", suspended, suspended, Expected()
    )
    assert BY_ID["unsuspend"].refuse(week.cluster(), week.jobs["1"]) == "not suspended: RUNNING"
    assert BY_ID["suspend"].refuse(week.cluster(), suspended) == "already suspended"


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [one.id for one in ACTIONS if one.value is not None])
def test_every_value_tells_how_it_is_typed(action):
    one = BY_ID[action]
    assert one.value.noun and one.value.example and (one.unverifiable or one.inverse), (
        "it is undone by what it was before"
    )
    assert one.inverse is None or BY_ID[one.inverse].value is not None


def test_what_a_transport_does_not_tell_is_unknown_at_once():
    before = job("2", "PENDING", priority=1)
    assert (
        is_done("nice", before, before, Expected(value="5")) is None
        and is_done("qos", before, before, Expected(value="high")) is False
    )

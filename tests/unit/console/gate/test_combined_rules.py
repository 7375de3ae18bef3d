"""Rules of the gate that meet in one action: two partitions, broken glass and a refusal, an incident and a kill."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from collectors.alertmanager.requests import INCIDENT
from collectors.model import Change, Matcher, Node, Partition, Reservation, Rights, Sent, Silence
from console.actions.incident import DURATION_S, Scope
from console.actions.options import Guard, Options
from console.actions.plan import Confirmation, Plan, Refusal
from console.actions.registry import BY_ID
from console.gate import preview
from console.gate.confirmation import required
from console.gate.outcome import Outcome, SendResult
from console.journal.writer import JournalFault
from console.preflight.checks import Check, PreflightReads
from tests.support import make
from tests.support.gate_world import World, job, node, planned
from tests.support.journal_entries import Book
from tests.support.make import NOW

HUNDRED = [f"gpu{number:04d}" for number in range(1, 101)]

# -- a node in two partitions -----------------------------------------------------------------------------------------


def two(folder: Path, *parts: str) -> World:
    """A hundred nodes of "all", the first 25 of them in "gpu" as well; each node names its partitions in this order."""
    own = [parts if number < 25 else ("all",) for number in range(100)]
    return World(folder, [node(name, partitions=of) for name, of in zip(HUNDRED, own, strict=True)])


@pytest.mark.parametrize("parts", [("all", "gpu"), ("gpu", "all")])
@pytest.mark.parametrize(
    ("count", "confirm"),
    [
        (2, Confirmation("count", 2)), (5, Confirmation("count", 5)),
        (6, Confirmation("break", 6, "gpu", "it takes 24 % of gpu out, more than 20 %")),
        (7, Confirmation("break", 7, "gpu", "it takes 28 % of gpu out, more than 20 %")),
    ],
)  # fmt: skip
def test_the_partition_that_loses_most_decides_whichever_a_node_names_first(tmp_path, parts, count, confirm):
    world = two(tmp_path, *parts)
    plan = planned(world.gate(), "drain", *HUNDRED[:count], cluster=world.cluster())
    assert plan.confirmation == confirm
    assert {share.partition: (share.newly_out, share.healthy) for share in plan.shares} == {
        "all": (count, 100), "gpu": (count, 25),
    }  # fmt: skip


@pytest.mark.parametrize("parts", [("all", "gpu"), ("gpu", "all")])
def test_a_count_does_not_answer_for_the_second_partition(tmp_path, parts):
    world = two(tmp_path, *parts)
    gate = world.gate()
    plan = planned(gate, "drain", *HUNDRED[:7], cluster=world.cluster())
    assert gate.send(plan, "7").refused == "not confirmed: gpu was asked for; nothing was sent" and world.sent == []
    plan = planned(gate, "drain", *HUNDRED[:7], cluster=world.cluster())
    assert gate.send(plan, "gpu").refused is None and len(world.sent[0].targets) == 7


@pytest.mark.parametrize("parts", [("all", "gpu"), ("gpu", "all")])
def test_the_second_partition_is_weighed_again_before_a_send(tmp_path, parts):
    """Five of 25 are a fifth; once three others of gpu are down they are more, of "all" still 5 %."""
    world = two(tmp_path, *parts)
    gate = world.gate()
    plan = planned(gate, "drain", *HUNDRED[:5], cluster=world.cluster())
    assert plan.confirmation == Confirmation("count", 5)
    for name in HUNDRED[20:23]:
        world.node(name, "DOWN", reason="power", partitions=parts)
    refused = gate.send(plan, "5").refused or ""
    assert "by now it takes 23 % of gpu out (5 of 22 healthy nodes)" in refused and world.sent == []


def test_what_is_out_of_the_second_partition_is_told(tmp_path):
    world = two(tmp_path, "all", "gpu")
    plan = planned(world.gate(), "drain", *HUNDRED[:7], cluster=world.cluster())
    told = "\n".join(preview.text(plan))
    assert "all: 7 of 100 healthy nodes newly out" in told and "gpu: 7 of 25 healthy nodes newly out" in told


# -- glass, incidents and what they never ease ------------------------------------------------------------------------


def limit(world: World, value: str, *targets: str, **more: object) -> Plan | Refusal:
    known = frozenset({"nodes", "jobs", "partitions", "reservations"})
    part = {"gpu": Partition(name="gpu", state="UP", nodes="gpu[0001-0002]", node_count=2)}
    cluster = world.cluster(partitions=part, reservations={}, known=known)
    return world.gate().plan("timelimit", targets, "x", cluster, Options(value=value, **more))


def test_break_glass_never_lets_in_what_is_refused(tmp_path):
    """A limit below the elapsed time kills the job: that is a cancel, whatever is broken."""
    ran = job("1", nodes="gpu0001", partition="gpu", time_limit_s=7200)
    young = job("2", nodes="gpu0002", partition="gpu", time_limit_s=7200, started=NOW - 60)
    world = World(tmp_path, [node("gpu0001"), node("gpu0002")], [ran, young])
    alone = limit(world, "30:00", "1", break_glass=True)
    assert isinstance(alone, Refusal) and "it has run 1h 00m: that would kill it at once" in alone.why
    assert not alone.can_break_glass, "breaking the glass would not help, so it is not offered"
    both = limit(world, "30:00", "1", "2", break_glass=True)
    assert isinstance(both, Plan) and both.change.targets == ("2",) and [one.target for one in both.skipped] == ["1"]


def test_break_glass_lets_in_what_the_preflight_only_speaks_against(tmp_path):
    unknown = job("1", nodes="gpu0001", partition="gpu", time_limit_s=7200, started=None)
    world = World(tmp_path, [node("gpu0001")], [unknown])
    kept = limit(world, "30:00", "1")
    assert isinstance(kept, Refusal) and kept.can_break_glass and "when it began is not known" in kept.why
    plan = limit(world, "30:00", "1", break_glass=True)
    assert isinstance(plan, Plan) and plan.confirmation.kind == "break" and plan.confirmation.word.startswith("anyway")


def inside(folder: Path, *nodes: Node) -> Plan:
    """A drain of these, all within an incident that was declared here."""
    names = [one.name for one in nodes]
    comment = f"incident R01: cooling nodes {','.join(names)}"
    held = {"s1": Silence(id="s1", state="active", matchers=(Matcher(INCIDENT, "R01"),), starts=NOW,
                          ends=NOW + DURATION_S, by="jdv",
                          comment=comment)}  # fmt: skip
    world = World(folder, nodes)
    gate = world.gate()
    gate._scopes = (Scope(name="R01", nodes=frozenset(names), by="jdv", ends=NOW + DURATION_S),)
    return planned(gate, "drain", *names, cluster=world.cluster(silences=held))


@pytest.mark.parametrize("state", ["POWERED_DOWN+IDLE", "IDLE+POWERING_UP", "IDLE+POWERING_DOWN"])
def test_an_incident_never_eases_a_drain_that_kills(tmp_path, state):
    """A drain of a node that is powered down, or on its way, kills the jobs that wait for it there."""
    spares = inside(tmp_path, node("gpu0001"), node("gpu0002"))
    assert spares.incident == "R01" and spares.confirmation == Confirmation("plain", 2)
    kills = inside(tmp_path, node("gpu0001"), node("gpu0002", state))
    assert kills.kills and kills.incident == "" and kills.confirmation == Confirmation("count", 2)
    alone = inside(tmp_path, node("gpu0002", state))
    assert alone.incident == "" and alone.confirmation == Confirmation("count", 1)


# -- what changed between the preview and the answer ------------------------------------------------------------------


@pytest.mark.parametrize("who", [None, "jdv", "1003"])
@pytest.mark.parametrize(("action", "before", "now"), [
    ("undrain", "IDLE+DRAIN", "IDLE+DRAIN"), ("drain", "IDLE", "IDLE"), ("down", "IDLE", "IDLE"),
    ("reboot", "IDLE", "IDLE"), ("resume", "DOWN", "DOWN"),
])  # fmt: skip
def test_a_newer_reason_stops_the_action_even_where_its_author_is_unknown(tmp_path, who, action, before, now):
    world = World(tmp_path, [node("gpu0001", before, reason="fan tray", reason_by="jdv"), node("gpu0002", before)])
    gate = world.gate()
    plan = planned(gate, action, "gpu0001", "gpu0002", cluster=world.cluster())
    world.node("gpu0001", now, reason="do not touch: cable on order", reason_by=who)
    outcome = gate.send(plan, plan.confirmation.prompt)
    dropped = outcome.results["gpu0001"]
    assert dropped.state == "dropped" and "another reason was set meanwhile" in dropped.why
    assert [change.targets for change in world.sent] == [("gpu0002",)]


def test_a_reservation_is_not_planned_without_a_node_that_is_left_out(tmp_path):
    """It is for all of its nodes or for none: with one node less it would be another reservation."""
    world = World(tmp_path, [node("gpu0001"), node("gpu0002"), node("gpu0003", "FUTURE")])
    known = frozenset({"nodes", "jobs", "partitions", "reservations"})
    part = {"gpu": Partition(name="gpu", state="UP")}
    cluster = world.cluster(partitions=part, reservations={}, known=known)
    options = Options(settings={"name": "x", "users": "bob"}, seconds=3600)
    whole = world.gate().plan("reserve", ["gpu0001", "gpu0002"], "x", cluster, options)
    assert isinstance(whole, Plan), whole
    refused = world.gate().plan("reserve", ["gpu0001", "gpu0002", "gpu0003"], "x", cluster, options)
    assert isinstance(refused, Refusal) and "gpu0003" in refused.why and "FUTURE" in refused.why


# -- what became of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rc", "states"),
    [
        (0, ["failed", "pending", "pending"]), (1, ["failed", "pending", "pending"]),
        (None, ["failed", "unknown", "unknown"]),
    ],
)  # fmt: skip
def test_without_an_answer_what_was_not_refused_is_unknown(tmp_path, rc, states):
    world = World(tmp_path, [node(name) for name in HUNDRED[:3]])
    world.rc, world.refuses, world.err = rc, {HUNDRED[0]: "Invalid node name"}, "Invalid node name"
    gate = world.gate()
    plan = planned(gate, "drain", *HUNDRED[:3], cluster=world.cluster())
    outcome = gate.send(plan, plan.confirmation.word)
    assert [outcome.results[name].state for name in HUNDRED[:3]] == states
    assert outcome.results[HUNDRED[0]] == SendResult("failed", "Invalid node name")
    assert {one.target for one in outcome.waiting} == set(HUNDRED[1:3]), "unknown is read back too"
    told = world.journal()[-1]["outcome"]
    assert [told[name]["state"] for name in HUNDRED[:3]] == states


@pytest.mark.parametrize("count", [50, 51, 120])
def test_a_kill_with_values_goes_in_batches_each_with_the_values_of_its_own(tmp_path, count):
    ids = [str(number) for number in range(1, count + 1)]
    world = World(tmp_path, [node("gpu0001")], [job(id, nodes="gpu0001") for id in ids])
    gate = world.gate(guard=Guard(batch=50))
    values = {id: "TERM" if int(id) % 2 else "KILL" for id in ids}
    plan = gate.plan("signal", ids, None, world.cluster(), Options(values=values))
    assert isinstance(plan, Plan) and plan.kills and plan.confirmation == Confirmation("count", count)
    world.do = lambda change, name: None  # type: ignore[method-assign]
    assert gate.send(plan, str(count)).refused is None
    sizes = [len(change.targets) for change in world.sent]
    assert sizes == [50] * (count // 50) + ([count % 50] if count % 50 else [])
    assert all(change.values == {id: values[id] for id in change.targets} for change in world.sent)
    assert [id for change in world.sent for id in change.targets] == ids


def test_a_kill_with_reasons_goes_in_batches_each_with_the_reasons_of_its_own(tmp_path):
    nodes = [node(name, "IDLE+DRAIN", reason=f"fan {name}", reason_by="jdv") for name in HUNDRED]
    world = World(tmp_path, nodes)
    gate = world.gate(guard=Guard(batch=40))
    plan = planned(gate, "down", *HUNDRED, cluster=world.cluster())
    assert gate.send(plan, plan.confirmation.prompt).refused is None
    assert [len(change.targets) for change in world.sent] == [40, 40, 20]
    assert all(set(change.reasons) == set(change.targets) for change in world.sent)


def test_reboots_go_in_batches_each_with_the_next_state_of_its_own(tmp_path):
    world = World(tmp_path, [node(name, "IDLE" if at % 2 else "DOWN") for at, name in enumerate(HUNDRED)])
    gate = world.gate(guard=Guard(batch=40, break_pct=100))
    plan = planned(gate, "reboot-now", *HUNDRED, cluster=world.cluster())
    assert gate.send(plan, plan.confirmation.prompt).refused is None
    assert [len(change.targets) for change in world.sent] == [40, 40, 20]
    for change in world.sent:
        assert list(change.next_state) == list(change.targets)
        assert {change.next_state[name] for name in change.targets} == {"RESUME", "DOWN"}


def test_power_goes_in_batches_though_it_kills_nothing(tmp_path):
    world = World(tmp_path, [node(name) for name in HUNDRED])
    gate = world.gate(guard=Guard(batch=40, break_pct=100))
    plan = planned(gate, "powerdown", *HUNDRED, cluster=world.cluster())
    assert not plan.kills and gate.send(plan, plan.confirmation.prompt).refused is None
    assert [len(change.targets) for change in world.sent] == [40, 40, 20]


@pytest.mark.parametrize(("rc", "state"), [(0, "sent"), (None, "unknown")])
def test_what_no_reading_can_show_is_not_waited_for(tmp_path, rc, state):
    world = World(tmp_path, [node("gpu0001")], [job("1", nodes="gpu0001")])
    world.rc, world.deaf = rc, True
    gate = world.gate()
    plan = gate.plan("signal", ["1"], None, world.cluster(), Options(value="TERM"))
    assert isinstance(plan, Plan)
    outcome = gate.send(plan, "1")
    assert outcome.results["1"].state == state and outcome.waiting == ()


def test_an_error_of_the_controller_stops_the_batches(tmp_path):
    ids = [str(number) for number in range(1, 101)]
    world = World(tmp_path, [node("gpu0001")], [job(id, nodes="gpu0001") for id in ids])
    gate = world.gate(guard=Guard(batch=40))
    plan = planned(gate, "cancel", *ids, cluster=world.cluster())
    batches: list[Change] = []

    def silent(change: Change) -> list[Sent]:
        batches.append(change)
        return [Sent(argv=("scancel",), targets=change.targets, rc=1, err="Unable to contact slurmctld", fatal=True)]

    world.send = silent  # type: ignore[method-assign]
    outcome = gate.send(plan, "100")
    assert len(batches) == 1, (
        "one that refuses single jobs goes on, a controller that is away does not come back for more"
    )
    assert {outcome.results[id].state for id in ids[40:]} == {"dropped"}
    assert "stopped after Unable to contact slurmctld" in outcome.results["100"].why


# -- the gate itself --------------------------------------------------------------------------------------------------


def test_a_gate_that_became_read_only_sends_nothing_that_was_planned_before(tmp_path):
    world = World(tmp_path, [node("gpu0001")])
    gate = world.gate()
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster())
    gate.read_only = True
    assert gate.send(plan, "y").refused == gate.read_only_reason and world.sent == [] and world.journal() == []


def test_a_read_only_gate_writes_down_nothing_that_it_read_back(tmp_path):
    world = World(tmp_path, [node("gpu0001", "IDLE+DRAIN", reason="x")])
    orphan = Book().act("a", "drain", [node("gpu0001")], None, "x").entries["a"]
    gate = world.gate(read_only=True)
    with pytest.raises(JournalFault, match="nothing is written down"):
        gate.settle_orphan(orphan)
    assert world.journal() == [] and world.reads == 0
    world.gate().settle_orphan(orphan)
    assert [line["event"] for line in world.journal()] == ["result"]


def test_a_plan_whose_new_reason_is_refused_can_still_be_given_another(tmp_path):
    world = World(tmp_path, [node("gpu0001")])
    gate = world.gate()
    plan = gate.plan("drain", ["gpu0001"], None, world.cluster())
    assert isinstance(plan, Plan)
    refused = gate.with_reason(plan, "state=idle")
    assert isinstance(refused, Refusal), "a filter is no reason"
    ready = gate.with_reason(plan, "bad DIMM")
    assert isinstance(ready, Plan) and gate.send(ready, "y").refused is None
    assert isinstance(gate.with_reason(plan, "again"), Refusal), "the first plan is spent"


def test_what_is_asked_again_in_two_parts_needs_no_smaller_answer_than_all_of_it(tmp_path):
    """15 of 94 healthy nodes take a count, with the 6 that came back they are 21 of 100: that takes the word."""
    world = World(tmp_path, [node(name, "DOWN" if at < 6 else "IDLE") for at, name in enumerate(HUNDRED)])
    gate = world.gate()
    plan = planned(gate, "drain", *HUNDRED[:21], cluster=world.cluster())
    assert plan.confirmation == Confirmation("count", 21)
    for name in HUNDRED[:6]:
        world.node(name, "IDLE")
    outcome = gate.send(plan, "21")
    assert (outcome.refused or "").startswith("nothing was sent") and world.sent == []
    assert set(outcome.reconfirm) == set(HUNDRED[:21]), "all of them are asked again, together"
    again = gate.replan(outcome, world.cluster())
    assert isinstance(again, Plan) and again.confirmation.kind == "break"


@pytest.mark.parametrize(
    ("read_s", "refused"), [(0.0, False), (29.0, False), (31.0, True), (None, True)]
)  # fmt: skip
def test_without_a_reader_facts_that_are_old_or_of_unknown_age_are_not_acted_on(tmp_path, read_s, refused):
    world = World(tmp_path, [node("gpu0001")])
    gate = world.gate(transport=None)
    more = {} if read_s is not None else {"sources": {}}
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster(**more))
    world.clock.advance(read_s or 0.0)
    outcome = gate.send(plan, "y")
    assert ("too old" in (outcome.refused or "")) is refused and (world.sent == []) is refused


def test_a_node_on_which_no_job_is_found_has_no_new_job(tmp_path):
    """Slurm's state is behind, or the job ended meanwhile: the list of jobs was read, and it is empty."""
    world = World(tmp_path, [node("gpu0001"), node("gpu0002")])
    gate = world.gate(guard=Guard(share_nodes=2))
    plan = planned(gate, "down", "gpu0001", "gpu0002", cluster=world.cluster())
    world.node("gpu0001", "MIXED")
    world.node("gpu0002", "MIXED")
    world.jobs["7"] = job("7", nodes="gpu0002")
    outcome = gate.send(plan, plan.confirmation.prompt)
    assert outcome.results["gpu0002"] == SendResult("dropped", "a job started there meanwhile: 7")
    assert [change.targets for change in world.sent] == [("gpu0001",)]


THEIRS = Silence(id="s1", state="active", matchers=(Matcher("alertname", "NodeDown"),), starts=NOW, ends=NOW + 3600,
                 by="jdv", comment="PDU work")  # fmt: skip
BOOKED = Reservation(name="fw", state="ACTIVE", starts=NOW, ends=NOW + 3600, nodes="gpu[0001-0002]", users="alice",
                     accounts="ml", flags=("MAINT",), partition="gpu")  # fmt: skip


def lift_or_unreserve(folder: Path, action: str, before: Silence | Reservation, now: Silence | Reservation) -> Outcome:
    """What comes of it where the target is as `now` once it is answered."""
    kind = "silences" if isinstance(before, Silence) else "reservations"
    name = before.id if isinstance(before, Silence) else before.name
    world = World(folder, [node("gpu0001")])
    world.read_reservations = world.read_silences = lambda names: {name: now}  # type: ignore[attr-defined]
    world.do = lambda change, target: None  # type: ignore[method-assign]
    gate = world.gate()
    known = frozenset({"nodes", "jobs", "silences", "reservations", "alerts"})
    cluster = world.cluster(**{kind: {name: before}, "known": known})
    plan = gate.plan(action, [name], "x", cluster)
    assert isinstance(plan, Plan), plan
    outcome = gate.send(plan, plan.confirmation.prompt)
    assert (world.sent == []) is (outcome.refused is not None)
    return outcome


@pytest.mark.parametrize(
    "more",
    [{"matchers": (Matcher("alertname", "NodeHot"),)}, {"ends": NOW + 7200}, {"by": "ann"}, {"comment": "mine now"}],
)
def test_a_silence_that_was_changed_meanwhile_is_not_ended(tmp_path, more):
    assert lift_or_unreserve(tmp_path, "lift", THEIRS, THEIRS).refused is None
    changed = lift_or_unreserve(tmp_path, "lift", THEIRS, msgspec.structs.replace(THEIRS, **more))
    assert "it was changed meanwhile" in (changed.refused or "")


@pytest.mark.parametrize(
    "more",
    [{"starts": NOW + 60}, {"ends": NOW + 7200}, {"nodes": "gpu[0001-0004]"}, {"users": "bob"}, {"accounts": "bio"},
     {"flags": ("MAINT", "IGNORE_JOBS")}, {"partition": "all"}],
)  # fmt: skip
def test_a_reservation_that_was_changed_meanwhile_is_left_alone(tmp_path, more):
    assert lift_or_unreserve(tmp_path, "unreserve", BOOKED, BOOKED).refused is None
    begun = msgspec.structs.replace(BOOKED, state="INACTIVE")
    assert lift_or_unreserve(tmp_path, "unreserve", BOOKED, begun).refused is None, "that moves by itself"
    changed = lift_or_unreserve(tmp_path, "unreserve", BOOKED, msgspec.structs.replace(BOOKED, **more))
    assert f"its {next(iter(more))} was changed meanwhile" in (changed.refused or "")


# -- what is asked for, of itself -------------------------------------------------------------------------------------


def test_nodes_of_a_second_partition_that_are_not_named_are_read_again_too(tmp_path):
    """Six of 31 in "small" take the count; once six nodes that are in "small" alone are down they are 6 of 25."""
    parts = [("big", "small")] * 25 + [("small",)] * 6 + [("big",)] * 69
    world = World(tmp_path, [node(name, partitions=of) for name, of in zip(HUNDRED, parts, strict=True)])
    gate = world.gate()
    plan = planned(gate, "drain", *HUNDRED[:6], cluster=world.cluster())
    assert plan.confirmation == Confirmation("count", 6)
    for name in HUNDRED[25:31]:
        world.node(name, "DOWN", partitions=("small",))
    assert "24 % of small out" in (gate.send(plan, "6").refused or "") and world.sent == []


def test_three_nodes_are_weighed_again_two_need_no_figure(tmp_path):
    world = World(tmp_path, [node(name) for name in HUNDRED])
    gate = world.gate()
    three = planned(gate, "drain", *HUNDRED[:3], cluster=world.cluster())
    two_ = planned(gate, "drain", *HUNDRED[:2], cluster=world.cluster())
    for name in HUNDRED[12:]:
        world.node(name, "DOWN")
    assert "25 % of gpu out" in (gate.send(three, "3").refused or "") and world.sent == []
    assert gate.send(two_, "2").refused is None


def test_an_incident_eases_nothing_that_the_preflight_speaks_against():
    acting = {"gpu0001": node("gpu0001"), "gpu0002": node("gpu0002")}
    silence = Silence(id="s1", state="active", matchers=(Matcher(INCIDENT, "R01"),), starts=NOW, ends=NOW + DURATION_S,
                      by="jdv", comment="incident R01: x nodes gpu0001,gpu0002")  # fmt: skip
    cluster = make.cluster(nodes=acting, silences=[silence])
    scope = Scope(name="R01", nodes=frozenset(acting), by="jdv", ends=NOW + DURATION_S)
    for level, eased in (("warn", "R01"), ("bad", "")):
        found = required(
            BY_ID["drain"], acting, cluster, [Check("gpu0001", level, "completing")], Guard(), [scope], NOW
        )
        assert found[2] == eased and found[1].kind == ("plain" if eased else "break")
    bad = [Check("gpu0001", "bad", "completing")]
    assert required(BY_ID["down"], acting, cluster, bad, Guard(), [], NOW)[1].word == "anyway 2", (
        "a kill takes its count"
    )
    assert required(BY_ID["drain"], acting, cluster, bad, Guard(), [], NOW)[1].word == "anyway"


def test_power_takes_its_count_even_of_one(tmp_path):
    world = World(tmp_path, [node(name) for name in HUNDRED])
    assert planned(world.gate(), "powerdown", "gpu0001", cluster=world.cluster()).confirmation == Confirmation(
        "count", 1
    )


def test_nodes_that_are_out_and_stay_out_take_no_new_answer_when_an_incident_ends(tmp_path):
    held = {"s1": Silence(id="s1", state="active", matchers=(Matcher(INCIDENT, "R01"),), starts=NOW,
                          ends=NOW + DURATION_S, by="jdv",
                          comment=f"incident R01: cooling nodes {','.join(HUNDRED)}")}  # fmt: skip
    world = World(tmp_path, [node(name, "DOWN", reason="cooling", reason_by="root") for name in HUNDRED])
    gate = world.gate()
    gate._scopes = (Scope(name="R01", nodes=frozenset(HUNDRED), by="jdv", ends=NOW + DURATION_S),)
    world.read_silences_of = lambda label, values: {}  # type: ignore[attr-defined]
    plan = planned(gate, "drain", *HUNDRED[:40], cluster=world.cluster(silences=held))
    assert plan.incident == "R01" and gate.send(plan, "y").refused is None and len(world.sent[0].targets) == 40


def test_another_users_job_is_left_alone_without_the_right_to_it(tmp_path):
    world = World(tmp_path, [node("gpu0001")], [job("1", nodes="gpu0001"), job("2", nodes="gpu0001", user="bob")])
    rights = Rights(user="bob", level="no admin", nodes=False, jobs=False)
    plan = planned(world.gate(), "cancel", "1", "2", cluster=world.cluster(rights=rights))
    assert plan.change.targets == ("2",) and [one.target for one in plan.skipped] == ["1"]


def test_what_comes_back_in_waves_takes_the_count(tmp_path):
    world = World(tmp_path, [node(name, "DOWN", reason="power") for name in HUNDRED])
    gate = world.gate(guard=Guard(plain_most=500))
    assert planned(gate, "resume", *HUNDRED[:99], cluster=world.cluster()).confirmation == Confirmation("plain", 99)
    plan = planned(gate, "resume", *HUNDRED, cluster=world.cluster())
    assert plan.waves is not None and plan.confirmation == Confirmation("count", 100)


def test_a_cancel_leaves_out_the_component_that_would_take_others_with_it(tmp_path):
    parts = [job(f"105+{at}", "PENDING", reason="Priority") for at in range(2)]
    world = World(tmp_path, [node("gpu0001")], [*parts, job("7", nodes="gpu0001")])
    plan = planned(world.gate(), "cancel", "7", "105+0", cluster=world.cluster())
    assert plan.change.targets == ("7",) and [one.target for one in plan.skipped] == ["105+0"]
    whole = planned(world.gate(), "cancel", "105+0", "105+1", cluster=world.cluster())
    assert whole.change.targets == ("105+0", "105+1")


def test_nodes_that_were_never_read_are_not_planned_on_though_jobs_were(tmp_path):
    world = World(tmp_path, [node("gpu0001")])
    refused = world.gate().plan("drain", ["gpu0001"], "x", world.cluster(known=frozenset({"jobs"})))
    assert isinstance(refused, Refusal) and "the nodes of lab were never read" in refused.why


def test_an_old_reason_leaves_half_of_the_room_to_the_new_one(tmp_path):
    world = World(tmp_path, [node("gpu0001", "IDLE+DRAIN", reason="x" * 950, reason_by="jdv")])
    plan = planned(world.gate(), "down", "gpu0001", reason="y" * 450, cluster=world.cluster())
    told = plan.change.reasons["gpu0001"]
    assert told.startswith("y" * 450 + " [was by jdv: x") and len(told) <= 1000


def test_jobs_of_a_reservation_that_were_not_read_are_unknown_and_not_none(tmp_path):
    world = World(tmp_path, [node("gpu0001")])
    known = frozenset({"nodes", "jobs", "reservations"})
    cluster = world.cluster(reservations={"fw": BOOKED}, known=known)
    for bound, levels in ((None, {"unknown"}), ({"fw": ()}, {"ok", "note"})):
        extra = PreflightReads() if bound is None else PreflightReads(reservation_jobs=bound)
        plan = world.gate().plan("unreserve", ["fw"], "x", cluster, None, extra)
        assert isinstance(plan, Plan) and {check.level for check in plan.checks if check.target == "fw"} <= levels
        assert bound is not None or any(check.level == "unknown" for check in plan.checks)

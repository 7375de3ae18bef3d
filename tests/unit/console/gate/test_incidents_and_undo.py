"""What a second reviewer found in the week's actions, who had not seen how they were built: each was red before."""

from __future__ import annotations

import msgspec
import pytest

from collectors.alertmanager.requests import INCIDENT
from collectors.model import Association, Matcher, NewSilence, Partition, Reservation, Sent, Silence, User
from collectors.slurm.operations import calls
from console.actions import targets
from console.actions.action import ChangeInputs
from console.actions.incident import DURATION_S, Scope, parse_request
from console.actions.options import Guard, Options
from console.actions.registry import BY_ID
from console.gate.outcome import results_of
from console.journal.undo import Undo
from console.preflight.checks import PreflightReads
from tests.support import make
from tests.support.gate_world import World, node
from tests.support.journal_entries import HOUR, Book
from tests.support.make import NOW, change_of

# -- an incident eases only as long as the very silence stands that this console made ----------------------------------


def held(by="jdv", ends=NOW + DURATION_S, text="incident R01: cooling nodes n[1-2]", id="s1", starts=NOW):
    return Silence(id=id, state="active", matchers=(Matcher(INCIDENT, "R01"),), starts=starts, ends=ends, by=by,
                   comment=text)  # fmt: skip


def declared(tmp_path, monkeypatch):
    """A world in which R01 was declared from here; and its gate."""
    monkeypatch.setattr("console.actions.incident.login_name", lambda: "jdv")
    world = World(tmp_path, [node(f"n{at}") for at in range(1, 9)])
    world.do = lambda change, name: None
    gate = world.gate()
    plan = gate.plan("incident", ["n1", "n2", "n3"], "cooling", world.cluster(), make_options(name="R01"))
    assert gate.send(plan, "R01").refused is None
    return world, gate


def make_options(**settings):
    return Options(settings=settings)


def inside(world, gate, *silences):
    plan = gate.plan("drain", ["n1", "n2", "n3"], "x", world.cluster(silences={one.id: one for one in silences}))
    return plan.incident


def made_by(world) -> Silence:
    (new,) = world.sent[0].silences
    return held(by=new.by, text=new.comment, ends=NOW + new.seconds)


def test_what_was_declared_here_is_eased_while_it_stands(tmp_path, monkeypatch):
    world, gate = declared(tmp_path, monkeypatch)
    assert inside(world, gate, made_by(world)) == "R01"
    assert inside(world, gate) == ""


def test_an_incident_of_the_same_name_that_somebody_else_declares_later_eases_nothing(tmp_path, monkeypatch):
    world, gate = declared(tmp_path, monkeypatch)
    # It was ended by hand within its half hour: whatever name the other one signs with.
    again = msgspec.structs.replace(made_by(world), id="s2", starts=NOW + 600, ends=NOW + 600 + DURATION_S)
    assert inside(world, gate, again) == ""
    assert inside(world, gate, msgspec.structs.replace(made_by(world), by="eve")) == ""
    world.clock.advance(2 * HOUR)
    assert inside(world, gate, held(starts=NOW + 2 * HOUR, ends=NOW + 2 * HOUR + 1700)) == ""


def test_an_incident_that_was_never_made_eases_nothing_when_somebody_else_makes_one(tmp_path, monkeypatch):
    monkeypatch.setattr("console.actions.incident.login_name", lambda: "jdv")
    world = World(tmp_path, [node(f"n{at}") for at in range(1, 9)])
    world.explodes = True
    gate = world.gate()
    plan = gate.plan("incident", ["n1", "n2", "n3"], "cooling", world.cluster(), make_options(name="R01"))
    gate.send(plan, "R01")
    assert inside(world, gate, held(by="eve")) == ""


def test_one_node_of_a_partition_does_not_make_the_partition_lie_inside():
    cluster = make.cluster(nodes=[node("n1"), node("n2")], partitions=[Partition(name="gpu", state="UP")])
    acting = {"gpu": cluster.partitions["gpu"]}
    assert not Scope(name="R01", nodes=frozenset({"n1"}), by="jdv", ends=1).covers(
        BY_ID["partition-down"], acting, cluster)  # fmt: skip
    assert Scope(name="R01", nodes=frozenset({"n1", "n2"}), by="jdv", ends=1).covers(
        BY_ID["partition-down"], acting, cluster)  # fmt: skip


# -- targets and values ------------------------------------------------------------------------------------------------


def test_a_comma_too_many_does_not_name_the_jobs_of_nobody():
    cluster = make.cluster(jobs=[make.job("1", account="ml"), make.job("2", account="")])
    for word in ("account=ml,", "account=,", "user=alice,,bob"):
        with pytest.raises(ValueError, match="names nothing next to a comma"):
            targets.resolve_jobs([word], cluster)
    assert targets.resolve_jobs(["account=ml"], cluster) == ("1",)


@pytest.mark.parametrize("name", ["root", "ROOT", "Slurm"])
def test_nobody_blocks_root_by_writing_it_otherwise(name):
    # slurmdbd keeps names in small letters: ROOT is root.
    user = User(name=name, cluster="c", associations=(Association(account="root"),), enforced=True)
    assert "is not blocked from here" in (BY_ID["block"].refuse(make.cluster(), user) or "")


def test_an_unblock_leaves_limits_alone_that_somebody_set_since():
    row = User(name="bob", cluster="c", associations=(
        Association(account="ml", max_submit=0), Association(account="bio", max_submit=5)))  # fmt: skip
    change = change_of(action="unblock", kind="user", targets=("bob",))
    for had, back in (({"bob": "ml=20,bio=-1,gone=7"}, "ml=20"), ({}, "ml=-1")):
        given = ChangeInputs(
            rows={"bob": row}, cluster=make.cluster(), options=Options(settings=had), guard=Guard(), reason=None,
            typed_reason=None, person="jdv",
        )  # fmt: skip
        assert BY_ID["unblock"].complete(change, given).values == {"bob": back}


def test_the_comment_of_a_reservation_is_one_plain_line_at_the_last_door():
    change = change_of(action="reserve", kind="node", targets=("n1",), values={"n1": "maint"}, reason="a\nb\x1b[2J",
                    settings={"name": "maint", "start": "now", "for": "3600", "users": "root"})  # fmt: skip
    ((words, _),) = calls(change)
    assert "\n" not in words[-1] and "\x1b" not in words[-1]


# -- what is done by several commands ----------------------------------------------------------------------------------


def two(first: Sent, second: Sent):
    return results_of(change_of(action="reboot-now", kind="node", targets=("n1",)), (first, second), "")["n1"]


def test_what_was_done_by_half_is_neither_failed_nor_pending():
    """A node that was set down, its jobs killed, and that Slurm then did not reboot: nobody may read "failed"."""
    went = Sent(argv=("a",), targets=("n1",), rc=0)
    not_ = Sent(argv=("b",), targets=("n1",), rc=1, refused={"n1": "Skipping reboot"})
    for result in (two(went, not_), two(not_, went)):
        assert result.state == "unknown" and "Skipping reboot" in result.why
    assert two(went, went).state == "pending" and two(not_, not_).state == "failed"


# -- undo --------------------------------------------------------------------------------------------------------------


def test_an_undo_does_not_give_a_reservation_to_those_that_it_was_closed_to():
    row = Reservation(name="maint", state="ACTIVE", starts=int(NOW - HOUR), ends=int(NOW + HOUR), nodes="n1",
                      users="-bob", accounts="ml")  # fmt: skip
    cluster = make.cluster(nodes=[make.node("n1")])
    found = Book().act("a", "unreserve", [row]).undo("a", cluster)
    assert found == "maint: its users cannot be set again"
    where = msgspec.structs.replace(row, users=None, partition="gpu")
    assert "without its partition gpu" in " ".join(Book().act("a", "unreserve", [where]).undo("a", cluster).notes)


def test_an_undo_does_not_delete_what_somebody_else_made_by_the_same_name():
    said = {"name": "maint", "start": "now", "for": "3600", "users": "alice"}
    book = Book().act("a", "reserve", [make.node("n1")], settings=said)

    def stands(**more):
        row = {"starts": int(NOW - HOUR), "ends": int(NOW), "nodes": "n1", "users": "alice", **more}
        return make.cluster(reservations=[Reservation(name="maint", state="ACTIVE", **row)])

    assert isinstance(book.undo("a", stands()), Undo)
    assert isinstance(book.undo("a", stands(ends=int(NOW + HOUR))), Undo)  # it was given another end
    for other in ({"users": "bob"}, {"starts": int(NOW + HOUR)}):
        assert "another is called so" in book.undo("a", stands(**other))


def test_an_undo_does_not_end_a_reservation_by_giving_back_an_end_that_is_over():
    was = Reservation(name="maint", state="ACTIVE", starts=int(NOW - 9 * HOUR), ends=int(NOW - 30), nodes="n1")
    now = msgspec.structs.replace(was, ends=int(NOW + 4 * HOUR))
    given = BY_ID["extend"].value.current(now)
    book = Book().act("a", "extend", [was], values={"maint": given})
    assert "is over" in book.undo("a", make.cluster(reservations=[now]))
    book.records[0]["seen"]["maint"]["value"] = "tampered"
    assert isinstance(book.undo("a", make.cluster(reservations=[now])), str)


def test_an_undo_does_not_open_a_partition_that_was_not_open():
    book = Book().act("a", "partition-down", [Partition(name="gpu", state="DRAIN")], reason="x")
    found = book.undo("a", make.cluster(partitions=[Partition(name="gpu", state="DOWN")]))
    assert isinstance(found, str) and "DRAIN before" in found
    book = Book().act("a", "partition-down", [Partition(name="gpu", state="UP")], reason="x")
    assert book.undo("a", make.cluster(partitions=[Partition(name="gpu", state="DOWN")])).action == "partition-up"


def test_an_undo_of_an_incident_lifts_what_it_made_and_nobody_elses():
    made = NewSilence(alerts=(), matchers=(Matcher(INCIDENT, "R01"),), seconds=1800, by="jdv",
                      comment="incident R01: x")  # fmt: skip
    book = Book().act("a", "incident", [make.node("n1")], ago=60, settings={"name": "R01"},
                      silences=[msgspec.to_builtins(made)])  # fmt: skip
    at = int(NOW - 60)
    mine = held(text=made.comment, starts=at, ends=at + 1800)
    theirs = held(by="eve", text="incident R01: y", id="s2", starts=at + 10, ends=at + 1810)
    both = make.cluster(silences=[mine, theirs])
    assert book.undo("a", both).targets == ("s1",)
    assert book.undo("a", make.cluster(silences=[theirs])) == "the incident is over"


def test_which_incident_ends_is_said_where_several_stand():
    one = held(starts=int(NOW), ends=int(NOW + 900))
    two = Silence(id="s2", state="active", matchers=(Matcher(INCIDENT, "R02"),), starts=int(NOW), ends=int(NOW + 1200),
                  by="eve", comment="incident R02: fire nodes n4")  # fmt: skip
    both = make.cluster(nodes=[make.node("n1"), make.node("n4")], silences=[one, two])
    for verb in ("end", "extend"):
        with pytest.raises(ValueError, match="R02, R01"):
            parse_request([verb], both, NOW)
        assert parse_request([verb], make.cluster(nodes=[make.node("n1")], silences=[one]), NOW).targets
    assert parse_request(["end", "R01"], both, NOW).targets == ("s1",)


# -- what was sent is written down, whatever breaks behind it ----------------------------------------------------------


@pytest.mark.parametrize("before", [True, False])
def test_a_look_that_breaks_before_a_step_or_after_it_stops_them_and_is_written_down(tmp_path, before):
    world = World(tmp_path, [node(f"n{at}", "IDLE+DRAIN", reason="x", rack=f"R{at % 2}") for at in range(6)])
    gate = world.gate()

    def look(names):
        if not before or world.sent:
            raise RuntimeError("a bug in a check")
        return world.cluster(), PreflightReads()

    gate.reread = look
    plan = gate.plan("undrain", sorted(world.nodes), None, world.cluster(), Options(waves=True, break_glass=True))
    outcome = gate.send(plan, plan.confirmation.prompt)
    first = set(plan.waves.waves[0].nodes) if before else set()
    assert {name for change in world.sent for name in change.targets} == first
    assert {outcome.results[name].state for name in world.nodes if name not in first} == {"dropped"}
    assert [line["event"] for line in world.journal()] == ["intent", "result"]


def test_a_reservation_that_ends_sooner_takes_the_count_for_slurm_kills_what_runs_in_it(tmp_path):
    """slurm.conf(5), ResvOverRun: "the default value is 0 (kill the job immediately)"."""
    world = World(tmp_path, [node("n1")])
    row = Reservation(name="maint", state="ACTIVE", starts=NOW - HOUR, ends=NOW + 2 * HOUR, nodes="n1", users="alice")
    cluster = world.cluster(reservations={"maint": row}, known=frozenset({"nodes", "jobs", "reservations"}), at=NOW)

    def plan(text):
        return world.gate().plan("extend", ["maint"], None, cluster, Options(value=BY_ID["extend"].value.parse(text)))

    sooner = plan("-1h")
    assert sooner.confirmation.kind == "count"
    assert "kills" in " ".join(words for _, words, _ in sooner.action.impact(sooner, True))
    assert plan("+1h").confirmation.kind == "plain"

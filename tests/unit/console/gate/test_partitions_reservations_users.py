"""Partitions, reservations and users through the gate, on the simulated cluster: shown, done, refused, taken back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import partial

import pytest
from click.testing import CliRunner

from collectors.clock import ManualClock
from collectors.model import Cluster, Reservation, Rights, SourceFault
from collectors.nodeset import names_in
from collectors.sim import SimSettings
from collectors.sim.sources import SimTransport, _now, forget, open_sources, running
from collectors.sim.write import SimWriter
from collectors.slurm.operations import moment_of
from console.actions import reservations
from console.actions.action import Expected
from console.actions.options import Options
from console.actions.plan import Refusal
from console.actions.refusals import rights_refusal
from console.actions.registry import BY_ID
from console.actions.verification import PendingTarget, Verification
from console.cli.act import run_act, sources_of, undoing
from console.cli.main import cli
from console.gate import preflight_reads
from console.gate.gate import Gate
from console.journal.still_closed import StillClosed, still_closed, still_closed_lines
from console.journal.writer import Journal
from console.runtime.operator_identity import login_name
from console.session.snapshot import take
from console.triage.attention import attention_lines
from tests.support import make
from tests.support.make import change_of

START = 1_795_000_000
HOUR = 3600
SETTINGS = SimSettings(nodes=128, seed=5)


class Room:
    """An operator with `wacht act` at the simulated cluster."""

    def __init__(self, folder) -> None:
        self.clock = ManualClock(START)
        forget("room")
        self.machine = running("room", SETTINGS, self.clock)
        self.path = folder / "room.jsonl"
        self.transport = SimTransport(partial(_now, "room", SETTINGS, self.clock))

    def cluster(self, action: str = "undo") -> Cluster:
        wanted = sources_of(action)
        sources = [one for one in open_sources("room", SETTINGS, self.clock) if one.name in wanted]
        return take("room", sources, self.clock, True)

    def gate(self) -> Gate:
        return Gate("room", lambda _: SimWriter(self.machine), self.transport,
                    lambda: Journal(self.path, "room", self.clock), self.clock)  # fmt: skip

    def __call__(self, action: str, *words: str, reason=None, **more) -> int:
        """`wacht act`, with `said` for the settings."""
        said, seconds, glass = more.pop("said", {}), more.pop("seconds", None), more.pop("glass", False)
        options = Options(settings=said, seconds=seconds, value=more.pop("value", None), break_glass=glass)
        return self.run(self.cluster(action), action, words, reason, options, **more)

    def run(self, cluster, action, words, reason, options, **more) -> int:
        self.out, self.err = io.StringIO(), io.StringIO()
        look = None
        if preflight_reads.needs_reads(BY_ID[action]):
            look = lambda names: preflight_reads.read_for(BY_ID[action], names, cluster, self.transport, None, {})  # noqa: E731
        return run_act(self.gate(), cluster, action, words, reason=reason, options=options, look=look, out=self.out,
                       err=self.err, sleep=self.clock.advance, **more)  # fmt: skip

    def undo(self, **more) -> int:
        cluster = self.cluster()
        found, self.notes = undoing(self.path, (), cluster, self.clock.now())
        return self.run(cluster, found.action, found.targets, found.reason, found.options, **more)

    @property
    def told(self) -> str:
        return self.out.getvalue() + self.err.getvalue()

    def entries(self) -> list[dict]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def idle(self, count: int) -> list[str]:
        """Nodes without a job, in no reservation."""
        busy = {name for one in self.machine.reservations().values() for name in names_in(one.nodes)}
        jobs = self.machine.jobs().values()
        used = {name for job in jobs for name in names_in(job.nodes)}
        free = [name for name in self.machine.nodes() if name not in busy | used]
        while len(free) < count:
            name = next(name for name in self.machine.nodes() if name not in {*free, *busy})
            for job in list(self.machine.host(name).jobs):
                self.machine.queue.end(job, "CANCELLED")
            free.append(name)
        return free[:count]


@pytest.fixture
def act(tmp_path) -> Iterator[Room]:
    yield Room(tmp_path)
    forget("room")


# -- partitions -------------------------------------------------------------------------------------------------------


def test_a_partition_is_shut_told_of_and_opened_again(act):
    before = act.machine.jobs()
    assert act("partition-down", "long", reason="cooling", yes=True) == 0, act.told
    for text in ("Partition-down long on room", "goes on", "until they end: nothing is killed", "waits then",
                 "still starts", "scontrol update PartitionName=long State=DOWN", "down  1  long"):  # fmt: skip
        assert text in act.told
    assert act.machine.partitions()["long"].state == "DOWN"
    after = act.machine.jobs()
    waits = {job.reason for job in after.values() if job.partition == "long" and job.state == "PENDING"}
    assert "PartitionDown" in waits and not waits & {"Priority", "Resources"}
    runs = {job.id for job in before.values() if job.state == "RUNNING" and job.partition == "long"}
    assert runs <= {job.id for job in after.values() if job.state == "RUNNING"}
    shut = still_closed(act.entries())
    assert shut.partitions["long"].why == "cooling"
    act.clock.advance(2 * HOUR)
    (text,) = still_closed_lines(act.cluster(), shut, act.clock.now(), act.clock.mono())
    assert text == f"long is DOWN for 2h 00m, by {login_name()}: cooling"
    assert [one.text for one in attention_lines(act.cluster(), act.clock.now(), still_closed=shut)].count(text) == 1
    assert act("partition-down", "long", reason="again", yes=True) == 2 and "it is DOWN already" in act.told
    assert act.undo(yes=True) == 0 and act.machine.partitions()["long"].state == "UP", act.told
    assert (
        still_closed(act.entries()) == StillClosed()
        and still_closed_lines(act.cluster(), StillClosed(), act.clock.now(), None) == []
    )
    again = [job.reason for job in act.machine.jobs().values() if job.partition == "long" and job.state == "PENDING"]
    assert "PartitionDown" not in again


def test_what_somebody_else_shut_is_told_of_too_but_not_on_old_facts(act):
    act.machine.queue.set_partition_state("debug", "DOWN")
    cluster = act.cluster()
    assert still_closed_lines(cluster, StillClosed(), act.clock.now(), act.clock.mono()) == [
        "debug is DOWN: no job starts there"
    ]
    assert still_closed_lines(cluster, StillClosed(), act.clock.now(), act.clock.mono() + 10 * HOUR) == []


def test_a_partition_that_somebody_shut_meanwhile_is_left_alone(act):
    gate, cluster = act.gate(), act.cluster()
    plan = gate.plan("partition-up", ["gpu"], None, cluster)
    assert isinstance(plan, Refusal) and "it is UP already" in plan.why
    plan = gate.plan("partition-down", ["gpu", "debug"], "cooling", cluster)
    act.machine.queue.set_partition_state("debug", "DOWN")
    assert plan.confirmation.prompt == "gpu", "most of the machine: its name, not the count"
    outcome = gate.send(plan, "gpu")
    assert outcome.results["debug"].why == "it is DOWN already" and outcome.results["gpu"].state == "pending"
    assert act.machine.partitions()["gpu"].state == "DOWN"


def test_unknown_partitions_and_all_are_refused(act):
    for name, why in (("nope", "unknown partition nope"), ("ALL", "ALL is never sent")):
        assert act("partition-down", name, reason="x", yes=True) == 2 and why in act.told
    assert not act.path.exists()


# -- reservations -----------------------------------------------------------------------------------------------------


def test_a_reservation_is_made_lengthened_deleted_and_each_is_taken_back(act):
    names = act.idle(3)
    said = {"name": "maint", "start": "now", "flags": "MAINT,IGNORE_JOBS"}
    assert act("reserve", *names, said=said, seconds=2 * HOUR, reason="new firmware", count=3) == 0, act.told
    row = act.machine.reservations()["maint"]
    assert (row.users, row.starts, row.ends) == ("root", START, START + 2 * HOUR)
    assert set(names_in(row.nodes)) == set(names) and "MAINT" in row.flags and row.comment == "new firmware"
    for text in ("maint, for users root (no users given", "begins        now", "after 2h 00m", "IGNORE_JOBS",
                 "a maintenance: the nodes show it", "crosses it", "StartTime=now Duration=120", "Users=root",
                 "Flags=MAINT,IGNORE_JOBS", "'Comment=new firmware'"):  # fmt: skip
        assert text in act.told
    ends = row.ends
    assert act("extend", "maint", value="4h", yes=True) == 0, act.told
    assert act.machine.reservations()["maint"].ends == ends + 4 * HOUR and "4h 00m later" in act.told
    assert act.undo(count=1) == 0 and act.machine.reservations()["maint"].ends == ends, act.told
    assert act("unreserve", "maint", yes=True) == 0 and "maint" not in act.machine.reservations(), act.told
    assert "free again" in act.told and "3 nodes" in act.told
    act.clock.advance(HOUR)
    assert act.undo(count=3) == 0, act.told
    back = act.machine.reservations()["maint"]
    assert (back.ends, back.flags, back.users, back.comment) == (ends, row.flags, "root", "new firmware")
    assert any("its nodes are" in note for note in act.notes)
    assert act.undo(yes=True) == 0 and "maint" not in act.machine.reservations(), "of a create it is a delete"


@pytest.mark.parametrize(
    ("said", "seconds", "why"),
    [
        ({"flags": "MAINT"}, HOUR, "a reservation needs a name: --name maint"),
        ({"name": "x", "flags": "MAINT"}, None, "how long it lasts is not said: --for 4h"),
        ({"name": "x"}, HOUR, "no users or accounts are given: --users alice,bob or --accounts ml"),
        ({"name": "course-llm", "users": "bob"}, HOUR, "there is a reservation course-llm already"),
        ({"name": "x", "users": "bob", "start": str(START - HOUR)}, HOUR, "it would begin in the past"),
    ],
)
def test_what_is_lacking_for_a_reservation_is_said(act, said, seconds, why):
    assert act("reserve", *act.idle(1), said=said, seconds=seconds, yes=True) == 2 and why in act.told
    assert not act.path.exists()


def test_jobs_and_reservations_in_the_way_are_told_before_slurm_refuses(act):
    (busy,) = [next(name for name in act.machine.nodes() if act.machine.host(name).jobs)]
    said = {"name": "x", "users": "bob", "start": "now"}
    assert act("reserve", busy, said=said, seconds=HOUR, yes=True) == 2 and "--flags IGNORE_JOBS" in act.told
    assert act("reserve", busy, said={**said, "flags": "IGNORE_JOBS"}, seconds=HOUR, yes=True) == 0, act.told
    assert "crosses it" in act.told and "they go on inside it until they end" in act.told
    assert act.machine.host(busy).jobs, "they do"
    taken = names_in(act.machine.reservations()["course-llm"].nodes)[0]
    late = {"name": "y", "users": "bob", "start": str(START + 25 * HOUR)}
    assert act("reserve", taken, said=late, seconds=HOUR, yes=True) == 2 and "course-llm has some of them" in act.told
    change = change_of(action="reserve", kind="node", targets=(taken, busy), values=dict.fromkeys((taken, busy), "z"),
                    settings={"name": "z", "start": "now", "for": "3600", "users": "bob"})  # fmt: skip
    (sent,) = act.machine.apply(change)
    assert sent.rc == 1 and set(sent.refused) == {taken, busy} and "overlaps" in sent.err, "all or none"


def test_a_whole_partition_takes_breaking_the_glass(act):
    nodes = [name for name, node in act.machine.nodes().items() if "debug" in node.partitions]
    said = {"name": "x", "flags": "MAINT,IGNORE_JOBS"}
    more = {"said": said, "seconds": HOUR, "count": len(nodes)}
    assert act("reserve", *nodes, **more, reason="x") == 2
    assert "it sets every node in service of debug aside: --break-glass and --count" in act.told
    assert act("reserve", *nodes, **more, glass=True) == 2 and "a reason is required" in act.told
    assert act("reserve", *nodes, **more, glass=True, reason="x") == 0, act.told
    every = tuple(act.machine.nodes())
    assert reservations.break_glass(act.cluster(), every, None) == (
        "room",
        "it sets every node in service of the machine aside",
    )
    assert reservations.break_glass(act.cluster(), every[:2], None) is None


def test_a_node_that_is_gone_keeps_the_whole_reservation_back(act):
    first, second = act.idle(2)
    options = Options(settings={"name": "x", "users": "bob"}, seconds=HOUR)
    gate, real = act.gate(), act.transport.read_nodes
    plan = gate.plan("reserve", [first, second], None, act.cluster("reserve"), options)
    act.transport.read_nodes = lambda names: real([name for name in names if name != second])
    outcome = gate.send(plan, "2")
    assert f"nothing was sent: {second}: gone" in (outcome.refused or "") and not outcome.sent
    assert "x" not in act.machine.reservations()


def test_a_reservation_that_was_changed_meanwhile_is_left_alone(act):
    gate, cluster = act.gate(), act.cluster()
    plan = gate.plan("unreserve", ["course-llm"], None, cluster)
    act.machine.apply(change_of(action="extend", kind="reservation", targets=("course-llm",),
                             values={"course-llm": moment_of(START + 40 * HOUR)}))  # fmt: skip
    assert "its ends was changed meanwhile" in (gate.send(plan, "y").refused or "")
    assert "course-llm" in act.machine.reservations()


def test_a_reservation_that_jobs_ask_for_is_not_deleted(act):
    queue = act.machine.queue
    waiting = next(job.id for job in queue.jobs.values() if job.reason == "Priority")
    queue.reservation_of[waiting] = "course-llm"
    queue.recheck(waiting)
    works = next(iter(queue.runs))
    queue.reservation_of[works] = "course-llm"
    assert act("unreserve", "course-llm", yes=True) == 2
    assert f"Slurm refuses while a job asks for it: 1 job runs ({works}" in act.told and "2 jobs wait" in act.told
    (sent,) = act.machine.apply(change_of(action="unreserve", kind="reservation", targets=("course-llm",)))
    assert sent.refused == {"course-llm": "Requested reservation is in use"}
    for job in [job for job, name in queue.reservation_of.items() if name == "course-llm"]:
        del queue.reservation_of[job]
    assert act("unreserve", "course-llm", yes=True) == 0 and "no job asks for it" in act.told


def test_a_reservation_ends_when_it_was_told_to_last(act):
    names = act.idle(1)
    assert act("reserve", *names, said={"name": "short", "flags": "MAINT"}, seconds=HOUR, yes=True) == 0, act.told
    assert act("extend", "short", value="1h", yes=True) == 0
    assert act.machine.nodes()[names[0]].reservation == "short"
    act.clock.advance(1.5 * HOUR)
    act.machine.advance()
    assert "short" in act.machine.reservations()
    act.clock.advance(HOUR)
    act.machine.advance()
    assert "short" not in act.machine.reservations() and act.machine.nodes()[names[0]].reservation is None


@pytest.mark.parametrize(
    ("text", "read"),
    [("4h", "+14400"), ("+90m", "+5400"), ("-1h", "-3600"), (str(START), str(START))],
)
def test_another_end_is_later_sooner_or_a_moment(text, read):
    assert reservations.parse_end(text) == read


def test_moments_are_the_next_that_is_meant():
    noon = 1_795_000_000
    assert reservations.parse_moment("+2h", noon) == noon + 7200
    assert reservations.parse_moment("2026-11-26T08:00+01:00", noon) == 1_795_676_400
    clock = reservations.parse_moment("03:07", noon)
    assert 0 < clock - noon <= 24 * HOUR and clock % 60 == 0
    for wrong in ("tomorrowx", "13pm", "+60", "now+", "25:99", "1e99", "ALL"):
        with pytest.raises(ValueError, match="no moment"):
            reservations.parse_moment(wrong, noon)


def test_an_end_that_is_over_is_no_end(act):
    for value in ("-9999h", str(START - 5)):
        assert act("extend", "course-llm", value=value, yes=True) == 2
        assert "unreserve deletes it" in act.told


# -- users ------------------------------------------------------------------------------------------------------------


def test_a_user_is_blocked_reminded_of_and_let_in_again(act):
    assert act("block", "alice", reason="mining", yes=True) == 0, act.told
    for text in ("alice: rug-nlp, on room alone", "jobs run", "wacht act cancel user=alice",
                 "sacctmgr -i modify user where name=alice cluster=room set MaxSubmitJobs=0"):  # fmt: skip
        assert text in act.told
    assert act.transport.read_users(["alice"])["alice"].blocked
    assert still_closed_lines(act.cluster(), still_closed(act.entries()), act.clock.now(), None) == [
        f"alice may submit no job for 0s, by {login_name()}: mining"
    ]
    assert act("block", "alice", reason="x", yes=True) == 2 and "blocked already" in act.told
    assert act.undo(yes=True) == 0 and not act.transport.read_users(["alice"])["alice"].blocked, act.told
    assert "account=rug-nlp set MaxSubmitJobs=-1" in act.told
    assert act("unblock", "alice", yes=True) == 2 and "not blocked" in act.told
    assert act("block", "nobody-here", reason="x", yes=True) == 2 and "unknown user nobody-here" in act.told


def test_a_blocked_user_submits_nothing(act):
    act("block", "alice", reason="mining", yes=True)
    before = {job.id for job in act.machine.jobs().values() if job.user == "alice"}
    act.clock.advance(3 * HOUR)
    act.machine.advance()
    assert {job.id for job in act.machine.jobs().values() if job.user == "alice"} <= before


def test_users_that_cannot_be_read_are_not_blocked(act):
    def none(_: object) -> None:
        raise SourceFault("missing", "this site keeps no accounts")

    act.transport.read_users = none
    assert act("block", "alice", reason="x", yes=True) == 2 and "this site keeps no accounts" in act.told


# -- who may ----------------------------------------------------------------------------------------------------------


def test_who_may_is_said_beforehand():
    operator = Rights(user="bob", level="Operator", nodes=False, jobs=True)
    nobody = Rights(user="alice", level="no admin", nodes=False, jobs=False)
    for action in ("partition-down", "partition-up"):
        assert "needs Administrator" in (rights_refusal(BY_ID[action], operator) or "")
    for action in ("reserve", "extend", "unreserve", "block", "unblock"):
        assert rights_refusal(BY_ID[action], operator) is None
        assert "needs Operator" in (rights_refusal(BY_ID[action], nobody, make.node()) or "")


def test_a_reservation_is_done_when_it_shows_with_that_node_in_it():
    before = make.node("n1")
    one = PendingTarget(
        plan="p", action="reserve", kind="node", target="n1", sent=Expected(value="fw"), before=before, since=0
    )
    watch = Verification((one,))
    for rows in (
        [],
        [Reservation(name="fw", state="ACTIVE", nodes="n2")],
        [Reservation(name="x", state="x", nodes="n1")],
    ):
        watch, settled = watch.check(make.cluster(nodes=[before], reservations=rows), 1.0)
        assert watch.waiting and not settled
    watch, settled = watch.check(make.cluster(nodes=[before]), 2.0)
    assert watch.waiting, "the reservations were not read: that proves nothing"
    shown = make.cluster(reservations=[Reservation(name="fw", state="INACTIVE", nodes="n[1-2]")])
    watch, settled = watch.check(shown, 3.0)
    assert [one.state for one in settled] == ["done"] and not watch.waiting


def test_it_is_all_said_on_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    line = "act reserve gpu[0001-0002] --name fw --start now --for 2h --flags MAINT,IGNORE_JOBS --dry-run --json"
    ended = CliRunner().invoke(cli, [*line.split(), "--demo", "--nodes", "64"], standalone_mode=False)
    told = json.loads(ended.stdout)
    assert ended.return_value == 0 and told["targets"] == ["gpu0001", "gpu0002"]
    (command,) = told["commands"]
    assert command[3:] == ["ReservationName=fw", "StartTime=now", "Duration=120", "Nodes=gpu[0001-0002]", "Users=root",
                           "Flags=MAINT,IGNORE_JOBS"]  # fmt: skip
    wrong = CliRunner().invoke(cli, [*line.replace("MAINT,", "MANT,").split(), "--demo"], standalone_mode=False)
    assert "no flag 'MANT'; there are MAINT, IGNORE_JOBS" in str(wrong.exception)

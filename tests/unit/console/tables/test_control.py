"""Slurm's own daemons: what of them needs a person, and the screen `:control`."""

from __future__ import annotations

import msgspec
import pytest

from collectors.clock import ManualClock
from collectors.model import Completing, Control, Controller, Cost, Diag, Fault, Runaway, Source
from collectors.sim.incidents import STARTS_S
from console.ingest import controller_cost
from console.recording.cut import Masked, Masks
from console.tables import control_lines
from console.tables.control_columns import duration_us, hung, rpc_users
from console.triage import attention_control
from console.triage.attention import attention_lines
from tests.support import make
from tests.support.machine_room import DAY, MINUTE, down, rack
from tests.support.make import NOW
from tests.support.operator import console

BOTH = (Controller(host="ctl1", role="primary", up=True), Controller(host="ctl2", role="backup", up=True))
WELL = Control(controllers=BOTH, dbd="dbd1", dbd_up=True, completing=(), runaway=(), unkillable_s=180)
CALM = Diag(server_threads=3, agent_queue=0, dbd_queue=0, main_cycle_last_us=1200, main_cycle_mean_us=1400)


def with_(one, **more):
    return msgspec.structs.replace(one, **more)


def site(known=WELL, diag=CALM, nodes=(), jobs=(), ok=True, **more):
    fault = None if ok else Fault("timeout", "x")
    given = {"ok": ok, "tried": True, "read_mono": 100.0, "due_s": 60.0, "fault": fault}
    sources = [Source(name=name, **given) for name in ("slurm.control", "slurm.diag")]
    made = make.cluster(sources=sources, at=NOW, nodes=nodes, jobs=jobs, control=known, diag=diag)
    return msgspec.structs.replace(made, **more)


def told(cluster, mono=101.0):
    return [(one.bad, one.text) for one in attention_control.control_items(cluster, NOW, mono)]


def completing(job="88121", ago=12 * MINUTE, nodes="gpu0412"):
    return Completing(job=job, user="alice", nodes=nodes, since=int(NOW - ago))


# -- what needs a person -----------------------------------------------------------------------------------------------


def test_nothing_is_told_of_daemons_that_are_well_or_unknown():
    assert told(site()) == [] and told(site(None, None)) == []


@pytest.mark.parametrize(
    ("up", "bad", "text"),
    [
        ((False, True), True, "ctl1 (primary) does not answer: ctl2 (backup) has taken over"),
        ((True, False), False, "ctl2 (backup) does not answer: nobody would take over from ctl1"),
    ],
)
def test_a_controller_that_does_not_answer_while_the_other_does(up, bad, text):
    controllers = tuple(with_(one, up=is_up) for one, is_up in zip(BOTH, up, strict=True))
    assert told(site(with_(WELL, controllers=controllers))) == [(bad, text)]


def test_where_none_answers_the_sources_say_so():
    assert told(site(with_(WELL, controllers=tuple(with_(one, up=False) for one in BOTH)))) == []


def test_slurmdbd():
    ((bad, text),) = told(site(with_(WELL, dbd_up=False)))
    assert bad and text.startswith("slurmdbd at dbd1 does not answer")
    assert told(site(with_(WELL, dbd_up=None))) == []
    ((bad, text),) = told(site(diag=with_(CALM, dbd_queue=1_840)))
    assert not bad and text.startswith("1,840 messages wait for slurmdbd")
    assert told(site(diag=with_(CALM, dbd_queue=9_000)))[0][0] and told(site(diag=with_(CALM, dbd_queue=999))) == []


def grown(*waits, every=60.0):
    """A cluster that has read so many messages, one reading after the other."""
    before = make.cluster()
    for at, number in enumerate(waits):
        now = site(diag=with_(CALM, dbd_queue=number))
        mono = 100.0 + every * at
        source = msgspec.structs.replace(now.sources["slurm.diag"], read_mono=mono)
        now = msgspec.structs.replace(now, sources={**now.sources, "slurm.diag": source}, dbd_queues=before.dbd_queues)
        before = controller_cost.with_cost(before, now)
    return before


@pytest.mark.parametrize(
    ("waits", "grows"),
    [
        ((120, 180, 260, 400), True), ((0, 40, 90, 130), True), ((900, 12, 60, 100, 180), True),
        ((120, 180, 260), False), ((400, 260, 180, 120), False), ((120, 180, 180, 260), False), ((2, 9, 30, 99), False),
        ((300, 400, 500, 600, 20), False), ((120, 180, None, 260, 400), False), ((), False),
    ],
)  # fmt: skip
def test_a_queue_for_slurmdbd_that_grows_is_told_long_before_it_is_large(waits, grows):
    assert bool(attention_control.growing_readings(grown(*waits).dbd_queues)) is grows


def test_how_it_grew_is_told_and_nothing_of_it_once_it_is_old():
    cluster = grown(50, 120, 180, 260, 400)
    mono = cluster.dbd_queues[-1][0]
    lines = [one.text for one in attention_control.control_items(cluster, NOW, mono + 1)]
    assert lines == ["400 messages wait for slurmdbd, 350 more than 4m ago and more at each reading: does it "
                     "answer? try: sacctmgr show stats"]  # fmt: skip
    assert attention_control.control_items(cluster, NOW, mono + 3600) == []
    (large,) = attention_control.control_items(grown(2_000, 3_000, 5_000, 9_000), NOW, 290.0)
    assert large.bad and "9,000 messages wait for slurmdbd, 7,000 more" in large.text
    assert len(grown(*range(100, 2_000, 100)).dbd_queues) == controller_cost.DBD_KEPT


def test_a_reading_of_something_else_says_nothing_of_the_queue():
    before = grown(120, 180)
    assert controller_cost.with_cost(before, before) is before


def test_a_controller_that_strains_is_one_line():
    busy = with_(CALM, server_threads=256, agent_queue=1_900, main_cycle_last_us=2_900_000)
    assert told(site(diag=busy)) == [
        (True, "slurmctld strains: 256 threads, agent queue 1,900, main cycle 2.9 s (mean 0.0 s); who asks so much: "
               ":control")
    ]  # fmt: skip


def test_a_job_that_does_not_end():
    stuck = with_(WELL, completing=(completing(), completing("2", ago=4 * MINUTE)))
    assert told(site(stuck)) == [
        (True, "gpu0412: job 88121 COMPLETING for 12m, past UnkillableStepTimeout 180 s: its processes hang in the "
               "kernel; reboot")
    ]  # fmt: skip
    assert "past UnkillableStepTimeout:" in told(site(with_(stuck, unkillable_s=None)))[0][1]
    assert told(site(with_(WELL, completing=(Completing(job="1", user="a", nodes="gpu1"),)))) == [], "since when?"


def test_many_that_do_not_end_are_one_line_and_their_nodes_are_told_once():
    stuck = tuple(completing(str(n), nodes=f"gpu{n:04d}") for n in range(1, 6))
    cluster = site(with_(WELL, completing=stuck), nodes=rack([down(1)]))
    texts = [one.text for one in attention_lines(cluster, NOW, mono=101.0)]
    assert texts == ["5 jobs COMPLETING, past UnkillableStepTimeout 180 s: hung processes or a file system: "
                     "gpu[0001-0005]"]  # fmt: skip


def test_runaway_jobs():
    lost = tuple(Runaway(job=str(n), user="bob", since=int(NOW - n * DAY)) for n in range(1, 6))
    ((bad, text),) = told(site(with_(WELL, runaway=lost)))
    assert not bad and text.startswith("5 runaway jobs: slurmdbd charges what slurmctld does not know (1 bob, 2 bob, 3")
    assert told(site(with_(WELL, runaway=lost[:1])))[0][1].startswith("a runaway job: ")
    assert told(site(with_(WELL, runaway=None))) == []


def test_nobody_is_accused_on_old_facts():
    bad = with_(WELL, dbd_up=False, completing=(completing(),))
    busy = with_(CALM, server_threads=256)
    assert told(site(bad, busy)) != []
    assert told(site(bad, busy), mono=400.0) == [] and told(site(bad, busy, ok=False)) == []


# -- figures -----------------------------------------------------------------------------------------------------------


def lines(cluster):
    return ["".join(text for text, _ in one.spans) for one in control_lines.lines(cluster, NOW)]


def test_the_figures_above_the_tables():
    spent = Cost(user="alice", calls_min=24.0, ms_min=30.0)
    over = with_(WELL, controllers=(with_(BOTH[0], up=False), BOTH[1]), runaway_at=int(NOW - 3 * MINUTE))
    found = lines(site(over, cost=spent))
    assert found[0].split() == ["slurmctld", "ctl1", "primary", "✖", "does", "not", "answer"]
    assert "ctl2 backup  ● in control: it has taken over" in found[1] and "dbd1 ● answers" in found[2]
    assert "threads 3 of 256" in found[3] and "main 1 ms, mean 1 ms" in found[4]
    assert "24 calls, 30 ms a minute: all that alice runs" in found[5]
    assert "a step may take 180 s to die" in found[6] and "none runaway" in found[6] and "3m ago" in found[6]


def test_where_none_answers_the_fault_stands_above_what_was_last_known():
    cluster = site(ok=False)
    assert lines(cluster)[0].split()[0] == "now" and "ctl1 primary" in lines(cluster)[1]


def test_what_is_not_known_is_said():
    found = lines(site(None, None))
    assert found[0].split()[:2] == ["daemons", "unknown:"] and found[1].split()[:2] == ["sdiag", "unknown:"]
    assert "runaway jobs not known" in lines(site(with_(WELL, runaway=None)))[-1]
    assert "runaway" not in lines(site(with_(WELL, dbd=None, runaway=None)))[-1], "there are no accounts"


def test_who_asks_and_which_jobs_hang():
    found = rpc_users(Diag(user_calls={"root": 10, "al": 4}, user_time_us={"root": 3_000_000}))
    assert (found["root"].of_us, found["al"].time_us) == (3_000_000, None) and rpc_users(None) == {}
    jobs = [make.job("1", "COMPLETING", "gpu0001"), make.job("9", "COMPLETING", "gpu0002"), make.job("3")]
    known = with_(WELL, completing=(completing("1"),), runaway=(Runaway(job="7", user="bob"),))
    rows = hung(site(known, jobs=jobs), NOW)
    assert [(one.job, one.what, one.late) for one in rows.values()] == [
        ("9", "completing", False), ("1", "completing", True), ("7", "runaway", True)
    ]  # fmt: skip
    times = {None: "—", 430: "430 µs", 1_400: "1 ms", 31_200_000: "31.2 s", 900_000_000: "15m"}
    assert [duration_us(us) for us in times] == list(times.values())


# -- the screen --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_the_screen_at_rest(size):
    async with console(size) as op:
        await op.arrive({"control"})
        await op.command("control")
        await op.comes("Slurm's daemons")
        op.sees("ctl1", "● in control", "ctl2", "○ standby", "threads", "DBD queue", "backfill", "Who asks slurmctld",
                "Jobs that end or should have", "no job is completing")  # fmt: skip
        await op.press("enter")
        await op.comes("user=")


@pytest.mark.slow
async def test_a_fail_over_and_a_job_that_hangs():
    clock = ManualClock()
    async with console((200, 50), clock=clock, incident="controller") as op:
        await op.arrive({"control"})
        clock.advance(STARTS_S + 20 * MINUTE)
        await op.look_again()
        await op.comes("ctl1 (primary) does not answer")
        op.sees("messages wait for slurmdbd", "COMPLETING for 20m, past")
        await op.command("control")
        await op.comes("it has taken over")
        op.sees("✖ completing", "1 too long")
        (job,) = op.machine.incidents.hung
        await op.press("tab", "enter")
        await op.until(lambda: getattr(op.app.screen, "key", None) == job, "the job is open")


def test_a_masked_recording_names_none_of_them():
    lost = tuple(Runaway(job=user, user=user) for user in ("alice", "bo"))
    found = with_(WELL, completing=(completing(),), runaway=lost)
    masks = Masks()
    masks.learn(site(found))
    made = Masked(masks)(site(found)).control
    assert made.completing[0].user == made.runaway[0].user == "user001" and made.runaway[1].user == "user002"

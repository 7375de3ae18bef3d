"""The past on the screens: the last jobs of a node, what a job came to, the end of what it wrote."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from collectors.clock import ManualClock
from collectors.model import SourceFault
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from collectors.sim.sources import forget, running
from console.clusters import cluster_session
from console.queue.job_accounting import end_reason
from console.recording.replay_site import NotRecorded
from tests.support.operator import console

pytestmark = pytest.mark.slow

DAY = 86_400


class Fails:
    """Accounts that cannot be asked."""

    def __init__(self, kind: str, what: str, mend: str = "") -> None:
        self._given = (kind, what, mend)

    def __getattr__(self, name):
        def asked(*_):
            raise SourceFault(*self._given)

        return asked


def made(**more) -> tuple[Machine, ManualClock]:
    clock = ManualClock()
    return Machine(SimSettings(nodes=64, **more), clock), clock


# -- the simulated cluster ---------------------------------------------------------------------------------------------


def test_every_job_that_it_tells_of_has_an_account_and_was_on_the_charts():
    machine, clock = made()
    books, past = machine.accounting, machine.sensor_history
    clock.advance(6 * 3600)
    machine.advance()
    since = int(machine.now) - 7 * DAY
    seen = set()
    for host in machine.site.hosts[:24]:
        runs = books.jobs(host, since, 40)
        assert [run.ended for run in runs] == sorted((run.ended for run in runs), reverse=True)
        for run in runs:
            found = books.account(run.id)
            assert found is not None and run in (found.run, *found.earlier)
            assert end_reason(found, machine.now) and host.name in books._site.fold([host.index])
            if run.ended < machine._start:
                assert past.held(host, run.ended - 1), "the charts show its work"
        seen |= {run.state for run in runs}
        assert all(event.began <= (event.ended or event.began) for event in books.events(host, since))
    assert {"COMPLETED", "FAILED", "TIMEOUT"} <= seen
    assert books.account("1_99999") is books.account("12345") is books.account("87990_999999") is None


def test_the_same_seed_has_the_same_past():
    (one, _), (two, _) = made(seed=7), made(seed=7)
    for number in (0, 11, 63):
        hosts = one.site.hosts[number], two.site.hosts[number]
        since = int(one.now) - 3 * DAY
        assert one.accounting.jobs(hosts[0], since, 30) == two.accounting.jobs(hosts[1], since, 30) != []
        assert one.accounting.events(hosts[0], since) == two.accounting.events(hosts[1], since)


def test_a_node_that_dies_is_in_the_books_of_its_jobs():
    machine, clock = made()
    host = next(host for host in machine.site.hosts if host.jobs)
    jobs = list(host.jobs)
    clock.advance(60)
    machine.advance()
    machine.break_node(host.name, "Not responding")
    books = machine.accounting
    for job in jobs:
        found = books.account(job)
        assert found is not None
        run = found.run if found.run.state == "NODE_FAIL" else found.earlier[0]
        assert (run.state, run.failed_node, run.ended) == ("NODE_FAIL", host.name, int(machine.now))
    event = books.events(host, 0)[0]
    assert (event.state, event.reason, event.ended) == ("DOWN", "Not responding", None)


# -- screens -----------------------------------------------------------------------------------------------------------


def ended_on(op, node: str):
    books = op.machine.accounting
    return books.jobs(op.machine.host(node), int(op.machine.now) - 7 * DAY, 30)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_from_a_node_to_its_last_job_and_to_what_it_wrote(size):
    async with console(size) as op:
        node = next(host.name for host in op.machine.site.hosts if not host.jobs and len(ended_on(op, host.name)) > 2)
        await op.command(f"node {node}")
        screen = op.app.screen
        await op.comes("accounting 0s ago")
        _, second, *_ = ended_on(op, node)
        assert screen.targets("job") == () and screen.targets("node") == (node,), "an ended job is no target"
        await op.press("down", "enter")
        op.sees(f"Job {second.id}")
        await op.comes("accounting, as of")
        account = op.machine.accounting.account(second.id)
        op.sees(second.state, end_reason(account, op.machine.now)[:40], "GPU use", "batch")
        await op.command("log")
        await op.comes(f"slurm-{second.id}.out")
        op.sees("s/step")
        await op.press("escape", "escape")
        await op.until(lambda: op.app.screen is screen, "back on the node")


@pytest.mark.slow
async def test_a_job_that_has_ended_opens_by_its_number():
    async with console() as op:
        run = ended_on(op, "gpu0002")[0]
        await op.command(f"job {run.id}")
        await op.comes("accounting, as of")
        op.sees(run.user, "Steps, and its nodes meanwhile")
        await op.press("escape")
        await op.command("job 4711")
        await op.comes("the accounting has no job 4711")
        await op.press("escape")
        for text in ("job x", "job 1;2", "log 1.2"):
            await op.command(text)
            op.sees("is known" if text.startswith("job") else "no job's number")
            await op.press("escape")


async def test_a_job_that_ends_while_it_is_looked_at():
    async with console() as op:
        job = next(iter(op.machine.queue.runs))
        await op.command(f"job {job}")
        await op.comes("time left")
        op.machine.queue.end(job, "OUT_OF_MEMORY")
        await op.look_again()
        await op.comes("out of memory in")


async def test_a_job_that_was_queued_again_says_what_ended_it_before():
    async with console() as op:
        queue = op.machine.queue
        job = next(job for job in queue.runs if job not in queue.interactive | queue.not_requeueable)
        name = op.machine.site.hosts[queue.runs[job].hosts[0]].name
        op.machine.break_node(name, "Not responding")
        await op.look_again()
        await op.command(f"job {job}")
        await op.comes("queued again after")
        op.sees(f"killed by the failure of {name} at ", "node fail")


@pytest.mark.slow
async def test_a_site_without_accounts_is_told_in_a_quiet_line(monkeypatch):
    async with console() as op:
        op.app.session.ledger = Fails("missing", "this site keeps no job accounting: there is no slurmdbd")
        await op.command("node gpu0002")
        await op.comes("last jobs: this site keeps no job")
        op.sees_not("out of service:")
        await op.press("escape")
        await op.command("job 4711")
        await op.comes("why it ended: this site keeps no job")
        await op.press("escape")
        op.app.session.ledger = Fails("timeout", "sacct gave no answer in 20 s", "is slurmdbd busy?")
        await op.command("node gpu0002")
        await op.comes("last jobs: sacct gave no answer")


class Uncounted:
    """Accounting of a site whose Slurm counts no GPUs."""

    def __init__(self, real) -> None:
        self._real = real

    def account_of_job(self, job):
        return replace(self._real.account_of_job(job), gpu_util_pct=None, cpu_s=None)


async def test_where_slurm_counts_no_gpus_the_charts_tell():
    async with console() as op:
        op.app.session.ledger = Uncounted(op.app.session.ledger)
        run = next(run for host in ("gpu0002", "gpu0003", "gpu0004") for run in ended_on(op, host) if run.gpus == 8)
        await op.command(f"job {run.id}")
        await op.comes(f"of all GPUs of {run.nodes}  (telemetry)")
        op.sees("not counted by Slurm")


async def test_what_is_in_no_script_has_no_log():
    async with console() as op:
        await op.command("log")
        op.sees("put the cursor on a job, or name one")
        await op.press("escape")
        bare = next(iter(op.machine.queue.interactive & op.machine.queue.runs.keys()))
        await op.command(f"log {bare}")
        await op.comes("is unknown")


async def test_a_job_that_waits_has_written_nothing_and_is_not_asked_for():
    async with console() as op:
        waits = next(job.id for job in op.cluster.jobs.values() if job.nodes is None and not job.restarts)
        await op.command(f"log {waits}")
        await op.comes(f"job {waits} waits: it has written nothing yet")


def test_a_recording_has_no_ledger():
    gone = NotRecorded()
    for ask in (
        lambda: gone.jobs_of_node("gpu0001", 0, 1), lambda: gone.events_of_node("gpu0001", 0),
        lambda: gone.account_of_job("1"), lambda: gone.log_tail("/x", None),
    ):  # fmt: skip
        with pytest.raises(SourceFault, match="not recorded"):
            ask()


def test_each_cluster_has_accounts_of_its_own():
    from console.config.settings import Config
    from console.session.cluster_sources import demo

    try:
        one = cluster_session.ClusterSession(demo(SimSettings(nodes=4)), Config())
        assert one.ledger.jobs_of_node("gpu0001", 0, 3) is not None
        assert running("demo", SimSettings(nodes=4)) is not None
    finally:
        forget("demo")

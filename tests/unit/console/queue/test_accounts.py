"""Accounts: who holds what, from jobs alone and with what Slurm's accounts add; and its screen."""

from __future__ import annotations

import pytest

from collectors.clock import ManualClock
from collectors.model import Factors, Job, Limit, Limits, Share, SourceFault
from console.queue.accounts import (
    NO_ACCOUNT,
    HeldResources,
    account_holders,
    account_subtree,
    account_users,
    applicable_limits,
    fullest_limit,
    holdings,
    matching_accounts,
)
from console.queue.pending_reason import PendingFacts, pending_reason
from console.queue.queue_reads import CACHE_S, QueueCache
from console.recording.replay_site import NotRecorded
from console.screens.accounts import AccountsScreen
from console.session.cluster_sources import ClusterSources
from tests.support import make
from tests.support.make import cluster
from tests.support.operator import console


def job(id: str, user: str, account: str | None, gpus: int, running: bool = True) -> Job:
    more = {"nodes": "gpu0001", "node_count": 1} if running else {"state": "PENDING"}
    return make.job(id, user=user, account=account, gpus=gpus, **more)


JOBS = [
    job("1", "alice", "ml", 8), job("2", "alice", "ml", 4), job("3", "bob", "ml", 16, running=False),
    job("4", "carol", "small", 32), job("5", "alice", "other", 1),
]  # fmt: skip
SHARES = [
    Share(account="root", shares_norm=1.0),
    Share(account="ml", parent="root", shares=3, shares_norm=0.75, usage=10, usage_part=0.9),
    Share(account="ml", user="alice", shares=1, shares_norm=0.5, factor=0.25),
    Share(account="ml", user="dave", shares=1, shares_norm=0.5, factor=0.75),
    Share(account="small", parent="ml", shares=1, shares_norm=0.25),
]
LIMITS = Limits(
    limits=(
        Limit(name="GrpTRES", tres="gres/gpu", most=64, used=60, account="ml"),
        Limit(name="GrpTRES", tres="cpu", most=1000, used=10, account="ml"),
        Limit(name="MaxTRESPU", tres="gres/gpu", most=16, used=12, qos="normal", user="alice"),
        Limit(name="GrpTRES", tres="gres/gpu", most=200, used=199, qos="large"),
        Limit(name="MaxWallPJ", most=60, account="ml"),
    ),
    parents={"ml": "root", "small": "ml"},
)


def test_what_somebody_holds_is_counted_from_jobs():
    held = holdings(cluster(jobs=JOBS))
    assert held["ml", "alice"] == HeldResources(running=2, gpus=12, nodes=2)
    assert held["ml", "bob"] == HeldResources(pending=1, gpus_requested=16)


def test_accounts_hold_what_those_under_them_hold():
    rows = account_holders(cluster(jobs=JOBS), SHARES, LIMITS)
    assert {name: row.held.gpus for name, row in rows.items()} == {"root": 44, "ml": 44, "small": 32, "other": 1}
    assert rows["ml"].users == 4 and rows["ml"].held.pending == 1
    assert list(rows) == ["root", "ml", "small", "other"]
    assert account_subtree("ml", SHARES, None) == ("ml", "small")


def test_without_slurmdbd_it_is_jobs_alone():
    rows = account_holders(cluster(jobs=[*JOBS, job("9", "eve", None, 2)]), (), None)
    assert {name: row.held.gpus for name, row in rows.items()} == {"small": 32, "ml": 12, NO_ACCOUNT: 2, "other": 1}
    assert all(row.share is row.nearest is None for row in rows.values())


def test_users_of_an_account_with_those_who_have_a_share_alone():
    found = account_users("ml", cluster(jobs=JOBS), SHARES, LIMITS)
    assert list(found) == ["small/carol", "ml/alice", "ml/bob", "ml/dave"]
    assert list(account_users("small", cluster(jobs=JOBS), SHARES, LIMITS)) == ["small/carol"]
    alice = found["ml/alice"]
    assert alice.share is not None and alice.share.factor == 0.25
    assert alice.nearest is not None and alice.nearest.qos == "normal"
    assert found["ml/bob"].share is None and found["ml/dave"].held == HeldResources()


def test_the_nearest_limit_is_that_of_which_most_is_in_use():
    found = fullest_limit("ml", None, LIMITS)
    assert found is not None and (found.tres, found.used) == ("gres/gpu", 60)
    assert fullest_limit("other", None, LIMITS) is None
    assert [one.account or one.qos for one in applicable_limits("small", LIMITS)] == ["ml", "ml", "large"]


def test_a_filter_finds_accounts_by_their_users():
    rows = account_holders(cluster(jobs=JOBS), SHARES, LIMITS)
    assert list(matching_accounts(rows, "CAR", {"small": {"carol"}})) == ["small"]


# -- asked sparingly ------------------------------------------------------------------------------------------------


class Counted:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fault = False

    def factors(self, job: str) -> Factors:
        self.calls.append(f"factors {job}")
        return Factors(job=job)

    def shares(self) -> list[Share]:
        self.calls.append("shares")
        if self.fault:
            raise SourceFault("missing", "no priority/multifactor")
        return []

    def limits(self) -> Limits:
        self.calls.append("limits")
        return Limits()


def test_once_a_minute_at_most_faults_too():
    clock, asked = ManualClock(), Counted()
    sparing = QueueCache(asked, clock)
    first = sparing.shares()
    clock.advance(CACHE_S - 1)
    assert sparing.shares() is first and asked.calls == ["shares"]
    clock.advance(2)
    asked.fault = True
    fault = sparing.shares()
    assert fault.known is None and fault.fault is not None and fault.mono == clock.mono()
    clock.advance(CACHE_S - 1)
    assert sparing.shares() is fault and asked.calls == ["shares", "shares"]
    sparing.factors("1"), sparing.factors("2"), sparing.factors("1")
    assert asked.calls[2:] == ["factors 1", "factors 2"]


def test_where_nobody_can_be_asked_it_says_so():
    with pytest.raises(SourceFault, match="no Slurm here"):
        ClusterSources(name="x", demo=False, slurm=None, others={}).queueing().shares()
    for ask in (NotRecorded().limits, NotRecorded().shares, lambda: NotRecorded().factors("1")):
        with pytest.raises(SourceFault, match="not recorded"):
            ask()


# -- the screen -----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
@pytest.mark.slow
async def test_the_screen_on_the_simulated_cluster(size):
    async with console(size) as op:
        await op.press("A")
        screen = op.app.screen
        assert isinstance(screen, AccountsScreen)
        await op.until(lambda: screen._limits is not None, "shares and limits")
        op.sees("Accounts", "Users", " gres/gpu", "fair share" if size[0] > 80 else "GPUs")
        held = {key: row.held.gpus for key in screen.table.keys if (row := screen.table.row_of(key))}
        assert (
            list(held.values()) == sorted(held.values(), reverse=True) and held["root"] == op.cluster.totals.gpus_alloc
        )
        await op.press("slash")
        await op.type("alice")
        await op.press("enter")
        assert set(screen.table.keys) == {"rug-nlp"}, "the account of whom the filter names"
        op.sees("alice", "bob")
        await op.press("tab", "home", "enter")
        await op.until(lambda: op.app.screen.crumb == "jobs", "the jobs of the user under the cursor")
        user = screen.members.cursor_key.partition("/")[2]
        assert op.list.filter_text == f'account="rug-nlp" & user="{user}"'
        assert {op.cluster.jobs[key].user for key in op.list.table.keys} == {user}


async def test_ctrl_r_asks_again_no_sooner_than_in_a_minute():
    clock = ManualClock()
    async with console((100, 30), clock=clock) as op:
        await op.press("A")
        screen = op.app.screen
        assert isinstance(screen, AccountsScreen)
        await op.until(lambda: screen._limits is not None, "limits")
        first = screen._limits
        clock.advance(30)
        await op.press("ctrl+r")
        await op.comes("shares and limits are asked for once")
        assert screen._limits is first
        clock.advance(CACHE_S)
        await op.press("ctrl+r")
        await op.until(lambda: screen._limits is not first, "they were asked again")


async def test_the_simulated_cluster_weighs_as_it_schedules():
    async with console((100, 30), nodes=256) as op:
        asked, jobs = op.app.session.queueing, op.cluster.jobs
        waiting = [one for one in jobs.values() if one.state == "PENDING"]
        for one in [one for one in waiting if one.priority][:20]:
            found = asked.factors(one.id).known
            assert found is not None and sum(found.points.values()) == found.priority == one.priority
        capped = next(one for one in waiting if one.reason == "QOSMaxGRESPerUser")
        limits, shares = asked.limits().known, asked.shares().known
        assert limits is not None and shares is not None
        text = pending_reason(capped, op.cluster, op.app.clock.now(), PendingFacts(limits=limits)).sentence
        held = sum(one.gpus_held or 0 for one in jobs.values() if one.user == capped.user and one.qos == "normal")
        cap = op.machine.queue.gpu_cap
        assert text.startswith(
            f"QOS normal allows {capped.user} {cap} GPUs at a time: {held} GPUs are in use, and it asks"
        )
        assert held + (capped.gpus or 0) > cap, "it waits for what it says"
        assert {(one.account, one.user) for one in shares if one.user} >= {(one.account, one.user) for one in waiting}


async def test_without_accounts_jobs_alone_and_why():
    async with console((100, 30)) as op:
        asked = Counted()
        asked.fault = True
        op.app.session.queueing = QueueCache(asked, op.app.clock)
        await op.press("A")
        await op.comes("no priority/multifactor")
        op.sees("shares unknown", "rug-nlp")


async def test_a_pending_job_tells_why_it_waits():
    async with console((80, 24)) as op:
        waiting = next(one for one in op.cluster.jobs.values() if one.state == "PENDING" and one.reason == "Priority")
        op.app.navigation.open_row("job", waiting.id)
        await op.comes("Pending reason")
        await op.comes("with a higher priority")
        await op.until(lambda: "priority" in op.screen() and "= partition" in op.screen(), "its factors")
        running = next(one for one in op.cluster.jobs.values() if one.state == "RUNNING")
        op.app.pop_screen()
        op.app.navigation.open_row("job", running.id)
        await op.comes("time left")
        op.sees_not("Pending reason")

"""What a person sees of the sparing: what the console costs, that it holds back, and fresh facts where they look."""

from __future__ import annotations

import msgspec
import pytest

from collectors.sim.sources import SimSource
from tests.support.operator import console


@pytest.fixture(autouse=True)
def _own_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def due_s(op, kind: str) -> float:
    return op.cluster.sources[f"slurm.{kind}"].due_s


@pytest.mark.slow
async def test_the_overview_tells_what_the_console_costs():
    async with console((200, 50)) as op:
        await op.until(lambda: op.cluster.diag, "sdiag")
        op.sees("slurmctld", "ms a cycle")
        op.sees_not("seldomer")
        op.app.clock.advance(3600)
        op.app.session.poller.refresh_now(["slurm.diag"])
        await op.until(lambda: op.cluster.cost, "a second reading of sdiag")
        assert op.cluster.cost.user == op.machine.operator and op.cluster.cost.calls_min == pytest.approx(12, abs=0.5)
        await op.comes(f"{op.machine.operator} {op.cluster.cost.calls_min:,.0f} calls, ")


async def test_while_the_controller_strains_it_says_that_it_holds_back(monkeypatch):
    async with console((200, 50)) as op:
        before = due_s(op, "nodes")
        well = op.machine.diag
        monkeypatch.setattr(op.machine, "diag", lambda: msgspec.structs.replace(well(), server_threads=256))
        op.app.session.poller.refresh_now(["slurm.diag"])
        await op.comes("read 2.6x seldomer")
        op.app.session.poller.refresh_now(["slurm.nodes"])
        await op.until(lambda: due_s(op, "nodes") == 2.56 * before, "nodes are read seldomer")
        monkeypatch.setattr(op.machine, "diag", well)
        op.app.session.poller.refresh_now(["slurm.diag"])
        await op.until(lambda: "seldomer" not in op.screen(), "all is well again")


@pytest.mark.slow
async def test_partitions_are_read_seldom_until_they_are_on_the_screen():
    async with console() as op:
        often = 30.0
        for key, expected in (("2", 5 * often), ("7", often), ("1", 5 * often)):
            await op.press(key)
            op.app.session.poller.refresh_now(["slurm.partitions", "slurm.reservations"])
            for kind in ("partitions", "reservations"):
                await op.until(lambda k=kind, s=expected: due_s(op, k) == s, f"{kind} every {expected} s on {key}")


async def test_who_opens_the_partitions_finds_them_fresh():
    async with console() as op:
        await op.press("2")
        read = op.cluster.sources["slurm.reservations"].read_mono
        op.app.clock.advance(45)
        await op.press("7")
        await op.until(lambda: op.cluster.sources["slurm.reservations"].read_mono == read + 45, "a reading at once")


@pytest.mark.slow
async def test_the_jobs_on_the_screen_are_told_to_a_transport_that_reads_all_of_them_seldom(monkeypatch):
    told = []
    monkeypatch.setattr(SimSource, "show", lambda self, ids: told.append((self.name, ids)), raising=False)
    async with console() as op:
        await op.press("3")
        table = op.app.screen.table
        for key in ("home", "pagedown"):
            await op.press(key)
            seen = frozenset(table.keys[table.top : table.top + table.page])
            await op.until(lambda ids=seen: ("slurm.jobs", ids) in told, f"what is seen after {key}")
        await op.press("space", "home")
        await op.until(lambda: told and table.marked <= told[-1][1] != table.marked, "marked ones that scrolled away")

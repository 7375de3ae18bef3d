"""Fabric and Storage at the console of the simulated cluster, and the node that hangs on them."""

from __future__ import annotations

import pytest

from collectors.clock import ManualClock
from collectors.slurm import SlurmSettings
from console.app.app import WachtApp
from console.config.settings import Config
from console.session import cluster_sources
from tests.support import make
from tests.support.operator import Operator, console

SMALL, LARGE = (80, 24), (200, 50)


async def later(op: Operator, clock: ManualClock, seconds: float) -> None:
    """Let the machine move on, and the console read it."""
    clock.advance(seconds)
    await op.look_again()


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_switch_that_loses_links(size):
    clock = ManualClock()
    async with console(size, clock=clock, incident="fabric") as op:
        await op.arrive({"fabric"})
        await later(op, clock, 180)
        hit = op.machine.incidents.affected
        leaf = op.machine.host(hit[0]).switch
        await op.until(lambda: sum(port.switch == leaf for port in op.cluster.ports.values()) > 20, "its ports")
        await op.press("F")
        op.sees("Fabric", "ports,", "down   ≈", leaf, "Ports that are not well")
        assert ("without a cable" in op.screen()) == (size == LARGE)
        assert op.app.screen.upper.cursor_key == f"switch/{leaf}", "the worst is the first"
        assert set(op.app.screen.targets("node")) <= set(hit) and len(op.app.screen.targets("node")) >= 14
        await op.press("enter")
        row = op.app.screen.lower.row_of(op.app.screen.lower.cursor_key)
        assert op.app.screen.targets("node") == (row.node,) and row.switch == leaf
        assert op.app.screen.suggested_reason("drain").startswith(row.device)
        await op.press("enter")
        await op.until(lambda: op.app.screen.key == row.node, "the node")
        if size == LARGE:
            await op.comes("mlx5_0")
            op.sees("Gb/s", "mounts", "/scratch")


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_file_system_that_hangs(size):
    clock = ManualClock()
    async with console(size, clock=clock, incident="storage") as op:
        await op.arrive({"storage"})
        assert "storage ok" in op.screen() or size == SMALL
        await op.press("S")
        op.sees("Storage", "/scratch", "/home", "well")
        assert op.app.screen.upper.select("/scratch")
        await later(op, clock, 300)
        hit = op.machine.incidents.affected
        await op.until(lambda: op.cluster.storage["/scratch"].hung == hit, "the hang")
        await op.comes("hangs")
        op.sees("jobs on nodes where one hangs", "/scratch  16", hit[0])
        assert ("jobs hit, by user" in op.screen()) == (size == LARGE), "the details are where there is room"
        assert op.app.screen.upper.size.height < 6 or size == SMALL, "no room is left blank between the tables"
        assert ("storage /scratch hangs on 16" if size == LARGE else "hangs") in op.screen().splitlines()[0]
        await op.until(lambda: "Kill task failed" in op.screen(), "what cannot end")
        assert op.app.screen.targets("node") == hit and op.app.screen.suggested_reason("drain") == "/scratch hangs"
        await op.press("enter", "enter")
        await op.until(lambda: op.app.screen.key == hit[0], "the node")


@pytest.mark.slow
async def test_commands_lead_there_and_an_absent_source_is_told():
    async with console(SMALL) as op:
        for command, crumb in (
            ("fabric", "fabric"),
            ("switches", "fabric"),
            ("storage", "storage"),
            ("mounts", "storage"),
        ):
            await op.command(command)
            assert op.app.screen.crumb == crumb


async def test_a_slurm_without_prometheus_says_what_to_configure(tmp_path, monkeypatch):
    slurm = make.Commands(tmp_path, monkeypatch)
    slurm.says("sinfo", "")
    place = cluster_sources.ClusterSources(name="lab", demo=False, slurm=SlurmSettings(), others={})
    app = WachtApp(place, Config())
    try:
        async with app.run_test(size=SMALL) as pilot:
            op = Operator(app, pilot)
            for key, words in (("F", "ports come from node_exporter"), ("S", "mounts come from node_exporter")):
                await op.press(key)
                await op.comes(words)
    finally:
        app.session.poller.stop()

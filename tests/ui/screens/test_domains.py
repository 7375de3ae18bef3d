"""The Domains screen, in an operator's words."""

from __future__ import annotations

import pytest

from console.plant import nvlink_domains
from tests.support.operator import console

SMALL, LARGE = (80, 24), (200, 50)


@pytest.fixture(autouse=True)
def _own_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


async def arrive(op, seconds=0):
    await op.until(lambda: {"domains", "nodes"} <= op.cluster.known, "domains")
    op.app.clock.advance(seconds)
    await op.look_again()
    await op.press("V")
    await op.until(lambda: op.app.screen.crumb == "domains" and op.app.screen.cluster is op.cluster, "it shows")


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_domain_that_fell_apart_stands_first(size):
    async with console(size, nodes=72, incident="nvlink") as op:
        await arrive(op, 90)
        screen = op.app.screen
        broken = op.machine.host(op.machine.incidents.affected[0]).rack
        assert screen.table.keys[0] == broken and len(screen.table.keys) == 4
        op.sees("NVLink domains", "1 degraded", f"✖ {broken}", "unhealthy", "-tray job fits")
        await op.press("enter")
        op.sees("Nodes  18 of 72")


@pytest.mark.slow
async def test_it_is_named_and_needs_you_and_the_map_say_so():
    async with console(LARGE, nodes=72, incident="nvlink") as op:
        await arrive(op, 90)
        broken = op.machine.host(op.machine.incidents.affected[0]).rack
        await op.press("1")
        op.sees(f"{broken}!", f"{broken} fell apart")
        await op.command(f"node {op.machine.incidents.affected[0]}")
        op.sees(f"domain         {broken} clique", "fabric unhealthy")


async def test_a_machine_without_any_says_why():
    async with console(SMALL) as op:
        await arrive(op)
        op.sees("no NVLink domain is known", "NVLink domains  0")


@pytest.mark.slow
async def test_the_drain_of_a_tray_says_what_no_longer_fits():
    async with console(LARGE, nodes=72, nvl72=True) as op:
        await arrive(op)
        name = next(name for name in op.machine.domains()["R03"].nodes if op.machine.host(name).usable)
        await op.command(f"drain {name} a test")
        op.sees("NVLink", "R03 ", "-tray job fits")


async def test_with_room_every_tray_of_the_domain_is_beside_the_list():
    async with console((120, 40), nodes=72, incident="nvlink") as op:
        await arrive(op, 90)
        one = nvlink_domains.domain_states(op.cluster)[op.app.screen.table.cursor_key]
        assert op.app.screen.detail.region.x > 0
        op.sees("trays", *one.nodes, "fabric unhealthy")

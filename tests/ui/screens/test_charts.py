"""Charts on the screens: their limits, what they mark, and that they take the room there is."""

from __future__ import annotations

import pytest

from collectors.nodeset import names_in
from console.screens.node import NodeScreen
from tests.support.operator import console


def lines_with(op, text: str) -> list[str]:
    return [line for line in op.screen().splitlines() if text in line]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
@pytest.mark.slow
async def test_the_charts_of_a_node_have_limits_marks_and_most_of_the_screen(size):
    async with console(size) as op:
        await op.arrive({"loads", "jobs", "nodes"})
        await op.command("node gpu0017")
        await op.until(lambda: isinstance(op.app.screen, NodeScreen) and op.app.screen._ended_jobs, "the last jobs")
        await op.press("g", "g", "g")
        await op.comes("hot 85 °C")
        await op.comes("job start")
        op.sees("utilisation and memory  24 h", "temperature  24 h", "power  24 h", "⠒⠒ memory", "°C┤", "kW┤")
        assert len(lines_with(op, "└")) >= 2
        plotted = [line for line in op.screen().splitlines() if "┤" in line or (" │" in line and "█" in line)]
        assert len(plotted) >= size[1] * 0.4, op.screen()


@pytest.mark.slow
async def test_an_action_is_marked_on_the_chart_of_its_node():
    async with console((120, 40)) as op:
        await op.arrive({"loads", "jobs", "nodes"})
        await op.command("node gpu0017")
        await op.press("d")
        await op.confirm(reason="x", answer="y")
        await op.until(lambda: op.app.journal_queries.action_times(op.app.session, 0.0, "node", "gpu0017"), "drained")
        await op.press("g")
        await op.comes("▲ action")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@pytest.mark.slow
async def test_the_power_chart_has_the_budget_as_a_line(size):
    async with console(size) as op:
        await op.arrive({"power"})
        await op.command("power")
        await op.comes("Site power  6 h")
        await op.comes("╌")
        op.sees("budget 5", "kW┤")


@pytest.mark.slow
async def test_a_running_job_has_a_chart_where_there_is_room():
    async with console((120, 40)) as op:
        await op.arrive({"loads", "jobs", "nodes"})
        job = next(
            job.id for job in op.cluster.jobs.values() if job.state == "RUNNING" and len(names_in(job.nodes)) > 1
        )
        await op.command(f"job {job}")
        await op.comes("most and least used of")
        await op.comes("⠒⠒ gpu")
    async with console((80, 24)) as op:
        await op.arrive({"loads", "jobs", "nodes"})
        await op.command(f"job {job}")
        await op.comes("More from Slurm")
        op.sees_not("GPU utilisation  most")

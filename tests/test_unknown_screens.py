"""Every screen with each source missing, one at a time: what is unknown never reads as none, 0 or well.

A source is missing in three ways: it is not configured, it fails from the start, or it answered once (with nothing, so
that every list is empty) and fails now. Where it answers with nothing, the same screens say none: so the words that must
not stand there are the words in use.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from collectors.clock import ManualClock
from collectors.model import KINDS, SINGLES, Cluster, Diag, Facts, Fault, Reading
from collectors.sim import SimSettings
from collectors.sim.sources import open_sources
from console.poller import read
from console.reduce import begin, reduce
from tests.operator import console

SETTINGS = {"nodes": 64}
WAYS = ("absent", "fails", "stale")
#: What each screen says where a source has answered that there is nothing: false as soon as it is missing.
NONE: dict[str, dict[str, tuple[str, ...]]] = {
    "slurm.nodes": {
        "nodes": ("there are no nodes",), "inbox": ("every node is in service",), "power": ("no racks",),
        "domains": ("no NVLink domain is known",), "node gpu0003": ("no node gpu0003 is known",),
    },
    "slurm.jobs": {
        "overview": ("no job holds a GPU",), "jobs": ("there are no jobs",), "gpus": ("│ none ",),
        "power": ("no running jobs",), "control": ("no job is completing",), "node gpu0003": ("no job is on this node",),
    },
    "slurm.partitions": {"partitions": ("there are no partitions",)},
    "slurm.reservations": {"partitions": ("no reservation is set",)},
    "slurm.diag": {"control": ("sdiag names nobody",)},
    "prom.loads": {"gpus": (
        "no XID was reported", "│ none ", "no node tells a temperature", "no node tells its power"
    )},
    "prom.fabric": {"fabric": ("every port behind",)},
    "prom.storage": {"storage": ("no shared file system is known",)},
    "prom.cooling": {"cooling": ("the series of cooling name no loop",)},
    "alerts.alerts": {"alerts": ("no alerts: Alertmanager holds none", "Silences  none")},
}  # fmt: skip
#: What stands there where a source is not configured, where that is more than `unknown: SOURCE is not configured`.
ABSENT = {
    "prom.fabric": "no Prometheus is configured", "prom.storage": "no Prometheus is configured",
    "prom.cooling": "no cooling is configured", "alerts.alerts": "alerts unknown: no Alertmanager is configured",
}  # fmt: skip
#: Figures that a source gives, and the screens that show them: `none` where it says 0. Old ones stay, and say so.
FIGURES: dict[str, dict[str, tuple[str, ...]]] = {
    "slurm.nodes": {"overview": (" Nodes 0", " GPUs 0")},
    "slurm.control": {"control": ("none runaway",)},
    "prom.loads": {"power": ("0 of 64 nodes", "0/16"), "overview": ("0 of 64 nodes",)},
}


def first_readings(clock: ManualClock) -> dict[str, Reading]:
    """One good reading of every source of the simulated machine."""
    sources = open_sources("groningen", SimSettings(**SETTINGS), clock)
    return {one.name: read("groningen", one, clock) for one in sources}


def emptied(facts: Facts) -> Facts:
    """The same answer with no row in it."""
    said = {kind: getattr(facts, kind) if kind in SINGLES else {} for kind in KINDS if getattr(facts, kind) is not None}
    if facts.diag is not None:
        said["diag"] = Diag()
    if facts.control is not None:
        said["control"] = msgspec.structs.replace(facts.control, completing=(), runaway=())
    return Facts(**said)


def without(readings: Mapping[str, Reading], source: str, way: str) -> Cluster:
    """The facts where this source is missing in that way, or answers with nothing (`none`)."""
    names = [name for name in readings if not (way == "absent" and name == source)]
    cluster = begin("groningen", [(name, 10.0) for name in names], demo=True)
    for name in names:
        one = readings[name]
        failed = msgspec.structs.replace(one, facts=None, fault=Fault("refused", f"{name} is gone", "start it"))
        answers = [one]
        if name == source:
            empty = msgspec.structs.replace(one, facts=emptied(one.facts))
            answers = {"fails": [failed], "stale": [empty, failed], "none": [empty]}[way]
        for answer in answers:
            cluster, _ = reduce(cluster, answer)
    return cluster


@pytest.fixture
async def op():
    """An operator whose console reads nothing more by itself."""
    clock = ManualClock()
    async with console((120, 40), clock=clock, **SETTINGS) as operator:
        operator.app.poller.stop()
        await operator.app.workers.wait_for_complete()
        yield operator


async def look(op, cluster: Cluster, screen: str) -> str:
    """What a screen shows of these facts."""
    op.app.fleet[op.app.current] = cluster
    await op.command(screen)
    op.app.screen.take(cluster, None)
    await op.app.workers.wait_for_complete()
    await op.pilot.pause()
    text = op.screen()
    if " " in screen:
        await op.press("escape")
    return text


@pytest.mark.parametrize("source", list(NONE))
async def test_a_list_is_empty_only_where_its_source_answers(op, source):
    readings = first_readings(op.app.clock)
    for screen, words in NONE[source].items():
        shown = await look(op, without(readings, source, "none"), screen)
        assert all(word in shown for word in words), f"{screen}: {words} of\n{shown}"
        for way in WAYS:
            shown = await look(op, without(readings, source, way), screen)
            assert not [word for word in words if word in shown], f"{screen}, {source} {way}:\n{shown}"
            said = ABSENT.get(source, f"unknown: {source}") if way == "absent" else "unknown: "
            assert said in shown, f"{screen}, {source} {way}:\n{shown}"


@pytest.mark.parametrize("source", list(FIGURES))
async def test_a_figure_is_0_only_where_its_source_answers_and_old_where_it_did(op, source):
    readings = first_readings(op.app.clock)
    for screen, words in FIGURES[source].items():
        shown = {way: await look(op, without(readings, source, way), screen) for way in ("none", *WAYS)}
        assert all(word in shown["none"] for word in words) and " old ─╮" not in shown["none"], shown["none"]
        for way in ("absent", "fails"):
            assert not [word for word in words if word in shown[way]], f"{screen}, {source} {way}:\n{shown[way]}"
            assert " old ─╮" not in shown[way], "what was never read is not old"
        assert " old ─╮" in shown["stale"], f"{screen}:\n{shown['stale']}"

"""A node that reboots is rebooting on every screen and in every count, and down once that is overdue."""

from __future__ import annotations

import json
import time

import pytest
from msgspec.structs import replace

from collectors.clock import ManualClock, SystemClock
from collectors.model import Facts
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import SlurmSource
from console.clusters.cluster_summary import summarise
from console.fields.common_cells import Ctx
from console.filters.language import compile_filter
from console.health import drain_reasons
from console.health.xid_policy import default_policy
from console.journal.reader import JournalSnapshot
from console.reports.period import Span
from console.reports.rendering import as_markdown
from console.reports.report import make as make_report
from console.reports.shift_watch import ShiftWatch
from console.session import snapshot
from console.tables import overview_figures
from console.tables.cluster_columns import CLUSTERS, ClusterRow
from tests.support import make
from tests.support.machine_room import texts
from tests.support.make import NOW
from tests.support.operator import console
from widgets.cells import spans_of

ISSUED = "DOWN+DRAIN+REBOOT_ISSUED"


class Reads:
    """The reader of a transport, that answers with these nodes."""

    shared_cache = None
    size = None

    def __init__(self, *nodes) -> None:
        self.nodes = {one.name: one for one in nodes}

    def read(self) -> Facts:
        return Facts(nodes=self.nodes)

    def close(self) -> None:
        """Nothing to do."""


def rebooting(name="gpu0001", ago=60.0, now=None, **more):
    said = {"reason": "fw : reboot issued", "reason_by": "slurm", "reason_at": int((now or time.time()) - ago)}
    return make.node(name, ISSUED, **(said | more))


def read(*nodes, **settings) -> dict[str, str]:
    """The display word of each node, as its source gives it."""
    found = SlurmSource("nodes", SlurmSettings(**settings), Reads(*nodes)).collect().nodes
    return {name: node.display for name, node in found.items()}


@pytest.mark.parametrize(
    ("node", "settings", "says"),
    [
        ({}, {}, "rebooting"),
        ({"ago": 1799.0}, {}, "rebooting"),
        ({"ago": 1801.0}, {}, "down"),
        ({"ago": 1900.0}, {"reboot_s": 3600}, "rebooting"),
        ({"ago": 200.0}, {"reboot_s": 120}, "down"),
        ({"reason": None, "reason_by": None, "reason_at": None}, {}, "rebooting"),
    ],
)
def test_a_reboot_is_no_outage_until_it_is_overdue(monkeypatch, node, settings, says):
    # A clock that stands: a node made when the tests were collected was overdue once they ran for 100 s.
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert read(rebooting(now=NOW, **node), **settings) == {"gpu0001": says}


@pytest.mark.parametrize(("state", "says"), [("DOWN", "down"), ("IDLE+DRAIN", "drained")])
def test_without_a_reboot_no_age_makes_a_node_another(state, says):
    assert read(make.node(state=state, reason_at=1)) == {"gpu0001": says}


def test_it_is_counted_apart_from_down_everywhere():
    cluster = make.cluster(nodes=[rebooting(), make.node("gpu0002", "DOWN"), make.node("gpu0003")])
    assert cluster.totals.nodes_by_display == {"rebooting": 1, "down": 1, "idle": 1}
    assert cluster.totals.gpus_out == 16, "its GPUs are not there meanwhile"
    lines = ["".join(text for text, _ in one.spans) for one in overview_figures.node_lines(cluster, 60, 8)]
    assert any("↻ rebooting" in one and one.rstrip().endswith("1") for one in lines)
    document = json.loads(snapshot.as_json(cluster, SystemClock()))
    assert document["nodes"][0]["display"] == "rebooting" and document["nodes"][0]["state"] == "DOWN"
    assert document["totals"]["nodes_by_display"]["rebooting"] == 1

    def found(text: str) -> list[str]:
        chosen = compile_filter(text, "node")
        return [name for name, node in cluster.nodes.items() if chosen.matches(node, cluster, NOW)]

    assert found("state=down") == ["gpu0002"] and found("state=rebooting") == ["gpu0001"]
    assert found("base=down") == ["gpu0001", "gpu0002"]
    assert "nodes  3: 1 rebooting, 1 down, 1 idle" in snapshot.as_text(cluster, SystemClock())
    row = ClusterRow(standing=summarise(cluster, 100.0, shown=True), needs=())
    out = next(column for column in CLUSTERS if column.key == "out")
    assert "".join(text for text, _ in spans_of(out.cell(row, Ctx(cluster, NOW)))) == "1 ↻1"
    assert [one.displays for one in drain_reasons.drain_groups(cluster, NOW) if one.nodes == ("gpu0001",)] == [
        ("rebooting",)
    ]


async def test_the_map_shows_it_by_its_own_sign():
    async with console((120, 40), screen="overview", clock=ManualClock()) as op:
        op.app.session.poller.stop()
        changed = {**op.cluster.nodes, "gpu0001": rebooting(rack="R01")}
        cluster = replace(op.cluster, nodes=changed)
        op.app.session.cluster = cluster
        op.app.screen.update_cluster(cluster, None)
        await op.pilot.pause()
        first = next(line for line in op.screen().splitlines() if line.startswith("R01"))
        assert first.split()[1] == "↻"


def test_a_report_calls_it_no_failure_until_it_is_overdue():
    def told(display: str) -> str:
        watch = ShiftWatch(NOW - 3600, NOW)
        node = make.node("gpu0001", rack="R01")
        watch.see(make.cluster(nodes=[node]), NOW - 240, None)
        changed = replace(rebooting(now=NOW, rack="R01"), display=display)
        cluster = make.cluster(nodes=[changed])
        watch.see(cluster, NOW - 60, None)
        report = make_report(
            cluster, watch.past(), JournalSnapshot(), Span(NOW - 3600, NOW), default_policy(), peak=None, limits=(),
            journal_fault="", by="ops", made=NOW, mono=0.0, watched=True, whole=True,
        )  # fmt: skip
        return as_markdown(report)

    text = told("rebooting")
    assert "- no node failed" in text
    assert text.index("## Taken out of service by people") < text.index("gpu0001 rebooting by slurm")
    assert "- 1 node failed in 1 event" in told("down")


def test_it_needs_nobody_until_it_is_overdue():
    def told(ago: float) -> list[str]:
        node = rebooting(now=NOW, ago=ago)
        return texts(make.cluster(nodes=[replace(node, display="down") if ago > 1800 else node]))

    assert told(600) == []
    (line,) = told(2400)
    assert "gpu0001 down: fw : reboot issued" in line

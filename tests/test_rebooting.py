"""A node that reboots is rebooting on every screen and in every count, and down once that is overdue."""

from __future__ import annotations

import json
import time

import pytest
from msgspec.structs import replace

from collectors.clock import SystemClock
from collectors.model import Facts
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import Source
from console import figures, snapshot
from console.filters import compile_filter
from tests import make
from tests.room import NOW, texts

ISSUED = "DOWN+DRAIN+REBOOT_ISSUED"


class Reads:
    """The reader of a transport, that answers with these nodes."""

    shelf = None
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
    found = Source("nodes", SlurmSettings(**settings), Reads(*nodes)).collect().nodes
    return {name: node.display for name, node in found.items()}


@pytest.mark.parametrize(
    ("node", "settings", "says"),
    [
        (rebooting(), {}, "rebooting"),
        (rebooting(ago=1700), {}, "rebooting"),
        (rebooting(ago=1900), {}, "down"),
        (rebooting(ago=1900), {"reboot_s": 3600}, "rebooting"),
        (rebooting(ago=200), {"reboot_s": 120}, "down"),
        (rebooting(reason=None, reason_by=None, reason_at=None), {}, "rebooting"),
        (make.node(state="DOWN", reason_at=1), {}, "down"),
        (make.node(state="IDLE+DRAIN", reason_at=1), {}, "drained"),
    ],
)
def test_a_reboot_is_no_outage_until_it_is_overdue(node, settings, says):
    assert read(node, **settings) == {"gpu0001": says}


def test_it_is_counted_apart_from_down_everywhere():
    cluster = make.cluster(nodes=[rebooting(), make.node("gpu0002", "DOWN"), make.node("gpu0003")])
    assert cluster.totals.nodes_by_display == {"rebooting": 1, "down": 1, "idle": 1}
    assert cluster.totals.gpus_out == 16, "its GPUs are not there meanwhile"
    lines = ["".join(text for text, _ in one.spans) for one in figures.node_lines(cluster, 60, 8)]
    assert any("↻ rebooting" in one and one.rstrip().endswith("1") for one in lines)
    document = json.loads(snapshot.as_json(cluster, SystemClock()))
    assert document["nodes"][0]["display"] == "rebooting" and document["nodes"][0]["state"] == "DOWN"
    assert document["totals"]["nodes_by_display"]["rebooting"] == 1

    def found(text: str) -> list[str]:
        chosen = compile_filter(text, "node")
        return [name for name, node in cluster.nodes.items() if chosen.matches(node, cluster, NOW)]

    assert found("state=down") == ["gpu0002"] and found("state=rebooting") == ["gpu0001"]
    assert found("base=down") == ["gpu0001", "gpu0002"]


def test_it_needs_nobody_until_it_is_overdue():
    def told(ago: float) -> list[str]:
        node = rebooting(now=NOW, ago=ago)
        return texts(make.cluster(nodes=[replace(node, display="down") if ago > 1800 else node]))

    assert told(600) == []
    (line,) = told(2400)
    assert "gpu0001 down: fw : reboot issued" in line

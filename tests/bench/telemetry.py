"""The cost of telemetry: one poll of every source from a real Prometheus at the design point."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from collectors.model import Facts
from collectors.prometheus import PowerSettings, PrometheusSettings
from collectors.prometheus.sources import Loads, PowerSource
from tests.lab.prometheus import Monitor

from .report import Row, median

NODES = 12_000
WIRE_BYTES = 3_000_000
CPU_S, STALL_MS = 0.3, 50.0
#: Fields that the overview queries; a full dcgm-exporter at 96,000 GPUs would measure the scraper instead.
FIELDS = (
    "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_RESERVED",
    "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_XID_ERRORS",
)  # fmt: skip


def overview(quick: bool) -> list[Row]:
    """Bytes transferred, CPU of the console, and the longest stall of an event loop meanwhile."""
    case = f"Prometheus 3, {NODES:,} nodes, {NODES * 8:,} GPUs"
    power = PowerSettings(node_series="ipmi_dcmi_power_consumption_watts", rack_series="pdu_power_watts")
    with Monitor("prometheus-3", nodes=NODES, per_node=False, scrape_s=15.0, fields=FIELDS) as monitor:
        monitor.wait_for_samples("count(DCGM_FI_DEV_FB_USED) > 90000", 1, timeout=180)
        settings = PrometheusSettings(url=monitor.url, power=power, timeout_s=60)
        sources = (Loads(settings), PowerSource(settings))
        asyncio.run(_poll(sources))  # the first reading also opens connections and imports
        polls = [asyncio.run(_poll(sources)) for _ in range(2 if quick else 7)]
    return [
        Row(
            case,
            "one poll of prom.loads and prom.power: on the wire",
            max(one[0] for one in polls),
            "B",
            "count",
            WIRE_BYTES,
        ),
        Row(case, "the same: CPU of ours", round(median([one[1] for one in polls]), 3), "s", "wall", CPU_S),
        Row(case, "the same: whole", round(median([one[2] for one in polls]), 2), "s"),
        Row(
            case,
            "the same: longest stall of an event loop",
            round(max(one[3] for one in polls), 1),
            "ms",
            "wall",
            STALL_MS,
        ),
        Row(
            case, "the same: nodes without a load", NODES - min(one[4] for one in polls), "nodes", "count", NODES // 100
        ),
    ]


async def _poll(sources: Any) -> tuple[int, float, float, float, int]:
    """Read each source once in a thread. Returns bytes, CPU s, wall s, longest stall of the event loop in ms, nodes
    with a load."""
    before = _received(sources)
    cpu, began = time.process_time(), time.monotonic()
    work = asyncio.gather(*(asyncio.to_thread(source.collect) for source in sources))
    longest, last = 0.0, time.monotonic()
    while not work.done():
        await asyncio.sleep(0.001)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    facts: list[Facts] = await work
    loads, size = facts[0].loads or {}, _received(sources) - before
    return size, time.process_time() - cpu, time.monotonic() - began, longest * 1000, len(loads)


def _received(sources: Any) -> int:
    """Bytes of all answers so far."""
    return sum(source.client.on_wire for source in sources if source.client is not None)

"""GPU load as Prometheus would have it: it follows from the jobs and is sampled like dcgm-exporter does."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache

from collectors.model import Load
from collectors.sim.host import Host, answers
from collectors.sim.slurmctld.gpu_pool import GpuPool

from .site_layout import indices_of

#: dcgm-exporter samples every 30 s; one of SLOTS groups of nodes is sampled every STEP_S seconds.
SAMPLE_S = 30
SLOTS = 15
STEP_S = SAMPLE_S // SLOTS
#: Maximum °C: a chip lowers its clocks by itself, and at last powers off.
TOP_C = 98
IDLE_BELOW_PCT = 5

# Noise of -3..3 from a look-up table.
_WOBBLE = tuple((zlib.crc32(b"%d" % i) % 7) - 3 for i in range(256))

Level = tuple[int, int, int, int] | None
"""Utilisation in %, memory in MB, °C, watts; None for a GPU that the driver has lost."""


@lru_cache(maxsize=65536)
def gpu_usage(job: str) -> tuple[int, int, int]:
    """How a job uses its GPUs: utilisation and memory in %, and the index of the GPU that it leaves idle (-1: none,
    99: all)."""
    draw = zlib.crc32(job.encode())
    kind = draw % 100
    util = 60 + draw // 100 % 39 if kind < 14 else 88 + draw // 100 % 12
    forgets = 99 if kind >= 99 else draw // 7 % 8 if kind >= 93 else -1
    return util, 35 + draw // 977 % 62, forgets


class GpuLoads:
    """Load rows of all hosts, updated only after a change or when the host is sampled."""

    def __init__(self, pool: GpuPool) -> None:
        self._pool = pool
        self._site = pool.site
        self._rows: dict[str, Load] = {}
        self._step: int | None = None

    def loads(self, now: float) -> dict[str, Load]:
        """The newest sample of each node whose exporter answers."""
        step = int(now // STEP_S)
        since = step - SLOTS if self._step is None else self._step
        due = self._pool.stale_loads
        if step - since >= SLOTS:
            due.update(range(len(self._site.hosts)))
        else:
            for turn in range(since + 1, step + 1):
                due.update(range(turn % SLOTS, len(self._site.hosts), SLOTS))
        self._step = step
        rows = self._rows
        for index in sorted(due):
            host = self._site.hosts[index]
            load = self._load(host, step)
            if load is None:
                rows.pop(host.name, None)
            elif load != rows.get(host.name):
                rows[host.name] = load
        due.clear()
        return dict(rows)

    def load(self, host: Host) -> Load | None:
        """The row of one node as of the last `loads`, None if there is none."""
        return self._rows.get(host.name)

    def _load(self, host: Host, step: int) -> Load | None:
        if not answers(host):
            return None
        turn, hardware = sample_step(host, step), host.hardware
        util = memory = watts = idle = seen = 0
        hottest: int | None = None
        for level in levels_now(host, self._site.gpus, turn):
            if level is None:
                continue
            seen += 1
            util += level[0]
            memory += level[1]
            watts += level[3]
            idle += level[0] < IDLE_BELOW_PCT
            if hottest is None or level[2] > hottest:
                hottest = level[2]
        return Load(
            node=host.name,
            sampled_at=turn * STEP_S,
            gpu_util_pct=round(util / seen, 1) if seen else None,
            util_gpus=seen,
            gpu_memory_pct=round(100 * memory / (seen * hardware.memory_mb), 1) if seen else None,
            temp_c=hottest,
            power_w=watts + hardware.host_w,
            gpu_power_w=watts if seen else None,
            gpus_seen=seen,
            gpus_idle=idle,
            xid=next(reversed(host.xids.values()), None),
        )


def levels(host: Host, gpus: int, held: Mapping[str, int], turn: int) -> list[tuple[int, int, int, int]]:
    """The GPUs of a node at a sample step, with these jobs on these GPUs; whole units."""
    room = 27 + host.index * 29 % 9 + host.extra_heat_c
    if host.loop is not None and host.loop.tripped is not None:
        room += host.loop.chip_excess_c(turn * STEP_S)
    noise = turn // SLOTS * 37 + host.index * 11
    hardware = host.hardware
    idle, most, full_mb, slope, warms = (
        hardware.idle_w,
        hardware.limit_w,
        hardware.memory_mb,
        hardware.per_ten_pct_w,
        hardware.degrees_per_kw,
    )
    found = [(0, 4, room, idle + (noise + g * 5) % 6) for g in range(gpus)]
    for job, bits in held.items():
        usual, full, forgets = gpu_usage(job)
        for place, g in enumerate(indices_of(bits)):
            wobble = _WOBBLE[(noise + g * 53) & 255]
            forgotten = forgets in (99, place)
            util = 0 if forgotten else max(0, min(100, usual + wobble))
            memory = full_mb * full // 100
            watts = (idle + hardware.unused_w if forgotten else idle + util * slope // 10) + wobble
            found[g] = (util, memory, min(TOP_C, room + watts * warms // 1000 + (wobble > 1)), min(most, watts))
    if host.stray_process and not held:
        found[0] = (97, 31_000, room + 38, most * 61 // 70)
    return found


def levels_now(host: Host, gpus: int, turn: int) -> list[Level]:
    """The GPUs of a node at its newest sample."""
    found: list[Level] = list(levels(host, gpus, host.jobs, turn))
    if host.lost_gpus:
        found = [None if host.lost_gpus >> g & 1 else level for g, level in enumerate(found)]
    return found


def sample_step(host: Host, step: int) -> int:
    """Step of the node's newest sample at `step`."""
    return step - (step - host.index) % SLOTS

"""What Prometheus would say of the GPUs: it follows from the jobs, and is sampled as dcgm-exporter samples."""

from __future__ import annotations

import zlib
from functools import lru_cache

from collectors.model import Gpu, Load
from collectors.sim.pool import Pool
from collectors.sim.topology import Host, indices_of

#: dcgm-exporter samples every 30 s; the nodes take turns, one of SLOTS groups every STEP_S.
SAMPLE_S = 30
SLOTS = 15
STEP_S = SAMPLE_S // SLOTS
#: H100 SXM: 80 GB of memory in MiB, watts idle and at its limit.
MEMORY_MB = 81_559
IDLE_W = 70
LIMIT_W = 700
#: What the rest of a node draws: CPUs, fans, network.
HOST_W = 1400
MODEL = "NVIDIA H100 80GB HBM3"
IDLE_BELOW_PCT = 5

# A wobble of -3..3 that looks like noise and costs one look-up.
_WOBBLE = tuple((zlib.crc32(b"%d" % i) % 7) - 3 for i in range(256))

Level = tuple[int, int, int, int] | None
"""Utilisation in %, memory in MB, temperature, watts; None for a GPU that the driver has lost."""


@lru_cache(maxsize=65536)
def _habit(job: str) -> tuple[int, int, int]:
    """How a job uses its GPUs: utilisation, memory in %, and which of its GPUs it forgets (-1: none, 99: all)."""
    draw = zlib.crc32(job.encode())
    kind = draw % 100
    util = 60 + draw // 100 % 39 if kind < 14 else 88 + draw // 100 % 12
    forgets = 99 if kind >= 99 else draw // 7 % 8 if kind >= 93 else -1
    return util, 35 + draw // 977 % 62, forgets


class Telemetry:
    """Load rows of all hosts, made anew only where something changed or it is the host's turn."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._site = pool.site
        self._rows: dict[str, Load] = {}
        self._step: int | None = None

    def loads(self, now: float) -> dict[str, Load]:
        """The newest sample of every node whose exporter answers."""
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

    def gpus(self, host: Host, now: float) -> tuple[Gpu, ...]:
        """Every GPU of one node as it is now; none where the exporter does not answer."""
        if not answers(host):
            return ()
        levels = self._levels(host, _turn(host, int(now // STEP_S)))
        owners = {index: job for job, held in host.jobs.items() for index in indices_of(held)}
        return tuple(
            Gpu(
                node=host.name,
                index=index,
                uuid=_uuid(host.name, index),
                model=MODEL,
                util_pct=None if level is None else float(level[0]),
                memory_used_mb=None if level is None else level[1],
                memory_mb=MEMORY_MB,
                temp_c=None if level is None else float(level[2]),
                power_w=None if level is None else float(level[3]),
                job=owners.get(index),
                xid=host.xids.get(index),
            )
            for index, level in enumerate(levels)
        )

    def _load(self, host: Host, step: int) -> Load | None:
        if not answers(host):
            return None
        turn = _turn(host, step)
        util = memory = watts = idle = seen = 0
        hottest: int | None = None
        for level in self._levels(host, turn):
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
            gpu_memory_pct=round(100 * memory / (seen * MEMORY_MB), 1) if seen else None,
            temp_c=hottest,
            power_w=watts + HOST_W,
            gpus_idle=idle,
            xid=next(reversed(host.xids.values()), None),
        )

    def _levels(self, host: Host, turn: int) -> list[Level]:
        """Every GPU of a node at a turn, in whole units."""
        room = 27 + host.index * 29 % 9
        noise = turn // SLOTS * 37 + host.index * 11
        levels: list[Level] = [(0, 4, room, IDLE_W + (noise + g * 5) % 6) for g in range(self._site.gpus)]
        for job, held in host.jobs.items():
            usual, full, forgets = _habit(job)
            for place, g in enumerate(indices_of(held)):
                wobble = _WOBBLE[(noise + g * 53) & 255]
                forgotten = forgets in (99, place)
                util = 0 if forgotten else max(0, min(100, usual + wobble))
                memory = MEMORY_MB * full // 100
                watts = (IDLE_W + 45 if forgotten else IDLE_W + util * 61 // 10) + wobble
                levels[g] = (util, memory, room + watts * 6 // 100 + (wobble > 1), min(LIMIT_W, watts))
        if host.stray and not host.free_at:
            levels[0] = (97, 31_000, room + 38, 610)
        if host.lost:
            levels = [None if host.lost >> g & 1 else level for g, level in enumerate(levels)]
        return levels


def answers(host: Host) -> bool:
    """True when the node's exporter can be read."""
    return not (host.down or host.silent or host.mute)


def _turn(host: Host, step: int) -> int:
    """The step of this node's newest sample."""
    return step - (step - host.index) % SLOTS


def _uuid(node: str, index: int) -> str:
    a, b = zlib.crc32(f"{node}/{index}".encode()), zlib.crc32(f"{index}/{node}".encode())
    return f"GPU-{a:08x}-{b >> 16:04x}-{b & 0xFFFF:04x}-{a >> 16:04x}-{a & 0xFFFF:04x}{b:08x}"

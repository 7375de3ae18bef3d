"""All values of a GPU as DCGM and NVML show them: derived from its load, job and XIDs."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import MappingProxyType

from msgspec.structs import replace

from collectors.model import Gpu, Process
from collectors.sim.host import Host, answers
from collectors.sim.slurmctld.job_queue import SimQueue

from .gpu_telemetry import STEP_S, Level, gpu_usage, levels_now, sample_step
from .hardware import NVLINKS
from .sensor_history import SensorHistory
from .site_layout import gpu_uuid, indices_of

#: °C from which the driver lowers the clocks, and from which the chip does so itself.
SLOW_C, BRAKE_C = 84, 92

#: Values that an XID changes until the next boot, with the recovery action that the driver reports.
AFTER: Mapping[int, Mapping[str, object]] = MappingProxyType(
    {
        48: {"ecc_uncorrected": 1, "recovery": "reset"},
        62: {"recovery": "reset"},
        63: {"ecc_uncorrected": 1, "remapped_uncorrected": 1, "remap_pending": True, "recovery": "reset"},
        64: {"ecc_uncorrected": 9, "remapped_uncorrected": 8, "remap_failed": True, "recovery": "reset"},
        74: {"nvlinks_up": NVLINKS - 1, "nvlink_errors": 4127, "recovery": "drain p2p"},
        92: {"ecc_corrected": 18_233, "remapped_corrected": 2},
        94: {"ecc_uncorrected": 1, "remapped_uncorrected": 1, "remap_pending": True, "recovery": "drain and reset"},
        95: {"ecc_uncorrected": 2, "recovery": "reset"},
        119: {"recovery": "reset"},
        120: {"recovery": "reset"},
    }
)
OFF_THE_BUS = "fallen off the bus"


class Sensors:
    """Makes the Gpu rows of one node on demand."""

    def __init__(self, queue: SimQueue, history: SensorHistory) -> None:
        self._queue = queue
        self._history = history

    def gpus(self, host: Host) -> tuple[Gpu, ...]:
        """The GPUs of one node as last sampled; empty if its exporter does not answer."""
        if not answers(host):
            return ()
        now = int(self._queue.timeline.now)
        turn = sample_step(host, now // STEP_S)
        found = levels_now(host, self._queue.site.gpus, turn)
        return self._rows(host, found, host.jobs, turn * STEP_S, now)

    def gpus_at(self, host: Host, at: int) -> tuple[Gpu, ...]:
        """The GPUs of one node as sampled at that time; empty if they were not."""
        sampled = sample_step(host, at // STEP_S) * STEP_S
        return self._rows(host, self._history.levels(host, at), self._history.held(host, at), sampled, at)

    def _rows(self, host: Host, found: list[Level], held: Mapping[str, int], sampled: int, at: int) -> tuple[Gpu, ...]:
        owners = {g: job for job, bits in held.items() for g in indices_of(bits)}
        return tuple(self._gpu(host, g, level, owners.get(g), sampled, at) for g, level in enumerate(found))

    def _gpu(self, host: Host, g: int, level: Level, job: str | None, sampled: int, at: int) -> Gpu:
        uuid, xid, hardware = gpu_uuid(host.name, g), self._history.xid(host, g, at), host.hardware
        if level is None:
            return Gpu(
                node=host.name,
                index=g,
                uuid=uuid,
                model=hardware.model,
                job=job,
                xid=xid,
                lost=OFF_THE_BUS,
                recovery="reboot" if xid == 79 else None,
            )
        util, memory, temp, watts = level
        draw = zlib.crc32(uuid.encode())
        braked = temp >= BRAKE_C
        throttle = [
            *(["power cap"] if watts >= hardware.cap_w else []),
            *(["HW thermal slowdown" if braked else "thermal slowdown"] if temp >= SLOW_C else []),
        ]
        slower = 15 * (1 + draw % 9) * (watts >= hardware.cap_w) + 600 * (temp >= SLOW_C) + 700 * braked
        row = Gpu(
            node=host.name,
            index=g,
            uuid=uuid,
            model=hardware.model,
            sampled_at=sampled,
            util_pct=float(util),
            tensor_pct=float(util * _tensor(job) // 100),
            memory_used_mb=memory,
            memory_mb=hardware.memory_mb,
            temp_c=float(temp),
            memory_temp_c=float(temp + 5 + draw % 6),
            power_w=float(watts),
            power_limit_w=float(hardware.limit_w),
            energy_j=self._history.energy(host, g, at),
            sm_clock_mhz=hardware.boost_mhz - slower if util else hardware.idle_mhz,
            memory_clock_mhz=hardware.memory_mhz,
            throttle=tuple(throttle),
            ecc_corrected=draw % 5 if draw % 11 == 0 else 0,
            ecc_uncorrected=0,
            remapped_corrected=int(draw % 97 == 0),
            remapped_uncorrected=int(draw % 211 == 0),
            remap_pending=False,
            remap_failed=False,
            nvlinks_up=NVLINKS,
            nvlinks=NVLINKS,
            nvlink_errors=0,
            pcie_gen=5,
            pcie_width=16,
            pcie_replays=draw % 4 if draw % 23 == 0 else 0,
            mig=False,
            recovery="none",
            fabric="completed",
            job=job,
            xid=xid,
            processes=self._processes(host, g, level, job),
        )
        after = AFTER.get(xid or 0)
        return row if after is None else replace(row, **after)

    def _processes(self, host: Host, g: int, level: tuple[int, int, int, int], job: str | None) -> tuple[Process, ...]:
        if job is None and not level[0]:
            return ()
        pid = 4000 + zlib.crc32(f"{job}/{host.name}".encode()) % 3_000_000 + g
        known = self._queue.jobs.get(job or "")
        user = "nobody" if known is None else known.user
        return (Process(pid=pid, name="python3", user=user, memory_mb=level[1], job=job),)


def _tensor(job: str | None) -> int:
    """Share of its busy time in % in which a job keeps the tensor cores active."""
    return 0 if job is None else 12 + 7 * gpu_usage(job)[1] % 61

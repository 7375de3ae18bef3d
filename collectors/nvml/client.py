"""Manages the child process that runs NVML: queries it, kills it if it hangs, restarts it with back-off, and keeps an
hour of history.

Earlier findings persist: a GPU that a new child no longer finds is shown as lost, and XID counts continue.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from collectors import process
from collectors.child_process import command as run_module
from collectors.child_process import environment
from collectors.clean import decode
from collectors.clock import Clock, SystemClock
from collectors.decoding import msgpack_decoder
from collectors.model import Gpu, SourceFault, Xid

from . import NvmlSettings
from .process_owner import parse_listpids
from .protocol import Claim, Message, NvmlGpuDetail, NvmlReading, XidEvent, combined_severity

#: Longest wait between two starts of a failing child.
LONGEST_WAIT_S = 30.0
#: A child that sees a lost GPU is replaced after this time, doubled each time: only a new child sees a reset GPU.
RENEW_S = 60.0
RENEW_LONGEST_S = 900.0
HOUR_S = 3600
#: Least seconds between two requests to Slurm for jobs of processes whose cgroup has none, and their deadline.
ASK_SLURM_S = 60.0
SLURM_DEADLINE_S = 2.0

_DECODER: msgspec.msgpack.Decoder[Message] = msgpack_decoder(Message)


class Sample(Struct, frozen=True, eq=False, kw_only=True):
    """One successful, complete reading of this host."""

    node: str
    at: float
    mono: float
    gpus: tuple[Gpu, ...]
    extras: Mapping[int, NvmlGpuDetail]
    xids: Mapping[str, Xid]
    driver: str | None = None
    on_bus: int | None = None
    warnings: tuple[str, ...] = ()
    calls: int = 0
    cpu_s: float = 0.0


class Point(Struct, frozen=True, gc=False):
    """The history kept of a reading: means of utilisation and memory in %, hottest GPU, watts and joules of all."""

    at: float
    util_pct: float | None
    memory_pct: float | None
    temp_c: float | None
    power_w: float | None
    energy_j: float | None


def command(node: str) -> list[str]:
    """The command that starts the child."""
    return run_module("collectors.nvml.worker", node)


class Nvml:
    """The GPUs of this host. Any thread may read: one asks the driver, the others wait for it."""

    def __init__(self, node: str, settings: NvmlSettings, clock: Clock | None = None) -> None:
        self.node = node
        self.settings = settings
        self.latest: Sample | None = None
        self.points: deque[Point] = deque(maxlen=max(2, int(HOUR_S / settings.interval_s)))
        self._clock = clock or SystemClock()
        self._reading = threading.Lock()
        self._closed = False
        self._child: process.Child | None = None
        self._stuck: process.Child | None = None
        self._fresh = True
        self._renew_at, self._renew_s = 0.0, RENEW_S
        self._failures = 0
        self._again_at = 0.0
        self._fault: SourceFault | None = None
        self._xids: dict[str, Xid] = {}
        self._last_xid: dict[int, int] = {}
        self._jobs: dict[int, str] = {}
        self._asked: frozenset[Claim] = frozenset()
        self._slurm_at = 0.0

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, newer_than_s: float | None = None) -> Sample:
        """Read every GPU, or return the last reading if it is no older than `newer_than_s`. Raises SourceFault."""
        with self._reading:
            latest = self.latest
            if newer_than_s is not None and latest is not None and self._clock.mono() - latest.mono <= newer_than_s:
                return latest
            if self._fault is not None and self._clock.mono() < self._again_at:
                raise self._fault
            began = self._clock.mono()
            try:
                answer = self._ask()
            except SourceFault as fault:
                self._failed(fault)
                raise
            self._failures, self._fault = 0, None
            self.latest = self._taken(answer, began)
            self._remember(self.latest)
            return self.latest

    def _ask(self) -> NvmlReading:
        """Ask the child, which is started if needed. Raises SourceFault, with the child ended."""
        if self._closed:
            raise SourceFault("internal", "nvml: closed")
        if self._stuck is not None:
            if self._stuck.how() == "runs":
                raise SourceFault("timeout", f"nvml: the driver holds process {self._stuck.pid} and cannot be asked",
                                  "even kill -9 does not end it: drain and reboot the node")  # fmt: skip
            self._stuck = None
        if self._child is not None and not self._fresh and self._renew_at and self._clock.mono() >= self._renew_at:
            self._end()
        if self._child is None:
            self._child, self._fresh, self._renew_at = self._start(), True, 0.0
        wait = self.settings.start_deadline_s if self._fresh else self.settings.deadline_s
        deadline = time.monotonic() + wait
        try:
            self._child.send(b"")
            message = self._next(self._child, deadline)
        except SourceFault as error:
            how = error.fault
            self._end()
            raise self._named(how.kind, how.what, wait) from None
        except msgspec.DecodeError as error:
            self._end()
            raise SourceFault("malformed", f"nvml: the child's answer cannot be read: {error}", "report it") from None
        self._fresh = False
        if message.fault is not None:
            self._end()
            raise SourceFault(*message.fault)
        if not any(gpu.lost for gpu in message.gpus):
            self._renew_at, self._renew_s = 0.0, RENEW_S
        elif not self._renew_at:
            self._renew_at = self._clock.mono() + self._renew_s
            self._renew_s = min(RENEW_LONGEST_S, 2 * self._renew_s)
        return message

    def _next(self, child: process.Child, deadline: float) -> NvmlReading:
        """The child's answer; XIDs reported before it are counted even without an answer."""
        while True:
            message: Message = _DECODER.decode(child.receive(deadline))
            if isinstance(message, NvmlReading):
                return message
            self._count(message)

    def _start(self) -> process.Child:
        return process.Child(command(self.node), env=environment())

    def _named(self, kind: str, what: str, wait: float) -> SourceFault:
        """The child's fault with a text for operators."""
        if self._closed:
            return SourceFault("internal", "nvml: closed")
        if kind == "timeout":
            return SourceFault("timeout", f"nvml: the driver gave no answer in {wait:g} s",
                               "its process was killed and starts anew; dmesg | grep NVRM")  # fmt: skip
        if kind == "cut":
            return SourceFault("cut", f"nvml: the process that reads the driver {what}", "it starts anew")
        return SourceFault(kind, f"nvml: {what}", "it starts anew")

    def _end(self) -> None:
        """End the child. If the kernel holds it, it is remembered and no second one is started."""
        child, self._child = self._child, None
        if child is not None and not child.close():
            self._stuck = child

    def _failed(self, fault: SourceFault) -> None:
        self._failures += 1
        self._again_at = self._clock.mono() + min(LONGEST_WAIT_S, 2.0 ** (self._failures - 1))
        self._fault = fault

    def close(self) -> None:
        """End the child. A running reading ends with it."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()
        if self._reading.acquire(timeout=1.0):
            try:
                self._end()
            finally:
                self._reading.release()

    # -- processing an answer -----------------------------------------------------------------------------------------

    def _count(self, event: XidEvent) -> None:
        """Count an XID. XIDs that the kernel's log repeats after a restart are not counted twice."""
        fresh = Xid(
            node=self.node, gpu=event.gpu, code=event.code, first_at=int(event.first_at), last_at=int(event.at),
            count=event.count, uuid=event.uuid, severity=event.severity,
        )  # fmt: skip
        known = self._xids.get(fresh.key)
        if known is not None:
            before, now = known.count or 0, event.count
            fresh = msgspec.structs.replace(
                fresh,
                first_at=min(known.first_at or fresh.first_at or 0, fresh.first_at or 0),
                last_at=max(known.last_at or 0, fresh.last_at or 0),
                count=max(before, now) if event.past else before + now,
                # The driver's report has no severity; the log has it once it contains every line.
                severity=event.severity
                if event.past and now >= before
                else combined_severity(known.severity, event.severity),
            )
        self._xids[fresh.key] = fresh
        newest: dict[int, tuple[int, int]] = {}
        for xid in self._xids.values():
            if xid.gpu is not None:
                newest[xid.gpu] = max(newest.get(xid.gpu, (-1, -1)), (xid.last_at or 0, xid.code))
        self._last_xid = {gpu: code for gpu, (_, code) in newest.items()}

    def _taken(self, answer: NvmlReading, began: float) -> Sample:
        jobs = self._claimed(answer.claims)
        before = {gpu.uuid: gpu for gpu in self.latest.gpus if gpu.uuid} if self.latest else {}
        seen = {gpu.uuid for gpu in answer.gpus}
        gpus = [self._finished(gpu, jobs) for gpu in answer.gpus]
        taken = {gpu.index for gpu in gpus}
        for uuid, gpu in before.items():
            if uuid not in seen and not any(now.uuid is None and now.index == gpu.index for now in gpus):
                index = gpu.index if gpu.index not in taken else max(taken) + 1
                taken.add(index)
                gpus.append(
                    Gpu(node=self.node, index=index, uuid=uuid, model=gpu.model, sampled_at=int(answer.at),
                        xid=gpu.xid, lost=gpu.lost or "no longer seen by the driver")
                )  # fmt: skip
        on_bus = answer.on_bus if answer.on_bus is not None else (self.latest.on_bus if self.latest else None)
        return Sample(
            node=self.node,
            at=answer.at,
            mono=began,
            gpus=tuple(sorted(gpus, key=lambda gpu: gpu.index)),
            extras={extra.index: extra for extra in answer.extras},
            xids=dict(self._xids),
            driver=answer.driver,
            on_bus=on_bus,
            warnings=answer.warnings,
            calls=answer.calls,
            cpu_s=answer.cpu_s,
        )

    def _finished(self, gpu: Gpu, jobs: Mapping[int, str]) -> Gpu:
        """A GPU with its last XID, and the jobs that only Slurm knows."""
        xid = self._last_xid.get(gpu.index)
        if gpu.processes and any(one.job is None and one.pid in jobs for one in gpu.processes):
            rows = tuple(
                msgspec.structs.replace(one, job=jobs[one.pid]) if one.job is None and one.pid in jobs else one
                for one in gpu.processes
            )
            owners = {one.job for one in rows if one.job is not None}
            job = owners.pop() if len(owners) == 1 else None
            return msgspec.structs.replace(gpu, processes=rows, job=job, xid=xid)
        return gpu if xid is None else msgspec.structs.replace(gpu, xid=xid)

    def _claimed(self, claims: Sequence[Claim]) -> Mapping[int, str]:
        """Jobs of processes whose cgroup has none, from this node's slurmstepd."""
        wanted = frozenset(claims)
        if not wanted:
            self._jobs = {}
            return {}
        mono = self._clock.mono()
        if wanted <= self._asked and mono - self._slurm_at < ASK_SLURM_S:
            return self._jobs
        self._asked, self._slurm_at = wanted, mono
        try:
            ended = process.run([process.find("scontrol"), "listpids"], deadline_s=SLURM_DEADLINE_S, cap_bytes=1 << 20)
        except SourceFault:
            return {}
        known = parse_listpids(decode(ended.out))
        self._jobs = {claim.pid: known[claim.pid] for claim in wanted if claim.pid in known}
        return self._jobs

    def _remember(self, sample: Sample) -> None:
        live = [gpu for gpu in sample.gpus if gpu.lost is None]
        utils = [gpu.util_pct for gpu in live if gpu.util_pct is not None]
        full = [
            100 * gpu.memory_used_mb / gpu.memory_mb for gpu in live if gpu.memory_used_mb is not None and gpu.memory_mb
        ]
        temps = [gpu.temp_c for gpu in live if gpu.temp_c is not None]
        watts = [gpu.power_w for gpu in live if gpu.power_w is not None]
        joules = [gpu.energy_j for gpu in live if gpu.energy_j is not None]
        self.points.append(
            Point(
                sample.at,
                sum(utils) / len(utils) if utils else None,
                sum(full) / len(full) if full else None,
                max(temps) if temps else None,
                sum(watts) if watts else None,
                sum(joules) if joules and len(joules) == len(sample.gpus) else None,
            )
        )

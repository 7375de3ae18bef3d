"""Node failures: what breaks, how often, who notices, and when it is repaired."""

from __future__ import annotations

import random

from msgspec import Struct
from msgspec.structs import replace

from collectors.clean import clean
from collectors.model import Xid

from .alerts import AlertStore
from .host import Host, NodeFailure
from .plant.site_layout import DAY, HOUR, gpu_uuid
from .slurmctld.job_queue import SimQueue
from .slurmctld.workload import HOSTILE
from .timeline import Timeline

MINUTE = 60
#: Mean time between failures of a node of 8 GPUs (Meta RSC, "Revisiting Reliability in Large-Scale ML Clusters").
MTBF_S = 47 * DAY
#: Lemon nodes (RSC): their share of all nodes, and how much more often they fail.
LEMONS, LEMON_FACTOR = 1 / 80, 20.0
#: Share of GPU failures that the health check detects; a person notices the others later.
NOTICED = 0.85
#: Seconds until a resumed node registers, and until slurmctld gives up on one that does not (a short ResumeTimeout).
REGISTER_S = (4.0, 9.0)
GIVE_UP_S = 60.0


class FailureKind(Struct, frozen=True):
    """One kind of failure. `hours` is the range of the time to repair, `by` the user who sets the reason in Slurm."""

    weight: float
    key: str
    reason: str
    by: str = "root"
    xid: int | None = None
    down: bool = False
    hours: tuple[float, float] = (0.3, 2.0)


# Weights: the 419 unexpected interruptions of the Llama 3 training (148 GPU, 72 HBM3, 35 network, 19 SRAM, 17 GSP, 2
# CPU, the rest software and hosts). Who drains, and how long the repair takes, are guesses, not published figures.
KINDS = (
    FailureKind(60, "gpu", "NHC: check_gpu GPU {gpu} is off the bus", xid=79, hours=(4, 90)),
    FailureKind(50, "gpu", "NHC: check_gpu GPU {gpu} double-bit ECC", xid=48),
    FailureKind(38, "gpu", "NHC: check_gpu GPU {gpu} does not answer", xid=62),
    FailureKind(40, "memory", "NHC: check_gpu GPU {gpu} contained memory error", xid=94),
    FailureKind(32, "memory", "NHC: check_gpu GPU {gpu} row remap failure", xid=64, hours=(24, 200)),
    FailureKind(25, "network", "NHC: check_ib mlx5_{gpu} link down", hours=(1, 20)),
    FailureKind(10, "network", "NHC: check_nvlink GPU {gpu}", xid=74, hours=(2, 40)),
    FailureKind(19, "sram", "NHC: check_gpu GPU {gpu} uncontained memory error", xid=95),
    FailureKind(17, "gsp", "NHC: check_gpu GPU {gpu} GSP timeout", xid=119),
    FailureKind(54, "software", "Kill task failed", by="slurm", hours=(0.2, 1)),
    FailureKind(74, "host", "Not responding", by="slurm", down=True, hours=(0.3, 6)),
)
# Reasons that were set before the console starts: reason, user. Reasons of people are unique, those of automation
# repeat.
HUMAN = (
    ("XID 79 GPU 3 off the bus [KubeGPU-1182]", "jdv"),
    ("bad DIMM A3, RMA 4471", "mkoster"),
    ("NVSwitch firmware, wait for vendor [KubeGPU-1190]", "jdv"),
    ("burn-in after board swap", "mkoster"),
    ("GPU 5 remap failure, support case 00219811", "jdv"),
    ("fan tray 2, part ordered", "rvdberg"),
    ("IB cable flaps port 2", "rvdberg"),
    ("do not use, ask Sietse", "sbos"),
    ("context", "sbos"),
)
ROBOT = (
    ("NHC: check_gpu", "root"),
    ("NHC: check_ib mlx5_3 link down", "root"),
    ("Kill task failed", "slurm"),
    ("Epilog error", "slurm"),
    ("Low RealMemory (reported:1931044 < 100.00% of configured:2000000)", "slurm"),
    ("[node_problem] NVLinkErrors", "root"),
    ("Kill task failed", "slurm"),
)
SHORT_OF_GPUS = "gres/gpu count reported lower than configured (7 < 8)"


class NodeFailures:
    """Causes and repairs node failures. Every change of a node's health goes through this class."""

    def __init__(self, rng: random.Random, queue: SimQueue, alerts: AlertStore, timeline: Timeline) -> None:
        self._rng = rng
        self._queue = queue
        self._pool = queue.pool
        self._hosts = queue.site.hosts
        self._alerts = alerts
        self._timeline = timeline
        self._lemons: list[Host] = []
        self.hostile = False
        self.xids: dict[str, Xid] = {}
        """Every XID reported so far, by its key."""

    # -- spontaneous failures ------------------------------------------------------------------------------------------

    def seed(self) -> None:
        """Create the failures that a cluster of this size has after weeks of operation."""
        rng, count, now = self._rng, len(self._hosts), self._timeline.now
        self._lemons = rng.sample(self._hosts, max(1, round(count * LEMONS)))
        for lemon in self._lemons:
            lemon.lemon = True
        broken = rng.sample(self._hosts, min(max(0, count - 1), max(2, round(count * 0.022)))) if count > 3 else []
        down = max(1, round(len(broken) * 0.3))
        for position, host in enumerate(broken):
            ago = min(25 * DAY, 4 * MINUTE + rng.expovariate(1 / (30 * HOUR)))
            human = rng.random() < 0.45
            reason, by = rng.choice(HUMAN if human else ROBOT)
            if self.hostile and rng.random() < 0.5:
                reason = clean(rng.choice(HOSTILE))
            if position < down:
                reason, by = "Not responding", "slurm"
            elif position == down and count >= 32:
                reason, by, host.invalid = SHORT_OF_GPUS, "slurm", True
                host.lost_gpus = 1 << rng.randrange(self._queue.site.gpus)
            repaired_at = now + rng.uniform(0.3, 1.0) * (40 * HOUR if human else 12 * HOUR)
            self.set_failure(host, NodeFailure("old", reason, by, position < down, repaired_at), since=now - ago)
            if "XID 79" in reason:
                self._record_xid_of(host, 79, 3, now - ago)

    def begin(self) -> None:
        """Start to cause failures at the published rates."""
        self._timeline.after(self._next_gap_s(), self._strike_at_random)

    def _next_gap_s(self) -> float:
        ordinary = len(self._hosts) - len(self._lemons)
        rate = (ordinary + LEMON_FACTOR * len(self._lemons)) / MTBF_S
        return self._rng.expovariate(rate)

    def _strike_at_random(self) -> None:
        """Cause a failure on a random node, and schedule the next one."""
        rng = self._rng
        self._timeline.after(self._next_gap_s(), self._strike_at_random)
        weight = LEMON_FACTOR * len(self._lemons)
        from_lemons = self._lemons and rng.random() * (weight + len(self._hosts)) < weight
        host = rng.choice(self._lemons if from_lemons else self._hosts)
        kind = rng.choices(KINDS, [kind.weight for kind in KINDS])[0]
        if host.failure is None and host.usable:
            self.inject(host, kind)

    def inject(self, host: Host, kind: FailureKind) -> None:
        """Cause one failure on one node: jobs on the GPU fail, the health check drains the node, a repair is
        scheduled."""
        rng, now = self._rng, self._timeline.now
        gpu = rng.randrange(self._queue.site.gpus)
        reason = kind.reason.format(gpu=gpu)
        repaired_at = now + rng.uniform(*kind.hours) * HOUR
        failure = NodeFailure(kind.key, reason, kind.by, kind.down, repaired_at)
        if kind.xid is not None:
            self._record_xid_of(host, kind.xid, gpu, now)
            self.fail_jobs(host, gpu)
        if kind.down or rng.random() < NOTICED or kind.xid is None:
            self._timeline.after(0.0 if kind.down else rng.uniform(5, 90), self.set_failure, host, failure)
        else:
            ticket = f"XID {kind.xid} GPU {gpu} [KubeGPU-{rng.randrange(1200, 1400)}]"
            late = NodeFailure(kind.key, ticket, "jdv", False, repaired_at)
            self._timeline.after(rng.uniform(10, 60) * MINUTE, self.set_failure, host, late)

    # -- changes of a node's health ----------------------------------------------------------------------------------

    def set_failure(self, host: Host, failure: NodeFailure, since: float | None = None) -> None:
        """Apply a failure to a node: it is drained, or goes down and its jobs end. A node has at most one failure."""
        if host.failure is not None:
            return
        host.failure = failure
        self._timeline.at(failure.repaired_at, self.repair, host, failure)
        if failure.down or host.usable or since is not None:
            # A reason that is set already stays.
            self._take_out(host, failure, self._timeline.now if since is None else since)

    def _take_out(self, host: Host, failure: NodeFailure, since: float) -> None:
        host.reason, host.reason_by, host.reason_at = failure.reason, failure.by, int(since)
        if failure.down:
            host.down = host.silent = True
            self._alerts.about(host, "NodeDown", "critical", f"{host.name} does not answer", since)
        else:
            host.drain = True
            self._alerts.about(host, "NodeDrained", "info", f"{host.name} drained: {failure.reason}", since)
        self.refresh(host)

    def refresh(self, host: Host) -> None:
        """Propagate a change of a node to the scheduler, to its jobs if it is down, and to jobs that require it."""
        self._pool.refresh(host)
        if host.down:
            for job in list(host.jobs):
                self._queue.node_failed(job)
        if self._queue.required_host:
            for job in [job for job, index in self._queue.required_host.items() if index == host.index]:
                self._queue.recheck(job)
        self._queue.wake()

    def report_xid(self, host: Host, code: int, gpu: int) -> None:
        """Report an XID of a GPU now."""
        self._record_xid_of(host, code, gpu, self._timeline.now)

    def _record_xid_of(self, host: Host, code: int, gpu: int, since: float) -> None:
        gpu %= self._queue.site.gpus
        host.xids.pop(gpu, None)
        host.xids[gpu] = code
        self._note(host, code, gpu, int(since))
        if code == 79:
            host.lost_gpus |= 1 << gpu
        severity = "info" if code in {13, 31, 43, 45} else "critical" if code in {79, 48, 95} else "warning"
        what = f"XID {code} on GPU {gpu} of {host.name}"
        alert = self._alerts.about(host, "GpuXid", severity, what, since, gpu=str(gpu), xid=str(code))
        if severity == "info":
            # The alert rule looks back ten minutes: changes(DCGM_FI_DEV_XID_ERRORS[10m]) > 0.
            self._timeline.at(since + 10 * MINUTE, self._alerts.resolve, alert)
        self._pool.mark_changed(host)

    def _note(self, host: Host, code: int, gpu: int, at: int) -> None:
        new = Xid(node=host.name, gpu=gpu, code=code, first_at=at, last_at=at, count=1, uuid=gpu_uuid(host.name, gpu))
        old = self.xids.get(new.key)
        if old is not None:
            new = replace(new, first_at=old.first_at, count=(old.count or 0) + 1)
        self.xids[new.key] = new

    def fail_jobs(self, host: Host, gpu: int | None = None) -> None:
        """Fail the jobs on this GPU, or on the whole node."""
        for job, held in list(host.jobs.items()):
            if gpu is None or held >> gpu & 1:
                self._queue.end(job, "FAILED")

    def repair(self, host: Host, failure: NodeFailure) -> None:
        """Repair a node: it reboots and returns to service, unless an operator set another reason."""
        if host.failure is not failure:
            return
        if host.jobs:
            self._timeline.after(5 * MINUTE, self.repair, host, failure)
            return
        now = int(self._timeline.now)
        host.failure, host.lost_gpus, host.invalid = None, 0, False
        host.xids.clear()
        host.boot_at, host.slurmd_at = now - 240, now
        host.silent = False
        if host.reason == failure.reason and host.reason_by == failure.by:
            host.down = host.drain = False
            host.reason = host.reason_by = host.reason_at = None
        self._alerts.resolve_for_host(host)
        self.refresh(host)

    def on_boot(self, host: Host) -> None:
        """Handle the boot of a node: reported XIDs are cleared; an unrepaired failure stays."""
        now = int(self._timeline.now)
        host.boot_at, host.slurmd_at = now - 45, now
        host.silent = host.stray_process = False
        host.xids.clear()
        if host.failure is None:
            host.lost_gpus = 0
            self._alerts.resolve_for_host(host)

    def on_resume(self, host: Host, was_down: bool) -> None:
        """Handle a resume: slurmd registers soon; an unrepaired failure is detected again."""
        self._alerts.resolve_for_host(host, "NodeDrained")
        if was_down:
            host.silent = True
            dead = host.failure is not None and host.failure.down
            self._timeline.after(GIVE_UP_S if dead else self._rng.uniform(*REGISTER_S), self._register, host)
        elif host.failure is not None:
            self._timeline.after(GIVE_UP_S, self._check, host)

    def _register(self, host: Host) -> None:
        if host.down or not host.silent:
            return
        if host.failure is not None and host.failure.down:
            self._take_out(host, host.failure, self._timeline.now)
            return
        host.silent = False
        host.slurmd_at = int(self._timeline.now)
        self._alerts.resolve_for_host(host)
        self.refresh(host)
        if host.failure is not None:
            self._timeline.after(GIVE_UP_S, self._check, host)

    def _check(self, host: Host) -> None:
        """Run the health check: an unrepaired failure takes the node out again."""
        if host.failure is not None and not host.drain and not host.down:
            self._take_out(host, host.failure, self._timeline.now)

"""The named incidents of the demo: failures that start while the console runs."""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec.structs import replace

from . import INCIDENTS
from .alerts import AlertStore
from .cooling_incident import CoolingTrip
from .failures import MINUTE, FailureKind, NodeFailures
from .host import Host, NodeFailure
from .plant.fabric import Links
from .plant.nvlink import NO_ROUTE, NvLink
from .plant.site_layout import HOUR, indices_of
from .plant.storage import Storage
from .slurmctld.job_queue import SimQueue, SimRun
from .timeline import Timeline

#: Simulated seconds between the start and the incident.
STARTS_S = 30.0
#: Maximum number of nodes in an XID storm: enough to fill any screen.
STORM_NODES = 64
OFF_THE_BUS = FailureKind(1, "gpu", "NHC: check_gpu GPU {gpu} is off the bus", xid=79, hours=(4, 90))


class Incidents:
    """Runs one incident."""

    def __init__(
        self, rng: random.Random, queue: SimQueue, failures: NodeFailures, alerts: AlertStore, timeline: Timeline,
        nvlink: NvLink, links: Links, storage: Storage,
    ) -> None:  # fmt: skip
        self._rng = rng
        self._queue = queue
        self._failures = failures
        self._alerts = alerts
        self._timeline = timeline
        self._nvlink = nvlink
        self._links = links
        self._storage = storage
        self._hosts = queue.site.hosts
        self.slow = False
        """True while slurmctld takes seconds to answer."""
        self.failed_over = False
        """True while the backup controller is in control."""
        self.hung: dict[str, int] = {}
        """Jobs in COMPLETING whose processes do not end, to the time since when."""
        self._dbd_lost_at: float | None = None
        """Time since when slurmctld cannot reach slurmdbd."""
        self.affected: tuple[str, ...] = ()
        """Names of the nodes that the incident affects."""
        self.cooling_trip: CoolingTrip | None = None
        """The cooling incident, once it has started."""

    def plan(self, name: str) -> None:
        """Schedule the incident in STARTS_S seconds. Raises ValueError for an unknown name, with the known ones."""
        begins: dict[str, Callable[[], None]] = {
            "pdu": self._pdu,
            "xid-storm": self._xid_storm,
            "lemon": self._lemon,
            "controller-slow": self._controller_slow,
            "fabric": self._fabric,
            "cooling": self._cooling,
            "nvlink": self._nvlink_splits,
            "storage": self._storage_hangs,
            "controller": self._controller_fails_over,
        }
        if name not in begins:
            raise ValueError(f"no incident is called {name!r}; there are: {', '.join(INCIDENTS)}")
        self._timeline.after(STARTS_S, begins[name])

    def _rack(self) -> list[Host]:
        """The nodes of a rack in the middle of the room."""
        racks = list(self._queue.site.racks.values())
        return [self._hosts[index] for index in racks[len(racks) // 2]]

    def _affect(self, hosts: list[Host]) -> list[Host]:
        self.affected = tuple(host.name for host in hosts)
        return hosts

    # -- pdu ---------------------------------------------------------------------------------------------------------

    def _pdu(self) -> None:
        """One of a rack's two PDUs loses its input, and slurmctld notices node after node."""
        rack = self._rack()
        pdu = rack[-1].pdu
        hosts = self._affect([host for host in rack if host.pdu == pdu])
        alert = self._alerts.raise_(
            "PduPowerLost",
            "critical",
            f"{pdu} lost its input: {len(hosts)} nodes without power",
            self._timeline.now,
            {"rack": rack[0].rack, "pdu": pdu},
        )
        self._timeline.after(5 * HOUR, self._alerts.resolve, alert)
        for host in hosts:
            host.exporter_down = True
            self._queue.pool.mark_changed(host)
            self._timeline.after(self._rng.uniform(2, 20), self._lose_power, host)

    def _lose_power(self, host: Host) -> None:
        host.failure, host.exporter_down = None, False
        failure = NodeFailure(
            "power", "Not responding", "slurm", True, self._timeline.now + self._rng.uniform(3, 5) * HOUR
        )
        self._failures.set_failure(host, failure)

    # -- xid-storm ---------------------------------------------------------------------------------------------------

    def _xid_storm(self) -> None:
        """A user's job causes XIDs on all its nodes, again and again; one GPU among them is truly lost."""
        runs = self._queue.runs
        if not runs:
            return
        # The largest job, the lowest id among equals: the choice must be reproducible.
        largest = min(runs, key=lambda job: (-len(runs[job].hosts), job))
        user, indices = self._queue.jobs[largest].user, set(runs[largest].hosts)
        if len(indices) < 4:
            indices.update(*(run.hosts for job, run in runs.items() if self._queue.jobs[job].user == user))
        hosts = self._affect([self._hosts[index] for index in sorted(indices)[:STORM_NODES]])
        for round_ in range(12):
            for host in hosts:
                at = round_ * 15 + self._rng.uniform(0, 15)
                self._timeline.after(at, self._user_xid, host, user, self._rng.choice((31, 31, 31, 43, 43, 94)))
        self._timeline.after(170, self._failures.inject, self._rng.choice(hosts), OFF_THE_BUS)

    def _user_xid(self, host: Host, user: str, code: int) -> None:
        """Report one XID on a GPU that the user's job holds."""
        held = 0
        for job, gpus in host.jobs.items():
            held |= gpus if self._queue.jobs[job].user == user else 0
        if held:
            self._failures.report_xid(host, code, self._rng.choice(indices_of(held)))

    # -- lemon -------------------------------------------------------------------------------------------------------

    def _lemon(self) -> None:
        """One node fails again and again, and returns to service each time."""
        well = [host for host in self._hosts if host.usable and host.jobs] or self._hosts
        host = self._affect([well[len(well) // 2]])[0]
        self._fail_again(host)

    def _fail_again(self, host: Host) -> None:
        """Every few minutes: an error, a drain, a reboot, and back in service."""
        rng = self._rng
        self._timeline.after(rng.uniform(150, 240), self._fail_again, host)
        if host.failure is not None or not host.usable:
            return
        gpu = 5 % self._queue.site.gpus
        code = rng.choice((119, 94, 63, 119))
        self._failures.report_xid(host, code, gpu)
        self._failures.fail_jobs(host)
        repaired_at = self._timeline.now + rng.uniform(60, 100)
        self._failures.set_failure(
            host, NodeFailure("lemon", f"NHC: check_gpu GPU {gpu} XID {code}", "root", False, repaired_at)
        )

    # -- controller-slow -----------------------------------------------------------------------------------------------

    def _controller_slow(self) -> None:
        """A user polls squeue in a loop: slurmctld takes seconds to answer."""
        self.slow = True
        self._alerts.raise_(
            "SlurmctldSlow",
            "warning",
            "slurmctld answers in more than 3 s, 256 server threads",
            self._timeline.now,
            {"service": "slurmctld"},
        )

    # -- controller ----------------------------------------------------------------------------------------------------

    def _controller_fails_over(self) -> None:
        """The primary controller's host dies. The backup takes over, cannot reach slurmdbd, and queues its messages.

        Meanwhile a job ends, and on one node its processes do not.
        """
        now = self._timeline.now
        self.failed_over, self._dbd_lost_at = True, now
        alert = self._alerts.raise_(
            "SlurmctldFailover",
            "critical",
            "slurmctld runs on ctl2, ctl1 does not answer",
            now,
            {"service": "slurmctld"},
        )
        repaired_at = self._rng.uniform(40, 70) * MINUTE
        self._timeline.after(repaired_at, self._controller_back)
        self._timeline.after(repaired_at, self._alerts.resolve, alert)
        runs = self._queue.runs
        if runs:
            job = min(runs, key=lambda job: (len(runs[job].hosts), job))
            self._affect([self._hosts[index] for index in runs[job].hosts])
            # The token is no longer that of the run, so the scheduled end does nothing.
            runs[job] = SimRun(runs[job].hosts, runs[job].limit_at, -1)
            self._queue.jobs[job] = replace(self._queue.jobs[job], state="COMPLETING")
            self.hung[job] = int(now)
            self._timeline.after(3 * HOUR, self._end_hung_job, job)

    def _end_hung_job(self, job: str) -> None:
        run = self._queue.runs.get(job)
        if run is not None and run.token == -1:
            self._queue.end(job, "FAILED")

    def _controller_back(self) -> None:
        self.failed_over, self._dbd_lost_at = False, None

    def dbd_backlog(self) -> int:
        """Messages queued for slurmdbd."""
        return 0 if self._dbd_lost_at is None else int(40 * (self._timeline.now - self._dbd_lost_at))

    # -- fabric --------------------------------------------------------------------------------------------------------

    def _fabric(self) -> None:
        """A leaf switch loses its links one by one: jobs across it fail, the health check drains node after node."""
        hosts = self._affect(self._rack())
        alert = self._alerts.raise_(
            "IbSwitchUnhealthy",
            "critical",
            f"{hosts[0].switch} loses links: {len(hosts)} nodes behind it",
            self._timeline.now,
            {"rack": hosts[0].rack, "switch": hosts[0].switch},
        )
        self._timeline.after(5 * HOUR, self._alerts.resolve, alert)
        for host in hosts:
            self._timeline.after(self._rng.uniform(5, 75), self._lose_link, host)
        self._timeline.after(5 * HOUR, self._links.repair, hosts)

    def _lose_link(self, host: Host) -> None:
        gpu = self._rng.randrange(self._queue.site.gpus)
        if self._rng.random() < 0.5:
            self._failures.report_xid(host, 74, gpu)
        for job in [job for job in host.jobs if len(self._queue.runs[job].hosts) > 1]:
            self._queue.end(job, "FAILED")
        repaired_at = self._timeline.now + self._rng.uniform(90, 240) * MINUTE
        failure = NodeFailure("network", f"NHC: check_ib mlx5_{gpu} link down", "root", False, repaired_at)
        self._timeline.after(self._rng.uniform(3, 20), self._failures.set_failure, host, failure)
        # Its other links flap, and some come back at half their speed.
        others = [f"mlx5_{n}" for n in range(self._queue.site.gpus) if n != gpu]
        for position, device in enumerate(others):
            for beat in range(2 + position % 2):
                self._timeline.after(2.0 + position + 9 * beat, self._links.flap, host, device)
        if host.index % 2 and others:
            self._timeline.after(40, self._links.slow, host, others[-1])

    # -- storage -------------------------------------------------------------------------------------------------------

    def _storage_hangs(self) -> None:
        """Two OSTs of the Lustre file system are lost, and it hangs on the nodes of a rack: jobs stall, processes
        cannot be killed."""
        hosts = self._affect(self._rack())
        alert = self._alerts.raise_(
            "LustreTargetLost",
            "critical",
            "fs1-OST0006 and fs1-OST0007 do not answer",
            self._timeline.now,
            {"filesystem": "fs1"},
        )
        self._storage.hang(hosts, lost=2)
        repaired_at = self._rng.uniform(30, 60) * MINUTE
        self._timeline.after(repaired_at, self._storage.repair)
        self._timeline.after(repaired_at, self._alerts.resolve, alert)
        for host in hosts[::4]:
            failure = NodeFailure(
                "storage", "Kill task failed", "slurm", False, self._timeline.now + repaired_at + 10 * MINUTE
            )
            self._timeline.after(self._rng.uniform(40, 160), self._failures.set_failure, host, failure)

    # -- cooling -------------------------------------------------------------------------------------------------------

    def _cooling(self) -> None:
        """A CDU in the middle of the room trips."""
        loops = list(self._queue.site.loops.values())
        loop = loops[len(loops) // 2]
        self.cooling_trip = CoolingTrip(loop, self._rng, self._queue, self._failures, self._alerts, self._timeline)
        self._affect(self.cooling_trip.hosts)
        self.cooling_trip.begin()

    # -- nvlink --------------------------------------------------------------------------------------------------------

    def _nvlink_splits(self) -> None:
        """An NVLink switch tray restarts: the last four trays of the rack form a clique of their own, one has no
        route, and jobs across the domain fail. Slurm only sees the one tray that the health check drains."""
        hosts = self._rack()
        apart = self._affect(hosts[-4:])
        alert = self._alerts.raise_(
            "NvLinkSwitchRestarted",
            "critical",
            f"NVLink switch tray 5 of {hosts[0].rack} restarted",
            self._timeline.now,
            {"rack": hosts[0].rack},
        )
        self._timeline.after(5 * HOUR, self._alerts.resolve, alert)
        self._timeline.after(5 * HOUR, self._nvlink.repair, hosts[0].rack)
        lost = {job for host in apart for job in host.jobs if len(self._queue.runs[job].hosts) > 1}
        for job in sorted(lost):
            self._queue.end(job, "FAILED")
        self._nvlink.split(apart)
        self._nvlink.degrade(apart[0], NO_ROUTE, "unavailable")
        failure = NodeFailure("nvlink", "NHC: check_nvlink fabric", "root", False, self._timeline.now + 4 * HOUR)
        self._timeline.after(self._rng.uniform(20, 40), self._failures.set_failure, apart[-1], failure)

"""The simulated cluster: what slurmctld, Prometheus and Alertmanager would report, and how they react to changes."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from msgspec.structs import replace

from collectors.clock import Clock, SystemClock
from collectors.matchers import one_of
from collectors.model import (
    Alert,
    Change,
    Completing,
    Control,
    Controller,
    Diag,
    Domain,
    Gpu,
    Job,
    JobDetail,
    Load,
    NewSilence,
    Node,
    Partition,
    Power,
    Reservation,
    Sent,
    Series,
    Silence,
    Tray,
    Xid,
)

from . import SimSettings
from .alerts import AlertStore
from .failures import NodeFailures
from .host import Host, NodeFailure, answers
from .incidents import Incidents
from .plant import nvlink
from .plant.checkups import Checks
from .plant.fabric import Links
from .plant.gpu_telemetry import GpuLoads
from .plant.power import PowerMeters
from .plant.sensor_history import SensorHistory
from .plant.sensors import Sensors
from .plant.site_layout import DAY, HOUR, build_site, fold_bits, node_row
from .plant.storage import Storage
from .slurmctld.arrivals import Arrivals
from .slurmctld.gpu_pool import GpuPool
from .slurmctld.job_queue import SimQueue
from .slurmctld.operator_requests import OperatorRequests
from .slurmctld.reboots import Reboots
from .slurmctld.reservation_calendar import Calendar
from .slurmctld.reservations import create_initial
from .slurmctld.scheduler import Scheduler
from .slurmctld.workload import USERS, Workload
from .timeline import Timeline

#: RPCs of an average user per hour.
CALLS_PER_HOUR = 40
#: Hosts of the two controllers; slurmdbd runs on the second.
PRIMARY, BACKUP = "ctl1", "ctl2"
#: Slurm's UnkillableStepTimeout.
UNKILLABLE_S = 180


class Machine:
    """One simulated cluster. Time only moves in `advance` and in changes; a lock serialises callers.

    Raises ValueError for settings that make no cluster, or for an unknown incident.
    """

    def __init__(
        self, settings: SimSettings, clock: Clock | None = None, operator: str = "root", cluster: str = "demo"
    ) -> None:
        if settings.nodes < 1 or not 1 <= settings.gpus_per_node <= 16 or settings.nodes_per_rack < 1:
            raise ValueError("a machine needs at least 1 node, 1 to 16 GPUs a node and 1 node a rack")
        if settings.nvl72 or settings.incident == "nvlink":
            settings = replace(settings, nvl72=True, gpus_per_node=nvlink.GPUS, nodes_per_rack=nvlink.TRAYS)
        self.settings = settings
        self.cluster = cluster
        self.operator = operator
        self._clock: Clock = clock or SystemClock()
        self._start = self._clock.now()
        self._mono = self._clock.mono()
        self._lock = threading.RLock()
        timeline = self.timeline = Timeline(self._start)
        site = self.site = build_site(settings, self._start)
        pool = self.pool = GpuPool(site)
        self.calendar = Calendar()
        total = settings.nodes * site.gpus
        self.queue = SimQueue(site, pool, timeline, self.calendar, gpu_cap=max(total // 8, 16 * site.gpus))
        workload = Workload(self._random("work"), site, self._start, settings.hostile)
        self.queue.run_time = workload.run_time
        self.scheduler = Scheduler(self.queue)
        self.alert_store = AlertStore(cluster)
        self.failures = NodeFailures(self._random("faults"), self.queue, self.alert_store, timeline)
        self.failures.hostile = settings.hostile
        self.nvlink = nvlink.NvLink(site, settings.nvl72)
        self.checks = Checks(site)
        self.links = Links(self._random("links"), site, timeline)
        self.storage = Storage(self._random("storage"), site, timeline)
        self.incidents = Incidents(
            self._random("incident"), self.queue, self.failures, self.alert_store, timeline, self.nvlink, self.links,
            self.storage,
        )  # fmt: skip
        self.telemetry = GpuLoads(pool)
        self.sensor_history = SensorHistory(self.queue, self.failures.xids)
        self.accounting = self.sensor_history.accounting
        self.sensors = Sensors(self.queue, self.sensor_history)
        self.meters = PowerMeters(self.queue, self.telemetry, self.sensor_history)
        reboots = Reboots(self._random("reboots"), self.failures, timeline)
        self.requests = OperatorRequests(self.queue, self.failures, reboots, timeline, operator)
        self._workload = workload
        self._rows: dict[str, Node] = {}
        if settings.incident is not None:
            self.incidents.plan(settings.incident)
        self._settle(settings.jobs)

    def _random(self, what: str) -> random.Random:
        """A random source for each part, so that an operator's action does not change what breaks next."""
        return random.Random(f"{self.settings.seed}/{what}")

    def _settle(self, jobs: int | None) -> None:
        """Create the state of a cluster that has run for weeks."""
        rng = self._random("settle")
        self.failures.seed()
        create_initial(self.queue, self.failures)
        arrivals = Arrivals(self._random("arrivals"), self.queue, self.scheduler, self._workload)
        arrivals.fill(jobs)
        self._oddities(rng)
        self.storage.seed()
        self.failures.begin()
        arrivals.begin()
        self.scheduler.begin()

    def _oddities(self, rng: random.Random) -> None:
        """Anomalies for the console to find: inconsistent facts, an ignored GPU error, a silent exporter."""
        well = [host for host in self.site.hosts if host.usable]
        if len(well) < 48:
            return
        silent, stray, ignored, hot = rng.sample(well, 4)
        now = self.timeline.now
        silent.exporter_down = True
        hot.extra_heat_c = 21 - hot.index * 29 % 9
        self.sensor_history.update_node(silent, since=now - 2 * HOUR)
        stray.stray_process = True
        self.failures.report_xid(ignored, 48, rng.randrange(self.site.gpus))
        key = self.alert_store.about(hot, "NodeFanSlow", "warning", f"{hot.name} fan tray 3 below 60 %", now - 5 * HOUR)
        quiet = one_of("alertname", ["NodeFanSlow"]), one_of("node", [hot.name])
        what = "fan tray 3 is ordered"
        self.alert_store.silence(
            NewSilence(alerts=(key,), matchers=quiet, seconds=DAY, by="rvdberg", comment=what), now
        )
        self.alert_store.about(silent, "TargetDown", "warning", f"dcgm-exporter of {silent.name}", now - 2 * HOUR)
        # Jobs run on some drained nodes: these are draining until the last job ends.
        busy = [host for host in well if host.jobs and host not in (silent, stray, ignored, hot)]
        for host in rng.sample(busy, min(len(busy), max(1, len(well) // 340))):
            reason, by = rng.choice((("NHC: check_ib mlx5_0 link down", "root"), ("swap GPU 2 [KubeGPU-1201]", "jdv")))
            ago = rng.uniform(0.1, 5) * HOUR
            self.failures.set_failure(host, NodeFailure("old", reason, by, False, now + 6 * HOUR), since=now - ago)

    # -- time --------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Simulated time as of the last `advance`, seconds since the epoch."""
        return self.timeline.now

    def locked(self) -> AbstractContextManager[Any]:
        """A context in which nothing changes, for callers that read more than one thing."""
        return self._lock

    def advance(self) -> None:
        """Run all events that are due by the clock's time."""
        with self._lock:
            elapsed = self._clock.mono() - self._mono
            self.timeline.run_until(self._start + self.settings.speed * elapsed)

    # -- Slurm's answers -----------------------------------------------------------------------------------------------

    def nodes(self) -> dict[str, Node]:
        """All nodes, in order. An unchanged node is the same object as before."""
        with self._lock:
            rows, stale = self._rows, self.pool.stale_rows
            for index in sorted(stale):
                host = self.site.hosts[index]
                row = node_row(host, self.site.gpus)
                if rows.get(host.name) != row:
                    rows[host.name] = row
            stale.clear()
            return dict(rows)

    def jobs(self) -> dict[str, Job]:
        """All running and pending jobs. An unchanged job is the same object as before."""
        with self._lock:
            return dict(self.queue.jobs)

    def partitions(self) -> dict[str, Partition]:
        """All partitions."""
        return {name: section.row for name, section in self.site.partitions.items()}

    def reservations(self) -> dict[str, Reservation]:
        """All reservations that have not ended."""
        with self._lock:
            return self.calendar.rows()

    def diag(self) -> Diag:
        """What sdiag would print: cycle times grow with the queue, RPC counts with time."""
        with self._lock:
            running, total = len(self.queue.runs), len(self.queue.jobs)
            slow = self.incidents.slow
            hours = (self.now - self._start) / HOUR + self.now % DAY / HOUR
            calls = {user: int(CALLS_PER_HOUR * share * hours) for user, _, share, _ in USERS}
            calls |= {"root": int(900 * hours), self.operator: int(360 * hours)}
            if slow:
                calls[USERS[0][0]] += 250_000
            cost = 9000 if slow else 400 + total // 20
            wobble = int(self.now) * 7919 % 97
            return Diag(
                server_threads=256 if slow else 2 + wobble % 9,
                agent_queue=1840 + wobble if slow else wobble % 4,
                dbd_queue=12 + wobble if slow else self.incidents.dbd_backlog(),
                main_cycle_last_us=(2_900_000 if slow else 900 + 6 * total // 10) + wobble * 40,
                main_cycle_mean_us=1_400_000 if slow else 1000 + 6 * total // 10,
                backfill_cycle_last_us=(21_000_000 if slow else 30_000 + 25 * total) + wobble * 900,
                jobs_pending=total - running,
                jobs_running=running,
                since=int(self._start),
                reader=self.operator,
                user_calls=calls,
                user_time_us={user: count * cost for user, count in calls.items()},
            )

    def control(self) -> Control:
        """The state of the controllers and slurmdbd, and the jobs that do not end."""
        with self._lock:
            return Control(
                controllers=(
                    Controller(host=PRIMARY, role="primary", up=not self.incidents.failed_over),
                    Controller(host=BACKUP, role="backup", up=True),
                ),
                dbd=BACKUP,
                dbd_up=True,
                completing=tuple(
                    Completing(job=job, user=row.user, nodes=row.nodes, since=since)
                    for job, since in self.incidents.hung.items()
                    if (row := self.queue.jobs.get(job)) is not None and row.state == "COMPLETING"
                ),
                runaway=(),
                runaway_at=int(self.now) - int(self.now) % 900,
                unkillable_s=UNKILLABLE_S,
            )

    def job_detail(self, job_id: str) -> JobDetail | None:
        """What `scontrol show job` would add; None for a job that has ended."""
        with self._lock:
            job = self.queue.jobs.get(job_id)
            if job is None:
                return None
            run = self.queue.runs.get(job_id)
            hosts = [self.site.hosts[index] for index in run.hosts] if run is not None else []
            batch = job_id not in self.queue.interactive
            parent = self.queue.parents.get(job_id)
            need, bound = self.queue.required_host.get(job_id), self.queue.reservation_of.get(job_id)
            asked = {
                "tres_req_str": f"cpu={job.cpus},node={job.node_count},gres/gpu={job.gpus}",
                "required_nodes": self.site.hosts[need].name if need is not None else "",
                "resv_name": bound or "",
            }
            home = f"/home/{job.user}/{(job.account or 'work').partition('-')[2]}"
            return JobDetail(
                id=job_id,
                gpu_indices={host.name: fold_bits(host.jobs[job_id]) for host in hosts},
                batch=batch,
                requeueable=batch and job_id not in self.queue.not_requeueable,
                dependency=f"afterok:{parent}(unfulfilled)" if parent in self.queue.jobs else None,
                working_dir=home,
                command=f"{home}/{job.name}.sbatch" if batch else None,
                stdout=f"{home}/slurm-{job_id}.out" if batch else None,
                exit_code="0",
                fields={name: text for name, text in asked.items() if text},
            )

    def domains(self) -> dict[str, Domain]:
        """The blocks of Slurm's topology; empty without NVLink between nodes."""
        return self.nvlink.domains()

    # -- telemetry and alerts --------------------------------------------------------------------------------------

    def loads(self) -> dict[str, Load]:
        """The newest sample of each node. A node that is down has none, which is not zero."""
        with self._lock:
            return self.telemetry.loads(self.now)

    def trays(self) -> dict[str, Tray]:
        """The state of the NVLink fabric by node; empty without NVLink between nodes."""
        with self._lock:
            return self.nvlink.trays()

    def gpus(self, node: str) -> tuple[Gpu, ...]:
        """Every GPU of a node; empty for a node that is unknown or does not answer."""
        with self._lock:
            index = self.site.by_name.get(node)
            return () if index is None else self.sensors.gpus(self.site.hosts[index])

    def history(self, node: str, seconds: int) -> tuple[Series, ...]:
        """Charts of a node over the last `seconds`; empty for an unknown node."""
        with self._lock:
            index = self.site.by_name.get(node)
            return () if index is None else self.sensor_history.history(self.site.hosts[index], seconds)

    def site_history(self, seconds: int) -> tuple[Series, ...]:
        """Charts of the site over the last `seconds`: power and utilisation."""
        with self._lock:
            self.telemetry.loads(self.now)
            return self.meters.history(seconds)

    def energy(self, nodes: Sequence[str], since: int) -> float | None:
        """Joules that the GPUs of these nodes have used since `since`; None if none of them answers."""
        with self._lock:
            hosts = [self.host(name) for name in nodes if name in self.site.by_name]
            used = [
                self.sensor_history.energy(host, g, int(self.now)) - self.sensor_history.energy(host, g, since)
                for host in hosts
                if answers(host)
                for g in range(self.site.gpus)
            ]
            return sum(used) if used else None

    def xids(self) -> dict[str, Xid]:
        """The XIDs of the last day, and older ones that are still the last of their GPU since boot."""
        with self._lock:
            rows, hosts, by_name = self.failures.xids, self.site.hosts, self.site.by_name
            for key, row in list(rows.items()):
                last = hosts[by_name[row.node]].xids.get(-1 if row.gpu is None else row.gpu)
                if last != row.code and (row.last_at or 0) < self.now - DAY:
                    del rows[key]
            return dict(rows)

    def power(self) -> Power:
        """What the PDUs measure."""
        with self._lock:
            self.telemetry.loads(self.now)
            return self.meters.read()

    def pdus(self) -> dict[tuple[str, str], float]:
        """Watts by rack and PDU; 0 for a dead PDU."""
        with self._lock:
            self.telemetry.loads(self.now)
            return self.meters.pdus()

    def node_power(self, node: str) -> float | None:
        """Watts that the BMC of a node measures; None for a node that is unknown or does not answer."""
        with self._lock:
            index = self.site.by_name.get(node)
            host = None if index is None else self.site.hosts[index]
            return None if host is None or host.silent else self.meters.node_w(host)

    def alerts(self) -> dict[str, Alert]:
        """All alerts by fingerprint."""
        with self._lock:
            return self.alert_store.current(self.now)

    def silences(self) -> dict[str, Silence]:
        """All active silences by id."""
        with self._lock:
            return self.alert_store.silences(self.now)

    # -- changes ----------------------------------------------------------------------------------------

    def apply(self, change: Change) -> Sequence[Sent]:
        """Apply a change as slurmctld would."""
        with self._lock:
            self.advance()
            return self.requests.apply(change)

    def silence(self, new: NewSilence) -> str:
        """Create a silence as Alertmanager would. Returns its id."""
        with self._lock:
            self.advance()
            return self.alert_store.silence(new, self.now)

    def expire_silence(self, silence: str) -> bool:
        """Expire a silence as Alertmanager would. False if it is expired or unknown."""
        with self._lock:
            self.advance()
            return self.alert_store.expire_silence(silence, self.now)

    def break_node(self, name: str, reason: str = "Not responding", down: bool = True) -> None:
        """For tests: break a node now, for a day. Raises KeyError for an unknown name."""
        with self._lock:
            host = self.host(name)
            host.failure = None
            by = "slurm" if down else "root"
            self.failures.set_failure(host, NodeFailure("scripted", reason, by, down, self.now + DAY), since=self.now)

    def repair_node(self, name: str) -> None:
        """For tests: repair a node now. Raises KeyError for an unknown name."""
        with self._lock:
            host = self.host(name)
            if host.failure is not None:
                self.failures.repair(host, host.failure)

    def host(self, name: str) -> Host:
        """For tests: the node as the simulation holds it. Raises KeyError for an unknown name."""
        return self.site.hosts[self.site.by_name[name]]

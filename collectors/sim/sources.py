"""Opens the sources of the simulated cluster: the same names, kinds and behaviour as the real ones."""

from __future__ import annotations

import getpass
import random
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from collectors.clock import Clock, SystemClock
from collectors.model import (
    Alert,
    Attached,
    Collector,
    Facts,
    Gpu,
    Job,
    JobAccount,
    JobDetail,
    LogTail,
    Matcher,
    Node,
    NodeEvent,
    Partition,
    PastJob,
    Reservation,
    Rights,
    Series,
    Silence,
    SourceFault,
    User,
)
from collectors.nodeset import expand
from collectors.source_registry import modules_with

from . import SimSettings

if TYPE_CHECKING:
    from .machine import Machine

Now = Callable[[], "Machine"]
"""Returns the cluster, advanced to the current time. The first caller imports and builds it, in its own thread (0.5
s at 12,000 nodes)."""

_machines: dict[tuple[str, SimSettings], tuple[Machine, Clock | None]] = {}
_opening = threading.Lock()


def running(cluster: str, settings: SimSettings, clock: Clock | None = None) -> Machine:
    """The cluster of this name, started if need be: sources, transport and writer share one instance.

    A `clock` other than the one it was started with starts a new one. Raises ValueError for an unknown incident.
    """
    with _opening:
        known = _machines.get((cluster, settings))
        if known is not None and (clock is None or clock is known[1]):
            return known[0]
        from .machine import Machine

        machine = Machine(settings, clock or SystemClock(), _login(), cluster)
        _machines[cluster, settings] = (machine, clock)
        return machine


def _now(cluster: str, settings: SimSettings, clock: Clock | None = None) -> Machine:
    machine = running(cluster, settings, clock)
    machine.advance()
    return machine


def forget(cluster: str) -> None:
    """Drop the instances of this cluster: the next caller starts a new one."""
    with _opening:
        for key in [key for key in _machines if key[0] == cluster]:
            del _machines[key]


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "root"


class SlowController:
    """Simulates the response time of a slow slurmctld. The wait ends at once when the source is closed."""

    def __init__(self, seed: int, name: str) -> None:
        # A separate random source: response times must not change what happens on the cluster.
        self._rng = random.Random(f"{seed}/{name}")
        self._closed = threading.Event()
        self.wait: Callable[[float], object] = self._closed.wait
        """Waits real seconds; tests replace it."""

    def wait_for(self, machine: Machine, what: str) -> None:
        """Wait as long as the command `what` takes. Raises SourceFault("timeout") if it does not answer in time."""
        if not machine.incidents.slow:
            return
        late = self._rng.random() < 0.2
        self.wait(6.0 if late else self._rng.uniform(3.0, 6.0))
        if late and not self._closed.is_set():
            raise SourceFault("timeout", f"{what} did not answer within 6 s", "the controller is busy: see sdiag")

    def close(self) -> None:
        """End the wait."""
        self._closed.set()


#: Milliseconds by which each row lengthens the polling interval: short at 256 nodes, longer at 12,000.
_ROW_MS = {"slurm.nodes": 2.5, "slurm.jobs": 1.5, "prom.loads": 1.25}


class SimSource:
    """One source of a simulated cluster: one kind of facts."""

    def __init__(
        self, now: Now, seed: int, name: str, floor_s: float, read: Callable[[Machine], Facts], command: str | None
    ) -> None:
        self.name = name
        self.floor_s = floor_s
        self.row_ms = _ROW_MS.get(name, 0.0)
        self._now = now
        self._read = read
        self._command = command
        self.delay = SlowController(seed, name)

    def collect(self) -> Facts:
        """Advance the cluster to the current time and read it."""
        machine = self._now()
        if self._command is not None:
            self.delay.wait_for(machine, self._command)
        return self._read(machine)

    def close(self) -> None:
        """End a reading that is waiting."""
        self.delay.close()


#: The first sources of the plant, in the order in which the console shows them; others follow by name.
_FIRST = ("fabric", "storage", "cooling", "checkups")


def open_sources(cluster: str, settings: SimSettings, clock: Clock | None = None) -> list[Collector]:
    """The sources of a simulated cluster."""
    rights = Rights(user=_login(), level="Administrator", nodes=True, jobs=True, why="the simulated cluster")
    kinds: tuple[tuple[str, float, Callable[[Machine], Facts], str | None], ...] = (
        ("slurm.nodes", 3.0, lambda at: Facts(nodes=at.nodes(), cluster=cluster), "scontrol show node"),
        ("slurm.jobs", 3.0, lambda at: Facts(jobs=at.jobs()), "squeue"),
        ("slurm.partitions", 30.0, lambda at: Facts(partitions=at.partitions()), "scontrol show partition"),
        ("slurm.reservations", 30.0, lambda at: Facts(reservations=at.reservations()), "scontrol show reservation"),
        ("slurm.diag", 10.0, lambda at: Facts(diag=at.diag()), "sdiag"),
        ("slurm.control", 30.0, lambda at: Facts(control=at.control()), "scontrol ping"),
        ("slurm.rights", 300.0, lambda _: Facts(rights=rights), None),
        ("slurm.topology", 900.0, lambda at: Facts(domains=at.domains()), "scontrol show topology"),
        ("prom.loads", 5.0, lambda at: Facts(loads=at.loads(), xids=at.xids()), None),
        ("prom.power", 15.0, lambda at: Facts(power=at.power()), None),
        ("prom.trays", 15.0, lambda at: Facts(trays=at.trays() or None), None),
        *((*module.SOURCE, None) for module in modules_with("SOURCE", "collectors.sim.plant", _FIRST)),
        ("alerts.alerts", 10.0, lambda at: Facts(alerts=at.alerts(), silences=at.silences()), None),
    )
    return [SimSource(partial(_now, cluster, settings, clock), settings.seed, *kind) for kind in kinds]


class SimTransport:
    """Reads single objects by name."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of these names; unknown ones are left out."""
        machine = self._now()
        nodes = machine.nodes()
        return {name: nodes[name] for name in names if name in nodes}

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids; ended and unknown ones are left out."""
        machine = self._now()
        with machine.locked():
            return {job: machine.queue.detailed(job) for job in ids if job in machine.queue.jobs}

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """The jobs that hold one of these nodes."""
        machine = self._now()
        wanted = frozenset(nodes)
        return {job.id: job for job in machine.jobs().values()
                if job.nodes is not None and not wanted.isdisjoint(expand(job.nodes))}  # fmt: skip

    def read_partitions(self, names: Sequence[str]) -> Mapping[str, Partition]:
        """The partitions of these names; unknown ones are left out."""
        rows = self._now().partitions()
        return {name: rows[name] for name in names if name in rows}

    def read_reservations(self, names: Sequence[str]) -> Mapping[str, Reservation]:
        """The reservations of these names; those that have ended are left out."""
        rows = self._now().reservations()
        return {name: rows[name] for name in names if name in rows}

    def read_jobs_in(self, reservation: str) -> Mapping[str, Job]:
        """The jobs that asked for this reservation."""
        machine = self._now()
        with machine.locked():
            bound = [job for job, name in machine.queue.reservation_of.items() if name == reservation]
            return {job: machine.queue.jobs[job] for job in bound if job in machine.queue.jobs}

    def read_users(self, names: Sequence[str]) -> Mapping[str, User]:
        """The users of these names; unknown ones are left out."""
        from .slurmctld.operator_requests import user_rows

        machine = self._now()
        with machine.locked():
            return user_rows(machine.queue, machine.cluster, names)

    def job_detail(self, job: str) -> JobDetail:
        """All details of one job. Raises SourceFault("missing") if it has ended or never existed."""
        machine = self._now()
        detail = machine.job_detail(job)
        if detail is None:
            raise SourceFault("missing", f"Slurm shows no job {job}", f"it may have ended; try: sacct -j {job}")
        return detail


def open_transport(cluster: str, settings: SimSettings) -> SimTransport:
    """The transport for single reads of the cluster that the sources read."""
    return SimTransport(partial(_now, cluster, settings))


class SimAlertReader:
    """Reads single alerts and silences by id."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def read_alerts(self, ids: Sequence[str]) -> Mapping[str, Alert]:
        """The alerts of these ids; resolved ones are left out."""
        machine = self._now()
        alerts = machine.alerts()
        return {one: alerts[one] for one in ids if one in alerts}

    def read_silences(self, ids: Sequence[str]) -> Mapping[str, Silence]:
        """The silences of these ids; expired ones are left out."""
        machine = self._now()
        silences = machine.silences()
        return {one: silences[one] for one in ids if one in silences}

    def read_silences_of(self, label: str, values: Sequence[str]) -> Mapping[str, Silence]:
        """The silences whose only condition is that this label has one of these values."""
        wanted = {(Matcher(label, value),) for value in values}
        return {key: one for key, one in self._now().silences().items() if one.matchers in wanted}


def open_alert_reader(cluster: str, settings: SimSettings) -> SimAlertReader:
    """Reads alerts and silences of the cluster that the sources read."""
    return SimAlertReader(partial(_now, cluster, settings))


_LOG = re.compile(r"/home/.*/slurm-([0-9_]+)\.out")


class SimAccounting:
    """Accounting queries, answered from the records of the cluster that the sources read."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def jobs_of_node(self, node: str, since: int, most: int) -> Sequence[PastJob]:
        """The runs that ended on a node since `since`, newest first; empty for an unknown node."""
        machine = self._now()
        with machine.locked():
            known = node in machine.site.by_name
            return machine.accounting.jobs(machine.host(node), since, most) if known else []

    def events_of_node(self, node: str, since: int) -> Sequence[NodeEvent]:
        """The out-of-service periods of a node since `since`, newest first; empty for an unknown node."""
        machine = self._now()
        with machine.locked():
            known = node in machine.site.by_name
            return machine.accounting.events(machine.host(node), since) if known else []

    def account_of_job(self, job: str) -> JobAccount:
        """The accounting of one job. Raises SourceFault("missing")."""
        machine = self._now()
        with machine.locked():
            found = machine.accounting.account(job)
        if found is None:
            raise SourceFault(
                "missing", f"the accounting has no job {job}", "was it purged, or is it another cluster's?"
            )
        return found

    def log_tail(self, path: str, user: str | None) -> LogTail:
        """The tail of a job's output. Raises SourceFault("missing")."""
        match = _LOG.fullmatch(path)
        if match is None:
            raise SourceFault("missing", f"{path}: there is no such file")
        from .slurmctld.accounting import log_of

        return log_of(self.account_of_job(match[1]), int(self._now().now))


def open_accounting(cluster: str, settings: SimSettings) -> SimAccounting:
    """Accounting of the cluster that the sources read."""
    return SimAccounting(partial(_now, cluster, settings))


class SimTelemetry:
    """Telemetry queries on demand."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def gpus(self, nodes: Sequence[str]) -> Mapping[str, tuple[Gpu, ...]]:
        """Every GPU of these nodes; a node whose exporter does not answer is left out."""
        machine = self._now()
        return {node: gpus for node in nodes if (gpus := machine.gpus(node))}

    def site_history(self, seconds: int) -> Sequence[Series]:
        """Charts of the whole site: power and mean utilisation."""
        machine = self._now()
        return machine.site_history(seconds)

    def attached(self, node: str) -> Attached:
        """The ports and file systems of a node; empty for a node that is unknown or does not answer."""
        machine = self._now()
        with machine.locked():
            index = machine.site.by_name.get(node)
            if index is None:
                return Attached()
            host = machine.site.hosts[index]
            return Attached(ports=machine.links.sampled(host), mounts=machine.storage.mounts(host))

    def energy_j(self, nodes: Sequence[str], since: int) -> float | None:
        """Joules that the GPUs of these nodes have used since `since`; None if none of them answers."""
        machine = self._now()
        return machine.energy(nodes, since)

    def history(self, node: str, seconds: int) -> Sequence[Series]:
        """Charts of a node; empty for an unknown node."""
        machine = self._now()
        return machine.history(node, seconds)


def open_telemetry(cluster: str, settings: SimSettings) -> SimTelemetry:
    """Telemetry of the cluster that the sources read."""
    return SimTelemetry(partial(_now, cluster, settings))

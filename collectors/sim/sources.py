"""Opens the simulated machine as sources: the same names, kinds and manners as the real ones."""

from __future__ import annotations

import getpass
import random
import threading
from collections.abc import Callable, Mapping, Sequence

from collectors.clock import Clock, SystemClock
from collectors.model import Alert, Collector, Facts, Gpu, Job, JobDetail, Node, Rights, Series, Silence, SourceFault
from collectors.nodeset import expand
from collectors.sim import SimSettings
from collectors.sim.machine import Machine

_machines: dict[tuple[str, SimSettings], tuple[Machine, Clock | None]] = {}
_opening = threading.Lock()


def running(cluster: str, settings: SimSettings, clock: Clock | None = None) -> Machine:
    """The machine of this cluster, started when there is none: sources, transport and writer find the same one.

    Another `clock` than it was started with starts another machine. Raises ValueError for an unknown incident.
    """
    with _opening:
        known = _machines.get((cluster, settings))
        if known is not None and (clock is None or clock is known[1]):
            return known[0]
        machine = Machine(settings, clock or SystemClock(), _login(), cluster)
        _machines[cluster, settings] = (machine, clock)
        return machine


def forget(cluster: str) -> None:
    """Switch the machines of this cluster off: the next one that asks starts anew."""
    with _opening:
        for key in [key for key in _machines if key[0] == cluster]:
            del _machines[key]


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "root"


class Patience:
    """Waits in place of a slow controller. Ends at once when its source is closed."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine = machine
        # A source of its own: how long people wait must not change what happens on the machine.
        self._rng = random.Random(f"{machine.settings.seed}/{name}")
        self._closed = threading.Event()
        self.wait: Callable[[float], object] = self._closed.wait
        """Takes real seconds; tests put something else here."""

    def spend(self, what: str) -> None:
        """Wait as long as `what` takes. Raises SourceFault("timeout") when it does not answer in time."""
        if not self._machine.incidents.slow:
            return
        late = self._rng.random() < 0.2
        self.wait(6.0 if late else self._rng.uniform(3.0, 6.0))
        if late and not self._closed.is_set():
            raise SourceFault("timeout", f"{what} did not answer within 6 s", "the controller is busy: see sdiag")

    def close(self) -> None:
        """Wait no longer."""
        self._closed.set()


class SimSource:
    """One kind of facts of a simulated machine."""

    def __init__(
        self, machine: Machine, name: str, floor_s: float, read: Callable[[], Facts], command: str | None
    ) -> None:
        self.name = name
        self.floor_s = floor_s
        self._machine = machine
        self._read = read
        self._command = command
        self.patience = Patience(machine, name)

    def collect(self) -> Facts:
        """Let the machine come up to now and say what it sees."""
        self._machine.advance()
        if self._command is not None:
            self.patience.spend(self._command)
        return self._read()

    def close(self) -> None:
        """End a reading that waits."""
        self.patience.close()


def open_sources(cluster: str, settings: SimSettings, clock: Clock | None = None) -> list[Collector]:
    """The nine sources of a simulated machine."""
    machine = running(cluster, settings, clock)
    rights = Rights(user=machine.operator, level="Administrator", nodes=True, jobs=True, why="the embedded machine")
    kinds: tuple[tuple[str, float, Callable[[], Facts], str | None], ...] = (
        ("slurm.nodes", 3.0, lambda: Facts(nodes=machine.nodes(), cluster=cluster), "scontrol show node"),
        ("slurm.jobs", 3.0, lambda: Facts(jobs=machine.jobs()), "squeue"),
        ("slurm.partitions", 30.0, lambda: Facts(partitions=machine.partitions()), "scontrol show partition"),
        ("slurm.reservations", 30.0, lambda: Facts(reservations=machine.reservations()), "scontrol show reservation"),
        ("slurm.diag", 10.0, lambda: Facts(diag=machine.diag()), "sdiag"),
        ("slurm.rights", 300.0, lambda: Facts(rights=rights), None),
        ("prom.loads", 5.0, lambda: Facts(loads=machine.loads(), xids=machine.xids()), None),
        ("prom.power", 15.0, lambda: Facts(power=machine.power()), None),
        ("alerts.alerts", 10.0, lambda: Facts(alerts=machine.alerts(), silences=machine.silences()), None),
    )
    return [SimSource(machine, *kind) for kind in kinds]


class SimTransport:
    """Reads of named things, as they are now."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of these names; unknown ones are left out."""
        self._machine.advance()
        nodes = self._machine.nodes()
        return {name: nodes[name] for name in names if name in nodes}

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids; ended and unknown ones are left out."""
        self._machine.advance()
        jobs = self._machine.jobs()
        return {job: jobs[job] for job in ids if job in jobs}

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """The jobs that hold one of these nodes."""
        self._machine.advance()
        wanted = frozenset(nodes)
        return {job.id: job for job in self._machine.jobs().values()
                if job.nodes is not None and not wanted.isdisjoint(expand(job.nodes))}  # fmt: skip

    def job_detail(self, job: str) -> JobDetail:
        """Everything about one job. Raises SourceFault("missing") when it is not alive."""
        self._machine.advance()
        detail = self._machine.job_detail(job)
        if detail is None:
            raise SourceFault("missing", f"Slurm shows no job {job}", f"it may have ended; try: sacct -j {job}")
        return detail


def open_transport(cluster: str, settings: SimSettings) -> SimTransport:
    """Reads on demand of the machine that the sources read."""
    return SimTransport(running(cluster, settings))


class SimDesk:
    """Reads of named alerts and silences, as they are now."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def read_alerts(self, ids: Sequence[str]) -> Mapping[str, Alert]:
        """The alerts of these ids; those that are over are left out."""
        self._machine.advance()
        alerts = self._machine.alerts()
        return {one: alerts[one] for one in ids if one in alerts}

    def read_silences(self, ids: Sequence[str]) -> Mapping[str, Silence]:
        """The silences of these ids; those that are over are left out."""
        self._machine.advance()
        silences = self._machine.silences()
        return {one: silences[one] for one in ids if one in silences}


def open_desk(cluster: str, settings: SimSettings) -> SimDesk:
    """Alerts and silences of the machine that the sources read."""
    return SimDesk(running(cluster, settings))


class SimTelemetry:
    """Telemetry on demand."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def gpus(self, nodes: Sequence[str]) -> Mapping[str, tuple[Gpu, ...]]:
        """Every GPU of these nodes; a node whose exporter does not answer is left out."""
        self._machine.advance()
        return {node: gpus for node in nodes if (gpus := self._machine.gpus(node))}

    def site_history(self, seconds: int) -> Sequence[Series]:
        """Charts of the whole site: power and mean utilisation."""
        self._machine.advance()
        return self._machine.site_history(seconds)

    def energy_j(self, nodes: Sequence[str], since: int) -> float | None:
        """Joules that the GPUs of these nodes have used since then; None where none of them answers."""
        self._machine.advance()
        return self._machine.energy(nodes, since)

    def history(self, node: str, seconds: int) -> Sequence[Series]:
        """Charts of a node; none for one that the machine does not know."""
        self._machine.advance()
        return self._machine.history(node, seconds)


def open_telemetry(cluster: str, settings: SimSettings) -> SimTelemetry:
    """The telemetry of the machine that the sources read."""
    return SimTelemetry(running(cluster, settings))

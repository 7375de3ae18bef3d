"""Opens the sources of one Slurm: six collectors, and reads of named things on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from collectors.model import Collector, Facts, Job, JobDetail, Node, SourceFault
from collectors.nodeset import fold
from collectors.shared import Shelf, shelf_of
from collectors.slurm import SlurmSettings, control, rights
from collectors.slurm.ask import ask, fence, fenced
from collectors.slurm.jobs import COLUMNS, QueueReader, command, row
from collectors.slurm.nodes import NodeReader, read_named

#: One argument of a command may be 128 KB long (MAX_ARG_STRLEN of Linux).
_IDS_A_CALL = 4000


class _Slurm:
    """What the six collectors share."""

    name = "slurm"
    slow = 1.0
    """How many times slower than jobs and nodes this source moves."""
    row_ms = 0.0
    """Milliseconds by which one more row makes the interval longer, to three times the floor."""

    def __init__(self, settings: SlurmSettings, shelf: Shelf | None = None) -> None:
        self.deadline_s = settings.deadline_s
        self.floor_s = settings.interval_s * self.slow
        self.budget = settings.budget
        self.shelf = shelf or Shelf("", None)

    def collect(self) -> Facts:
        """Read the source once, or take what another console of this user has just read. Raises SourceFault."""
        self.shelf.begin()
        facts = self.read()
        taken = self.shelf.taken
        return facts if taken is None else msgspec.structs.replace(facts, taken=taken)

    def read(self) -> Facts:
        """Ask for all of it. Raises SourceFault."""
        raise NotImplementedError

    def lend(self, since: float) -> None:
        """From now on a reading of another console will do that was begun at this monotonic moment or later."""
        self.shelf.lend(since)

    def close(self) -> None:
        """Wait for no other console; a command that runs is ended by `process.stop_all`."""
        self.shelf.close()


class Nodes(_Slurm):
    """Every node."""

    name = "slurm.nodes"
    row_ms = 2.5  # 30 s at 12,000 nodes, where the answer is 6 MB

    def __init__(self, settings: SlurmSettings, shelf: Shelf | None = None) -> None:
        super().__init__(settings, shelf)
        self._reader = NodeReader(settings.racks, self.shelf.run)

    def read(self) -> Facts:
        """Read all nodes."""
        nodes, warnings = self._reader.read(self.deadline_s)
        return Facts(nodes=nodes, warnings=warnings)


class Jobs(_Slurm):
    """The queue."""

    name = "slurm.jobs"
    row_ms = 1.5  # 30 s at 20,000 jobs

    def __init__(self, settings: SlurmSettings, shelf: Shelf | None = None) -> None:
        super().__init__(settings, shelf)
        self._reader = QueueReader(self.shelf.run)

    def read(self) -> Facts:
        """Read all jobs."""
        jobs, warnings = self._reader.read(self.deadline_s)
        return Facts(jobs=jobs, warnings=warnings)


class Partitions(_Slurm):
    """Partitions: they change when an administrator changes them."""

    name = "slurm.partitions"
    slow = 6.0

    def read(self) -> Facts:
        """Read all partitions."""
        return Facts(partitions=control.partitions(self.deadline_s, self.shelf.run))


class Reservations(_Slurm):
    """Reservations."""

    name = "slurm.reservations"
    slow = 6.0

    def read(self) -> Facts:
        """Read all reservations."""
        return Facts(reservations=control.reservations(self.deadline_s, self.shelf.run))


class Diagnostics(_Slurm):
    """The controller's own figures."""

    name = "slurm.diag"
    slow = 6.0

    def read(self) -> Facts:
        """Read sdiag."""
        return Facts(diag=control.diag(self.deadline_s, self.shelf.run))


class Rights(_Slurm):
    """What the person at the keyboard may change. sudo writes each question into its log, so it is asked seldom."""

    name = "slurm.rights"

    def __init__(self, settings: SlurmSettings, shelf: Shelf | None = None) -> None:
        super().__init__(settings, shelf)
        self.floor_s = 3600.0 if settings.prefix else 900.0
        self._prefix = settings.prefix

    def read(self) -> Facts:
        """Ask for them, each console for itself."""
        return Facts(rights=rights.read(self._prefix, self.deadline_s))


def open_sources(cluster: str, settings: SlurmSettings) -> Sequence[Collector]:
    """The sources of one Slurm. Starts nothing."""
    kinds = (Nodes, Jobs, Partitions, Reservations, Diagnostics, Rights)
    return [kind(settings, shelf_of(cluster, settings.share, settings.published)) for kind in kinds]


class CliTransport:
    """Reads named nodes and jobs through Slurm's commands."""

    def __init__(self, settings: SlurmSettings) -> None:
        self._deadline_s = settings.deadline_s

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of these names as they are now."""
        return read_named(names, self._deadline_s)

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids as they are now; squeue refuses a single unknown id and is silent on one of many."""
        found: dict[str, Job] = {}
        for at in range(0, len(ids), _IDS_A_CALL):
            mark = fence()
            argv = command(mark, ids[at : at + _IDS_A_CALL])
            try:
                rows = fenced(argv, mark, ask(argv, self._deadline_s), len(COLUMNS))
            except SourceFault as error:
                if "Invalid job id" in error.fault.what:
                    continue
                raise
            found |= {job.id: job for raw in rows if (job := row(raw)) is not None}
        wanted = frozenset(ids)
        return {key: job for key, job in found.items() if key in wanted}

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """The jobs that hold one of these nodes now. squeue prints its header where nothing runs: that proves it."""
        mark = fence()
        argv = command(mark, nodes=fold(nodes))
        rows = fenced(argv, mark, ask(argv, self._deadline_s), len(COLUMNS))
        return {job.id: job for raw in rows if (job := row(raw)) is not None}

    def job_detail(self, job: str) -> JobDetail:
        """Everything about one job."""
        return control.job_detail(job, self._deadline_s)


def open_transport(cluster: str, settings: SlurmSettings) -> CliTransport:
    """Reads on demand."""
    return CliTransport(settings)

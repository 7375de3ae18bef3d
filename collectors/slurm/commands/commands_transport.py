"""The transport of Slurm's own commands: it can do everything, and is the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from collectors import process
from collectors.clean import clean, decode
from collectors.model import Facts, Job, JobDetail, Node, Operation, SourceFault, User
from collectors.nodeset import fold_for_slurm
from collectors.process import ProcessResult
from collectors.shared_readings import SharedCache, shared_cache_of
from collectors.slurm import SlurmSettings, topology
from collectors.slurm.transport import ReadsSmallKindsByName, TransportInfo

from . import controller, daemons, rights, users
from .jobs import COLUMNS, NAMED, QueueReader, command, named, row, with_held_gpus
from .nodes import NodeReader, read_named
from .read_command import ask, fence, fenced

#: Most ids in one argument, which may be 128 KB long (MAX_ARG_STRLEN of Linux).
_IDS_A_CALL = 4000


class CliReader:
    """Reads one kind of facts with the commands that print it."""

    def __init__(self, kind: str, settings: SlurmSettings, shared_cache: SharedCache) -> None:
        self.shared_cache = shared_cache
        self.size: int | None = None
        self._settings = settings
        self._nodes = NodeReader(settings.racks, self._run)
        self._jobs = QueueReader(self._run)
        self._daemons = daemons.DaemonReader(self._run)
        self._read: Callable[[float], Facts] = {
            "nodes": self._all_nodes,
            "jobs": self._queue,
            "partitions": lambda s: Facts(partitions=controller.partitions(s, self._run)),
            "reservations": lambda s: Facts(reservations=controller.reservations(s, self._run)),
            "diag": lambda s: Facts(diag=controller.diag(s, self._run)),
            "topology": lambda s: Facts(domains=topology.domains(settings.racks, s, self._run)),
            "control": lambda s: Facts(control=self._daemons.read(s)),
            # Rights are read by each console itself.
            "rights": lambda s: Facts(rights=rights.read(settings.prefix, s)),
        }[kind]

    def read(self) -> Facts:
        """Read all rows, or take the reading that another console of this user just made. Raises SourceFault."""
        self.size = None
        with process.extra_environment(self._settings.command_environment):
            return self._read(self._settings.deadline_s)

    def close(self) -> None:
        """Stop waiting for other consoles; `process.stop_all` ends a running command."""
        self.shared_cache.close()

    def _all_nodes(self, deadline_s: float) -> Facts:
        nodes, warnings = self._nodes.read(deadline_s)
        return Facts(nodes=nodes, warnings=warnings)

    def _queue(self, deadline_s: float) -> Facts:
        jobs, warnings = self._jobs.read(deadline_s)
        # An unreadable row does not identify its job.
        return Facts(jobs=jobs, warnings=warnings, hidden=frozenset("*") if warnings else frozenset())

    def _run(self, argv: Sequence[str], *, deadline_s: float, cap_bytes: int) -> ProcessResult:
        ended = self.shared_cache.run(argv, deadline_s=deadline_s, cap_bytes=cap_bytes)
        self.size = (self.size or 0) + len(ended.out)
        return ended


class CliTransport(ReadsSmallKindsByName):
    """Reads through squeue, scontrol, sinfo, sdiag and sacctmgr."""

    name = "cli"

    def __init__(self, settings: SlurmSettings, cluster: str = "") -> None:
        self._settings = settings
        self._deadline_s = settings.deadline_s
        self._cluster = cluster

    def unsupported(self, what: str | Operation, of: str = "all") -> str | None:
        """It can do everything."""
        return None

    def reader(self, kind: str) -> CliReader:
        """A new reader of all of one kind."""
        chosen = self._settings
        return CliReader(kind, chosen, shared_cache_of(self._cluster, chosen.share, chosen.published))

    def about(self) -> TransportInfo:
        """Whether the controller responds. Raises SourceFault."""
        with process.extra_environment(self._settings.command_environment):
            return self._about()

    def _about(self) -> TransportInfo:
        text = decode(ask(["scontrol", "ping"], self._deadline_s))
        if " UP" not in text:
            raise SourceFault("refused", f"scontrol ping says: {clean(text.strip()[:200])}", "is slurmctld up?")
        version = decode(ask(["scontrol", "version"], self._deadline_s)).split()
        return TransportInfo(
            transport=self.name, where=process.find("scontrol"), version=clean(version[-1]) if version else None
        )

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of these names as they are now."""
        with process.extra_environment(self._settings.command_environment):
            return read_named(names, self._deadline_s)

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids as they are now; squeue refuses a single unknown id and ignores one among many."""
        with process.extra_environment(self._settings.command_environment):
            found = self._named(ids)
            wanted = frozenset(ids)
            return with_held_gpus((job for job in found if job.id in wanted), self._deadline_s)

    def _named(self, ids: Sequence[str]) -> list[Job]:
        found: list[Job] = []
        for at in range(0, len(ids), _IDS_A_CALL):
            mark = fence()
            argv = command(mark, ids[at : at + _IDS_A_CALL])
            try:
                rows = fenced(argv, mark, ask(argv, self._deadline_s), len(NAMED))
            except SourceFault as error:
                if "Invalid job id" in error.fault.what:
                    continue
                raise
            read = [named(raw) for raw in rows]
            if None in read:
                # The row may be one of these jobs: without it the job would seem to have ended.
                raise SourceFault("malformed", "a row of squeue cannot be read", "is this version of Slurm known?")
            found += [job for job in read if job is not None]
        return found

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """The jobs on these nodes now. squeue prints its header even without jobs, which proves an empty answer."""
        mark = fence()
        return self._listed(mark, command(mark, nodes=fold_for_slurm(nodes)))

    def read_jobs_in(self, reservation: str) -> Mapping[str, Job]:
        """The jobs of this reservation. squeue prints its header even without jobs, which proves an empty answer."""
        mark = fence()
        return self._listed(mark, command(mark, reservation=reservation))

    def _listed(self, mark: str, argv: Sequence[str]) -> Mapping[str, Job]:
        with process.extra_environment(self._settings.command_environment):
            rows = fenced(argv, mark, ask(argv, self._deadline_s), len(COLUMNS))
            return with_held_gpus((job for raw in rows if (job := row(raw)) is not None), self._deadline_s)

    def read_users(self, names: Sequence[str]) -> Mapping[str, User]:
        """The users of these names, from slurmdbd."""
        with process.extra_environment(self._settings.command_environment):
            return users.users(names, self._deadline_s)

    def job_detail(self, job: str) -> JobDetail:
        """Everything about one job."""
        with process.extra_environment(self._settings.command_environment):
            return controller.job_detail(job, self._deadline_s)

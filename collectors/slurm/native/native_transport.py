"""The transport of pyslurm: readers of one kind, and reads of named objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from collectors.model import Facts, Job, JobDetail, Node, Operation, Rights, SourceFault, may_hide
from collectors.racks import RackOf, no_rack, rack_of
from collectors.slurm import SlurmSettings, transport
from collectors.slurm.transport import ReadsSmallKindsByName, TransportInfo

from .client import NativeClient
from .facts import reader
from .jobs import on_nodes
from .protocol import NativeReading, Question, WorkerConfig

T = TypeVar("T")
Row = TypeVar("Row", Node, Job)


class NativeReader:
    """Reads one kind of facts through the child that a transport's readers share."""

    shared_cache = None

    def __init__(self, kind: str, settings: SlurmSettings, client: NativeClient, closed: Callable[[], None]) -> None:
        self.size: int | None = None
        self._client = client
        self._closed = closed
        self._settings = settings
        self._nodes: Mapping[str, Node] = {}
        self._jobs: Mapping[str, Job] = {}
        self._kind = {"rights": "config"}.get(kind, kind)
        self._made: Callable[[NativeReading], Facts] = {
            "nodes": self._all_nodes,
            "jobs": self._all_jobs,
            "partitions": _partitions,
            "reservations": _reservations,
            "diag": _diag,
            "rights": lambda answer: Facts(rights=rights(_told(answer.config, "configuration"))),
        }[kind]

    def read(self) -> Facts:
        """Read all rows. Raises SourceFault."""
        self.size = None
        answer = self._client.ask(Question(self._kind))
        self.size = self._client.sizes.get(self._kind)
        return self._made(answer)

    def close(self) -> None:
        """End the child once every reader is closed."""
        self._closed()

    def _all_nodes(self, answer: NativeReading) -> Facts:
        rule = self._settings.racks
        self._nodes = _kept(self._nodes, {one.name: one for one in _placed(answer.nodes, rack_of(rule) or no_rack)})
        if not self._nodes:
            raise SourceFault("empty", "pyslurm lists not one node", "try: scontrol show node")
        lost = rule is not None and rule.topology
        return Facts(
            nodes=self._nodes, warnings=("racks are unknown: pyslurm does not report the topology",) if lost else ()
        )

    def _all_jobs(self, answer: NativeReading) -> Facts:
        self._jobs = _kept(self._jobs, {one.id: one for one in _told(answer.jobs, "list of jobs")})
        warnings = tuple(f"the tasks of job {one} could not be read" for one in answer.lost)
        return Facts(jobs=self._jobs, warnings=warnings, hidden=_hidden(answer))


class NativeTransport(ReadsSmallKindsByName):
    """Reads through pyslurm."""

    name = "native"

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings
        self._client = NativeClient(settings.deadline_s)
        self._open = 0

    def unsupported(self, what: str | Operation, of: str = "all") -> str | None:
        """Why it cannot do that, None where it can; it asks nothing."""
        return transport.unsupported(self.name, what, of=of)

    def reader(self, kind: str) -> NativeReader:
        """A new reader of all of one kind."""
        self._open += 1
        return NativeReader(kind, self._settings, self._client, self._one_less)

    def _one_less(self) -> None:
        self._open -= 1
        if self._open <= 0:
            self._client.close()

    def about(self) -> TransportInfo:
        """Probe whether pyslurm loads and the controller responds. Raises SourceFault."""
        return _told(self._client.ask(Question("about")).about, "version")

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of these names as they are now, from all nodes: reading one with pyslurm costs as much."""
        wanted = frozenset(names)
        found = self._client.ask(Question("nodes")).nodes
        rack = rack_of(self._settings.racks) or no_rack
        return {one.name: one for one in _placed(found, rack) if one.name in wanted}

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids as they are now, from all jobs: an array task cannot be read alone. Raises
        SourceFault("cut") if one of them may be among the unreadable rows."""
        wanted = frozenset(ids)
        answer = self._client.ask(Question("jobs"))
        found = {one.id: one for one in _told(answer.jobs, "list of jobs") if one.id in wanted}
        lost = _hidden(answer)
        for one in ids:
            if one not in found and may_hide(lost, one):
                raise SourceFault("cut", f"pyslurm does not report all of job {one}", f"try: squeue -r -j {one}")
        return found

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """The jobs on these nodes now."""
        return on_nodes(_told(self._client.ask(Question("jobs")).jobs, "list of jobs"), nodes)

    def job_detail(self, job: str) -> JobDetail:
        """All of one job that pyslurm has. Raises SourceFault; "missing" for an unknown id."""
        return _told(self._client.ask(Question("detail", job)).detail, "job")


def _hidden(answer: NativeReading) -> frozenset[str]:
    """As `Facts.hidden`: with a cut task list it is unknown which tasks are missing."""
    return frozenset(form for one in answer.lost for form in (("*",) if one == "?" else (one, f"{one}_*")))


def _told(found: T | None, what: str) -> T:
    """The requested value. Raises SourceFault("empty") if the child answered without it."""
    if found is None:
        raise SourceFault("empty", f"pyslurm answered without a {what}", "report it")
    return found


def _placed(found: Iterable[Node] | None, rack: RackOf) -> Iterable[Node]:
    """The nodes, each with its rack."""
    nodes = _told(found, "list of nodes")
    if rack is no_rack:
        return nodes
    return [msgspec.structs.replace(one, rack=rack(one.name)) for one in nodes]


def _kept(before: Mapping[str, Row], found: Mapping[str, Row]) -> Mapping[str, Row]:
    """The found rows; an unchanged row is the same object as before."""
    same = {key: old for key, row in found.items() if (old := before.get(key)) is not None and old == row}
    return before if len(same) == len(found) == len(before) else {**found, **same}


def _partitions(answer: NativeReading) -> Facts:
    if not answer.partitions:
        raise SourceFault("empty", "pyslurm lists not one partition", "try: scontrol show partition")
    return Facts(partitions={one.name: one for one in answer.partitions})


def _reservations(answer: NativeReading) -> Facts:
    found = _told(answer.reservations, "list of reservations")
    return Facts(reservations={one.name: one for one in found}, warnings=answer.warnings)


def _diag(answer: NativeReading) -> Facts:
    figures = _told(answer.diag, "figures")
    if figures.server_threads is None and figures.since is None:
        raise SourceFault("malformed", "pyslurm gives none of the controller's figures", "try: sdiag")
    return Facts(diag=figures)


def rights(config: WorkerConfig) -> Rights:
    """What Slurm lets this account change. pyslurm does not read the levels in slurmdbd."""
    name, uid = reader() or str(os.geteuid()), os.geteuid()
    if uid == 0:
        return Rights(user=name, level="root", nodes=True, jobs=True, why="root")
    if uid == config.slurm_uid or name == config.slurm_user:
        return Rights(user=name, level="SlurmUser", nodes=True, jobs=True, why="slurm.conf")
    if config.accounting is None:
        return Rights(user=name, level="no admin", nodes=False, jobs=False, why="no slurmdbd, so no user has a level")
    return Rights(user=name, level="unknown", why="pyslurm does not read the levels that slurmdbd keeps")

"""The transport of slurmrestd: readers of one kind, and reads of named objects."""

from __future__ import annotations

import json
import pwd
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from collectors.clean import clean, decode
from collectors.decoding import from_json
from collectors.model import Facts, Job, JobDetail, Node, Operation, SourceFault
from collectors.nodeset import names_in
from collectors.racks import no_rack, rack_of
from collectors.slurm import SlurmSettings, transport
from collectors.slurm.commands.controller import detail
from collectors.slurm.fields import whole
from collectors.slurm.transport import ReadsSmallKindsByName, TransportInfo

from . import answers, rights
from .client import Pings, RestClient, RestEnvelope, RestRefusal, RestServer
from .jobs import JobRecord, listed, tasks_of
from .jwt import claims
from .queue import NO_SUCH_JOB, SINGLY, RestQueue, number_of, read_all, read_some, with_held


class RestReader:
    """Reads one kind of facts, over a connection of its own."""

    shared_cache = None

    def __init__(self, kind: str, settings: SlurmSettings) -> None:
        self.size: int | None = None
        self._settings = settings
        self._client: RestClient | None = None
        self._closed = False
        self._queue: RestQueue | None = None
        self._nodes: Mapping[str, Node] = {}
        self._shown: frozenset[str] = frozenset()
        self._read: Callable[[RestClient], Facts] = {
            "nodes": self._all_nodes,
            "jobs": self._all_jobs,
            "partitions": self._partitions,
            "reservations": self._reservations,
            "diag": self._diag,
            "control": lambda client: Facts(control=answers.control(client.controllers(client.get("ping/", Pings)))),
            "rights": lambda client: Facts(rights=rights.read_rights(client, user_of(settings))),
        }[kind]

    def read(self) -> Facts:
        """Read all rows. Raises SourceFault."""
        client = self._opened()
        before = client.size
        try:
            return self._read(client)
        finally:
            self.size = client.size - before

    def show(self, ids: frozenset[str]) -> None:
        """Set the jobs on the screen: their records are read each time, those of others less often."""
        self._shown = ids

    def close(self) -> None:
        """End a running request; another thread may call this."""
        self._closed = True
        if self._client is not None:
            self._client.close()

    def _opened(self) -> RestClient:
        if self._client is None:
            self._client = RestClient(self._settings)
            if self._closed:
                self._client.close()
        return self._client

    def _all_nodes(self, client: RestClient) -> Facts:
        rule = self._settings.racks
        rack = rack_of(rule) or no_rack
        found: dict[str, Node] = {}
        for record in _records(client):
            fresh = answers.node(record, rack)
            before = self._nodes.get(fresh.name)
            found[fresh.name] = before if before is not None and before == fresh else fresh
        self._nodes = found
        lost = rule is not None and rule.topology
        return Facts(
            nodes=found, warnings=("racks are unknown: slurmrestd does not report the topology",) if lost else ()
        )

    def _all_jobs(self, client: RestClient) -> Facts:
        if self._queue is None:
            self._queue = RestQueue(client)
        self._queue.shown = self._shown
        jobs, warnings = self._queue.read()
        return Facts(jobs=jobs, warnings=warnings, hidden=self._queue.hidden)

    def _partitions(self, client: RestClient) -> Facts:
        records = client.get("partitions/", answers.Partitions).partitions
        if not records:
            raise SourceFault("empty", "slurmrestd lists not one partition", "see its log")
        return Facts(partitions={one.name: one for one in (answers.partition(found) for found in records)})

    def _reservations(self, client: RestClient) -> Facts:
        records = client.get("reservations/", answers.Reservations).reservations
        if records is None:
            raise SourceFault("empty", "slurmrestd answered /reservations/ without a list", "see its log")
        now = time.time()
        return Facts(reservations={one.name: one for one in (answers.reservation(found, now) for found in records)})

    def _diag(self, client: RestClient) -> Facts:
        found = client.get("diag/", answers.Diagnostics).statistics
        if found is None:
            raise SourceFault("malformed", "slurmrestd answered /diag/ without any figure", "see its log")
        return Facts(diag=answers.diag(found, user_of(self._settings)))


class RestTransport(ReadsSmallKindsByName):
    """Reads through slurmrestd."""

    name = "rest"

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings
        self._opened: RestClient | None = None

    @property
    def _client(self) -> RestClient:
        if self._opened is None:
            self._opened = RestClient(self._settings)
        return self._opened

    def unsupported(self, what: str | Operation, of: str = "all") -> str | None:
        """Why it cannot do that here. Asks for the version, once. Raises SourceFault."""
        return transport.unsupported(self.name, what, self._client.server_info(), of)

    def reader(self, kind: str) -> RestReader:
        """A new reader of all of one kind."""
        return RestReader(kind, self._settings)

    def about(self) -> TransportInfo:
        """Probe what responds there, and whether its controller does. Raises SourceFault."""
        answer = self._client.controllers(self._client.ping())
        slurm = answer.meta.slurm if answer.meta is not None else None
        if not answer.up():
            raise SourceFault("refused", f"{self._client.where} is there, its controller is not", "is slurmctld up?")
        return TransportInfo(
            transport=self.name,
            where=self._client.where,
            version=clean(slurm.release) if slurm is not None and slurm.release else None,
            parser=f"v0.0.{self._client.server_info().parser}",
            user=user_of(self._settings),
        )

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of these names as they are now, from all nodes.

        Read alone, a node has the allocation of the last read of all nodes (24.11, 26.05).
        """
        wanted = frozenset(names)
        rack = rack_of(self._settings.racks) or no_rack
        return {one.name: answers.node(one, rack) for one in _records(self._client) if one.name in wanted}

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids as they are now: individually if they are few, else from all jobs."""
        wanted = frozenset(ids)
        numbers = list(dict.fromkeys(map(number_of, ids)))
        if len(numbers) > SINGLY:
            return {key: one for key, one in RestQueue(self._client).read()[0].items() if key in wanted}
        return {one.id: one for one in read_some(self._client, numbers).values() if one.id in wanted}

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """The jobs on these nodes now: slurmrestd lists them only among all others."""
        wanted = frozenset(nodes)
        placed = (one for one in read_all(self._client) if one.nodes and not wanted.isdisjoint(names_in(one.nodes)))
        return {one.id: with_held(self._client, one) for _, one in listed(placed, None)}

    def job_detail(self, job: str) -> JobDetail:
        """Everything about one job. Raises SourceFault; "missing" for an unknown id."""
        base = number_of(job)
        if not whole(base):
            raise _gone(job)
        try:
            # Read undecoded: the record of an array holds each of its tasks.
            records = self._client.get(f"job/{base}", _Details).jobs or []
        except RestRefusal as error:
            if error.has(NO_SUCH_JOB):
                raise _gone(job) from None
            raise
        for raw in records:
            own = from_json(raw, JobRecord)
            if own.id == job or str(own.job_id) == job or _stands_for(own, job):
                return detail(job, json.loads(decode(bytes(raw))))
        raise _gone(job)


def _records(client: RestClient) -> list[answers.NodeRecord]:
    """All nodes. Raises SourceFault; "empty" without a single one."""
    pieces = client.pieces("nodes/", "nodes", answers.Nodes)
    records = [record for piece in pieces for record in piece.nodes or ()]
    if not records:
        raise SourceFault("empty", "slurmrestd lists not one node", "see its log")
    return records


class _Details(RestEnvelope):
    """GET /job/ID: only the requested record is decoded."""

    jobs: list[msgspec.Raw] | None = None


def _stands_for(record: JobRecord, job: str) -> bool:
    """Whether this record of waiting tasks contains this task."""
    if record.master is None or job.partition("_")[0] != record.master:
        return False
    tasks = tasks_of(record)
    return tasks is None or job in tasks


def _gone(job: str) -> SourceFault:
    return SourceFault("missing", f"Slurm shows no job {job}", f"it may have ended; try: sacct -j {job}")


def user_of(settings: SlurmSettings) -> str | None:
    """The user that Slurm sees behind slurmrestd: the token's, or on a socket the one that slurmrestd runs as."""
    tokens = RestServer.of(settings).tokens
    if settings.user:
        return settings.user
    if tokens is not None:
        return claims(tokens.get(settings.deadline_s)).sun
    try:
        return pwd.getpwuid(Path(settings.socket or "").expanduser().stat().st_uid).pw_name
    except (OSError, KeyError):
        return None

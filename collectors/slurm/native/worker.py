"""The child that reads through pyslurm: `python -m collectors.slurm.native.worker`, started by `client` only.

Each message on stdin is one Question, answered by one NativeReading on stdout. It ends when its stdin closes, or when
libslurm ends it. Between questions it keeps only the controller's configuration.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from collectors.child_process import claim_stdout, read_exactly, send_message
from collectors.clean import clean
from collectors.decoding import msgpack_decoder
from collectors.slurm.transport import TransportInfo

from . import facts, jobs, pyslurm_library
from .protocol import NativeReading, Question

#: Seconds after which the controller's configuration is read again; it may change with a restart.
CONFIG_S = 600.0


class PyslurmReader:
    """Reads from libslurm through pyslurm."""

    def __init__(self, pyslurm: Any) -> None:
        self.slurm = pyslurm
        self._told: Any = None
        self._told_at = 0.0

    def answer(self, question: Question) -> NativeReading:
        """Read it. Raises pyslurm's errors and PyslurmFault."""
        return self._kinds[question.kind](question)

    @property
    def _kinds(self) -> dict[str, Callable[[Question], NativeReading]]:
        return {
            "nodes": self._nodes,
            "jobs": self._jobs,
            "partitions": self._partitions,
            "reservations": self._reservations,
            "diag": lambda _: NativeReading(diag=facts.diag(self.slurm.slurmctld.Statistics.load())),
            "config": lambda _: NativeReading(config=facts.config(self._config(fresh=True))),
            "about": self._about,
            "detail": self._detail,
            "tasks": self._tasks,
        }

    def _config(self, fresh: bool = False) -> Any:
        if self._told is None or fresh or time.monotonic() - self._told_at > CONFIG_S:
            self._told = self.slurm.slurmctld.Config.load()
            self._told_at = time.monotonic()
        return self._told

    def _gpus_tracked(self) -> bool:
        """Whether the controller counts GPUs as a TRES."""
        told = getattr(self._config(), "accounting_storage_tres", None)
        return isinstance(told, list) and any(str(one).partition(":")[0] == "gres/gpu" for one in told)

    def _nodes(self, _: Question) -> NativeReading:
        records = list(self.slurm.Nodes.load().values())
        # If other users' jobs are hidden, the visible ones do not show the GPUs in use.
        hidden = "jobs" in [str(one).lower() for one in getattr(self._config(), "private_data", None) or ()]
        seen = os.geteuid() == 0 or not hidden
        used = facts.gpus_in_use(self.slurm.Jobs.load().values()) if seen else None
        found = facts.nodes(records, used, {})
        if any({"MAINTENANCE", "RESERVED"}.intersection(one.flags) for one in found):
            found = facts.nodes(records, used, facts.reserved(self.slurm.Reservations.load().values()))
        return NativeReading(nodes=tuple(found))

    def _jobs(self, _: Question) -> NativeReading:
        rows, lost = jobs.jobs(self.slurm.Jobs.load().values(), self._gpus_tracked())
        return NativeReading(jobs=tuple(rows), lost=tuple(lost))

    def _partitions(self, _: Question) -> NativeReading:
        gpus = facts.gpus_by_partition(self.slurm.Nodes.load().values()) if self._gpus_tracked() else None
        return NativeReading(partitions=tuple(facts.partitions(self.slurm.Partitions.load().values(), gpus)))

    def _reservations(self, _: Question) -> NativeReading:
        rows, warnings = facts.reservations(self.slurm.Reservations.load().values())
        return NativeReading(reservations=tuple(rows), warnings=tuple(warnings))

    def _about(self, _: Question) -> NativeReading:
        version = getattr(self._config(fresh=True), "version", None)
        where = f"pyslurm {self.slurm.__version__}"
        return NativeReading(
            about=TransportInfo(
                transport="native", where=where, version=clean(version) if version else None, user=facts.reader()
            )
        )

    def _tasks(self, question: Question) -> NativeReading:
        """Ended tasks are not included: sending reports each of them."""
        unable = jobs.numbers_of(self.slurm.Jobs.load().values(), question.verb, question.targets)[1]
        return NativeReading(unable={task: why for task, why in unable.items() if why != jobs.GONE})

    def _detail(self, question: Question) -> NativeReading:
        """Searched among all jobs: pyslurm's own look-up returns the first task of an array for any of them."""
        records: Iterable[Any] = self.slurm.Jobs.load().values()
        for record in records:
            if question.job in jobs.ids_of(record):
                state = str(getattr(record, "state", ""))
                return NativeReading(detail=jobs.detail(record, state, question.job))
        return NativeReading(
            fault=("missing", f"Slurm shows no job {question.job}", f"it may have ended; try: sacct -j {question.job}")
        )


def answer(asked: PyslurmReader, question: Question) -> NativeReading:
    """Read it; an error becomes the answer's fault."""
    try:
        return asked.answer(question)
    except pyslurm_library.PyslurmFault as error:
        return NativeReading(fault=error.told)
    except Exception as error:
        return NativeReading(fault=pyslurm_library.fault_of(asked.slurm, error, question.kind))


def main() -> None:
    """Serve until stdin closes."""
    out = claim_stdout()
    encoder, decoder = msgspec.msgpack.Encoder(), msgpack_decoder(Question)
    asked: PyslurmReader | None = None
    while head := read_exactly(4):
        question = decoder.decode(read_exactly(int.from_bytes(head, "big")))
        try:
            asked = asked or PyslurmReader(pyslurm_library.load())
        except pyslurm_library.PyslurmFault as error:
            send_message(out, encoder.encode(NativeReading(fault=error.told)))
            continue
        send_message(out, encoder.encode(answer(asked, question)))


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # skip the clean-up of pyslurm's objects: libslurm's exit may hang on a dead controller

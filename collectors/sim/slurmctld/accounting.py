"""The past of the simulated machine on demand: the same questions as the accounts of a real Slurm answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from collectors.model import JobAccount, LogTail, NodeEvent, PastJob, SourceFault
from collectors.sim import SimSettings
from collectors.sim.sources import Now, _now

from .accounting_books import log_of

_LOG = re.compile(r"/home/.*/slurm-([0-9_]+)\.out")


class SimLedger:
    """Asks the accounting of the machine that the sources read."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def jobs_of_node(self, node: str, since: int, most: int) -> Sequence[PastJob]:
        """The runs that ended on a node since then, the last one first; none for one that is unknown."""
        machine = self._now()
        with machine.locked():
            known = node in machine.site.by_name
            return machine.accounting.jobs(machine.host(node), since, most) if known else []

    def events_of_node(self, node: str, since: int) -> Sequence[NodeEvent]:
        """When a node was out of service since then, newest first; none for one that is unknown."""
        machine = self._now()
        with machine.locked():
            known = node in machine.site.by_name
            return machine.accounting.events(machine.host(node), since) if known else []

    def account_of_job(self, job: str) -> JobAccount:
        """What a job came to. Raises SourceFault("missing")."""
        machine = self._now()
        with machine.locked():
            found = machine.accounting.account(job)
        if found is None:
            raise SourceFault(
                "missing", f"the accounting has no job {job}", "was it purged, or is it another cluster's?"
            )
        return found

    def log_tail(self, path: str, user: str | None) -> LogTail:
        """The end of a job's output. Raises SourceFault("missing")."""
        match = _LOG.fullmatch(path)
        if match is None:
            raise SourceFault("missing", f"{path}: there is no such file")
        return log_of(self.account_of_job(match[1]), int(self._now().now))


def open_ledger(cluster: str, settings: SimSettings) -> SimLedger:
    """The accounts of the machine that the sources read."""
    return SimLedger(partial(_now, cluster, settings))

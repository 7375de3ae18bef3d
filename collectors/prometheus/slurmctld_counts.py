"""slurmctld's own counts: nodes and jobs by state, from its metrics (25.11 or newer) in one small answer."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.model import Facts, SlurmCounts, SourceFault

from .client import SKEW_S, PrometheusClient
from .query_table import JOB_COUNTS, NODE_COUNTS
from .site_queries import SiteQueries
from .values import Notes, by_label


class CountsReader:
    """Reads the counts. Opened only if configured, so no counts are a fault."""

    def __init__(self, book: SiteQueries, client: PrometheusClient) -> None:
        self._book = book
        self._client = client

    def read(self) -> Facts:
        """One reading. Raises SourceFault: no series, all too old, or of more than one cluster."""
        notes = Notes()
        answer = self._client.ask("slurmctld", self._book.whole("slurmctld"))
        notes.say(*answer.warnings)
        found = by_label(answer.rows, "slurmctld", "count", notes)
        whose = self._book.settings.slurmctld
        if not found.keys() & {"nodes_at", "jobs_at"}:
            raise SourceFault(
                "empty", f"no series slurm_nodes or slurm_jobs with {whose}",
                "are /metrics/nodes and /metrics/jobs of slurmctld scraped? see slurm_metrics, docs/slurm.md",
            )  # fmt: skip
        least, most = found.get("nodes_least"), found.get("nodes_most")
        if least != most:
            raise SourceFault(
                "malformed", f"the targets with {whose} count from {least or 0:.0f} to {most or 0:.0f} nodes",
                "are they of one cluster? name its own with slurm_metrics",
            )  # fmt: skip
        nodes_at, jobs_at = (self._moment(found, kind, notes) for kind in ("nodes", "jobs"))
        if nodes_at is None and jobs_at is None:
            raise SourceFault("empty", "; ".join(notes.said), "is slurmctld scraped?")
        of_nodes = found if nodes_at is not None else {}
        total = _whole(of_nodes.get("gpus"))
        return Facts(
            counts=SlurmCounts(
                nodes=_whole(of_nodes.get("nodes")),
                nodes_by_state=_states(of_nodes, "nodes", NODE_COUNTS),
                nodes_at=nodes_at,
                # It is 0 also if AccountingStorageTRES does not include gres/gpu.
                gpus=total or None,
                gpus_alloc=_whole(of_nodes.get("gpus_alloc")),
                jobs_by_state=_states(found if jobs_at is not None else {}, "jobs", JOB_COUNTS),
                jobs_at=jobs_at,
            ),
            warnings=tuple(notes.said),
        )

    def _moment(self, found: Mapping[str, float], kind: str, notes: Notes) -> int | None:
        """When these were counted, on this computer's clock; None with a note if unknown or too old."""
        at = found.get(f"{kind}_at")
        if at is None:
            notes.say(f"no series slurm_{kind}: slurmctld's count of {kind} is unknown")
            return None
        old, stale_s = self._client.server_now() - at, self._book.settings.stale_s
        if old > stale_s:
            notes.say(f"slurmctld's newest count of {kind} is {old:.0f} s old and left out")
            return None
        ahead = self._client.ahead_s or 0.0
        return int(at - (ahead if abs(ahead) > SKEW_S else 0.0))


def _states(found: Mapping[str, float], kind: str, words: tuple[str, ...]) -> dict[str, int]:
    return {word: int(found[f"{kind}_{word}"]) for word in words if f"{kind}_{word}" in found}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)

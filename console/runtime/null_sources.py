"""Null sources: stand in for a source that is not configured and answer every query with the same named fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.model import (
    Alert,
    Attached,
    Factors,
    Gpu,
    Job,
    JobAccount,
    JobDetail,
    Limits,
    LogTail,
    Node,
    NodeEvent,
    Partition,
    PastJob,
    Reservation,
    Series,
    Share,
    Silence,
    SourceFault,
    User,
)


class NoTelemetry:
    """No telemetry source is configured."""

    def _none(self) -> SourceFault:
        return SourceFault(
            "missing", "no source of telemetry is configured", "add prometheus = { url = … } to the cluster"
        )

    def gpus(self, nodes: Sequence[str]) -> Mapping[str, tuple[Gpu, ...]]:
        """Raises SourceFault."""
        raise self._none()

    def history(self, node: str, seconds: int) -> Sequence[Series]:
        """Raises SourceFault."""
        raise self._none()

    def site_history(self, seconds: int) -> Sequence[Series]:
        """Raises SourceFault."""
        raise self._none()

    def attached(self, node: str) -> Attached:
        """Raises SourceFault."""
        raise self._none()

    def energy_j(self, nodes: Sequence[str], since: int) -> float | None:
        """Always None: unknown."""
        return None


class NoAlerts:
    """No alert source is configured."""

    def _none(self) -> SourceFault:
        fix = "add alertmanager = { url = … } to the cluster"
        return SourceFault("missing", "no Alertmanager is configured", fix)

    def read_alerts(self, ids: Sequence[str]) -> Mapping[str, Alert]:
        """Raises SourceFault."""
        raise self._none()

    def read_silences(self, ids: Sequence[str]) -> Mapping[str, Silence]:
        """Raises SourceFault."""
        raise self._none()

    def read_silences_of(self, label: str, values: Sequence[str]) -> Mapping[str, Silence]:
        """Raises SourceFault."""
        raise self._none()


class NoSlurm:
    """No Slurm on this machine: a console on one node with only its driver."""

    def _none(self) -> SourceFault:
        return SourceFault("missing", "there is no Slurm on this machine", "load the site's Slurm commands")

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """Raises SourceFault."""
        raise self._none()

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """Raises SourceFault."""
        raise self._none()

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """Raises SourceFault."""
        raise self._none()

    def read_partitions(self, names: Sequence[str]) -> Mapping[str, Partition]:
        """Raises SourceFault."""
        raise self._none()

    def read_reservations(self, names: Sequence[str]) -> Mapping[str, Reservation]:
        """Raises SourceFault."""
        raise self._none()

    def read_jobs_in(self, reservation: str) -> Mapping[str, Job]:
        """Raises SourceFault."""
        raise self._none()

    def read_users(self, names: Sequence[str]) -> Mapping[str, User]:
        """Raises SourceFault."""
        raise self._none()

    def job_detail(self, job: str) -> JobDetail:
        """Raises SourceFault."""
        raise self._none()


class NoAccounting:
    """No accounting is available."""

    def _none(self) -> SourceFault:
        return SourceFault("missing", "there is no Slurm here that keeps the past")

    def jobs_of_node(self, node: str, since: int, most: int) -> Sequence[PastJob]:
        """Raises SourceFault."""
        raise self._none()

    def events_of_node(self, node: str, since: int) -> Sequence[NodeEvent]:
        """Raises SourceFault."""
        raise self._none()

    def account_of_job(self, job: str) -> JobAccount:
        """Raises SourceFault."""
        raise self._none()

    def log_tail(self, path: str, user: str | None) -> LogTail:
        """Raises SourceFault."""
        raise self._none()


class NoQueueing:
    """No scheduler is available."""

    def _none(self) -> SourceFault:
        return SourceFault("missing", "there is no Slurm here, so nothing is shared out")

    def factors(self, job: str) -> Factors:
        """Raises SourceFault."""
        raise self._none()

    def shares(self) -> Sequence[Share]:
        """Raises SourceFault."""
        raise self._none()

    def limits(self) -> Limits:
        """Raises SourceFault."""
        raise self._none()

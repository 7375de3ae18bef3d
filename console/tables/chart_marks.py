"""The marks of a chart: what happened to the machine or to a node while its values were recorded. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from collectors.model import Cluster, PastJob
from widgets.chart_layout import ChartMark


def site_marks(cluster: Cluster, action_times: Iterable[float]) -> tuple[ChartMark, ...]:
    """Actions, and the starts of the critical alerts that are known now."""
    from console.alerts.folds import CRITICAL_SEVERITIES  # not needed for the first frame

    alerts = (one.starts for one in cluster.alerts.values() if one.severity in CRITICAL_SEVERITIES)
    return (*_marks("alert", alerts), *_marks("action", action_times))


def node_marks(
    cluster: Cluster, node: str, ended: Iterable[PastJob], action_times: Iterable[float]
) -> tuple[ChartMark, ...]:
    """Actions on a node, the starts of its alerts that are known now, starts and ends of its jobs."""
    runs = tuple(ended)
    running = (cluster.jobs[job].started for job in cluster.jobs_on.get(node, ()) if job in cluster.jobs)
    return (
        *_marks("alert", (one.starts for one in cluster.alerts.values() if one.node == node)),
        *_marks("action", action_times),
        *_marks("job start", (*running, *(run.started for run in runs))),
        *_marks("job end", (run.ended for run in runs)),
    )


def job_marks(
    cluster: Cluster, job: str, nodes: Collection[str], action_times: Iterable[float]
) -> tuple[ChartMark, ...]:
    """Actions on a running job, its start, and the starts of the alerts of these nodes that are known now."""
    known = cluster.jobs.get(job)
    return (
        *_marks("alert", (one.starts for one in cluster.alerts.values() if one.node in nodes)),
        *_marks("action", action_times),
        *_marks("job start", (known.started if known is not None else None,)),
    )


def _marks(kind: str, times: Iterable[float | None]) -> tuple[ChartMark, ...]:
    """One mark for each known time."""
    return tuple(ChartMark(at, kind) for at in sorted({at for at in times if at is not None}))

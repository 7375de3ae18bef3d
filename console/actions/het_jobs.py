"""Heterogeneous jobs: components `11+0`, `11+1` … of one job, which Slurm mostly ends together.

Seen on slurmctld 26.05.5: `scancel 11+0` ends every component; of a waiting job no other component can be cancelled
alone; requeue and suspend of a component are refused ("Invalid job id"). A node that goes down under any component but
the first ends them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from collectors.jobstate import ENDED, WAITING
from collectors.model import Cluster, Job, Row

from .options import Options


def base_of(job: str) -> str:
    """`11` of `11+1`; "" for a job without components."""
    base, plus, _ = job.partition("+")
    return base if plus else ""


def components(cluster: Cluster, base: str) -> list[Job]:
    """The components that have not ended."""
    return [job for name, job in cluster.jobs.items() if base_of(name) == base and job.state not in ENDED]


def component_refusal(job: Job) -> str | None:
    """Why Slurm refuses an action on a single component; None for any other job."""
    base = base_of(job.id)
    return f"a part of the heterogeneous job {base}: Slurm does that to all of it only" if base else None


def partial_cancels(acting: Mapping[str, Any], cluster: Cluster) -> dict[str, str]:
    """Components whose cancel would end others that were not named, and why."""
    found = {}
    for target, job in acting.items():
        if not (base := base_of(target)):
            continue
        if job.state not in WAITING and not target.endswith("+0"):
            continue
        if missing := [one.id for one in components(cluster, base) if one.id not in acting]:
            found[target] = f"{', '.join(missing)} would end with it: name the whole heterogeneous job, {base}"
    return found


def drop_partial_cancels(
    rows: dict[str, Row], options: Options, cluster: Cluster
) -> tuple[dict[str, Row], Options, dict[str, str]]:
    """The rows without those components, the options, and why each of them is skipped."""
    partial = partial_cancels(rows, cluster)
    return {target: row for target, row in rows.items() if target not in partial}, options, partial


def with_components(jobs: Iterable[Job], cluster: Cluster) -> list[Job]:
    """The jobs killed on a node, and the components elsewhere that end with them."""
    every = {job.id: job for job in jobs}
    for job in tuple(every.values()):
        if (base := base_of(job.id)) and not job.id.endswith("+0"):
            every |= {one.id: one for one in components(cluster, base) if one.state not in WAITING}
    return list(every.values())

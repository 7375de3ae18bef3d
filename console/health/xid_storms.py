"""XID storms: the same job or user causes XIDs on many nodes. One entry instead of hundreds. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct

from collectors.model import Cluster

from .xid_policy import Policy

#: Only XIDs of the last 15 minutes count.
RECENT_S = 900
#: At least this many nodes of one job or user.
MIN_NODES = 4
#: At least this many nodes, or a twentieth of a small machine, where the jobs have ended.
MIN_ORPHANED_NODES = 8


class Storm(Struct, frozen=True, kw_only=True):
    """XIDs on the nodes of one job, of one user's jobs, or of jobs that have ended."""

    nodes: tuple[str, ...]
    codes: tuple[int, ...]
    """The most frequent first."""
    since: int | None
    user: str | None = None
    job: str | None = None

    @property
    def owner_text(self) -> str:
        """` of alice's job 88121`, to follow the number of nodes."""
        if self.user is None:
            return " whose jobs have ended"
        return f" of {self.user}'s job {self.job}" if self.job is not None else f" of {self.user}'s jobs"


def storms(cluster: Cluster, now: float, policy: Policy) -> list[Storm]:
    """The current storms, the largest first. XIDs for which the policy acts on the node are not counted."""
    seen: dict[str, dict[int, float]] = {}
    latest: dict[str, float] = {}
    for node, code, at, last in _recent(cluster, now):
        advice = policy.advice_for(code)
        if advice is None or not advice.acts:
            codes = seen.setdefault(node, {})
            codes[code] = min(at, codes.get(code, at))
            latest[node] = max(last, latest.get(node, last))
    if len(seen) < MIN_NODES:
        return []
    found: list[Storm] = []
    # A job that started after the last XID did not cause it.
    jobs = {
        node: [
            job
            for ref in cluster.jobs_on.get(node, ())
            if (job := cluster.jobs.get(ref)) is not None and (job.started or now) <= latest[node]
        ]
        for node in seen
    }
    left = dict.fromkeys(seen)
    for by_job in (True, False):
        groups: dict[tuple[str, str | None], list[str]] = {}
        for node in left:
            for key in dict.fromkeys((job.user, job.id if by_job else None) for job in jobs[node]):
                groups.setdefault(key, []).append(node)
        for (user, job_id), nodes in sorted(groups.items(), key=lambda one: -len(one[1])):
            mine = [node for node in nodes if node in left]
            if len(mine) >= MIN_NODES:
                found.append(_storm(mine, seen, user, job_id))
                for node in mine:
                    del left[node]
    orphans = [node for node in left if not jobs[node]]
    if len(orphans) >= max(MIN_NODES, min(MIN_ORPHANED_NODES, len(cluster.nodes) // 20)):
        found.append(_storm(orphans, seen, None, None))
    return sorted(found, key=lambda storm: -len(storm.nodes))


def _recent(cluster: Cluster, now: float) -> Iterator[tuple[str, int, float, float]]:
    """Node, code, first and last time of every XID of the last minutes: the driver's own, or the alerts about them."""
    for xid in cluster.xids.values():
        if xid.last_at is not None and now - xid.last_at <= RECENT_S:
            # A code that was also seen before counts from its latest occurrence.
            new = xid.first_at is not None and now - xid.first_at <= RECENT_S
            yield xid.node, xid.code, xid.first_at if xid.first_at is not None and new else xid.last_at, xid.last_at
    for alert in cluster.alerts.values():
        code = alert.labels.get("xid", "")
        if alert.state != "active" or alert.node is None or alert.starts is None or not code.isdecimal():
            continue
        if now - alert.starts <= RECENT_S and len(code) < 6:
            yield alert.node, int(code), alert.starts, alert.starts


def _storm(nodes: Iterable[str], seen: dict[str, dict[int, float]], user: str | None, job: str | None) -> Storm:
    names = tuple(nodes)
    codes = Counter(code for node in names for code in seen[node])
    times = [at for node in names for at in seen[node].values()]
    return Storm(
        nodes=names,
        codes=tuple(code for code, _ in codes.most_common()),
        since=int(min(times)) if times else None,
        user=user,
        job=job,
    )

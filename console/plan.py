"""What an action would do, frozen before anything is asked or sent: targets, jobs hit, capacity lost, what to type.

Pure: from a Cluster and explicit names to a Plan or a Refusal. The gate makes plans and is the only one to send them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Change, Cluster, Job
from collectors.nodeset import fold
from collectors.nodestate import OUT
from console.actions import ENDED, WAITING, Action, Kind, Row


class Guard(Struct, frozen=True, kw_only=True):
    """The figures of the guard."""

    plain_most: int = 1
    """Most targets of a reversible action that a plain yes confirms."""
    facts_s: float = 30.0
    """Oldest facts that may be acted on where the targets cannot be read again."""


class Confirm(Struct, frozen=True):
    """What must be typed: y, or the count of the targets that will be acted on. A count answers either question."""

    kind: Literal["plain", "count"]
    expect: int

    @property
    def words(self) -> str:
        """What to ask for: `y`, or `4`."""
        return "y" if self.kind == "plain" else str(self.expect)

    def accepts(self, answer: str) -> bool:
        """True for the very answer, with nothing before or after it."""
        return answer == str(self.expect) or (self.kind == "plain" and answer in {"y", "yes"})


class Skip(Struct, frozen=True):
    """A target that is left alone, and why."""

    target: str
    why: str


class Hit(Struct, frozen=True, kw_only=True):
    """A job that the action touches. `gpus` is all it holds, None where Slurm does not tell."""

    id: str
    user: str
    name: str
    nodes: str | None
    node_count: int | None
    gpus: int | None
    elapsed_s: int | None
    left_s: int | None


class Share(Struct, frozen=True, kw_only=True):
    """What a partition loses. Nodes that are out already weigh nothing."""

    partition: str
    nodes: int
    healthy: int
    newly_out: int

    @property
    def part(self) -> float:
        """Nodes newly out, as a share of the healthy ones (0 to 1)."""
        return self.newly_out / self.healthy if self.healthy else 0.0

    @property
    def out_then(self) -> float:
        """Nodes out of service afterwards, as a share of all (0 to 1)."""
        return (self.nodes - self.healthy + self.newly_out) / self.nodes

    def __str__(self) -> str:
        return (
            f"{self.partition}: {self.newly_out:,} of {self.healthy:,} healthy nodes newly out "
            f"({100 * self.part:.1f} %); out of service then {100 * self.out_then:.1f} %"
        )


class Refusal(Struct, frozen=True):
    """Why nothing can be planned or sent, in words for the person who asked."""

    why: str
    skipped: tuple[Skip, ...] = ()


class Plan(Struct, frozen=True, eq=False, weakref=True, kw_only=True):
    """One action, frozen: what will be sent to whom, what it costs, and what must be typed. Good for one `send`."""

    id: str
    action: Action
    change: Change
    """Holds only the targets that are acted on, under explicit names."""
    cluster: Cluster
    """What was known when it was made."""
    made: float
    """Monotonic time."""
    seen: Mapping[str, Row]
    """Target to its row as confirmed."""
    skipped: tuple[Skip, ...]
    jobs: tuple[Hit, ...] | None
    """Jobs that run on the nodes, or that are themselves killed; None when the jobs were never read."""
    empty_in_s: int | None
    """Seconds until the last of these jobs ends by itself; None when that is not known, or there are none."""
    shares: tuple[Share, ...]
    commands: tuple[tuple[str, ...], ...]
    """Exactly what will run; as long as a reason is missing, `…` stands for it."""
    confirm: Confirm

    @property
    def lacks_reason(self) -> bool:
        """True when `Gate.with_reason` must be called before it can be sent."""
        return self.action.needs_reason and not self.change.reason

    @property
    def kills(self) -> bool:
        """True when running work may be lost."""
        return any(self.action.danger_of(row) == "kills" for row in self.seen.values())

    def age_s(self, mono: float) -> float | None:
        """Age of the facts it was made from; None when no source tells it."""
        ages = [source.age_s(mono) for name, source in self.cluster.sources.items()
                if name.endswith(f".{self.change.kind}s")]  # fmt: skip
        return max((age for age in ages if age is not None), default=None)


def make(
    action: Action, targets: Sequence[str], cluster: Cluster, now: float, mono: float, guard: Guard
) -> Plan | Refusal:
    """Freeze an action on explicit targets of this cluster, or say why there is nothing to confirm."""
    why = _unfit(action, targets, cluster)
    if why:
        return Refusal(why)
    rows: Mapping[str, Row] = cluster.nodes if action.kind == "node" else cluster.jobs
    acting: dict[str, Row] = {}
    skipped = []
    for target in targets:
        why = action.refuse(cluster, rows[target])
        if why:
            skipped.append(Skip(target, why))
        else:
            acting[target] = rows[target]
    if not acting:
        return Refusal(grouped(skipped, action.kind), tuple(skipped))
    jobs = _hits(action, acting, cluster, now)
    left = [job.left_s for job in jobs or ()]
    kills = any(action.danger_of(row) == "kills" for row in acting.values())
    plain = not kills and len(acting) <= guard.plain_most
    return Plan(
        id=secrets.token_hex(6),
        action=action,
        change=Change(action=action.id, kind=action.kind, targets=tuple(acting)),
        cluster=cluster,
        made=mono,
        seen=acting,
        skipped=tuple(skipped),
        jobs=jobs,
        empty_in_s=None if None in left else max((s for s in left if s is not None), default=None),
        shares=_shares(acting, cluster) if action.takes_out else (),
        commands=(),
        confirm=Confirm("plain" if plain else "count", len(acting)),
    )


def grouped(skipped: Sequence[Skip], kind: Kind) -> str:
    """Skipped targets by their reason: `gpu[0001-0004]: already drained`."""
    by_why: dict[str, list[str]] = {}
    for skip in skipped:
        by_why.setdefault(skip.why, []).append(skip.target)
    return "; ".join(f"{listed(targets, kind)}: {why}" for why, targets in by_why.items())


def listed(targets: Sequence[str], kind: Kind, most: int = 10) -> str:
    """Targets as people read them: nodes folded, job ids one by one as long as they are few."""
    if kind == "node":
        return fold(targets)
    more = f" and {len(targets) - most:,} more" if len(targets) > most else ""
    return ", ".join(targets[:most]) + more


def _unfit(action: Action, targets: Sequence[str], cluster: Cluster) -> str | None:
    """What is wrong with the targets as a whole: every one must be a name that this cluster knows, each once."""
    kind = action.kind
    if not targets:
        return f"no {kind}s were named"
    if any(target.upper() == "ALL" for target in targets):
        return f"ALL is never sent: name the {kind}s"
    if f"{kind}s" not in cluster.known:
        faults = [str(source.fault) for source in cluster.sources.values() if source.fault is not None]
        return f"the {kind}s of {cluster.name} were never read{': ' + '; '.join(faults) if faults else ''}"
    rows: Mapping[str, Row] = cluster.nodes if kind == "node" else cluster.jobs
    unknown = [clean(target)[:60] for target in targets if target not in rows]
    if unknown:
        return f"unknown {kind}{'s' if len(unknown) > 1 else ''} {listed(unknown, kind)}"
    if len(set(targets)) != len(targets):
        return f"a {kind} was named twice"
    return None


def _hits(action: Action, acting: Mapping[str, Row], cluster: Cluster, now: float) -> tuple[Hit, ...] | None:
    """The jobs on the nodes acted on, or the running ones that are themselves killed."""
    if "jobs" not in cluster.known:
        return None
    if action.kind == "node":
        ids = dict.fromkeys(job for node in acting for job in cluster.jobs_on.get(node, ()))
        jobs = [cluster.jobs[job] for job in ids if job in cluster.jobs]
    else:
        running = (row for row in acting.values() if isinstance(row, Job) and row.state not in ENDED | WAITING)
        jobs = list(running) if action.danger == "kills" else []
    return tuple(
        Hit(id=job.id, user=job.user, name=job.name, nodes=job.nodes, node_count=job.node_count,
            gpus=job.gpus_held if job.gpus_held is not None else job.gpus,
            elapsed_s=job.elapsed_s(now), left_s=job.left_s(now))
        for job in jobs
    )  # fmt: skip


def _shares(acting: Mapping[str, Row], cluster: Cluster) -> tuple[Share, ...]:
    """What each partition loses that holds one of the nodes."""
    hit = {part: 0 for name in acting for part in cluster.nodes[name].partitions}
    total, healthy = dict(hit), dict(hit)
    for node in cluster.nodes.values():
        in_service = node.display not in OUT
        for part in node.partitions:
            if part in hit:
                total[part] += 1
                healthy[part] += in_service
                hit[part] += in_service and node.name in acting
    return tuple(
        Share(partition=part, nodes=total[part], healthy=healthy[part], newly_out=newly) for part, newly in hit.items()
    )

"""What a plan costs each partition and what must be typed for it: when it is made, and again when it is answered. Pure.

Others act on the same machine between the two, and nodes fall: an answer is good only for what was asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from collectors.jobstate import ENDED, WAITING
from collectors.model import Cluster
from console.actions import incident
from console.actions.action import Action, Row, rows_of
from console.actions.incident import Scope
from console.actions.plan import Check, Confirmation, Guard, PartitionShare, Plan, is_out, partition_shares

_STRENGTH = ("plain", "count", "break")


def required(
    action: Action, acting: Mapping[str, Row], cluster: Cluster, checks: Sequence[Check], guard: Guard,
    scopes: Sequence[Scope], now: float, aside: Collection[str] = (),
) -> tuple[tuple[PartitionShare, ...], Confirmation, str]:  # fmt: skip
    """What each partition loses, what must be typed for it, and the declared incident by which that is less.

    `aside` are the nodes that a reservation keeps from others: they are out of service for them.
    """
    shares = partition_shares(acting if action.takes_out else aside, cluster)
    confirm = _confirm(action, acting, shares, checks, guard)
    if action.id == "partition-down" and (most := _shuts(acting, cluster, guard)) is not None:
        confirm = Confirmation("break", len(acting), *most)
    speaks = any(check.level == "bad" for check in checks)
    kills = any(action.danger_of(row) == "kills" for row in acting.values())
    inside = ""
    if not speaks and not kills:
        standing = incident.in_force(scopes, cluster, now)
        inside = next((one.name for one in standing if one.covers(action, acting, cluster)), "")
    if inside:
        # Declared, with its name typed: what spares the nodes there takes one key, however many they are.
        confirm = Confirmation("plain", len(acting))
    return shares, confirm, inside


def partition_peers(plan: Plan) -> tuple[str, ...]:
    """The nodes that must be known anew to say what a plan's partitions lose by it; none where it is too few to ask for
    more than was asked for."""
    if not plan.action.takes_out or len(plan.rows) <= plan.guard.share_nodes:
        return ()
    hit = {part for name in plan.rows for part in plan.cluster.nodes[name].partitions}
    return tuple(name for name, node in plan.cluster.nodes.items() if not hit.isdisjoint(node.partitions))


def exceeds_confirmation(plan: Plan, left: Sequence[str], cluster: Cluster, scopes: Sequence[Scope], now: float) -> str:
    """Why the answer that a plan was given does not do for those left of it, on newer facts; "" where it does.

    Others may have taken nodes out meanwhile, or nodes fell: then the same targets are more of what is left.
    """
    if not plan.action.takes_out and not plan.incident:
        return ""
    rows, guard = rows_of(plan.action, cluster), plan.guard
    # What was out in the preview, and still is, weighs nothing.
    acting = {name: rows[name] for name in left
              if name in rows and not (is_out(plan.rows[name]) and is_out(rows[name]))}  # fmt: skip
    if not acting:
        return ""
    shares, confirm, inside = required(plan.action, acting, cluster, plan.checks, guard, scopes, now)
    broken = _over(plan.shares, guard.break_pct, guard) if plan.confirmation.kind == "break" else []
    granted = {share.partition for share in broken}
    over = [] if inside else [one for one in _over(shares, guard.break_pct, guard) if one.partition not in granted]
    if not over and _STRENGTH.index(confirm.kind) <= _STRENGTH.index(plan.confirmation.kind):
        return ""
    if plan.incident and not inside:
        return f"the incident {plan.incident} is over: ask again"
    worst = max(over or _over(shares, 0.0, guard), key=lambda share: share.fraction)
    was = next((100 * share.fraction for share in plan.shares if share.partition == worst.partition), 0.0)
    return (
        f"by now it takes {100 * worst.fraction:.0f} % of {worst.partition} out ({worst.newly_out:,} of "
        f"{worst.healthy:,} healthy nodes), not {was:.0f} % as shown: ask again"
    )


def _confirm(
    action: Action, acting: Mapping[str, Row], shares: Sequence[PartitionShare], checks: Sequence[Check], guard: Guard
) -> Confirmation:
    """What must be typed: it grows with what is lost."""
    count = len(acting)
    kills = any(action.danger_of(row) == "kills" for row in acting.values())
    if any(check.level == "bad" for check in checks):
        return Confirmation(
            "break", count, f"anyway {count}" if kills else "anyway", "the pre-flight speaks against it"
        )
    # A partition of two nodes that goes out whole must not hide the large one beside it.
    worst = max(_over(shares, 0.0, guard), key=lambda share: share.fraction, default=None)
    if worst is not None:
        if 100 * worst.fraction > guard.break_pct:
            word = f"{worst.partition} {count}" if kills else worst.partition
            why = f"it takes {100 * worst.fraction:.0f} % of {worst.partition} out, more than {guard.break_pct:g} %"
            return Confirmation("break", count, word, why)
        if 100 * worst.fraction > guard.share_pct:
            return Confirmation("count", count)
    plain = not kills and not action.count_confirmed and (action.plain_confirmed or count <= guard.plain_most)
    return Confirmation("plain" if plain else "count", count)


def _shuts(acting: Mapping[str, Row], cluster: Cluster, guard: Guard) -> tuple[str, str] | None:
    """Of partitions to be shut the name that must be typed, and why, where they hold most of the machine: nothing is
    killed, but nothing starts on it any more."""
    sizes = dict.fromkeys(acting, 0)
    nodes = runs = busy = 0
    for node in cluster.nodes.values():
        of_it = [part for part in node.partitions if part in sizes]
        nodes += bool(of_it)
        for part in of_it:
            sizes[part] += 1
    for job in cluster.jobs.values():
        if job.state not in ENDED | WAITING:
            busy += 1
            runs += job.partition in sizes
    word = max(sizes, key=lambda part: sizes[part])
    if "nodes" not in cluster.known or not cluster.nodes:
        return word, "how much of the machine it shuts is not known"
    if (share := 100 * nodes / len(cluster.nodes)) >= guard.part_pct:
        return word, f"it shuts {nodes:,} of {len(cluster.nodes):,} nodes, {share:.0f} % of the machine"
    if busy and (share := 100 * runs / busy) >= guard.part_pct:
        return word, f"{runs:,} of {busy:,} running jobs are in it, {share:.0f} %: nothing starts in their place"
    return None


def _over(shares: Sequence[PartitionShare], pct: float, guard: Guard) -> list[PartitionShare]:
    """Those that are more than so many percent, and more nodes than need no figure."""
    return [share for share in shares if share.newly_out > guard.share_nodes and 100 * share.fraction > pct]

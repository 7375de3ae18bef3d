"""The share of each partition that a plan takes out and what must be typed for it: at planning and again at sending.
Pure.

Between the two other people act and nodes fail: a confirmation holds only for the loss that was shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from collectors.jobstate import ENDED, WAITING
from collectors.model import Cluster, Row
from console.actions import incident
from console.actions.action import Action, rows_of
from console.actions.incident import Scope
from console.actions.options import Guard
from console.actions.plan import Confirmation, PartitionShare, Plan, is_out, partition_shares
from console.preflight.checks import Check

_STRENGTH = ("plain", "count", "break")


def required(
    action: Action, acting: Mapping[str, Row], cluster: Cluster, checks: Sequence[Check], guard: Guard,
    scopes: Sequence[Scope], now: float, aside: Collection[str] = (),
) -> tuple[tuple[PartitionShare, ...], Confirmation, str]:  # fmt: skip
    """The loss of each partition, what must be typed, and the name of the incident that eases it ("" for none).

    `aside` are the nodes that a reservation withholds from other users.
    """
    shares = partition_shares(acting if action.takes_out else aside, cluster)
    confirm = _confirm(action, acting, shares, checks, guard)
    if action.name_confirmed and (most := _shuts(acting, cluster, guard)) is not None:
        confirm = Confirmation("break", len(acting), *most)
    speaks = any(check.level == "bad" for check in checks)
    kills = any(action.danger_of(row) == "kills" for row in acting.values())
    inside = ""
    if not speaks and not kills:
        standing = incident.in_force(scopes, cluster, now)
        inside = next((one.name for one in standing if one.covers(action, acting, cluster)), "")
    if inside:
        # The incident was confirmed by its name: eased actions on its nodes need one key, however many they are.
        confirm = Confirmation("plain", len(acting))
    return shares, confirm, inside


def partition_peers(plan: Plan) -> tuple[str, ...]:
    """The nodes to re-read to compute the loss of a plan's partitions; none where the plan is too small to need more
    than was typed."""
    if not plan.action.takes_out or len(plan.rows) <= plan.guard.share_nodes:
        return ()
    hit = {part for name in plan.rows for part in plan.cluster.nodes[name].partitions}
    return tuple(name for name, node in plan.cluster.nodes.items() if not hit.isdisjoint(node.partitions))


def exceeds_confirmation(plan: Plan, left: Sequence[str], cluster: Cluster, scopes: Sequence[Scope], now: float) -> str:
    """Why the confirmation is not enough for the remaining targets on newer facts; "" where it is.

    If other nodes went out since the preview, the same targets are a larger share of the healthy nodes.
    """
    if not plan.action.takes_out and not plan.incident:
        return ""
    rows, guard = rows_of(plan.action, cluster), plan.guard
    # Nodes that were out in the preview and still are do not count.
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
    """What must be typed: y, the count or a word, depending on the loss."""
    count = len(acting)
    kills = any(action.danger_of(row) == "kills" for row in acting.values())
    if any(check.level == "bad" for check in checks):
        return Confirmation(
            "break", count, f"anyway {count}" if kills else "anyway", "the pre-flight speaks against it"
        )
    # A partition of two nodes that goes out whole must not hide the loss of a large one.
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
    """For partitions to be closed: the name to type and why, if they hold `Guard.part_pct` of the
    nodes or running jobs. Nothing is killed, but nothing starts there any more."""
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
    """The shares above `pct` percent with more than `Guard.share_nodes` nodes."""
    return [share for share in shares if share.newly_out > guard.share_nodes and 100 * share.fraction > pct]

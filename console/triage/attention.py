"""What needs a person, worst first: the list on the overview. Pure; each line says what, to what, since when.

A node is told of once, by the line that says most. What failed together (a rack, a PDU, a switch) is one line. What a
person drained is in somebody's hands and not told before it is forgotten; the drain inbox has everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from collectors.model import Cluster, Node
from console.actions.incident import active_incidents
from console.alerts.folds import CRITICAL, QUIET
from console.health import cooling_loops, drain_reasons
from console.health.drain_reasons import FORGOTTEN_S, robot
from console.health.failure_domains import Failed
from console.health.inconsistencies import Contradiction, contradictions, fresh, suspects
from console.health.version_drift import drifts
from console.health.xid_policy import Policy, default_policy
from console.journal.leftovers import Leftovers, leftover_lines
from console.plant import cooling, nvlink_domains
from console.plant.fabric import by_switch
from console.plant.storage import stores
from console.runtime.memo import Sum, remembered
from widgets.units import duration

from . import attention_attached, attention_control, attention_cooling, attention_domains
from .attention_list import DAY_S, OUT, AttentionLine, NeedList, opens_of

__all__ = ["FORGOTTEN_S", "AttentionLine", "needs", "robot"]


class _Out(Struct, frozen=True):
    """The nodes that are out and in nobody's hands."""

    failed: list[Failed]
    drained: list[Failed]
    """By a robot, in the last day."""
    forgotten: list[Node]


def needs(
    cluster: Cluster,
    now: float,
    policy: Policy | None = None,
    *,
    mono: float | None = None,
    resumed: Mapping[str, float] = {},
    leftovers: Leftovers | None = None,
) -> list[AttentionLine]:
    """The list. Empty means that nothing is known to need anybody, not that all is known.

    `mono` and `resumed` as in `console.health.inconsistencies.contradictions`; `left` is what was shut from here.
    """
    found = NeedList(cluster, now, policy or default_policy())
    out = _out(cluster, now)
    for loop in attention_cooling.needs(cluster, now, mono, (*out.failed, *out.drained)):
        found.loop(loop)
    found.events((*out.failed, *out.drained))
    disagree, as_read = _disagree(cluster, now, found.policy, mono, resumed)
    found.not_drained([one for one in disagree if one.severity == "bad"], as_read)
    for one in attention_control.troubles(cluster, now, mono):
        found.also(one.text, one.bad, one.nodes, one.since)
    for one in attention_domains.troubles(cluster, fresh(cluster, now, mono)):
        found.also(one.text, one.bad, one.nodes)
    for one in attention_attached.storage(cluster, fresh(cluster, now, mono)):
        found.also(one.text, one.bad, one.nodes, event=True)
    for one in attention_attached.ports(cluster, fresh(cluster, now, mono)):
        # Where a line tells already of most of a switch's nodes (they were drained for it), it is no news.
        if not found.tells_of(one.nodes):
            found.also(one.text, one.bad, one.nodes, event=len(one.nodes) > 1)
    found.down(out.failed)
    found.storms()
    found.alerts(lambda severity: severity in CRITICAL)
    found.disagreeing([one for one in disagree if one.kind == "xid"], as_read)
    found.alerts(lambda severity: severity not in CRITICAL and severity not in QUIET)
    found.disagreeing([one for one in disagree if one.kind in {"count", "stray"} and one.severity == "warn"], as_read)
    found.silent([one for one in disagree if one.kind == "silent"], fresh(cluster, now, mono).loads)
    found.drained(out.drained)
    found.forgotten(out.forgotten)
    for reminder in leftover_lines(cluster, leftovers or Leftovers(), now, mono):
        found.also(reminder, False)
    found.idle([one for one in disagree if one.kind == "idle"])
    declared = [
        AttentionLine("!", "bad", f"incident {one.name}: {one.title}, by {one.by or 'somebody'}, ends in "
             f"{duration(one.ends - now)}", one.starts, opens_of(one.nodes), True)
        for one in active_incidents(cluster, now)
    ]  # fmt: skip
    ranked = sorted(found.lines, key=lambda one: (one.rank, not one.need.event, -one.at))
    return [*declared, *(one.need for one in ranked)]


def _disagree(
    cluster: Cluster, now: float, policy: Policy, mono: float | None, resumed: Mapping[str, float]
) -> tuple[list[Contradiction], bool]:
    """What disagrees; where the facts are too old to accuse, the XIDs as they were last read, and False."""
    good = fresh(cluster, now, mono)
    found = contradictions(cluster, now, policy, mono=mono, resumed=resumed)
    told = "xids" in cluster.known or "loads" in cluster.known
    if good.nodes and (good.xids or "xids" not in cluster.known) and (good.loads or "loads" not in cluster.known):
        return found, True
    if not told:
        return found, True
    # A GPU does not come back on the bus because Prometheus stopped answering: the line stays, and says so.
    last = contradictions(msgspec.structs.replace(cluster, sources={}), now, policy, resumed=resumed)
    return [*(one for one in last if one.kind == "xid"), *(one for one in found if one.kind != "xid")], False


def _out(cluster: Cluster, now: float) -> _Out:
    """Every node that is out, by who has to do something: those in a person's hands are left away."""
    out = _Out([], [], [])
    for node in _gone(cluster):
        if drain_reasons.is_forgotten(node, now) and not _leftover(node):
            out.forgotten.append(node)
        elif node.display == "down" and "REBOOT_ISSUED" in node.flags:  # its reboot is overdue, whoever asked for it
            out.failed.append(Failed(node, node.reason_at))
        elif drain_reasons.read(node.reason, node.reason_by).who == "human" and not _leftover(node):
            continue
        elif node.display in {"down", "invalid", "unknown"} and (
            "DRAIN" not in node.flags or node.display == "invalid"
        ):
            out.failed.append(Failed(node, None if _leftover(node) else node.reason_at))
        elif node.reason_at is None or now - node.reason_at <= DAY_S:
            out.drained.append(Failed(node, node.reason_at))
    return out


@remembered("nodes")
def _gone(cluster: Cluster) -> Sequence[Node]:
    return [node for node in cluster.nodes.values() if node.display in OUT]


SUMS: tuple[Sum, ...] = (
    suspects, drifts, nvlink_domains.states, cooling.worst_first, cooling_loops.ill, stores, by_switch, _gone,
)  # fmt: skip
"""What `needs` looks up."""


def _leftover(node: Node) -> bool:
    """Whether the reason is of an earlier time: Slurm may keep it when a node is back and goes down again."""
    if node.reason_at is None or "DRAIN" in node.flags or node.display in {"failed", "failing"}:
        return False
    return any(at is not None and at > node.reason_at for at in (node.boot_at, node.slurmd_at, node.busy_at))

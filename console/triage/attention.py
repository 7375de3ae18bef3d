"""The attention list: what an operator must look at, worst first. Pure.

Each node has at most one line, the most informative. Nodes that failed together (a rack, a PDU, a switch) share one
line. Nodes that a person drained are listed only once they are forgotten; the list of drained nodes has them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from collectors.model import Cluster, Node
from console.actions.incident import active_incidents
from console.alerts.folds import CRITICAL_SEVERITIES, QUIET_SEVERITIES
from console.health import cooling_loops, drain_reasons
from console.health.drain_reasons import FORGOTTEN_S
from console.health.failure_domains import FailedNode
from console.health.inconsistencies import Inconsistency, fresh_facts, inconsistencies, suspect_nodes
from console.health.version_drift import drifts
from console.health.xid_policy import Policy, default_policy
from console.journal.still_closed import StillClosed, still_closed_lines
from console.plant import cooling, nvlink_domains
from console.plant.fabric import by_switch
from console.plant.storage import store_rows
from console.runtime.memo import Sum, remembered
from widgets.units import duration

from . import attention_control, attention_cooling, attention_domains, attention_fabric_storage
from .attention_list import DAY_S, UNAVAILABLE, AttentionLine, AttentionList, opens_of

__all__ = ["FORGOTTEN_S", "AttentionLine", "attention_lines"]


class _UnavailableNodes(Struct, frozen=True):
    """Unavailable nodes that no person has taken out of service, by what has to be done."""

    failed: list[FailedNode]
    drained: list[FailedNode]
    """Drained by automation within the last day."""
    forgotten: list[Node]


def attention_lines(
    cluster: Cluster,
    now: float,
    policy: Policy | None = None,
    *,
    mono: float | None = None,
    resumed: Mapping[str, float] = {},
    still_closed: StillClosed | None = None,
) -> list[AttentionLine]:
    """The lines, worst first. An empty list means that no problem is known, not that every source was read.

    `mono` and `resumed` are those of `console.health.inconsistencies.inconsistencies`. `still_closed` holds the
    partitions and reservations that were closed from this console.
    """
    found = AttentionList(cluster, now, policy or default_policy())
    out = _unavailable(cluster, now)
    for loop in attention_cooling.loop_items(cluster, now, mono, (*out.failed, *out.drained)):
        found.add_loop(loop)
    found.add_failures((*out.failed, *out.drained))
    disagree, as_read = _inconsistencies(cluster, now, found.policy, mono, resumed)
    found.add_not_drained([one for one in disagree if one.severity == "bad"], as_read)
    for one in attention_control.control_items(cluster, now, mono):
        found.add(one.text, one.bad, one.nodes, one.since)
    for one in attention_domains.domain_items(cluster, fresh_facts(cluster, now, mono)):
        found.add(one.text, one.bad, one.nodes)
    for one in attention_fabric_storage.storage_items(cluster, fresh_facts(cluster, now, mono)):
        found.add(one.text, one.bad, one.nodes, event=True)
    for one in attention_fabric_storage.port_items(cluster, fresh_facts(cluster, now, mono)):
        # Skip a switch when most of its nodes already have a line: they were drained because of it.
        if not found.covers(one.nodes):
            found.add(one.text, one.bad, one.nodes, event=len(one.nodes) > 1)
    found.add_down(out.failed)
    found.add_storms()
    found.add_alerts(lambda severity: severity in CRITICAL_SEVERITIES)
    found.add_inconsistencies([one for one in disagree if one.kind == "xid"], as_read)
    found.add_alerts(lambda severity: severity not in CRITICAL_SEVERITIES and severity not in QUIET_SEVERITIES)
    found.add_inconsistencies(
        [one for one in disagree if one.kind in {"count", "stray"} and one.severity == "warn"], as_read
    )
    found.add_silent([one for one in disagree if one.kind == "silent"], fresh_facts(cluster, now, mono).loads)
    found.add_drained(out.drained)
    found.add_forgotten(out.forgotten)
    for reminder in still_closed_lines(cluster, still_closed or StillClosed(), now, mono):
        found.add(reminder, False)
    found.add_idle([one for one in disagree if one.kind == "idle"])
    declared = [
        AttentionLine("!", "bad", f"incident {one.name}: {one.title}, by {one.by or 'somebody'}, ends in "
             f"{duration(one.ends - now)}", one.starts, opens_of(one.nodes), True)
        for one in active_incidents(cluster, now)
    ]  # fmt: skip
    ranked = sorted(found.lines, key=lambda one: (one.rank, not one.line.event, -one.at))
    return [*declared, *(one.line for one in ranked)]


def _inconsistencies(
    cluster: Cluster, now: float, policy: Policy, mono: float | None, resumed: Mapping[str, float]
) -> tuple[list[Inconsistency], bool]:
    """The inconsistencies, and True. Where facts are stale: the XIDs as last read with the rest, and False."""
    good = fresh_facts(cluster, now, mono)
    found = inconsistencies(cluster, now, policy, mono=mono, resumed=resumed)
    told = "xids" in cluster.known or "loads" in cluster.known
    if good.nodes and (good.xids or "xids" not in cluster.known) and (good.loads or "loads" not in cluster.known):
        return found, True
    if not told:
        return found, True
    # A GPU does not recover because Prometheus stopped answering: the line stays, marked as old.
    last = inconsistencies(msgspec.structs.replace(cluster, sources={}), now, policy, resumed=resumed)
    return [*(one for one in last if one.kind == "xid"), *(one for one in found if one.kind != "xid")], False


def _unavailable(cluster: Cluster, now: float) -> _UnavailableNodes:
    """Unavailable nodes by what has to be done; those that a person drained and has not forgotten are left out."""
    out = _UnavailableNodes([], [], [])
    for node in _unavailable_nodes(cluster):
        if drain_reasons.is_forgotten(node, now) and not _leftover(node):
            out.forgotten.append(node)
        elif (
            node.display == "down" and "REBOOT_ISSUED" in node.flags
        ):  # its reboot is overdue, whether a person or a program requested it
            out.failed.append(FailedNode(node, node.reason_at))
        elif drain_reasons.classify(node.reason, node.reason_by).author == "human" and not _leftover(node):
            continue
        elif node.display in {"down", "invalid", "unknown"} and (
            "DRAIN" not in node.flags or node.display == "invalid"
        ):
            out.failed.append(FailedNode(node, None if _leftover(node) else node.reason_at))
        elif node.reason_at is None or now - node.reason_at <= DAY_S:
            out.drained.append(FailedNode(node, node.reason_at))
    return out


@remembered("nodes")
def _unavailable_nodes(cluster: Cluster) -> Sequence[Node]:
    return [node for node in cluster.nodes.values() if node.display in UNAVAILABLE]


SUMS: tuple[Sum, ...] = (
    suspect_nodes, drifts, nvlink_domains.domain_states, cooling.worst_first,
    cooling_loops.faulty_loops, store_rows, by_switch, _unavailable_nodes,
)  # fmt: skip
"""The cached sums that `attention_lines` needs."""


def _leftover(node: Node) -> bool:
    """Whether the reason is older than the node's last boot or job: Slurm may keep it when a node goes down again."""
    if node.reason_at is None or "DRAIN" in node.flags or node.display in {"failed", "failing"}:
        return False
    return any(at is not None and at > node.reason_at for at in (node.boot_at, node.slurmd_at, node.busy_at))

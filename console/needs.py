"""What needs a person, worst first: the list on the overview. Pure; each line says what, to what, since when."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from collectors.model import Cluster, Node
from collectors.nodeset import expand, fold
from widgets.units import duration

#: Drained longer than this with nobody's name on it is forgotten work.
FORGOTTEN_S = 7 * 86400
#: So many nodes of one rack that went together are one event.
TOGETHER = 3
#: Worst first.
_RANK = ("bad", "warn", "state-draining")
#: Who drains without being a person.
ROBOTS = frozenset({"root", "slurm", "nhc", "healthcheck", "node_problem"})


class Need(Struct, frozen=True):
    """One line. `opens` is what Enter goes to: a node's name, or a filter of the node list."""

    glyph: str
    role: str
    text: str
    since: int | None
    opens: str
    event: bool = False
    """Several things of one place failed together."""


def robot(by: str | None) -> bool:
    """True when that login is a program rather than a person, as far as a name can tell."""
    return by is not None and (by.lower() in ROBOTS or by.lower().endswith(("-bot", "_bot")))


def needs(cluster: Cluster, now: float) -> list[Need]:
    """The list. Empty means that nothing is known to need anybody, not that all is known."""
    found: list[Need] = []
    told: set[str] = set()
    for need in (
        *_down(cluster),
        *_invalid(cluster),
        *_alerts(cluster),
        *_disagree(cluster),
        *_fresh(cluster, now),
        *_forgotten(cluster, now),
    ):
        names = _names(need.opens)
        # A node is told of once, by the line that says most; only what names nothing new is left out.
        if names and names <= told:
            continue
        told |= names
        found.append(need)
    return sorted(found, key=_order)


def _order(need: Need) -> tuple[int, bool, int]:
    """Worst first; of those what hit several at once, then the newest."""
    rank = _RANK.index(need.role) if need.role in _RANK else len(_RANK)
    return rank, not need.event, -(need.since or 0)


def _names(opens: str) -> frozenset[str]:
    """The nodes that a line is about. An alert's label may name what no node is called: it stands for itself."""
    try:
        return frozenset(expand(opens))
    except ValueError:
        return frozenset((opens,))


def _alerts(cluster: Cluster) -> Iterable[Need]:
    active = [alert for alert in cluster.alerts.values() if alert.state == "active"]
    rank = {"critical": 0, "warning": 1}
    folded: dict[tuple[int, str], list[str | None]] = {}
    since: dict[tuple[int, str], int | None] = {}
    summary: dict[tuple[int, str], str | None] = {}
    for alert in active:
        at = (rank.get(alert.severity or "", 2), alert.name)
        folded.setdefault(at, []).append(alert.node)
        known = since.get(at)
        since[at] = alert.starts if known is None else min(known, alert.starts or known)
        summary.setdefault(at, alert.summary)
    for (severity, name), nodes in sorted(folded.items()):
        named = [node for node in nodes if node]
        what = summary[severity, name] if len(nodes) == 1 and summary[severity, name] else name
        where = f" {fold(named)}" if named else ""
        yield Need(
            "✖" if severity == 0 else "▲",
            "bad" if severity == 0 else "warn",
            f"{what}{where if len(nodes) > 1 else ''}",
            since[severity, name],
            fold(named),
        )


def _grouped(cluster: Cluster, nodes: Iterable[Node]) -> Iterable[tuple[str | None, list[Node]]]:
    """Nodes by rack where several of one went together, else alone."""
    racks: dict[str | None, list[Node]] = {}
    for node in nodes:
        racks.setdefault(node.rack, []).append(node)
    for rack, members in racks.items():
        if rack is not None and len(members) >= TOGETHER:
            yield rack, members
        else:
            for node in members:
                yield None, [node]


def _down(cluster: Cluster) -> Iterable[Need]:
    down = [node for node in cluster.nodes.values() if node.display == "down" and "DRAIN" not in node.flags]
    for rack, members in _grouped(cluster, down):
        names = fold(node.name for node in members)
        since = min((node.reason_at for node in members if node.reason_at is not None), default=None)
        reasons = {node.reason for node in members}
        reason = reasons.pop() if len(reasons) == 1 else None
        said = f": {reason}" if reason else ""
        text = f"{rack}: {len(members)} nodes down{said}" if rack else f"{names} down{said}"
        yield Need("✖", "bad", text, since, names, rack is not None)


def _invalid(cluster: Cluster) -> Iterable[Need]:
    for node in cluster.nodes.values():
        if node.display == "invalid":
            yield Need(
                "⊘",
                "bad",
                f"{node.name} registered wrongly: {node.reason or 'no reason given'}",
                node.reason_at,
                node.name,
            )


def _disagree(cluster: Cluster) -> Iterable[Need]:
    """An XID that Slurm does not know of, on a node that takes work."""
    for name, load in cluster.loads.items():
        node = cluster.nodes.get(name)
        if load.xid is not None and node is not None and node.display in {"idle", "mixed", "allocated", "planned"}:
            yield Need("?", "warn", f"{name} {node.display} in Slurm, XID {load.xid}", load.sampled_at, name)


def _forgotten(cluster: Cluster, now: float) -> Iterable[Need]:
    old = [
        node
        for node in cluster.nodes.values()
        if "DRAIN" in node.flags and node.reason_at is not None and now - node.reason_at > FORGOTTEN_S
    ]
    if old:
        since = min(node.reason_at or 0 for node in old)
        yield Need(
            "▼",
            "warn",
            f"{len(old)} drained > 7 days: {fold(node.name for node in old)}",
            since,
            fold(node.name for node in old),
        )


def _fresh(cluster: Cluster, now: float) -> Iterable[Need]:
    """What a robot drained in the last day: somebody has to look at it."""
    fresh = [
        node
        for node in cluster.nodes.values()
        if "DRAIN" in node.flags
        and robot(node.reason_by)
        and node.reason_at is not None
        and now - node.reason_at <= 86400
    ]
    for node in sorted(fresh, key=lambda one: -(one.reason_at or 0)):
        yield Need(
            "▽",
            "state-draining",
            f"{node.name} {node.display} by {node.reason_by}: {node.reason or ''}",
            node.reason_at,
            node.name,
        )


def since_text(need: Need, now: float) -> str:
    """`4m`, empty when it is not known."""
    return "" if need.since is None else duration(now - need.since)

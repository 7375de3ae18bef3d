"""Bookmarks of a recording: new alerts, failures and actions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from collectors.model import Cluster, Node
from collectors.nodeset import fold
from console.journal.entries import join, targets_text, text

from .store import Mark

_MOST_NAMED = 3


def marks(before: Cluster, after: Cluster, keys: Mapping[str, frozenset[str]], at: float) -> list[Mark]:
    """The bookmarks between two moments: at most one of each kind, so that an alert storm is one stop."""
    new = [after.alerts[key] for key in sorted(keys.get("alerts", ())) if key in after.alerts]
    fresh = [
        one for one in new
        if one.state == "active" and ((was := before.alerts.get(one.id)) is None or was.state != "active")
    ]  # fmt: skip
    found = []
    if fresh and "alerts" in before.known:
        found.append(Mark(at, "alert", _listed(dict.fromkeys(f"{one.name} {one.node or ''}".strip() for one in fresh))))
    failed = []
    down = [key for key in keys.get("nodes", ())
            if _lost(after.nodes.get(key)) and key in before.nodes and not _lost(before.nodes[key])]  # fmt: skip
    if down:
        failed.append(f"{fold(down)} down")
    for key in sorted(keys.get("xids", ())):
        if key in after.xids and key not in before.xids and "xids" in before.known:
            failed.append(f"XID {after.xids[key].code} on {after.xids[key].node}")
    for name, source in after.sources.items():
        known = before.sources.get(name)
        if source.fault is not None and (known is None or known.fault is None):
            failed.append(f"{name}: {source.fault.kind}")
    if failed:
        found.append(Mark(at, "failure", _listed(failed)))
    return found


def action_mark(record: Mapping[str, Any], at: float) -> Mark | None:
    """The bookmark of an action's start; None for other journal records."""
    if record.get("event") != "intent":
        return None
    one = next(iter(join([record]).values()))
    why = f' "{one.reason}"' if one.reason else ""
    return Mark(
        at, "action", f"{one.person}: {text(record.get('action')) or 'an action'} {targets_text(one)}{why}"[:400]
    )


def _lost(node: Node | None) -> bool:
    return node is not None and (node.state == "DOWN" or not {"FAIL", "NOT_RESPONDING"}.isdisjoint(node.flags))


def _listed(texts: Iterable[str]) -> str:
    every = list(texts)
    more = f" and {len(every) - _MOST_NAMED:,} more" if len(every) > _MOST_NAMED else ""
    return ", ".join(every[:_MOST_NAMED])[:300] + more

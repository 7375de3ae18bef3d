"""Runs the pre-flight checks that an action's row names. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.model import Cluster, Row, Xid
from console.actions.action import Action
from console.health.inconsistencies import fresh_facts
from console.health.xid_policy import Policy
from console.preflight.checks import Check, PreflightContext, PreflightReads


def run_checks(
    action: Action,
    cluster: Cluster,
    rows: Mapping[str, Row],
    extra: PreflightReads,
    now: float,
    policy: Policy,
    *,
    mono: float | None = None,
    values: Mapping[str, str] | None = None,
) -> tuple[Check, ...]:
    """All findings of these targets, in their order. A finding of all targets has "" for its target.

    `mono` is the monotonic time for ages; without it ages count from the newest reading. `values` is the new value of
    each target.
    """
    if action.check is None:
        return ()
    xids: dict[str, list[Xid]] = {}
    good = fresh_facts(cluster, now, mono)
    for xid in cluster.xids.values() if good.xids else ():
        if xid.node in rows:
            xids.setdefault(xid.node, []).append(xid)
    known = PreflightContext(cluster, extra, now, policy, good, xids, values or {})
    found = [Check("", "unknown", "not-read", (fault,)) for fault in extra.faults]
    if action.kind == "node" and not good.nodes:
        found.append(Check("", "unknown", "nodes-old"))
    if action.joint_check is not None:
        found += action.joint_check(rows, known)
    for row in rows.values():
        action.check(row, known, found)
    return tuple(found)

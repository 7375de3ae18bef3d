"""A look at a node's own checks and versions before it is given work again. Pure; `console.gate.preflight` asks for
it."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.model import Checkup, Cluster, Node
from console.actions.plan import Check
from console.health.inconsistencies import FreshFacts
from console.health.version_drift import drift_by_node
from widgets.units import when

#: Node Health Check that has not run for so long says nothing of now.
NHC_OLD_S = 3600


def look(node: Node, cluster: Cluster, now: float, good: FreshFacts, found: list[Check]) -> None:
    """Add what speaks for and against it. Of a site without such checks nothing is said; old facts accuse nobody."""
    one = cluster.checkups.get(node.name)
    if one is not None and not good.checkups:
        found.append(Check(node.name, "unknown", "its health checks were not read lately", "checkup-old"))
        return
    if one is not None:
        found += _checks(node, one, now)
    for differs in drift_by_node(cluster).get(node.name, ()):
        found.append(
            Check(
                node.name,
                "warn" if differs.what == "driver" else "note",
                differs.text,
                "version",
                (differs.what, differs.version),
            )
        )


def _checks(node: Node, one: Checkup, now: float) -> Iterator[Check]:
    if one.nhc_ok is not None:
        old = one.nhc_at is not None and now - one.nhc_at > NHC_OLD_S
        at = "" if one.nhc_at is None else f" at {when(one.nhc_at, None, now)}"
        if old:
            yield Check(node.name, "unknown", f"NHC has not run since {when(one.nhc_at, None, now)}", "nhc-old")
        elif one.nhc_ok:
            yield Check(node.name, "ok", f"NHC ok{at}", "nhc-ok")
        else:
            yield Check(node.name, "bad", f"NHC fails{at}: {one.nhc}", "nhc", (one.nhc,))
    if one.diag_ok is False:
        # A failure from before the boot may be of a part that was swapped since.
        before = one.diag_at is not None and node.boot_at is not None and one.diag_at < node.boot_at
        text = f"dcgmi diag {one.diag}"
        yield (
            Check(node.name, "warn", f"{text} before it booted, and did not run since", "diag-before-boot", (one.diag,))
            if before
            else Check(node.name, "bad", f"{text} since it booted", "diag", (one.diag,))
        )
    if one.health not in {None, "ok"}:
        yield Check(node.name, "warn", f"dcgmi health: {one.health}", "health", (one.health,))

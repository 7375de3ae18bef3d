"""Health of a node beside its GPUs, as lines: health checks, versions, serial number, ticket. Pure.

A line is left out where there is nothing to report.
"""

from __future__ import annotations

from collections.abc import Mapping

from collectors.model import Checkup, Cluster, Node
from console.health import tickets, version_drift
from console.preflight.plant_checks import NHC_OLD_S
from widgets.cells import Span
from widgets.pane import PaneLine
from widgets.units import duration, when

from .inspection_lines import fact

_ORDER = ("driver", "vbios", "bios", "bmc", "kernel", "slurmd")


def health_lines(
    cluster: Cluster, name: str, now: float, ticketed: Mapping[tuple[str, str], float] | None = None
) -> list[PaneLine]:
    """Health checks, versions and tickets of a node. `ticketed` is when the journal first mentions each ticket."""
    found: list[PaneLine] = []
    node, one = cluster.nodes.get(name), cluster.checkups.get(name)
    if node is None:
        return found
    if one is not None and (checks := _checks(one, node, now)):
        found.append(fact("health", *checks))
    if runs := _versions(cluster, node):
        found.append(fact("runs", *runs))
    ticket = tickets.ticket_of(node)
    known: list[Span] = []
    if ticket is not None:
        told = ticket.text_at(now, tickets.known_since(node, ticket, ticketed))
        known += [(told, "text-strong"), (f" ({ticket.found_in})  ", "text-dim")]
    if one is not None and one.serial:
        known += [("serial ", "text-dim"), (one.serial, "")]
    if known:
        found.append(fact("ticket" if ticket is not None else "machine", *known))
    return found


def _checks(one: Checkup, node: Node, now: float) -> list[Span]:
    spans: list[Span] = []
    if one.nhc is not None:
        old = one.nhc_at is not None and now - one.nhc_at > NHC_OLD_S
        role = "bad" if not one.nhc_ok else "warn" if old else "good"
        spans += [("NHC ", ""), (one.nhc, role), (f" {when(one.nhc_at, None, now)}  " if one.nhc_at else "  ", "")]
    if one.diag is not None:
        ago = "when is not known" if one.diag_at is None else f"{duration(now - one.diag_at)} ago"
        later = node.boot_at is not None and one.diag_at is not None and one.diag_at < node.boot_at
        spans += [("dcgmi diag ", ""), (one.diag, "good" if one.diag_ok else "bad"), (f" {ago}", "")]
        spans += [(", before it booted  ", "warn") if later else ("  ", "")]
    if one.health is not None:
        spans += [("dcgmi health ", ""), (one.health, "good" if one.health == "ok" else "warn")]
    return spans


def _versions(cluster: Cluster, node: Node) -> list[Span]:
    versions = version_drift.versions(cluster, node)
    differs = {one.what: one for one in version_drift.drift_by_node(cluster).get(node.name, ())}
    spans: list[Span] = []
    # The version of slurmd is shown next to it already.
    told = [what for what in versions if what in differs or what != "slurmd"]
    for what in sorted(told, key=lambda what: (what not in differs, _ORDER.index(what) if what in _ORDER else 9)):
        other = differs.get(what)
        said = f"{what} {versions[what]}"
        if other is not None:
            spans.append((f"{said} (most of {other.place}: {other.majority})  ", "warn"))
        else:
            spans.append((f"{said}  ", ""))
    return spans

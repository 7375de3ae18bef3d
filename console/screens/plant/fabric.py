"""The fabric screen: switches with the faulty ports behind each, and the ports of the switch under the cursor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.plant import fabric
from console.screens.layout.two_table_screen import Head, TableSpec, TwoTableScreen, TwoTableSpec
from console.tables.fabric_columns import PORTS, SWITCHES
from widgets.cells import Span
from widgets.units import count, plural

SOURCE = "prom.fabric"
#: Number of columns from which the head shows more than faults.
WIDE = 150
NO_PORTS = "no port is known: Prometheus has no node_infiniband_state_id and no node_network_up of an Ethernet device"
NO_SOURCE = "no Prometheus is configured: ports come from node_exporter, through prometheus = { url = … }"


def _head(screen: TwoTableScreen) -> Head:
    """Port counts, and faults of the source."""
    one, ports, wide = screen.cluster.fabric, screen.cluster.ports.values(), screen.size.width >= WIDE
    spans: list[Span] = [("Fabric ", "title")]
    right = screen.source_spans(SOURCE)
    if one is None:
        return [*spans, (" —", "text-strong")], right
    spans.append((f" {plural(one.ports, 'port')}, {count(one.up)} up", "text-strong"))
    for word, (glyph, role) in fabric.PORT_PROBLEMS.items():
        if number := sum(word in port.wrong for port in ports):
            spans.append((f"   {glyph} {count(number)} {word}", role))
    if one.uncabled and wide:
        spans.append((f"   {count(one.uncabled)} without a cable", "text-dim"))
    return spans, right or (((one.source, "text-dim"),) if wide else ())


def _empty(screen: TwoTableScreen) -> str:
    return screen.empty_text_for("fabric", SOURCE, NO_SOURCE, NO_PORTS)


def _ports(screen: TwoTableScreen) -> Mapping[str, Any]:
    row = screen.row_above()
    return {} if row is None else {port.key: port for port in row.unhealthy}


def _place(row: fabric.SwitchRow) -> str:
    return row.name if row.kind == "switch" else f"rack {row.name}" if row.name else "no rack"


def _ports_head(screen: TwoTableScreen) -> Head:
    row = screen.row_above()
    if row is None:
        return (("Ports ", "title"),), ()
    title: Span = ("Ports that are not well ", "title")
    return (title, (f" {_place(row)}", "text-strong"), (f"  {len(row.unhealthy):,}", "")), ()


def _no_ports(screen: TwoTableScreen) -> str:
    row = screen.row_above()
    if row is None:
        return _empty(screen)
    return screen.missing_text("fabric", SOURCE, f"every port behind {_place(row)} is well")


def _switch_reason(row: fabric.SwitchRow) -> str | None:
    return f"{row.name}: {plural(len(row.unhealthy), 'port')} not well" if row.unhealthy else None


SCREEN = TwoTableSpec(
    crumb="fabric",
    acts_on="node",
    needed_kinds=frozenset({"ports", "fabric"}),
    sums=(fabric.by_switch,),
    upper=TableSpec(
        id="main", columns=SWITCHES, height=2, fitted=True, sources=(SOURCE,), head=_head, empty=_empty,
        rows=lambda screen: fabric.by_switch(screen.cluster), changes=frozenset({"ports", "fabric", "nodes", "jobs"}),
        targets={"node": lambda row: row.nodes}, reason=_switch_reason, opened=TwoTableScreen.enter_lower,
    ),
    lower=TableSpec(
        id="ports", columns=PORTS, height=3, sources=(SOURCE,), head=_ports_head, empty=_no_ports, rows=_ports,
        targets={"node": lambda row: (row.node,)}, reason=fabric.port_text,
        opened=lambda screen, row: screen.open_node(row.node),
    ),
)  # fmt: skip

"""The fabric screen: switches with the faulty ports behind each, and the ports of the switch under the cursor."""

from __future__ import annotations

from typing import Any

from textual import on

from collectors.model import Cluster, Diff
from collectors.slurm.operations import DRAIN
from console.actions.action import Kind
from console.actions.registry import BY_ID
from console.fields.common_cells import Ctx
from console.plant import fabric
from console.tables.fabric_columns import PORTS, SWITCHES
from widgets.cells import Span
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys
from widgets.units import count, plural

from .layout.two_tables import TwoTables

SOURCE = "prom.fabric"
#: Number of columns from which the head shows more than faults.
WIDE = 150
NO_PORTS = "no port is known: Prometheus has no node_infiniband_state_id and no node_network_up of an Ethernet device"
NO_SOURCE = "no Prometheus is configured: ports come from node_exporter, through prometheus = { url = … }"


class FabricScreen(TwoTables):
    """Switches and faulty ports, and the jobs that use them."""

    DEFAULT_CSS = """
    FabricScreen .crumbs { height: 1; }
    FabricScreen #main { height: 2fr; }
    FabricScreen #ports { height: 3fr; }
    """
    crumb = "fabric"
    acts_on = "node"
    needed_kinds = frozenset({"ports", "fabric"})
    sums = (fabric.by_switch,)

    def __init__(self) -> None:
        super().__init__()
        self.switches: VirtualTable[Any] = VirtualTable(SWITCHES, id="main")
        self.ports: VirtualTable[Any] = VirtualTable(PORTS, id="ports")
        self.set_tables(self.switches, self.ports)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update from sums that are computed once for each reading."""
        if diff is None or diff.kinds & {"ports", "fabric", "nodes", "jobs"}:
            self.switches.set_rows(fabric.by_switch(cluster), ctx=self.ctx())
        self.switches.empty_text = self.ports.empty_text = self.empty_text_for("fabric", SOURCE, NO_SOURCE, NO_PORTS)
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Update job counts and ages."""
        self.switches.dimmed = self.ports.dimmed = self.stale(SOURCE)
        self.switches.set_ctx(ctx)
        self._paint_head()
        self.follow()

    def _paint_head(self) -> None:
        """Show port counts, and faults of the sources."""
        one, ports = self.cluster.fabric, self.cluster.ports.values()
        spans: list[Span] = [("Fabric ", "title")]
        if one is None:
            spans.append((" —", "text-strong"))
        else:
            spans.append((f" {plural(one.ports, 'port')}, {count(one.up)} up", "text-strong"))
            for word, (glyph, role) in fabric.PORT_PROBLEMS.items():
                if number := sum(word in port.wrong for port in ports):
                    spans.append((f"   {glyph} {count(number)} {word}", role))
            if one.uncabled and self.size.width >= WIDE:
                spans.append((f"   {count(one.uncabled)} without a cable", "text-dim"))
        state = self.cluster.sources.get(SOURCE)
        told: tuple[Span, ...] = ()
        if state is not None and state.fault is not None:
            told = ((str(state.fault), "bad"),)
        elif state is not None and state.warnings:
            told = ((state.warnings[0], "warn"),)
        elif one is not None and self.size.width >= WIDE:
            told = ((one.source, "text-dim"),)
        self.set_head(0, spans, told)

    def follow(self) -> None:
        """Show the ports of the switch under the cursor."""
        row = fabric.by_switch(self.cluster).get(self.switches.cursor_key or "")
        unwell = {} if row is None else {port.key: port for port in row.unhealthy}
        self.ports.set_rows(unwell, ctx=self.ctx())
        if row is None:
            self.set_head(1, (("Ports ", "title"),))
            return
        name = row.name if row.kind == "switch" else f"rack {row.name}" if row.name else "no rack"
        self.ports.empty_text = self.missing_text("fabric", SOURCE, f"every port behind {name} is well")
        self.set_head(
            1, (("Ports that are not well ", "title"), (f" {name}", "text-strong"), (f"  {len(unwell):,}", ""))
        )

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The nodes of the marked lines, or of the line under the cursor."""
        if kind != "node":
            return ()
        table = self.active
        rows = [row for key in self.selected_keys if (row := table.row_of(key)) is not None]
        names = [name for row in rows for name in (row.nodes if table is self.switches else (row.node,))]
        return tuple(dict.fromkeys(name for name in names if name in self.cluster.nodes))

    def suggested_reason(self, action_id: str) -> str | None:
        """The fault of the port, as the reason of a drain."""
        row = self.active.row_of(self.active.cursor_key or "")
        if row is None or BY_ID[action_id].operation != DRAIN:
            return None
        if self.active is self.ports:
            return fabric.port_text(row)
        return f"{row.name}: {plural(len(row.unhealthy), 'port')} not well" if row.unhealthy else None

    @on(TableKeys.Opened, "#main")
    def _switch_opened(self, event: TableKeys.Opened) -> None:
        self.follow()
        if self.ports.keys:
            self.ports.focus()

    @on(TableKeys.Opened, "#ports")
    def _port_opened(self, event: TableKeys.Opened) -> None:
        row = self.ports.row_of(event.key)
        if row is not None:
            self.app.navigation.open_row("node", row.node)

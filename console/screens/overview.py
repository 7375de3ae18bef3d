"""The overview: state of the machine, what needs a person, what waits, and power."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from textual import events, on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from collectors.model import Cluster, Diff
from collectors.nodeset import expand
from console.actions.action import Kind
from console.fields.common_cells import Ctx
from console.health.inconsistencies import suspect_nodes
from console.health.version_drift import drifts
from console.plant import cooling, nvlink_domains
from console.plant.power import by_rack
from console.plant.power import source as power_source
from console.plant.rack_sums import rack_loads, rack_states
from console.plant.totals import by_user, partition_uses
from console.tables import overview_figures
from console.tables.gpu_lines import map_cursor_line, map_rack_line
from console.triage.attention_task import AttentionResult
from widgets.key_bar import KeyHint
from widgets.map_measures import MEASURES
from widgets.node_map import NodeMap
from widgets.pane import Pane, PaneLine

from .attention_feed import AttentionFeed, prepare_attention
from .layout.screen import WachtScreen
from .trends import Trends

if TYPE_CHECKING:
    from console.clusters.cluster_session import ClusterSession
    from console.health.xid_policy import Policy
    from console.triage.attention_list import AttentionLine

_NARROW_COLUMNS, _LOW_ROWS = 110, 34


class OverviewScreen(WachtScreen):
    """Figures above, the machine and what needs a person in the middle, the queue below."""

    DEFAULT_CSS = """
    OverviewScreen #figures { height: 7; }
    OverviewScreen #middle { height: 1fr; }
    OverviewScreen #machine { width: 2fr; }
    OverviewScreen #map { height: 1fr; }
    OverviewScreen #under { height: 1; }
    OverviewScreen #needs { width: 1fr; }
    OverviewScreen #bottom { height: 10; }
    OverviewScreen #queue { width: 3fr; }
    OverviewScreen #users { width: 1fr; }
    OverviewScreen.-low #figures { height: 6; }
    OverviewScreen.-low #bottom { height: 6; }
    OverviewScreen.-narrow #users { display: none; }
    OverviewScreen.-narrow #machine { width: 44; }
    OverviewScreen.-narrow #nodes { width: 35; }
    OverviewScreen.-narrow #gpus { width: 25; }
    OverviewScreen.-nopower #power { display: none; }
    OverviewScreen.-nopower.-narrow #nodes, OverviewScreen.-nopower.-narrow #gpus { width: 1fr; }
    """
    crumb = "overview"
    needed_kinds = frozenset({"power", "counts"})
    sums = (partition_uses, by_user, by_rack, suspect_nodes, drifts, nvlink_domains.domain_states, cooling.worst_first,
            rack_states, rack_loads)  # fmt: skip
    acts_on = "node"
    AUTO_FOCUS = "#map"

    def __init__(self) -> None:
        super().__init__()
        self.figures = {
            name: Pane(title, id=name) for name, title in (("nodes", "Nodes"), ("gpus", "GPUs"), ("power", "Power"))
        }
        self.map = NodeMap(id="map")
        self.trends = Trends(id="trends")
        self.cursor_line = Pane(border=False, id="under")
        self.needs = Pane("Attention", select=True, wrap=True, id="needs")
        self.queue = Pane("Queue", select=True, id="queue")
        self.users = Pane("Holding most GPUs", select=True, id="users")
        self._attention_lines: Sequence[AttentionLine] = ()
        self._feed = AttentionFeed(self, self._paint_attention)

    def body(self) -> Iterable[Widget]:
        """Three rows."""
        yield Horizontal(*self.figures.values(), id="figures")
        yield Horizontal(Vertical(self.map, self.trends, self.cursor_line, id="machine"), self.needs, id="middle")
        yield Horizontal(self.queue, self.users, id="bottom")

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update everything. Cheap: only changed lines are painted."""
        self.set_class("prom.loads" not in cluster.sources, "-nopower")
        kinds = None if diff is None else diff.kinds
        if kinds is None or kinds & {"nodes", "loads", "jobs"}:
            self.map.set_cluster(cluster)
        if kinds is None or kinds & {"jobs", "partitions", "nodes"}:
            self.users.set_lines(overview_figures.user_lines(by_user(cluster)[:12]))
            self._uses = list(partition_uses(cluster).values())
        if kinds is None or kinds & {"jobs", "partitions", "nodes", "diag"}:
            self._fit_trends()
        self.tick(self.ctx())

    def prepare(self, cluster: Cluster, session: ClusterSession, policy: Policy, *, shown: bool) -> None:
        """Compute the attention list as well."""
        super().prepare(cluster, session, policy, shown=shown)
        prepare_attention(cluster, session, policy)

    def _fit_trends(self) -> None:
        """The map gets all the room it needs; the trends get the rest."""
        room = self.size.height - self.figures["nodes"].outer_size.height - self.queue.outer_size.height - 4
        # Charts are queried on demand, which a recording cannot answer.
        telemetry = "prom.loads" in self.cluster.sources and not self.app.fleet.replaying
        wanted = self.map.lines_wanted
        self.trends.fit(room - wanted if telemetry and wanted and not self.map.shows_racks else 0)

    def discard_fetched(self) -> None:
        """Drop the charts."""
        self.trends.discard_fetched()

    def tick(self, ctx: Ctx) -> None:
        """Update the figures and the lines with ages."""
        cluster = self.cluster
        self.trends.read(self)
        titles = {"nodes": ("Nodes", cluster.totals.nodes), "gpus": ("GPUs", cluster.totals.gpus)}
        makers = {
            "nodes": overview_figures.node_lines,
            "gpus": overview_figures.gpu_lines,
            "power": overview_figures.power_lines,
        }
        mono = self.app.clock.mono()
        for name, pane in self.figures.items():
            cells, rows = max(1, pane.size.width - 4), max(1, pane.size.height - 2)
            told = overview_figures.counted(cluster, name, ctx.now, mono, cells)
            pane.set_lines([*told, *makers[name](cluster, cells, max(1, rows - len(told)))])
            if name in titles:
                word, number = titles[name]
                old = (
                    self.stale_mark("slurm.nodes") if name == "nodes" else self.stale_mark("slurm.nodes", "prom.loads")
                )
                pane.set_title([(word, "title"), (f" {number:,}" if number is not None else " —", "text-strong")], old)
        source = power_source(cluster) if "loads" in cluster.known and self.figures["power"].size.width > 30 else ""
        self.figures["power"].set_title("Power", self.stale_mark("prom.loads", "prom.power") or source)
        if (made := self._feed.newest(ctx.now)) is not None:
            self._paint_attention(made)
        self._paint_cursor_line()
        self.map.dimmed = self.stale("slurm.nodes" if self.map.measure == "state" else "prom.loads")
        self.users.set_title("Holding most GPUs", self.stale_mark("slurm.jobs"))
        self.users.set_empty_text(self.why_unknown("jobs") or "no job holds a GPU")
        old = self.stale_mark("slurm.jobs", "slurm.partitions")
        words = overview_figures.controller_spans(cluster)
        gap = [("  ", "")] if old and words else []
        self.queue.set_title(overview_figures.queue_title(cluster), [*words, *gap, *old])
        cells = max(1, self.queue.size.width - 4)
        told = overview_figures.counted(cluster, "jobs", ctx.now, mono, cells)
        self.queue.set_lines([*told, *overview_figures.queue_lines(cluster, self._uses, ctx.now, cells, 0)])

    def _paint_attention(self, made: AttentionResult) -> None:
        self.map.set_health(made.health)
        self._attention_lines = found = made.lines
        self.needs.set_lines(overview_figures.attention_lines(self.cluster, found, made.now, self.app.clock.mono()))
        self.needs.set_title([("Attention", "title"), (f" {len(found)}" if found else "", "text-strong")])

    def on_resize(self, event: events.Resize) -> None:
        """Show fewer panes on a small screen."""
        self.set_class(event.size.width < _NARROW_COLUMNS, "-narrow")
        self.set_class(event.size.height < _LOW_ROWS, "-low")
        self.call_after_refresh(self._resized)

    def _resized(self) -> None:
        self._fit_trends()
        self.tick(self.ctx())

    def _paint_cursor_line(self) -> None:
        """Describe the node or rack under the map's cursor; without one, the cells of the map."""
        node, rack = self.map.chosen_key, self.map.chosen_rack
        if rack is not None:
            line = map_rack_line(rack, self.map.health)
        elif node is not None:
            line = map_cursor_line(self.cluster, node)
        else:
            line = PaneLine(self.map.legend())
        self.cursor_line.set_lines([line])

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The node selected on the map, or the nodes of the attention line under the cursor."""
        if kind != "node":
            return ()
        if self.focused is self.needs:
            need = self._line_of(self.needs.cursor_key)
            try:
                return tuple(name for name in expand(need.opens) if name in self.cluster.nodes) if need else ()
            except ValueError:
                return ()
        return (self.map.chosen_key,) if self.map.chosen_key is not None else ()

    def copy_text(self) -> str | None:
        """The command that shows the node under the cursor."""
        names = self.targets("node")
        return f"scontrol show node {','.join(names)}" if names else "sinfo"

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (
            KeyHint("Enter", "zoom" if self.map.shows_racks else "open"),
            *(() if self.map.zoomed is None else (KeyHint("Esc", "whole machine"),)),
            KeyHint("m", f"by {self.map.measure}"),
            KeyHint("Tab", "next pane"),
            KeyHint("2", "nodes"),
            KeyHint("3", "jobs"),
            KeyHint("6", "alerts"),
            KeyHint("7", "partitions"),
        )

    def _line_of(self, key: str | None) -> AttentionLine | None:
        at = (key or "").partition(" ")[0]
        return self._attention_lines[int(at)] if at.isdigit() and int(at) < len(self._attention_lines) else None

    def action_measure(self) -> None:
        """Show the next measure on the map: state, utilisation, temperature or power."""
        can = MEASURES if "loads" in self.cluster.known else MEASURES[:1]
        if len(can) == 1:
            self.app.show_message("the map shows states: no source gives utilisation, temperature or power")
        self.map.measure = can[(can.index(self.map.measure) + 1) % len(can)] if self.map.measure in can else can[0]
        self._paint_cursor_line()
        self.refresh_keys()

    def action_zoom(self) -> None:
        """Zoom into the rack under the cursor, or out again."""
        self._zoom(self.map.cursor_rack if self.map.zoomed is None else None)

    def _zoom(self, rack: str | None) -> bool:
        """Show a rack alone, or the whole machine; the charts get the room that is left."""
        if not self.map.zoom(rack):
            return False
        if rack is None:
            self.trends.fit(0)  # the map is laid out for all the room first
        self.call_after_refresh(self._fit_trends)
        return True

    def action_back(self) -> None:
        """Esc: leave the rack first."""
        if not self._zoom(None):
            super().action_back()

    @on(NodeMap.Moved)
    def _map_moved(self) -> None:
        self._paint_cursor_line()
        self.refresh_keys()

    @on(NodeMap.Opened)
    def _map_opened(self, event: NodeMap.Opened) -> None:
        self.app.navigation.open_row("node", event.key)

    @on(NodeMap.RackOpened)
    def _rack_opened(self, event: NodeMap.RackOpened) -> None:
        self._zoom(event.rack)

    @on(NodeMap.RackLeft)
    def _rack_left(self) -> None:
        self._zoom(None)

    @on(Pane.Moved, "#needs")
    def _attention_moved(self) -> None:
        self.refresh_keys()

    @on(Pane.Opened, "#needs")
    def _attention_opened(self, event: Pane.Opened) -> None:
        need = self._line_of(event.key)
        if need is not None and need.opens:
            if need.opens in self.cluster.nodes:
                self.app.navigation.open_row("node", need.opens)
            else:
                self.app.navigation.go("nodes", need.opens)

    @on(Pane.Opened, "#queue")
    def _queue_opened(self, event: Pane.Opened) -> None:
        self.app.navigation.go("jobs", f"partition={event.key}")

    @on(Pane.Opened, "#users")
    def _user_opened(self, event: Pane.Opened) -> None:
        self.app.navigation.go("jobs", f"user={event.key}")

    def on_descendant_focus(self) -> None:
        """The focus moved to another pane: update the keys."""
        self.refresh_keys()

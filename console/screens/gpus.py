"""The GPU screen: a heat map of the machine by node, or of one rack by GPU, and lists of idle, hot and failing GPUs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual import events, on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from collectors.model import Cluster, Diff, Fault, Gpu
from console.actions.action import Kind
from console.fields.common_cells import Ctx
from console.health.inconsistencies import suspect_nodes
from console.health.unknown_reasons import SOURCES
from console.plant import gpus
from console.plant.rack_sums import rack_loads, rack_states
from console.tables.gpu_lines import (
    gpu_grid,
    hottest_lines,
    idle_lines,
    map_cursor_line,
    map_rack_line,
    rack_lines,
    top_power_lines,
    xid_lines,
)
from console.triage.attention_task import AttentionResult
from widgets.key_bar import KeyHint
from widgets.map_measures import MEASURES
from widgets.node_map import NodeMap
from widgets.pane import Pane, PaneLine
from widgets.units import plural

from .attention_feed import AttentionFeed, prepare_attention
from .layout.screen import WachtScreen
from .trends import Trends

if TYPE_CHECKING:
    from console.clusters.cluster_session import ClusterSession
    from console.health.xid_policy import Policy

#: The lists: title, the sums that each needs, and its text when it is empty and all of these are known.
_LISTS = (
    ("xids", "XIDs", ("xids",), "no XID was reported"),
    ("idle", "Idle in running jobs", ("loads", "jobs", "nodes"), "none"),
    ("hot", "Hottest", ("loads",), "no node reports a temperature"),
    ("hungry", "Hungriest", ("loads",), "no node reports its power"),
)


class GpusScreen(WachtScreen):
    """The map, the lists beside or below it, and the rack that is zoomed in."""

    DEFAULT_CSS = """
    GpusScreen #both { height: 1fr; }
    GpusScreen #machine { width: 3fr; }
    GpusScreen #map { height: 1fr; }
    GpusScreen #under, GpusScreen #legend { height: 1; }
    GpusScreen #zoomed { height: 1fr; display: none; }
    GpusScreen.-zoomed #zoomed { display: block; }
    GpusScreen.-zoomed #map { display: none; }
    GpusScreen #lists { width: 2fr; }
    GpusScreen.-narrow #both { layout: vertical; }
    GpusScreen.-narrow #machine { width: 1fr; height: 12; }
    GpusScreen.-narrow #lists { width: 1fr; height: 1fr; layout: grid; grid-size: 2 2; }
    """
    crumb = "gpus"
    acts_on = "node"
    sums = (gpus.jobs_with_idle_gpus, gpus.hottest, gpus.top_power, suspect_nodes, rack_states, rack_loads)
    AUTO_FOCUS = "#map"

    def __init__(self) -> None:
        super().__init__()
        self.map = NodeMap(id="map")
        self.trends = Trends(id="trends")
        self.zoomed = Pane("", select=True, id="zoomed")
        self.legend = Pane(border=False, id="legend")
        self.cursor_line = Pane(border=False, id="under")
        self.lists = {name: Pane(title, select=True, id=name) for name, title, _, _ in _LISTS}
        self.rack: str | None = None
        self._feed = AttentionFeed(self, self._health_ready)

    def body(self) -> Iterable[Widget]:
        """The map and the lists."""
        machine = Vertical(self.legend, self.map, self.zoomed, self.trends, self.cursor_line, id="machine")
        yield Horizontal(machine, Vertical(*self.lists.values(), id="lists"), id="both")

    def on_mount(self) -> None:
        """Start with utilisation; states are on the overview."""
        super().on_mount()
        if "loads" in self.cluster.known:
            self.map.measure = "util"

    def on_resize(self, event: events.Resize) -> None:
        """Put the lists beside the map, or below it."""
        self.set_class(event.size.width < 120, "-narrow")
        self.call_after_refresh(self._fit_trends)

    def _fit_trends(self) -> None:
        """Show the trends in the room that the map leaves."""
        shows = not self.has_class("-narrow") and self.rack is None and "prom.loads" in self.cluster.sources
        # Charts are queried on demand, which a recording cannot answer.
        shows = shows and not self.app.fleet.replaying and not self.map.shows_racks
        wanted = self.map.lines_wanted
        self.trends.fit(self.size.height - 4 - wanted if shows and wanted else 0)
        self.trends.read(self)

    def prepare(self, cluster: Cluster, session: ClusterSession, policy: Policy, *, shown: bool) -> None:
        """Compute the faults on the map as well, while it is visible."""
        super().prepare(cluster, session, policy, shown=shown)
        if shown:
            prepare_attention(cluster, session, policy)

    def _health_ready(self, made: AttentionResult) -> None:
        self.map.set_health(made.health)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update the map, the lists and the rack that is zoomed in."""
        if diff is None or diff.kinds & {"nodes", "loads", "jobs", "xids"}:
            self.map.set_cluster(cluster)
            self._fetch_rack()
            self._fit_trends()
        self.map.dimmed = self.stale("prom.loads" if self.map.measure != "state" else "slurm.nodes")
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Update the lists with ages."""
        self.trends.read(self)
        cluster = self.cluster
        if (made := self._feed.newest(ctx.now)) is not None:
            self._health_ready(made)
        idle = gpus.idle_jobs(cluster, ctx.now)
        found = {"idle": (_idle_text(sum(one.idle for one in idle), cluster.totals.gpus_idle_in_jobs), "warn")}
        for name, title, kinds, none in _LISTS:
            spans = [(title, "title"), *([found[name]] if name in found else [])]
            self.lists[name].set_title(spans, self.stale_mark(*(SOURCES[kind] for kind in kinds)))
            self.lists[name].set_empty_text(self.why_unknown(*kinds) or none)
        self.lists["xids"].set_lines(
            xid_lines(gpus.newest_xids(cluster)[: gpus.LISTED], cluster, self.app.policy, ctx.now)
        )
        self.lists["idle"].set_lines(idle_lines(idle[: gpus.LISTED], ctx.now))
        self.lists["hot"].set_lines(hottest_lines(gpus.hottest(cluster)))
        self.lists["hungry"].set_lines(top_power_lines(gpus.top_power(cluster)))
        self._paint_legend()

    def _paint_legend(self) -> None:
        self.legend.set_lines(
            [PaneLine([(" GPUs  ", "title"), (f"by {self.map.measure}  ", "text-strong"), *self.map.legend()])]
        )
        rack = self.map.cursor_key if self.map.shows_racks and self.rack is None else None
        if rack is not None:
            self.cursor_line.set_lines([map_rack_line(rack, self.map.health)])
        else:
            self.cursor_line.set_lines([map_cursor_line(self.cluster, self.map.cursor_node)])

    # Zoom: the GPUs of one rack, read on demand.

    def action_zoom(self) -> None:
        """Zoom into the rack under the cursor, or out again."""
        if self.rack is not None:
            self.rack = None
            self.remove_class("-zoomed")
            self._fit_trends()
            self.map.focus()
            self.refresh_keys()
            return
        self.rack = self.map.cursor_rack
        if self.rack is None:
            return
        self.zoomed.set_title(f"Rack {self.rack or 'none'}")
        self.zoomed.set_lines([PaneLine((("reading …", "text-dim"),))])
        self.add_class("-zoomed")
        self._fit_trends()
        self.zoomed.focus()
        self._fetch_rack()
        self.refresh_keys()

    def _fetch_rack(self) -> None:
        if self.rack is not None:
            names = self.cluster.racks.get(self.rack, ())
            self.fetch(lambda: self.at.telemetry.gpus(names), self._rack_fetched)

    def discard_fetched(self) -> None:
        """Drop the GPUs of the rack and the charts."""
        self.trends.discard_fetched()
        self.zoomed.set_lines([PaneLine((("reading …", "text-dim"),))])
        self._fetch_rack()

    def _rack_fetched(self, answer: Any) -> None:
        if self.rack is None:
            return
        if not isinstance(answer, Mapping):
            # What is known of each node anyway is shown below.
            role = "text-dim" if isinstance(answer, Fault) and answer.kind == "missing" else "bad"
            said = PaneLine(((f"its GPUs: {answer}", role),))
            self.zoomed.set_lines([said, *rack_lines(self.cluster.racks.get(self.rack, ()), self.cluster)])
            return
        found: Mapping[str, tuple[Gpu, ...]] = answer
        names = self.cluster.racks.get(self.rack, ())
        self.zoomed.set_lines(gpu_grid(names, found, self.cluster, self.map.measure))
        if self.map.cursor_node is not None and self.zoomed.cursor_key is None:
            self.zoomed.select_key(self.map.cursor_node)

    # Targets and keys.

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The node under the cursor of the map, the rack or a list."""
        if kind != "node":
            return ()
        if self.focused is self.map:
            return (self.map.cursor_node,) if self.map.cursor_node else ()
        key = self.focused.cursor_key if isinstance(self.focused, Pane) else None
        name = (key or "").partition("/")[0]
        return (name,) if name in self.cluster.nodes else ()

    def copy_text(self) -> str | None:
        """The command that shows the node under the cursor."""
        names = self.targets("node")
        return f"scontrol show node {names[0]} -d" if names else None

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        zoom = "whole machine" if self.rack is not None else "zoom rack"
        return (
            KeyHint("Enter", "zoom" if self.map.shows_racks and self.rack is None else "open"),
            KeyHint("m", f"by {self.map.measure}"),
            KeyHint("z", zoom),
            KeyHint("Tab", "next pane"),
        )

    def action_measure(self) -> None:
        """Show the next measure for which a source has values."""
        can = MEASURES if "loads" in self.cluster.known else MEASURES[:1]
        if len(can) == 1:
            self.app.show_message("the map shows states: no source gives utilisation, temperature or power")
        self.map.measure = can[(can.index(self.map.measure) + 1) % len(can)] if self.map.measure in can else can[0]
        self._fetch_rack()
        self._paint_legend()
        self.refresh_keys()

    def action_back(self) -> None:
        """Esc: leave the rack first."""
        if self.rack is not None:
            self.action_zoom()
        else:
            super().action_back()

    @on(NodeMap.Moved)
    def _moved(self) -> None:
        self._paint_legend()
        self.refresh_keys()

    @on(NodeMap.Opened)
    def _map_opened(self, event: NodeMap.Opened) -> None:
        self.app.navigation.open_row("node", event.key)

    @on(NodeMap.RackOpened)
    def _rack_opened(self) -> None:
        self.action_zoom()

    @on(Pane.Moved)
    def _pane_moved(self) -> None:
        self.refresh_keys()

    @on(Pane.Opened)
    def _opened(self, event: Pane.Opened) -> None:
        if event.pane is self.lists["idle"]:
            self.app.navigation.open_row("job", event.key)
        else:
            self.app.navigation.open_row("node", event.key.partition("/")[0])

    def on_descendant_focus(self) -> None:
        """The focus moved to another pane: update the keys."""
        self.refresh_keys()


def _idle_text(listed: int, idle: int | None) -> str:
    """Idle GPUs of the listed jobs out of all idle GPUs in jobs, as on the overview. Jobs that have just started or
    that share a node are not listed."""
    if not idle:
        return f" {plural(listed, 'GPU')}" if listed else ""
    return f" {listed} of {plural(idle, 'GPU')}"

"""The cooling screen: each loop with its water, leak detectors and the racks it serves; Enter opens its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from collectors.nodeset import fold_for_slurm
from console.fields.common_cells import Ctx
from console.plant import cooling
from console.plant.cooling import FAULTY_STATES, LoopStatus
from console.tables.cooling_columns import LOOPS, look
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys
from widgets.units import duration

from .layout.screen import WachtScreen

SOURCE = "prom.cooling"
NOT_CONFIGURED = (
    "no cooling is configured: name the series of the CDUs in cooling = { … } of the cluster (docs/configuration.md)"
)


class CoolingScreen(WachtScreen):
    """Cooling loops, the worst first, and the details of the one under the cursor."""

    DEFAULT_CSS = """
    CoolingScreen #crumbs { height: 1; }
    CoolingScreen #main { height: 1fr; }
    CoolingScreen #detail { height: 6; }
    """
    crumb = "cooling"
    needed_kinds = frozenset({"cooling", "power"})
    sums = (cooling.worst_first,)

    def __init__(self) -> None:
        super().__init__()
        self.table: VirtualTable[Any] = VirtualTable(LOOPS, id="main")
        self.crumbs = Pane(border=False, id="crumbs")
        self.detail = Pane("", wrap=True, id="detail")

    def body(self) -> Iterable[Widget]:
        """The crumbs, the table, the details."""
        yield self.crumbs
        yield self.table
        yield self.detail

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update from sums that are computed once for each reading."""
        found = cooling.worst_first(cluster)
        if diff is None or diff.kinds & {"cooling", "nodes", "jobs", "loads", "power"}:
            self.table.empty_text = self._empty_text()
            self.table.set_rows({one.name: one for one in found}, ctx=self.ctx())
        known = "cooling" in cluster.known
        ill = sum(one.state in FAULTY_STATES for one in found)
        silent = sum(one.state == "silent" for one in found)
        said = [(f"   {ill:,} ill", "bad")] if ill else []
        said += [(f"   {silent:,} silent", "warn")] if silent else []
        source = cluster.sources.get(SOURCE)
        right = [(str(source.fault), "bad")] if source is not None and source.fault is not None else []
        if not right and source is not None and source.warnings:
            right = [(source.warnings[0], "warn")]
        count = f" {len(found):,} loop{'' if len(found) == 1 else 's'}" if known else " —"
        self.crumbs.set_lines([PaneLine([(" Cooling ", "title"), (count, "text-strong"), *said], right)])
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Update staleness and ages."""
        self.table.dimmed = self.stale(SOURCE)
        self.table.set_ctx(ctx)
        self._paint_detail()

    def _empty_text(self) -> str:
        """The text of an empty table: why there are no loops."""
        if SOURCE not in self.cluster.sources:
            return NOT_CONFIGURED
        return self.missing_text("cooling", SOURCE, "the series of cooling name no loop")

    def _selected_loop(self) -> LoopStatus | None:
        return cooling.loops(self.cluster).get(self.table.cursor_key or "")

    def _paint_detail(self) -> None:
        """Show the details of the loop under the cursor."""
        one = self._selected_loop()
        self.detail.display = one is not None
        self.detail.set_title([(one.name, "title")] if one is not None else "")
        self.detail.set_lines([] if one is None else list(_detail_lines(one, self.ctx().now)))
        # A fixed height for all but the longest details, so that the table does not move.
        self.detail.styles.height = max(6, min(len(self.detail.lines) + 2, 10))

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("Enter", "its nodes"), KeyHint("o", "order"))

    def copy_text(self) -> str | None:
        """The command that shows the nodes on the loop under the cursor."""
        one = self._selected_loop()
        return f"scontrol show node {fold_for_slurm(one.nodes)}" if one is not None and one.nodes else None

    @on(TableKeys.Moved)
    def _moved(self) -> None:
        self._paint_detail()

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        one = cooling.loops(self.cluster).get(event.key)
        if one is not None and one.nodes:
            self.app.navigation.go("nodes", f'loop="{one.name}"')
        elif one is not None:
            self.app.show_message(f"no rack is known to hang on {one.name}: see cooling, loops (docs/configuration.md)")


def _detail_lines(one: LoopStatus, now: float) -> Iterable[PaneLine]:
    """State, what it serves, leak detectors, and silent measuring points of a loop."""
    glyph, role = look(one)
    yield PaneLine([(f"{glyph} {one.state}  ", role), (one.text, "text-strong" if one.faulty else "")])
    yield PaneLine([("on it   ", "text-dim"), (cooling.impact_text(one), "")])
    limits = ", ".join(
        f"{row.what} {word} {limit:,g}"
        for row in (one.supply, one.return_point, one.flow, one.pressure)
        if row is not None
        for word, limit in (("at least", row.low), ("at most", row.high))
        if limit is not None
    )
    if limits:
        yield PaneLine([("limits  ", "text-dim"), (limits, "")])
    if one.wet_places:
        yield PaneLine([("wet     ", "text-dim"), (", ".join(one.wet_places), "bad")])
    elif one.unknown:
        said = f"{one.unknown:,} of {one.detectors or 0:,} detectors say neither dry nor wet"
        yield PaneLine([("leaks   ", "text-dim"), (said, "warn")])
    if one.silent:
        since = "" if one.since is None else f", for {duration(now - one.since)}"
        yield PaneLine([("silent  ", "text-dim"), (f"{', '.join(one.silent)}{since}", "warn")])

"""The cooling screen: each loop with its water, leak detectors and the racks it serves; Enter opens its nodes."""

from __future__ import annotations

from collections.abc import Iterable

from console.plant import cooling
from console.plant.cooling import FAULTY_STATES, SOURCE, LoopStatus
from console.screens.layout.list_detail_screen import ListDetailScreen, ListDetailSpec
from console.screens.layout.two_table_screen import Head
from console.tables.cooling_columns import LOOPS, look, loop_lines
from widgets.cells import Span
from widgets.pane import PaneLine
from widgets.units import duration

NOT_CONFIGURED = (
    "no cooling is configured: name the series of the CDUs in cooling = { … } of the cluster (docs/configuration.md)"
)


def _head(screen: ListDetailScreen) -> Head:
    found = cooling.worst_first(screen.cluster)
    ill = sum(one.state in FAULTY_STATES for one in found)
    silent = sum(one.state == "silent" for one in found)
    known = "cooling" in screen.cluster.known
    count = f" {len(found):,} loop{'' if len(found) == 1 else 's'}" if known else " —"
    spans: list[Span] = [("Cooling ", "title"), (count, "text-strong")]
    spans += [(f"   {ill:,} ill", "bad")] if ill else []
    spans += [(f"   {silent:,} silent", "warn")] if silent else []
    return spans, screen.source_spans(SOURCE)


def _empty(screen: ListDetailScreen) -> str:
    """Why there are no loops."""
    if SOURCE not in screen.cluster.sources:
        return NOT_CONFIGURED
    return screen.missing_text("cooling", SOURCE, "the series of cooling name no loop")


def _open(screen: ListDetailScreen, one: LoopStatus) -> None:
    if one.nodes:
        screen.app.navigation.go("nodes", f'loop="{one.name}"')
    else:
        screen.app.show_message(f"no rack is known to hang on {one.name}: see cooling, loops (docs/configuration.md)")


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


SCREEN = ListDetailSpec(
    crumb="cooling",
    needed_kinds=frozenset({"cooling", "power"}),
    sums=(cooling.worst_first,),
    columns=LOOPS,
    sources=(SOURCE,),
    rows=lambda cluster: {one.name: one for one in cooling.worst_first(cluster)},
    changes=frozenset({"cooling", "nodes", "jobs", "loads", "power"}),
    head=_head,
    empty=_empty,
    detail=_detail_lines,
    beside=loop_lines,
    opened=_open,
)

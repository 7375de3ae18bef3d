"""The NVLink domains screen: usable trays, cliques, fabric, IMEX and the largest possible job; Enter opens nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from collectors.model import Cluster
from collectors.nodeset import fold
from console.plant import nvlink_domains
from console.plant.nvlink_domains import DomainState
from console.screens.layout.list_detail_screen import ListDetailScreen, ListDetailSpec
from console.screens.layout.two_table_screen import Head
from console.tables.domain_columns import DOMAINS, tray_lines
from widgets.cells import Span
from widgets.pane import PaneLine

NO_DOMAINS = (
    "no NVLink domain is known: Slurm's topology has no blocks, the configuration calls no racks domains, and no "
    "exporter reports a fabric between nodes"
)


def _rows(cluster: Cluster) -> Mapping[str, DomainState]:
    """Every domain; those that are broken come first."""
    found = nvlink_domains.domain_states(cluster)
    return dict(sorted(found.items(), key=lambda item: not item[1].broken))


def _head(screen: ListDetailScreen) -> Head:
    found = nvlink_domains.domain_states(screen.cluster).values()
    state = screen.cluster.sources.get("slurm.topology")
    # Whether an empty list means that there are no domains.
    known = "nodes" in screen.cluster.known and (state is None or state.ok or "domains" in screen.cluster.known)
    spans: list[Span] = [("NVLink domains ", "title"), (f" {len(found):,}" if known else " —", "text-strong")]
    if found:
        usable, trays = sum(len(one.usable) for one in found), sum(len(one.nodes) for one in found)
        spans.append((f"   {usable:,} of {trays:,} trays usable", ""))
    if ill := sum(one.broken for one in found):
        spans.append((f"   {ill:,} degraded", "bad"))
    return spans, screen.source_spans("slurm.topology", "prom.trays", warnings=False)


def _empty(screen: ListDetailScreen) -> str:
    """Why there are no domains."""
    if text := screen.why_unknown("nodes"):
        return text
    state = screen.cluster.sources.get("slurm.topology")
    # A Slurm without blocks answers with none: only a fault, or no answer yet, leaves it unknown.
    return NO_DOMAINS if state is None or state.ok else screen.why_unknown("domains")


def _detail_lines(one: DomainState, _: float) -> Iterable[PaneLine]:
    """The largest possible job, the cliques with their trays, and faults of a domain."""
    yield PaneLine([
        ("largest job ", "text-dim"), (f"{one.largest_job} trays", "text-strong"), (", now ", "text-dim"),
        (f"{one.largest_job_now}", "text-strong"),
        *([(f"; no {one.largest_job + 1}-tray job fits", "warn")] if one.largest_job < len(one.nodes) else []),
    ])  # fmt: skip
    if len(one.cliques) > 1:
        for part in one.cliques[:3]:
            yield PaneLine([(f"clique {part.id}: ", "bad" if one.split else ""), (f"{len(part.nodes)} trays ", ""),
                        (fold(part.nodes), "text-dim")])  # fmt: skip
    if one.unhealthy:
        why = f": {', '.join(one.problems)}" if one.problems else ""
        yield PaneLine(
            [(f"fabric {one.fabric} on {fold(one.unhealthy)}{why}", "bad" if one.fabric == "unhealthy" else "warn")]
        )
    if one.imex not in {None, "up"}:
        where = f" on {fold(one.imex_down)}" if one.imex_down else ", as its trays say"
        yield PaneLine([(f"IMEX {one.imex}{where}", "warn")])
    gone = [node for node in one.nodes if node not in one.usable]
    if gone:
        yield PaneLine([("not usable: ", "text-dim"), (fold(gone), "")])


SCREEN = ListDetailSpec(
    crumb="domains",
    needed_kinds=frozenset({"domains", "trays"}),
    sums=(nvlink_domains.domain_states,),
    columns=DOMAINS,
    sources=("slurm.nodes", "slurm.topology", "prom.trays"),
    rows=_rows,
    changes=frozenset({"domains", "trays", "nodes"}),
    head=_head,
    empty=_empty,
    detail=_detail_lines,
    beside=tray_lines,
    opened=lambda screen, one: screen.app.navigation.go("nodes", fold(one.nodes)),
    copied_without_row="scontrol show topology",
)

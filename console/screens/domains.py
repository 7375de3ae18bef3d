"""The NVLink domains screen: usable trays, cliques, fabric, IMEX and the largest possible job; Enter opens nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from collectors.nodeset import fold, fold_for_slurm
from console.fields.common_cells import Ctx
from console.plant import nvlink_domains
from console.plant.nvlink_domains import DomainState
from console.tables.domain_columns import DOMAINS
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys

from .layout.screen import WachtScreen

NO_DOMAINS = (
    "no NVLink domain is known: Slurm's topology has no blocks, the configuration calls no racks domains, and no "
    "exporter tells of a fabric between nodes"
)


class DomainsScreen(WachtScreen):
    """NVLink domains, the worst first, and the details of the one under the cursor."""

    DEFAULT_CSS = """
    DomainsScreen #crumbs { height: 1; }
    DomainsScreen #main { height: 1fr; }
    DomainsScreen #detail { height: 6; }
    """
    crumb = "domains"
    needed_kinds = frozenset({"domains", "trays"})
    sums = (nvlink_domains.domain_states,)

    def __init__(self) -> None:
        super().__init__()
        self.table: VirtualTable[Any] = VirtualTable(DOMAINS, id="main")
        self.crumbs = Pane(border=False, id="crumbs")
        self.detail = Pane("", wrap=True, id="detail")

    def body(self) -> Iterable[Widget]:
        """The crumbs, the table, the details."""
        yield self.crumbs
        yield self.table
        yield self.detail

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update from sums that are computed once for each reading."""
        found = nvlink_domains.domain_states(cluster)
        if diff is None or diff.kinds & {"domains", "trays", "nodes"}:
            ill = {name: one for name, one in found.items() if one.broken}
            self.table.empty_text = self._empty_text()
            self.table.set_rows({**ill, **{name: one for name, one in found.items() if name not in ill}},
                                ctx=self.ctx())  # fmt: skip
            usable = sum(len(one.usable) for one in found.values())
            trays = sum(len(one.nodes) for one in found.values())
            figures = f"   {usable:,} of {trays:,} trays usable" if found else ""
            broken = ((f"   {len(ill):,} need somebody", "bad"),) if ill else ()
            told = [str(one.fault) for name in ("slurm.topology", "prom.trays")
                    if (one := cluster.sources.get(name)) is not None and one.fault is not None]  # fmt: skip
            number = f" {len(found):,}" if self._domains_known else " —"
            title = [(" NVLink domains ", "title"), (number, "text-strong"), (figures, ""), *broken]
            self.crumbs.set_lines([PaneLine(title, [(told[0], "bad")] if told else ())])
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Update job counts and ages."""
        self.table.dimmed = self.stale("slurm.nodes", "slurm.topology", "prom.trays")
        self.table.set_ctx(ctx)
        self._paint_detail()

    @property
    def _domains_known(self) -> bool:
        """Whether an empty list means that there are no domains."""
        state = self.cluster.sources.get("slurm.topology")
        return "nodes" in self.cluster.known and (state is None or state.ok or "domains" in self.cluster.known)

    def _empty_text(self) -> str:
        """The text of an empty table: why there are no domains."""
        if text := self.why_unknown("nodes"):
            return text
        state = self.cluster.sources.get("slurm.topology")
        # A Slurm without blocks answers with none: only a fault, or no answer yet, leaves it unknown.
        return NO_DOMAINS if state is None or state.ok else self.why_unknown("domains")

    def _paint_detail(self) -> None:
        """Show the details of the domain under the cursor."""
        one = nvlink_domains.domain_states(self.cluster).get(self.table.cursor_key or "")
        self.detail.display = one is not None
        self.detail.set_title([(one.name, "title")] if one is not None else "")
        self.detail.set_lines([] if one is None else list(_detail_lines(one)))
        # A fixed height for all but the longest details, so that the table does not move.
        self.detail.styles.height = max(6, min(len(self.detail.lines) + 2, 10))

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("Enter", "its nodes"), KeyHint("o", "order"))

    def copy_text(self) -> str | None:
        """The command that shows what is under the cursor."""
        one = nvlink_domains.domain_states(self.cluster).get(self.table.cursor_key or "")
        return "scontrol show topology" if one is None else f"scontrol show node {fold_for_slurm(one.nodes)}"

    @on(TableKeys.Moved)
    def _moved(self) -> None:
        self._paint_detail()

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        one = nvlink_domains.domain_states(self.cluster).get(event.key)
        if one is not None:
            self.app.navigation.go("nodes", fold(one.nodes))


def _detail_lines(one: DomainState) -> Iterable[PaneLine]:
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

"""Columns of the clusters screen, as data. Unknown values are marked, old ones carry their age."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from collectors.model import Fault
from console.clusters.cluster_summary import ClusterSummary
from console.fields.common_cells import Ctx
from console.fields.field import attribute
from console.health.unknown_reasons import late_sources, unread_sources
from console.plant.power import site_w
from console.triage.attention_list import AttentionLine
from themes.roles import state_look
from widgets.cells import Cell, Span
from widgets.table_column import Column, ExportField, always_identity
from widgets.units import UNKNOWN, age, count, power

from .overview_figures import RUNNING

_NOTHING = "nothing needs attention"
_NOTHING_READ = "nothing in what was read needs attention"


class ClusterRow(Struct, frozen=True, kw_only=True):
    """One of several clusters, with its attention list, the worst first."""

    standing: ClusterSummary
    needs: Sequence[AttentionLine] | Fault | None = None
    """None before it was computed; a Fault where that failed."""

    @property
    def oldest_s(self) -> float | None:
        """Age of the oldest facts of this row that are polled in the background."""
        cluster, mono = self.standing.cluster, self.standing.mono
        sources = [] if cluster is None else [cluster.sources.get(f"slurm.{kind}") for kind in ("nodes", "diag")]
        ages = [old for one in sources if one is not None and (old := one.age_s(mono)) is not None]
        return max(ages, default=None)


def worst_need(row: ClusterRow, _: Ctx) -> str | None:
    """The worst line as exported text; None where unknown."""
    if row.needs is None:
        return None
    if isinstance(row.needs, Fault):
        return f"not judged: {row.needs}"
    return row.needs[0].text if row.needs else _none(row)


def _none(row: ClusterRow) -> str:
    """The text for an empty attention list: nothing, or nothing as far as the sources answer."""
    cluster = row.standing.cluster
    if cluster is None:
        return UNKNOWN
    failed = next((one for one in cluster.sources.values() if one.fault is not None), None)
    if failed is not None:
        return f"unknown: {failed.name}: {failed.fault}"
    return _NOTHING_READ if unread_sources(cluster) or late_sources(cluster, row.standing.mono) else _NOTHING


def _name(row: ClusterRow, _: Ctx) -> Cell:
    return [("▶ " if row.standing.shown else "  ", "accent"), (row.standing.name, "text-strong")]


def _alerts(row: ClusterRow, _: Ctx) -> Cell:
    one = row.standing
    if one.cluster is None:
        return ""
    if one.critical is None or one.warning is None:
        return ("unknown", "warn")
    spans: list[Span] = [(f"✖{one.critical:,}", "bad")] if one.critical else []
    if one.warning:
        spans += [(" " if spans else "", ""), (f"▲{one.warning:,}", "warn")]
    return spans or ("none", "text-dim")


def _up(row: ClusterRow, _: Ctx) -> Cell:
    counts, cluster = _displays(row), row.standing.cluster
    if cluster is None or counts is None or cluster.totals.nodes is None:
        return UNKNOWN
    return f"{cluster.totals.nodes - _out_of(counts):,} of {cluster.totals.nodes:,}"


def _out(row: ClusterRow, _: Ctx) -> Cell:
    counts = _displays(row)
    if counts is None:
        return UNKNOWN
    out, reboots = _out_of(counts), counts.get("rebooting", 0)
    # A rebooting node is out but expected back: it is counted separately.
    glyph, role = state_look("rebooting")
    again: list[Span] = [(f" {glyph}{reboots:,}", role)] if reboots else []
    return [(f"{out - reboots:,}", "warn" if out > reboots else "text-dim"), *again]


def _displays(row: ClusterRow) -> dict[str, int] | None:
    cluster = row.standing.cluster
    return None if cluster is None or "nodes" not in cluster.known else dict(cluster.totals.nodes_by_display)


def _out_of(counts: dict[str, int]) -> int:
    from collectors.nodestate import UNAVAILABLE

    return sum(number for display, number in counts.items() if display in UNAVAILABLE)


def _gpus(row: ClusterRow, _: Ctx) -> Cell:
    totals = None if row.standing.cluster is None else row.standing.cluster.totals
    if totals is None or totals.gpus is None or totals.gpus_alloc is None:
        return UNKNOWN
    return f"{totals.gpus_alloc:,} of {totals.gpus:,}"


def _queue(row: ClusterRow, _: Ctx) -> Cell:
    """Slurm's own count (sdiag), which is also polled in the background; else the number of rows."""
    cluster = row.standing.cluster
    if cluster is None:
        return UNKNOWN
    if row.standing.shown and "jobs" in cluster.known:
        states = cluster.totals.jobs_by_state
        running, pending = sum(states.get(one, 0) for one in RUNNING), states.get("PENDING", 0)
        return f"{running:,} run, {pending:,} wait"
    diag = cluster.diag
    if diag is None or diag.jobs_running is None or diag.jobs_pending is None:
        return UNKNOWN
    return f"{diag.jobs_running:,} run, {diag.jobs_pending:,} wait"


def _power(row: ClusterRow, _: Ctx) -> Cell:
    watts = power_w(row)
    return UNKNOWN if watts is None else power(watts)


def power_w(row: ClusterRow, _: object = None) -> float | None:
    """Power (W) of the whole site, as on its power screen; None where unknown."""
    return None if row.standing.cluster is None else site_w(row.standing.cluster)


def _need(row: ClusterRow, _: Ctx) -> Cell:
    if row.standing.why:
        return (row.standing.why, "text-dim" if row.standing.why == "closed" else "warn")
    if row.standing.cluster is None:
        return ("opening …", "text-dim")
    if _displays(row) is None:
        return ("unknown", "warn")
    if row.needs is None:
        return ("judging …", "text-dim")
    if isinstance(row.needs, Fault):
        return (f"not judged: {row.needs}", "bad")
    if not row.needs:
        return (_none(row), "text-dim")
    worst = row.needs[0]
    more = f"  and {count(len(row.needs) - 1)} more" if len(row.needs) > 1 else ""
    return [(f"{worst.glyph} ", worst.role), (worst.text, ""), (more, "text-dim")]


def _age(row: ClusterRow, _: Ctx) -> Cell:
    old = row.oldest_s
    return UNKNOWN if old is None else age(old)


def _total_export(name: str) -> ExportField:
    """A sum over a whole cluster."""
    return ExportField(
        name, lambda r, _: None if (found := r.standing.cluster) is None else getattr(found.totals, name)
    )


CLUSTERS: tuple[Column, ...] = (
    Column("name", "cluster", 12, _name, lambda r: r.standing.name, grow=1, max_width=24, identity=always_identity,
           export=(attribute("cluster", "standing.name"), attribute("shown", "standing.shown"),
               attribute("not_open", "standing.why"))),
    Column("alerts", "alerts", 9, _alerts, lambda r: (r.standing.critical or 0, r.standing.warning or 0), priority=1,
           descending=True,
           export=(attribute("critical", "standing.critical"), attribute("warning", "standing.warning"))),
    Column("up", "nodes up", 16, _up, priority=3, align="right", export=(_total_export("nodes"),)),
    Column("out", "out", 7, _out, priority=2, align="right"),
    Column("gpus", "GPUs busy", 16, _gpus, priority=4, align="right",
           export=(_total_export("gpus_alloc"), _total_export("gpus"))),
    Column("queue", "queue", 22, _queue, priority=5, grow=1, max_width=28),
    Column("power", "power", 8, _power, priority=7, align="right", export=(ExportField("power_w", power_w),)),
    Column("age", "age", 5, _age, priority=3, align="right", volatile=True, export=(attribute("oldest_s"),)),
    Column("ill", "sources", 14, lambda r,
           _: (r.standing.ill or "answer",
               "warn" if r.standing.ill else "text-dim") if r.standing.cluster is not None else "",
           priority=6, grow=1, max_width=30, volatile=True, export=(attribute("sources", "standing.ill"),)),
    Column("need", "worst need", 20, _need, priority=0, grow=4, volatile=True,
           export=(ExportField("worst_need", worst_need),)),
)  # fmt: skip

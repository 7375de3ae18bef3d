"""The figures of the overview as lines of spans, from a Cluster and a width. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from collectors.model import Cluster, SlurmCounts
from collectors.nodestate import DISPLAYS
from console.fields.partition_fields import why_text
from console.health.unknown_reasons import late_sources, unknown_reason, unread_sources, why_unknown
from console.ingest.controller_cost import strain
from console.plant.power import by_rack, hours_to_ceiling, site_w
from console.plant.totals import PartitionUse
from themes.roles import job_look, state_look
from widgets.bars import bar
from widgets.cells import Span, pad
from widgets.chips import is_stale
from widgets.pane import PaneLine, pane_line
from widgets.units import age, count, duration, percent, plural, power, share

if TYPE_CHECKING:
    from console.triage.attention import AttentionLine

#: States in the order shown: working ones first.
_SHORT = {"allocated": "alloc", "maintenance": "maint", "completing": "complete", "powered off": "off"}
_STATES = ("allocated", "mixed", "idle", "draining", "drained", "down")
#: Rows and counts are read at different moments. If they differ by more than both limits, rows are hidden.
_APART, _FEW = 0.05, 20
RUNNING = ("RUNNING", "CONFIGURING", "RESIZING", "SIGNALING")


def counted(cluster: Cluster, what: str, now: float, mono: float, cells: int) -> list[PaneLine]:
    """`slurmctld's metrics, 9s ago: 1,204 running, 12,345 pending`: of nodes, gpus or jobs.

    Shown while Slurm's rows cannot be read or are older than the counts, or where current rows contradict the counts;
    otherwise, and where the counts are unknown, there is no line.
    """
    counts = cluster.counts
    at = None if counts is None else counts.jobs_at if what == "jobs" else counts.nodes_at
    if counts is None or at is None:
        return []
    rows = cluster.sources.get("slurm.jobs" if what == "jobs" else "slurm.nodes")
    own, rows_age = cluster.sources.get("ctld.counts"), rows.age_s(mono) if rows is not None else None
    lost = rows is None or not rows.ok or is_stale(rows, mono)
    if lost and rows_age is not None and now - at >= rows_age:
        return []
    if not lost and (own is None or not own.ok or is_stale(own, mono) or not _apart(cluster, counts, what)):
        return []
    wide = cells >= 60
    head = f"slurmctld's metrics, {age(now - at)} ago: " if wide else f"metrics {age(now - at)} ago: "
    told, room = "", cells - len(head)
    for word in _count_words(counts, what):
        longer = f"{told}, {word}" if told else word
        if told and len(longer) > room:  # a cut number would be wrong
            break
        told = longer
    return [pane_line([(head, "warn" if lost else "text-dim"), (told, "text-strong")])] if told else []


def _count_words(counts: SlurmCounts, what: str) -> list[str]:
    if what == "jobs":
        return [f"{number:,} {state}" for state, number in counts.jobs_by_state.items()
                if number or state in {"running", "pending"}]  # fmt: skip
    if what == "gpus":
        of = "" if counts.gpus is None else f" of {counts.gpus:,}"
        return [] if counts.gpus_alloc is None else [f"{counts.gpus_alloc:,}{of} in jobs"]
    if what != "nodes":
        return []
    whole = [] if counts.nodes is None else [f"{plural(counts.nodes, 'node')}"]
    by_state = counts.nodes_by_state
    # Idle is left out, since it includes drained nodes.
    shown = ("down", "drained", "draining", "alloc", "mixed")
    return whole + [f"{by_state[word]:,} {word}" for word in shown if by_state.get(word)]


def _apart(cluster: Cluster, counts: SlurmCounts, what: str) -> bool:
    """Whether current rows contradict slurmctld's counts: some are hidden from this user, or cut."""
    if what == "nodes":
        # No command lists future nodes.
        known = None if counts.nodes is None else counts.nodes - counts.nodes_by_state.get("future", 0)
        return known is not None and known != cluster.totals.nodes
    states, own = counts.jobs_by_state, cluster.totals.jobs_by_state
    pairs = (
        (states.get("running"), sum(own.get(state, 0) for state in RUNNING)),
        (states.get("pending"), own.get("PENDING", 0)),
    )
    return what == "jobs" and any(
        theirs is not None and abs(theirs - ours) > max(_FEW, _APART * max(theirs, ours)) for theirs, ours in pairs
    )


def node_lines(cluster: Cluster, cells: int, rows: int) -> list[PaneLine]:
    """Nodes by state: the six main states, then any other that occurs, in as many columns as fit."""
    totals = cluster.totals
    if totals.nodes is None:
        return [_waiting(cluster, "slurm.nodes")]
    counts = totals.nodes_by_display
    words = [*_STATES, *(word for word in DISPLAYS if word not in _STATES and counts.get(word))]
    words += [word for word in counts if word not in words]
    narrow = cells < 2 * 20
    wide = 8 if narrow else 11
    columns = max(1, (cells + 1) // (wide + 8))
    if len(words) > columns * rows:
        # Where not all fit, states without nodes are left out first.
        words = sorted(words, key=lambda word: (not counts.get(word), words.index(word)))[: columns * rows]
    lines = []
    for at in range(min(rows, len(words))):
        spans: list[Span] = []
        for word in words[at::rows]:
            number = counts.get(word, 0)
            glyph, role = state_look(word)
            spans += [("  " if not narrow else " ", "")] if spans else []
            short = _SHORT.get(word, word) if narrow else word
            spans += [
                (f"{glyph} {pad(short, wide)}", role if number else "text-dim"),
                (f"{number:>5,}", "text-strong" if number else "text-dim"),
            ]
        lines.append(pane_line(spans))
    return lines


def gpu_lines(cluster: Cluster, cells: int, rows: int) -> list[PaneLine]:
    """GPUs: held by jobs, idle inside jobs, free, out of service; and utilisation."""
    totals = cluster.totals
    if totals.gpus is None or totals.gpus_alloc is None:
        return [_waiting(cluster, "slurm.nodes")]
    free = max(0, totals.gpus - totals.gpus_alloc - (totals.gpus_out or 0))

    def figure(label: str, value: str, part: str, role: str = "text-strong") -> list[Span]:
        return [(f"{label:<12}", "text-dim"), (f"{value:>7}", role), (f" {part:>6}" if cells >= 26 else "", "")]

    filled = totals.gpus_alloc / totals.gpus if totals.gpus else None
    room = cells - 29
    first = figure("in jobs", f"{totals.gpus_alloc:,}", share(totals.gpus_alloc, totals.gpus))
    lines = [pane_line([*first, ("  ", ""), *bar(filled, min(24, room))] if room > 4 else first)]
    if "loads" in cluster.known:
        idle = totals.gpus_idle_in_jobs
        lines.append(
            pane_line(
                figure("idle in jobs", count(idle), share(idle, totals.gpus_alloc), "warn" if idle else "text-strong")
            )
        )
    lines.append(pane_line(figure("free", f"{free:,}", share(free, totals.gpus))))
    lines.append(pane_line(figure("out", count(totals.gpus_out), share(totals.gpus_out, totals.gpus))))
    if "loads" in cluster.known:
        used: list[Span] = [("utilisation ", "text-dim"), (f"{percent(totals.gpu_util_pct, 0):>7}", "text-strong")]
        hot = f"  hot nodes {count(totals.nodes_hot)}"
        room = cells - sum(len(text) for text, _ in used)
        over = "" if totals.util_gpus is None else f" over {plural(totals.util_gpus, 'GPU')}"
        if len(over) > room:
            over = "" if totals.util_gpus is None else f" of {totals.util_gpus:,}"
        for word, role in ((over, "text-dim"), (hot, "warn" if totals.nodes_hot else "text-dim")):
            if sum(len(text) for text, _ in used) + len(word) <= cells:
                used.append((word, role))
        lines.append(pane_line(used))
    if totals.gpu_slices:
        lines.append(pane_line([(f"{totals.gpu_slices:,} are MIG slices", "text-dim")]))
    if "loads" not in cluster.known:
        lines.append(pane_line([("utilisation ", "text-dim"), (why_unknown(cluster, "loads"), "text-dim")]))
    return lines[:rows]


def power_lines(cluster: Cluster, cells: int, rows: int) -> list[PaneLine]:
    """Power: the site against its budget, the trend, and the racks that draw most."""
    if "loads" not in cluster.known and cluster.power is None:
        return [_waiting(cluster, "prom.loads")]
    now, facts = site_w(cluster), cluster.power
    budget = facts.budget_w if facts is not None else None
    lines = [
        pane_line(
            [
                ("now    ", "text-dim"),
                (power(now), "text-strong"),
                (f" of {power(budget)}" if budget and cells >= 24 else "", ""),
            ]
        )
    ]
    if budget and now is not None:
        role = "bad" if now > 0.98 * budget else "warn" if now > 0.93 * budget else "accent"
        share = percent(100 * now / budget)
        drawn = [*bar(now / budget, min(24, cells - 8), role), (f" {share}", role)]
        lines.append(pane_line(drawn if cells > 16 else [(f"{share} of {power(budget)}", role)]))
    trend = facts.trend_w_h if facts is not None else None
    if trend is not None:
        hours = hours_to_ceiling(cluster)
        soon = f"  ceiling in {duration(hours * 3600)}" if hours is not None and cells >= 28 else ""
        lines.append(
            pane_line(
                [
                    ("trend  " if cells > 16 else "trend ", "text-dim"),
                    (f"{'+' if trend >= 0 else ''}{power(trend)}/h", ""),
                    (soon, "warn"),
                ]
            )
        )
    measured = sum(1 for load in cluster.loads.values() if load.power_w is not None)
    known = "loads" in cluster.known
    short = known and measured < (cluster.totals.nodes or 0)
    told = f"{measured:,} of {plural(cluster.totals.nodes, 'node')}" if known else why_unknown(cluster, "loads")
    if cells < 28 and known:
        # A cut number would be wrong. A site that meters no node has no silent nodes.
        silent = (cluster.totals.nodes or 0) - measured
        told = "all" if not short else f"{silent:,} silent" if measured else "unmetered"
        told = told if cluster.totals.nodes else f"{measured:,} of —"
    lines.append(pane_line([("nodes  ", "text-dim"), (told, "warn" if short else "")]))
    most = max(by_rack(cluster).values(), key=lambda rack: rack.power_w or 0.0, default=None) if cells > 20 else None
    if most is not None and most.power_w is not None:
        lines.append(pane_line([("most   ", "text-dim"), (f"{most.rack or 'no rack'} {power(most.power_w)}", "")]))
    return lines[:rows]


def queue_lines(cluster: Cluster, uses: Sequence[PartitionUse], now: float, cells: int, rows: int) -> list[PaneLine]:
    """The queue by partition: running, pending, GPUs requested, longest wait, and the main reasons."""
    if "jobs" not in cluster.known:
        return [_waiting(cluster, "slurm.jobs")]
    if not uses:
        return [_waiting(cluster, "slurm.partitions")]
    wide = cells >= 90
    head = f"{'partition':<12} {'running':>8} {'pending':>8} {'GPUs asked':>11} {'longest wait':>13}"
    head = head if wide else f"{'partition':<10} {'run':>6} {'pend':>6} {'asked':>7} {'wait':>7}"
    lines = [pane_line([(head + "  why they wait", "header")])]
    for use in sorted(uses, key=lambda one: (-(one.pending or 0), -(one.running or 0), one.partition.name)):
        wait = "" if use.oldest_submit is None else duration(now - use.oldest_submit)
        # The sign is first: after a long name the word may be cut.
        name = use.partition.name if use.partition.state == "UP" else f"✖ {use.partition.name} {use.partition.state}"
        figures = (
            f" {count(use.running):>8} {count(use.pending):>8} {count(use.gpus_requested):>11} {wait:>13}  "
            if wide
            else f" {count(use.running):>6} {count(use.pending):>6} {count(use.gpus_requested):>7} {wait:>7}  "
        )
        role = "text-strong" if use.partition.state == "UP" else "bad"
        lines.append(
            PaneLine(
                [
                    (pad(name, 12 if wide else 10), role),
                    (figures, ""),
                    (why_text(use), "text-dim"),
                ],
                (),
                use.partition.name,
            )
        )
    return lines[:rows] if rows else lines


def queue_title(cluster: Cluster) -> list[Span]:
    """`Queue  running 1,204  pending 3,911`."""
    spans: list[Span] = [("Queue", "title")]
    if "jobs" not in cluster.known:
        return spans
    by_state = cluster.totals.jobs_by_state
    shown = [state for state in ("RUNNING", "PENDING") if state in by_state]
    for state in [*shown, *sorted(state for state in by_state if state not in shown)]:
        spans += [
            ("  ", ""),
            (f"{state.lower().replace('_', ' ')} ", "text-dim"),
            (f"{by_state[state]:,}", job_look(state)[1]),
        ]
    return spans


def controller_spans(cluster: Cluster) -> list[Span]:
    """`slurmctld 12 ms a cycle  ops 14 calls, 30 ms a minute`: scheduler cycle, and the load by this user's reads."""
    diag, cost = cluster.diag, cluster.cost
    if diag is None or diag.main_cycle_last_us is None:
        return []
    slow = strain(diag, cost)
    spans: list[Span] = [(f"read {slow:.1f}x seldomer: ", "warn")] if slow > 1.0 else []
    spans += [("slurmctld ", "text-dim"), (f"{diag.main_cycle_last_us / 1e3:,.0f} ms a cycle", "")]
    if cost is not None:
        spans.append((f"  {cost.user} {cost.calls_min:,.0f} calls, {cost.ms_min:,.0f} ms a minute", "text-dim"))
    return spans


def attention_lines(
    cluster: Cluster, needs: Sequence[AttentionLine], now: float, mono: float | None = None
) -> list[PaneLine]:
    """The attention list, with missing or late sources: while there are any, it never states that all is well. `mono`
    is the monotonic time for ages."""
    lines = [
        PaneLine(
            [(f"{need.glyph} ", need.role), (need.text, "")],
            (("" if need.since is None else duration(now - need.since), "text-dim"),),
            f"{at} {need.opens}",
        )
        for at, need in enumerate(needs)
    ]
    for source in cluster.sources.values():
        if source.fault is not None:
            lines.insert(0, PaneLine([("✖ ", "bad"), (f"{source.name}: {source.fault}", "")], (), None))
    if not lines and "nodes" not in cluster.known:
        return [_waiting(cluster, "slurm.nodes")]
    old = late_sources(cluster, mono) if mono is not None else ()
    if missing := [f"{word}: {', '.join(names)}" for word, names in
                   (("not read", unread_sources(cluster)), ("late", old)) if names]:  # fmt: skip
        lines = lines or [pane_line([("nothing in what was read needs attention", "text-dim")])]
        return [*lines, *(pane_line([(text, "text-dim")]) for text in missing)]
    return lines or [pane_line([("nothing is known to need attention", "text-dim")])]


def user_lines(users: Sequence[tuple[str, int, int]]) -> list[PaneLine]:
    """The users who hold most GPUs; the figures keep their columns at any width."""
    return [
        PaneLine([(user, "")], [(f"{gpus:,}", "text-strong"), (f" in {jobs:>3,} {word}", "text-dim")], user)
        for user, gpus, jobs in users
        for word in ("job " if jobs == 1 else "jobs",)
    ]


def _waiting(cluster: Cluster, source: str) -> PaneLine:
    state = cluster.sources.get(source)
    text = unknown_reason(cluster, "", source)
    return pane_line((text, "bad" if state is not None and state.fault is not None else "text-dim"))

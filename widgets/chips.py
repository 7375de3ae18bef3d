"""What the top line says, as spans: which chips there are, and what gives way on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from collectors.model import Alert, Cluster, Source
from widgets.cells import Span, cut_spans, spans_width
from widgets.units import age, stamp

#: Worst first: the word of the worst fault of a chip is the one shown.
_FAULTS = ("internal", "missing", "auth", "refused", "malformed", "cut", "empty", "timeout", "backoff")
_MODES = {"DEMO": "mode-demo", "READ-ONLY": "mode-readonly", "REPLAY": "mode-replay"}


@dataclass(frozen=True, slots=True)
class Chip:
    """One kind of source as the top line shows it."""

    name: str
    text: str
    role: str

    @property
    def span(self) -> Span:
        """The chip in the line; one that is at fault has a ground of its own and room around its word."""
        return (f" {self.text} " if self.role == "chip-fault" else self.text, self.role)


def is_stale(source: Source, mono: float) -> bool:
    """Whether its facts are older than two readings and the time one takes."""
    old = source.age_s(mono)
    return old is not None and old > 2 * source.due_s + (source.took_s or 0.0)


def chips(sources: Iterable[Source], mono: float) -> list[Chip]:
    """All sources of a name as one chip: the oldest of their ages, and the word of the worst."""
    groups: dict[str, list[Source]] = {}
    for source in sources:
        groups.setdefault(source.chip, []).append(source)
    return [_chip(name, group, mono) for name, group in groups.items()]


#: A source read this many times more seldom than the first of its group is read seldom on purpose.
_OFTEN = 3.0


def _chip(name: str, group: Sequence[Source], mono: float) -> Chip:
    ages = [old for source in group if (old := source.age_s(mono)) is not None]
    oldest = age(max(ages)) if ages else ""
    stale = any(is_stale(source, mono) for source in group)
    faults = [source.fault.kind for source in group if source.tried and not source.ok and source.fault is not None]
    if faults:
        word = min(faults, key=lambda kind: _FAULTS.index(kind) if kind in _FAULTS else len(_FAULTS))
        lost = stale or any(source.fault is not None and source.read_mono is None for source in group)
        return Chip(name, f"{name} {word} {oldest}".rstrip(), "chip-fault" if lost else "chip-stale")
    if stale:
        return Chip(name, f"{name} stale {oldest}", "chip-stale")
    if not ages:
        return Chip(name, f"{name} …", "chip-stale")
    # What is read seldom on purpose (partitions, rights) is not old: the age is that of the facts that move.
    often = _OFTEN * min(source.due_s for source in group)
    moving = [old for source in group if source.due_s <= often and (old := source.age_s(mono)) is not None]
    return Chip(name, f"{name} {age(max(moving or ages))}", "chip-ok")


def alert_spans(alerts: Iterable[Alert], brief: int = 0) -> list[Span]:
    """How many active alerts there are of the two severities that call for somebody; `brief` 0 to 2."""
    active = [alert.severity for alert in alerts if alert.state == "active"]
    spans: list[Span] = []
    for severity, forms, role in (
        ("critical", ("{} critical", "{} crit", "✖{}"), "bad"),
        ("warning", ("{} warning", "{} warn", "▲{}"), "warn"),
    ):
        if number := active.count(severity):
            spans.append((forms[brief].format(number), role))
    return spans


def top_spans(
    cluster: Cluster, now: float, mono: float, modes: Sequence[str], cells: int, zone: tzinfo | None = None
) -> list[Span]:
    """The whole line in exactly so many cells.

    What gives way, in this order: the date, the word wacht, long words, seconds, gaps, chips that are well, the time.
    """
    full = stamp(now, zone)
    every = chips(cluster.sources.values(), mono)
    ill = [chip for chip in every if chip.role != "chip-ok"]
    clock, brief_clock = full[11:], full[11:16] + full[19:]
    steps: tuple[tuple[bool, str, int, Sequence[Chip]], ...] = (
        (True, full, 0, every),
        (True, clock, 0, every),
        (False, clock, 0, every),
        (False, clock, 1, every),
        (False, brief_clock, 1, every),
        (False, brief_clock, 2, every),
        (False, clock, 1, ill),
        (False, brief_clock, 2, ill),
        (False, "", 2, ill),
    )
    left: list[Span] = []
    right: list[Span] = []
    for brand, time, brief, shown in steps:
        gap = " " if brief else "  "
        left = [(" ", "")]
        if brand:
            left += [("wacht", "bar-strong"), (gap, "")]
        left += [(cluster.name, "bar-strong"), (gap, "")]
        if time:
            left += [(time, "bar"), (gap, "")]
        for mode in modes:
            left += [(f" {mode} ", _MODES.get(mode, "mode-readonly")), (" ", "")]
        right = _joined([chip.span for chip in shown], gap)
        if counts := alert_spans(cluster.alerts.values(), brief):
            right += [(" " if brief else "   ", ""), *_joined(counts, gap)]
        right.append((" ", ""))
        if spans_width(left) + spans_width(right) <= cells:
            break
    right = cut_spans(right, max(0, cells - spans_width(left)))
    left = cut_spans(left, cells)
    return [*left, (" " * (cells - spans_width(left) - spans_width(right)), ""), *right]


def _joined(spans: Sequence[Span], gap: str) -> list[Span]:
    out: list[Span] = []
    for span in spans:
        out += [(gap, ""), span] if out else [span]
    return out

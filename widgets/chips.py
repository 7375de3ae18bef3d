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


def _chip(name: str, group: Sequence[Source], mono: float) -> Chip:
    ages = [old for source in group if (old := source.age_s(mono)) is not None]
    old = age(max(ages)) if ages else ""
    stale = any(is_stale(source, mono) for source in group)
    faults = [source.fault.kind for source in group if source.tried and not source.ok and source.fault is not None]
    if faults:
        word = min(faults, key=lambda kind: _FAULTS.index(kind) if kind in _FAULTS else len(_FAULTS))
        lost = stale or any(source.fault is not None and source.read_mono is None for source in group)
        return Chip(name, f"{name} {word} {old}".rstrip(), "chip-fault" if lost else "chip-stale")
    if stale:
        return Chip(name, f"{name} stale {old}", "chip-stale")
    if not ages:
        return Chip(name, f"{name} …", "chip-stale")
    return Chip(name, f"{name} {old}", "chip-ok")


def alert_spans(alerts: Iterable[Alert], short: bool) -> list[Span]:
    """How many active alerts there are of the two severities that call for somebody."""
    active = [alert.severity for alert in alerts if alert.state == "active"]
    spans: list[Span] = []
    for severity, word, role in (("critical", "crit", "bad"), ("warning", "warn", "warn")):
        if number := active.count(severity):
            spans.append((f"{number} {word if short else severity}", role))
    return spans


def top_spans(
    cluster: Cluster, now: float, mono: float, modes: Sequence[str], cells: int, zone: tzinfo | None = None
) -> list[Span]:
    """The whole line in exactly so many cells.

    What gives way, in this order: the date, the word wacht, long words, chips that are well, the time, the rest.
    """
    full = stamp(now, zone)
    every = chips(cluster.sources.values(), mono)
    ill = [chip for chip in every if chip.role != "chip-ok"]
    steps: tuple[tuple[bool, str, bool, Sequence[Chip]], ...] = (
        (True, full, False, every),
        (True, full[11:], False, every),
        (False, full[11:], False, every),
        (False, full[11:], True, every),
        (False, full[11:], True, ill),
        (False, "", True, ill),
    )
    left: list[Span] = []
    right: list[Span] = []
    for brand, time, short, shown in steps:
        left = [(" ", "")]
        if brand:
            left += [("wacht", "bar-strong"), ("  ", "")]
        left += [(cluster.name, "bar-strong"), ("  ", "")]
        if time:
            left += [(time, "bar"), ("  ", "")]
        for mode in modes:
            left += [(f" {mode} ", _MODES.get(mode, "mode-readonly")), (" ", "")]
        right = _joined([(f" {chip.text} " if chip.role == "chip-fault" else chip.text, chip.role) for chip in shown])
        if counts := alert_spans(cluster.alerts.values(), short):
            right += [("   " if right and not short else "  ", ""), *_joined(counts, " ")]
        right.append((" ", ""))
        if spans_width(left) + spans_width(right) <= cells:
            break
    right = cut_spans(right, max(0, cells - spans_width(left)))
    left = cut_spans(left, cells)
    return [*left, (" " * (cells - spans_width(left) - spans_width(right)), ""), *right]


def _joined(spans: Sequence[Span], gap: str = "  ") -> list[Span]:
    out: list[Span] = []
    for span in spans:
        out += [(gap, ""), span] if out else [span]
    return out



"""The content of the top line, as spans: its chips, and what is dropped on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo

from msgspec import Struct

from collectors.model import Alert, Cluster, Source
from collectors.nodestate import in_service

from .cells import Span, cut_spans, spans_width
from .units import age, stamp

#: Worst first: the word of the worst fault of a chip is the one shown.
_FAULTS = ("internal", "missing", "auth", "refused", "malformed", "cut", "empty", "timeout", "backoff")
_MODES = {"DEMO": "mode-demo", "READ-ONLY": "mode-readonly", "REPLAY": "mode-replay"}


class Chip(Struct, frozen=True):
    """One kind of source as the top line shows it."""

    name: str
    text: str
    role: str
    short: str = ""
    """The text where there is little room; "" is the normal text."""

    @property
    def grows(self) -> bool:
        """Whether its age takes one more cell within ten seconds."""
        return self.text[-3:-2] == " " and self.text[-1:] == "s"

    def span(self, brief: int = 0) -> Span:
        """The chip in the line; one with a fault has a background of its own and blanks around its word."""
        text = (self.short if brief else "") or self.text
        return (f" {text} " if self.role == "chip-fault" else text, self.role)


def is_stale(source: Source, mono: float) -> bool:
    """Whether its facts are older than two readings and the time one takes."""
    return source.late(mono)


def chips(sources: Iterable[Source], mono: float) -> list[Chip]:
    """All sources of a name as one chip: the oldest of their ages, and the word of the worst."""
    groups: dict[str, list[Source]] = {}
    for source in sources:
        groups.setdefault(source.chip, []).append(source)
    return [_chip(name, group, mono) for name, group in groups.items()]


#: A source read this many times less often than the first of its group is read seldom on purpose.
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
    # Facts that are read seldom on purpose (partitions, rights) are not old: the age is that of the others.
    often = _OFTEN * min(source.due_s for source in group)
    moving = [old for source in group if source.due_s <= often and (old := source.age_s(mono)) is not None]
    return Chip(name, f"{name} {age(max(moving or ages))}", "chip-ok")


#: The source of the shared file systems.
_STORAGE = "prom.storage"


def storage_chip(cluster: Cluster, mono: float) -> Chip | None:
    """`storage ok`, `storage /scratch hangs on 12`; None where no source reports a shared file system.

    The worst problem is shown: a file system that hangs, then one that nodes in service lack, then any other problem.
    """
    if "storage" not in cluster.known or not cluster.storage:
        return None
    source = cluster.sources.get(_STORAGE)
    if source is not None and (not source.ok or is_stale(source, mono)):
        return Chip("storage", "storage unknown", "chip-stale", "storage ?")
    told: list[tuple[int, int, Chip]] = []
    for one in cluster.storage.values():
        missing = len(in_service(one.missing, cluster.nodes))
        if one.hung:
            count = len(one.hung)
            told.append((0, -count, Chip("storage", f"storage {one.name} hangs on {count}", "chip-fault",
                                         f"{one.name} hangs")))  # fmt: skip
        elif missing:
            told.append((1, -missing, Chip("storage", f"storage {one.name} missing on {missing}", "chip-stale",
                                           f"{one.name} missing")))  # fmt: skip
        elif one.wrong:
            told.append((2, 0, Chip("storage", f"storage {one.name} {one.wrong[0]}", "chip-stale", f"{one.name} ill")))
    return min(told, key=lambda one: one[:2])[2] if told else Chip("storage", "storage ok", "chip-ok")


def alert_spans(alerts: Iterable[Alert], brief: int = 0) -> list[Span]:
    """The number of active alerts of the two severities that need attention; `brief` 0 to 2."""
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
    cluster: Cluster,
    now: float,
    mono: float,
    modes: Sequence[str],
    cells: int,
    zone: tzinfo | None = None,
    others: Sequence[Span] = (),
    trail: Sequence[str] = (),
) -> list[Span]:
    """The whole line in exactly `cells` cells. `trail` are the screens that lead here.

    Dropped when there is no room, in this order: that storage is well, the date, the word wacht, long words, seconds,
    gaps, chips that are well, the time. The trail gets what is left: all of it, or its last step, or nothing.
    """
    full = stamp(now, zone)
    sources = chips(cluster.sources.values(), mono)
    storage = storage_chip(cluster, mono)
    every = sources if storage is None else [*sources, storage]
    ill = [chip for chip in every if chip.role != "chip-ok"]
    # That storage is well is dropped first: it is not needed on a narrow screen.
    fewer = sources if storage is not None and storage.role == "chip-ok" else every
    clock, brief_clock = full[11:], full[11:16] + full[19:]
    if any(mode.startswith("REPLAY") for mode in modes):
        clock = brief_clock = ""  # the mode shows it more prominently
    steps: tuple[tuple[bool, str, int, Sequence[Chip]], ...] = (
        (True, full, 0, every),
        (True, full, 0, fewer),
        (True, clock, 0, fewer),
        (False, clock, 0, fewer),
        (False, clock, 1, fewer),
        (False, brief_clock, 1, fewer),
        (False, brief_clock, 2, fewer),
        (False, clock, 1, ill),
        (False, brief_clock, 2, ill),
        (False, "", 2, ill),
    )
    left: list[Span] = []
    right: list[Span] = []
    kept = 0
    for brand, time, brief, shown in steps:
        gap = " " if brief else "  "
        left = [(" ", "")]
        if brand:
            left += [("wacht", "bar-strong"), (gap, "")]
        left += [(cluster.name, "bar-strong"), (gap, "")]
        if time:
            left += [(time, "bar"), (gap, "")]
        for mode in modes:
            left += [(f" {mode} ", _MODES.get(mode.partition(" ")[0], "mode-readonly")), (" ", "")]
        right = _joined([chip.span(brief) for chip in shown], gap)
        if counts := alert_spans(cluster.alerts.values(), brief):
            right += [(" " if brief else "   ", ""), *_joined(counts, gap)]
        if others:
            told = [_brief(one) for one in others] if brief == 2 else others
            right += [(gap, ""), ("│", "text-dim"), (gap, ""), *_joined(told, gap)]
        right.append((" ", ""))
        # What will not fit in a few seconds is dropped now: a word that appears and disappears distracts.
        kept = sum(chip.grows for chip in shown)
        if spans_width(left) + spans_width(right) + kept <= cells:
            break
    right = cut_spans(right, max(0, cells - spans_width(left)))
    name = left.index((cluster.name, "bar-strong")) + 1
    for steps_here in (trail, trail[-1:]):
        crumbs: list[Span] = [part for step in steps_here for part in ((" › ", "bar"), (step, "bar-strong"))]
        if spans_width(left) + spans_width(crumbs) + spans_width(right) + kept < cells:
            left[name:name] = crumbs
            break
    left = cut_spans(left, cells)
    return [*left, (" " * (cells - spans_width(left) - spans_width(right)), ""), *right]


def _brief(span: Span) -> Span:
    """`leeuwarden ✖2` for `leeuwarden 2 critical`."""
    name, _, count = span[0].removesuffix(" critical").rpartition(" ")
    return (f"{name} ✖{count}", span[1]) if span[0].endswith(" critical") else span


def _joined(spans: Sequence[Span], gap: str) -> list[Span]:
    out: list[Span] = []
    for span in spans:
        out += [(gap, ""), span] if out else [span]
    return out

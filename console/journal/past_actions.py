"""What was done here before, from the journal: to a node or a job, by whom, why, and what came of it. Pure.

It reads the entries of `console.journal.entries`, which leave out whatever is not of the form that the gate writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from console.health import drain_reasons, tickets
from widgets.units import times

from .entries import TOOK_PLACE, JournalEntry, Record, join, text
from .undo import undone, undos

#: Acts that put a node back to work.
_BACK = frozenset({"resume", "undrain"})


class Act(Struct, frozen=True, kw_only=True):
    """One action on one target."""

    at: float | None
    """Seconds since the epoch; None where the record does not say."""
    who: str
    """The login of the person, or the uid where no login was known."""
    host: str | None
    kind: str
    """What it was done to: "node", "job", "alert" or "silence"."""
    target: str
    """The one asked for: of a silence, the node that its alert is of."""
    action: str
    reason: str | None
    state: str
    """As `console.gate.outcome.SendResult` has it; `sent` where no result was written."""
    why: str = ""
    before: str | None = None
    """The state it was in, as Slurm wrote it then (MIXED+DRAIN)."""
    about: str = ""
    """The alert that was silenced or taken."""
    undoes: bool = False
    """It took another one back."""
    undone_by: str = ""
    """Who took it back."""

    @property
    def took_place(self) -> bool:
        """False when nothing was changed, as far as is known."""
        return self.state in TOOK_PLACE or self.state == "sent"


def acts(records: Iterable[Record], kind: str | None = None, target: str | None = None) -> list[Act]:
    """Every action of the journal (`console.journal.writer.read`), newest first; of that target, where one is given.

    To a node belongs also what was done to its alerts.
    """
    entries = join(records)
    by = undos(entries)
    found: list[Act] = []
    for entry in entries.values():
        if entry.gap:
            continue
        back = undone(entry, by)
        if kind is None or entry.kind == kind:
            found += [_act(entry, one, one, back) for one in entry.targets if target is None or one == target]
        elif kind == "node" and target is not None and entry.kind == "alert":
            of_it = [one for one in entry.targets if text(entry.seen.get(one, {}).get("node")) == target]
            # One silence of five alerts of a node was one act.
            found += [_act(entry, one, target, back) for one in of_it[:1]]
    order = {id(act): at for at, act in enumerate(found)}
    return sorted(found, key=lambda act: (act.at or 0.0, order[id(act)]), reverse=True)


def of(target: str, records: Iterable[Record], kind: str | None = None, limit: int | None = None) -> list[Act]:
    """The past of one node or job, newest first."""
    return acts(records, kind, target)[:limit]


def drains(node: str, records: Iterable[Record], now: float, days: float = 90) -> dict[str, int]:
    """How often the node was drained in these days, by kind of reason (`console.health.drain_reasons.KINDS`), most
    often first."""
    since = now - days * 86400
    kinds = Counter(
        drain_reasons.classify(act.reason, act.who).kind
        for act in acts(records, "node", node)
        if act.action == "drain" and act.took_place and act.at is not None and since <= act.at <= now
    )
    return dict(kinds.most_common())


def drains_text(counts: Mapping[str, int], days: int = 90) -> str:
    """`drained 3 times with wacht in 90 days (journal: 2 GPU, XID; 1 power, cooling)`. Others drain nodes as well, of
    which it does not know: it says its source."""
    total = sum(counts.values())
    kinds = "; ".join(f"{count} {drain_reasons.KINDS.get(kind, kind)}" for kind, count in counts.items())
    often = f"drained {times(total)}" if total else "not drained"
    return f"{often} with wacht in {days} days (journal{': ' if kinds else ''}{kinds})"


def resumed(records: Iterable[Record]) -> dict[str, float]:
    """When each node was put back to work the last time, as far as the journal knows."""
    found: dict[str, float] = {}
    for act in acts(records, "node"):
        if act.action in _BACK and act.took_place and act.at is not None:
            found.setdefault(act.target, act.at)
    return found


def ticketed(records: Iterable[Record]) -> dict[tuple[str, str], float]:
    """Node and ticket (`tickets.word`) to when the journal first tells of it there; one that was taken away since is
    none."""
    found: dict[tuple[str, str], float] = {}
    for entry in join(records).values():
        if entry.kind != "node" or entry.at is None:
            continue
        for node in entry.targets:
            given = entry.values.get(node) if entry.took_place(node) else None
            seen = entry.seen.get(node, {})
            stood = [text(seen.get("value")), text(seen.get("reason"))]
            told = [entry.reason if entry.took_place(node) else None, given, *stood]
            words = {one.label for said in told if said and (one := tickets.parse_ticket(said)) is not None}
            if given is not None:
                gone = {one.label for said in stood[:1] if said and (one := tickets.parse_ticket(said)) is not None}
                mine = {one.label for one in (tickets.parse_ticket(given),) if one is not None}
                for word in gone - mine:
                    found.pop((node, word), None)
                    words.discard(word)
            for word in words:
                found.setdefault((node, word), entry.at)
    return found


def _act(entry: JournalEntry, one: str, target: str, back: Mapping[str, JournalEntry]) -> Act:
    """What an entry says of one of its targets."""
    told, row = entry.outcome.get(one), entry.seen.get(one, {})
    return Act(
        at=entry.at, who=entry.person, host=entry.host, kind=entry.kind, target=target, action=entry.action,
        reason=entry.reason, state=told.state if told is not None else "sent", why=told.why if told is not None else "",
        before=text(row.get("state")), about=(text(row.get("name")) or "") if entry.kind == "alert" else "",
        undoes=entry.undoes is not None, undone_by=back[one].person if one in back else "",
    )  # fmt: skip

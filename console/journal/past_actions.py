"""Past actions on a node or job from the journal: who did what, why, and with what outcome. Pure.

Reads the entries of `console.journal.entries`, which drop everything that does not have the form that the gate writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from collectors.slurm.operations import DRAIN
from console.actions.registry import BY_ID
from console.health import drain_reasons, tickets
from widgets.units import times

from .entries import TOOK_PLACE, JournalEntry, Record, join, text
from .undo import undone_by, undos_by_plan


class PastAction(Struct, frozen=True, kw_only=True):
    """One action on one target."""

    at: float | None
    """Seconds since the epoch; None when the record does not say."""
    who: str
    """The login of the person, or the uid when no login was known."""
    host: str | None
    kind: str
    """The kind of target: "node", "job", "alert" or "silence"."""
    target: str
    """The target asked for; for a silence the node of its alert."""
    action: str
    reason: str | None
    state: str
    """A state of `console.gate.outcome.SendResult`; `sent` when no result was written."""
    why: str = ""
    before: str | None = None
    """The state before the action, in Slurm's spelling (MIXED+DRAIN)."""
    about: str = ""
    """The alert that was silenced or acked."""
    undoes: bool = False
    """It undid another action."""
    undone_by: str = ""
    """Who undid it."""

    @property
    def took_place(self) -> bool:
        """False when nothing changed, as far as is known."""
        return self.state in TOOK_PLACE or self.state == "sent"


def past_actions(records: Iterable[Record], kind: str | None = None, target: str | None = None) -> list[PastAction]:
    """Every action in these journal records, newest first; with `target`, only those on it.

    The actions on a node include those on its alerts.
    """
    entries = join(records)
    by = undos_by_plan(entries)
    found: list[PastAction] = []
    for entry in entries.values():
        if entry.gap:
            continue
        back = undone_by(entry, by)
        if kind is None or entry.kind == kind:
            found += [_act(entry, one, one, back) for one in entry.targets if target is None or one == target]
        elif kind == "node" and target is not None and entry.kind == "alert":
            of_it = [one for one in entry.targets if text(entry.seen.get(one, {}).get("node")) == target]
            # One silence for five alerts of a node counts once.
            found += [_act(entry, one, target, back) for one in of_it[:1]]
    order = {id(act): at for at, act in enumerate(found)}
    return sorted(found, key=lambda act: (act.at or 0.0, order[id(act)]), reverse=True)


def on_target(
    target: str, records: Iterable[Record], kind: str | None = None, limit: int | None = None
) -> list[PastAction]:
    """The past actions on one node or job, newest first."""
    return past_actions(records, kind, target)[:limit]


def action_times(
    records: Iterable[Record], since: float, kind: str | None = None, target: str | None = None
) -> tuple[float, ...]:
    """When something was changed since then, ascending; with `target`, only changes of it."""
    found = (
        (act.at for act in past_actions(records, kind, target) if act.took_place)
        if target is not None
        else (one.at for one in join(records).values() if any(one.took_place(name) for name in one.targets))
    )
    return tuple(sorted({at for at in found if at is not None and at >= since}))


def drains(node: str, records: Iterable[Record], now: float, days: float = 90) -> dict[str, int]:
    """How often the node was drained in these days, by kind of reason (`console.health.drain_reasons.KINDS`), most
    frequent first.
    """
    since = now - days * 86400
    kinds = Counter(
        drain_reasons.classify(act.reason, act.who).kind
        for act in past_actions(records, "node", node)
        if _is_drain(act.action) and act.took_place and act.at is not None and since <= act.at <= now
    )
    return dict(kinds.most_common())


def drains_text(counts: Mapping[str, int], days: int = 90) -> str:
    """`drained 3 times with wacht in 90 days (journal: 2 GPU, XID; 1 power, cooling)`. The text names its source,
    because the journal does not know of drains made with other tools.
    """
    total = sum(counts.values())
    kinds = "; ".join(f"{count} {drain_reasons.KINDS.get(kind, kind)}" for kind, count in counts.items())
    often = f"drained {times(total)}" if total else "not drained"
    return f"{often} with wacht in {days} days (journal{': ' if kinds else ''}{kinds})"


def _is_drain(action: str) -> bool:
    return action in BY_ID and BY_ID[action].operation == DRAIN


def _returns(action: str) -> bool:
    return action in BY_ID and BY_ID[action].returns


def resumed(records: Iterable[Record]) -> dict[str, float]:
    """When each node was last returned to service, as far as the journal knows."""
    found: dict[str, float] = {}
    for act in past_actions(records, "node"):
        if _returns(act.action) and act.took_place and act.at is not None:
            found.setdefault(act.target, act.at)
    return found


def ticketed(records: Iterable[Record]) -> dict[tuple[str, str], float]:
    """Node and ticket (`console.health.tickets.ticket_label`) to the time when the journal first mentions it. Tickets
    removed since are left out.
    """
    found: dict[tuple[str, str], float] = {}
    for entry in join(records).values():
        if entry.kind != "node" or entry.at is None:
            continue
        for node in entry.targets:
            given = entry.values.get(node) if entry.took_place(node) else None
            seen = entry.seen.get(node, {})
            stood = [text(seen.get("value")), text(seen.get("reason"))]
            texts = [entry.reason if entry.took_place(node) else None, given, *stood]
            words = {one.label for value in texts if value and (one := tickets.parse_ticket(value)) is not None}
            if given is not None:
                gone = {one.label for value in stood[:1] if value and (one := tickets.parse_ticket(value)) is not None}
                mine = {one.label for one in (tickets.parse_ticket(given),) if one is not None}
                for word in gone - mine:
                    found.pop((node, word), None)
                    words.discard(word)
            for word in words:
                found.setdefault((node, word), entry.at)
    return found


def _act(entry: JournalEntry, one: str, target: str, back: Mapping[str, JournalEntry]) -> PastAction:
    """What an entry records about one of its targets."""
    outcome, row = entry.outcome.get(one), entry.seen.get(one, {})
    return PastAction(
        at=entry.at, who=entry.person, host=entry.host, kind=entry.kind, target=target, action=entry.action,
        reason=entry.reason, state=outcome.state if outcome is not None else "sent",
        why=outcome.why if outcome is not None else "",
        before=text(row.get("state")), about=(text(row.get("name")) or "") if entry.kind == "alert" else "",
        undoes=entry.undoes is not None, undone_by=back[one].person if one in back else "",
    )  # fmt: skip

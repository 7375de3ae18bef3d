"""What was done here before, from the journal: to a node or a job, by whom, why, and what came of it. Pure.

The journal is a file that somebody may have changed: whatever in a record is not of the form that the gate writes is
left out, and every text is cleaned again. `console.journal.verify` says whether it is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from collectors.clean import clean
from console import reasons

#: Outcomes of a target, as `console.gate.Result` has them; `sent` is an intent of which no result was written.
STATES = ("done", "pending", "unknown", "failed", "dropped", "sent")
#: Acts that put a node back to work.
_BACK = frozenset({"resume", "undrain"})
#: Outcomes after which the machine may have changed.
_TOOK_PLACE = frozenset({"done", "pending", "unknown", "sent"})

Record = Mapping[str, Any]


class Act(Struct, frozen=True, kw_only=True):
    """One action on one target."""

    at: float | None
    """Seconds since the epoch; None where the record does not say."""
    who: str
    """The login of the person, or the uid where no login was known."""
    host: str | None
    kind: str
    """"node" or "job"."""
    target: str
    action: str
    reason: str | None
    state: str
    """One of STATES."""
    why: str = ""
    before: str | None = None
    """The state it was in, as Slurm wrote it then (MIXED+DRAIN)."""

    @property
    def took_place(self) -> bool:
        """False when nothing was changed, as far as is known."""
        return self.state in _TOOK_PLACE


def acts(records: Iterable[Record], kind: str | None = None, target: str | None = None) -> list[Act]:
    """Every action of the journal (`console.journal.read`), newest first; of that target, where one is given."""
    found: dict[tuple[str, str], Act] = {}
    for record in records:
        plan = str(record.get("id"))
        targets = [one for one in _list(record.get("targets")) if target is None or one == target]
        if record.get("event") == "intent" and (kind is None or record.get("kind") == kind):
            for one in targets:
                found[plan, one] = _begun(record, one)
        elif record.get("event") in ("result", "verified"):
            for one, told in _outcomes(record):
                if target is not None and one != target:
                    continue
                if (plan, one) in found:
                    found[plan, one] = _told(found[plan, one], told)
    order = {id(act): at for at, act in enumerate(found.values())}
    return sorted(found.values(), key=lambda act: (act.at or 0.0, order[id(act)]), reverse=True)


def of(target: str, records: Iterable[Record], kind: str | None = None, limit: int | None = None) -> list[Act]:
    """The past of one node or job, newest first."""
    return acts(records, kind, target)[:limit]


def drains(node: str, records: Iterable[Record], now: float, days: float = 90) -> dict[str, int]:
    """How often the node was drained in these days, by kind of reason (`console.reasons.KINDS`), most often first."""
    since = now - days * 86400
    kinds = Counter(
        reasons.read(act.reason, act.who).kind
        for act in acts(records, "node", node)
        if act.action == "drain" and act.took_place and act.at is not None and since <= act.at <= now
    )
    return dict(kinds.most_common())


def drains_text(counts: Mapping[str, int], days: int = 90) -> str:
    """`3 drains in 90 days (2 GPU, XID; 1 power, cooling)`."""
    total = sum(counts.values())
    if not total:
        return f"no drain in {days} days"
    kinds = "; ".join(f"{count} {reasons.KINDS.get(kind, kind)}" for kind, count in counts.items())
    return f"{total} drain{'s' if total > 1 else ''} in {days} days ({kinds})"


def resumed(records: Iterable[Record]) -> dict[str, float]:
    """When each node was put back to work the last time, as far as the journal knows."""
    found: dict[str, float] = {}
    for act in acts(records, "node"):
        if act.action in _BACK and act.took_place and act.at is not None:
            found.setdefault(act.target, act.at)
    return found


def _begun(record: Record, target: str) -> Act:
    seen = record.get("seen")
    row = seen.get(target) if isinstance(seen, dict) else None
    before = row.get("state") if isinstance(row, dict) else None
    who = record.get("login")
    return Act(
        at=_time(record.get("time")),
        who=clean(who) if isinstance(who, str) and who else f"uid {_short(record.get('uid'))}",
        host=_text(record.get("host")),
        kind=_text(record.get("kind")) or "",
        target=clean(target),
        action=_text(record.get("action")) or "",
        reason=_text(record.get("reason")),
        state="sent",
        before=_text(before),
    )


def _told(act: Act, told: Mapping[str, Any]) -> Act:
    """The act with its outcome. What a later reading proved stands, whatever comes after."""
    state = told.get("state")
    if state not in STATES or act.state == "done":
        return act
    return Act(
        at=act.at, who=act.who, host=act.host, kind=act.kind, target=act.target, action=act.action, reason=act.reason,
        state=state, why=_text(told.get("why")) or "", before=act.before,
    )  # fmt: skip


def _outcomes(record: Record) -> list[tuple[str, Mapping[str, Any]]]:
    outcome = record.get("outcome")
    if not isinstance(outcome, dict):
        return []
    return [(one, told) for one, told in outcome.items() if isinstance(one, str) and isinstance(told, dict)]


def _list(value: Any) -> Sequence[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def _time(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo is not None else None


def _text(value: Any) -> str | None:
    return clean(value) if isinstance(value, str) else None


def _short(value: Any) -> str:
    return str(value) if isinstance(value, int) else "unknown"

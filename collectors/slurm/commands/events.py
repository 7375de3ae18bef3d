"""Parses `sacctmgr show event`. It has no fence, and a reason may hold any text that a health check wrote: rows are
taken from an answer without reasons, and reasons only from the text after these rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from collectors.clean import clean
from collectors.model import NodeEvent, SourceFault
from collectors.slurm.fields import epoch

from .read_command import value_or_none

#: The fields of an event without its reason.
EVENT = ("NodeName", "State", "Start", "End", "User")
_PERSON = re.compile(r"(.+)\(([0-9]+)\)")


def event_rows(text: str, nodes: Collection[str]) -> list[tuple[str, ...]]:
    """The rows of `sacctmgr show event` without reasons. Raises SourceFault if it is cut."""
    head, *rest = text.split("\n")
    if head.count("|") != len(EVENT) or (rest and rest[-1]):
        kind = "malformed" if head.strip() else "empty"
        raise SourceFault(kind, "sacctmgr printed no events with the columns asked for", "run it by hand to see")
    rows = [tuple(line.split("|")[:-1]) for line in rest[:-1] if line.count("|") == len(EVENT)]
    return [row for row in rows if row[0] in nodes and epoch(row[2]) is not None]


def events_of(rows: Sequence[tuple[str, ...]], told: str) -> list[NodeEvent]:
    """The events, newest first, with the reasons from a second answer that has them after each row.

    A reason is all text between a row and the next one: whatever it contains, it can only falsify itself.
    """
    reasons = _reasons(rows, told)
    made = [
        NodeEvent(
            node=row[0],
            state=clean(row[1]),
            reason=value_or_none(reasons.get(at, "")),
            by=_person(row[4]),
            began=epoch(row[2]) or 0,
            ended=epoch(row[3]),
        )
        for at, row in enumerate(rows)
    ]
    return sorted(made, key=lambda event: -event.began)


def _reasons(rows: Sequence[tuple[str, ...]], told: str) -> dict[int, str]:
    """Row number to the reason after it; none from where the answers differ. An event that lasted during the first
    answer may have ended by the second, so ends are not compared."""
    heads = [f"{'|'.join(row[:3])}|" for row in rows]
    found: dict[int, str] = {}
    at = told.find("\n") + 1
    for number, head in enumerate(heads):
        behind = told.find("|", at + len(head)) + 1
        user = f"{rows[number][4]}|"
        if not told.startswith(head, at) or not behind or not told.startswith(user, behind):
            break
        at = behind + len(user)
        last = number + 1 == len(heads)
        end = len(told) - 2 if last else told.find(f"|\n{heads[number + 1]}", at)
        if end < at:
            break
        found[number] = told[at:end]
        at = end + 2
    return found


def _person(text: str) -> str | None:
    """The name in `root(0)`."""
    match = _PERSON.fullmatch(text)
    return value_or_none(text) if match is None else f"uid {match[2]}" if match[1] == match[2] else clean(match[1])

"""What `sacctmgr show event` prints of when nodes were out. It knows no fence, and a reason may hold what somebody made
a health check say: the rows count as they came without reasons, and reasons only from behind these rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from collectors.clean import clean
from collectors.model import NodeEvent, SourceFault
from collectors.slurm.fields import epoch

from .fenced_reads import value_or_none

#: When a node was out, and by whom.
EVENT = ("NodeName", "State", "Start", "End", "User")
_PERSON = re.compile(r"(.+)\(([0-9]+)\)")


def event_rows(text: str, nodes: Collection[str]) -> list[tuple[str, ...]]:
    """The rows of `sacctmgr show event` without reasons, as it printed them. Raises SourceFault where it is cut."""
    head, *rest = text.split("\n")
    if head.count("|") != len(EVENT) or (rest and rest[-1]):
        kind = "malformed" if head.strip() else "empty"
        raise SourceFault(kind, "sacctmgr printed no events with the columns asked for", "run it by hand to see")
    rows = [tuple(line.split("|")[:-1]) for line in rest[:-1] if line.count("|") == len(EVENT)]
    return [row for row in rows if row[0] in nodes and epoch(row[2]) is not None]


def events_of(rows: Sequence[tuple[str, ...]], told: str) -> list[NodeEvent]:
    """The events, newest first, with the reasons of an answer to the same question that has them behind each row.

    A reason is what stands between a row and the next one, whatever it looks like: it can only lie about itself.
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
    """Number of a row to the reason behind it; none from where the two answers differ. One that went on when it was
    asked for may have ended a moment later: the end is not compared."""
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
    """`root(0)`, of which the name is told."""
    match = _PERSON.fullmatch(text)
    return value_or_none(text) if match is None else f"uid {match[2]}" if match[1] == match[2] else clean(match[1])

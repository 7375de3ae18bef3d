"""Turns a change of alerts or silences into one request for each silence, and the same as an amtool command.

Pure, and the last check before anything is sent: anything but plain names and values is refused. The writer and the
simulated cluster both use it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from collectors.clean import clean, hostile
from collectors.matchers import spelled, values_of
from collectors.model import Change, NewSilence, Operation

#: Longest silence, in seconds: one that is forgotten hides the next failure.
MAX_SILENCE_S = 31 * 86_400
COMMENT_CAP = 1000
#: The form of an id: it becomes part of a request's path.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
#: The single label of a silence that declares an incident. No alert has it, so it suppresses none.
INCIDENT = "wacht_incident"
#: Longest incident without a new declaration, in seconds.
MAX_INCIDENT_S = 3600
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class SilenceOperation(Operation, frozen=True, kw_only=True):
    """Something that Alertmanager can be asked to do with silences."""

    kind: str
    """What the targets are."""


CREATE_SILENCES = SilenceOperation(kind="alert")
EXPIRE_SILENCES = SilenceOperation(kind="silence")
#: A silence that matches no alert and announces an incident on nodes to every console.
DECLARE_INCIDENT = SilenceOperation(kind="node")


class SilenceRequest(Struct, frozen=True, kw_only=True):
    """One request: a silence to create, or the id of one to expire."""

    targets: tuple[str, ...]
    argv: tuple[str, ...]
    """The amtool command with the same effect."""
    new: NewSilence | None = None


def requests_of(change: Change, url: str) -> list[SilenceRequest]:
    """Each request of a change. Everything is checked before the first one is returned. Raises ValueError."""
    if change.operation == DECLARE_INCIDENT:
        return [_declared(change, f"--alertmanager.url={url.rstrip('/')}")]
    if not isinstance(change.operation, SilenceOperation) or change.operation.kind != change.kind:
        raise ValueError(f"{change.action} of a {change.kind} is not an action")
    if not change.targets:
        raise ValueError("no targets: nothing is sent")
    for target in change.targets:
        if not ID.fullmatch(target):
            raise ValueError(f"{clean(target)[:60]!r} is no {change.kind} that can be named to Alertmanager")
    if len(set(change.targets)) != len(change.targets):
        raise ValueError("a target is named twice")
    where = f"--alertmanager.url={url.rstrip('/')}"
    if change.kind == "silence":
        words = ("amtool", "silence", "expire", where)
        return [SilenceRequest(targets=(target,), argv=(*words, target)) for target in change.targets]
    covered = [alert for new in change.silences for alert in new.alerts]
    if sorted(covered) != sorted(change.targets):
        raise ValueError("the silences are not for exactly the alerts that were named")
    return [SilenceRequest(targets=new.alerts, argv=_argv(_checked(new), where), new=new) for new in change.silences]


def _declared(change: Change, where: str) -> SilenceRequest:
    """The silence that declares an incident: one for all its nodes, which matches no alert. Raises ValueError."""
    made = change.silences
    if change.kind != "node" or not change.targets or len(made) != 1 or made[0].alerts:
        raise ValueError("an incident is one silence, of nodes and of no alert")
    (new,) = made
    plain = len(new.matchers) == 1 and new.matchers[0].name == INCIDENT and not new.matchers[0].regex
    if not plain or not new.matchers[0].equal or not _NAME.fullmatch(new.matchers[0].value):
        raise ValueError("the silence of an incident has its name for its only matcher")
    if not 0 < new.seconds <= MAX_INCIDENT_S:
        raise ValueError(f"an incident lasts up to {MAX_INCIDENT_S // 60} minutes, then it is declared again")
    _check_words(new)
    return SilenceRequest(targets=change.targets, argv=_argv(new, where), new=new)


def body(new: NewSilence, now: float) -> bytes:
    """The request body that creates it, from now (epoch) on."""
    starts = datetime.fromtimestamp(now, UTC)
    fields = {
        "matchers": [
            {"name": one.name, "value": one.value, "isRegex": one.regex, "isEqual": one.equal} for one in new.matchers
        ],
        "startsAt": _told(starts),
        "endsAt": _told(starts + timedelta(seconds=new.seconds)),
        "createdBy": new.by,
        "comment": new.comment,
    }
    return msgspec.json.encode(fields)


def _argv(new: NewSilence, where: str) -> tuple[str, ...]:
    words = (f"--author={new.by}", f"--duration={new.seconds}s", f"--comment={new.comment}")
    return ("amtool", "silence", "add", where, *words, *map(spelled, new.matchers))


def _checked(new: NewSilence) -> NewSilence:
    """The silence, or ValueError: its matchers must list their values, and match an existing alert."""
    if not new.alerts or not new.matchers:
        raise ValueError("a silence without alerts or matchers: nothing is sent")
    holds = False
    for one in new.matchers:
        listed = values_of(one)
        if not one.equal or listed is None:
            raise ValueError(f"{clean(str(one))[:120]} does not list what it meets")
        if not one.name or hostile(one.name + one.value):
            raise ValueError(f"{clean(str(one))[:120]} is no matcher that can be shown")
        if "" in listed and len(listed) > 1:
            raise ValueError(f"{clean(str(one))[:120]} meets alerts without that label too")
        holds = holds or "" not in listed
    if not holds:
        raise ValueError("every matcher meets alerts without labels: that would silence everything")
    if len({one.name for one in new.matchers}) != len(new.matchers):
        raise ValueError("two matchers for one label")
    if not 0 < new.seconds <= MAX_SILENCE_S:
        raise ValueError(f"a silence lasts up to {MAX_SILENCE_S // 86_400} days")
    _check_words(new)
    return new


def _check_words(new: NewSilence) -> None:
    for name, text in (("author", new.by), ("comment", new.comment)):
        if not text.strip() or hostile(text) or len(text) > COMMENT_CAP:
            raise ValueError(f"the {name} of a silence must be one plain line of up to {COMMENT_CAP} characters")


def _told(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")

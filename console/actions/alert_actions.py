"""Actions on alerts and silences: rows of the table in `console.actions.registry`."""

from __future__ import annotations

import msgspec

from collectors.alertmanager.requests import CREATE_SILENCES, EXPIRE_SILENCES
from collectors.model import TAKEN, Alert, Change, Cluster, Silence

from . import proofs, silences
from .action import Action, ChangeInputs

_ON_IT = "I'm on it"


def _quiet(cluster: Cluster, alert: Alert) -> str | None:
    """Why a silence of this alert would have no effect; None where it has one."""
    standing = [silence for one in alert.silenced_by if (silence := cluster.silences.get(one)) is not None]
    if not standing:
        return None
    one = max(standing, key=lambda silence: silence.ends or 0)
    return f"silenced already by {one.by}: {one.comment}"


def _take(cluster: Cluster, alert: Alert) -> str | None:
    return _quiet(cluster, alert)


def _silence(cluster: Cluster, alert: Alert) -> str | None:
    # A longer silence may follow an "I'm on it" of any user.
    taken = [one for one in alert.silenced_by if one in cluster.silences and cluster.silences[one].taken]
    return None if len(taken) == len(alert.silenced_by) else _quiet(cluster, alert)


def _lift(_: Cluster, silence: Silence) -> str | None:
    return None if silence.state in {"active", "pending"} else f"it is over: {silence.state}"


def _take_silences(change: Change, given: ChangeInputs) -> Change:
    return _with_silences(change, given, f"{TAKEN}{given.typed_reason or _ON_IT}", given.guard.take_s)


def _new_silences(change: Change, given: ChangeInputs) -> Change:
    return _with_silences(change, given, given.reason or "", given.guard.silence_s)


def _with_silences(change: Change, given: ChangeInputs, comment: str, usual_s: int) -> Change:
    """With silences for exactly these alerts. Raises ValueError where the labels of one match others too."""
    made = silences.build(
        [row for target in change.targets if isinstance(row := given.rows[target], Alert)], given.cluster.alerts,
        seconds=given.options.seconds or usual_s, by=given.person, comment=comment,
    )  # fmt: skip
    return msgspec.structs.replace(change, reason=comment, silences=made)


ROWS: tuple[Action, ...] = (
    Action(
        id="take", operation=CREATE_SILENCES,
        synonyms=("ack", "acknowledge", "claim"),
        key="a", kind="alert", label="take", doing="taking…", done="taken", refuse=_take, plain_confirmed=True,
        option_fields=("seconds",), inverse="lift", help="I'm on it: a short silence with your name, seen by everybody",
        proof=proofs.silenced, complete=_take_silences, marks_taken=True, one_key_in_incident=True,
        left_alone="an alert that is acked or silenced already",
    ),
    Action(
        id="silence", operation=CREATE_SILENCES,
        synonyms=("mute", "snooze", "amtool silence"),
        key="s", kind="alert", label="silence", doing="silencing…", done="silenced", refuse=_silence,
        needs_reason=True, option_fields=("seconds",), inverse="lift", help="keep the alerts quiet for a while",
        proof=proofs.silenced, complete=_new_silences, one_key_in_incident=True,
        left_alone="an alert that is silenced already; over an “I'm on it” it acts",
    ),
    Action(
        id="lift", operation=EXPIRE_SILENCES,
        synonyms=("expire", "unmute", "unsilence"),
        key="L", kind="silence", label="lift", doing="lifting…", done="lifted", refuse=_lift,
        inverse="silence", help="end a silence: its alerts ring again",
        proof=proofs.expired,
        left_alone="a silence that is over",
    ),
)  # fmt: skip

"""Command lines that create, extend and delete a reservation.

Times are sent as seconds since the epoch (`uts…`), independent of time zones and clock changes. A new reservation names
its nodes one by one; Slurm takes a duration in minutes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from collectors.model import Change

from .argv_base import NAME, Call, CommandSpec, checked_nodeset, checked_reason

#: Shortest and longest duration in seconds.
LASTS_S = (60, 366 * 86_400)
#: Flags that may be requested.
FLAGS = ("MAINT", "IGNORE_JOBS", "OVERLAP", "FLEX", "MAGNETIC", "DAILY", "WEEKLY", "WEEKDAY", "WEEKEND")
EPOCH = re.compile(r"[0-9]{9,11}")
#: A time as people and the journal read it: UTC, to the second.
MOMENT = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z")
NAMES = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:,[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_SETTINGS: Mapping[str, re.Pattern[str]] = {
    "name": NAME,
    "start": re.compile(r"now|[0-9]{9,11}"),
    "for": re.compile(r"[0-9]{2,8}"),
    "users": NAMES,
    "accounts": NAMES,
    "flags": re.compile(rf"(?:{'|'.join(FLAGS)})(?:,(?:{'|'.join(FLAGS)}))*"),
}


def _create(change: Change, names: tuple[str, ...]) -> list[Call]:
    """One call for all nodes. Raises ValueError if a setting is unknown, missing or not plain."""
    said = change.settings
    for key, text in said.items():
        form = _SETTINGS.get(key)
        if form is None or not form.fullmatch(text):
            raise ValueError(f"a reservation's {key} cannot be sent: {text[:60]!r}")
    if missing := [key for key in ("name", "start", "for") if key not in said]:
        raise ValueError(f"a reservation needs {', '.join(missing)}")
    if "users" not in said and "accounts" not in said:
        raise ValueError("a reservation is for users or accounts")
    seconds, (low, high) = int(said["for"]), LASTS_S
    if not low <= seconds <= high or said["name"].upper() == "ALL":
        raise ValueError("a reservation lasts from a minute to a year, and none is called ALL")
    words = ["scontrol", "create", "reservation", f"ReservationName={said['name']}",
             f"StartTime={said['start'] if said['start'] == 'now' else _moment(said['start'])}",
             f"Duration={-(-seconds // 60)}", f"Nodes={checked_nodeset(names)}"]  # fmt: skip
    words += [f"{field}={said[key]}" for key, field in
              (("users", "Users"), ("accounts", "Accounts"), ("flags", "Flags")) if key in said]  # fmt: skip
    if change.reason:
        words.append(f"Comment={checked_reason('reservation', change.reason)}")
    return [(tuple(words), names)]


def _extend(change: Change, names: tuple[str, ...]) -> list[Call]:
    ends = {name: _moment(epoch_of(change.values[name])) for name in names}
    return [(("scontrol", "update", f"ReservationName={name}", f"EndTime={ends[name]}"), (name,)) for name in names]


def _delete(change: Change, names: tuple[str, ...]) -> list[Call]:
    return [(("scontrol", "delete", f"ReservationName={name}"), (name,)) for name in names]


def _moment(epoch: str | int) -> str:
    return f"uts{epoch}"


def moment_of(epoch: int) -> str:
    """A time in the format of the values of `extend`."""
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%dT%H:%M:%SZ}"


def epoch_of(moment: str) -> int:
    """The epoch of such a time. Raises ValueError."""
    return int(datetime.fromisoformat(moment).timestamp())


CREATE: Mapping[str, CommandSpec] = {
    "reserve": CommandSpec(calls=_create, value=NAME, settings=re.compile(r"[^\s]{1,100000}"))
}
"""An action on nodes: these are its targets."""
COMMAND_SPECS: Mapping[str, CommandSpec] = {
    "extend": CommandSpec(calls=_extend, value=MOMENT),
    "unreserve": CommandSpec(calls=_delete),
}

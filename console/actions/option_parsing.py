"""Parses options beside targets and reason: `--resume-after 2h`, `--for 30m`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from collectors.slurm.operations import RESUME_AFTER_S
from console.actions.options import Options
from console.runtime.slurm_times import clock_seconds, seconds_in

from .action import Action
from .reservations import SETTINGS, parse_setting

#: Option as typed, and the field of Options that it sets.
OPTIONS: Mapping[str, str] = {
    "resume-after": "resume_after_s",
    "for": "seconds",
    "priority": "value",
    "next": "next_state",
    "value": "value",
    "waves": "waves",
    "canary": "canary",
    "failed": "redrain",
    **dict.fromkeys(SETTINGS, "settings"),
}

OPTION_OF: Mapping[str, str] = {field: name for name, field in OPTIONS.items() if field != "settings"}
"""The inverse of `OPTIONS`: field of Options to the option as typed."""


def parse_seconds(text: str) -> int:
    """`10s`, `5m`, `1h30m`, `2d`, or Slurm's `4:00:00` and `2-12:00:00`, in seconds. Raises ValueError."""
    seconds = seconds_in(text)
    if seconds is None:
        seconds = clock_seconds(text)
    if seconds is None:
        raise ValueError(f"{text!r} is no length of time; write it as 90s, 30m, 2h, 1h30m or 3d")
    if not RESUME_AFTER_S[0] <= seconds <= RESUME_AFTER_S[1]:
        raise ValueError(f"{text!r}: from a minute to a year")
    return seconds


def parse_next_state(text: str) -> str:
    """State of a node after its reboot. Raises ValueError."""
    if text.upper() not in {"RESUME", "DOWN"}:
        raise ValueError(f"{text!r}: a node comes back as resume or down")
    return text.upper()


def parse_failed(text: str) -> bool:
    """Whether nodes that return unfit are drained again. Raises ValueError."""
    if text not in {"drain", "stay"}:
        raise ValueError(f"{text!r}: what comes back unfit can drain or stay")
    return text == "drain"


def parse_waves(text: str) -> bool:
    """`--waves` takes no value of its own. Raises ValueError."""
    if text:
        raise ValueError(f"--waves takes nothing behind it: {text!r}")
    return True


#: Options without a value.
_ALONE = frozenset({"waves"})
_READERS: Mapping[str, Callable[[str], Any]] = {
    "resume_after_s": parse_seconds,
    "seconds": parse_seconds,
    "next_state": parse_next_state,
    "value": str,
    "waves": parse_waves,
    "canary": str,
    "redrain": parse_failed,
}


def parse_option(name: str, text: str) -> dict[str, Any]:
    """The fields of Options that one option sets. Raises ValueError."""
    if name not in OPTIONS:
        raise ValueError(f"no option --{name}; there are: {', '.join('--' + one for one in OPTIONS)}")
    field = OPTIONS[name]
    return {field: {name: parse_setting(name, text)} if field == "settings" else _READERS[field](text)}


def merged(given: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of Options with more of them added; `settings` are merged."""
    both = {"settings": {**given["settings"], **more["settings"]}} if "settings" in given and "settings" in more else {}
    return {**given, **more, **both}


def with_value(action: Action, options: Options, text: str | None = None) -> Options:
    """The options with the value to set, parsed by the action: `text`, else the value of `--value`.

    Raises ValueError.
    """
    given = options.value if text is None else text
    if action.value is None or given is None:
        return options
    return msgspec.structs.replace(options, value=action.value.parse(given))


def split_options(words: Sequence[str]) -> tuple[Options, list[str]]:
    """Split typed words into options, wherever they are, and the other words. Raises ValueError."""
    given: dict[str, Any] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            rest.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if not equals and name not in _ALONE:
            if not left:
                raise ValueError(f"--{name} needs a value")
            value = left.pop(0)
        given = merged(given, parse_option(name, value))
    return Options(**given), rest

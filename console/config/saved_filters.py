"""Saved filters: `:save NAME` saves a list's filter, `/@NAME` and `:filter @NAME` apply it, `:forget NAME` deletes it.

They are stored in `$XDG_STATE_HOME/wacht/filters`, one line for each change. The site's and the user's configuration
may define some too; saved ones take precedence:

    [filters]
    mine = "user=alice & state=pending"      # for every list that knows these fields
    [filters.nodes]
    sick = "state=drained | state=down"      # for the nodes alone
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from collectors.clean import clean
from collectors.decoding import from_json
from console.runtime.errors import FilterError
from console.runtime.state_files import StateFile

from .keymap import KeyLine
from .paths import state_folder

MOST = 200
#: Lists that can be filtered, by the name of their screen, and the kind of their rows; "" filters by plain words.
LISTS: Mapping[str, str] = {"nodes": "node", "jobs": "job", "journal": "", "accounts": ""}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


class SavedFilter(Struct, frozen=True):
    """One filter; `on` are the screens it applies to."""

    name: str
    text: str
    on: tuple[str, ...]


class _SavedLine(Struct, frozen=True):
    """A line of the file; without a text it deletes the filter."""

    name: str
    on: tuple[str, ...] = ()
    text: str = ""


class SavedFilters(Struct, frozen=True):
    """All saved filters by name; `messages` are about those left out."""

    known: Mapping[str, SavedFilter] = {}
    messages: tuple[str, ...] = ()

    def expand(self, text: str, screen: str) -> str:
        """The filter named by `@NAME` on a screen; other text is returned unchanged. Raises FilterError."""
        name = text.strip()
        if not name.startswith("@"):
            return text
        one = self.known.get(name[1:])
        if one is None:
            there = ", ".join(self.on(screen)) or "none; :save NAME saves the one that is on"
            raise FilterError(f"no filter is saved as {clean(name[1:]) or '…'}; there are: {there}", 1)
        if screen not in one.on:
            raise FilterError(f"@{one.name} is a filter of {' and '.join(one.on)}", 1)
        return one.text

    def targets(self, kind: str, words: Sequence[str]) -> list[str]:
        """The target words of an action, with `@NAME` replaced by its filter. Raises FilterError."""
        places = ("@rack:", "@loop:")
        return [
            self.expand(word, f"{kind}s") if kind in {"node", "job"} and not word.startswith(places) else word
            for word in words
        ]

    def on(self, screen: str) -> list[str]:
        """The names of the filters for a screen."""
        return sorted(name for name, one in self.known.items() if screen in one.on)


def checked_filter(name: str, text: str, screen: str) -> SavedFilter:
    """A checked filter to save. Raises FilterError."""
    if not _NAME.fullmatch(name):
        raise FilterError("the name of a filter is letters, digits, dots, dashes and underscores, 40 at most", 0)
    if not text.strip():
        raise FilterError("no filter is on: there is nothing to save", 0)
    _fits(text, screen)
    return SavedFilter(name, text.strip(), (screen,))


def _fits(text: str, screen: str) -> None:
    kind = LISTS[screen]
    if kind:
        from console.filters.language import compile_filter

        compile_filter(text, kind)  # type: ignore[arg-type]


def filters_file() -> StateFile:
    """The state file."""
    return StateFile(state_folder() / "filters", MOST, _short)


def save_line(one: SavedFilter) -> str:
    """The line that saves a filter."""
    return msgspec.json.encode(_SavedLine(one.name, one.on, one.text)).decode()


def forget_line(name: str) -> str:
    """The line that deletes a filter."""
    return msgspec.json.encode(_SavedLine(name)).decode()


def read_filters(configured: Sequence[KeyLine], lines: Sequence[str], path: Path | None = None) -> SavedFilters:
    """All filters; a broken one is reported and left out."""
    known: dict[str, SavedFilter] = {}
    messages: list[str] = []
    for line in configured:
        if isinstance(line.value, Mapping):
            for name, text in line.value.items():
                _take(
                    KeyLine(line.where, str(name), text), (line.name,), f"filters.{line.name}.{name}", known, messages
                )
        else:
            _take(line, tuple(LISTS)[:2], f"filters.{line.name}", known, messages)
    own, broken = _own(lines)
    if broken:
        messages.append(f"{path}: {broken} line{'s are' if broken > 1 else ' is'} no saved filter, and left out")
    for one in own.values():
        try:
            known[one.name] = checked_filter(one.name, one.text, *one.on)
        except (FilterError, TypeError, KeyError) as error:
            messages.append(clean(f"{path}: @{one.name}: {error}; left out"))
    return SavedFilters(known, tuple(messages))


def _take(line: KeyLine, screens: Sequence[str], key: str, known: dict[str, SavedFilter], messages: list[str]) -> None:
    fits: list[str] = []
    why = "must be a text"
    for screen in screens if isinstance(line.value, str) else ():
        try:
            if screen not in LISTS:
                raise FilterError(f"there is no list {screen}; allowed: {', '.join(LISTS)}", 0)
            fits += checked_filter(line.name, line.value, screen).on
        except FilterError as error:
            why = str(error)
    if fits:
        known[line.name] = SavedFilter(line.name, line.value.strip(), tuple(fits))
    else:
        messages.append(clean(f"{line.where}: {key}: {why}; this line is left out"))


def _own(lines: Sequence[str]) -> tuple[dict[str, _SavedLine], int]:
    found: dict[str, _SavedLine] = {}
    broken = 0
    for line in lines:
        try:
            one = from_json(line, _SavedLine)
        except msgspec.DecodeError:
            broken += 1
            continue
        found.pop(one.name, None)
        if one.text:
            found[one.name] = one
    return found, broken


def _short(lines: Sequence[str]) -> Sequence[str]:
    """The lines, shortened to one for each filter that still exists. Invalid lines stay, so that they are reported."""
    found, _ = _own(lines)
    strange = [line for line in lines if not line.startswith("{")][:MOST]
    return [*strange, *(msgspec.json.encode(one).decode() for one in list(found.values())[-MOST:])]

"""Completion of commands and filters, best candidates first. Pure, bounded, and called at every key: the field values,
which need a walk over all rows, are collected off the event loop by `field_values` when the line is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from collectors.model import Cluster
from collectors.nodeset import natural_key

if TYPE_CHECKING:
    from console.fields.field import Kind

MAX_CANDIDATES = 50
#: The lists whose filters have fields, and the kind of their rows.
KINDS: Mapping[str, str] = {"nodes": "node", "jobs": "job"}
_MAX_VALUES = 2000
_LAST_WORD = re.compile(r"(?:[^\s()|&!,]|!(?=[=~]))*$")
_CONDITION = re.compile(r"([A-Za-z]+)(!=|!~|<=|>=|==|=|~)(.*)", re.S)

FieldValues = Mapping[str, Sequence[str]]
"""Field to its values, in order."""


def field_values(cluster: Cluster, kind: str) -> FieldValues:
    """The values of the fields of all rows. Walks over every row: a tenth of a second at 100,000."""
    from console.fields.filter_fields import FIELDS

    rows = cluster.nodes if kind == "node" else cluster.jobs
    found: dict[str, Sequence[str]] = {}
    for field in FIELDS[kind]:
        if field.completed:
            seen: set[str] = set()
            for row in rows.values():
                value = field.read(row, cluster, 0)
                if value:
                    seen.update((value,) if isinstance(value, str) else value)
                    if len(seen) > _MAX_VALUES:
                        break
            found[field.name] = sorted(filter(None, seen), key=natural_key)
    return found


def matching_names(rows: Iterable[str], begun: str) -> list[str]:
    """The names that begin with this text, in natural order unless there are too many."""
    found = list(islice((name for name in rows if name.startswith(begun)), 20 * MAX_CANDIDATES))
    return sorted(found, key=natural_key)[:MAX_CANDIDATES]


def filter_candidates(
    text: str, kind: str, known: FieldValues, rows: Iterable[str], saved: Sequence[str] = ()
) -> list[str]:
    """Completions of a filter: fields, values, names, saved filters."""
    from console.fields.filter_fields import FIELDS
    from console.fields.shapes import NUMERIC_SHAPES

    from .language import LENGTH_CAP

    if len(text) > LENGTH_CAP:
        return []
    if text.startswith("@"):
        return [f"@{name}" for name in saved if name.startswith(text[1:])]
    if kind not in KINDS.values():
        return []
    last = _LAST_WORD.search(text)
    word = last[0] if last is not None else ""
    before = text[: len(text) - len(word)]
    asked = _CONDITION.fullmatch(word)
    if asked is not None:
        name, sign, begun = asked.groups()
        field = next((one for one in FIELDS[kind] if name.lower() in (one.name, *one.aliases)), None)
        if field is None:
            return []
        low = begun.lower().lstrip("\"'")
        every = known.get(field.name) or ([*dict.fromkeys(field.spellings.values())] if field.spellings else ())
        if field.name in {"name", "node"} and kind == "node":
            every = matching_names(rows, begun)
        return [f"{before}{name}{sign}{_quoted(one)}" for one in every if one.lower().startswith(low)][:MAX_CANDIDATES]
    low = word.lower()
    signs = [one.name + (">" if one.shape in NUMERIC_SHAPES else "=") for one in FIELDS[kind]]
    fields = [f"{before}{one}" for one in signs if one.startswith(low)]
    plain = [f"{before}{one}" for one in matching_names(rows, word)] if word else []
    return [*fields, *plain][:MAX_CANDIDATES]


def target_candidates(
    text: str, kind: str, known: FieldValues, rows: Iterable[str], saved: Sequence[str] = ()
) -> list[str]:
    """Completions of an action's targets: names, short forms of places, or a filter. Empty once the targets are
    complete and a reason or a value follows.
    """
    from console.runtime.errors import FilterError

    from .language import PLACES, begins_with_filter, split_filter

    if text.startswith("@") and " " not in text:
        return [one for one in (*PLACES, *(f"@{name}" for name in saved)) if one.startswith(text)]
    found = filter_candidates(text, kind, known, rows)
    before, space, _ = text.rpartition(" ")
    if not space:
        return found if text else [*found, *matching_names(rows, ""), *PLACES][:MAX_CANDIDATES]
    of: Kind = "job" if kind == "job" else "node"
    if not begins_with_filter(before, of):
        return []
    try:
        over = bool(split_filter(f"{before} x=", of)[1])
    except FilterError as error:
        # The filter extends to the last, half-typed word.
        over = error.position <= len(before)
    return [] if over else found


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w.:/@%+-]+", value):
        return value
    return f'"{value}"' if '"' not in value else f"'{value}'"


class LineCompletions:
    """Completions for the prompt of the screen that is shown. The app updates it when a prompt is opened."""

    def __init__(self, cluster: Callable[[], Cluster]) -> None:
        self._cluster = cluster
        self.values: dict[str, FieldValues] = {}
        """Kind of rows to the values of its fields, as soon as they are known."""
        self.saved: Mapping[str, Sequence[str]] = {}
        """Screen to the names of the filters saved for it."""
        self.screen = ""
        """The screen that is shown."""
        self.clusters: Sequence[str] = ()
        """The clusters that can be shown."""

    def screen_filters(self, text: str) -> Sequence[str]:
        """Completions for the `/` line."""
        return self.filters(self.screen, text)

    def filters(self, screen: str, text: str) -> Sequence[str]:
        """Completions of a filter of the screen's list."""
        now, kind = self._cluster(), KINDS.get(screen, "")
        rows = now.nodes if kind == "node" else ()
        return filter_candidates(text, kind, self.values.get(kind, {}), rows, self.saved.get(screen, ()))

    def targets(self, kind: str, text: str) -> Sequence[str]:
        """Completions of the targets of an action on nodes or jobs."""
        now = self._cluster()
        rows = now.nodes if kind == "node" else now.jobs
        return target_candidates(text, kind, self.values.get(kind, {}), rows, self.saved.get(f"{kind}s", ()))

    def saved_names(self) -> Sequence[str]:
        """The names of all saved filters."""
        return sorted({name for those in self.saved.values() for name in those})

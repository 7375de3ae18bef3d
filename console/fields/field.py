"""A row of a table of fields, and what is derived from these rows.

    field("cores", "number", "cores", "cores of a socket", column=Shown("cores", 6))

is a column with that title, exported as `cores` and in the snapshot; `/cores>8` finds nodes by it, `o` orders by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from collectors.clock import rfc3339
from collectors.model import Cluster
from widgets.table_column import Column, ExportField
from widgets.units import count, degrees, duration, memory, percent, power

from .common_cells import Ctx, dim
from .shapes import NUMERIC_SHAPES, Shape

if TYPE_CHECKING:
    from widgets.cells import Align, Cell

Kind = Literal["node", "job", "partition", "reservation"]
Read = Callable[[Any, Cluster, float], Any]
"""Reads a value from the row, the Cluster and the time; None is unknown."""
Get = Callable[[Any], Any]
T = TypeVar("T")

#: Shape of a value to its text in a cell.
_TEXTS: Mapping[str, Callable[[Any], Cell]] = {
    "number": count, "size": memory, "duration": duration, "watts": power, "percent": percent, "degrees": degrees,
    "words": lambda values: ",".join(values or ()),
}  # fmt: skip
#: Shape of a computed value to its unit in the name of the exported field.
_UNIT = {"size": "_mb", "duration": "_s", "watts": "_w", "percent": "_pct", "degrees": "_c"}


def attribute(name: str, path: str = "") -> ExportField:
    """An attribute of the row, by its dotted path; by `name` where no path is given."""
    get = attrgetter(path or name)
    return ExportField(name, lambda row, _: get(row))


def moment(name: str, path: str = "") -> ExportField:
    """The same for a time (epoch), as RFC 3339 in UTC."""
    get = attrgetter(path or name)
    return ExportField(name, lambda row, _: rfc3339(get(row)))


class Shown(Struct, frozen=True):
    """The column of a field, with the fields of `Column`. What is not given follows from the field: the key is its
    name, cell and alignment fit its shape, and a column of an attribute is sorted by it.
    """

    title: str
    width: int
    cell: Callable[[Any, Any], Cell] | None = None
    sort: Get | None = None
    key: str | None = None
    grow: int = 0
    max_width: int | None = None
    align: Align | None = None
    priority: int = 0
    volatile: bool | None = None
    min_width: int | None = None
    descending: bool | None = None
    identity: Callable[[Any], bool] | None = None


class Field(Struct, frozen=True):
    """One fact of a row, made by `field`."""

    name: str
    shape: Shape
    read: Read
    help: str
    aliases: tuple[str, ...]
    get: Get | None
    """Reads it from the row alone; None where it needs the Cluster or the time."""
    filtered: bool
    spellings: Mapping[str, str]
    count: Read | None
    facts: str
    known: frozenset[str]
    listed: bool
    completed: bool
    column: Column | None
    snapshot: tuple[ExportField, ...]

    @property
    def titles(self) -> tuple[str, ...]:
        """The title of its column, lower case, and the last word of it."""
        title = self.column.title.lower() if self.column is not None else ""
        return (title, title.rpartition(" ")[2])


def field(
    name: str,
    shape: Shape,
    read: str | Read,
    help: str,
    aliases: tuple[str, ...] = (),
    *,
    column: Shown | None = None,
    export: Sequence[str | ExportField] | None = None,
    snapshot: Sequence[str | ExportField] | None = None,
    within: str = "",
    filtered: bool = True,
    spellings: Mapping[str, str] | None = None,
    count: Read | None = None,
    facts: str = "",
    known: frozenset[str] = frozenset(),
    listed: bool = False,
    completed: bool = False,
) -> Field:
    """One row. `read` is an attribute of the row, or a function.

    `export` are the values for programs, attributes by name; by default the attribute, or what `read` returns under
    the name of the field and its unit. `snapshot` are its keys in `wacht snapshot --json`, by default the exported
    values of a field that has a column. `within` is the path from a row of the table to a row of the filter.

    `filtered`: filters can test it. `spellings`: short value to long value. `count` reads the number that < and >
    compare on a field that is not a number (`nodes>4`). `facts`: field of the Cluster that holds it, where that is not
    the row itself. `known`: values that are valid although no row has them now, lower case. `listed`: its values can be
    listed, so that a value that no row has is probably a typo. `completed`: its values are completed.
    """
    get = shown_get = None
    default: Sequence[str | ExportField] | None = None
    if isinstance(read, str):
        get, shown_get = attrgetter(read), attrgetter(within + read)
        reader, default = _reader(get), (read,)
    else:
        reader = read
        if filtered:
            default = (ExportField(name + _UNIT.get(shape, ""), lambda row, ctx: reader(row, ctx.cluster, ctx.now)),)
    export = default if export is None else export
    exported = None if export is None else _values(export, within)
    if snapshot is None:
        snapshot = exported or () if column is not None else ()
    return Field(
        name=name, shape=shape, read=reader, help=help, aliases=aliases, get=get, filtered=filtered,
        spellings=spellings or {}, count=count, facts=facts, known=known, listed=listed, completed=completed,
        column=_column(name, shape, reader, shown_get, column, exported) if column is not None else None,
        snapshot=_values(snapshot, within),
    )  # fmt: skip


def _reader(get: Get) -> Read:
    return lambda row, _cluster, _now: get(row)


def _values(those: Sequence[str | ExportField], within: str) -> tuple[ExportField, ...]:
    return tuple(attribute(one, within + one) if isinstance(one, str) else one for one in those)


def _column(
    name: str, shape: Shape, read: Read, get: Get | None, shown: Shown, export: tuple[ExportField, ...] | None
) -> Column:
    follows = {
        "key": name, "cell": _cell(shape, read, get), "sort": get, "export": export,
        "align": "right" if shape in NUMERIC_SHAPES else "left", "descending": shape == "number",
        "volatile": shown.cell is None and get is None,
    }  # fmt: skip
    given = {key: value for key, value in msgspec.structs.asdict(shown).items() if value is not None}
    return Column(**{**follows, **given})


def _cell(shape: Shape, read: Read, get: Get | None) -> Callable[[Any, Ctx], Cell]:
    text = _TEXTS.get(shape, dim)
    if get is not None:
        return lambda row, _: text(get(row))
    return lambda row, ctx: text(read(row, ctx.cluster, ctx.now))


def columns_of(fields: Iterable[Field], order: str = "") -> tuple[Column, ...]:
    """The columns of these fields: those whose keys are in `order` first, the others as their rows follow."""
    return _ordered({one.column.key: one.column for one in fields if one.column is not None}, order)


def snapshot_of(fields: Iterable[Field], order: str) -> tuple[ExportField, ...]:
    """The keys of these fields in the snapshot: those in `order` first, the others as their rows follow."""
    return _ordered({key.name: key for one in fields for key in one.snapshot}, order)


def _ordered(found: Mapping[str, T], order: str) -> tuple[T, ...]:
    return tuple({**{name: found[name] for name in order.split()}, **found}.values())


def since(then: int | None, now: float) -> float | None:
    """Seconds since a time."""
    return None if then is None else max(0.0, now - then)


def until(then: int | None, now: float) -> float | None:
    """Seconds until a time."""
    return None if then is None else max(0.0, then - now)


def split_commas(text: str | None) -> list[str]:
    """The values of a list that Slurm joins by commas."""
    return (text or "").split(",")

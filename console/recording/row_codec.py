"""Rows of one kind as bytes, column by column: only the changed fields of the changed rows. Pure.

The values of a column are similar, so columns pack to a third of the size of whole rows. Numbers are written as
differences; those of Prometheus (one decimal) and Slurm (two) as integers, without loss.

A recording may come from an untrusted source: every value read back is checked for its field's type and bounds, and
texts are cleaned again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import Any, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields, replace

from collectors.clean import clean
from collectors.decoding import msgpack_decoder
from collectors.model import Alert, Job, Load, Node, Partition, Reservation, Silence, Xid
from collectors.model.plant import PLANT_ROWS

#: Kinds that are rows by key, and the field that is the key (None: no field).
ROWS: Mapping[str, tuple[type[Struct], str | None]] = {
    "nodes": (Node, "name"), "jobs": (Job, "id"), "partitions": (Partition, "name"),
    "reservations": (Reservation, "name"), "loads": (Load, "node"), "xids": (Xid, None), "alerts": (Alert, "id"),
    "silences": (Silence, "id"),
    # A row of the plant that has no key of its own is called by its first field.
    **{kind: (row, None if hasattr(row, "key") else row.__struct_fields__[0]) for kind, row in PLANT_ROWS.items()},
}  # fmt: skip
#: Most rows of one kind in a frame.
MOST_ROWS = 1_000_000
#: The last second of the year 9999: an upper bound for every time, count and size.
MOST = 253_402_300_799
SCALES = (1, 10, 100, 1000)
_NUMERIC = (int, float, int | None, float | None)
_PLAIN, _DOWN, _SINCE = 0, 1, 2


class MalformedFrame(ValueError):
    """The recording holds something that no recorder writes."""


class ColumnDelta(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The values of one field."""

    at: list[int] | None
    """Indices of the rows in the table, as differences; None: all rows."""
    scale: int
    """The values are integers multiplied by this scale; 0: not scaled."""
    steps: int
    """0: plain values; 1: differences to the row above; 2: differences to the row's previous value."""
    values: msgspec.Raw


class Table(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The changes of one kind."""

    gone: list[str]
    keys: list[str] | None
    """Keys of the added or changed rows; None: all previous rows, in order."""
    columns: dict[str, ColumnDelta]


@cache
def _fields(kind: type[Struct]) -> Mapping[str, FieldInfo]:
    return {one.name: one for one in fields(kind)}


@cache
def _type(kind: type[Struct], name: str) -> Any:
    return get_type_hints(kind)[name]


@cache
def _decoder(kind: type[Struct], name: str) -> msgspec.msgpack.Decoder[Any]:
    return msgpack_decoder(list[_type(kind, name)])  # type: ignore[misc]


_NUMBERS = msgpack_decoder(list[int])
_ENCODER = msgspec.msgpack.Encoder()


def pack_rows(name: str, old: Mapping[str, Any], new: Mapping[str, Any], keys: Iterable[str]) -> Table:
    """The difference between the old and the new rows of a kind. `keys` holds at least the keys that were added,
    changed or removed; a row that came and went between two frames is in neither.
    """
    kind, own = ROWS[name]
    differ = frozenset(keys)
    changed = differ & new.keys()
    every = bool(changed) and changed == old.keys()
    order = list(old) if every else [key for key in new if key in changed] if changed else []
    now, was = [new[key] for key in order], [old.get(key) for key in order]
    columns = {
        field.name: column
        for field in _fields(kind).values()
        if field.name != own and (column := _pack_column(kind, field, was, now)) is not None
    }
    return Table(gone=sorted((differ - changed) & old.keys()), keys=None if every else order, columns=columns)


def _pack_column(kind: type[Struct], field: FieldInfo, was: Sequence[Any], now: Sequence[Any]) -> ColumnDelta | None:
    name, blank = field.name, _blank(field)
    new = [getattr(row, name) for row in now]
    old = [blank if row is None else getattr(row, name) for row in was]
    at = [i for i, value in enumerate(new) if value is not old[i] and value != old[i]]
    if not at:
        return None
    if len(at) < len(new):
        new, old = [new[i] for i in at], [old[i] for i in at]
    where = None if len(at) == len(now) else [at[0], *(after - before for before, after in pairwise(at))]
    numeric = _type(kind, name) in _NUMERIC
    if numeric and not all(value is None or -MOST <= value <= MOST for value in new):
        # An impossible number would make the frame unreadable: it becomes unknown.
        new = [value if value is not None and -MOST <= value <= MOST else None for value in new]
    if numeric and None not in new:
        since = all(value is not None and value is not NODEFAULT and -MOST <= value <= MOST for value in old)
        for scale in SCALES:
            whole = _whole(new, scale)
            base = _whole(old, scale) if since else [0, *(whole or ())]
            if whole is not None and base is not None:
                values = [value - before for value, before in zip(whole, base, strict=False)]
                return ColumnDelta(where, scale, _SINCE if since else _DOWN, _raw(values))
    return ColumnDelta(where, 0, _PLAIN, _raw(new))


def _blank(field: FieldInfo) -> Any:
    """The default value of a field."""
    return field.default_factory() if field.default_factory is not NODEFAULT else field.default


def _whole(values: Sequence[float], scale: int) -> list[int] | None:
    """The numbers as integers at this scale; None when that would lose digits."""
    if scale == 1 and all(type(value) is int for value in values):
        return list(values)  # type: ignore[arg-type]
    try:
        whole = [round(value * scale) for value in values]
    except (ValueError, OverflowError):
        return None
    return whole if all(one / scale == value for one, value in zip(whole, values, strict=True)) else None


def _raw(values: Any) -> msgspec.Raw:
    return msgspec.Raw(_ENCODER.encode(values))


def unpack_rows(name: str, table: Table, old: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The new rows, and the keys that differ. Raises MalformedFrame."""
    kind, own = ROWS[name]
    order = list(old) if table.keys is None else cleaned(table.keys)
    gone = frozenset(cleaned(table.gone))
    if len(order) > MOST_ROWS or len(old) > MOST_ROWS or not gone <= old.keys():
        raise MalformedFrame(f"{name}: more rows than there can be")
    given: list[dict[str, Any]] = [{} for _ in order]
    was = [old.get(key) for key in order]
    for field, column in table.columns.items():
        if field == own or field not in _fields(kind):
            raise MalformedFrame(f"{name} has no {clean(field)[:40]}")
        at: Sequence[int] = range(len(order)) if column.at is None else list(accumulate(column.at))
        if column.at is not None and (not at or min(column.at[1:], default=1) < 1 or at[0] < 0 or at[-1] >= len(order)):
            raise MalformedFrame(f"{name}.{field} is of rows that are not there")
        for i, value in zip(at, _unpack_column(kind, field, column, [was[i] for i in at]), strict=True):
            given[i][field] = value
    rows = dict(old)
    for key in gone:
        del rows[key]
    try:
        for key, values, before in zip(order, given, was, strict=True):
            if before is None and own is not None:
                values[own] = key
            rows[key] = kind(**values) if before is None else replace(before, **values)
    except TypeError:
        raise MalformedFrame(f"{name}: a row is not whole") from None
    return rows, gone.union(order)


def _unpack_column(kind: type[Struct], field: str, column: ColumnDelta, was: Sequence[Any]) -> Sequence[Any]:
    expected = len(was)
    if _length(column.values) != expected or column.scale not in (0, *SCALES):
        raise MalformedFrame(f"{field} is not as long as its rows")
    hint = _type(kind, field)
    try:
        if column.scale == 0:
            return _tame_column(hint, _decoder(kind, field).decode(column.values))
        values = _NUMBERS.decode(column.values)
        if hint not in _NUMERIC:
            raise MalformedFrame(f"{field} is no number")
        if column.steps == _DOWN:
            values = list(accumulate(values))
        elif column.steps == _SINCE:
            # A new row was encoded against the field's default.
            blank = _blank(_fields(kind)[field])
            before: list[Any] = [blank if row is None else getattr(row, field, None) for row in was]
            values = [round(one * column.scale) + step for one, step in zip(before, values, strict=True)]
        numbers: list[Any] = values if hint in (int, int | None) else [value / column.scale for value in values]
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, OverflowError, RecursionError):
        raise MalformedFrame(f"{field} is not of its type") from None
    _bounded(numbers)
    return numbers


def _length(raw: msgspec.Raw) -> int:
    """The length in an array's header, checked before any value is decoded."""
    head = bytes(memoryview(raw)[:5])
    if head[:1] == b"\xdd":
        return int.from_bytes(head[1:5], "big")
    if head[:1] == b"\xdc":
        return int.from_bytes(head[1:3], "big")
    return head[0] & 0x0F if head and head[0] & 0xF0 == 0x90 else -1


def _tame_column(hint: Any, values: list[Any]) -> list[Any]:
    if hint in (str, str | None):
        cleaned_of = {value: value if value is None else clean(value) for value in set(values)}
        return [cleaned_of[value] for value in values]
    return [tame(value) for value in values]


def cleaned(keys: Sequence[str]) -> list[str]:
    """Cleaned keys. Raises MalformedFrame when two become the same."""
    found = [clean(key) for key in keys]
    if len(set(found)) != len(found):
        raise MalformedFrame("a row is there twice")
    return found


def tame(value: Any) -> Any:
    """A value with every text in it cleaned. Raises MalformedFrame for a number out of bounds."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        _bounded((value,))
        return value
    if isinstance(value, Mapping):
        return {tame(key): tame(one) for key, one in value.items()}
    if isinstance(value, Struct):
        return replace(value, **{name: tame(getattr(value, name)) for name in value.__struct_fields__})
    if isinstance(value, tuple | frozenset | list):
        return type(value)(tame(one) for one in value)
    raise MalformedFrame(f"a {type(value).__name__} belongs in no row")


def _bounded(values: Iterable[float]) -> None:
    if not all(-MOST <= value <= MOST for value in values):
        raise MalformedFrame("a number is out of all bounds")

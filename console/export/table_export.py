"""Exports a table: the rows as shown on a screen, written as CSV, JSON or Markdown. Pure.

Markdown is for people and has the displayed text. CSV and JSON are for programs: values in fields with the unit in the
name, named as in `wacht snapshot --json` where it has them (`power_w`, `elapsed_s`, times in UTC). Unknown is null, in
CSV an empty cell, never 0.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from widgets.cells import Cell, spans_of
from widgets.table_column import Column, ExportField
from widgets.units import UNKNOWN

from . import markdown

#: Rows written at a time, so that a thread writing 100,000 rows does not block the event loop.
_BATCH = 250
_BARS = frozenset("━╸─█▉▊▋▌▍▎▏░")
#: First characters that make a spreadsheet evaluate a cell, with their full-width forms.
_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")

Value = str | int | float | bool | None | Sequence[str]


class TableExport(Struct, frozen=True, kw_only=True):
    """Rows to export. They are immutable, so any thread may write them."""

    name: str
    """The word for it in a file name."""
    columns: Sequence[Column]
    fields: Sequence[ExportField]
    rows: Mapping[str, Any]
    keys: Sequence[str]
    """Keys of the rows, in order."""
    ctx: Any
    note: str = ""
    """A description of the rows, for people."""


def plain(cell: Cell) -> str:
    """The text of a cell without its bar."""
    if isinstance(cell, str):
        return cell.strip()
    spans = spans_of(cell)
    texts = [text for text, _ in spans if len(spans) == 1 or not text or not _BARS.issuperset(text)]
    return "".join(texts).strip()


def shown(column: Column) -> ExportField:
    """The default field of a column: its displayed text; a dash is unknown."""

    def value(row: Any, ctx: Any) -> Value:
        text = plain(column.cell(row, ctx))
        return None if text == UNKNOWN else text

    return ExportField(column.key, value)


def written(sheet: TableExport, form: str) -> Iterator[bytes]:
    """The table as `csv`, `json` or `md`, in chunks."""
    return {"csv": _csv, "json": _json, "md": _markdown}[form](sheet)


def _batches(sheet: TableExport) -> Iterator[list[Any]]:
    for at in range(0, len(sheet.keys), _BATCH):
        yield [sheet.rows[key] for key in sheet.keys[at : at + _BATCH]]


def guarded(value: Value) -> str | int | float:
    """A CSV cell. A text that a spreadsheet would evaluate gets a leading quote; numbers stay numbers."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in _FORMULA else value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return value
    return guarded(",".join(value))


def _csv(sheet: TableExport) -> Iterator[bytes]:
    out = io.StringIO()
    writer = csv.writer(out)  # RFC 4180: commas, CRLF, quotes doubled
    writer.writerow([field.name for field in sheet.fields])
    for batch in _batches(sheet):
        writer.writerows([[guarded(field.value(row, sheet.ctx)) for field in sheet.fields] for row in batch])
        yield out.getvalue().encode("utf-8", "replace")
        out.seek(0)
        out.truncate()
    yield out.getvalue().encode("utf-8", "replace")


def _json(sheet: TableExport) -> Iterator[bytes]:
    encode, lead = msgspec.json.encode, b"[\n"
    for batch in _batches(sheet):
        made = [encode({field.name: field.value(row, sheet.ctx) for field in sheet.fields}) for row in batch]
        yield lead + b",\n".join(made)
        lead = b",\n"
    yield (b"[" if lead == b"[\n" else b"\n") + b"]\n"


def _markdown(sheet: TableExport) -> Iterator[bytes]:
    head = [markdown.escaped(sheet.note), ""] if sheet.note else []
    head += [
        markdown.row(column.title for column in sheet.columns),
        markdown.rule([column.align == "right" for column in sheet.columns]),
    ]
    yield "\n".join([*head, ""]).encode()
    for batch in _batches(sheet):
        rows = (markdown.row(plain(column.cell(row, sheet.ctx)) for column in sheet.columns) for row in batch)
        yield "".join(f"{row}\n" for row in rows).encode("utf-8", "replace")

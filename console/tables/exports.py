"""Values of a column for programs (`Column.export`); without it the text is exported under the column's key."""

from __future__ import annotations

from typing import Any

from console.session.snapshot import stamp
from widgets.table_column import ExportField


def attribute(name: str, path: str = "") -> ExportField:
    """A field that is an attribute of the row, by its dotted path; by `name` where no path is given."""
    steps = (path or name).split(".")

    def value(row: Any, _: Any) -> Any:
        for step in steps:
            row = getattr(row, step)
        return row

    return ExportField(name, value)


def moment(name: str, path: str = "") -> ExportField:
    """The same for a time (epoch), as ISO 8601 in UTC."""
    plain = attribute(name, path)
    return ExportField(name, lambda row, ctx: stamp(plain.value(row, ctx)))

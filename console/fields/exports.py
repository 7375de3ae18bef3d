"""Values of a row for programs: `Column.export` and the keys of `wacht snapshot --json`."""

from __future__ import annotations

from operator import attrgetter

from collectors.clock import rfc3339
from widgets.table_column import ExportField


def attribute(name: str, path: str = "") -> ExportField:
    """An attribute of the row, by its dotted path; by `name` where no path is given."""
    get = attrgetter(path or name)
    return ExportField(name, lambda row, _: get(row))


def moment(name: str, path: str = "") -> ExportField:
    """The same for a time (epoch), as RFC 3339 in UTC."""
    get = attrgetter(path or name)
    return ExportField(name, lambda row, _: rfc3339(get(row)))

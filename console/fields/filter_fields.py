"""The fields that a filter can test, for each kind of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from collectors.model import Cluster

from .field import Field
from .job_fields import JOB_FIELDS, job_text
from .node_fields import NODE_FIELDS, node_text
from .partition_fields import PARTITION_FIELDS, partition_text
from .reservation_fields import RESERVATION_FIELDS, reservation_text

_ROWS: Mapping[str, tuple[Field, ...]] = {
    "node": NODE_FIELDS, "job": JOB_FIELDS, "partition": PARTITION_FIELDS, "reservation": RESERVATION_FIELDS,
}  # fmt: skip
#: Kind to its fields, in the order of the help; `register` adds those of plugins.
FIELDS: dict[str, tuple[Field, ...]] = {
    kind: tuple(one for one in rows if one.filtered) for kind, rows in _ROWS.items()
}
#: Kind to the text in which a plain word is searched, one part a line so that no match runs over two.
SEARCH_TEXT: Mapping[str, Callable[[Any, Cluster], str]] = {
    "node": node_text, "job": job_text, "partition": partition_text, "reservation": reservation_text,
}  # fmt: skip


def taken_names(kind: str) -> frozenset[str]:
    """The names of fields and columns of this kind of rows."""
    rows = (*_ROWS[kind], *FIELDS[kind])
    return frozenset(name for one in rows for name in (one.name, *one.aliases)) | {
        one.column.key for one in rows if one.column is not None
    }


def register(kind: str, added: Sequence[Field]) -> tuple[Field, ...]:
    """Add fields of installed packages. Returns those whose name means nothing else yet; the others are left out."""
    taken = taken_names(kind)
    new = tuple(one for one in added if one.name not in taken)
    FIELDS[kind] = (*FIELDS[kind], *new)
    return new

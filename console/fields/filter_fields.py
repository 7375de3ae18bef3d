"""The fields that a filter can test, for each kind of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from collectors.model import Cluster

from .field import Field
from .job_fields import JOB_FIELDS, job_text
from .node_fields import NODE_FIELDS, node_text
from .partition_fields import PARTITION_FIELDS, partition_text
from .reservation_fields import RESERVATION_FIELDS, reservation_text

#: Kind to its fields, in the order of the help.
FIELDS: Mapping[str, tuple[Field, ...]] = {
    kind: tuple(one for one in rows if one.filtered)
    for kind, rows in (
        ("node", NODE_FIELDS),
        ("job", JOB_FIELDS),
        ("partition", PARTITION_FIELDS),
        ("reservation", RESERVATION_FIELDS),
    )
}
#: Kind to the text in which a plain word is searched, one part a line so that no match runs over two.
SEARCH_TEXT: Mapping[str, Callable[[Any, Cluster], str]] = {
    "node": node_text, "job": job_text, "partition": partition_text, "reservation": reservation_text,
}  # fmt: skip

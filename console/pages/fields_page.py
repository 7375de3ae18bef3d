"""docs/fields.md: what is known of nodes, jobs, partitions and reservations, and its name in each place."""

from __future__ import annotations

from collections.abc import Sequence

from console.fields.field import Field
from console.fields.job_fields import JOB_FIELDS
from console.fields.node_fields import NODE_FIELDS
from console.fields.partition_fields import PARTITION_FIELDS
from console.fields.reservation_fields import RESERVATION_FIELDS

_HEAD = """\
# Fields

What wacht knows of nodes, jobs, partitions and reservations, and the name of it in each place: in a filter (`/`, `:`,
`wacht act`), as the title of a column, in `:export` as CSV or JSON, and in `wacht snapshot --json`. Made by `make docs`
from the rows of `console/fields`. A filter compares text (`=`, `~`), numbers with their unit (`>`, `<`) or node sets.
"""
_WHOLE = "In the snapshot they have every field that Slurm's answer is read for."


def page() -> str:
    """The whole page."""
    return "\n".join((
        _HEAD, *_table("Nodes", NODE_FIELDS, snapshot=True), *_table("Jobs", JOB_FIELDS, snapshot=True),
        *_table("Partitions", PARTITION_FIELDS), *_table("Reservations", RESERVATION_FIELDS), _WHOLE, "",
    ))  # fmt: skip


def _table(title: str, fields: Sequence[Field], snapshot: bool = False) -> list[str]:
    heads = ["filter", "compares", "what it is", "column", "exported", *(["snapshot"] if snapshot else [])]
    lines = [f"## {title}", "", _row(heads), _row(["---"] * len(heads)).replace(" ", "")]
    for one in fields:
        exported = one.column.export or () if one.column is not None else ()
        cells = [
            _names((one.name, *one.aliases) if one.filtered else ()),
            one.shape if one.filtered else "",
            one.help.replace("|", "\\|"),
            one.column.title if one.column is not None else "",
            _names([value.name for value in exported]),
        ]
        lines.append(_row([*cells, *([_names([value.name for value in one.snapshot])] if snapshot else [])]))
    return [*lines, ""]


def _names(those: Sequence[str]) -> str:
    return ", ".join(f"`{one}`" for one in those)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

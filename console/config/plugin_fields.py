"""Fields of installed packages, as the rows that wacht's own fields are: for columns, filters, orders and exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from collectors.clean import clean
from console.fields import filter_fields
from console.fields.field import Field, Shown, field
from console.runtime import log
from widgets.units import UNKNOWN

from .plugins import OwnField

if TYPE_CHECKING:
    from widgets.cells import Cell

#: Characters of a plugin cell that are shown.
_MAX_CHARS = 200
#: What the cell of a field says whose function raised.
_BROKEN = "broken"


def register(found: Sequence[OwnField]) -> Mapping[str, tuple[Field, ...]]:
    """Let filters know these fields. Returns those that were added, by kind of rows; once in a process."""
    return {kind: filter_fields.register(kind, rows) for kind, rows in own_fields(found).items()}


def own_fields(found: Sequence[OwnField]) -> Mapping[str, tuple[Field, ...]]:
    """Kind of rows to the fields of plugins, as the tables and the filter language take them."""
    return {kind: tuple(_field(one) for one in found if one.on == kind) for kind in ("node", "job")}


def _field(own: OwnField) -> Field:
    """A field of a plugin: its text is cleaned and cut, its number is one; if it raises, the cell says so and the log
    has it once."""
    broke = False

    def read(row: Any) -> str | float | None:
        nonlocal broke
        try:
            said = own.read(row)
            if said is None:
                return None
            return clean(str(said)[:_MAX_CHARS]) if own.shape == "text" else float(said)
        except Exception as error:
            if not broke:
                broke = True
                log.warning("plugin", f"the field {own.name} broke: {type(error).__name__}: {error}")
            return _BROKEN if own.shape == "text" else None

    def text(row: Any, _: Any) -> Cell:
        said = read(row)
        return UNKNOWN if said is None else (_BROKEN, "warn") if broke and said == _BROKEN else str(said)

    shown = Shown(
        own.title, own.width, text if own.shape == "text" else None, sort=read, priority=own.priority, grow=1,
        max_width=own.width + 20,
    )  # fmt: skip
    return field(own.name, own.shape, lambda row, _cluster, _now: read(row), own.help or own.title, column=shown)

"""Columns of a site's own packages as the lists show them: cleaned, cut, and held where they break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collectors.clean import clean
from console.config.plugins import OwnColumn
from console.runtime import log
from widgets.cells import Cell
from widgets.table_column import Column
from widgets.units import UNKNOWN

_LONGEST = 200


def placed(columns: Sequence[Column], own: Sequence[OwnColumn]) -> tuple[Column, ...]:
    """The columns with those of packages behind them; one whose name is taken is left out."""
    taken = {one.key for one in columns}
    return (*columns, *(_column(one) for one in own if one.key not in taken))


def _column(own: OwnColumn) -> Column:
    broke = False

    def text(row: Any) -> str | None:
        nonlocal broke
        try:
            said = own.text(row)
        except Exception as error:
            if not broke:
                broke = True
                log.warning("plugin", f"the column {own.key} broke: {type(error).__name__}: {error}")
            return "broken"
        return None if said is None else clean(str(said)[:_LONGEST])

    def cell(row: Any, _: Any) -> Cell:
        said = text(row)
        return UNKNOWN if said is None else (said, "warn") if broke and said == "broken" else said

    return Column(own.key, own.title, own.width, cell, text, priority=own.priority, grow=1, max_width=own.width + 20)

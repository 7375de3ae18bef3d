"""Small changes to the rows of a table, as a reading brings them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from widgets.table import VirtualTable


def put(table: VirtualTable[Any], change: Mapping[str, Any], **more: Any) -> None:
    """Put in the rows that are new or changed; None takes a row out."""
    rows = {**table._source_rows[0], **change}
    table.set_rows({key: row for key, row in rows.items() if row is not None}, **more)

"""One NVML call, counted, with errors sorted into not offered, lost and unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pynvml as nvml

from collectors.clean import clean

from . import labels

#: Codes of what the driver does not offer: NOT_SUPPORTED, FUNCTION_NOT_FOUND (an older library),
#: VGPU_ECC_NOT_SUPPORTED, ARGUMENT_VERSION_MISMATCH, DEPRECATED.
NOT_OFFERED = frozenset({3, 13, 22, 25, 26})
#: For a field or a link also INVALID_ARGUMENT: unknown to this driver.
UNKNOWN_FIELD = NOT_OFFERED | {2}
NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, VERSION_MISMATCH = 3, 4, 13, 25

#: The member of nvmlValue_t by nvmlValueType_t; the last is newer than nvidia-ml-py 12.560.
_TYPES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")

Value = int | float | None
Store = dict[str, Any]
FieldValue = tuple[Value, bool]
"""The value of a field (or None), and whether the driver offers the field."""


class GpuLost(Exception):
    """A GPU no longer responds; the text says why."""


class Caller:
    """Makes the calls of one reading."""

    def __init__(self) -> None:
        self.calls = 0
        self.warnings: dict[str, None] = {}

    def begin(self) -> None:
        """Reset the counters."""
        self.calls = 0
        self.warnings = {}

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call NVML. Raises GpuLost, or NVMLError for any other error."""
        self.calls += 1
        try:
            return function(*args)
        except nvml.NVMLError as error:
            number = code(error)
            if number in labels.LOST:
                raise GpuLost(labels.LOST[number]) from None
            if number == NO_PERMISSION:
                self.warnings["some fields need more rights than this user has"] = None
            raise

    def ask(self, found: Store, na: set[str], names: tuple[str, ...], call: Callable[[], Sequence[Any]]) -> None:
        """Store a call's results under these names: None if it fails, and in `na` if it is not offered."""
        try:
            found.update(zip(names, self.call(call), strict=True))
        except nvml.NVMLError as error:
            found.update(dict.fromkeys(names))
            if code(error) in NOT_OFFERED:
                na.update(names)

    def or_none(self, call: Callable[[], Any]) -> Any:
        """A call's result, None if it fails."""
        try:
            return self.call(call)
        except (nvml.NVMLError, GpuLost, ValueError):  # ValueError: a name that is not UTF-8
            return None

    def fields(self, handle: Any, ids: Sequence[Any]) -> dict[Any, FieldValue]:
        """Field values by id (or id and scope), each with its own return code. Raises GpuLost."""
        try:
            rows = self.call(nvml.nvmlDeviceGetFieldValues, handle, list(ids))
        except nvml.NVMLError as error:
            return dict.fromkeys(ids, (None, code(error) in NOT_OFFERED))
        found: dict[Any, FieldValue] = {}
        for field, row in zip(ids, rows, strict=True):
            number = row.nvmlReturn
            if number in labels.LOST:
                raise GpuLost(labels.LOST[number])
            found[field] = (_value(row), False) if number == 0 else (None, number in UNKNOWN_FIELD)
        return found


def keep(found: Store, na: set[str], name: str, said: FieldValue, made: Callable[[Any], Any]) -> None:
    """Store one field value under its name; an empty one counts as not offered."""
    value, not_offered = said
    found[name] = None if value is None else made(value)
    if not_offered or (value is not None and found[name] is None):
        na.add(name)
    else:
        na.discard(name)


def _value(row: Any) -> Value:
    """The value of a field by its type (nvmlValueType_t)."""
    kind = row.valueType
    found: Value = getattr(row.value, _TYPES[kind], None) if kind < len(_TYPES) else None
    return found


def code(error: Any) -> int:
    """The return code that an NVMLError carries."""
    return int(error.value)


def text(said: Any) -> str:
    """A name from the driver, cleaned."""
    return clean(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said))

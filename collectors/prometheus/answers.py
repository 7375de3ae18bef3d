"""The answers of Prometheus as typed rows: msgspec decodes 12,000 of them in 5 ms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from collectors.decoding import json_decoder


class Row(Struct, frozen=True, gc=False):
    """One series of an answer: its labels, and its value or values with the server's time of each."""

    metric: dict[str, str] = {}
    value: tuple[float, str] | None = None
    values: tuple[tuple[float, str], ...] = ()


class _Data(Struct):
    resultType: str  # noqa: N815 - Prometheus' own name
    result: list[Row]


class Envelope(Struct):
    """The fields around the rows."""

    status: str
    data: _Data | None = None
    error: str = ""
    errorType: str = ""  # noqa: N815 - Prometheus' own name
    warnings: tuple[str, ...] = ()
    isPartial: bool = False  # noqa: N815 - VictoriaMetrics' own name


_ENVELOPE = json_decoder(Envelope)


class MalformedResponse(Exception):
    """Not an answer of Prometheus; the text says what it is."""


class PrometheusResponse:
    """An answer with the names that PrometheusConnect reads of a response of requests."""

    def __init__(self, code: int, content: bytes) -> None:
        self.status_code = code
        self.content = content
        self.envelope: Envelope | None = None

    def json(self) -> Mapping[str, Any]:
        """The rows as the library expects them; the rest stays in `envelope`. Raises MalformedResponse."""
        try:
            self.envelope = envelope = _ENVELOPE.decode(self.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedResponse(f"{error}; it begins with {self.content[:60]!r}") from None
        if envelope.status != "success":
            raise MalformedResponse(f"status {envelope.status}: {envelope.errorType} {envelope.error}")
        if envelope.data is None:
            raise MalformedResponse("it holds no data")
        return {"data": {"result": envelope.data.result}}

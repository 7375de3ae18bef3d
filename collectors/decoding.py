"""Makes msgspec decoders one at a time: all code that decodes into our types does so through this module.

msgspec (0.22 and before) resolves a type at its first use and stores the result on the class before it is complete.
Python code runs in between (the annotations), so another thread may take over there; if it meets the same type it reads
through a null pointer and the process crashes. Sources are read in threads, all of them for the first time at once when
wacht starts. A finished decoder is safe in any thread.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

#: Reentrant: garbage collection may run any code while a decoder is made.
_one_at_a_time = threading.RLock()


def json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A JSON decoder for `kind`; made once."""
    return _made(msgspec.json.Decoder, kind)  # type: ignore[no-any-return, arg-type]  # mypy: no type[T] is Hashable


def msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """A MessagePack decoder for `kind`, a type or a union of types; made once."""
    return _made(msgspec.msgpack.Decoder, kind)  # type: ignore[no-any-return]


def from_json(content: bytes | msgspec.Raw | str, kind: type[T]) -> T:
    """Decode JSON into `kind`. Raises msgspec.DecodeError, UnicodeDecodeError."""
    return json_decoder(kind).decode(content)


def convert(value: Any, kind: type[T]) -> T:
    """Convert builtin values to `kind`. Raises msgspec.ValidationError."""
    json_decoder(kind)  # resolves the type; the conversion may run any code, so it holds no lock
    return msgspec.convert(value, kind)


@cache
def _made(decoder: Any, kind: Any) -> Any:
    with _one_at_a_time:
        return decoder(kind)

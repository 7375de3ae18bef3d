"""Makes the decoders of msgspec, one at a time: everything that decodes into a type of ours does it through here.

msgspec (0.22 and before) resolves a type at its first use and puts what it knows of it on the class before that is
complete. Python runs in between (the annotations), so another thread may take over there; if it meets the same type it
reads through a null pointer and the process is gone. Sources are read in threads, and all of them for the first time
at one moment, when wacht starts. A decoder that is made is safe from any thread.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

#: Reentrant: the collector of garbage may run anything in the middle of making one.
_one_at_a_time = threading.RLock()


def json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """What decodes JSON into `kind`; made once."""
    return _made(msgspec.json.Decoder, kind)  # type: ignore[no-any-return, arg-type]  # mypy: no type[T] is Hashable


def msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """What decodes MessagePack into `kind`, a type or a union of types; made once."""
    return _made(msgspec.msgpack.Decoder, kind)  # type: ignore[no-any-return]


def from_json(content: bytes | msgspec.Raw | str, kind: type[T]) -> T:
    """Decode JSON into `kind`. Raises msgspec.DecodeError, UnicodeDecodeError."""
    return json_decoder(kind).decode(content)


def convert(value: Any, kind: type[T]) -> T:
    """Make a `kind` of builtin values. Raises msgspec.ValidationError."""
    json_decoder(kind)  # resolves it; what follows may run anything (`__post_init__`), import too: it holds no lock
    return msgspec.convert(value, kind)


@cache
def _made(decoder: Any, kind: Any) -> Any:
    with _one_at_a_time:
        return decoder(kind)

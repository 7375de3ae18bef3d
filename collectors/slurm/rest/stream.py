"""Decodes a large answer while it arrives, a few hundred records at a time.

Decoding 84 MB (10,000 jobs) at once would hold the GIL for a quarter of a second and keep all of it in memory. So the
answer is cut between two records: where one ends and the next opens with the same first key. Text of users cannot forge
that place, since a quote within a string is escaped by a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

from collectors.clean import clean, decode
from collectors.decoding import json_decoder
from collectors.model import SourceFault

A = TypeVar("A")

#: Bytes decoded at once: about a millisecond of the GIL.
PIECE = 1 << 20
#: Most bytes kept without the end of a record; a record is 8 KB.
MOST = 64 << 20
_HEAD = re.compile(rb'"(?P<key>\w+)"\s*:\s*\[(?P<gap>\s*)(?P<open>\{\s*"\w+"\s*:)')
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class Pieces(Generic[A]):
    """An answer with its list under `key`, as a sequence of answers of type `kind` with a part of the list each.

    The last one also has the fields after the list (`errors`).
    """

    def __init__(self, key: str, kind: type[A], most: int = MOST) -> None:
        self._key = key.encode()
        self._most = most
        self._decode = json_decoder(kind).decode
        self.size = 0
        """Bytes taken so far."""

    def take(self, chunks: Iterable[bytes]) -> Iterable[A]:
        """Decode chunks as they arrive. Raises SourceFault("malformed") for an invalid answer."""
        buffer, mark = bytearray(), b""
        for chunk in chunks:
            self.size += len(chunk)
            buffer += chunk
            if len(buffer) < PIECE:
                continue
            mark = mark or self._mark(buffer)
            cut = buffer.rfind(mark) if mark else -1
            if cut >= 0:
                yield self._some(bytes(buffer[: cut + 1]) + b"]}")
                buffer = bytearray(b'{"%s":[' % self._key) + buffer[cut + 2 :]
            if len(buffer) > self._most:
                what = f"slurmrestd gave {len(buffer) >> 20:,} MB in which no record ends"
                raise SourceFault("malformed", what, "see its log")
        yield self._some(bytes(buffer))

    def _mark(self, buffer: bytearray) -> bytes:
        """The separator of two records; empty if the list is not found: then the answer is decoded at once."""
        for match in _HEAD.finditer(buffer, 0, 4096):
            if match["key"] == self._key:
                return b"}," + match["gap"] + match["open"]
        return b""

    def _some(self, piece: bytes) -> A:
        try:
            return self._one(piece)
        except UnicodeDecodeError:
            # Users choose the bytes of names: text that is not UTF-8 becomes the escape that `clean` would show.
            text = _NOT_UTF8.sub(lambda match: f"\\\\u{ord(match[0]):04x}", decode(piece))
            return self._one(text.encode())

    def _one(self, piece: bytes) -> A:
        try:
            return self._decode(piece)
        except UnicodeDecodeError:
            raise
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            if not piece.strip():
                raise SourceFault("empty", "slurmrestd answered with nothing at all", "see its log") from None
            what = "is not what wacht knows" if isinstance(error, msgspec.ValidationError) else "is no JSON"
            raise SourceFault("malformed", f"the answer of slurmrestd {what}: {clean(str(error)[:200])}",
                              "is this version of Slurm one that wacht knows?") from None  # fmt: skip

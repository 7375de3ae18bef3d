"""Keys as they were typed, from what a terminal sends.

Esc and a key may come in one piece, from a slow line or a fast hand, and are then what Alt and that key send: no
program can tell. Textual 8.2.8 takes some for the key alone (Enter, `:`, `/`) and a digit for what a Mac types with it
(`¡`). Whoever typed the count, thought better of it and pressed Esc would have sent it, with an Enter close behind.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser
from textual.events import Key

ESC = "\x1b"
_LINE = frozenset({"\x1b\x1b", "\x1b\t", "\x1b\x7f", "\x1bb", "\x1bf"})
"""Two that mean something together: back-tab of a console, and the ways of a line of text by words."""


class Keys(XTermParser):
    """Textual's, but Esc and a character in one piece are always Alt and that key."""

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[Key]:
        if len(sequence) == 2 and sequence[0] == ESC and sequence not in _LINE and sequence in ANSI_SEQUENCES_KEYS:
            sequence, alt = sequence[1], True
        if not alt:
            yield from super()._sequence_to_key_events(sequence)
            return
        for key in super()._sequence_to_key_events(sequence):
            yield Key(f"alt+{key.key}", None)

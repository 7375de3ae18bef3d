"""KeyParser: turns what a terminal sends into keys, pastes and clicks.

Mends, for safety, in Textual 8.2.8:
- Esc and a key may arrive in one piece, from a slow line or fast typing, and are then identical to Alt and that key.
  Textual takes some for the key alone (Enter, `:`, `/`) and a digit for what a Mac types with it (`¡`). A user who
  typed the count, changed their mind and pressed Esc would have confirmed the action if Enter followed closely.
- Not every terminal removes Esc from pasted text, and Textual makes keys of what follows one.
- An in-band resize report (mode 2048) switches the parser to pixels for good, whether or not the terminal reports the
  mouse in pixels: every click then lands in the top left corner (https://github.com/herdrdev/herdr/issues/3295). Any
  program on the same terminal may have left mode 2048 on. `linux_driver` never asks for pixels.

When Textual changes: the parser and its table of sequences are private modules. If they move, follow them; if a key
is passed as alt+key, or `mouse_pixels` follows mode 1016, drop that method.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser
from textual.events import Key
from textual.message import Message

ESC = "\x1b"
BEGIN, END = "\x1b[200~", "\x1b[201~"
"""The marks around pasted text."""
_ESC_PAIRS = frozenset({"\x1b\x1b", "\x1b\t", "\x1b\x7f", "\x1bb", "\x1bf"})
"""Pairs with a meaning of their own: back-tab of a console, and moving by words in a line of text."""


class KeyParser(XTermParser):
    """Textual's parser, but Esc and a character in one piece are always Alt and that key, and a paste is never keys."""

    def __init__(self, debug: bool = False) -> None:
        self._pasting = False
        self._tail = ""
        """The end of the last input: a mark may be split."""
        super().__init__(debug)

    def feed(self, data: str) -> Iterable[Message]:
        """The messages for this input; a paste without the Esc in it."""
        plain = self._without_pasted_escapes(data) if data else data
        # Empty input would mean the end to the parser.
        return super().feed(plain) if plain or not data else ()

    def parse_mouse_code(self, code: str) -> Message | None:
        """The mouse event of a report, which is in cells."""
        self.mouse_pixels = False
        return super().parse_mouse_code(code)

    def _without_pasted_escapes(self, data: str) -> str:
        made = ""
        while data:
            if not self._pasting:
                at = (self._tail + data).find(BEGIN)
                passed = data if at < 0 else data[: at + len(BEGIN) - len(self._tail)]
                made, data = made + passed, data[len(passed) :]
                self._pasting = at >= 0
                self._tail = "" if self._pasting else (self._tail + passed)[1 - len(BEGIN) :]
                continue
            inside, end, data = (self._tail + data).partition(END)
            self._pasting, self._tail = not end, ""
            if not end:
                held = next((size for size in range(len(END) - 1, 0, -1) if inside.endswith(END[:size])), 0)
                inside, self._tail = inside[: len(inside) - held], inside[len(inside) - held :]
            made += inside.replace(ESC, "") + end
        return made

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[Key]:
        if len(sequence) == 2 and sequence[0] == ESC and sequence not in _ESC_PAIRS and sequence in ANSI_SEQUENCES_KEYS:
            sequence, alt = sequence[1], True
        for key in super()._sequence_to_key_events(sequence):
            head, _, last = key.key.rpartition("+")
            if alt and head != "ctrl":  # Esc also means that the user wants to leave
                yield Key(f"alt+{key.key}", None)
            elif head == "alt+shift" and len(last) == 1:
                yield Key(f"alt+{last.upper()}", None)  # as other terminals send it
            else:
                yield key

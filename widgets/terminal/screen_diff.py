"""TerminalScreen: what the terminal shows, cell by cell, so that only changed cells are sent.

Textual 8.2.8 does not compare: it sends a changed line from the left edge of its widget on ("TODO: crop to x extents"
in _compositor.py), sends both colours and a reset for every run of text, and paints a screen two or three times while
it opens. Its frames come from `widgets.textual_ext.app_output`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len, split_graphemes
from rich.color import Color, ColorSystem
from rich.style import Style
from textual.strip import Strip

from widgets.textual_ext.screen_contents import Piece

Cell = tuple[str, Style]
"""The content of a cell; the second half of a wide character is ""."""

_MAX_GAP = 8
"""Up to this many equal cells between two that differ are sent again, which is cheaper than a jump."""
_PLAIN = Style.null()
LINK = re.compile(r"https://[!-~]{1,492}")
"""What may be sent as a link (OSC 8): a whole URL in printable ASCII, and no scheme but this one."""


@lru_cache(maxsize=16384)
def _blank(style: Style) -> Cell:
    """A space in a style. Its foreground is invisible, unless it is struck through, underlined or reversed."""
    if style.underline or style.underline2 or style.strike or style.reverse or style.overline or style.link:
        return (" ", style)
    return (" ", Style(bgcolor=style.bgcolor))


@lru_cache(maxsize=16384)
def _codes(style: Style, system: ColorSystem) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """SGR codes of a style: attributes, foreground, background."""
    front, back = _colour(style.color, True, system), _colour(style.bgcolor, False, system)
    return Strip.render_ansi(style.without_color, system), front, back


_LEVELS = (0, 95, 135, 175, 215, 255)
_CUBE = {
    (r, g, b): str(16 + 36 * i + 6 * j + k)
    for i, r in enumerate(_LEVELS)
    for j, g in enumerate(_LEVELS)
    for k, b in enumerate(_LEVELS)
}
"""The colours of the 256 that are the same on every terminal, to their numbers."""


def _colour(colour: Color | None, front: bool, system: ColorSystem) -> tuple[str, ...]:
    """Codes of a colour; one with a number is sent as that, which takes half the bytes."""
    kind = "38" if front else "48"
    if colour is None or colour.is_default:
        return ("39" if front else "49",)
    triplet = colour.triplet
    if system is ColorSystem.TRUECOLOR and triplet is not None:
        number = _CUBE.get((triplet.red, triplet.green, triplet.blue))
        if number is not None:
            return (kind, "5", number)
    return tuple(colour.downgrade(system).get_ansi_codes(foreground=front))


@lru_cache(maxsize=16384)
def _style_change(before: Style | None, after: Style, blank: bool, system: ColorSystem) -> str | None:
    """The sequence that takes the terminal from one style to the next; "" where they are the same.

    None: the terminal may keep its style, because a blank looks the same in it.
    """
    attributes, front, back = _codes(after, system)
    if before is not None:
        were, was_front, was_back = _codes(before, system)
        if blank and was_back == back and _blank(before)[1] == after:
            return None
        if were == attributes:
            codes = (*(front if front != was_front else ()), *(back if back != was_back else ()))
            return f"\x1b[{';'.join(codes)}m" if codes else ""
    return f"\x1b[{';'.join(('0', *((attributes,) if attributes else ()), *front, *back))}m"


def _cells(strip: Strip) -> list[Cell]:
    """A strip cell by cell."""
    cells: list[Cell] = []
    for text, given, _control in strip:
        style = given or _PLAIN
        blank = _blank(style)
        if text.isascii() or cell_len(text) == len(text):
            cells.extend([blank if char == " " else (char, style) for char in text])
            continue
        for start, end, size in split_graphemes(text)[0]:
            char = text[start:end]
            if size == 0 and cells:
                cells[-1] = (cells[-1][0] + char, cells[-1][1])
            else:
                cells.append(blank if char == " " else (char, style))
                cells.extend([("", style)] * (size - 1))
    return cells


class TerminalScreen:
    """Remembers what was sent. Call `forget` when another program may have written to the terminal."""

    def __init__(self) -> None:
        self.links = False
        """Whether links are sent: not every terminal supports them, and not every site wants them."""
        self._lines: dict[int, list[Cell | None]] = {}
        self._width = 0
        self.needs_full_paint = False
        """True until it is painted in full after `forget`."""

    def forget(self) -> None:
        """Send all following output in full."""
        self.needs_full_paint = True
        self._lines.clear()

    def send(self, pieces: Iterable[Piece], width: int, system: ColorSystem) -> str:
        """The bytes that make the terminal show the pieces; nothing for cells that it shows already."""
        if width != self._width:
            self._width = width
            self.forget()
        out: list[str] = []
        style: Style | None = None
        link: str | None = None
        for y, x, strip in pieces:
            line = self._lines.get(y)
            if line is None:
                line = self._lines[y] = [None] * width
            new = _cells(strip)[: max(0, width - x)]  # it may have been made for a wider terminal
            old = line[x : x + len(new)]
            if new == old:
                continue
            line[x : x + len(new)] = new
            for start, end in _changed_runs(old, new):
                out.append(f"\x1b[{y + 1};{x + start + 1}H")
                for char, want in new[start:end]:
                    if want is not style:
                        if self.links and (target := _link(want)) != link:
                            link = target
                            out.append(f"\x1b]8;;{link or ''}\x1b\\")
                        turn = _style_change(style, want, char == " ", system)
                        if turn is not None:
                            out.append(turn)
                            style = want
                    out.append(char)
        if link is not None:
            out.append("\x1b]8;;\x1b\\")
        if style is not None:
            out.append("\x1b[0m")
        return "".join(out)


def _link(style: Style) -> str | None:
    """The URL of a text; None where there is none or it may not be sent."""
    return style.link if style.link is not None and LINK.fullmatch(style.link) else None


def _changed_runs(old: Sequence[Cell | None], new: Sequence[Cell]) -> list[tuple[int, int]]:
    """Runs of cells that differ, small gaps bridged, never through a wide character."""
    runs: list[tuple[int, int]] = []
    for at, cell in enumerate(new):
        if old[at] != cell:
            if runs and at - runs[-1][1] <= _MAX_GAP:
                runs[-1] = (runs[-1][0], at + 1)
            else:
                runs.append((at, at + 1))
    whole: list[tuple[int, int]] = []
    for start, end in runs:
        first, last = start, end
        # Half a wide character cannot be sent, and half an old one must not stay.
        while first > 0 and not (new[first][0] and _is_first_cell(old[first])):
            first -= 1
        while last < len(new) and not (new[last][0] and _is_first_cell(old[last])):
            last += 1
        if whole and first <= whole[-1][1]:
            first = whole.pop()[0]
        whole.append((first, last))
    return whole


def _is_first_cell(cell: Cell | None) -> bool:
    """Whether a cell is the first of its character."""
    return cell is None or cell[0] != ""

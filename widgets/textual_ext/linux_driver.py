"""CellDriver: Textual's driver with the terminal's own size, and with a mouse that reports cells.

Mends: `LinuxDriver._get_terminal_size` trusts COLUMNS and LINES, which a shell may export once and for all: the screen
would keep that size after every resize. `LinuxDriver._enable_mouse_pixels` asks for the mouse in pixels (mode 1016) as
soon as the terminal knows in-band resize (mode 2048). Terminals and multiplexers that know 2048 but ignore 1016 go on
to report cells, which Textual then takes for pixels (https://github.com/herdrdev/herdr/issues/3295,
https://github.com/herdrdev/herdr/issues/3675): see `key_parser`. wacht uses no fraction of a cell, and on a slow line a
report for every pixel is 8 to 16 times the input.

When Textual changes: if the size comes from the terminal, or there is an option for the pixels, drop the method.
"""

from __future__ import annotations

import contextlib
import os

from textual.drivers.linux_driver import LinuxDriver


class CellDriver(LinuxDriver):
    """Textual's driver; the size is the terminal's, and the mouse reports cells."""

    def _get_terminal_size(self) -> tuple[int, int]:
        with contextlib.suppress(OSError):
            columns, rows = os.get_terminal_size(self.fileno)
            if columns and rows:
                return columns, rows
        return super()._get_terminal_size()

    def _enable_mouse_pixels(self) -> None:
        """Keep the mouse in cells."""

"""CachedStylesheet: Textual's stylesheet, parsing each style once.

Textual 8.2.8 parses every style again whenever a screen with its own styles opens or a theme is set: four times before
the first frame, half of the start time after the imports. But the result differs only with the colours of the theme.
This depends on the internals of that version, as `widgets.terminal.screen_diff` does.
"""

from __future__ import annotations

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet

#: Most parsed styles that are kept: with every screen opened there are fewer than two hundred.
_KEPT = 1024


class CachedStylesheet(Stylesheet):
    """Keeps parsed styles until the colours change."""

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._parse_cache = LRUCache(_KEPT)

    def set_variables(self, variables: dict[str, str]) -> None:
        """Discard the parsed styles if the variables changed; Textual sets them, mostly the same, before each parse."""
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        """Parse the styles that were not parsed with these colours."""
        self.parse()

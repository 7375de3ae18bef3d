"""CachedStylesheet: Textual's stylesheet, parsing each style once.

Textual 8.2.8 reads every style anew whenever a screen with one of its own opens or a theme is set: four times before
the first frame, which was half of what a start takes after the imports. But what is read differs with the colours of
the theme alone. This rests on the internals of that version, as `widgets.terminal.screen_diff` does.
"""

from __future__ import annotations

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet

#: Styles that are kept as they were read: with every screen opened there are fewer than two hundred.
_KEPT = 1024


class CachedStylesheet(Stylesheet):
    """Keeps what it has read until the colours change."""

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._parse_cache = LRUCache(_KEPT)

    def set_variables(self, variables: dict[str, str]) -> None:
        """Textual sets them, mostly the same, before it reads all again."""
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        """Read what was not read in these colours."""
        self.parse()

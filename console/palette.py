"""The palette (Ctrl+P): screens, actions, themes, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from console.actions import ACTIONS, NAVIGATION
from console.commands import SCREENS
from themes import themes

if TYPE_CHECKING:
    from console.app import WachtApp


class Palette(Provider):
    """Everything that can be done here and now; an action that is refused says why."""

    def _entries(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        app = cast("WachtApp", self.app)
        for screen in SCREENS:
            yield f"Show {screen}", "screen", partial(app.action_go, screen)
        for action in ACTIONS:
            why = app.why_not(action.id)
            said = f"{action.key}  {action.help}" if why is None else f"{action.key}  not now: {why}"
            yield f"{action.label.capitalize()} {action.kind}", said, partial(app.action_act, action.id)
        for key in NAVIGATION:
            if key.id in {"help", "quit", "filter", "copy", "measure"}:
                yield key.help.capitalize(), key.shown, partial(app.run_action, key.id)
        for name in themes():
            yield f"Theme {name}", "colours", partial(app.set_theme, name)

    async def discover(self) -> Hits:
        """All of it, before anything is typed."""
        for text, said, run in self._entries():
            yield DiscoveryHit(text, run, help=said)

    async def search(self, query: str) -> Hits:
        """What matches, best first."""
        matcher = self.matcher(query)
        for text, said, run in self._entries():
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, matcher.highlight(text), run, help=said)

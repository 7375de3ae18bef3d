"""QuietScreen: the screens of the console, which send over the wire only what changed."""

from __future__ import annotations

from typing import TypeVar

from textual.reactive import Reactive
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from widgets.wire import TightCompositor

Result = TypeVar("Result")


class QuietScreen(Screen[Result]):
    """A Screen that sends lean bytes, and does not repaint whole when the focus moves (46 KB at 200x50)."""

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._compositor = TightCompositor()


class QuietModal(QuietScreen[Result], ModalScreen[Result]):
    """The same for dialogs."""

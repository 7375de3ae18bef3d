"""QuietScreen: a screen on which the focus may move without everything being painted again."""

from __future__ import annotations

from typing import TypeVar

from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

Result = TypeVar("Result")


class QuietScreen(Screen[Result]):
    """A Screen. Textual's own repaints whole (46 KB at 200x50, measured) whenever another widget gets the focus."""

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

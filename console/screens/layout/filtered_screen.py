"""A screen with one table and a filter prompt: `/` filters while typing, Esc restores the previous filter."""

from __future__ import annotations

from typing import Any

from textual import on

from console.runtime.errors import FilterError
from widgets.prompt import Prompt
from widgets.table import VirtualTable

from .screen import WachtScreen


class FilteredScreen(WachtScreen):
    """The filter prompt and its keys. Subclasses define what a filter means."""

    table: VirtualTable[Any]

    def __init__(self) -> None:
        super().__init__()
        self._filter_before = ""

    @property
    def filter_text(self) -> str:
        """The active filter as typed; "" for none."""
        raise NotImplementedError

    def set_filter(self, text: str) -> None:
        """Filter by this text; "" shows all. Raises FilterError."""
        raise NotImplementedError

    def action_filter(self) -> None:
        """Open the filter prompt with the active filter."""
        self._filter_before = self.filter_text
        self.app.input.prepare_completions()
        self.prompt.open("/", self._filter_before, self.app.input.completions.screen_filters)

    def action_back(self) -> None:
        """Esc clears one thing at a time: the marks, then the filter."""
        if self.table.marked:
            self.table.mark(())
        elif self.filter_text:
            self.set_filter("")
        else:
            super().action_back()

    @on(Prompt.Edited)
    def _edited(self, event: Prompt.Edited) -> None:
        if event.kind == "/":
            self._apply(event.value, event.prompt, typing=True)

    @on(Prompt.Cancelled)
    def _cancelled(self, event: Prompt.Cancelled) -> None:
        """Restore the filter that was active before the prompt was opened."""
        if event.kind == "/":
            self.set_filter(self._filter_before)

    @on(Prompt.Submitted)
    def _submitted(self, event: Prompt.Submitted) -> None:
        if event.kind == "/" and self._apply(event.value, event.prompt):
            event.prompt.close()
            self.table.focus()

    def _apply(self, text: str, prompt: Prompt, typing: bool = False) -> bool:
        try:
            self.set_filter(self.app.input.filters.expand(text, self.crumb))
        except FilterError as error:
            # An incomplete filter is not an error yet: show how it can be completed.
            if not (typing and prompt.hint()):
                prompt.show_message(str(error))
            return False
        prompt.hint()
        return True

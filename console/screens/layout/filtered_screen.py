"""A screen with one table and a line that filters it: `/`, tried while it is typed, taken back with Esc."""

from __future__ import annotations

from typing import Any

from textual import on

from console.runtime.errors import FilterError
from widgets.prompt import Prompt
from widgets.table import VirtualTable

from .screen import WachtScreen


class FilteredScreen(WachtScreen):
    """The filter line and its keys. What a filter means is for the screen to say."""

    table: VirtualTable[Any]

    def __init__(self) -> None:
        super().__init__()
        self._filter_before = ""

    @property
    def filter_text(self) -> str:
        """The filter that is on, as typed; "" where there is none."""
        raise NotImplementedError

    def set_filter(self, text: str) -> None:
        """Filter by this text; "" shows all. Raises FilterError."""
        raise NotImplementedError

    def action_filter(self) -> None:
        """Open the filter line with the filter that is on."""
        self._filter_before = self.filter_text
        self.app.prepare_completions()
        self.prompt.open("/", self._filter_before, self.app.completions.screen_filters)

    def action_back(self) -> None:
        """Esc takes away one thing at a time: the marks, then the filter."""
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
        """What was tried while typing is taken back."""
        if event.kind == "/":
            self.set_filter(self._filter_before)

    @on(Prompt.Submitted)
    def _submitted(self, event: Prompt.Submitted) -> None:
        if event.kind == "/" and self._apply(event.value, event.prompt):
            event.prompt.close()
            self.table.focus()

    def _apply(self, text: str, prompt: Prompt, typing: bool = False) -> bool:
        try:
            self.set_filter(self.app.filters.expand(text, self.crumb))
        except FilterError as error:
            # Half a filter is no mistake yet: what it may become helps more.
            if not (typing and prompt.hint()):
                prompt.show_message(str(error))
            return False
        prompt.hint()
        return True

"""What the inspections of a node and of a job share: pushed on top of a list, Esc goes back to it."""

from __future__ import annotations

from collections.abc import Sequence

from widgets.key_bar import KeyHint
from widgets.pane import Pane

from .screen import WachtScreen


class Inspection(WachtScreen):
    """One thing, `key`, in full."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.facts = Pane(key, scroll=True, wrap=True, id="facts")

    @property
    def here(self) -> str:
        """What is inspected."""
        return self.key

    def keys(self) -> Sequence[KeyHint]:
        """Ways around."""
        return (KeyHint("Enter", "open"), KeyHint("Tab", "next pane"), KeyHint("y", "copy"), KeyHint("Esc", "back"))

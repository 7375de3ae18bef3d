"""QuietApp and QuietScreen: Textual's, but what they send over the wire is only what changed."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from rich.console import RenderableType
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.events import Event, Resize
from textual.reactive import Reactive
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from widgets.wire import Glass, GlassUpdate

Result = TypeVar("Result")


class QuietScreen(Screen[Result]):
    """A Screen that is not painted whole when the focus moves."""

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)


class QuietModal(QuietScreen[Result], ModalScreen[Result]):
    """The same for dialogs."""


class QuietApp(App[Result]):
    """An App that keeps in mind what the terminal shows. Its screens should be Quiet, but any screen may be shown."""

    def __init__(self, **options: Any) -> None:
        self.glass = Glass()
        super().__init__(**options)

    def get_default_screen(self) -> Screen[Any]:
        """The first screen."""
        return QuietScreen(id="_default")

    def on_mount(self) -> None:
        """After Ctrl+Z the terminal has shown other things."""
        self.app_resume_signal.subscribe(self, lambda _: self.glass.forget())

    async def on_event(self, event: Event) -> None:
        """A terminal that is resized may have moved or lost what it showed."""
        if isinstance(event, Resize):
            self.glass.forget()
        await super().on_event(event)

    def action_redraw(self) -> None:
        """Send everything again: somebody else wrote on the terminal."""
        self.glass.forget()
        self.screen.refresh()

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """The one place where Textual writes what is seen."""
        if isinstance(renderable, (ChopsUpdate, LayoutUpdate)):
            update = GlassUpdate(renderable, self.glass, self.size.width)
            super()._display(screen, cast("RenderableType", update))
        else:
            if renderable is not None:
                self.glass.forget()
            super()._display(screen, renderable)

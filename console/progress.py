"""A long action on its way: how far it is, what was refused, and a hand on it between two batches."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from console import preview
from console.outcome import Progress
from console.plan import Plan
from widgets.cells import Span
from widgets.pane import Line, Pane
from widgets.quiet import QuietModal

_WORDS = {"pending": "sent", "failed": "refused", "unknown": "unknown", "dropped": "left out", "done": "done"}
_ROLES = {"failed": "bad", "unknown": "warn", "dropped": "warn"}


class ProgressDialog(QuietModal[None]):
    """Shown while batches go out and until it is closed. Esc hides it; the action goes on without it."""

    DEFAULT_CSS = """
    ProgressDialog { align: center middle; background: $background 60%; }
    ProgressDialog Pane { width: 76; height: 7; background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", show=False),
        Binding("s", "stop", "Stop", show=False),
        Binding("escape", "hide", "Hide", show=False),
    ]

    def __init__(self, plan: Plan, progress: Progress) -> None:
        super().__init__()
        self.plan = plan
        self.progress = progress
        self._box = Pane(preview.title(plan))

    def compose(self) -> ComposeResult:
        """One pane."""
        yield self._box

    def on_mount(self) -> None:
        """Look twice a second; nothing moves in between."""
        self._tell()
        self.set_interval(0.5, self._tell)

    def _tell(self) -> None:
        progress = self.progress
        results = list(progress.results.values())
        words = Counter(result.state for result in results)
        told: list[Span] = [(f"{count:,} {_WORDS[state]}   ", _ROLES.get(state, "")) for state, count in words.items()]
        state = ("going out, a batch at a time", "accent")
        if progress.ended:
            state = ("nothing more is sent; what came of it is read back", "text-strong")
        elif progress.stopped:
            state = ("stopped: the rest is not sent", "warn")
        elif progress.paused:
            state = ("paused: nothing further is sent", "warn")
        last = next((result.why for result in reversed(results) if result.state == "failed"), "")
        keys: list[Span] = [
            ("p", "key"), (" goes on" if progress.paused else " pauses", "text-dim"), ("   s", "key"),
            (" stops, the rest is left out", "text-dim"), ("   Esc", "key"), (" hides this", "text-dim"),
        ]  # fmt: skip
        if progress.ended:
            # It stays: a key meant for it must not reach the screen below.
            keys = [("Esc", "key"), (" closes this", "text-dim")]
        head: list[Span] = [(f"{len(results):,} of {progress.total:,}   ", "text-strong"), state]
        self._box.set_lines([Line(head), Line(told), Line([(last, "bad")]), Line([]), Line(keys)])

    def action_pause(self) -> None:
        """p: hold the next batch back, or let it go."""
        if self.progress.paused:
            self.progress.go_on()
        else:
            self.progress.pause()
        self._tell()

    def action_stop(self) -> None:
        """s: what was sent is sent; the rest stays."""
        self.progress.stop()
        self._tell()

    def action_hide(self) -> None:
        """Esc. Never what lies on top of it, nor, by a second Esc, the screen below."""
        if self.progress.paused and not self.progress.ended:
            return  # hidden nobody could let it go on
        if self.is_active:
            self.dismiss(None)

    def on_unmount(self) -> None:
        """Taken off while paused, by another screen: the rest is left out, where it would wait for ever."""
        if self.progress.paused:
            self.progress.stop()

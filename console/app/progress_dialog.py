"""The progress of an action that is sent in batches or waves, with keys to pause and stop it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from collectors.nodeset import fold
from console.actions.plan import Plan
from console.gate import preview
from console.gate.outcome import Progress, nodes_by_reason
from widgets.cells import Span
from widgets.pane import Pane, PaneLine
from widgets.terminal.quiet_app import QuietModal

_WORDS = {"pending": "sent", "sent": "sent", "failed": "refused", "unknown": "unknown",
          "dropped": "left out", "done": "done"}  # fmt: skip
#: Width of the dialog in cells; waves and reasons that it shows, the newest.
_WIDE, _MAX_WAVES, _MAX_REASONS = 76, 6, 3
_ROLES = {"failed": "bad", "unknown": "warn", "dropped": "warn"}


class ProgressDialog(QuietModal[None]):
    """Shown while batches are sent and until it is closed. Esc hides it; the action continues."""

    DEFAULT_CSS = """
    ProgressDialog { align: center middle; background: $background 60%; }
    ProgressDialog Pane { width: 76; max-width: 100%; height: 7; background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", show=False),
        Binding("s", "stop", "Stop", show=False),
        Binding("d", "drain_again", "Drain again", show=False),
        Binding("escape", "hide", "Hide", show=False),
    ]

    def __init__(self, plan: Plan, progress: Progress, drain_again: Callable[[Plan, Progress], None]) -> None:
        super().__init__()
        self._drain_again = drain_again
        self.plan = plan
        self.progress = progress
        self._box = Pane(preview.title(plan))

    def compose(self) -> ComposeResult:
        """One pane."""
        yield self._box

    def on_mount(self) -> None:
        """Update twice a second."""
        self._paint()
        self.set_interval(0.5, self._paint)

    def _paint(self) -> None:
        progress = self.progress
        results = list(progress.results.values())
        words = Counter(result.state for result in results)
        told: list[Span] = [(f"{count:,} {_WORDS[state]}   ", _ROLES.get(state, "")) for state, count in words.items()]
        waves = self.plan.waves is not None
        state = ("going out, a wave at a time" if waves else "going out, a batch at a time", "accent")
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
            # The dialog stays open: a key meant for it must not reach the screen below.
            keys = [("Esc", "key"), (" closes this", "text-dim")]
        head: list[Span] = [(f"{len(results):,} of {progress.total:,}   ", "text-strong"), state]
        made = [
            PaneLine(head),
            PaneLine(told),
            *(self._wave_lines() if waves else [PaneLine([(last, "bad")])]),
            PaneLine([]),
            PaneLine(keys),
        ]
        if progress.unfit:
            unfit = f" drains the {len(progress.unfit):,} that came back unfit, once you have said yes"
            made.append(PaneLine([("d", "key"), (unfit, "text-dim")]))
        self._box.styles.height = min(len(made) + 2, self.app.size.height)
        self._box.set_lines(made)

    def _wave_lines(self) -> list[PaneLine]:
        """The result of each wave, nodes set aside with the reason, and what is waited for."""
        progress, width = self.progress, _WIDE - 4
        found = [(one, "") for one in progress.wave_log[-_MAX_WAVES:]]
        whys = nodes_by_reason(dict(progress.aside))
        found += [(f"set aside  {fold(nodes)}: {why}", "warn") for why, nodes in list(whys.items())[:_MAX_REASONS]]
        if len(whys) > _MAX_REASONS:
            found.append((f"set aside  for {len(whys) - _MAX_REASONS} more reasons: :journal has them", "warn"))
        if progress.hold_reason:
            found.append((f"paused: {progress.hold_reason}", "bad"))
        elif progress.wave and not progress.ended and not progress.stopped:
            found.append((progress.wave, "accent"))
        return [
            PaneLine([(piece, role)])
            for text, role in found
            for piece in textwrap.wrap(text, width, subsequent_indent="  ", max_lines=2, placeholder=" …")
        ]

    def action_pause(self) -> None:
        """Key `p`: hold back the next batch, or continue."""
        if self.progress.paused:
            self.progress.resume()
        else:
            self.progress.pause()
        self._paint()

    def action_stop(self) -> None:
        """Key `s`: send no further batch."""
        self.progress.stop()
        self._paint()

    def action_drain_again(self) -> None:
        """Key `d`: ask whether nodes that came back unfit are drained again."""
        if self.progress.unfit and self.is_active:
            self._drain_again(self.plan, self.progress)

    def action_hide(self) -> None:
        """Esc: hide this dialog, never what is on top of it or below it."""
        if self.progress.paused and not self.progress.ended and self.plan.waves is None:
            return  # a paused batch is not hidden: it would be forgotten
        if self.is_active:
            self.dismiss(None)

    def on_unmount(self) -> None:
        """Stop if removed while paused: it would wait for ever. Paused waves keep waiting: the top line shows them, and
        `:progress` opens this dialog again."""
        if self.progress.paused and self.plan.waves is None:
            self.progress.stop()

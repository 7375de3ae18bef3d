"""The dialog between a key and a change: the reason, what it will do, and a confirmation that cannot be an accident.

Keys typed before the dialog was drawn are dropped, a paste confirms nothing, Enter alone confirms nothing.
"""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from console import preview
from console.gate import Gate
from console.plan import Plan, Refusal
from widgets.pane import Line, Pane
from widgets.quiet import QuietModal

Answer = tuple[Plan, str]
_WIDEST = 110


class _Answer(Input):
    """An input that keys can fill and a paste cannot."""

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()


class ConfirmDialog(QuietModal[Answer | None]):
    """Gives back the plan with what was typed, or None. It sends nothing."""

    DEFAULT_CSS = """
    ConfirmDialog { align: center middle; background: $background 60%; }
    ConfirmDialog > Vertical { width: 100%; max-width: 110; height: auto; max-height: 100%; background: $background; }
    ConfirmDialog Pane { width: 1fr; }
    ConfirmDialog #ask { height: 1; width: 1fr; }
    ConfirmDialog Input { border: none; height: 1; padding: 0 1; width: 1fr; background: $panel; color: $foreground; }
    ConfirmDialog Input:focus { border: none; background-tint: $foreground 0%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]
    AUTO_FOCUS = ""

    def __init__(self, gate: Gate, plan: Plan) -> None:
        super().__init__()
        self._gate = gate
        self.plan = plan
        self._armed_at: float | None = None
        """Messages made before this moment were typed for what was on the screen before."""
        self._box = Pane(preview.title(plan), scroll=True)
        self._ask = Pane(border=False, id="ask")
        self._reason = Input(placeholder="why, for everyone who reads it later", max_length=1000, id="reason")
        self._count = _Answer(restrict=r"[0-9]{0,7}", id="count")

    def compose(self) -> ComposeResult:
        """The preview, the question, one of the two inputs."""
        with Vertical():
            yield self._box
            yield self._ask
            yield self._reason
            yield self._count

    def on_mount(self) -> None:
        """Draw first, listen then."""
        self._show()
        self.call_after_refresh(self._arm)

    def _arm(self) -> None:
        self._armed_at = events.Key("a", None).time

    def _show(self) -> None:
        """The plan as it is now, and what is asked for next."""
        plan = self.plan
        rows = preview.rows(plan, min(self.app.size.width, _WIDEST) - 4)
        made = [Line([(f"{row.label:<{preview.LABEL}}", "text-dim"), (row.text, row.role)]) for row in rows]
        made.insert(0, Line([(f"{plan.action.label}: {plan.action.help}", "text-dim")]))
        room = max(3, self.app.size.height - 5)
        self._box.set_title([(preview.title(plan), "title")])
        self._box.set_lines(made)
        self._box.styles.height = min(len(made) + 2, room)
        self._reason.display = plan.lacks_reason
        self._count.display = not plan.lacks_reason and plan.confirm.kind == "count"
        kills = ("  it kills running work", "bad") if plan.kills else ("", "")
        if plan.lacks_reason:
            self._ask.set_lines([Line([(" reason, then Enter", "text-strong"), ("   Esc cancels", "text-dim")])])
            self._reason.focus()
        elif plan.confirm.kind == "count":
            count = f" type {plan.confirm.expect} to go on, then Enter"
            self._ask.set_lines([Line([(count, "text-strong"), ("   Esc cancels", "text-dim"), kills])])
            self._count.focus()
        else:
            asked = [(" y", "key"), (" goes on", "text-strong"), ("   Esc or any other key cancels", "text-dim"), kills]
            self._ask.set_lines([Line(asked)])
            self.set_focus(None)

    def _early(self, event: events.Event) -> bool:
        return self._armed_at is None or event.time < self._armed_at

    async def on_event(self, event: events.Event) -> None:
        """Drop what was typed before the dialog could be read."""
        if isinstance(event, events.Key | events.Paste) and self._early(event):
            event.stop()
            return
        await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        """The plain question: y, and nothing else."""
        if (
            self.plan.lacks_reason
            or self.plan.confirm.kind != "plain"
            or event.key in {"escape", "up", "down", "pageup", "pagedown"}
        ):
            return
        event.stop()
        self.dismiss((self.plan, "y") if event.key == "y" else None)

    def on_paste(self, event: events.Paste) -> None:
        """A paste answers nothing."""
        event.stop()

    @on(Input.Submitted, "#reason")
    def _reasoned(self, event: Input.Submitted) -> None:
        event.stop()
        given = self._gate.with_reason(self.plan, event.value)
        if isinstance(given, Refusal):
            again = self._gate.plan(self.plan.action.id, tuple(self.plan.seen), None, self.plan.cluster)
            if isinstance(again, Plan):
                self.plan = again
            self._ask.set_lines([Line([(f" {given.why}", "bad"), ("   Esc cancels", "text-dim")])])
            return
        self.plan = given
        self._armed_at = None
        self._show()
        self.call_after_refresh(self._arm)

    @on(Input.Submitted, "#count")
    def _counted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value == str(self.plan.confirm.expect):
            self.dismiss((self.plan, event.value))
        else:
            self._count.value = ""
            wrong = f" {event.value or 'nothing'} is not {self.plan.confirm.expect}: nothing was sent"
            self._ask.set_lines([Line([(wrong, "bad"), ("   Esc cancels", "text-dim")])])

    def action_cancel(self) -> None:
        """Nothing happens."""
        self.dismiss(None)

"""The dialog between a key and a change: the reason, the preview, and the confirmation.

Keys typed before the dialog was drawn are dropped. Neither a paste nor Enter alone confirms anything."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.widgets import Input

from collectors.clean import clean
from console.actions.option_parsing import OPTIONS, parse_option
from console.actions.plan import Plan, Refusal
from console.gate import preview
from console.gate.gate import Gate
from console.gate.preview import Fact
from widgets.pane import Pane, PaneLine
from widgets.terminal.quiet_app import QuietModal

Answer = tuple[Plan, str]
_WIDEST = 110
#: Placeholders of the options that may be given besides the reason.
_EXTRA_OPTIONS = {
    "resume_after_s": "auto-resume after (2h, 3d); empty: until it is resumed by hand",
    "seconds": "for how long (30m, 4h, 2d); empty: as above",
    "next_state": "comes back as resume or down; empty: as above",
}
_EXTRA_LABELS = {"resume_after_s": "back after", "seconds": "for how long", "next_state": "comes back as"}
_NAMES = {field: name for name, field in OPTIONS.items()}


def _line(row: Fact) -> PaneLine:
    return PaneLine([(f"{row.label:<{preview.LABEL}}", "text-dim"), (row.text, row.role)])


def _split_at_reason(made: Sequence[Fact]) -> tuple[list[Fact], list[Fact]]:
    """The preview rows, split into those before the reason and command, and these."""
    at = next((at for at, row in enumerate(made) if row.label in preview.ASKED), len(made))
    return list(made[:at]), list(made[at:])


def _shorten(asked: Sequence[Fact], most: int) -> list[Fact]:
    """At most `most` rows of the reason and the command, some of each. A cut text ends in an ellipsis."""
    at = next((at for at, row in enumerate(asked) if row.label == preview.ASKED[-1]), len(asked))
    first, last = asked[:at], asked[at:]
    some = first[: max(most // 2, most - len(last))]
    found: list[Fact] = []
    for rows, every in ((some, first), (last[: most - len(some)], last)):
        cut = len(rows) < len(every)
        found += [*rows[:-1], msgspec.structs.replace(rows[-1], text=f"{rows[-1].text} …")] if cut and rows else rows
    return found


class _AnswerInput(Input):
    """An input that takes keys but no paste."""

    def on_paste(self, event: events.Paste) -> None:
        """Ignore pastes."""
        event.stop()
        event.prevent_default()

    def action_paste(self) -> None:
        """Ignore Ctrl+V."""


class ConfirmDialog(QuietModal[Answer | None]):
    """Returns the plan with what was typed, or None. It sends nothing."""

    DEFAULT_CSS = """
    ConfirmDialog { align: center middle; background: $background 60%; }
    ConfirmDialog > Vertical { width: 100%; max-width: 110; height: auto; max-height: 100%; background: $background; }
    ConfirmDialog Pane { width: 1fr; }
    ConfirmDialog #ask { height: 1; width: 1fr; }
    ConfirmDialog Input { border: none; height: 1; padding: 0 1; width: 1fr; background: $panel; color: $foreground; }
    ConfirmDialog Input:focus { border: none; background-tint: $foreground 0%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", show=False),
        # The preview scrolls whichever input has the focus.
        Binding("up", "read('step', -1)", "Up", show=False),
        Binding("down", "read('step', 1)", "Down", show=False),
        Binding("pageup", "read('page', -1)", "Page up", show=False),
        Binding("pagedown", "read('page', 1)", "Page down", show=False),
    ]
    AUTO_FOCUS = ""

    def __init__(self, gate: Gate, plan: Plan, hint: str = "", notes: Sequence[str] = ()) -> None:
        """`hint` is the suggested reason: Enter takes it. `notes` are shown first."""
        super().__init__()
        self._gate = gate
        self.plan = plan
        self._notes = notes
        self._hint = hint
        self._answered = False
        self._armed_at: float | None = None
        """Events older than this were typed for what was on the screen before; None: take no key yet."""
        self._laid_out_for: Size | None = None
        """The screen size of the current layout."""
        self._box = Pane(preview.title(plan), scroll=True)
        self._pinned = Pane(border=False, id="kept")
        """Reason and command, pinned below a preview that is too long for the screen."""
        self._ask = Pane(border=False, id="ask")
        self._reason = Input(
            # The space separates the hint from what the person adds.
            f"{hint} " if hint else "",
            placeholder="why, for everyone who reads it later",
            max_length=1000,
            id="reason",
            select_on_focus=False,
        )
        self._extra_option = next(
            (one for one in _EXTRA_OPTIONS if one in plan.action.option_fields and plan.missing_reason), ""
        )
        """The option that may be given besides the reason; "" for none."""
        self._extra = Input(placeholder=_EXTRA_OPTIONS.get(self._extra_option, ""), max_length=20, id="more")
        self._count = _AnswerInput(max_length=80, id="count")

    def compose(self) -> ComposeResult:
        """The preview, the question, and the inputs."""
        with Vertical():
            yield self._box
            yield self._pinned
            yield self._ask
            yield self._reason
            yield self._extra
            yield self._count

    def on_mount(self) -> None:
        """Draw first, then accept keys."""
        self._show()
        self.call_when_shown(self._arm)

    def _arm(self) -> None:
        self._count.value = ""
        self._armed_at = events.Key("a", None).time

    def on_resize(self) -> None:
        """Lay out again, so that the question stays on the screen."""
        if self._laid_out_for not in (None, self.app.size):
            self._layout_plan()

    def _show(self) -> None:
        """Show the plan as it is now, and the next question."""
        self._layout_plan()
        if self.plan.missing_reason:
            self._reason.focus()
        elif self.plan.confirmation.kind != "plain":
            self._count.focus()
        else:
            self.set_focus(None)

    def _layout_plan(self) -> None:
        """Lay out everything for the size of the terminal."""
        plan = self.plan
        self._laid_out_for = self.app.size
        width = min(self.app.size.width, _WIDEST) - 4
        told, asked = _split_at_reason(preview.rows(plan, width, brief=True))
        notes = [piece for note in self._notes for piece in textwrap.wrap(note, width)]
        about = textwrap.wrap(f"{plan.action.label}: {plan.action.help}", width)
        made = [
            *(PaneLine([(piece, "text-dim")]) for piece in about),
            *(PaneLine([(piece, "warn")]) for piece in notes),
            *map(_line, told),
        ]
        room = max(3, self.app.size.height - 5 - bool(self._extra_option and plan.missing_reason))
        # When the preview does not fit, the reason and the command are pinned below what scrolls.
        reads_on = len(made) + len(asked) + 2 > room
        kept = _shorten(asked, max(2, room // 3)) if reads_on else []
        if kept != asked:
            made += map(_line, asked)
        self._box.set_title([(preview.title(plan), "title")], "PgDn reads on" if reads_on else "")
        self._box.set_lines(made)
        self._box.styles.height = min(len(made) + 2, room - len(kept))
        self._pinned.set_lines([one._replace(spans=[(" ", ""), *one.spans]) for one in map(_line, kept)])
        self._pinned.styles.height = len(kept)
        self._pinned.display = bool(kept)
        self._reason.display = plan.missing_reason
        self._extra.display = plan.missing_reason and bool(self._extra_option)
        self._count.display = not plan.missing_reason and plan.confirmation.kind != "plain"
        kills = ("  it kills running work", "bad") if plan.kills else ("", "")
        esc = ("   Esc cancels", "text-dim")
        if plan.missing_reason:
            tab = (f"   Tab: {_EXTRA_LABELS[self._extra_option]}" if self._extra_option else "", "text-dim")
            self._ask.set_lines([PaneLine([(" reason, then Enter", "text-strong"), tab, esc])])
        elif plan.confirmation.kind != "plain":
            words = plan.confirmation.prompt
            if not words.isdecimal():
                words = f"the word{'s' if ' ' in words else ''} {words}"
            wanted = f" type {words}, then Enter"
            # The top of the preview already shows why the glass must be broken.
            why = (
                kills
                if plan.confirmation.kind == "break" or not plan.confirmation.why
                else (f"  {plan.confirmation.why}", "bad")
            )
            # The warning that work is killed precedes the hint for leaving: a narrow screen cuts the end of the line.
            self._ask.set_lines([PaneLine([(wanted, "text-strong"), why, esc])])
        else:
            other = (esc[0].replace("Esc cancels", "Esc or any other key cancels"), "text-dim")
            self._ask.set_lines([PaneLine([(" y", "key"), (" goes on", "text-strong"), kills, other])])

    def is_too_early(self, event: events.Event) -> bool:
        """Whether an event was typed before the dialog could be read. Esc is always accepted."""
        typed = isinstance(event, events.Paste) or (isinstance(event, events.Key) and event.key != "escape")
        return typed and (self._armed_at is None or event.time < self._armed_at)

    async def on_event(self, event: events.Event) -> None:
        """Drop events for which `is_too_early` holds: they were typed for the screen below."""
        if self.is_too_early(event):
            event.stop()
            return
        await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        """Plain confirmation: `y` confirms, any other key cancels."""
        if (
            self.plan.missing_reason
            or self.plan.confirmation.kind != "plain"
            or event.key in {"escape", "up", "down", "pageup", "pagedown"}
        ):
            return
        event.stop()
        self._answer((self.plan, "y") if event.key == "y" else None)

    def on_paste(self, event: events.Paste) -> None:
        """A paste confirms nothing."""
        event.stop()

    @on(Input.Submitted, "#reason")
    @on(Input.Submitted, "#more")
    def _reason_given(self, event: Input.Submitted) -> None:
        event.stop()
        plan = self.plan
        try:
            more = parse_option(_NAMES[self._extra_option], self._extra.value) if self._extra.value.strip() else {}
        except ValueError as error:
            self._show_error(str(error))
            return
        options = msgspec.structs.replace(plan.options, **more, prefilled_reason=self._hint)
        given = self._gate.with_reason(plan, self._reason.value, options)
        if isinstance(given, Refusal):
            self._show_error(given.why)
            return
        self.plan = given
        self._armed_at = None
        self._show()
        self.call_when_shown(self._arm)

    @on(Input.Submitted, "#count")
    def _word_given(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value == self.plan.confirmation.prompt:
            self._answer((self.plan, event.value))
        else:
            self._show_error(f"{event.value or 'nothing'} is not {self.plan.confirmation.prompt}: nothing was sent")
            self._armed_at = None  # drop keys that were typed before this error was drawn
            self.call_when_shown(self._arm)

    def _show_error(self, why: str) -> None:
        """Show what is wrong with the input, and wait for another one."""
        self._ask.set_lines([PaneLine([(f" {clean(why)}", "bad"), ("   Esc cancels", "text-dim")])])

    def action_read(self, how: str, by: int) -> None:
        """Scroll the preview."""
        (self._box.action_page if how == "page" else self._box.action_step)(by)

    def action_cancel(self) -> None:
        """Close the dialog; nothing is sent."""
        self._answer(None)

    def _answer(self, answer: Answer | None) -> None:
        """Return the answer once: key repeat of `y` would close the screen below, too."""
        if not self._answered:
            self._answered = True
            self.dismiss(answer)

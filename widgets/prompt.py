"""Prompt: the line for `/` filters and `:` commands, with history, completion and error messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import ClassVar

from msgspec import Struct
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from .cells import Span
from .role_styles import role_styles

MAX_ENTRIES = 500
"""Entries of a history."""
MAX_LENGTH = 4000
"""Most characters in the line; a longer paste is dropped."""
Complete = Callable[[str], Sequence[str]]
"""Maps the typed text to its completions as whole texts, best first."""
Hint = Callable[[str], str]
"""Maps the typed text to a line that explains it; "" for none."""
MAX_LINES = 8
"""Most lines of a message."""
_MIN_WIDTH = 20
"""Cells below which nothing is wrapped any narrower."""


class History(Struct):
    """What was typed before, newest last, no entry twice."""

    entries: list[str] = []
    at: int | None = None
    """Position of the user in it; None while they type something new."""
    typed: str = ""

    def add(self, text: str) -> None:
        """Add a text."""
        if text:
            self.entries = [*[entry for entry in self.entries if entry != text][-(MAX_ENTRIES - 1) :], text]
        self.at = None

    def older(self, typed: str) -> str | None:
        """The entry before; None where there is none."""
        if not self.entries or self.at == 0:
            return None
        if self.at is None:
            self.typed, self.at = typed, len(self.entries)
        self.at -= 1
        return self.entries[self.at]

    def older_with(self, typed: str, text: str) -> str | None:
        """The entry before that contains this text; None where there is none."""
        at, before = self.at, self.typed
        while (found := self.older(typed)) is not None:
            if text in found and found != typed:
                return found
        self.at, self.typed = at, before
        return None

    def newer(self) -> str | None:
        """The entry after; after the newest one the typed text."""
        if self.at is None:
            return None
        self.at += 1
        if self.at >= len(self.entries):
            self.at = None
            return self.typed
        return self.entries[self.at]


class _SpanLines(Widget):
    """Lines of spans, as many as are given."""

    ALLOW_SELECT = False

    def __init__(self, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._lines: Sequence[Sequence[Span]] = ()

    def show(self, *lines: Sequence[Span]) -> None:
        """Show other lines."""
        if lines != self._lines:
            if len(lines) != len(self._lines):
                self.styles.height = max(1, len(lines))
            self._lines = lines
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line."""
        return role_styles(self).line(self._lines[y] if y < len(self._lines) else (), self.size.width, on="bar")


class Prompt(Vertical):
    """Hidden until `open(kind)`. Enter submits, Esc cancels, up and down move in the history, Ctrl+R searches it, Tab
    completes.
    """

    DEFAULT_CSS = """
    Prompt { dock: bottom; height: auto; background: $panel; display: none; }
    Prompt.-open { display: block; }
    Prompt > Horizontal, Prompt .row { layout: horizontal; height: 1; }
    Prompt .sign { width: 3; height: 1; }
    Prompt Input { border: none; height: 1; padding: 0; width: 1fr; background: $panel; color: $foreground; }
    Prompt Input:focus { border: none; background-tint: $foreground 0%; }
    Prompt .say { display: none; }
    Prompt.-say .say { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    class PromptMessage(Message):
        """A message of a prompt: its prompt, the kind of line, and the text."""

        def __init__(self, prompt: Prompt, kind: str, value: str = "") -> None:
            super().__init__()
            self.prompt, self.kind, self.value = prompt, kind, value

        @property
        def control(self) -> Prompt:
            """The prompt."""
            return self.prompt

    class Submitted(PromptMessage):
        """Enter was pressed. The prompt stays open until it is closed, so that an error can be shown."""

    class Edited(PromptMessage):
        """The text changed: filters work while they are typed."""

        def can_replace(self, message: Message) -> bool:
            """Only the newest text counts."""
            return isinstance(message, Prompt.Edited) and message.prompt is self.prompt

    class Cancelled(PromptMessage):
        """Esc was pressed; the prompt has closed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.kind = "/"
        self.complete: Complete | None = None
        """Called with the text on Tab and, for the line below, while typing."""
        self.explain: Hint | None = None
        """Called with the text while typing, for the last line."""
        self.histories: dict[str, History] = {}
        self._before: Widget | None = None
        self._sign = _SpanLines(classes="sign")
        self._input = Input(select_on_focus=False, max_length=MAX_LENGTH)
        self._say = _SpanLines(classes="say")
        self._tabs: list[str] = []
        self._tab_at = -1

    def compose(self) -> ComposeResult:
        """The sign, the input, and the line below."""
        with Vertical(classes="row"):
            yield self._sign
            yield self._input
        yield self._say

    @property
    def is_open(self) -> bool:
        """Whether it is shown."""
        return self.has_class("-open")

    @property
    def value(self) -> str:
        """The typed text."""
        return self._input.value

    def open(
        self, kind: str = "/", value: str = "", complete: Complete | None = None, explain: Hint | None = None
    ) -> None:
        """Show it with the sign of its kind (`/` or `:`), and take the focus."""
        self.kind, self.complete, self.explain = kind, complete, explain
        self._before = self.screen.focused
        self._sign.show(((f" {kind} ", "key"),))
        with self._input.prevent(Input.Changed):
            self._input.value = value
        self._input.cursor_position = len(value)
        self._history.at = None
        self._tabs = []
        self.show_message("")
        if value and explain is not None:
            self.hint()
        self.add_class("-open")
        # Immediately: text typed together with the sign follows closely.
        self.screen.set_focus(self._input, scroll_visible=False)

    def close(self) -> None:
        """Hide it and return the focus."""
        self.remove_class("-open")
        before, self._before = self._before, None
        self.screen.set_focus(before if before is not None and before.is_attached else None, scroll_visible=False)

    def show_message(self, text: str, role: str = "bad") -> None:
        """Show a message below the input: why the text is refused, or its completions. "" removes it."""
        lines = text.split("\n")
        if role == "bad":
            room = max(_MIN_WIDTH, self.size.width - 4)
            lines = [piece for line in lines for piece in wrap(line, room, subsequent_indent="    ")]
        lines = lines[:MAX_LINES]
        self._say.show(*(((" " * 3, ""), (line, role if at == 0 else "text-dim")) for at, line in enumerate(lines)))
        self.set_class(bool(text), "-say")

    @property
    def _history(self) -> History:
        return self.histories.setdefault(self.kind, History())

    def action_cancel(self) -> None:
        """Close without doing anything."""
        kind = self.kind
        self.close()
        self.post_message(self.Cancelled(self, kind))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Report the change, and show the completions."""
        event.stop()
        if self._tabs and event.value in self._tabs:
            return
        self._tabs = []
        self.hint()
        self.post_message(self.Edited(self, self.kind, event.value))

    def hint(self) -> bool:
        """Show the completions below the input, then what explains it. False when there are no completions."""
        text = self.value
        may = list(self.complete(text))[:12] if self.complete is not None and text else []
        # Completions begin with the typed text: only the new word is shown.
        kept = text.rfind(" ") + 1
        found = "  ".join(one[kept:] for one in may if one != text)
        explained = self.explain(text) if self.explain is not None else ""
        self.show_message("\n".join(filter(None, (found, explained))), "text-dim")
        return any(one != text for one in may)

    def on_key(self, event: Key) -> None:
        """Enter, history and completion."""
        if event.key == "enter":
            # Handled here and not at Input's own message: by then more may have been typed.
            event.stop()
            event.prevent_default()
            self._history.add(self.value.strip())
            self.post_message(self.Submitted(self, self.kind, self.value))
            return
        if event.key in {"up", "down"}:
            found = self._history.older(self.value) if event.key == "up" else self._history.newer()
        elif event.key == "ctrl+r":
            # Repeated, it continues from its position: the first search text is kept.
            wanted = self._history.typed if self._history.at is not None else self.value
            found = self._history.older_with(self.value, wanted)
        elif event.key in {"tab", "shift+tab"}:
            found = self._completed(1 if event.key == "tab" else -1)
        else:
            return
        event.stop()
        event.prevent_default()
        if found is not None:
            self._input.value = found
            self._input.cursor_position = len(found)

    def _completed(self, by: int) -> str | None:
        if not self._tabs:
            self._tabs = list(self.complete(self.value)) if self.complete is not None else []
            self._tab_at = -1 if by > 0 else 0
        if not self._tabs:
            return None
        self._tab_at = (self._tab_at + by) % len(self._tabs)
        return self._tabs[self._tab_at]

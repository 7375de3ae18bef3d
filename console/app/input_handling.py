"""Keys through the keymap, the `:` and `/` prompts with their history and completion, and saved filters.

Files are read and written in a thread (`console.runtime.state_files`): a hanging home directory never blocks a key."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from textual import events
from textual.widgets import Input

from collectors.clean import clean
from collectors.model import Cluster
from console.config.commands import CommandError, completer
from console.config.keymap import Keymap, pressed, read_keys
from console.config.paths import state_folder
from console.config.saved_filters import (
    LISTS,
    SavedFilters,
    checked_filter,
    filters_file,
    forget_line,
    read_filters,
    save_line,
)
from console.config.settings import Config
from console.config.theme_files import ThemeChoice
from console.filters import completion
from console.journal.shifts import NOTE_EVERY_S, shift_line, shifts_file
from console.runtime.errors import FilterError
from console.runtime.state_files import BackgroundWriter, StateFile, StateFileFault, newest
from console.screens.layout.screen import WachtScreen
from widgets.key_bar import KeyBar
from widgets.prompt import History, Prompt

if TYPE_CHECKING:
    from console.screens.layout.app_port import ConsoleApp

from . import replay_mode

T = TypeVar("T", bound=events.Event)

if TYPE_CHECKING:
    from .palette import PaletteEntry

#: Lines of the history file, of all kinds together.
MAX_HISTORY = 500
PALETTE_HISTORY = "^"
"""Prefix of palette choices in the history file; the prompts use their own sign."""


def _same_moment(event: events.Event, instead: T) -> T:
    """Give the replacement event the time of the original: dialogs check when a key was typed."""
    instead.time = event.time
    return instead


class InputHandling(replay_mode.ReplayMode):
    """The part of the app that keys and prompts go through."""

    config: Config
    looks: ThemeChoice
    press_next: Callable[[str, float], None]
    """From `widgets.terminal.input_queue`."""
    views: dict[str, bool]
    """View name to whether it is switched on."""

    def init_input(self, config: Config) -> None:
        """Called before the first screen is created. Reads no file."""
        self.keymap: Keymap = read_keys(config.keys)
        self.histories: dict[str, History] = {sign: History() for sign in (":", "/", PALETTE_HISTORY)}
        self.filters: SavedFilters = read_filters(config.filters, ())
        self._saved_lines: list[str] = []
        self.completions = completion.LineCompletions(lambda: self.cluster)
        self.views = {}
        self._aside = BackgroundWriter()
        self._history = StateFile(state_folder() / "history", MAX_HISTORY, newest(MAX_HISTORY))
        self._saved = filters_file()
        self._views = StateFile(state_folder() / "views", 20, newest(20))
        self._shifts = shifts_file()
        self._shift_noted_mono: float | None = None
        self._save_warning_due = True
        self._completion_rows: dict[str, object] = {}

    def read_input_state(self) -> None:
        """Read the state files, and report faults in the configured keys and filters."""
        self._aside.do(self._read_state_files)
        for messages in (self.keymap.messages, self.filters.messages):
            if messages:
                more = f"  (and {len(messages) - 2} more: wacht keys)" if len(messages) > 2 else ""
                self.show_message("\n".join(messages[:2]) + more, "warning")

    def _read_state_files(self) -> None:
        try:
            lines, saved, views = self._history.read(), self._saved.read(), self._views.read()
        except StateFileFault as error:
            self._call_on_loop(self._warn_not_saved, error)
            return
        self._call_on_loop(self._apply_state_files, lines, saved, views)

    def _apply_state_files(self, lines: list[str], saved: list[str], views: list[str]) -> None:
        for sign, history in self.histories.items():
            before = [line[1:] for line in lines if line.startswith(sign)]
            history.entries = [*(one for one in before if one not in history.entries), *history.entries]
        self._saved_lines = saved
        self._rebuild_filters()
        for line in views:
            name, _, on_off = line.partition(" ")
            self.views.setdefault(name, on_off == "on")
        if isinstance(self.screen, WachtScreen):
            self.screen.views_changed()
        if own := self.filters.messages[len(read_filters(self.config.filters, ()).messages) :]:
            self.show_message("\n".join(own[:2]), "warning")

    def _rebuild_filters(self) -> None:
        self.filters = read_filters(self.config.filters, self._saved_lines, self._saved.path)
        self.completions.saved = {screen: self.filters.on(screen) for screen in LISTS}

    def _warn_not_saved(self, error: StateFileFault) -> None:
        if self._save_warning_due:
            self._save_warning_due = False
            self.show_message(f"what is typed is not kept: {error}", "warning")

    def _call_on_loop(self, call: Callable[..., None], *given: Any) -> None:
        """Call it on the event loop without waiting; do nothing when the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self.call_later(call, *given)

    def record_shift(self) -> None:
        """Note every `NOTE_EVERY_S` seconds that this person is on shift, for the next hand-over."""
        mono = self.fleet.live.clock.mono()
        if self._shift_noted_mono is None or mono - self._shift_noted_mono >= NOTE_EVERY_S:
            self._shift_noted_mono = mono
            self._write_shift()

    def _write_shift(self) -> None:
        lines = [shift_line(name, at.clock.now()) for name, at in self.sessions.items() if not at.site.recorded]

        def work() -> None:
            # Not reported here: the hand-over says that the last shift is unknown.
            with contextlib.suppress(StateFileFault):
                for one in lines:
                    self._shifts.add(one)

        self._aside.do(work)

    def stop_reading(self) -> None:
        """Give pending writes a moment to finish."""
        super().stop_reading()
        if self._shift_noted_mono is not None:
            self._write_shift()
        self._aside.leave()

    # Keys.

    async def on_event(self, event: events.Event) -> None:
        """Translate a key through the keymap, and clean a paste like any foreign text."""
        if isinstance(event, events.Paste):
            event = _same_moment(event, events.Paste("\n".join(map(clean, event.text.splitlines()))))
        elif isinstance(event, events.Key) and not event.is_forwarded and self.keymap.turned:
            screen = self.screen if self.screen_stack else None
            # Dialogs have their own keys, and an input takes letters.
            if isinstance(screen, WachtScreen) and not isinstance(screen.focused, Input):
                turned = self.keymap.turn(event.key)
                if turned != event.key:
                    event = _same_moment(event, events.Key(turned or "nothing", event.character))
        await super().on_event(event)

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        """A key of the key bar was clicked."""
        self.press_next(pressed(event.key.key), event.time)

    def action_refresh(self) -> None:
        """Read every source again now."""
        self.poller.refresh_now()

    # Prompts.

    def action_command(self) -> None:
        """Open the `:` prompt."""
        self.open_command_line("")

    def open_command_line(self, text: str) -> None:
        """Open the `:` prompt with a text in it."""
        if isinstance(self.screen, WachtScreen):
            self.prepare_completions()
            self.screen.prompt.open(":", text, completer(lambda: self.cluster, self.looks.known, self.completions))

    def action_palette(self) -> None:
        """Open the command palette."""
        from .palette_screen import PaletteScreen

        def chosen(entry: PaletteEntry | None) -> None:
            if entry is not None:
                self.remember_choice(entry.name)
                self.call_next(self._run_entry, entry)

        if isinstance(self.screen, WachtScreen):
            self.push_screen(PaletteScreen(cast("ConsoleApp", self)), chosen)

    async def _run_entry(self, entry: PaletteEntry) -> None:
        try:
            done = entry.run()
            if isawaitable(done):
                await done
        except (CommandError, FilterError) as error:
            self.show_message(str(error), "warning")

    def prepare_completions(self) -> None:
        """Prepare the completions for this screen. A thread collects the field values from all rows."""
        self.completions.screen = self.screen.crumb if isinstance(self.screen, WachtScreen) else ""
        cluster = self.cluster
        for kind, rows in (("node", cluster.nodes), ("job", cluster.jobs)):
            if self._completion_rows.get(kind) is not rows:
                self._completion_rows[kind] = rows
                self._aside.do(partial(self._read_values, cluster, kind))

    def _read_values(self, cluster: Cluster, kind: str) -> None:
        self.completions.values.update({kind: completion.field_values(cluster, kind)})

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        """Save a submitted line; the prompt has added it to its own history already."""
        if event.value.strip():
            self._save_line(event.kind, event.value.strip())

    def remember_choice(self, name: str) -> None:
        """Save a palette choice so that it is offered first the next time."""
        self.histories[PALETTE_HISTORY].add(name)
        self._save_line(PALETTE_HISTORY, name)

    def _save_line(self, sign: str, text: str) -> None:
        self._append_line(self._history, sign + text, lambda: None)

    def _append_line(self, kept: StateFile, line: str, then: Callable[[], None]) -> None:
        def work() -> None:
            try:
                kept.add(line)
            except StateFileFault as error:
                self._call_on_loop(self._warn_not_saved, error)
            else:
                self._call_on_loop(then)

        self._aside.do(work)

    # Views.

    def switch_view(self, name: str, on: bool) -> None:
        """Switch a view on or off, and save it."""
        self.views[name] = on
        self._append_line(self._views, f"{name} {'on' if on else 'off'}", lambda: None)

    # Saved filters.

    def save_filter(self, name: str) -> None:
        """`:save NAME`. Raises CommandError, FilterError."""
        from console.screens.layout.filtered_screen import FilteredScreen

        screen = self.screen
        if not isinstance(screen, FilteredScreen):
            raise CommandError("only the lists of nodes and jobs, the accounts and the journal have a filter to save")
        one = checked_filter(name.removeprefix("@"), screen.filter_text, screen.crumb)
        self._saved_lines = [*self._saved_lines, save_line(one)]
        self._rebuild_filters()
        self._append_line(self._saved, save_line(one), lambda: self.show_message(f"saved: /@{one.name} is {one.text}"))

    def forget_filter(self, name: str) -> None:
        """`:forget NAME`. Raises CommandError."""
        name = name.removeprefix("@")
        if name not in self.filters.known:
            raise CommandError(f"no filter is saved as {clean(name)}")
        if self.filters.known[name] == read_filters(self.config.filters, ()).known.get(name):
            raise CommandError(f"@{name} stands in the configuration: take it out there")
        self._saved_lines = [*self._saved_lines, forget_line(name)]
        self._rebuild_filters()
        self._append_line(self._saved, forget_line(name), lambda: self.show_message(f"@{name} is forgotten"))

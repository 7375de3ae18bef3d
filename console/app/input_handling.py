"""Keys through the keymap, the `:` and `/` prompts with their history and completion, saved filters and views.

Files are read and written in a thread (`console.runtime.state_files`): a hanging home directory never blocks a key."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from textual import events
from textual.widgets import Input

from collectors.clean import clean
from collectors.model import Cluster
from console.actions.action import Kind
from console.clusters.fleet import Fleet
from console.config.commands import CommandError, completer, hint
from console.config.keymap import Keymap, read_keys
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
from console.runtime.state_files import BackgroundWriter, StateFile, StateFileFault, newest
from console.screens.layout.screen import WachtScreen
from widgets.prompt import History

from .notifications import Notifications
from .ports import Screens

T = TypeVar("T", bound=events.Event)

#: Lines of the history file, of all kinds together.
MAX_HISTORY = 500
PALETTE_HISTORY = "^"
"""Prefix of palette choices in the history file; the prompts use their own sign."""
#: Messages about the configured keys and filters that are shown.
_MAX_MESSAGES = 2


def _same_moment(event: events.Event, instead: T) -> T:
    """Give the replacement event the time of the original: dialogs check when a key was typed."""
    instead.time = event.time
    return instead


class InputHandling:
    """What keys and prompts need: the keymap, histories, completions, saved filters and views."""

    def __init__(
        self, fleet: Fleet, notifications: Notifications, config: Config, looks: ThemeChoice,
        writer: BackgroundWriter, port: Screens,
    ) -> None:  # fmt: skip
        """Reads no file."""
        self._fleet, self._notify, self._config, self._looks = fleet, notifications, config, looks
        self._writer, self._port = writer, port
        self.keymap: Keymap = read_keys(config.keys)
        self.histories: dict[str, History] = {sign: History() for sign in (":", "/", PALETTE_HISTORY)}
        self.filters: SavedFilters = read_filters(config.filters, ())
        self.completions = completion.LineCompletions(lambda: fleet.cluster)
        self.completions.clusters = tuple(fleet.available)
        self.views: dict[str, bool] = {}
        """View name to whether it is switched on."""
        self._saved_lines: list[str] = []
        self._history = StateFile(state_folder() / "history", MAX_HISTORY, newest(MAX_HISTORY))
        self._saved = filters_file()
        self._views = StateFile(state_folder() / "views", 20, newest(20))
        self._save_warning_due = True
        self._completion_rows: dict[str, object] = {}

    def read_state(self) -> None:
        """Read the state files, and report faults in the configured keys and filters."""
        self._writer.do(self._read_state_files)
        for messages in (self.keymap.messages, self.filters.messages):
            if messages:
                more = len(messages) - _MAX_MESSAGES
                and_more = f"  (and {more} more: wacht keys)" if more > 0 else ""
                self._notify.show("\n".join(messages[:_MAX_MESSAGES]) + and_more, "warning")

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
        if isinstance(self._port.screen, WachtScreen):
            self._port.screen.views_changed()
        if own := self.filters.messages[len(read_filters(self._config.filters, ()).messages) :]:
            self._notify.show("\n".join(own[:_MAX_MESSAGES]), "warning")

    def _warn_not_saved(self, error: StateFileFault) -> None:
        if self._save_warning_due:
            self._save_warning_due = False
            self._notify.show(f"what is typed is not kept: {error}", "warning")

    def _call_on_loop(self, call: Callable[..., None], *given: Any) -> None:
        """Call it on the event loop without waiting; do nothing when the loop has ended."""
        with contextlib.suppress(RuntimeError):
            self._port.call_later(call, *given)

    def _append_line(self, kept: StateFile, line: str, then: Callable[[], None] = lambda: None) -> None:
        def work() -> None:
            try:
                kept.add(line)
            except StateFileFault as error:
                self._call_on_loop(self._warn_not_saved, error)
            else:
                self._call_on_loop(then)

        self._writer.do(work)

    # Keys.

    def translate(self, event: events.Event) -> events.Event:
        """A key through the keymap; a paste cleaned like any foreign text; any other event as it is."""
        if isinstance(event, events.Paste):
            return _same_moment(event, events.Paste("\n".join(map(clean, event.text.splitlines()))))
        if isinstance(event, events.Key) and not event.is_forwarded and self.keymap.turned:
            screen = self._port.screen if self._port.screen_stack else None
            # Dialogs have their own keys, and an input takes letters.
            if isinstance(screen, WachtScreen) and not isinstance(screen.focused, Input):
                turned = self.keymap.turn(event.key)
                if turned != event.key:
                    return _same_moment(event, events.Key(turned or "nothing", event.character))
        return event

    def accepts(self, key_id: str) -> bool:
        """Whether a key of the app works on the screen that is shown; says why where it does not."""
        screen = self._port.screen
        if not isinstance(screen, WachtScreen) or screen.takes_keys is None or key_id in screen.takes_keys:
            return True
        back, search = self.keymap.first("back"), self.keymap.first("filter")
        self._notify.show(f"the {screen.crumb} is open: {back} closes it, {search} searches it")
        return False

    def undo_key(self) -> str:
        """The key of undo as displayed; "" for none."""
        return self.keymap.first("undo")

    def add_key(self, action_id: str, key: str) -> bool:
        """Add the key of a plugin's action; returns whether the key was free."""
        self.keymap = self.keymap.beside(action_id, key)
        return bool(self.keymap.keys[action_id])

    # Prompts.

    def open_command_line(self, text: str = "") -> None:
        """Open the `:` prompt with a text in it."""
        if isinstance(self._port.screen, WachtScreen):
            self.prepare_completions()
            offers = completer(lambda: self._fleet.cluster, self._looks.known, self.completions)
            self._port.screen.prompt.open(":", text, offers, hint)

    def prepare_completions(self) -> None:
        """Prepare the completions for this screen. A thread collects the field values from all rows."""
        screen, cluster = self._port.screen, self._fleet.cluster
        self.completions.screen = screen.crumb if isinstance(screen, WachtScreen) else ""
        for kind, rows in (("node", cluster.nodes), ("job", cluster.jobs)):
            if self._completion_rows.get(kind) is not rows:
                self._completion_rows[kind] = rows
                self._writer.do(partial(self._read_values, cluster, kind))

    def _read_values(self, cluster: Cluster, kind: str) -> None:
        self.completions.values.update({kind: completion.field_values(cluster, kind)})

    def save_line(self, sign: str, text: str) -> None:
        """Save a submitted line; the prompt has added it to its own history already."""
        if text.strip():
            self._append_line(self._history, sign + text.strip())

    def save_choice(self, name: str) -> None:
        """Save a palette choice so that it is offered first the next time."""
        self.histories[PALETTE_HISTORY].add(name)
        self._append_line(self._history, PALETTE_HISTORY + name)

    # Views.

    def switch_view(self, name: str, on: bool) -> None:
        """Switch a view on or off, and save it."""
        self.views[name] = on
        self._append_line(self._views, f"{name} {'on' if on else 'off'}")

    # Saved filters.

    def expand_targets(self, kind: Kind, words: Sequence[str]) -> list[str]:
        """Typed targets, with saved filters replaced. Raises ValueError."""
        return self.filters.targets(kind, words)

    def save_filter(self, name: str) -> None:
        """`:save NAME`. Raises CommandError, FilterError."""
        from console.screens.layout.filtered_screen import FilteredScreen

        screen = self._port.screen
        if not isinstance(screen, FilteredScreen):
            raise CommandError("only the lists of nodes and jobs, the accounts and the journal have a filter to save")
        one = checked_filter(name.removeprefix("@"), screen.filter_text, screen.crumb)
        self._add_filter_line(save_line(one), f"saved: /@{one.name} is {one.text}")

    def forget_filter(self, name: str) -> None:
        """`:forget NAME`. Raises CommandError."""
        name = name.removeprefix("@")
        if name not in self.filters.known:
            raise CommandError(f"no filter is saved as {clean(name)}")
        if self.filters.known[name] == read_filters(self._config.filters, ()).known.get(name):
            raise CommandError(f"@{name} is in the configuration: remove it there")
        self._add_filter_line(forget_line(name), f"@{name} is forgotten")

    def _add_filter_line(self, line: str, message: str) -> None:
        self._saved_lines = [*self._saved_lines, line]
        self._rebuild_filters()
        self._append_line(self._saved, line, lambda: self._notify.show(message))

    def _rebuild_filters(self) -> None:
        self.filters = read_filters(self._config.filters, self._saved_lines, self._saved.path)
        self.completions.saved = {screen: self.filters.on(screen) for screen in LISTS}

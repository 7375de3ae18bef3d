"""The command palette: a query, and below it the matches. Enter runs one.

It offers screens, actions, keys, `:` commands, themes, saved filters; nodes, racks and jobs by name. An action that is
refused now says why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any, Protocol

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.worker import get_current_worker

from collectors.clean import clean
from console.actions.registry import ACTIONS, NAVIGATION
from console.clusters.fleet import Fleet
from console.config.commands import OTHERS, SCREENS, CommandError
from console.config.theme_files import ThemeChoice
from console.runtime.errors import FilterError
from console.screens.layout.screen import WachtScreen
from widgets.cells import Span, cut, width
from widgets.pane import Pane, PaneLine
from widgets.terminal.quiet_app import QuietModal

from .acting import Acting
from .cluster_switching import ClusterSwitching
from .command_line import CommandLine
from .input_handling import PALETTE_HISTORY, InputHandling
from .navigation import Navigation
from .notifications import Notifications
from .palette import NamedRow, PaletteEntry, found, named
from .ports import Screens

_MAX_QUERY = 200
#: Navigation keys that make sense as palette entries, and those of them that the screen handles, not the app.
_APP_KEYS = frozenset({"help", "quit", "command", "copy", "copy_rows", "refresh", "redraw", "undo", "previous", "log",
         "look_back"})  # fmt: skip
_SCREEN_KEYS = frozenset({"filter", "measure", "zoom", "charts", "ssh", "beside"})


class PalettePort(Screens, Protocol):
    """What it uses of the Textual app."""

    async def run_action(self, action: str) -> Any:
        """Run an action of Textual by its name."""


class Palette:
    """Opens the palette, and runs what was chosen."""

    def __init__(
        self, fleet: Fleet, notifications: Notifications, input: InputHandling, navigation: Navigation, acting: Acting,
        clusters: ClusterSwitching, command_line: CommandLine, looks: ThemeChoice, port: PalettePort,
    ) -> None:  # fmt: skip
        self._fleet, self._notifications, self._input, self._navigation = fleet, notifications, input, navigation
        self._acting, self._clusters, self._command_line = acting, clusters, command_line
        self._looks, self._port = looks, port

    def open(self) -> None:
        """Open the command palette."""

        def chosen(entry: PaletteEntry | None) -> None:
            if entry is not None:
                self._input.save_choice(entry.name)
                self._port.call_next(self._run, entry)

        if isinstance(self._port.screen, WachtScreen):
            recent = tuple(self._input.histories[PALETTE_HISTORY].entries)
            self._port.push_screen(PaletteScreen(self._fleet, self._navigation, tuple(self.entries()), recent), chosen)

    async def _run(self, entry: PaletteEntry) -> None:
        try:
            done = entry.run()
            if isawaitable(done):
                await done
        except (CommandError, FilterError) as error:
            self._notifications.show(str(error), "warning")

    def entries(self) -> Iterator[PaletteEntry]:
        """Every entry that does not depend on what is typed. `run` is called after the palette has closed."""
        keys, go, run_action = self._input.keymap, self._navigation.go, self._port.run_action
        for screen in SCREENS:
            yield PaletteEntry(f"Show {screen}", "screen", partial(go, screen), keys.first(screen))
        for action in ACTIONS:
            why = self._acting.refusal(action.id)
            description = action.help if why is None else f"not now: {why}"
            run = partial(self._acting.act, action.id)
            name = f"{action.label.capitalize()} {action.kind}"
            yield PaletteEntry(name, description, run, keys.first(action.id), why is not None)
        for key in NAVIGATION:
            if (run_key := _key_action(key.id)) is not None:
                name = key.help[0].upper() + key.help[1:]
                yield PaletteEntry(name, "key", partial(run_action, run_key), keys.first(key.id))
        for verb, help in OTHERS.items():
            yield PaletteEntry(f":{verb}", help, partial(self._input.open_command_line, f"{verb} "))
        for one in self._input.filters.known.values():
            for screen in one.on:
                yield PaletteEntry(f"Filter {screen} @{one.name}", one.text, partial(go, screen, f"@{one.name}"))
        for name in self._fleet.sites if len(self._fleet.sites) > 1 else ():
            yield PaletteEntry(f"Cluster {name}", "show it", partial(self._clusters.go_to, name))
        for name, look in self._looks.known.items():
            yield PaletteEntry(f"Theme {name}", look.says, partial(self._command_line.set_theme, name))


def _key_action(key: str) -> str | None:
    """The action of Textual behind a navigation key; None for keys that make no sense as palette entries."""
    if key in _SCREEN_KEYS:
        return f"screen.{key}"
    if key in _APP_KEYS:
        return f"app.key('{key}')"
    return "app.suspend_process" if key == "suspend_process" else None


class PaletteScreen(QuietModal[PaletteEntry | None]):
    """Returns the chosen entry, or None. It runs nothing itself."""

    DEFAULT_CSS = """
    PaletteScreen { align: center top; background: $background 60%; }
    PaletteScreen > Vertical { width: 100%; max-width: 110; height: 80%; margin: 1 0; background: $background; }
    """
    AUTO_FOCUS = "#found"

    def __init__(
        self, fleet: Fleet, navigation: Navigation, entries: Sequence[PaletteEntry], recent: Sequence[str]
    ) -> None:
        super().__init__()
        self._fleet, self._navigation = fleet, navigation
        self._entries = entries
        self._recent = recent
        self._query = ""
        self._named: list[NamedRow] = []
        self._shown: Sequence[PaletteEntry] = ()
        self._pane = Pane(select=True, empty_text="nothing is called that", id="found")

    def compose(self) -> ComposeResult:
        """One pane; its title is the query."""
        with Vertical():
            yield self._pane

    def on_mount(self) -> None:
        """Show all entries until something is typed."""
        self._paint()

    def on_resize(self) -> None:
        """Paint again for the new width."""
        self.call_after_refresh(self._paint)

    def _paint(self, keep: bool = False) -> None:
        """Show the matches. The cursor goes to the first one; with `keep` it stays where the person put it."""
        at = int(self._pane.cursor_key or 0)
        stays = self._shown[at] if keep and 0 < at < len(self._shown) else None
        self._shown = [*found(self._entries, self._query, self._recent), *map(self._name_entry, self._named)]
        typed: list[Span] = [
            ("› ", "key"),
            (self._query or "type a name", "text-strong" if self._query else "text-dim"),
        ]
        self._pane.set_title([*typed, ("▏", "accent")], [(f"{len(self._shown)}", "text-dim")] if self._query else "")
        if self._query:
            # An exact match of a name is listed first.
            self._shown = sorted(self._shown, key=lambda one: one.name.partition(" ")[2] != self._query)
        room = max(20, self._pane.size.width - 6)
        self._pane.set_lines([self._line(at, one, room) for at, one in enumerate(self._shown)])
        if stays is not None:
            self._pane.select_key(str(next(n for n, one in enumerate(self._shown) if one.name == stays.name)))
        elif self._shown:
            self._pane.select_key("0")
            self._pane.scroll_top(0)

    def _line(self, at: int, one: PaletteEntry, room: int) -> PaneLine:
        name = cut(one.name, room)
        description = cut(one.description, max(0, room - max(34, width(name) + 2) - len(one.key) - 1))
        pad = " " * max(2, 34 - width(name))
        role = "key-off" if one.refused else "text-strong"
        return PaneLine(
            ((name, role), (pad, ""), (description, "warn" if one.refused else "text-dim")),
            ((one.key, "key"),),
            str(at),
        )

    def _name_entry(self, one: NamedRow) -> PaletteEntry:
        kind, name, description = one
        if kind == "rack":
            return PaletteEntry(f"rack {name}", description, partial(self._navigation.go, "nodes", f"rack={name}"))
        return PaletteEntry(
            f"{kind} {name}", description, partial(self._navigation.open_row, "node" if kind == "node" else "job", name)
        )

    # Input.

    def on_key(self, event: events.Key) -> None:
        """Letters go to the query; other keys move the cursor, choose or close."""
        match event.key:
            case "escape" | "ctrl+p":
                self.dismiss(None)
            case "enter" | "up" | "down" | "pageup" | "pagedown" | "home" | "end":
                return
            case "backspace" | "ctrl+h":
                self._type(self._query[:-1])
            case "ctrl+u":
                self._type("")
            case "ctrl+w":
                self._type(self._query.rstrip().rpartition(" ")[0])
            case _ if event.is_printable and event.character:
                self._type(self._query + event.character)
            case _:
                return
        event.stop()
        event.prevent_default()

    def on_paste(self, event: events.Paste) -> None:
        """Add the first line to the query; choose nothing."""
        event.stop()
        lines = event.text.splitlines()
        self._type(self._query + (clean(lines[0]) if lines else ""))

    def _type(self, text: str) -> None:
        self._query = text[:_MAX_QUERY]
        low = self._query.strip().lower()
        self._named = [one for one in self._named if low and low in one[1].lower()]
        self._paint()
        self.run_worker(self._search, thread=True, group="names", exclusive=True, exit_on_error=False)

    def _search(self) -> None:
        """Search the cluster by name. Runs in a thread: there may be 100,000 jobs."""
        worker, query = get_current_worker(), self._query
        names = named(self._fleet.cluster, query)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._names_found, query, names)

    def _names_found(self, query: str, names: list[NamedRow]) -> None:
        if query == self._query and names != self._named and self.is_mounted:
            self._named = names
            self._paint(keep=True)

    @on(Pane.Opened)
    def _chosen(self, event: Pane.Opened) -> None:
        event.stop()
        at = int(event.key)
        self.dismiss(self._shown[at] if at < len(self._shown) else None)

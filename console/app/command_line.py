"""The `:` commands and the palette: each command or entry is handed to the controller that carries it out.

The palette offers screens, actions, keys, `:` commands, themes and saved filters; nodes, racks and jobs by name. An
action that is refused now says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Protocol

from collectors.clean import clean
from console.actions.registry import ACTIONS, NAVIGATION
from console.clusters.fleet import Fleet
from console.config.commands import FILTERED, OTHERS, SCREENS, Command, CommandError, entries, is_job, parse
from console.config.theme_files import ThemeChoice
from console.health.unknown_reasons import why_unknown
from console.runtime.errors import FilterError
from console.screens.layout.screen import WachtScreen
from widgets.prompt import Prompt

from .acting import Acting
from .cluster_switching import ClusterSwitching
from .command_runs import CommandRuns
from .input_handling import PALETTE_HISTORY, InputHandling
from .navigation import Navigation
from .notifications import Notifications
from .palette import NamedRow, PaletteEntry
from .ports import Terminal
from .replay_mode import ReplayMode
from .undo_actions import UndoActions

if TYPE_CHECKING:
    from .export_commands import ExportCommands


#: Navigation keys that make sense as palette entries, and those of them that the screen handles, not the app.
_APP_KEYS = frozenset({"help", "quit", "command", "copy", "copy_rows", "refresh", "redraw", "undo", "previous", "log",
         "look_back"})  # fmt: skip
_SCREEN_KEYS = frozenset({"filter", "measure", "zoom", "charts", "ssh", "beside"})


class CommandPort(Terminal, Protocol):
    """What it uses of the app besides the controllers."""

    @property
    def exports(self) -> ExportCommands: ...
    def leave(self) -> None: ...


class CommandLine:
    """Carries out commands."""

    def __init__(
        self, fleet: Fleet, notifications: Notifications, input: InputHandling, navigation: Navigation, acting: Acting,
        undoing: UndoActions, replay: ReplayMode, clusters: ClusterSwitching, looks: ThemeChoice, own: CommandRuns,
        port: CommandPort,
    ) -> None:  # fmt: skip
        self._fleet, self._notify, self._looks, self._port = fleet, notifications, looks, port
        self._input, self._navigation, self._acting, self._clusters = input, navigation, acting, clusters
        #: The commands that a word or line is enough for, each with what carries it out.
        self._simple: dict[str, Callable[[str], object]] = {
            "quit": lambda _: port.leave(),
            "help": lambda _: navigation.open_help(),
            "refresh": lambda _: fleet.session.poller.refresh_now(),
            "undo": lambda _: undoing.undo(),
            "at": lambda rest: replay.seek("at", rest),
            "next": lambda rest: replay.seek("next", rest),
            "theme": self.set_theme,
            "cluster": clusters.show,
            "close": clusters.close,
            "progress": lambda _: acting.rollout.open_again(),
            "common": lambda rest: navigation.compare(self._node_names(rest)),
            "node": self._open_node,
            "job": self._open_job,
            "log": navigation.open_log,
            "ssh": self._ssh,
            "filter": self._filter,
            "save": input.save_filter,
            "forget": input.forget_filter,
            **{name: partial(own.run, name) for name in own.reads()},
        }
        self._own = own

    def submit(self, event: Prompt.Submitted) -> None:
        """Carry out a line of the `:` prompt, and close the prompt or show there why not."""
        if event.kind != ":" or not event.prompt.is_open:
            return  # key repeat of Enter
        try:
            self.run(parse(event.value, self._input.keymap.leaves))
        except (CommandError, FilterError) as error:
            event.prompt.show_message(str(error))
        else:
            event.prompt.close()

    def run(self, command: Command) -> None:
        """Carry out a command. Raises CommandError, FilterError."""
        if command.verb in self._simple:
            self._simple[command.verb](command.rest)
        elif command.verb in {"export", "report"}:
            self._port.exports.carry_out(command)
        elif command.verb == "vendor":
            self._port.exports.vendor(command.rest, over=command.over)
        elif command.verb in SCREENS:
            self._navigation.go(command.verb, command.rest or None)
            if command.verb not in FILTERED and command.rest in self._fleet.cluster.nodes:
                self._open_node(command.rest)  # "who drained gpu0001"
        else:
            self._acting.run_command(command.verb, command.words)

    def run_or_show(self, command: Callable[[], object]) -> None:
        """Run what a key shares with a command, or show a message with the reason why not."""
        try:
            command()
        except CommandError as error:
            self._notify.show(str(error), "warning")

    def set_theme(self, name: str) -> None:
        """Switch to another theme. Raises CommandError."""
        if (why := self._looks.theme_fault(name)) is not None:
            raise CommandError(why)
        self._port.theme = name

    def _node_names(self, text: str) -> Sequence[str]:
        from console.actions import targets

        try:
            return targets.resolve("node", [text], self._fleet.cluster, self._fleet.session.clock.now()) if text else ()
        except ValueError as error:
            raise CommandError(f"{clean(text)}: {error}") from None

    def _open_node(self, name: str) -> None:
        cluster = self._fleet.cluster
        if name not in cluster.nodes:
            why = why_unknown(cluster, "nodes", mono=self._fleet.session.clock.mono())
            raise CommandError(why or f"no node {clean(name)} is known")
        self._navigation.open_row("node", name)

    def _ssh(self, name: str) -> None:
        screen = self._port.screen
        if name:
            self._navigation.ssh(name)
        elif isinstance(screen, WachtScreen):
            screen.action_ssh()

    def _open_job(self, key: str) -> None:
        # A job that is not in the queue has ended: its inspection asks the accounting.
        if key not in self._fleet.cluster.jobs and not is_job(key):
            raise CommandError(f"no job {clean(key)} is known")
        self._navigation.open_row("job", key)

    def _filter(self, text: str) -> None:
        from console.screens.layout.filtered_screen import FilteredScreen

        screen = self._port.screen
        if not isinstance(screen, FilteredScreen):
            raise CommandError("only the lists of nodes and jobs, the accounts and the journal can be filtered")
        screen.set_filter(self._input.filters.expand(text, screen.crumb))

    # The palette.

    def open_palette(self) -> None:
        """Open the palette, and run what is chosen."""
        from .palette_screen import PaletteScreen

        def chosen(entry: PaletteEntry | None) -> None:
            if entry is not None:
                self._input.save_choice(entry.name)
                self._port.call_next(self._run_entry, entry)

        if isinstance(self._port.screen, WachtScreen):
            recent = tuple(self._input.histories[PALETTE_HISTORY].entries)
            entries = tuple(self.palette_entries())
            self._port.push_screen(PaletteScreen(self._fleet, entries, recent, self._name_entry), chosen)

    async def _run_entry(self, entry: PaletteEntry) -> None:
        try:
            done = entry.run()
            if isawaitable(done):
                await done
        except (CommandError, FilterError) as error:
            self._notify.show(str(error), "warning")

    def palette_entries(self) -> Iterator[PaletteEntry]:
        """Every entry that does not depend on what is typed. `run` is called after the palette has closed."""
        every = entries()
        keys, go, run_action = self._input.keymap, self._navigation.go, self._port.run_action
        for screen in SCREENS:
            known = every[screen]
            yield PaletteEntry(
                f"Show {screen}", known.help, partial(go, screen), keys.first(screen), synonyms=known.synonyms
            )
        for action in ACTIONS:
            why = self._acting.refusal(action.id)
            description = action.help if why is None else f"not now: {why}"
            run = partial(self._acting.act, action.id)
            name = f"{action.label.capitalize()} {action.kind}"
            yield PaletteEntry(
                name, description, run, keys.first(action.id), why is not None, action.synonyms, action.help
            )
        for key in NAVIGATION:
            if (run_key := _key_action(key.id)) is not None:
                name = key.help[0].upper() + key.help[1:]
                yield PaletteEntry(name, "key", partial(run_action, run_key), keys.first(key.id), synonyms=key.synonyms)
        for verb in OTHERS:
            if _key_action(verb) is None or every[verb].signature != verb:  # else its key is there
                run = partial(self._input.open_command_line, f"{verb} ")
                yield PaletteEntry(f":{verb}", every[verb].help, run, synonyms=every[verb].synonyms)
        yield from self._own.palette_entries()
        for one in self._input.filters.known.values():
            for screen in one.on:
                yield PaletteEntry(f"Filter {screen} @{one.name}", one.text, partial(go, screen, f"@{one.name}"))
        for name in self._fleet.available if len(self._fleet.available) > 1 else ():
            yield PaletteEntry(f"Cluster {name}", "show it", partial(self._clusters.go_to, name))
        for name, look in self._looks.known.items():
            yield PaletteEntry(f"Theme {name}", look.says, partial(self.set_theme, name))

    def _name_entry(self, one: NamedRow) -> PaletteEntry:
        kind, name, description = one
        if kind == "rack":
            return PaletteEntry(f"rack {name}", description, partial(self._navigation.go, "nodes", f"rack={name}"))
        return PaletteEntry(
            f"{kind} {name}", description, partial(self._navigation.open_row, "node" if kind == "node" else "job", name)
        )


def _key_action(key: str) -> str | None:
    """The action of Textual behind a navigation key; None for keys that make no sense as palette entries."""
    if key in _SCREEN_KEYS:
        return f"screen.{key}"
    if key in _APP_KEYS:
        return f"app.key('{key}')"
    return "app.suspend_process" if key == "suspend_process" else None

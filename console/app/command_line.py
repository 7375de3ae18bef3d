"""The `:` commands: each is handed to the controller that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from textual.screen import Screen

from collectors.clean import clean
from console.clusters.fleet import Fleet
from console.config.commands import SCREENS, Command, CommandError, is_job, parse
from console.config.theme_files import ThemeChoice
from console.health.unknown_reasons import why_unknown
from console.runtime.errors import FilterError
from widgets.prompt import Prompt

from .acting import Acting
from .cluster_switching import ClusterSwitching
from .input_handling import InputHandling
from .navigation import Navigation
from .notifications import Notifications
from .replay_mode import ReplayMode
from .undo_actions import UndoActions

if TYPE_CHECKING:
    from .export_commands import ExportCommands


class CommandPort(Protocol):
    """What it uses of the app besides the controllers."""

    theme: Any
    """The name of the theme in use."""

    @property
    def screen(self) -> Screen[Any]:
        """The screen on top."""

    @property
    def exports(self) -> ExportCommands:
        """Opened when the first one is asked for."""

    def leave(self) -> None:
        """Quit."""

    def show_help(self) -> None:
        """Show all keys."""


class CommandLine:
    """Carries out commands."""

    def __init__(
        self, fleet: Fleet, notifications: Notifications, input: InputHandling, navigation: Navigation, acting: Acting,
        undoing: UndoActions, replay: ReplayMode, clusters: ClusterSwitching, looks: ThemeChoice, port: CommandPort,
    ) -> None:  # fmt: skip
        self._fleet, self._notifications, self._looks, self._port = fleet, notifications, looks, port
        self._input, self._navigation, self._acting = input, navigation, acting
        #: The commands that a word or line is enough for, each with what carries it out.
        self._simple: dict[str, Callable[[str], object]] = {
            "quit": lambda _: port.leave(),
            "help": lambda _: port.show_help(),
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
            "filter": self._filter,
            "save": input.save_filter,
            "forget": input.forget_filter,
        }

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
        else:
            self._acting.run_command(command.verb, command.words)

    def run_or_show(self, command: Callable[[], object]) -> None:
        """Run what a key shares with a command, or show a message with the reason why not."""
        try:
            command()
        except CommandError as error:
            self._notifications.show(str(error), "warning")

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

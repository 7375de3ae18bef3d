"""The app: it owns the controllers of this package and hands each key, message and command to one of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.worker import Worker

from collectors import process
from collectors.clock import Clock
from console.actions.registry import ACTIONS, NAVIGATION
from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.config.commands import SCREENS
from console.config.keymap import pressed
from console.config.settings import Config
from console.config.theme_files import read_themes
from console.health import automation
from console.health.xid_policy import Policy, load_policy
from console.runtime.state_files import BackgroundWriter
from console.session.cluster_sources import ClusterSources
from themes import register
from widgets.key_bar import KeyBar
from widgets.prompt import Prompt
from widgets.terminal.quiet_app import QuietScreen

from . import screen_factory
from .acting import Acting
from .cluster_screens import ClusterScreens
from .cluster_switching import ClusterSwitching
from .cluster_updates import ClusterChanged, ClusterUpdates, MomentChanged
from .command_line import CommandLine
from .command_runs import CommandRuns
from .error_reporting import ErrorReporting
from .input_handling import InputHandling
from .journal_queries import JournalQueries
from .navigation import Navigation
from .notifications import Notifications
from .plugin_loading import PluginLoading
from .replay_mode import CONTROLS, ReplayMode
from .shift_notes import ShiftNotes
from .terminal_app import TerminalApp
from .undo_actions import UndoActions

if TYPE_CHECKING:
    from .export_commands import ExportCommands

PLUGINS_S = 1.0
"""Seconds from the start until installed plugin packages are looked for; the first frame is out by then."""
#: What each navigation key of the app does; the others belong to a screen or a list.
KEYS: Mapping[str, Callable[[WachtApp], object]] = {
    "quit": lambda app: app.leave(),
    "help": lambda app: app.navigation.open_help(),
    "command": lambda app: app.input.open_command_line(),
    "palette": lambda app: app.command_line.open_palette(),
    "refresh": lambda app: app.session.poller.refresh_now(),
    "redraw": lambda app: app.action_redraw(),
    "copy": lambda app: app.navigation.copy(),
    "copy_rows": lambda app: app.exports.copy_rows(),
    "vendor": lambda app: app.command_line.run_or_show(app.exports.vendor),
    "common": lambda app: app.navigation.compare(),
    "log": lambda app: app.command_line.run_or_show(app.navigation.open_log),
    "previous": lambda app: app.navigation.go_back(),
    "undo": lambda app: app.undoing.undo(),
    "next_cluster": lambda app: app.clusters.next(),
    "look_back": lambda app: app.replay.look_back(),
    "go_to": lambda app: app.replay.ask_for_moment(),
    **{key: partial(lambda key, app: app.replay.control(key), key) for key in CONTROLS},
}


class WachtApp(TerminalApp):
    """The console."""

    MODES: ClassVar[Any] = {"_default": partial(QuietScreen, id="_default")}
    """The screen stack of the first cluster. Each further cluster adds a mode of its own."""
    SCREENS: ClassVar[Any] = {name: partial(screen_factory.make, name) for name in SCREENS}
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(",".join(key.keys), f"{'go' if key.id in SCREENS else 'key'}('{key.id}')", key.help, show=False)
            for key in NAVIGATION
            if key.id in SCREENS or key.id in KEYS
        ),
        *(Binding(action.binding, f"act('{action.id}')", action.help, show=False) for action in ACTIONS),
    ]

    def __init__(
        self, sources: ClusterSources, config: Config, clock: Clock | None = None, node: str | None = None,
        others: Sequence[ClusterSources] = (),
    ) -> None:  # fmt: skip
        """`others` are the clusters that this console may show besides that of `sources`."""
        super().__init__()
        self.config = config
        automation.configure(config.automation)
        if config.xid_policy is not None:
            self.policy = load_policy(config.xid_policy)  # a fault in it is reported before the console starts
        self.terminal_screen.links = config.links
        self._first_node = node
        self.looks = looks = read_themes(config.theme, os.environ, self.console.color_system)
        register(self, looks.first, looks.known)
        self.stylesheet.set_variables(self.get_css_variables())
        writer = BackgroundWriter()
        self.fleet = fleet = Fleet(ClusterSession(sources, config, clock), (sources, *others))
        self.notifications = notify = Notifications(fleet, self)
        self.error_reporting: ErrorReporting = ErrorReporting(fleet, notify, self)
        self.input: InputHandling = InputHandling(fleet, notify, config, looks, writer, self)
        self.journal_queries: JournalQueries = JournalQueries(self)
        self.shifts = ShiftNotes(fleet, writer)
        self.acting = acting = Acting(
            fleet, notify, self.journal_queries, self, self.input.expand_targets, self.input.undo_key
        )
        self.undoing: UndoActions = UndoActions(fleet, notify, acting, self)
        self.stacks = stacks = ClusterScreens(fleet, self)
        self.updates = updates = ClusterUpdates(
            fleet, notify, acting.outcomes, self.journal_queries, self.input, stacks, config, self
        )
        updates.attach(fleet.session)
        self.replay: ReplayMode = ReplayMode(
            fleet, notify, self.input, acting, self.journal_queries, updates, stacks, config, self
        )
        self.plugins = PluginLoading(fleet, notify, self.input, self)
        self.clusters: ClusterSwitching = ClusterSwitching(
            fleet, notify, self.input, self.journal_queries, self.undoing, updates, self.plugins, stacks, config,
            clock, self,
        )  # fmt: skip
        self.navigation: Navigation = Navigation(fleet, notify, self.input, acting.refusal, self)
        self.site_commands = CommandRuns(fleet, notify, self.input, self, config.commands)
        self.command_line: CommandLine = CommandLine(
            fleet, notify, self.input, self.navigation, acting, self.undoing, self.replay, self.clusters, looks,
            self.site_commands, self,
        )  # fmt: skip

    @cached_property
    def policy(self) -> Policy:  # type: ignore[override]
        """The XID policy. The one that ships with wacht is read when the first facts arrive."""
        return load_policy(self.config.xid_policy)

    @cached_property
    def exports(self) -> ExportCommands:
        """Imported when the first export is asked for: it knows every screen."""
        from .export_commands import ExportCommands

        return ExportCommands(self.fleet, self.notifications, self)

    # Keys, and messages of Textual.

    def action_go(self, screen: str) -> None:
        """Keys of screens."""
        if self.input.accepts(screen):
            self.navigation.go(screen)

    def action_act(self, action: str) -> None:
        """Keys of actions."""
        if self.input.accepts(action):
            self.acting.act(action)

    def action_site_command(self, name: str) -> None:
        """Keys of the site's own commands that only read."""
        if self.input.accepts(name):
            self.command_line.run_or_show(partial(self.site_commands.run, name))

    def action_key(self, key: str) -> None:
        """Keys of `KEYS`."""
        if self.input.accepts(key):
            KEYS[key](self)

    def on_mount(self) -> None:
        """Show the first screen, then start to read."""
        self.push_screen(self.config.screen or "overview")
        if self._first_node is not None:
            self.navigation.open_row("node", self._first_node)
        self.error_reporting.install_loop_handler()
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self.clusters.start)
        self.set_timer(PLUGINS_S, self.plugins.read)
        if self.looks.message:
            self.show_message(self.looks.message, "warning")
        self.site_commands.bind_keys()
        self.input.read_state()

    def _tick(self) -> None:
        if self.screen_stack:  # else the app is closing
            self.error_reporting.check()
            self.shifts.note()
            self.updates.tick()

    def on_cluster_changed(self, event: ClusterChanged) -> None:
        """A poller has newer facts."""
        self.updates.cluster_changed(event)

    def on_moment_changed(self, event: MomentChanged) -> None:
        """A player shows another moment."""
        self.replay.moment_changed(event)

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        """A line was typed."""
        self.command_line.submit(event)
        self.input.save_line(event.kind, event.value)

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        """A key of the key bar was clicked."""
        self.press_next(pressed(event.key.key), event.time)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A thread has ended."""
        self.error_reporting.worker_changed(event)

    def watch_theme(self, name: str) -> None:
        """Filter out colours that the theme does not allow."""
        self.colours = self.looks.known[name].colours

    def get_screen(self, screen: Any, screen_class: Any = None) -> Any:
        """Look up a screen name among the screens of the cluster that is shown."""
        return super().get_screen(self.stacks.installed(screen) if isinstance(screen, str) else screen, screen_class)

    # For screens and controllers.

    def show_message(self, text: str, severity: str = "information") -> None:
        """Show a message (toast) about the cluster on the screen."""
        self.notifications.show(text, severity)

    def stop_reading(self) -> None:
        """Stop every thread that polls, plays, records or writes, and give pending writes a moment to finish."""
        self.clusters.stop()
        self.shifts.end()

    def failing(self) -> None:
        """Drop the batches that are not sent yet when the console ends on an error."""
        self.acting.stop_sending()

    def leave(self) -> None:
        """Quit. Do not wait for a reading that hangs; wait for a change that is being sent."""
        self.acting.stop_sending()
        process.stop_all()
        self.exit()

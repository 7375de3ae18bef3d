"""The app: it owns the clusters, the screens and the gate; the mixins of this package hold what it can do."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

from textual import on
from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.driver import Driver

from collectors import process
from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import SourceFault
from console.actions.action import Kind
from console.actions.registry import ACTIONS, NAVIGATION
from console.app.error_reporting import ErrorReporting
from console.config.commands import SCREENS, Command, CommandError, is_job, parse
from console.config.settings import Config
from console.config.theme_files import read_themes
from console.health import automation
from console.health.unknown_reasons import why_unknown
from console.health.xid_policy import Policy, load_policy
from console.recording.location import recording_target
from console.runtime.browser_mode import in_browser
from console.runtime.errors import FilterError
from console.screens.layout.app_port import ConsoleApp
from console.screens.layout.screen import Inspection, WachtScreen
from console.session.site import Site
from themes import register
from widgets.prompt import Prompt
from widgets.terminal.colour_filter import filter_colours
from widgets.terminal.input_queue import InputQueueApp
from widgets.terminal.quiet_app import QuietScreen

from . import replay_mode, screen_factory
from .input_handling import InputHandling
from .plugin_loading import PluginLoading

_APP_KEYS = ("quit", "help", "command", "refresh", "palette", "copy", "copy_rows", "redraw", "common",
             "vendor", "log", "previous", "undo", "next_cluster", *replay_mode.KEYS)  # fmt: skip
"""Ids of the navigation keys that the app itself answers; the others belong to a screen or a list."""

View = tuple[str, list[tuple[type[Inspection], str]]]
"""What `-` goes back to: the name of a screen, and the inspections that were open on it."""
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PLUGINS_S = 1.0
"""Seconds from the start until installed plugin packages are looked for; the first frame is out by then."""


class WachtApp(InputQueueApp[None], InputHandling, PluginLoading, ErrorReporting, ConsoleApp):
    """The console."""

    TITLE = "wacht"
    CSS = """
    Toast { max-width: 90%; padding: 0 1; margin: 0; }
    ToastRack { margin-bottom: 1; }
    Input:ansi > .input--cursor { background: ansi_default; color: ansi_default; text-style: reverse not dim; }
    """
    ENABLE_COMMAND_PALETTE = False
    MODES: ClassVar[Any] = {"_default": partial(QuietScreen, id="_default")}
    """The screen stack of the first cluster. Each further cluster adds a mode of its own."""
    SCREENS: ClassVar[Any] = {name: partial(screen_factory.make, name) for name in SCREENS}
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(",".join(key.keys), f"go('{key.id}')" if key.id in SCREENS else key.id, key.help, show=False)
            for key in NAVIGATION
            if key.id in SCREENS or key.id in _APP_KEYS
        ),
        *(Binding(action.binding, f"act('{action.id}')", action.help, show=False) for action in ACTIONS),
    ]

    def __init__(
        self,
        site: Site,
        config: Config,
        clock: Clock | None = None,
        node: str | None = None,
        others: Sequence[Site] = (),
    ) -> None:
        """`others` are the clusters that this console may show besides `site`."""
        super().__init__()
        self.config = config
        automation.configure(config.automation)
        if config.xid_policy is not None:
            self.policy = load_policy(
                config.xid_policy
            )  # read now: a fault in it is reported before the console starts
        self.init_clusters(site, others, clock)
        self.terminal_screen.links = config.links
        self._last_tick = 0.0
        self._first_node = node
        self._previous_views: dict[str, View] = {}
        """Cluster name to the view that was left last."""
        self.looks = read_themes(config.theme, os.environ, self.console.color_system)
        register(self, self.looks.first, self.looks.known)
        self.stylesheet.set_variables(self.get_css_variables())
        self.init_input(config)
        self.completions.clusters = tuple(self.sites)

    @cached_property
    def policy(self) -> Policy:  # type: ignore[override]
        """The XID policy. The one that ships with wacht is read when the first facts arrive."""
        return load_policy(self.config.xid_policy)

    def get_driver_class(self) -> type[Driver]:
        """The driver for a terminal, or for a browser."""
        if in_browser():
            from widgets.terminal.browser_driver import BrowserDriver

            return BrowserDriver
        return super().get_driver_class()

    @property
    def read_only(self) -> bool:
        """Whether actions are locked. The gate enforces it; this is only for display."""
        return bool(self.session.locked)

    def on_mount(self) -> None:
        """Show the first screen, then start to read."""
        self.push_screen(self.config.screen or "overview")
        if self._first_node is not None:
            self.push_screen(screen_factory.inspection("node", self._first_node))
        self.install_loop_handler()
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self.read)
        self.set_timer(PLUGINS_S, self.read_plugins)
        if self.looks.message:
            self.show_message(self.looks.message, "warning")
        self.read_input_state()

    def _tick(self) -> None:
        if not self.screen_stack:
            return  # the app is closing
        self.check_log()
        self.record_shift()
        self.check_recorder()
        settled = all(source.tried for source in self.cluster.sources.values())
        self.garbage.tend(time.monotonic(), self.idle_s, settled)
        for at in self.sessions.values():
            self.outcomes.verify(at, at.cluster)
        screen = next((one for one in reversed(self.screen_stack) if isinstance(one, WachtScreen)), None)
        if screen is None or not screen.is_mounted:
            return  # a screen that is not mounted yet would miss the answers to its queries
        screen.refresh_top()
        if screen is not self.screen:
            return  # below a dialog only the clock and the ages move
        self.poller.show(screen.shown_jobs())
        # The other clusters stay live while this one is replayed: the two clocks are unrelated.
        now = (self.fleet.live.clock if screen.shows_all_clusters else self.clock).mono()
        if abs(now - self._last_tick) >= screen.tick_s:
            self._last_tick = now
            screen.tick(screen.ctx())

    async def action_quit(self) -> None:
        """Key `q`: quit."""
        self.leave()

    def leave(self) -> None:
        """Quit. Do not wait for a reading that hangs; wait for a change that is being sent."""
        self.acting.stop_sending()
        process.stop_all()
        self.exit()

    # Navigation.

    def action_go(self, name: str, filter_text: str | None = None) -> None:
        """Show one of the screens, and close everything that is open on top."""
        view = self._view()
        if view is not None and view != (name, []):
            self._previous_views[self.current] = view
        while len(self.screen_stack) > 2:
            self.pop_screen()
        self.switch_screen(name)
        if filter_text is not None:
            from console.screens.layout.filtered_screen import FilteredScreen

            screen = self.get_screen(name)
            if isinstance(screen, FilteredScreen):
                try:
                    screen.set_filter(self.filters.expand(filter_text, name))
                except FilterError as error:
                    self.show_message(str(error), "warning")

    def _view(self) -> View | None:
        """The screen that is shown and the inspections on top of it; None while neither has a name."""
        shown = [one for one in self.screen_stack if isinstance(one, WachtScreen)]
        if not shown or shown[0].crumb not in SCREENS:
            return None
        return shown[0].crumb, [(type(one), one.key) for one in shown if isinstance(one, Inspection)]

    def action_previous(self) -> None:
        """Key `-`: go back to the previous view."""
        view, before = self._view(), self._previous_views.get(self.current)
        if before is None:
            self.show_message("there is no view before this one")
            return
        self.action_go(before[0])
        for inspect, key in before[1]:
            self.push_screen(inspect(key))
        if view is not None:
            self._previous_views[self.current] = view

    def open_list(self, name: str, filter_text: str) -> None:
        """Show a list with a filter."""
        self.action_go(name, filter_text)

    def open_row(self, kind: Kind, key: str) -> None:
        """Open the inspection of a node or a job."""
        self.push_screen(screen_factory.inspection(kind, key))

    def action_undo(self) -> None:
        """Key `Z`: undo the last action of this person."""
        self.undoing.undo()

    def action_act(self, action_id: str) -> None:
        """Start an action."""
        self.acting.act(action_id)

    def action_help(self) -> None:
        """Show all keys, each with the reason if it is refused now."""
        if isinstance(self.screen, WachtScreen) and self.screen.crumb != "help":
            self.push_screen(screen_factory.help_screen({one.id: self.acting.refusal(one.id) for one in ACTIONS}))

    def action_copy(self) -> None:
        """Copy the command behind what is shown, through the terminal (OSC 52)."""
        text = self.screen.copy_text() if isinstance(self.screen, WachtScreen) else None
        if text:
            self.copy_to_clipboard(text)
            self.show_message(f"copied: {text}")

    def action_copy_rows(self) -> None:
        """Key `Y`: copy the names of the selected rows."""
        from .export_commands import copy_rows

        copy_rows(self)

    def _node_names(self, text: str) -> Sequence[str]:
        from console.actions import targets

        try:
            return targets.resolve("node", [text], self.cluster, self.clock.now()) if text else ()
        except ValueError as error:
            raise CommandError(f"{clean(text)}: {error}") from None

    def action_common(self) -> None:
        """Key `=`: compare the marked nodes."""
        self.show_common(())

    def show_common(self, names: Sequence[str]) -> None:
        """Show what these nodes have in common; without names, the marked ones."""
        from console.screens.traits import CommonScreen

        screen = self.screen
        chosen = tuple(names) or (screen.targets("node") if isinstance(screen, WachtScreen) else ())
        known = [name for name in chosen if name in self.cluster.nodes]
        if len(known) < 2:
            self.show_message("this compares nodes: mark two or more (Space)", "warning")
            return
        self.push_screen(CommonScreen(known))

    def action_log(self) -> None:
        """Show the output of the job under the cursor."""
        from console.screens.job_output import open_log

        try:
            open_log(self, "")
        except CommandError as error:
            self.show_message(str(error), "warning")

    def action_vendor(self) -> None:
        """Key `e`: write the vendor ticket of the node under the cursor."""
        from .export_commands import vendor

        try:
            vendor(self)
        except CommandError as error:
            self.show_message(str(error), "warning")

    def ssh(self, name: str) -> None:
        """Hand the terminal to ssh on a node, and take it back when ssh ends."""
        node = self.cluster.nodes.get(name)
        if node is None or not _NODE_NAME.fullmatch(name):
            self.show_message(f"{name} is no node that ssh could go to", "warning")
            return
        if self.session.site.recorded:
            self.show_message(self.session.gate.read_only_reason, "warning")
            return
        if self.cluster.demo:
            self.show_message("the embedded machine has no nodes to ssh to")
            return
        try:
            with self.suspend():
                # Use Slurm's node name: the screen must not choose an address.
                code = process.run_in_foreground(["ssh", "--", name])
        except SuspendNotSupported:
            self.show_message(f"ssh {name}: there is no terminal here that it could have", "warning")
            return
        except SourceFault as error:
            self.show_message(f"ssh {name}: {error}", "error")
            return
        self.show_message(f"back from {name}" + (f": ssh ended with {code}" if code else ""))

    @on(Prompt.Submitted)
    def _command(self, event: Prompt.Submitted) -> None:
        if event.kind != ":" or not event.prompt.is_open:
            return  # key repeat of Enter
        try:
            command = parse(event.value, self.keymap.leaves)
            self._run_command(command)
        except (CommandError, FilterError) as error:
            event.prompt.show_message(str(error))
        else:
            event.prompt.close()

    def _run_command(self, command: Command) -> None:
        match command.verb:
            case "quit":
                self.leave()
            case "help":
                self.action_help()
            case "refresh":
                self.poller.refresh_now()
            case "undo":
                self.undoing.undo()
            case "at" | "next" as verb:
                self.seek(verb, command.rest)
            case "theme":
                self.set_theme(command.rest)
            case "cluster":
                self.show_cluster(command.rest)
            case "close":
                self.close_cluster(command.rest)
            case "export" | "report":
                from .export_commands import carry_out

                carry_out(self, command)
            case "progress":
                self.acting.rollout.open_again()
            case "common":
                self.show_common(self._node_names(command.rest))
            case "vendor":
                from .export_commands import vendor

                vendor(self, command.rest, over=command.over)
            case "node":
                if command.rest not in self.cluster.nodes:
                    none = f"no node {clean(command.rest)} is known"
                    raise CommandError(why_unknown(self.cluster, "nodes", mono=self.clock.mono()) or none)
                self.open_row("node", command.rest)
            case "job":
                # A job that is not in the queue has ended: its inspection asks the accounting.
                if command.rest not in self.cluster.jobs and not is_job(command.rest):
                    raise CommandError(f"no job {clean(command.rest)} is known")
                self.open_row("job", command.rest)
            case "log":
                from console.screens.job_output import open_log

                open_log(self, command.rest)
            case "filter":
                from console.screens.layout.filtered_screen import FilteredScreen

                if not isinstance(self.screen, FilteredScreen):
                    raise CommandError("only the lists of nodes and jobs, the accounts and the journal can be filtered")
                self.screen.set_filter(self.filters.expand(command.rest, self.screen.crumb))
            case "save":
                self.save_filter(command.rest)
            case "forget":
                self.forget_filter(command.rest)
            case screen if screen in SCREENS:
                self.action_go(screen, command.rest if command.rest else None)
            case _:
                self.acting.run_command(command.verb, command.words)

    def set_theme(self, name: str) -> None:
        """Switch to another theme. Raises CommandError."""
        if (why := self.looks.theme_fault(name)) is not None:
            raise CommandError(why)
        self.theme = name

    def watch_theme(self, name: str) -> None:
        """Filter out colours that the theme does not allow."""
        filter_colours(self, self.looks.known[name].colours)


def run(site: Site, config: Config, node: str | None = None, others: Sequence[Site] = ()) -> int:
    """Run the console until the user quits; with `node`, start on its inspection. Returns the exit code."""
    # Poller threads process 100,000 rows. With the default of 5 ms the event loop would wait too long for its turn.
    sys.setswitchinterval(0.001)
    app = WachtApp(site, config, node=node, others=others)
    app.records = recording_target(site, config.recording)
    threading.excepthook = app.thread_died
    try:
        app.run()
    except Exception as error:
        app.errors.append(error)
    finally:
        app.release_terminal()
        app.stop_reading()
    if app.errors:
        from console.session import crash

        session = next((one for one in app.sessions.values() if one.wrote), app.session)
        sys.stderr.write(crash.crash_message(app.errors, "the console", session.journal_path, session.wrote))
        return 1
    return app.return_code or 0

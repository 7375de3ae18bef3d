"""The app: a table of contents. It owns the fleet, the screens and the gate; everything else is elsewhere."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType

from collectors import process
from collectors.clean import clean
from collectors.clock import Clock, SystemClock
from collectors.model import Cluster, Diff, Telemetry, Transport
from console.actions import ACTIONS, NAVIGATION, Kind
from console.alert_groups import groups
from console.commands import SCREENS, Command, CommandError, completer, parse
from console.config import Config
from console.filters import FilterError
from console.messages import ClusterChanged
from console.palette import Palette
from console.policy import Policy, load_policy
from console.poller import Poller
from console.remember import Sum
from console.ring import Ring, sequences, words
from console.screens.alerts import AlertsScreen
from console.screens.base import WachtScreen
from console.screens.gpus import GpusScreen
from console.screens.help import HelpScreen
from console.screens.inbox import InboxScreen
from console.screens.job import JobScreen
from console.screens.jobs import JobsScreen
from console.screens.journal import JournalScreen
from console.screens.listing import ListScreen
from console.screens.node import NodeScreen
from console.screens.nodes import NodesScreen
from console.screens.overview import OverviewScreen
from console.screens.partitions import PartitionsScreen
from console.screens.power import PowerScreen
from console.site import Site
from console.undoing import Undoing
from themes import DEFAULT, register, themes
from widgets.keybar import KeyBar
from widgets.prompt import Prompt
from widgets.quiet import QuietApp

_APP_KEYS = ("quit", "help", "command", "copy", "redraw", "undo")
"""Keys that mean the same on every screen; the others are the screen's or the list's own."""


class WachtApp(Undoing, QuietApp[None]):
    """The console on one cluster."""

    TITLE = "wacht"
    CSS = """
    Toast { max-width: 90%; padding: 0 1; margin: 0; }
    ToastRack { margin-bottom: 1; }
    """
    COMMANDS: ClassVar[Any] = {Palette}
    SCREENS: ClassVar[Any] = {
        "gpus": GpusScreen,
        "alerts": AlertsScreen,
        "journal": JournalScreen,
        "inbox": InboxScreen,
        "power": PowerScreen,
        "overview": OverviewScreen,
        "nodes": NodesScreen,
        "jobs": JobsScreen,
        "partitions": PartitionsScreen,
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(",".join(key.keys), f"go('{key.id}')" if key.id in SCREENS else key.id, key.help, show=False)
            for key in NAVIGATION
            if key.id in SCREENS or key.id in _APP_KEYS
        ),
        *(Binding(action.key, f"act('{action.id}')", action.help, show=False) for action in ACTIONS),
    ]

    def __init__(self, site: Site, config: Config, clock: Clock | None = None, node: str | None = None) -> None:
        super().__init__()
        self.clock: Clock = clock or SystemClock()
        self.config = config
        self.transport: Transport = site.transport()
        self.telemetry: Telemetry = site.telemetry()
        self.policy: Policy = load_policy(config.xid_policy)
        self.poller = Poller(site.name, site.collectors(), self.clock, self._publish, site.demo)
        self.fleet: dict[str, Cluster] = {site.name: self.poller.cluster}
        """Name to Cluster; one for now."""
        self.current = site.name
        self.sums: Sequence[Sum] = ()
        """What the screen that is shown sums up."""
        self.open_gate(site, config)
        self.ring = Ring()
        self.glass.links = config.links
        self._last_tick = 0.0
        self._frozen = False
        self._first_node = node
        self.gpus_every_s = 1.0 if "nvml" in site.others else 5.0
        """Seconds between two readings of a node's GPUs: the driver is asked every second, Prometheus knows no more."""
        register(self, config.theme or DEFAULT)

    @property
    def cluster(self) -> Cluster:
        """The cluster on the screen."""
        return self.fleet[self.current]

    @property
    def read_only(self) -> bool:
        """Decided in the gate, once; here only for what is shown."""
        return self.gate.read_only

    @property
    def modes(self) -> Sequence[str]:
        """Words that must be loud."""
        return [*(["DEMO"] if self.cluster.demo else []), *(["READ-ONLY"] if self.read_only else [])]

    def on_mount(self) -> None:
        """First the screen, then the facts: they come when they come."""
        self.push_screen(self.config.screen or "overview")
        if self._first_node is not None:
            self.push_screen(NodeScreen(self._first_node))
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self.poller.start)
        self.read_resumed()
        self.tell_orphans()

    def _publish(self, cluster: Cluster, diff: Diff) -> None:
        """From the poller's thread, which makes the sums: the event loop has keys to answer. First those that are
        shown, then those that the next key may show."""
        for make in self.sums:
            make(cluster)
        self.post_message(ClusterChanged(cluster, diff))
        for screen in self.SCREENS.values():
            for make in screen.sums:
                make(cluster)

    @on(ClusterChanged)
    def _cluster_changed(self, event: ClusterChanged) -> None:
        if not self.screen_stack:
            return  # it is closing, and a last reading came in
        self.fleet[event.cluster.name] = event.cluster
        if not self._frozen and all(source.tried for source in event.cluster.sources.values()):
            # What is there now stays: a full collection must not walk it again and again (22 ms at 100,000 jobs).
            self._frozen = True
            gc.collect()
            gc.freeze()
        self.verify(event.cluster)
        if self.ring.loud is None or not event.diff.kinds.isdisjoint({"alerts", "silences"}):
            self._ring(event.cluster)
        if isinstance(self.screen, WachtScreen):
            self.screen.take(event.cluster, event.diff)

    def _ring(self, cluster: Cluster) -> None:
        """The bell, once a reading at most, for critical groups that were not there before."""
        now = self.clock.now()
        self.ring, new = self.ring.next(cluster, groups(cluster, now, self.policy), now)
        if not new:
            return
        hint = "" if isinstance(self.screen, AlertsScreen) else "  (press 6)"
        self.tell(f"critical: {words(new)}{hint}", "error")
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequences(cluster.name, new, self.config.bell, self.config.notify))

    def _tick(self) -> None:
        if not self.screen_stack:
            return  # it is closing
        self.verify(self.cluster)
        screen = self.screen
        if not isinstance(screen, WachtScreen):
            return
        screen.refresh_top()
        self.poller.show(screen.shown_jobs())
        now = self.clock.mono()
        if now - self._last_tick >= screen.tick_s:
            self._last_tick = now
            screen.tick(screen.ctx())

    def _fatal_error(self) -> None:
        """Textual's report of a crash holds every local variable: nobody's facts and no token belong in one."""
        from rich.segment import Segments
        from rich.traceback import Traceback

        report = Traceback(show_locals=False, width=None)
        self.stop_sending()
        self._exit_renderables.append(Segments(self.console.render(report, self.console.options)))
        self._close_messages_no_wait()

    async def action_quit(self) -> None:
        """q."""
        self.leave()

    def leave(self) -> None:
        """Go. A reading that hangs must not hold the person up; a change that is under way is waited for."""
        self.stop_sending()
        process.stop_all()
        self.exit()

    # Ways around.

    def action_go(self, name: str, filter_text: str | None = None) -> None:
        """Show one of the four screens, whatever was open on top."""
        while len(self.screen_stack) > 2:
            self.pop_screen()
        self.switch_screen(name)
        if filter_text is not None:
            screen = self.get_screen(name)
            if isinstance(screen, ListScreen | JournalScreen):
                try:
                    screen.set_filter(filter_text)
                except FilterError as error:
                    self.tell(str(error), "warning")

    def open_list(self, name: str, filter_text: str) -> None:
        """Show a list, filtered."""
        self.action_go(name, filter_text)

    def open_row(self, kind: Kind, key: str) -> None:
        """Inspect a node or a job."""
        self.push_screen(NodeScreen(key) if kind == "node" else JobScreen(key))

    def action_help(self) -> None:
        """All keys, with why one is refused just now."""
        if isinstance(self.screen, WachtScreen) and not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen({one.id: self.why_not(one.id) for one in ACTIONS}))

    def action_copy(self) -> None:
        """Copy the command behind what is shown, through the terminal (OSC 52)."""
        text = self.screen.copyable() if isinstance(self.screen, WachtScreen) else None
        if text:
            self.copy_to_clipboard(text)
            self.tell(f"copied: {text}")

    async def on_event(self, event: events.Event) -> None:
        """A paste is outside text like any other: it may be copied from where anybody writes."""
        if isinstance(event, events.Paste):
            event = events.Paste("\n".join(map(clean, event.text.splitlines())))
        await super().on_event(event)

    async def on_key(self, event: events.Key) -> None:
        """What came in one burst with `:` or `/` set out for the list: it belongs to the line, and is no action."""
        screen = self.screen
        if isinstance(screen, WachtScreen) and screen.prompt.is_open and event.is_printable and event.character:
            event.prevent_default()
            screen.prompt.late(event.character)

    def action_command(self) -> None:
        """The `:` line."""
        if isinstance(self.screen, WachtScreen):
            complete = completer(lambda: self.cluster, themes())
            self.screen.prompt.open(":", "", complete)

    @on(Prompt.Submitted)
    def _command(self, event: Prompt.Submitted) -> None:
        if event.kind != ":" or not event.prompt.is_open:
            return  # a second Enter of a key held down
        try:
            command = parse(event.value)
            self._carry_out(command)
        except (CommandError, FilterError) as error:
            event.prompt.say(str(error))
        else:
            event.prompt.close()

    def _carry_out(self, command: Command) -> None:
        match command.verb:
            case "quit":
                self.leave()
            case "help":
                self.action_help()
            case "refresh":
                self.poller.poke()
            case "undo":
                self.action_undo()
            case "theme":
                self.set_theme(command.rest)
            case "node" | "job" as kind:
                rows: Mapping[str, Any] = self.cluster.nodes if kind == "node" else self.cluster.jobs
                if command.rest not in rows:
                    raise CommandError(f"no {kind} {command.rest} is known")
                self.open_row("node" if kind == "node" else "job", command.rest)
            case "filter":
                if not isinstance(self.screen, ListScreen | JournalScreen):
                    raise CommandError("only the lists of nodes and jobs, and the journal, can be filtered")
                self.screen.set_filter(command.rest)
            case screen if screen in SCREENS:
                self.action_go(screen, command.rest if command.rest else None)
            case _:
                self.act_on_words(command.verb, command.words)

    def set_theme(self, name: str) -> None:
        """Other colours."""
        if name not in themes():
            raise CommandError(f"no theme {name}; there are: {', '.join(themes())}")
        self.theme = name

    @on(KeyBar.Pressed)
    def _clicked(self, event: KeyBar.Pressed) -> None:
        names = {
            "Enter": "enter",
            "Esc": "escape",
            "Space": "space",
            "Tab": "tab",
            "?": "question_mark",
            "/": "slash",
            ":": "colon",
        }
        self.simulate_key(names.get(event.key.key, event.key.key))

    def tell(self, text: str, severity: str = "information") -> None:
        """A word in the corner. Never markup: it may hold what somebody wrote."""
        self.notify(text, severity=severity, markup=False, timeout=6)  # type: ignore[arg-type]


def run(site: Site, config: Config, node: str | None = None) -> int:
    """Run the console until it is left, on one node where one is named. Returns the exit code."""
    # The poller's threads work on 100,000 rows: the one with the keys must not wait 5 ms each time it wants its turn.
    sys.setswitchinterval(0.001)
    app = WachtApp(site, config, node=node)
    try:
        app.run()
    finally:
        app.poller.stop()
    return app.return_code or 0

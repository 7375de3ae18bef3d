"""Several clusters in one console: one is on the screen, the others are polled slowly so that their alerts ring.

Each is a `ClusterSession` with its own stack of screens (a mode of Textual's): filters, cursors and marks
stay where they are. The first is opened before the first frame, the others after it.
"""

from __future__ import annotations

from collections.abc import Callable

from collectors.clean import clean
from collectors.clock import Clock
from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.config.commands import CommandError
from console.config.settings import Config
from console.ingest.poller import WATCHED, Poller
from console.recording.location import recording_target
from console.runtime import memo
from console.runtime.errors import UserError
from console.screens.layout.screen import WachtScreen
from widgets.cells import Span

from .cluster_screens import ClusterScreens
from .cluster_updates import ClusterUpdates
from .input_handling import InputHandling
from .journal_queries import JournalQueries
from .notifications import Notifications
from .plugin_loading import PluginLoading
from .ports import Terminal
from .undo_actions import UndoActions

#: Seconds after the first frame until the other clusters are opened.
OPEN_OTHERS_S = 2.0
#: Most chips of other clusters in the top line, the worst first.
_MAX_CHIPS = 2


class ClusterSwitching:
    """Opens and closes clusters, and decides which one is shown."""

    def __init__(
        self, fleet: Fleet, notifications: Notifications, input: InputHandling, journal: JournalQueries,
        undoing: UndoActions, updates: ClusterUpdates, plugins: PluginLoading, stacks: ClusterScreens, config: Config,
        clock: Clock | None, port: Terminal,
    ) -> None:  # fmt: skip
        """`clock` is that of every cluster, where not its own."""
        self._fleet, self._notify, self._input, self._journal = fleet, notifications, input, journal
        self._undoing, self._updates, self._plugins, self._stacks = undoing, updates, plugins, stacks
        self._config, self._clock, self._port = config, clock, port
        self._modes_made = 0

    # Opening.

    def start(self) -> None:
        """Start to read. The long lists are created now so that their rows are ready when they are opened."""
        self._start_reading(self._fleet.session)
        self._updates.garbage.started()
        if len(self._fleet.available) > 1:
            self._port.set_timer(OPEN_OTHERS_S, self.open_others)

    def _start_reading(self, session: ClusterSession) -> None:
        self._make_screens(session)
        if session.records is not None:
            self._port.run_in_thread(session.start_recorder, "record")
        session.poller.start()
        self._journal.read_facts(session)
        self._undoing.report_orphans(session)

    def open_others(self) -> None:
        """Open every cluster that is not open and was not tried."""
        for name in self._fleet.available:
            if name not in self._fleet.sessions and name not in self._fleet.unopened:
                self._open(name)

    def _open(self, name: str, then: Callable[[ClusterSession], None] | None = None) -> None:
        """Open a cluster off the event loop, then call `then` with its session."""
        fleet, port = self._fleet, self._port
        sources = fleet.available[name]
        opened = fleet.sessions.values()
        twin = next((one.name for one in opened if one.site.reach and one.site.reach == sources.reach), "")
        if twin:
            self._open_failed(
                name, f'it would ask the same Slurm as {twin}: give it slurm = {{ conf = "…/slurm.conf" }}'
            )
            return
        self._modes_made += 1
        mode = f"{name} {self._modes_made}"
        records = any(session.records is not None for session in opened)

        def work() -> None:
            try:
                session = ClusterSession(sources, self._config, self._clock, mode)
                session.records = recording_target(sources, self._config.recording) if records else None
                self._updates.attach(session)
            except UserError as error:
                port.call_from_thread(self._open_failed, name, clean(str(error)))
            except Exception as error:
                port.call_from_thread(self._open_failed, name, clean(f"{type(error).__name__}: {error}")[:300])
            else:
                port.call_from_thread(self._opened, session, then)

        port.run_in_thread(work, "cluster")

    def _open_failed(self, name: str, why: str) -> None:
        self._fleet.unopened[name] = why
        self._notify.show(f"{name} cannot be opened: {why}", "warning")

    def _opened(self, session: ClusterSession, then: Callable[[ClusterSession], None] | None) -> None:
        sessions = self._fleet.sessions
        if session.name not in sessions and self._port.screen_stack:
            self._fleet.unopened.pop(session.name, None)
            sessions[session.name] = session
            if isinstance(session.poller, Poller):
                session.poller.watch(WATCHED)
            self._start_reading(session)
        if then is not None:
            then(sessions[session.name])

    def _make_screens(self, session: ClusterSession) -> None:
        if session is self._fleet.session:
            every = (self._port.get_screen(name) for name in ("overview", "nodes", "jobs"))
            session.ahead = [screen for screen in every if isinstance(screen, WachtScreen)]
            self._plugins.add_columns(session)

    def poll_others(self, more: frozenset[str] = frozenset()) -> None:
        """Poll `WATCHED` and the kinds in `more` of the clusters that are not shown."""
        for session in self._fleet.sessions.values():
            if session is not self._fleet.live and isinstance(session.poller, Poller):
                session.poller.watch(WATCHED | more)

    def chips(self) -> list[Span]:
        """Chips of the top line for other clusters that have something to report."""
        if len(self._fleet.available) == 1:
            return []
        from console.clusters.cluster_summary import chip_of

        found = sorted(filter(None, map(chip_of, self._fleet.standings())), key=lambda chip: chip[1] != "bad")
        more = len(found) - _MAX_CHIPS
        return [*found[:_MAX_CHIPS], (f"+{more}", found[_MAX_CHIPS][1])] if more > 0 else found

    # Switching.

    def next(self) -> None:
        """Key `C`: show the next cluster."""
        names = list(self._fleet.available)
        if len(names) == 1:
            self._notify.show("one cluster is known; each [cluster.NAME] of the configuration is one more")
            return
        self.go_to(names[(names.index(self._fleet.session.name) + 1) % len(names)])

    def go_to(self, name: str) -> None:
        """Show a cluster, or a message with the reason why not."""
        try:
            self.show(name)
        except CommandError as error:
            self._notify.show(str(error), "warning")

    def show(self, name: str) -> None:
        """`:cluster NAME`. Raises CommandError."""
        fleet = self._fleet
        if name not in fleet.available:
            raise CommandError(f"no cluster {clean(name)} is configured; there are: {', '.join(fleet.available)}")
        if name == fleet.session.name:
            raise CommandError(f"{name} is on the screen")
        if fleet.in_replay_mode:
            raise CommandError(self._leave_replay_first())
        screen = self._port.screen
        if not isinstance(screen, WachtScreen):
            raise CommandError("answer what is open first")
        if (session := fleet.sessions.get(name)) is not None:
            self._show_opened(session)
            return

        def then(session: ClusterSession) -> None:
            if not self._notify.user_moved_on(screen, f"cluster {name}"):
                self._show_opened(session)

        self._open(name, then)

    def _leave_replay_first(self) -> str:
        back = self._input.keymap.press("look_back")
        return f"the past of {self._fleet.session.name} is on the screen: {back} to go back to the present"

    def _show_opened(self, session: ClusterSession) -> None:
        """Show an open cluster, unless a recording came on the screen while it was opened."""
        fleet = self._fleet
        if fleet.in_replay_mode:
            self._notify.show(f"{session.name} is open; {self._leave_replay_first()}")
            return
        fleet.session.poller.show(frozenset())
        fleet.session = session
        if isinstance(session.poller, Poller):
            session.poller.watch(None)
        self.poll_others()
        if self._stacks.show(session):
            self._port.push_screen(self._config.screen or "overview")
            self._port.call_after_refresh(self._make_screens, session)

    def close(self, name: str) -> None:
        """`:close NAME`: stop reading a cluster and free its memory. Raises CommandError."""
        fleet = self._fleet
        session = fleet.sessions.get(name)
        if session is None:
            raise CommandError(f"{clean(name) or 'that'} is not open; there are: {', '.join(fleet.sessions)}")
        if session is fleet.live:
            raise CommandError(f"{name} is on the screen: show another first")
        if session.busy:
            raise CommandError(f"{name}: wait until what you sent was seen")
        del fleet.sessions[name]
        fleet.unopened[name] = "closed"
        self._stacks.close(session)
        self._port.run_in_thread(lambda: session.stop(alone=True), "cluster")
        memo.forget(name)
        self._notify.show(f"{name} is closed: nothing of it is read, and nothing rings; :cluster {name} opens it again")

    def stop(self) -> None:
        """Stop every thread that polls, plays or records."""
        for session in {*self._fleet.sessions.values(), self._fleet.session}:
            session.stop()

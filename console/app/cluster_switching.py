"""Several clusters in one console: one is on the screen, the others are polled slowly so that their alerts ring.

Each is a `ClusterSession` with its own stack of screens (a mode of Textual's): filters, cursors and marks
stay where they are. The first is opened before the first frame, the others after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textual.message import Message
from textual.screen import Screen

from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import Cluster, Diff
from console.clusters.cluster_session import ClusterSession, FromSession
from console.clusters.fleet import Fleet
from console.config.commands import SCREENS, CommandError
from console.config.settings import Config
from console.ingest.poller import WATCHED, Poller
from console.ingest.reduce import merged
from console.recording.location import recording_target
from console.runtime import memo
from console.runtime.errors import UserError
from console.runtime.garbage import Garbage
from console.screens.layout.screen import WachtScreen
from console.session.site import Site
from widgets.cells import Span
from widgets.terminal.quiet_app import QuietScreen

from . import screen_factory
from .acting import Acting
from .action_outcomes import OutcomeReports
from .journal_queries import JournalQueries
from .notifications import Notifications
from .replay_mode import ReplayMode
from .undo_actions import UndoActions

#: Seconds after the first frame until the other clusters are opened.
OPEN_OTHERS_S = 2.0
PUBLISH_TIMEOUT_S = 1.0
"""Seconds that a publish waits at most for the event loop to take the previous one."""
#: Kinds of facts whose change may ring the bell.
BELL_KINDS = frozenset({"alerts", "silences"})
#: Most chips of other clusters in the top line, the worst first.
_MAX_CHIPS = 2


class ClusterChanged(Message):
    """The poller has a newer Cluster. Queued messages of one cluster merge, with their differences."""

    def __init__(self, cluster: Cluster, diff: Diff) -> None:
        super().__init__()
        self.cluster, self.diff = cluster, diff

    def can_replace(self, message: Message) -> bool:
        """Take over the differences of the queued message that this one replaces."""
        if isinstance(message, ClusterChanged) and message.cluster.name == self.cluster.name:
            message.diff = merged(self.diff, message.diff)
            return True
        return False


class ClusterSwitching(ReplayMode):
    """The part of the app that knows all clusters, and which one is shown."""

    config: Config
    looked_at: FromSession[WachtScreen | None] = FromSession()
    gpus_every_s = FromSession[float]()

    def init_clusters(self, site: Site, others: Sequence[Site], clock: Clock | None) -> None:
        """Open the first cluster and note the others."""
        self._clock = clock
        self.fleet = Fleet(ClusterSession(site, self.config, clock), (site, *others))
        self.open_poller(self.session)
        self.notifications = Notifications(self.fleet, self)
        self.journal_queries = JournalQueries(self)
        self.outcomes = OutcomeReports(self.notifications, self.journal_queries, self)
        self.acting = Acting(
            self.fleet, self.notifications, self.outcomes, self, lambda kind, words: self.filters.targets(kind, words)
        )
        self.undoing = UndoActions(self.fleet, self.notifications, self.acting, self)
        self.garbage = Garbage()
        self._modes_made = 0

    @property
    def session(self) -> ClusterSession:
        return self.fleet.session

    @property
    def sessions(self) -> dict[str, ClusterSession]:
        return self.fleet.sessions

    @property
    def sites(self) -> Mapping[str, Site]:
        return self.fleet.sites

    @property
    def unopened(self) -> dict[str, str]:
        return self.fleet.unopened

    @property
    def cluster(self) -> Cluster:
        """The cluster on the screen."""
        return self.fleet.cluster

    def show_message(self, text: str, severity: str = "information") -> None:
        """Show a message (toast) about the cluster on the screen."""
        self.notifications.show(text, severity)

    def show_message_for(self, session: ClusterSession, text: str, severity: str = "information") -> None:
        """Show a message about one cluster, with its name where there are several. Not markup: the text may
        be foreign."""
        self.notifications.show_for(session, text, severity)

    def run_in_thread(self, work: Callable[[], object], group: str, *, exclusive: bool = False) -> None:
        """Run it off the event loop."""
        self.run_worker(work, thread=True, group=group, exclusive=exclusive, exit_on_error=False)

    # Reading.

    def read(self) -> None:
        """Start to read. The long lists are created now so that their rows are ready when they are opened."""
        self._start_cluster(self.session)
        self.journal_queries.read_facts(self.session)
        self.undoing.report_orphans(self.session)
        self.garbage.started()
        if len(self.sites) > 1:
            self.set_timer(OPEN_OTHERS_S, self._open_others)

    def _start_cluster(self, session: ClusterSession) -> None:
        self._make_screens(session)
        self.record(session)
        session.poller.start()

    def _publish(self, cluster: Cluster, diff: Diff) -> None:
        """Take a new Cluster. Runs in the poller's thread, which also computes sums and sorts lists."""
        # Import here, in the poller's thread: on the event loop it would stall the keys.
        from console.alerts.groups import alert_groups
        from console.triage import attention  # noqa: F401

        if (session := self.sessions.get(cluster.name)) is None:
            return  # it was closed meanwhile
        if session.recorder is not None:
            session.recorder.offer(cluster, diff)
        # Sums of this Cluster must not evict those of the previous one while the event loop still reads them.
        taken = session.taken.wait(PUBLISH_TIMEOUT_S)
        session.taken.clear()
        # Keep the sums of the Cluster that is shown, too: it may still be queued, or be from a recording.
        if taken and not self.in_replay_mode:
            memo.keep(session.name, (cluster, session.cluster))
        on_screen = self.session
        shown, over = session is on_screen, on_screen.looked_at
        if over is not None and (shown or over.shows_all_clusters):
            over.prepare(cluster, session, self.policy, shown=shown)
        if session.ring.active is None or not diff.kinds.isdisjoint(BELL_KINDS):
            alert_groups(cluster, session.clock.now(), self.policy)
        # Prepare other screens after the first facts are shown, but before all later ones.
        starts = not all(one.tried for one in cluster.sources.values())
        if starts:
            self.post_message(ClusterChanged(cluster, diff))
        session.logged.see(cluster)
        if shown:
            for name in SCREENS:
                for make in screen_factory.view(name).sums:
                    make(cluster)
            for one in session.ahead:
                if one is not over:
                    one.prepare(cluster, session, self.policy, shown=False)
        if not starts:
            self.post_message(ClusterChanged(cluster, diff))

    def on_cluster_changed(self, event: ClusterChanged) -> None:
        """Take a newer Cluster on the event loop."""
        session = self.sessions.get(event.cluster.name)
        if session is None or not self.screen_stack:
            return  # the app is closing
        session.cluster = event.cluster
        session.taken.set()  # only now: the sums of the shown Cluster are kept until here
        if session.ring.active is None or not event.diff.kinds.isdisjoint(BELL_KINDS):
            self._ring_bell(session, event.cluster)
        if self.in_replay_mode and session is self.fleet.live:
            return
        self.outcomes.verify(session, event.cluster)
        if "partitions" in event.diff.kinds:
            self.journal_queries.read_facts(session)
        if session is self.session and isinstance(self.screen, WachtScreen):
            self.screen.update_cluster(event.cluster, event.diff)
        self._update_hidden_screens(session, event.cluster)

    def _update_hidden_screens(self, session: ClusterSession, cluster: Cluster) -> None:
        """Give the new Cluster to the screens of `session` that are not shown, except those below a dialog or an
        inspection."""
        shown = self.screen_stack
        of_it = {*self._installed_screens.values(), *self._screen_stacks.get(session.mode, ())}
        for one in of_it:
            if isinstance(one, WachtScreen) and one.is_mounted and one.at is session and one not in shown:
                one.update_hidden(cluster)

    def _ring_bell(self, session: ClusterSession, cluster: Cluster) -> None:
        """Ring at most once for each reading, if there are new critical alert groups."""
        from console.alerts.bell import bell_sequences, bell_text
        from console.alerts.groups import alert_groups

        now = session.clock.now()
        session.ring, new = session.ring.next(cluster, alert_groups(cluster, now, self.policy), now)
        if not new:
            return
        looks_at_them = isinstance(self.screen, WachtScreen) and self.screen.crumb == "alerts"
        hint = "" if looks_at_them else f"  ({self.keymap.press('alerts')})"
        if session is not self.fleet.live:
            hint = f"  (:cluster {session.name})"
        elif self.in_replay_mode:
            hint = f"  (in the present: {self.keymap.press('look_back')})"
        self.show_message_for(session, f"critical: {bell_text(new)}{hint}", "error")
        if self._driver is not None and not self.is_headless:
            self._driver.write(bell_sequences(cluster.name, new, self.config.bell, self.config.notify))

    # Other clusters.

    def other_cluster_chips(self) -> list[Span]:
        """Chips of the top line for other clusters that have something to report."""
        if len(self.sites) == 1:
            return []
        from console.clusters.cluster_summary import chip_of

        found = sorted(filter(None, map(chip_of, self.fleet.standings())), key=lambda chip: chip[1] != "bad")
        more = len(found) - _MAX_CHIPS
        return [*found[:_MAX_CHIPS], (f"+{more}", found[_MAX_CHIPS][1])] if more > 0 else found

    def set_background_polling(self, more: frozenset[str] = frozenset()) -> None:
        """Poll `WATCHED` and the kinds in `more` of the clusters that are not shown."""
        for session in self.sessions.values():
            if session is not self.fleet.live and isinstance(session.poller, Poller):
                session.poller.watch(WATCHED | more)

    def _open_others(self) -> None:
        for name in self.sites:
            if name not in self.sessions and name not in self.unopened:
                self._open(name)

    def _open(self, name: str, then: Callable[[ClusterSession], None] | None = None) -> None:
        """Open a cluster off the event loop, then call `then` with its session."""
        site = self.sites[name]
        twin = next((one.name for one in self.sessions.values() if one.site.reach and one.site.reach == site.reach), "")
        if twin:
            self._open_failed(
                name, f'it would ask the same Slurm as {twin}: give it slurm = {{ conf = "…/slurm.conf" }}'
            )
            return
        self._modes_made += 1
        mode = f"{name} {self._modes_made}"

        def work() -> None:
            try:
                session = ClusterSession(site, self.config, self._clock, mode)
                session.records = recording_target(site, self.config.recording) if self._recording_enabled else None
                self.open_poller(session)
            except UserError as error:
                self.call_from_thread(self._open_failed, name, clean(str(error)))
            except Exception as error:
                self.call_from_thread(self._open_failed, name, clean(f"{type(error).__name__}: {error}")[:300])
            else:
                self.call_from_thread(self._cluster_opened, session, then)

        self.run_worker(work, thread=True, group="cluster", exit_on_error=False)

    @property
    def _recording_enabled(self) -> bool:
        """Whether this console records."""
        return any(session.records is not None for session in self.sessions.values())

    def _open_failed(self, name: str, why: str) -> None:
        self.unopened[name] = why
        self.show_message_for(self.session, f"{name} cannot be opened: {why}", "warning")

    def _cluster_opened(self, session: ClusterSession, then: Callable[[ClusterSession], None] | None) -> None:
        if session.name not in self.sessions and self.screen_stack:
            self.unopened.pop(session.name, None)
            self.sessions[session.name] = session
            self.add_mode(session.mode, QuietScreen)
            if isinstance(session.poller, Poller):
                session.poller.watch(WATCHED)
            self._start_cluster(session)
            self.journal_queries.read_facts(session)
            self.undoing.report_orphans(session)
        if then is not None:
            then(self.sessions[session.name])

    # Switching.

    def action_next_cluster(self) -> None:
        """Key `C`: show the next cluster."""
        names = list(self.sites)
        if len(names) == 1:
            self.show_message("one cluster is known; each [cluster.NAME] of the configuration is one more")
            return
        self.go_to_cluster(names[(names.index(self.current) + 1) % len(names)])

    def go_to_cluster(self, name: str) -> None:
        """Show a cluster, or a message with the reason why not."""
        try:
            self.show_cluster(name)
        except CommandError as error:
            self.show_message(str(error), "warning")

    def show_cluster(self, name: str) -> None:
        """`:cluster NAME`. Raises CommandError."""
        if name not in self.sites:
            raise CommandError(f"no cluster {clean(name)} is configured; there are: {', '.join(self.sites)}")
        if name == self.current:
            raise CommandError(f"{name} is on the screen")
        if self.in_replay_mode:
            raise CommandError(self._leave_replay_first())
        if not isinstance(self.screen, WachtScreen):
            raise CommandError("answer what is open first")
        if (session := self.sessions.get(name)) is not None:
            self._show_opened(session)
            return
        screen = self.screen

        def then(session: ClusterSession) -> None:
            if not self.notifications.user_moved_on(screen, f"cluster {name}"):
                self._show_opened(session)

        self._open(name, then)

    def _leave_replay_first(self) -> str:
        back = self.keymap.press("look_back")
        return f"the past of {self.current} is on the screen: {back} to go back to the present"

    def _show_opened(self, session: ClusterSession) -> None:
        """Show an open cluster. The only place that sets `here`.

        Never in replay mode: `ReplayMode` restores the live values, the gate among them, onto the cluster that is
        `here`."""
        if self.in_replay_mode:
            self.show_message(f"{session.name} is open; {self._leave_replay_first()}")
            return
        self.poller.show(frozenset())
        self.fleet.session = session
        if isinstance(session.poller, Poller):
            session.poller.watch(None)
        self.set_background_polling()
        new = session.mode not in self._screen_stacks
        self.switch_mode(session.mode)
        if new:
            self.push_screen(self.config.screen or "overview")
            self.call_after_refresh(self._make_screens, session)

    def _make_screens(self, session: ClusterSession) -> None:
        if session is self.session:
            every = (self.get_screen(name) for name in ("overview", "nodes", "jobs"))
            session.ahead = [screen for screen in every if isinstance(screen, WachtScreen)]
            self.add_plugin_columns(session)

    def add_plugin_columns(self, session: ClusterSession) -> None:
        """Hook: the lists of a cluster exist now; plugins add their columns."""

    def get_screen(self, screen: Any, screen_class: Any = None) -> Any:
        """Look up a screen name among the screens of the cluster that is shown."""
        if isinstance(screen, str) and (key := _installed_name(self.session, screen)) != screen:
            if not self.is_screen_installed(key):
                self.install_screen(screen_factory.make(screen), key)
            screen = key
        return super().get_screen(screen, screen_class)

    def close_cluster(self, name: str) -> None:
        """`:close NAME`: stop reading a cluster and free its memory. Raises CommandError."""
        session = self.sessions.get(name)
        if session is None:
            raise CommandError(f"{clean(name) or 'that'} is not open; there are: {', '.join(self.sessions)}")
        if session is self.session:
            raise CommandError(f"{name} is on the screen: show another first")
        if session.busy:
            raise CommandError(f"{name}: wait until what you sent was seen")
        del self.sessions[name]
        self.unopened[name] = "closed"
        self.remove_mode(session.mode)
        self.call_later(self._drop_screens, session)
        self.run_worker(lambda: session.stop(alone=True), thread=True, group="cluster", exit_on_error=False)
        memo.forget(name)
        self.show_message(f"{name} is closed: nothing of it is read, and nothing rings; :cluster {name} opens it again")

    async def _drop_screens(self, session: ClusterSession) -> None:
        for key in [_installed_name(session, one) for one in SCREENS]:
            made = self._installed_screens.pop(key, None)
            if isinstance(made, Screen) and made.is_attached:
                await made.remove()


def _installed_name(session: ClusterSession, name: str) -> str:
    """The name under which a screen of a cluster is installed; the first cluster uses plain names."""
    return name if session.mode == "_default" else f"{session.mode}/{name}"

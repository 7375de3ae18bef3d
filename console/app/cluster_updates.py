"""From the pollers to the screens: each newer Cluster, the bell, and the clock that ages what is shown."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, cast

from textual.message import Message

from collectors.model import Cluster, Diff
from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.config.commands import SCREENS
from console.config.settings import Config
from console.ingest.poller import Poller
from console.ingest.reduce import merged
from console.runtime import memo
from console.runtime.garbage import Garbage
from console.screens.layout.screen import WachtScreen

from . import screen_factory
from .action_outcomes import OutcomeReports
from .cluster_screens import ClusterScreens
from .input_handling import InputHandling
from .journal_queries import JournalQueries
from .notifications import Notifications
from .ports import Terminal

if TYPE_CHECKING:
    from console.recording.player import Player
    from console.recording.replay_site import ReplaySite

PUBLISH_TIMEOUT_S = 1.0
"""Seconds that a publish waits at most for the event loop to take the previous one."""
#: Kinds of facts whose change may ring the bell.
BELL_KINDS = frozenset({"alerts", "silences"})


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


class MomentChanged(Message):
    """The player shows another moment."""

    def __init__(self, player: object, cluster: Cluster, diff: Diff | None) -> None:
        """`diff` is None after a jump: anything may differ."""
        super().__init__()
        self.player, self.cluster, self.diff = player, cluster, diff

    def can_replace(self, message: Message) -> bool:
        """Take over the differences of the queued message that this one replaces."""
        if not isinstance(message, MomentChanged) or message.player is not self.player:
            return False
        message.diff = None if message.diff is None or self.diff is None else merged(self.diff, message.diff)
        return True


class ClusterUpdates:
    """Hands what pollers and players publish to the screens."""

    def __init__(
        self, fleet: Fleet, notifications: Notifications, outcomes: OutcomeReports, journal: JournalQueries,
        input: InputHandling, stacks: ClusterScreens, config: Config, port: Terminal,
    ) -> None:  # fmt: skip
        self._fleet, self._notify, self._outcomes, self._journal = fleet, notifications, outcomes, journal
        self._input, self._stacks, self._config, self._port = input, stacks, config, port
        self.garbage = Garbage()
        self._last_tick = 0.0

    def attach(self, session: ClusterSession) -> None:
        """Set the source of facts of a session: a poller; for a recording a player."""
        site = session.site
        if site.recorded:
            session.attach(self._open_player(session, cast("ReplaySite", site)))
        else:
            session.attach(
                Poller(site.name, site.collectors(), session.clock, self.publish, site.demo, (session.telemetry,))
            )

    def _open_player(self, session: ClusterSession, site: ReplaySite) -> Player:
        from console.recording.player import Player

        made: Player

        def publish(cluster: Cluster, diff: Diff | None) -> None:
            if isinstance(session.looked_at, WachtScreen):
                session.looked_at.prepare(cluster, session, self._port.policy, shown=True)
            self._port.post_message(MomentChanged(made, cluster, diff))

        def show_message(text: str) -> None:
            self._port.call_from_thread(self._notify.show, text)

        made = Player(site.recording, site.clock, publish, show_message, site.begin)
        return made

    def publish(self, cluster: Cluster, diff: Diff) -> None:
        """Take a new Cluster. Runs in the poller's thread, which also computes sums and sorts lists."""
        # Import here, in the poller's thread: on the event loop it would stall the keys.
        from console.alerts.groups import alert_groups
        from console.triage import attention  # noqa: F401

        if (session := self._fleet.sessions.get(cluster.name)) is None:
            return  # it was closed meanwhile
        if session.recorder is not None:
            session.recorder.offer(cluster, diff)
        # Sums of this Cluster must not evict those of the previous one while the event loop still reads them.
        taken = session.taken.wait(PUBLISH_TIMEOUT_S)
        session.taken.clear()
        # Keep the sums of the Cluster that is shown, too: it may still be queued, or be from a recording.
        if taken and not self._fleet.in_replay_mode:
            memo.keep(session.name, (cluster, session.cluster))
        on_screen = self._fleet.session
        shown, over = session is on_screen, on_screen.looked_at
        if over is not None and (shown or over.shows_all_clusters):
            over.prepare(cluster, session, self._port.policy, shown=shown)
        if session.ring.active is None or not diff.kinds.isdisjoint(BELL_KINDS):
            alert_groups(cluster, session.clock.now(), self._port.policy)
        # Prepare other screens after the first facts are shown, but before all later ones.
        starts = not all(one.tried for one in cluster.sources.values())
        if starts:
            self._port.post_message(ClusterChanged(cluster, diff))
        session.logged.see(cluster)
        if shown:
            for name in SCREENS:
                for make in screen_factory.view(name).sums:
                    make(cluster)
            for one in session.ahead:
                if one is not over:
                    one.prepare(cluster, session, self._port.policy, shown=False)
        if not starts:
            self._port.post_message(ClusterChanged(cluster, diff))

    def cluster_changed(self, event: ClusterChanged) -> None:
        """Take a newer Cluster on the event loop."""
        session = self._fleet.sessions.get(event.cluster.name)
        if session is None or not self._port.screen_stack:
            return  # the app is closing
        session.cluster = event.cluster
        session.taken.set()  # only now: the sums of the shown Cluster are kept until here
        if session.ring.active is None or not event.diff.kinds.isdisjoint(BELL_KINDS):
            self._ring_bell(session, event.cluster)
        if self._fleet.in_replay_mode and session is self._fleet.live:
            return
        self._outcomes.verify(session, event.cluster)
        if "partitions" in event.diff.kinds:
            self._journal.read_facts(session)
        if session is self._fleet.session and isinstance(self._port.screen, WachtScreen):
            self._port.screen.update_cluster(event.cluster, event.diff)
        self._update_hidden_screens(session, event.cluster)

    def _update_hidden_screens(self, session: ClusterSession, cluster: Cluster) -> None:
        """Give the new Cluster to the screens of `session` that are not shown, except those below a dialog or an
        inspection."""
        shown = self._port.screen_stack
        for one in self._stacks.of(session):
            if one.is_mounted and one not in shown:
                one.update_hidden(cluster)

    def _ring_bell(self, session: ClusterSession, cluster: Cluster) -> None:
        """Ring at most once for each reading, if there are new critical alert groups."""
        from console.alerts.bell import bell_sequences, bell_text
        from console.alerts.groups import alert_groups

        now = session.clock.now()
        session.ring, new = session.ring.next(cluster, alert_groups(cluster, now, self._port.policy), now)
        if not new:
            return
        looks_at_them = isinstance(self._port.screen, WachtScreen) and self._port.screen.crumb == "alerts"
        hint = "" if looks_at_them else f"  ({self._input.keymap.press('alerts')})"
        if session is not self._fleet.live:
            hint = f"  (:cluster {session.name})"
        elif self._fleet.in_replay_mode:
            hint = f"  (in the present: {self._input.keymap.press('look_back')})"
        self._notify.show_for(session, f"critical: {bell_text(new)}{hint}", "error")
        self._port.write_to_terminal(bell_sequences(cluster.name, new, self._config.bell, self._config.notify))

    def tick(self) -> None:
        """Once a second: verify what was sent, and age what is shown."""
        fleet, port = self._fleet, self._port
        settled = all(source.tried for source in fleet.cluster.sources.values())
        self.garbage.tend(time.monotonic(), port.idle_s, settled)
        for session in fleet.sessions.values():
            self._outcomes.verify(session, session.cluster)
        screen = next((one for one in reversed(port.screen_stack) if isinstance(one, WachtScreen)), None)
        if screen is None or not screen.is_mounted:
            return  # a screen that is not mounted yet would miss the answers to its queries
        screen.refresh_top()
        if screen is not port.screen:
            return  # below a dialog only the clock and the ages move
        fleet.session.poller.show(screen.shown_jobs())
        # The other clusters stay live while this one is replayed: the two clocks are unrelated.
        now = (fleet.live if screen.shows_all_clusters else fleet.session).clock.mono()
        if abs(now - self._last_tick) >= screen.tick_s:
            self._last_tick = now
            screen.tick(screen.ctx())

    def tick_soon(self) -> None:
        """Let the next `tick` age the screen: the clock has jumped."""
        self._last_tick = -math.inf

"""Several clusters in one console: one is on the screen, the others are polled slowly so that their alerts ring.

Each cluster has its own session and its own stack of screens (a Textual mode): filters, cursors and marks stay as they
were. The first cluster is opened before the first frame, the others after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual.message import Message
from textual.screen import Screen

from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import Cluster, Diff
from console.clusters.cluster_session import Here, Opened
from console.config.commands import SCREENS, CommandError
from console.config.settings import Config
from console.ingest.poller import WATCHED, Poller
from console.ingest.reduce import merged
from console.recording.location import to_record
from console.runtime import memo
from console.runtime.errors import UserError
from console.runtime.garbage import Garbage
from console.screens.layout.screen import WachtScreen
from console.session.site import Site
from widgets.cells import Span
from widgets.terminal.quiet_app import QuietScreen

from . import screen_factory
from .replay_mode import ReplayMode

if TYPE_CHECKING:
    from console.clusters.cluster_summary import Standing

#: Seconds after the first frame until the other clusters are opened.
OPEN_OTHERS_S = 2.0
PUBLISH_TIMEOUT_S = 1.0
"""Seconds that a publish waits at most for the event loop to take the previous one."""
#: Kinds of facts whose change may ring the bell.
BELL_KINDS = frozenset({"alerts", "silences"})
#: Chips of other clusters in the top line; the worst come first.
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
    looked_at: Here[WachtScreen | None] = Here()
    gpus_every_s = Here[float]()

    def init_clusters(self, site: Site, others: Sequence[Site], clock: Clock | None) -> None:
        """Open the first cluster and note the others."""
        self._live_values: dict[str, Any] = {}
        self.sites: Mapping[str, Site] = {one.name: one for one in (site, *others)}
        """Cluster name to site, for every cluster that can be shown."""
        self.unopened: dict[str, str] = {}
        """Clusters that failed to open or were closed, with the reason. A cluster in neither dict is opened later."""
        self._clock = clock
        self.here = Opened(site, self.config, clock)
        self.opened = {site.name: self.here}
        self.open_poller(self.here)
        self.fleet: dict[str, Cluster] = {site.name: self.here.newest}
        """Cluster name to the Cluster that its screens show."""
        self.garbage = Garbage()
        self._modes_made = 0

    @property
    def cluster(self) -> Cluster:
        """The cluster on the screen."""
        return self.fleet[self.current]

    def show_message(self, text: str, severity: str = "information") -> None:
        """Show a message (toast) about the cluster on the screen."""
        self.show_message_for(self.here, text, severity)

    def show_message_for(self, at: Opened, text: str, severity: str = "information") -> None:
        """Show a message about one cluster, with its name where there are several. Not markup: the text may
        be foreign."""
        named = f"{at.name}: {text}" if len(self.sites) > 1 else text
        self.notify(named, severity=severity, markup=False, timeout=6)  # type: ignore[arg-type]

    # Reading.

    def read(self) -> None:
        """Start to read. The long lists are created now so that their rows are ready when they are opened."""
        self._start_cluster(self.here)
        self.read_journal_facts()
        self.report_orphans(self.here)
        self.garbage.started()
        if len(self.sites) > 1:
            self.set_timer(OPEN_OTHERS_S, self._open_others)

    def _start_cluster(self, at: Opened) -> None:
        self._make_screens(at)
        self.record(at)
        at.poller.start()

    def _publish(self, cluster: Cluster, diff: Diff) -> None:
        """Take a new Cluster. Runs in the poller's thread, which also computes sums and sorts lists."""
        # Import here, in the poller's thread: on the event loop it would stall the keys.
        from console.alerts.groups import groups
        from console.triage import attention  # noqa: F401

        if (at := self.opened.get(cluster.name)) is None:
            return  # it was closed meanwhile
        if at.recorder is not None:
            at.recorder.offer(cluster, diff)
        # Sums of this Cluster must not evict those of the previous one while the event loop still reads them.
        taken = at.taken.wait(PUBLISH_TIMEOUT_S)
        at.taken.clear()
        # Keep the sums of the Cluster that is shown, too: it may be one that is still queued, or come from a recording.
        if taken and not self.in_replay_mode:
            memo.keep(at.name, (cluster, self.fleet.get(at.name, cluster)))
        here = self.here
        shown, over = at is here and not self.in_replay_mode, here.looked_at
        if over is not None and (shown or over.shows_all_clusters):
            over.prepare(cluster, at, self.policy, shown=shown)
        if at.ring.loud is None or not diff.kinds.isdisjoint(BELL_KINDS):
            groups(cluster, at.live_clock.now(), self.policy)
        # Prepare other screens after the first facts are shown, but before all later ones.
        starts = not all(one.tried for one in cluster.sources.values())
        if starts:
            self.post_message(ClusterChanged(cluster, diff))
        at.logged.see(cluster)
        if shown:
            for name in SCREENS:
                for make in screen_factory.view(name).sums:
                    make(cluster)
            for one in at.ahead:
                if one is not over:
                    one.prepare(cluster, at, self.policy, shown=False)
        if not starts:
            self.post_message(ClusterChanged(cluster, diff))

    def on_cluster_changed(self, event: ClusterChanged) -> None:
        """Take a newer Cluster on the event loop."""
        at = self.opened.get(event.cluster.name)
        if at is None or not self.screen_stack:
            return  # the app is closing
        in_replay_mode = self.in_replay_mode and at is self.here
        if in_replay_mode:
            self.live_cluster = event.cluster
        else:
            self.fleet[at.name] = event.cluster
        at.taken.set()  # only now: the sums of the shown Cluster are kept until here
        if at.ring.loud is None or not event.diff.kinds.isdisjoint(BELL_KINDS):
            self._ring_bell(at, event.cluster)
        if in_replay_mode:
            return
        self.verify(at, event.cluster)
        if "partitions" in event.diff.kinds:
            self._read_journal_facts(at)
        if at is self.here and isinstance(self.screen, WachtScreen):
            self.screen.update_cluster(event.cluster, event.diff)
        self._update_hidden_screens(at, event.cluster)

    def _update_hidden_screens(self, at: Opened, cluster: Cluster) -> None:
        """Give the new Cluster to the screens of `at` that are not shown. Those below a dialog or an inspection stay as
        they are."""
        shown = self.screen_stack
        of_it = {*self._installed_screens.values(), *self._screen_stacks.get(at.mode, ())}
        for one in of_it:
            if isinstance(one, WachtScreen) and one.is_mounted and one.at is at and one not in shown:
                one.keep_up(cluster)

    def _ring_bell(self, at: Opened, cluster: Cluster) -> None:
        """Ring once per reading at most, for critical groups that are new."""
        from console.alerts.bell import sequences, words
        from console.alerts.groups import groups

        now = at.live_clock.now()
        at.ring, new = at.ring.next(cluster, groups(cluster, now, self.policy), now)
        if not new:
            return
        looks_at_them = isinstance(self.screen, WachtScreen) and self.screen.crumb == "alerts"
        hint = "" if looks_at_them else f"  ({self.keymap.press('alerts')})"
        if at is not self.here:
            hint = f"  (:cluster {at.name})"
        elif self.in_replay_mode:
            hint = f"  (in the present: {self.keymap.press('look_back')})"
        self.show_message_for(at, f"critical: {words(new)}{hint}", "error")
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequences(cluster.name, new, self.config.bell, self.config.notify))

    # Other clusters.

    def other_cluster_chips(self) -> list[Span]:
        """Chips of the top line for other clusters that have something to report."""
        if len(self.sites) == 1:
            return []
        from console.clusters.cluster_summary import chip_of

        found = sorted(filter(None, map(chip_of, self.standings())), key=lambda chip: chip[1] != "bad")
        more = len(found) - _MAX_CHIPS
        return [*found[:_MAX_CHIPS], (f"+{more}", found[_MAX_CHIPS][1])] if more > 0 else found

    def standings(self) -> list[Standing]:
        """A summary of each cluster, in the order of the configuration."""
        from console.clusters.cluster_summary import Standing, standing

        made = []
        for name in self.sites:
            if (at := self.opened.get(name)) is None:
                made.append(Standing(name=name, why=self.unopened.get(name, "")))
                continue
            # Use the Cluster that was taken in: the sums of the next one are still being computed.
            known = self.live_cluster if at is self.here and self.live_cluster is not None else self.fleet[name]
            made.append(standing(known, at.live_clock.mono(), shown=at is self.here))
        return made

    def set_background_polling(self, more: frozenset[str] = frozenset()) -> None:
        """Poll `WATCHED` and the kinds in `more` of the clusters that are not shown."""
        for at in self.opened.values():
            if at is not self.here and isinstance(at.poller, Poller):
                at.poller.watch(WATCHED | more)

    def _open_others(self) -> None:
        for name in self.sites:
            if name not in self.opened and name not in self.unopened:
                self._open(name)

    def _open(self, name: str, then: Callable[[Opened], None] | None = None) -> None:
        """Open a cluster off the event loop, then call `then` with its session."""
        site = self.sites[name]
        twin = next((one.name for one in self.opened.values() if one.site.reach and one.site.reach == site.reach), "")
        if twin:
            self._open_failed(
                name, f'it would ask the same Slurm as {twin}: give it slurm = {{ conf = "…/slurm.conf" }}'
            )
            return
        self._modes_made += 1
        mode = f"{name} {self._modes_made}"

        def work() -> None:
            try:
                at = Opened(site, self.config, self._clock, mode)
                at.records = to_record(site, self.config.recording) if self._recording_enabled else None
                self.open_poller(at)
            except UserError as error:
                self.call_from_thread(self._open_failed, name, clean(str(error)))
            except Exception as error:
                self.call_from_thread(self._open_failed, name, clean(f"{type(error).__name__}: {error}")[:300])
            else:
                self.call_from_thread(self._cluster_opened, at, then)

        self.run_worker(work, thread=True, group="cluster", exit_on_error=False)

    @property
    def _recording_enabled(self) -> bool:
        """Whether this console records."""
        return any(at.records is not None for at in self.opened.values())

    def _open_failed(self, name: str, why: str) -> None:
        self.unopened[name] = why
        self.show_message_for(self.here, f"{name} cannot be opened: {why}", "warning")

    def _cluster_opened(self, at: Opened, then: Callable[[Opened], None] | None) -> None:
        if at.name not in self.opened and self.screen_stack:
            self.unopened.pop(at.name, None)
            self.opened[at.name], self.fleet[at.name] = at, at.newest
            self.add_mode(at.mode, QuietScreen)
            if isinstance(at.poller, Poller):
                at.poller.watch(WATCHED)
            self._start_cluster(at)
            self._read_journal_facts(at)
            self.report_orphans(at)
        if then is not None:
            then(self.opened[at.name])

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
        if (at := self.opened.get(name)) is not None:
            self._show_opened(at)
            return
        screen = self.screen

        def then(at: Opened) -> None:
            if not self.user_moved_on(screen, f"cluster {name}"):
                self._show_opened(at)

        self._open(name, then)

    def _leave_replay_first(self) -> str:
        back = self.keymap.press("look_back")
        return f"the past of {self.current} is on the screen: {back} to go back to the present"

    def _show_opened(self, at: Opened) -> None:
        """Show an open cluster. The only place that sets `here`.

        Never in replay mode: `ReplayMode` restores the live values, the gate among them, onto the cluster that is
        `here`."""
        if self.in_replay_mode:
            self.show_message(f"{at.name} is open; {self._leave_replay_first()}")
            return
        self.poller.show(frozenset())
        self.here = at
        if isinstance(at.poller, Poller):
            at.poller.watch(None)
        self.set_background_polling()
        new = at.mode not in self._screen_stacks
        self.switch_mode(at.mode)
        if new:
            self.push_screen(self.config.screen or "overview")
            self.call_after_refresh(self._make_screens, at)

    def _make_screens(self, at: Opened) -> None:
        if at is self.here:
            every = (self.get_screen(name) for name in ("overview", "nodes", "jobs"))
            at.ahead = [screen for screen in every if isinstance(screen, WachtScreen)]
            self.add_plugin_columns(at)

    def add_plugin_columns(self, at: Opened) -> None:
        """Hook: the lists of a cluster exist now; plugins add their columns."""

    def get_screen(self, screen: Any, screen_class: Any = None) -> Any:
        """Look up a screen name among the screens of the cluster that is shown."""
        if isinstance(screen, str) and (key := _installed_name(self.here, screen)) != screen:
            if not self.is_screen_installed(key):
                self.install_screen(screen_factory.make(screen), key)
            screen = key
        return super().get_screen(screen, screen_class)

    def close_cluster(self, name: str) -> None:
        """`:close NAME`: stop reading a cluster and free its memory. Raises CommandError."""
        at = self.opened.get(name)
        if at is None:
            raise CommandError(f"{clean(name) or 'that'} is not open; there are: {', '.join(self.opened)}")
        if at is self.here:
            raise CommandError(f"{name} is on the screen: show another first")
        if at.busy:
            raise CommandError(f"{name}: wait until what you sent was seen")
        del self.opened[name], self.fleet[name]
        self.unopened[name] = "closed"
        self.remove_mode(at.mode)
        self.call_later(self._drop_screens, at)
        self.run_worker(lambda: at.stop(alone=True), thread=True, group="cluster", exit_on_error=False)
        memo.forget(name)
        self.show_message(f"{name} is closed: nothing of it is read, and nothing rings; :cluster {name} opens it again")

    async def _drop_screens(self, at: Opened) -> None:
        for key in [_installed_name(at, one) for one in SCREENS]:
            made = self._installed_screens.pop(key, None)
            if isinstance(made, Screen) and made.is_attached:
                await made.remove()


def _installed_name(at: Opened, name: str) -> str:
    """The name under which a screen of a cluster is installed; the first cluster uses plain names."""
    return name if at.mode == "_default" else f"{at.mode}/{name}"

"""Several clusters in one console: one is on the screen, the others are read on, seldom, so that their alerts ring.

Each is an `Opened` of its own, with a stack of screens of its own (a mode of Textual's): filters, cursors and marks
stay where they are. The first is opened before the first frame, the others after it.
"""

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

#: Seconds after the first frame until the other clusters are opened: the one that is looked at comes first.
OPEN_OTHERS_S = 2.0
PUBLISH_TIMEOUT_S = 1.0
"""What is published next waits so long for the event loop to take in what was published last."""
#: Kinds of facts that may make the bell ring.
BELL_KINDS = frozenset({"alerts", "silences"})
#: So many other clusters have a chip each in the top line, the worst first.
_MAX_CHIPS = 2


class ClusterChanged(Message):
    """The poller has a newer Cluster. Those still in the queue become one, with the differences of all."""

    def __init__(self, cluster: Cluster, diff: Diff) -> None:
        super().__init__()
        self.cluster, self.diff = cluster, diff

    def can_replace(self, message: Message) -> bool:
        """The newer one takes over what this one would have told."""
        if isinstance(message, ClusterChanged) and message.cluster.name == self.cluster.name:
            message.diff = merged(self.diff, message.diff)
            return True
        return False


class ClusterSwitching(ReplayMode):
    """The part of the app that knows which clusters there are, and which is shown."""

    config: Config
    looked_at: Here[WachtScreen | None] = Here()
    gpus_every_s = Here[float]()

    def init_clusters(self, site: Site, others: Sequence[Site], clock: Clock | None) -> None:
        """Open the first, and know of the others."""
        self._live_values: dict[str, Any] = {}
        self.sites: Mapping[str, Site] = {one.name: one for one in (site, *others)}
        """Every cluster that can be shown."""
        self.unopened: dict[str, str] = {}
        """Those that are not open, with the reason; one that stands in neither will be opened."""
        self._clock = clock
        self.here = Opened(site, self.config, clock)
        self.opened = {site.name: self.here}
        self.open_poller(self.here)
        self.fleet: dict[str, Cluster] = {site.name: self.here.newest}
        """Name to what is shown of it."""
        self.garbage = Garbage()
        self._modes_made = 0

    @property
    def cluster(self) -> Cluster:
        """The cluster on the screen."""
        return self.fleet[self.current]

    def show_message(self, text: str, severity: str = "information") -> None:
        """A word in the corner."""
        self.show_message_for(self.here, text, severity)

    def show_message_for(self, at: Opened, text: str, severity: str = "information") -> None:
        """The same about one cluster, named where there are several. Never markup: it may hold what somebody wrote."""
        named = f"{at.name}: {text}" if len(self.sites) > 1 else text
        self.notify(named, severity=severity, markup=False, timeout=6)  # type: ignore[arg-type]

    # Reading.

    def read(self) -> None:
        """Begin to read. The long lists are there before they are first looked at, so that their rows can be."""
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
        """From a poller's thread, which makes the sums and sorts the lists: the event loop has keys to answer."""
        # What judges facts is imported with the first of them, and here: on the event loop it would be a stall.
        from console.alerts.groups import groups
        from console.triage import attention  # noqa: F401

        if (at := self.opened.get(cluster.name)) is None:
            return  # it was closed
        if at.recorder is not None:
            at.recorder.offer(cluster, diff)
        # What is made for this one must not push out what the loop still looks up of the one before.
        taken = at.taken.wait(PUBLISH_TIMEOUT_S)
        at.taken.clear()
        # Where one is still on its way, or comes from a recording, its sums will be looked up too.
        if taken and not self.in_replay_mode:
            memo.keep(at.name, (cluster, self.fleet.get(at.name, cluster)))
        here = self.here
        shown, over = at is here and not self.in_replay_mode, here.looked_at
        if over is not None and (shown or over.shows_all_clusters):
            over.prepare(cluster, at, self.policy, shown=shown)
        if at.ring.loud is None or not diff.kinds.isdisjoint(BELL_KINDS):
            groups(cluster, at.live_clock.now(), self.policy)
        # What the next key may show comes after the first facts, which somebody waits for, and before all later ones.
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
        """A poller has newer facts."""
        at = self.opened.get(event.cluster.name)
        if at is None or not self.screen_stack:
            return  # it is closing, and a last reading came in
        in_replay_mode = self.in_replay_mode and at is self.here
        if in_replay_mode:
            self.live_cluster = event.cluster
        else:
            self.fleet[at.name] = event.cluster
        at.taken.set()  # not before: the sums of what is shown are kept
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
        """The screens of it that nobody looks at, those below a dialog or an inspection apart: they stand still."""
        shown = self.screen_stack
        of_it = {*self._installed_screens.values(), *self._screen_stacks.get(at.mode, ())}
        for one in of_it:
            if isinstance(one, WachtScreen) and one.is_mounted and one.at is at and one not in shown:
                one.keep_up(cluster)

    def _ring_bell(self, at: Opened, cluster: Cluster) -> None:
        """The bell, once a reading at most, for critical groups that were not there before."""
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

    # The others.

    def other_cluster_chips(self) -> list[Span]:
        """For the top line: the other clusters, those of which there is something to say."""
        if len(self.sites) == 1:
            return []
        from console.clusters.cluster_summary import chip_of

        found = sorted(filter(None, map(chip_of, self.standings())), key=lambda chip: chip[1] != "bad")
        more = len(found) - _MAX_CHIPS
        return [*found[:_MAX_CHIPS], (f"+{more}", found[_MAX_CHIPS][1])] if more > 0 else found

    def standings(self) -> list[Standing]:
        """How each cluster stands, in the order of the configuration."""
        from console.clusters.cluster_summary import Standing, standing

        made = []
        for name in self.sites:
            if (at := self.opened.get(name)) is None:
                made.append(Standing(name=name, why=self.unopened.get(name, "")))
                continue
            # What was taken in, not what comes next: the sums of that are still being made.
            known = self.live_cluster if at is self.here and self.live_cluster is not None else self.fleet[name]
            made.append(standing(known, at.live_clock.mono(), shown=at is self.here))
        return made

    def set_background_polling(self, more: frozenset[str] = frozenset()) -> None:
        """What is read of the clusters that are not shown: `WATCHED`, and more while a screen shows it."""
        for at in self.opened.values():
            if at is not self.here and isinstance(at.poller, Poller):
                at.poller.watch(WATCHED | more)

    def _open_others(self) -> None:
        for name in self.sites:
            if name not in self.opened and name not in self.unopened:
                self._open(name)

    def _open(self, name: str, then: Callable[[Opened], None] | None = None) -> None:
        """Open a cluster off the event loop, which takes imports and files; `then` on it."""
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
        """Whether this console records at all."""
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

    # Going from one to another.

    def action_next_cluster(self) -> None:
        """C: the next one that is known."""
        names = list(self.sites)
        if len(names) == 1:
            self.show_message("one cluster is known; each [cluster.NAME] of the configuration is one more")
            return
        self.go_to_cluster(names[(names.index(self.current) + 1) % len(names)])

    def go_to_cluster(self, name: str) -> None:
        """Show it, or say why not."""
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
        """The one place that changes `here`. Never while the past is shown: what `ReplayMode` put by of the one that is
        here comes back onto the one that is here, its gate too."""
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
        """The lists of a cluster are there: what a site adds to them comes."""

    def get_screen(self, screen: Any, screen_class: Any = None) -> Any:
        """A screen by its name is the one of the cluster that is shown."""
        if isinstance(screen, str) and (key := _installed_name(self.here, screen)) != screen:
            if not self.is_screen_installed(key):
                self.install_screen(screen_factory.make(screen), key)
            screen = key
        return super().get_screen(screen, screen_class)

    def close_cluster(self, name: str) -> None:
        """`:close NAME`: read it no more, and give back what it holds. Raises CommandError."""
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
    """What a screen of a cluster is installed as: of the first by its plain name."""
    return name if at.mode == "_default" else f"{at.mode}/{name}"

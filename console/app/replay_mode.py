"""Replay mode: the same screens show a recording, while live polling goes on behind it.

Screens read everything from the session on the screen; replay mode replaces it by the session of the recording. The
live cluster is still polled and recorded, and its bell rings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
from textual.app import App
from textual.message import Message

from collectors.model import Cluster, Diff
from console.actions.incident import active_incidents
from console.clusters.cluster_session import ClusterSession, FromSession
from console.clusters.fleet import Fleet
from console.config.commands import CommandError
from console.config.keymap import Keymap
from console.ingest.poller import Poller
from console.ingest.reduce import merged
from console.runtime.errors import UserError
from console.screens.layout.screen import Inspection, WachtScreen
from widgets.key_bar import KeyHint
from widgets.units import duration, stamp

if TYPE_CHECKING:
    from console.health.xid_policy import Policy
    from console.recording.location import Bounds
    from console.recording.player import Player
    from console.recording.recorder import Recorder
    from console.recording.replay_site import ReplaySite

#: Ids of `console.actions.registry.NAVIGATION` that are handled here.
KEYS = ("look_back", "play", "slower", "faster", "earlier", "later", "far_back", "far_on", "next_mark", "last_mark",
        "go_to")  # fmt: skip
SKIP_S = 600.0


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


class ReplayMode(App[None]):
    clock = FromSession()
    gate = FromSession()
    transport = FromSession()
    telemetry = FromSession()
    poller = FromSession()
    sending = FromSession()
    sent_watch = FromSession()
    resumed = FromSession()
    leftovers = FromSession()
    journal = FromSession()
    journal_path = FromSession()
    """The part of the app that records, and that shows recordings."""

    recorder: FromSession[Recorder | None] = FromSession()
    records: FromSession[tuple[Path, Bounds] | None] = FromSession()
    _reported_fault = ""
    fleet: Fleet
    policy: Policy
    keymap: Keymap
    """The keys in force, for messages that name one."""

    @property
    def current(self) -> str:
        """The name of the cluster on the screen."""
        return self.session.name

    def open_poller(self, session: ClusterSession) -> None:
        """Set the source of facts: a poller; for a recorded site a player, with a closed gate."""
        site = session.site
        if site.recorded:
            session.attach(self._open_player(session, cast("ReplaySite", site)))
        else:
            session.attach(
                Poller(site.name, site.collectors(), session.clock, self._publish, site.demo, (session.telemetry,))
            )

    def _publish(self, cluster: Cluster, diff: Diff) -> None:
        raise NotImplementedError

    def _open_player(self, session: ClusterSession, site: ReplaySite) -> Player:
        from console.recording.player import Player

        made: Player

        def publish(cluster: Cluster, diff: Diff | None) -> None:
            if isinstance(session.looked_at, WachtScreen):
                session.looked_at.prepare(cluster, session, self.policy, shown=True)
            self.post_message(MomentChanged(made, cluster, diff))

        def show_message(text: str) -> None:
            self.call_from_thread(self.show_message, text)

        made = Player(site.recording, site.clock, publish, show_message, site.begin)
        return made

    # Recording.

    def record(self, session: ClusterSession) -> None:
        """Start to record, if this console records. Its imports run off the event loop."""
        if session.records is not None:
            self.run_worker(session.start_recorder, thread=True, group="record", exit_on_error=False)

    def check_recorder(self) -> None:
        """Show a message once when recording fails; the top line shows it for as long as it lasts."""
        recorder = self.fleet.live.recorder
        trouble = recorder.trouble if recorder is not None else ""
        if trouble and not self._reported_fault:
            self.show_message(f"not recorded: {trouble}", "warning")
        self._reported_fault = trouble

    def stop_reading(self) -> None:
        """Stop every thread that polls, plays or records."""
        for at in {*self.sessions.values(), self.session}:
            at.stop()

    # Replay.

    @property
    def replaying(self) -> bool:
        """Whether a recording is on the screen, of this console or from a file."""
        return self.fleet.replaying

    @property
    def in_replay_mode(self) -> bool:
        """Whether this console shows its own recording while live polling continues."""
        return self.fleet.in_replay_mode

    @property
    def modes(self) -> Sequence[str]:
        """The modes that the top line highlights; for a recording its time and speed."""
        found = ["DEMO"] if self.cluster.demo else []
        if self.replaying:
            player = self._player
            pace = f"▶ ×{player.speed}" if player.playing else "paused"
            return [*found, f"REPLAY {stamp(self.clock.now())[5:19]} {pace}"]
        now = self.clock.now()
        found += [f"INCIDENT {one.name} {duration(one.ends - now)}" for one in active_incidents(self.cluster, now)[:2]]
        found += [one.chip for one in tuple(self.sending) if one.chip]
        if self.session.locked:
            found.append("READ-ONLY")
        if self.recorder is not None and self.recorder.trouble:
            found.append("NOT RECORDED")
        return found

    def replay_keys(self) -> Sequence[KeyHint]:
        """Keys for the key bar in place of the actions."""
        play = "pause" if self._player.playing else "play"
        away = (KeyHint("T", "present"),) if self.in_replay_mode else ()
        return (KeyHint("p", play), KeyHint("n", "next event"), KeyHint(",", "back"), KeyHint(".", "on"), KeyHint("]",
                "faster"),
                KeyHint("t", "go to"), *away)  # fmt: skip

    @property
    def _player(self) -> Player:
        return cast("Player", self.poller)

    def action_look_back(self) -> None:
        """Key `T`: show what this console recorded, or return to live."""
        if self.in_replay_mode:
            self._leave_replay()
        elif self.replaying:
            self.show_message("this is a recording: there is no present behind it; :quit leaves")
        elif self.recorder is None:
            self.show_message("nothing is recorded here", "warning")
        elif self.sending or self.sent_watch.waiting or self.acting.preflight_of:
            self.show_message("wait until what you sent was seen: in the past it would go unwatched", "warning")
        else:
            self._enter_replay(self.recorder.path)

    def _enter_replay(self, path: Path) -> None:
        from console.recording.replay_site import replay_site

        session = self.session

        def opened(site: ReplaySite) -> None:
            if session is not self.session or self.sending or self.sent_watch.waiting:
                self.show_message(f"the past of {session.name}: you went on meanwhile; ask for it again", "warning")
                return
            if self.in_replay_mode:
                return
            past = ClusterSession(msgspec.structs.replace(site, name=session.name), self.config, mode=session.mode)
            self.open_poller(past)
            past.cluster, past.looked_at = session.cluster, session.looked_at
            past.poller.start()
            self.fleet.session = past
            self._reset_screens()

        def work() -> None:
            try:
                site = replay_site(path, lambda recording: last.at if (last := recording.last()) is not None else 0.0)
            except UserError as error:
                why = self.recorder.trouble if self.recorder is not None else ""
                self.call_from_thread(self.show_message, f"there is nothing to look back at: {why or error}", "warning")
                return
            self.call_from_thread(opened, site)

        self.run_worker(work, thread=True, group="replay", exclusive=True, exit_on_error=False)

    def _leave_replay(self) -> None:
        self.poller.stop()
        self.fleet.live.looked_at = self.session.looked_at
        self.fleet.session = self.fleet.live
        self._reset_screens()
        self.show_message("back in the present")

    def _reset_screens(self) -> None:
        """Show another time on every screen: drop what they fetched on demand."""
        open_one = self.screen
        while len(self.screen_stack) > 2:
            self.pop_screen()
        for screen in (*self._installed_screens.values(), *self.screen_stack):
            if isinstance(screen, WachtScreen) and screen.at.name == self.session.name:
                screen.show_session(self.session)
        if isinstance(open_one, Inspection):
            self.push_screen(type(open_one)(open_one.key))
        if isinstance(self.screen, WachtScreen):
            self.poller.need(self.screen.needed_kinds)
            self._refresh_screen(self.screen, None)

    def _refresh_screen(self, screen: WachtScreen, diff: Diff | None) -> None:
        screen.update_cluster(self.cluster, diff)
        if diff is None:
            self._last_tick = -math.inf
            self.journal_queries.read_facts(self.session)

    def on_moment_changed(self, event: MomentChanged) -> None:
        """Show another moment of the recording."""
        if event.player is not self.poller or not self.screen_stack:
            return
        self.session.cluster = event.cluster
        if isinstance(self.screen, WachtScreen):
            self._refresh_screen(self.screen, event.diff)

    # Keys.

    def _player_or_message(self) -> Player | None:
        if self.replaying:
            return self._player
        back = self.keymap.press("look_back")
        self.show_message(f"this key is for recordings: {back} to look back, wacht replay FILE plays one")
        return None

    def action_play(self) -> None:
        """Key `p`: play or pause."""
        if (player := self._player_or_message()) is not None:
            player.toggle()

    def action_slower(self) -> None:
        """Key `[`: play slower."""
        if (player := self._player_or_message()) is not None:
            player.pace(-1)

    def action_faster(self) -> None:
        """Key `]`: play faster."""
        if (player := self._player_or_message()) is not None:
            player.pace(1)

    def action_earlier(self) -> None:
        """Key `,`: the previous moment."""
        if (player := self._player_or_message()) is not None:
            player.step(back=True)

    def action_later(self) -> None:
        """Key `.`: the next moment."""
        if (player := self._player_or_message()) is not None:
            player.step(back=False)

    def action_far_back(self) -> None:
        """Key `<`: jump far back."""
        if (player := self._player_or_message()) is not None:
            player.skip(-SKIP_S)

    def action_far_on(self) -> None:
        """Key `>`: jump far ahead."""
        if (player := self._player_or_message()) is not None:
            player.skip(SKIP_S)

    def action_next_mark(self) -> None:
        """Key `n`: the next alert, action or failure."""
        if (player := self._player_or_message()) is not None:
            player.jump(back=False)

    def action_last_mark(self) -> None:
        """Key `N`: the previous one."""
        if (player := self._player_or_message()) is not None:
            player.jump(back=True)

    def action_go_to(self) -> None:
        """Key `t`: open the prompt for a time."""
        if self._player_or_message() is not None and isinstance(self.screen, WachtScreen):
            self.screen.prompt.open(":", "at ")

    def seek(self, verb: str, text: str) -> None:
        """`:at 03:12` and `:next action`. Raises CommandError."""
        from console.recording.moments import parse_moment
        from console.recording.store import KINDS

        if not self.replaying:
            raise CommandError(f"only a recording has another moment: {self.keymap.press('look_back')} to look back")
        if verb == "next":
            if text and text not in KINDS:
                raise CommandError(f"next {', '.join(KINDS)}")
            self._player.jump(back=False, kind=text or None)
            return
        try:
            self._player.go(parse_moment(text))
        except ValueError as error:
            raise CommandError(str(error)) from None

"""Replay mode: the same screens show a recording, while live polling goes on behind it.

Screens read everything from the session on the screen; replay mode replaces it by the session of the recording. The
live cluster is still polled and recorded, and its bell rings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from collectors.model import Diff
from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.config.commands import CommandError
from console.config.settings import Config
from console.runtime.errors import UserError
from console.screens.layout.screen import Inspection, WachtScreen
from widgets.key_bar import KeyHint

from .acting import Acting
from .cluster_screens import ClusterScreens
from .cluster_updates import ClusterUpdates, MomentChanged
from .input_handling import InputHandling
from .journal_queries import JournalQueries
from .notifications import Notifications
from .ports import Screens

if TYPE_CHECKING:
    from console.recording.player import Player
    from console.recording.replay_site import ReplaySite

SKIP_S = 600.0
#: What the keys of a recording do (`console.actions.registry.NAVIGATION`).
CONTROLS: Mapping[str, Callable[[Player], None]] = {
    "play": lambda player: player.toggle(),
    "slower": lambda player: player.pace(-1),
    "faster": lambda player: player.pace(1),
    "earlier": lambda player: player.step(back=True),
    "later": lambda player: player.step(back=False),
    "far_back": lambda player: player.skip(-SKIP_S),
    "far_on": lambda player: player.skip(SKIP_S),
    "next_mark": lambda player: player.jump(back=False),
    "last_mark": lambda player: player.jump(back=True),
}


class ReplayMode:
    """Shows what this console recorded, and controls the player of a recording."""

    def __init__(
        self, fleet: Fleet, notifications: Notifications, input: InputHandling, acting: Acting,
        journal: JournalQueries, updates: ClusterUpdates, stacks: ClusterScreens, config: Config, port: Screens,
    ) -> None:  # fmt: skip
        self._fleet, self._notify, self._input, self._acting = fleet, notifications, input, acting
        self._journal, self._updates, self._stacks = journal, updates, stacks
        self._config, self._port = config, port

    def keys(self) -> Sequence[KeyHint]:
        """Keys for the key bar in place of the actions."""
        play = "pause" if self._player.playing else "play"
        away = (KeyHint("T", "present"),) if self._fleet.in_replay_mode else ()
        return (KeyHint("p", play), KeyHint("n", "next event"), KeyHint(",", "back"), KeyHint(".", "on"), KeyHint("]",
                "faster"),
                KeyHint("t", "go to"), *away)  # fmt: skip

    @property
    def _player(self) -> Player:
        return cast("Player", self._fleet.session.poller)

    # Entering and leaving.

    def look_back(self) -> None:
        """Key `T`: show what this console recorded, or return to live."""
        session = self._fleet.session
        if self._fleet.in_replay_mode:
            self._leave()
        elif self._fleet.replaying:
            self._notify.show("this is a recording: there is no present behind it; :quit leaves")
        elif session.recorder is None:
            self._notify.show("nothing is recorded here", "warning")
        elif session.busy or self._acting.preflight_of:
            self._notify.show("wait until what you sent was seen: in the past it would go unwatched", "warning")
        else:
            self._enter(session, session.recorder.path)

    def _enter(self, session: ClusterSession, path: Path) -> None:
        from console.recording.replay_site import replay_site

        def opened(site: ReplaySite) -> None:
            if session is not self._fleet.live or session.busy:
                self._notify.show(f"the past of {session.name}: you went on meanwhile; ask for it again", "warning")
                return
            if self._fleet.in_replay_mode:
                return
            past = ClusterSession(msgspec.structs.replace(site, name=session.name), self._config, mode=session.mode)
            self._updates.attach(past)
            past.cluster, past.looked_at = session.cluster, session.looked_at
            past.poller.start()
            self._show(past)

        def work() -> None:
            try:
                site = replay_site(path, lambda recording: last.at if (last := recording.last()) is not None else 0.0)
            except UserError as error:
                why = session.recorder.trouble if session.recorder is not None else ""
                self._port.call_from_thread(
                    self._notify.show, f"there is nothing to look back at: {why or error}", "warning"
                )
                return
            self._port.call_from_thread(opened, site)

        self._port.run_in_thread(work, "replay", exclusive=True)

    def _leave(self) -> None:
        self._player.stop()
        self._show(self._fleet.live)
        self._notify.show("back in the present")

    def _show(self, session: ClusterSession) -> None:
        """Show the live session of this cluster, or a recording, on every screen."""
        port, open_one = self._port, self._port.screen
        session.looked_at, self._fleet.session = self._fleet.session.looked_at, session
        while len(port.screen_stack) > 2:
            port.pop_screen()
        for screen in self._stacks.of(session):
            screen.show_session(session)
        if isinstance(open_one, Inspection):
            port.push_screen(type(open_one)(open_one.key))
        if isinstance(port.screen, WachtScreen):
            session.poller.need(port.screen.needed_kinds)
            self._refresh_screen(port.screen, None)

    def _refresh_screen(self, screen: WachtScreen, diff: Diff | None) -> None:
        session = self._fleet.session
        screen.update_cluster(session.cluster, diff)
        if diff is None:
            self._updates.tick_soon()
            self._journal.read_facts(session)

    def moment_changed(self, event: MomentChanged) -> None:
        """Show another moment of the recording."""
        session = self._fleet.session
        if event.player is not session.poller or not self._port.screen_stack:
            return
        session.cluster = event.cluster
        if isinstance(self._port.screen, WachtScreen):
            self._refresh_screen(self._port.screen, event.diff)

    # Controls.

    def control(self, key: str) -> None:
        """A key of `CONTROLS`."""
        if self._is_recording():
            CONTROLS[key](self._player)

    def ask_for_moment(self) -> None:
        """Key `t`: open the prompt for a time."""
        if self._is_recording() and isinstance(self._port.screen, WachtScreen):
            self._port.screen.prompt.open(":", "at ")

    def _is_recording(self) -> bool:
        """Whether a recording is on the screen; shows a message if not."""
        if not self._fleet.replaying:
            back = self._input.keymap.press("look_back")
            self._notify.show(f"this key is for recordings: {back} to look back, wacht replay FILE plays one")
        return self._fleet.replaying

    def seek(self, verb: str, text: str) -> None:
        """`:at 03:12` and `:next action`. Raises CommandError."""
        from console.recording.moments import parse_moment
        from console.recording.store import KINDS

        if not self._fleet.replaying:
            back = self._input.keymap.press("look_back")
            raise CommandError(f"only a recording has another moment: {back} to look back")
        if verb == "next":
            if text and text not in KINDS:
                raise CommandError(f"next {', '.join(KINDS)}")
            self._player.jump(back=False, kind=text or None)
            return
        try:
            self._player.go(parse_moment(text))
        except ValueError as error:
            raise CommandError(str(error)) from None

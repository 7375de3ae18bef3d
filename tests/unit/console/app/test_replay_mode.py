"""Replay mode: live or past, and what is refused while a recording is shown."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from console.app.cluster_updates import ClusterUpdates, MomentChanged
from console.app.navigation import Navigation
from console.app.replay_mode import CONTROLS, SKIP_S, ReplayMode
from console.app.undo_actions import UndoActions
from console.config.commands import CommandError
from console.gate.outcome import Progress
from console.session.site_gate import LOCKED
from tests.support import recordings
from tests.support.fake_app import A, B, Desk


class Replay(Desk):
    """A console with a recording of its cluster."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(None, B)
        self.stacks = SimpleNamespace(of=lambda session: [one for one in self.app.screen_stack if hasattr(one, "at")])
        self.updates = ClusterUpdates(
            self.fleet, self.notifications, self.acting.outcomes, self.journal, self.input, self.stacks, self.config,
            self.app,
        )  # fmt: skip
        self.replay = ReplayMode(
            self.fleet, self.notifications, self.input, self.acting, self.journal, self.updates, self.stacks,
            self.config, self.app,
        )  # fmt: skip
        if path is not None:
            recordings.recorded(path, seconds=6, nodes=4)
            self.session.recorder = SimpleNamespace(path=path, trouble="", stop=lambda: None)

    def enter(self) -> None:
        self.replay.look_back()
        self.app.work()
        assert self.fleet.in_replay_mode, self.notes


@pytest.fixture
def console(state: Path):
    made = Replay(state / "a.wacht")
    made.show("n1")
    yield made
    for session in {made.session, made.fleet.live}:
        session.stop()


def test_nothing_recorded_is_said(state) -> None:
    desk = Replay()
    desk.replay.look_back()
    assert desk.notes == [f"{A}: nothing is recorded here"]


def test_what_was_sent_is_watched_first(console: Replay) -> None:
    console.session.sending.add(Progress(1))
    console.replay.look_back()
    assert "wait until what you sent was seen" in console.notes[0] and not console.app.threads


def test_the_recording_replaces_the_session_and_nothing_of_the_live_one(console: Replay) -> None:
    live, screen = console.session, console.app.screen
    gate, journal, clock = live.gate, live.journal_path, live.clock
    console.enter()
    past = console.session
    assert past is not live and past.site.recorded and console.fleet.live is live
    assert past.name == live.name and past.cluster is live.cluster, "until its first moment"
    assert screen.at is past and screen.discarded == 1
    assert (live.gate, live.journal_path, live.clock) == (gate, journal, clock)
    assert past.clock is not clock and past.journal_path != journal
    console.replay.look_back()
    assert console.session is live and screen.at is live and console.notes[-1] == f"{A}: back in the present"


def test_a_recording_refuses_actions_undo_and_ssh(console: Replay) -> None:
    console.enter()
    undoing = UndoActions(console.fleet, console.notifications, console.acting, console.app)
    navigation = Navigation(console.fleet, console.notifications, console.input, console.acting.refusal, console.app)
    console.acting.ask("drain", ("n1",), "bad DIMM")
    undoing.undo()
    undoing.read_back("a1")
    undoing.report_orphans(console.session)
    navigation.ssh("n1")
    assert len(console.notes) == 4 and all(LOCKED in note for note in console.notes)


def test_one_who_went_to_another_cluster_stays_there(console: Replay) -> None:
    from tests.support.fake_app import session

    console.replay.look_back()
    console.fleet.sessions[B] = console.fleet.session = session(name=B)
    console.app.work()
    assert not console.fleet.in_replay_mode and "you went on meanwhile" in console.notes[-1]


def test_only_the_moments_of_the_player_that_is_shown_are(console: Replay) -> None:
    console.enter()
    before = console.session.cluster
    console.replay.moment_changed(MomentChanged(object(), recordings.Night().cluster, None))
    assert console.session.cluster is before
    newer = recordings.Night().cluster
    console.replay.moment_changed(MomentChanged(console.session.poller, newer, None))
    assert console.session.cluster is newer and console.app.screen.shown_clusters[-1] is newer


def test_keys_of_a_recording_reach_its_player_and_are_explained_elsewhere(console: Replay) -> None:
    console.replay.control("play")
    assert "this key is for recordings" in console.notes[-1]
    with pytest.raises(CommandError, match="only a recording has another moment"):
        console.replay.seek("at", "03:12")
    console.enter()
    calls = []
    player = SimpleNamespace(
        playing=False, toggle=lambda: calls.append("play"), pace=calls.append, step=lambda back: calls.append(back),
        skip=calls.append, jump=lambda back, kind=None: calls.append((back, kind)), stop=lambda: None, go=calls.append,
    )  # fmt: skip
    console.session.poller.stop()
    console.session.poller = player
    for key in CONTROLS:
        console.replay.control(key)
    assert calls == ["play", -1, 1, True, False, -SKIP_S, SKIP_S, (False, None), (True, None)]
    with pytest.raises(CommandError, match="next "):
        console.replay.seek("next", "nonsense")
    with pytest.raises(CommandError):
        console.replay.seek("at", "25:99")

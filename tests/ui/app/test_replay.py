"""A recorded incident on the same screens: the same frames, at any moment, and nothing that could be changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from collectors.model import Cluster, SourceFault
from console.actions.registry import ACTIONS, NAVIGATION, keys_for
from console.app.app import KEYS
from console.app.confirm_dialog import ConfirmDialog
from console.app.notifications import Notifications
from console.app.replay_mode import CONTROLS
from console.gate import gate as gates
from console.journal.chain import append
from console.recording.location import Bounds
from console.recording.moments import parse_length, parse_moment
from console.recording.player import ReplayClock
from console.recording.store import RecordingReader
from console.screens.power import PowerScreen
from console.session.site_gate import LOCKED
from tests.support.operator import Operator, console
from tests.support.recordings import Night, cluster_at, intent
from tests.support.replays import Direct, replay


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def no_writer(monkeypatch):
    """Nothing may even open one."""

    def never(*_):
        raise AssertionError("a writer was opened")

    monkeypatch.setattr(gates, "open_writer", never)


def body(op: Operator) -> str:
    """The screen without the top line (it says REPLAY) and the key bar (nothing can be done)."""
    return "\n".join(op.screen().split("\n")[1:-1])


# -- the same frames ---------------------------------------------------------------------------------------------------

SEEN = ("1", "2", "3", "6", "i", "5", "4")


async def frames(op: Operator, keys: Sequence[str] = SEEN) -> dict[str, str]:
    """These screens as they are now."""
    shown = {}
    for key in keys:
        await op.press(key)
        op.app.screen.update_cluster(op.cluster, None)
        op.app.screen.tick(op.app.screen.ctx())
        await op.pilot.pause()
        shown[key] = body(op)
    await op.press("1")
    return shown


async def there(op: Operator, at: float) -> None:
    """Go to a moment of the recording."""
    op.app.session.poller.go(lambda recording, here: at)
    await op.until(lambda: op.app.clock.mono() == at and op.cluster is op.app.session.poller.cluster, "the moment")
    await op.pilot.pause()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "keys"), [((80, 24), SEEN), ((200, 50), ("1", "2", "6"))])
async def test_a_recorded_incident_is_replayed_to_the_same_frames(tmp_path, size, keys, monkeypatch, no_writer):
    path, live = tmp_path / "a.wacht", []
    monkeypatch.setattr(Notifications, "show_for", lambda *_: None)  # a word in the corner is no fact
    monkeypatch.setattr(PowerScreen, "_fetch_chart", lambda self: None)
    monkeypatch.setattr("console.screens.trends.MIN_LINES", 1000)
    monkeypatch.setattr("console.screens.layout.list_screen.WIDE", 1000)
    async with console(size, incident="pdu") as op:
        op.app.session.recorder = Direct(op.app, path)
        for _ in range(2):
            op.app.clock.advance(35)
            await op.look_again()
            now = op.app.clock.mono()
            await op.until(lambda now=now: {one.read_mono for one in op.cluster.sources.values()} == {now}, "all read")
            live.append((RecordingReader(path).last().at, await frames(op, keys)))
        op.app.session.recorder = None
    assert len({shown["1"] for _, shown in live}) > 1, "the incident is to be seen"
    async with replay(path, size) as op:
        # To the end and back first; then in the order in which they were lived, for the cursor has a past too.
        for at in (live[-1][0], live[0][0]):
            await there(op, at)
        for at, shown in live:
            await there(op, at)
            again = await frames(op, keys)
            for key in keys:
                assert again[key] == shown[key], key
            op.sees("REPLAY", "paused")


# -- nothing can be changed --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> tuple[Path, Night]:
    """Two minutes in which a PDU fails and somebody drains."""
    folder = tmp_path_factory.mktemp("night")
    path, journal = folder / "a.wacht", folder / "j.jsonl"
    made = Night(nodes=32)
    tape = made.tape(path, journal=journal)
    for turn in range(40):
        if turn == 20:
            append(journal, [intent("p1")])
        made.keep(tape)
        made.clock.advance(3)
    tape.close()
    return path, made


@pytest.mark.slow
async def test_every_action_is_refused_with_the_reason_by_key_and_by_command(night, no_writer, tmp_path, monkeypatch):
    told: list[str] = []
    async with replay(night[0], begin=lambda recording: recording.last().at) as op:
        app = op.app
        monkeypatch.setattr(app.notifications, "show", lambda text, *_: told.append(text))
        for screen, kind in (("2", "node"), ("3", "job"), ("6", "alert")):
            await op.press(screen)
            assert all(app.acting.refusal(action.id) == LOCKED for action in ACTIONS)
            for action in keys_for(kind):
                told.clear()
                await op.press(action.binding)
                assert not isinstance(app.screen, ConfirmDialog), action.id
                assert told == [f"{action.label} refused: {LOCKED}"], action.id
        await op.command("drain gpu0001 never")
        assert told[-1] == f"drain refused: {LOCKED}"
        for key in ("Z", "x"):
            await op.press("2", key)
            assert not isinstance(app.screen, ConfirmDialog)
        plan = app.session.gate.plan("drain", ["gpu0001"], "x", app.cluster)
        assert str(plan.why) == LOCKED
        app.session.gate.read_only = False
        plan = app.session.gate.plan("drain", ["gpu0001"], "x", app.cluster)
        assert plan.why == LOCKED, "read-only or not: there is no writer behind it"
        for ask in (
            lambda: app.session.transport.read_nodes(["gpu0001"]),
            lambda: app.session.telemetry.gpus(["gpu0001"]),
        ):
            with pytest.raises(SourceFault, match="not recorded"):
                ask()
    assert {one.name for one in (tmp_path / "state").rglob("*") if one.is_file()} <= {"history"}, "nothing is recorded"


async def test_what_is_asked_on_demand_was_not_recorded(night):
    async with replay(night[0], (200, 50)) as op:
        await op.press("2")
        await op.press("enter")
        await op.comes("not recorded")
        await op.press("escape", "5")
        await op.comes("not recorded")


# -- the player --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_it_says_replay_loudly_with_moment_and_pace(night):
    async with replay(night[0], (80, 24)) as op:
        await op.until(lambda: "REPLAY 11-18 11:06:40 paused" in op.screen(), "the mode, with the first moment")
        op.sees("DEMO", "slurm", "p play", "n next event")
        op.sees_not("READ-ONLY", "T present")
        await op.press("right_square_bracket", "p")
        await op.comes("▶ ×10")
        await op.comes("p pause")
        await op.press("p")
        await op.comes("paused")


@pytest.mark.slow
async def test_stepping_and_jumping(night):
    recording = RecordingReader(night[0])
    marks = recording.marks(0, 1e12)
    async with replay(night[0]) as op:
        clock = op.app.clock
        first = recording.first().at
        await there(op, first)
        await op.press("full_stop")
        await op.until(
            lambda: clock.mono() == recording.at(first + 0.001).at or clock.mono() > first, "the next moment"
        )
        await op.press("comma")
        await op.until(lambda: clock.mono() == first, "the one before")
        await op.press("comma")
        await op.comes("the recording begins here")
        for mark in marks[:2]:
            await op.press("n")
            await op.until(lambda mark=mark: clock.mono() == mark.at, "the next mark")
        await op.press("N")
        await op.until(lambda: clock.mono() == marks[0].at, "the mark before")
        await op.command("next action")
        action = next(mark for mark in marks if mark.kind == "action")
        await op.until(lambda: clock.mono() == action.at, "the action")
        await op.comes('action: jdv: drain gpu0001 "bad DIMM"')
        await op.command("next action")
        await op.comes("no further action was recorded")
        await op.press("greater_than_sign")
        last = recording.last().at
        await op.until(lambda: clock.mono() == last, "ten minutes on is the end")
        await op.press("full_stop")
        await op.comes("the recording ends here")
        await op.press("less_than_sign")
        await op.until(lambda: clock.mono() == first, "and back")
        await op.press("t")
        await op.type("+60s")
        await op.press("enter")
        await op.until(lambda: clock.mono() == pytest.approx(first + 60), "where was asked for")
        await op.command("at yesterday")
        await op.comes("is no moment; write it as")


@pytest.mark.slow
async def test_the_journal_is_as_it_was_at_the_moment(night):
    recording = RecordingReader(night[0])
    (action,) = (mark for mark in recording.marks(0, 1e12) if mark.kind == "action")
    async with replay(night[0]) as op:
        await op.press("8")
        await op.comes("nothing was ever done from here")
        await there(op, action.at)
        await op.comes("bad DIMM")
        op.sees("as it was recorded", "jdv", "gpu0001")
        await op.press("v")
        op.sees_not("read back:")
        await there(op, recording.first().at)
        await op.comes("nothing was ever done from here")


@pytest.mark.slow
async def test_it_plays_to_the_end_and_stops_there(night):
    recording = RecordingReader(night[0])
    async with replay(night[0]) as op:
        player = op.app.session.poller
        for _ in range(3):
            player.pace(1)
        player.toggle()
        await op.until(lambda: op.app.clock.mono() == recording.last().at and not player.playing, "the end")
        await op.until(lambda: op.cluster is player.cluster, "all of it")
        assert {key: node.state for key, node in op.cluster.nodes.items()} == {
            key: node.state for key, node in night[1].cluster.nodes.items()
        }


def test_the_clock_goes_as_fast_as_it_is_told_and_no_further_than_the_end():
    real = [0.0]
    clock = ReplayClock(lambda: real[0])
    clock.set(1000.0, 0.0, 5.0)
    real[0] = 9.0
    assert (clock.mono(), clock.now()) == (1000.0, 1005.0)
    clock.set(1000.0, 10.0, 5.0, end=1050.0)
    real[0] = 11.0
    assert clock.mono() == 1020.0
    real[0] = 100.0
    assert clock.mono() == 1050.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("-30s", 87.0), ("11:07", 20.0), ("11:07:30", 50.0), ("2026-11-18T11:07:10+00:00", 30.0),
     ("2026-11-18 12:07:10+01:00", 30.0), ("23:59", 0.0), ("2027-01-01T00:00:00Z", 117.0)],
)  # fmt: skip
async def test_at_takes_a_moment_as_people_write_it(night, text, seconds):
    recording = RecordingReader(night[0])
    async with replay(night[0], begin=lambda recording: parse_moment(text)(recording, None)) as op:
        at = op.app.clock.mono() - recording.first().at
        assert at == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "-15", "10:27 pm", "1e9", "-15m-", "9" * 400])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError, match="is no"):
        parse_moment(text)


def test_lengths_of_time():
    assert (parse_length("10s"), parse_length("1h30m"), parse_length("7d")) == (10, 5400, 604800)


# -- looking back from a live console ----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_t_looks_back_and_the_present_goes_on_behind_it(tmp_path, monkeypatch):
    async with console(incident="pdu") as op:
        app = op.app
        app.session.recorder = Direct(app, tmp_path / "a.wacht")
        gate, live_poller = app.session.gate, app.session.poller
        await op.press("2")
        await op.filter("state=allocated")
        before = len(op.list.table.keys)
        for _ in range(3):
            app.clock.advance(20)
            await op.look_again()
        live = app.clock
        await op.press("T")
        await op.comes("REPLAY")
        await op.until(
            lambda: "paused" in op.screen() and app.cluster is app.session.poller.cluster, "the newest moment"
        )
        op.sees("T present")
        await there(op, RecordingReader(app.fleet.live.recorder.path).first().at)
        await op.until(lambda: len(op.list.table.keys) == before, "the same list with the same filter, as it was")
        assert app.session.gate is not gate and app.session.gate.read_only
        await op.press("d")
        await op.comes("drain refused: REPLAY")
        shown, recorded_before = app.cluster, RecordingReader(app.fleet.live.recorder.path).last().id
        rung: list[str] = []
        monkeypatch.setattr(app.notifications, "show", lambda text, *_: rung.append(text))
        live.advance(60)
        live_poller.refresh_now()
        await op.until(
            lambda: RecordingReader(app.fleet.live.recorder.path).last().id > recorded_before + 5, "it is recorded on"
        )
        await op.until(lambda: app.fleet.live.cluster is live_poller.cluster, "and read")
        assert app.cluster is shown, "what is shown is the past"
        await op.press("escape")
        assert app.fleet.in_replay_mode, "Esc takes the filter off first"
        await op.press("escape")
        await op.until(lambda: not app.fleet.in_replay_mode, "back")
        assert app.session.gate is gate and app.clock is live and app.session.poller is live_poller
        await op.until(lambda: app.cluster is live_poller.cluster, "the newest of the present")
        assert "REPLAY" not in op.screen().split("\n")[0]
        await op.press("T")
        await op.until(lambda: "REPLAY" in op.screen().split("\n")[0], "the past again")
        await op.press("T")
        await op.until(lambda: "REPLAY" not in op.screen().split("\n")[0], "T goes back too")


@pytest.mark.slow
async def test_t_without_a_recording_says_so_and_play_keys_do_nothing():
    async with console() as op:
        await op.press("T")
        await op.comes("nothing is recorded here")
        for key in ("p", "n", "comma", "left_square_bracket", "t"):
            await op.press(key)
            assert not op.app.fleet.replaying
        await op.comes("this key is for recordings")
        await op.command("at 03:12")
        await op.comes("only a recording has another moment")


async def test_who_cannot_record_says_so_in_the_top_line(tmp_path):
    async with console((80, 24)) as op:
        op.app.session.recorder = Direct(op.app, tmp_path / "a.wacht")
        op.app.session.recorder.trouble = "the disk is full"
        op.app.screen.refresh_top()
        await op.comes("NOT RECORDED")
        op.app._tick()
        await op.comes("not recorded: the disk is full")


async def test_a_console_records_by_itself_into_its_own_file(tmp_path):
    path = tmp_path / "deep" / "a.wacht"
    clocked = console(nodes=16)
    async with clocked as op:
        op.app.session.records = (path, Bounds(keep_s=3600, size=64 << 20))
        op.app.session.start_recorder()
        await op.until(lambda: op.app.session.recorder is not None and op.app.session.recorder.writing, "it records")
        op.app.session.recorder.stop()
    assert "nodes" in replayed(path).known and not op.app.session.recorder.trouble


def replayed(path: Path) -> Cluster:
    recording = RecordingReader(path)
    return cluster_at(recording, recording.last())


def test_every_key_of_the_player_is_in_the_table():
    keys = {key.id for key in NAVIGATION}
    assert {*CONTROLS, "look_back", "go_to"} <= keys & set(KEYS)

"""An incident is believed once it is read: one that stands already proves nothing of the one that was sent."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from collectors.alertmanager.requests import INCIDENT
from collectors.model import Change, Matcher, Sent, Silence
from console.actions.incident import parse_request
from console.actions.options import Options
from console.actions.verification import Verification
from console.journal.entries import join
from tests.support.gate_world import World, node

NODES = [f"n{at}" for at in range(1, 4)]


class Room(World):
    """A small Slurm beside an Alertmanager that may swallow what it is sent."""

    swallows = False
    answers = True
    late = 0

    def read_silences_of(self, label: str, values: Sequence[str]) -> dict[str, Silence]:
        self._read({}, ())
        wanted = {(Matcher(label, value),) for value in values}
        return {key: one for key, one in self.silences.items() if one.matchers in wanted}

    def send(self, change: Change) -> Sequence[Sent]:
        if change.action != "incident":
            return super().send(change)
        self.sent.append(change)
        (new,) = change.silences
        if not self.swallows:
            now = int(self.clock.now()) + self.late
            key = f"s{len(self.silences)}"
            self.silences[key] = Silence(id=key, state="active", matchers=new.matchers, starts=now, by=new.by,
                                         ends=now + new.seconds, comment=new.comment)  # fmt: skip
        err = "" if self.answers else "no certain answer; it may have been done. timeout"
        return (Sent(argv=("amtool",), targets=change.targets, rc=0 if self.answers else None, err=err,
                     fatal=not self.answers),)  # fmt: skip


@pytest.fixture
def room(tmp_path):
    made = Room(tmp_path, [node(name) for name in NODES])
    made.of = made.gate()
    return made


def declare(room: Room, name: str = "R01") -> dict[str, str]:
    plan = room.of.plan("incident", NODES, "cooling", room.cluster(), Options(settings={"name": name}))
    outcome = room.of.send(plan, name)
    assert outcome.refused is None, outcome.refused
    ended = room.of.follow(outcome, sleep=room.clock.advance)
    return {one.state: one.why for one in ended.results.values()}


def extend(room: Room) -> dict[str, str]:
    again = parse_request(["extend"], room.cluster(), room.clock.now())
    assert (again.action, again.targets) == ("incident", tuple(NODES))
    return declare(room, again.settings["name"])


def told(room: Room) -> set[str]:
    """What the journal says became of the last one."""
    return {one.state for one in list(join(room.journal()).values())[-1].outcome.values()}


def test_one_that_is_read_is_done(room):
    assert declare(room) == {"done": ""} and told(room) == {"done"}
    room.clock.advance(600)
    assert extend(room) == {"done": ""} and len(room.silences) == 2


def test_an_extension_that_was_swallowed_is_not_done_because_the_old_one_stands(room):
    assert declare(room) == {"done": ""}
    room.clock.advance(600)
    room.swallows, room.answers = True, False
    (state,) = found = extend(room)
    assert state == "unknown" and "no certain answer" in found["unknown"] and told(room) == {"unknown"}
    # Alertmanager said yes and holds nothing: neither is done.
    room.answers = True
    assert list(extend(room)) == ["unknown"] and told(room) == {"unknown"}


def test_one_that_timed_out_and_is_read_all_the_same_is_done(room):
    declare(room)
    room.clock.advance(600)
    room.answers = False
    assert list(extend(room)) == ["done"] and told(room) == {"done"}


def test_where_nothing_can_be_read_nothing_is_known(room):
    declare(room)
    room.clock.advance(600)
    room.blind = True
    plan = room.of.plan("incident", NODES, "cooling", room.cluster(), Options(settings={"name": "R01"}))
    # Its nodes are read again just before: that much must be seen.
    room.before_send = None
    room.blind = False
    outcome = room.of.send(plan, "R01")
    room.blind = True
    ended = room.of.follow(outcome, sleep=room.clock.advance)
    assert {one.state for one in ended.results.values()} == {"unknown"} and told(room) == {"unknown"}


def test_on_the_screen_it_stays_pending_until_a_reading_shows_the_new_one(room):
    declare(room)
    room.clock.advance(600)
    room.swallows = True
    plan = room.of.plan("incident", NODES, "cooling", room.cluster(), Options(settings={"name": "R01"}))
    outcome = room.of.send(plan, "R01")
    watch, settled = Verification(outcome.waiting).check(room.cluster(), room.clock.mono())
    assert len(watch.waiting) == 3 and not settled
    new = msgspec.structs.replace(room.silences["s0"], id="s1", ends=int(room.clock.now()) + 1800)
    _, settled = watch.check(room.cluster(silences={**room.silences, "s1": new}), room.clock.mono())
    assert {one.state for one in settled} == {"done"}


@pytest.mark.parametrize(
    "other",
    [{"by": "eve"}, {"state": "expired"}, {"ends": None}, {"matchers": (Matcher(INCIDENT, "R02"),)},
     {"matchers": (Matcher(INCIDENT, "R01", regex=True),)}],
)  # fmt: skip
def test_what_somebody_else_made_proves_nothing(room, other):
    room.swallows = True
    plan = room.of.plan("incident", NODES, "cooling", room.cluster(), Options(settings={"name": "R01"}))
    outcome = room.of.send(plan, "R01")
    (new,) = room.sent[0].silences
    mine = Silence(id="s", state="active", matchers=new.matchers, starts=0, by=new.by, comment=new.comment,
                   ends=int(room.clock.now()) + new.seconds)  # fmt: skip
    one = msgspec.structs.replace(mine, **other)
    watch, _ = Verification(outcome.waiting).check(room.cluster(silences={"s": one}), room.clock.mono())
    assert len(watch.waiting) == 3
    _, settled = Verification(outcome.waiting).check(room.cluster(silences={"s": mine}), room.clock.mono())
    assert len(settled) == 3


def test_a_failed_extension_does_not_end_the_ease_of_the_one_that_stands(room):
    declare(room)
    room.clock.advance(600)
    room.swallows = True
    extend(room)
    plan = room.of.plan("drain", NODES, "cooling", room.cluster())
    assert plan.incident == "R01"


def test_one_whose_nodes_are_not_written_down_must_be_declared_anew(room):
    declare(room)
    bare = {key: msgspec.structs.replace(one, comment="incident R01: cooling") for key, one in room.silences.items()}
    with pytest.raises(ValueError, match="its nodes are not written in it"):
        parse_request(["extend"], room.cluster(silences=bare), room.clock.now())

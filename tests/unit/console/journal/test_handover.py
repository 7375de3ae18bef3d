"""The hand-over: what was left behind, since when, and the screen that tells of it."""

from __future__ import annotations

import msgspec
import pytest

from collectors.model import Partition, Reservation, Silence
from console.journal.reader import JournalSnapshot
from console.journal.reminders import reminders, unread_kinds
from console.journal.shifts import last_shift, shift_line
from tests.support import make
from tests.support.journal_entries import Book
from tests.support.make import NOW
from tests.support.operator import console

HOUR, DAY = 3600, 86_400
NOTHING = dict.fromkeys(("nodes", "jobs", "partitions", "reservations", "silences"), ())


def cluster(**rows):
    return make.cluster(**(NOTHING | rows))


def left(facts, book=None):
    entries = (book or Book()).entries
    return [(one.kind, one.text) for one in reminders(facts, JournalSnapshot.of(entries), NOW)]


def test_a_partition_that_is_down_is_told_with_who_did_it():
    down = Partition(name="gpu", state="DOWN")
    assert left(cluster(partitions=[down, Partition(name="debug", state="UP")])) == [("partition", "gpu is DOWN")]
    book = Book().act("a", "partition-down", [down], reason="cooling", ago=2 * HOUR)
    ((_, said),) = left(cluster(partitions=[down]), book)
    assert "gpu is DOWN, by jdv" in said and said.endswith(': "cooling"')


@pytest.mark.parametrize(
    ("age", "busy", "told"), [(2 * DAY, False, True), (HOUR, False, False), (2 * DAY, True, False)]
)
def test_a_reservation_in_which_nothing_runs_for_a_day(age, busy, told):
    one = Reservation(name="maint", state="ACTIVE", nodes="gpu0001", starts=NOW - age, ends=NOW + DAY)
    found = left(cluster(reservations=[one], nodes=[make.node()], jobs=[make.job(nodes="gpu0001")] if busy else ()))
    assert bool(found) is told
    if told:
        assert found == [("reservation", "maint: no job runs in it, active for 2 d, ends in 24h")]


def test_without_a_queue_nobody_can_say_that_a_reservation_is_idle():
    one = Reservation(name="maint", state="ACTIVE", nodes="gpu0001", starts=NOW - 9 * DAY)
    facts = cluster(reservations=[one], jobs=None)
    assert left(facts) == [] and unread_kinds(facts) == ("jobs",)


def test_jobs_held_by_others_than_their_owner():
    rows = [
        make.job("1", "PENDING", reason="JobHeldAdmin", submitted=NOW - 3 * DAY),
        make.job("2", "PENDING", reason="JobHeldUser", submitted=NOW - 3 * DAY),
        make.job("3", "PENDING", reason="JobHeldAdmin", submitted=NOW - HOUR),
        make.job("4", "PENDING", reason="Priority", submitted=NOW - 3 * DAY),
    ]
    ((kind, said),) = left(cluster(jobs=rows))
    assert kind == "job" and said == "1 of alice is held (JobHeldAdmin), submitted 3 d ago"


def test_silences_that_have_stood_for_days_once_each():
    def silence(key, age, **more):
        return Silence(id=key, state="active", matchers=(), starts=NOW - age, ends=NOW + HOUR, **more)

    rows = [silence("a", 5 * DAY, by="jdv", comment="fan"), silence("b", 5 * DAY, by="jdv", comment="fan"),
            silence("c", DAY, by="jdv", comment="new")]  # fmt: skip
    assert left(cluster(silences=rows)) == [("silence", "fan: active for 5 d, ends in 1h 00m, by jdv")]


def test_nodes_drained_for_days_without_a_ticket():
    def out(name, reason, age):
        return make.node(name, "IDLE+DRAIN", reason=reason, reason_by="jdv", reason_at=NOW - age)

    rows = [out("gpu0001", "bad DIMM", 9 * DAY), out("gpu0002", "bad DIMM [KubeGPU-12]", 9 * DAY),
            out("gpu0003", "bad DIMM", HOUR)]  # fmt: skip
    assert left(cluster(nodes=rows)) == [("node", 'gpu0001 drained for 9 d, no ticket: "bad DIMM"')]


def test_the_last_shift_ended_where_nobody_was_there_for_hours():
    lines = [shift_line("x", NOW - at) for at in (30 * HOUR, 21 * HOUR, 20 * HOUR, HOUR, 60)]
    assert last_shift(lines, "x", NOW) == NOW - 20 * HOUR
    assert last_shift(lines[-2:], "x", NOW) is None  # this one is all there is
    assert last_shift([shift_line("x", NOW - 9 * DAY)], "x", NOW) is None
    assert last_shift([shift_line("y", NOW - 9 * HOUR), "x never", "x 99999999999999", ""], "x", NOW) is None


async def test_the_screen_tells_what_was_left_and_opens_it():
    async with console((100, 40), nodes=64) as op:
        await op.press("B")
        await op.comes("Unresolved")
        op.sees("your last shift is not known", "Still open")


async def with_a_partition_down(op):
    """The hand-over of a machine on which somebody has left a partition DOWN: the pane that tells of it."""
    section = op.machine.site.partitions["gpu"]
    section.row = msgspec.structs.replace(section.row, state="DOWN")
    op.app.session.poller.refresh_now()
    await op.until(lambda: op.cluster.partitions["gpu"].state == "DOWN", "the reading")
    await op.press("B")
    await op.comes("gpu is DOWN")
    return op.app.screen.query_one("#main")


@pytest.mark.parametrize("width", [80, 100, 200])
async def test_it_is_folded_at_the_width_there_is_up_to_what_is_good_to_read(width):
    async with console((width, 40), nodes=64) as op:
        text = await with_a_partition_down(op)
        room = min(110, width - 4)
        longest = max(len("".join(piece for piece, _ in one.spans)) for one in text.lines)
        assert room - 15 < longest <= room
        assert "…" not in op.screen().split("╭")[1]
        await op.pilot.resize_terminal(90, 40)
        await op.until(lambda: max(len("".join(p for p, _ in one.spans)) for one in text.lines) <= 86, "the new width")


@pytest.mark.slow
async def test_a_line_of_what_was_left_opens_what_it_is_about():
    async with console((100, 40), nodes=64) as op:
        text = await with_a_partition_down(op)
        await op.press("home")
        for _ in text.lines:
            if (text.cursor_key or "").startswith("l"):
                break
            await op.press("down")
        await op.press("enter")
        await op.until(lambda: op.app.screen.crumb == "nodes", "the nodes of the partition")
        assert op.app.screen.filter_text == "partition=gpu"

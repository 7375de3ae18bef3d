"""The reservations of the simulated machine: a maintenance that goes on, a course to come, and what becomes of each."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from collectors.model import Reservation
from collectors.sim.faults import Faults
from collectors.sim.plant.site_layout import HOUR, indices_of

from .job_queue import SimQueue
from .reservation_calendar import SimReservation


def reserve(queue: SimQueue, faults: Faults) -> None:
    """Book both, where the room has the racks for it. To be called before there are jobs."""
    site, now = queue.site, int(queue.timeline.now)
    racks = list(site.racks.values())
    if len(racks) < 4:
        return
    under_repair = [index for index in racks[-2][:4] if site.hosts[index].usable]
    for name, chosen, begins, lasts, flags, users, comment in (
        ("maint-nvswitch", under_repair, -3, 9, ("MAINT", "IGNORE_JOBS"), "root", "NVSwitch firmware"),
        ("course-llm", racks[1][:8], 24, 32, (), "alice,bob,asingh", "course on language models"),
    ):
        if not chosen:
            continue
        starts, ends = now + begins * HOUR, now + lasts * HOUR
        row = Reservation(
            name=name,
            state="INACTIVE",
            starts=starts,
            ends=ends,
            nodes=site.fold(chosen),
            node_count=len(chosen),
            partition="gpu",
            flags=("SPEC_NODES", *flags),
            users=users,
            comment=comment,
        )
        book(queue, faults, row, chosen)


def book(queue: SimQueue, faults: Faults, row: Reservation, chosen: Sequence[int]) -> None:
    """Set these nodes aside from its start to its end."""
    assert row.starts is not None and row.ends is not None
    mask = sum(1 << index for index in chosen)
    queue.calendar.reservations[row.name] = SimReservation(row, mask, row.starts, row.ends, "MAINT" in row.flags)
    if row.starts <= queue.timeline.now:
        _open(queue, faults, row.name, row.starts)
    else:
        queue.timeline.at(row.starts, _open, queue, faults, row.name, row.starts)
    queue.timeline.at(row.ends, _close, queue, faults, row.name, row.ends)


def end_at(queue: SimQueue, faults: Faults, name: str, ends: int) -> None:
    """Let it end at another time."""
    booking = queue.calendar.reservations[name]
    booking.row, booking.ends = replace(booking.row, ends=ends), ends
    queue.timeline.at(ends, _close, queue, faults, name, ends)
    queue.wake()


def drop(queue: SimQueue, faults: Faults, name: str) -> None:
    """Delete it; to be called only where no job asks for it."""
    _mark(queue, faults, name, None)
    del queue.calendar.reservations[name]
    queue.wake()


def in_use(queue: SimQueue, name: str) -> bool:
    """Whether a job asks for it, one that waits too."""
    return any(job in queue.jobs for job in _bound(queue, name))


def _open(queue: SimQueue, faults: Faults, name: str, due: int) -> None:
    """It begins, unless it was deleted meanwhile: its nodes show it, and the jobs that asked for it may start."""
    booking = queue.calendar.reservations.get(name)
    if booking is None or booking.starts != due:
        return
    queue.calendar.set_state(name, "ACTIVE")
    _mark(queue, faults, name, name)
    _tell(queue, name)


def _close(queue: SimQueue, faults: Faults, name: str, due: int) -> None:
    """It ends, unless it got another end meanwhile. Jobs that asked for it and did not start have nothing to wait for,
    and are cancelled."""
    booking = queue.calendar.reservations.get(name)
    if booking is None or booking.ends != due:
        return
    _mark(queue, faults, name, None)
    for job_id in _bound(queue, name):
        job = queue.jobs.get(job_id)
        if job is not None and job.state == "PENDING":
            queue.end(job_id, "CANCELLED")
        queue.reservation_of.pop(job_id, None)
    del queue.calendar.reservations[name]
    queue.wake()


def _mark(queue: SimQueue, faults: Faults, name: str, shown: str | None) -> None:
    booking = queue.calendar.reservations[name]
    for index in indices_of(booking.mask):
        host = queue.site.hosts[index]
        host.reservation = shown
        host.maintenance = booking.maintenance and shown is not None
        faults.refresh(host)


def _tell(queue: SimQueue, name: str) -> None:
    for job in _bound(queue, name):
        queue.recheck(job)


def _bound(queue: SimQueue, name: str) -> list[str]:
    return [job for job, bound in queue.reservation_of.items() if bound == name]

"""Reservations: the initial ones, their start and end, and the requests of an operator with slurmctld's error texts."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from collectors.model import Change, Reservation
from collectors.sim.failures import NodeFailures
from collectors.sim.plant.site_layout import HOUR, indices_of
from collectors.slurm import operations
from collectors.slurm.operations import epoch_of

from .job_queue import SimQueue
from .request_base import INVALID_NODE, Handlers, RequestContext
from .reservation_calendar import SimReservation

_INVALID = "Requested reservation is invalid"
_IN_USE = "Requested reservation is in use"
_NODES_BUSY = "Requested nodes are busy"
_DOUBLE = "Duplicate reservation name"
_OVER = frozenset({"MAINT", "OVERLAP"})


def create_initial(queue: SimQueue, failures: NodeFailures) -> None:
    """Create the two initial reservations, if the room has enough racks. Call it before there are jobs."""
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
        create(queue, failures, row, chosen)


def create(queue: SimQueue, failures: NodeFailures, row: Reservation, chosen: Sequence[int]) -> None:
    """Create a reservation of these hosts."""
    assert row.starts is not None and row.ends is not None
    mask = sum(1 << index for index in chosen)
    queue.calendar.reservations[row.name] = SimReservation(row, mask, row.starts, row.ends, "MAINT" in row.flags)
    if row.starts <= queue.timeline.now:
        _open(queue, failures, row.name, row.starts)
    else:
        queue.timeline.at(row.starts, _open, queue, failures, row.name, row.starts)
    queue.timeline.at(row.ends, _close, queue, failures, row.name, row.ends)


def set_end(queue: SimQueue, failures: NodeFailures, name: str, ends: int) -> None:
    """Change the end of a reservation."""
    booking = queue.calendar.reservations[name]
    booking.row, booking.ends = replace(booking.row, ends=ends), ends
    queue.timeline.at(ends, _close, queue, failures, name, ends)
    queue.wake()


def delete(queue: SimQueue, failures: NodeFailures, name: str) -> None:
    """Delete a reservation. Only call it if no job uses it."""
    _mark(queue, failures, name, None)
    del queue.calendar.reservations[name]
    queue.wake()


def in_use(queue: SimQueue, name: str) -> bool:
    """True if a job uses the reservation, a pending one included."""
    return any(job in queue.jobs for job in _jobs_of(queue, name))


def _open(queue: SimQueue, failures: NodeFailures, name: str, due: int) -> None:
    """Start the reservation, unless it was deleted: its nodes show it, and its jobs may start."""
    booking = queue.calendar.reservations.get(name)
    if booking is None or booking.starts != due:
        return
    queue.calendar.set_state(name, "ACTIVE")
    _mark(queue, failures, name, name)
    _recheck_jobs(queue, name)


def _close(queue: SimQueue, failures: NodeFailures, name: str, due: int) -> None:
    """End the reservation, unless its end was changed. Its pending jobs can no longer start and are cancelled."""
    booking = queue.calendar.reservations.get(name)
    if booking is None or booking.ends != due:
        return
    _mark(queue, failures, name, None)
    for job_id in _jobs_of(queue, name):
        job = queue.jobs.get(job_id)
        if job is not None and job.state == "PENDING":
            queue.end(job_id, "CANCELLED")
        queue.reservation_of.pop(job_id, None)
    del queue.calendar.reservations[name]
    queue.wake()


def _mark(queue: SimQueue, failures: NodeFailures, name: str, shown: str | None) -> None:
    booking = queue.calendar.reservations[name]
    for index in indices_of(booking.mask):
        host = queue.site.hosts[index]
        host.reservation = shown
        host.maintenance = booking.maintenance and shown is not None
        failures.refresh(host)


def _recheck_jobs(queue: SimQueue, name: str) -> None:
    for job in _jobs_of(queue, name):
        queue.recheck(job)


def _jobs_of(queue: SimQueue, name: str) -> list[str]:
    return [job for job, bound in queue.reservation_of.items() if bound == name]


# -- requests of an operator ---------------------------------------------------------------------------------------


def _reserve(context: RequestContext, change: Change, name: str) -> str | None:
    """Create a reservation. Called for each node: the first call creates it for all nodes, or refuses it for all."""
    first, made = name == change.targets[0], context.queue.calendar.reservations.get(change.settings["name"])
    if not first and made is not None and context.queue.site.by_name.get(name) in indices_of(made.mask):
        return None
    why = _refusal(context, change)
    if why is None and first:
        row = _row(context, change)
        create(context.queue, context.failures, row, [context.queue.site.by_name[node] for node in change.targets])
    return why


def _row(context: RequestContext, change: Change) -> Reservation:
    wanted, nodes = change.settings, [context.queue.site.by_name[node] for node in change.targets]
    starts = int(context.timeline.now) if wanted["start"] == "now" else int(wanted["start"])
    flags = tuple(flag for flag in wanted.get("flags", "").split(",") if flag)
    return Reservation(
        name=wanted["name"], state="INACTIVE", starts=starts, ends=starts + int(wanted["for"]),
        nodes=context.queue.site.fold(sorted(nodes)), node_count=len(nodes), flags=(*flags, "SPEC_NODES"),
        users=wanted.get("users"), accounts=wanted.get("accounts"), comment=change.reason,
    )  # fmt: skip


def _refusal(context: RequestContext, change: Change) -> str | None:
    queue, site = context.queue, context.queue.site
    if any(node not in site.by_name for node in change.targets):
        return INVALID_NODE
    row = _row(context, change)
    assert row.starts is not None and row.ends is not None
    if row.name in queue.calendar.reservations:
        return _DOUBLE
    mask = sum(1 << site.by_name[node] for node in change.targets)
    others = [one for one in queue.calendar.reservations.values() if one.mask & mask
              and one.starts < row.ends and one.ends > row.starts and _OVER.isdisjoint(one.row.flags)]  # fmt: skip
    if others and _OVER.isdisjoint(row.flags):
        return "Requested reservation overlaps with another reservation"
    running = {job for node in change.targets for job in site.hosts[site.by_name[node]].jobs}
    late = any(queue.runs[job].limit_at > row.starts for job in running)
    return _NODES_BUSY if late and "IGNORE_JOBS" not in row.flags else None


def _extend(context: RequestContext, change: Change, name: str) -> str | None:
    if name not in context.queue.calendar.reservations:
        return _INVALID
    ends = epoch_of(change.values[name])
    if ends <= context.timeline.now:
        return "Requested time is invalid"
    set_end(context.queue, context.failures, name, ends)
    return None


def _delete(context: RequestContext, change: Change, name: str) -> str | None:
    if name not in context.queue.calendar.reservations:
        return _INVALID
    if in_use(context.queue, name):
        return _IN_USE
    delete(context.queue, context.failures, name)
    return None


HANDLERS: Handlers = {operations.RESERVE: _reserve, operations.EXTEND: _extend, operations.UNRESERVE: _delete}

"""Reservations of the simulated machine: made, given another end, deleted; refused in slurmctld's words."""

from __future__ import annotations

from collectors.model import Change, Reservation
from collectors.sim.plant.site_layout import indices_of
from collectors.slurm import operations
from collectors.slurm.operations import epoch_of

from .request_base import INVALID_NODE, Acts, Bench
from .reservation_plan import book, drop, end_at, in_use

_INVALID = "Requested reservation is invalid"
_IN_USE = "Requested reservation is in use"
_NODES_BUSY = "Requested nodes are busy"
_DOUBLE = "Duplicate reservation name"
_OVER = frozenset({"MAINT", "OVERLAP"})


def _reserve(bench: Bench, change: Change, name: str) -> str | None:
    """Called for each node in turn: the first makes it for all of them, or it is refused for all."""
    first, made = name == change.targets[0], bench.queue.calendar.bookings.get(change.settings["name"])
    if not first and made is not None and bench.queue.site.by_name.get(name) in indices_of(made.mask):
        return None
    why = _against(bench, change)
    if why is None and first:
        row = _row(bench, change)
        book(bench.queue, bench.faults, row, [bench.queue.site.by_name[node] for node in change.targets])
    return why


def _row(bench: Bench, change: Change) -> Reservation:
    said, nodes = change.settings, [bench.queue.site.by_name[node] for node in change.targets]
    starts = int(bench.timeline.now) if said["start"] == "now" else int(said["start"])
    flags = tuple(flag for flag in said.get("flags", "").split(",") if flag)
    return Reservation(
        name=said["name"], state="INACTIVE", starts=starts, ends=starts + int(said["for"]),
        nodes=bench.queue.site.fold(sorted(nodes)), node_count=len(nodes), flags=(*flags, "SPEC_NODES"),
        users=said.get("users"), accounts=said.get("accounts"), comment=change.reason,
    )  # fmt: skip


def _against(bench: Bench, change: Change) -> str | None:
    queue, site = bench.queue, bench.queue.site
    if any(node not in site.by_name for node in change.targets):
        return INVALID_NODE
    row = _row(bench, change)
    assert row.starts is not None and row.ends is not None
    if row.name in queue.calendar.bookings:
        return _DOUBLE
    mask = sum(1 << site.by_name[node] for node in change.targets)
    others = [one for one in queue.calendar.bookings.values() if one.mask & mask
              and one.starts < row.ends and one.ends > row.starts and _OVER.isdisjoint(one.row.flags)]  # fmt: skip
    if others and _OVER.isdisjoint(row.flags):
        return "Requested reservation overlaps with another reservation"
    running = {job for node in change.targets for job in site.hosts[site.by_name[node]].jobs}
    late = any(queue.runs[job].limit_at > row.starts for job in running)
    return _NODES_BUSY if late and "IGNORE_JOBS" not in row.flags else None


def _extend(bench: Bench, change: Change, name: str) -> str | None:
    if name not in bench.queue.calendar.bookings:
        return _INVALID
    ends = epoch_of(change.values[name])
    if ends <= bench.timeline.now:
        return "Requested time is invalid"
    end_at(bench.queue, bench.faults, name, ends)
    return None


def _delete(bench: Bench, change: Change, name: str) -> str | None:
    if name not in bench.queue.calendar.bookings:
        return _INVALID
    if in_use(bench.queue, name):
        return _IN_USE
    drop(bench.queue, bench.faults, name)
    return None


ACTS: Acts = {operations.RESERVE: _reserve, operations.EXTEND: _extend, operations.UNRESERVE: _delete}

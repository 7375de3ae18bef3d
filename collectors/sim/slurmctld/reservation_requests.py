"""Reservations of the simulated machine: made, given another end, deleted; refused in slurmctld's words."""

from __future__ import annotations

from collectors.model import Change, Reservation
from collectors.sim.plant.site_layout import indices_of
from collectors.slurm.commands.argv_reservations import epoch_of

from .request_base import INVALID_NODE, Handlers, RequestContext
from .reservation_plan import book, drop, end_at, in_use

_INVALID = "Requested reservation is invalid"
_IN_USE = "Requested reservation is in use"
_NODES_BUSY = "Requested nodes are busy"
_DOUBLE = "Duplicate reservation name"
_OVER = frozenset({"MAINT", "OVERLAP"})


def _reserve(context: RequestContext, change: Change, name: str) -> str | None:
    """Called for each node in turn: the first makes it for all of them, or it is refused for all."""
    first, made = name == change.targets[0], context.queue.calendar.reservations.get(change.settings["name"])
    if not first and made is not None and context.queue.site.by_name.get(name) in indices_of(made.mask):
        return None
    why = _against(context, change)
    if why is None and first:
        row = _row(context, change)
        book(context.queue, context.faults, row, [context.queue.site.by_name[node] for node in change.targets])
    return why


def _row(context: RequestContext, change: Change) -> Reservation:
    said, nodes = change.settings, [context.queue.site.by_name[node] for node in change.targets]
    starts = int(context.timeline.now) if said["start"] == "now" else int(said["start"])
    flags = tuple(flag for flag in said.get("flags", "").split(",") if flag)
    return Reservation(
        name=said["name"], state="INACTIVE", starts=starts, ends=starts + int(said["for"]),
        nodes=context.queue.site.fold(sorted(nodes)), node_count=len(nodes), flags=(*flags, "SPEC_NODES"),
        users=said.get("users"), accounts=said.get("accounts"), comment=change.reason,
    )  # fmt: skip


def _against(context: RequestContext, change: Change) -> str | None:
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
    end_at(context.queue, context.faults, name, ends)
    return None


def _delete(context: RequestContext, change: Change, name: str) -> str | None:
    if name not in context.queue.calendar.reservations:
        return _INVALID
    if in_use(context.queue, name):
        return _IN_USE
    drop(context.queue, context.faults, name)
    return None


CREATE: Handlers = {"reserve": _reserve}
"""Of nodes."""
HANDLERS: Handlers = {"extend": _extend, "unreserve": _delete}

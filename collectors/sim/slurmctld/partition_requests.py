"""Partitions of the simulated machine, shut and opened."""

from __future__ import annotations

from collectors.model import Change

from .request_base import Handlers, RequestContext

_UNKNOWN = "Invalid partition name specified"


def _shut(context: RequestContext, change: Change, name: str) -> str | None:
    if name not in context.queue.site.partitions:
        return _UNKNOWN
    context.queue.set_partition_state(name, "DOWN" if change.action == "partition-down" else "UP")
    return None


HANDLERS: Handlers = {"partition-down": _shut, "partition-up": _shut}

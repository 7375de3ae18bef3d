"""Partitions of the simulated machine, shut and opened."""

from __future__ import annotations

from collectors.model import Change

from .request_base import Acts, Bench

_UNKNOWN = "Invalid partition name specified"


def _shut(bench: Bench, change: Change, name: str) -> str | None:
    if name not in bench.queue.site.sections:
        return _UNKNOWN
    bench.queue.shut(name, "DOWN" if change.action == "partition-down" else "UP")
    return None


ACTS: Acts = {"partition-down": _shut, "partition-up": _shut}

"""Partitions of the simulated machine, shut and opened."""

from __future__ import annotations

from collectors.model import Change
from collectors.slurm import operations

from .request_base import Acts, Bench

_UNKNOWN = "Invalid partition name specified"


def _shut(bench: Bench, change: Change, name: str) -> str | None:
    if name not in bench.queue.site.sections:
        return _UNKNOWN
    assert isinstance(change.operation, operations.PartitionState)
    bench.queue.shut(name, change.operation.state)
    return None


ACTS: Acts = {operations.PARTITION_DOWN: _shut, operations.PARTITION_UP: _shut}

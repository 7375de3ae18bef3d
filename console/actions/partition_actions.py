"""Actions on partitions: rows of the table in `console.actions.registry`. `console.gate.impact` shows their impact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collectors.model import Cluster, Partition
from collectors.slurm import operations

from .action import Action


def _down(_: Cluster, partition: Partition) -> str | None:
    return "it is DOWN already" if partition.state == "DOWN" else None


def _up(_: Cluster, partition: Partition) -> str | None:
    return "it is UP already" if partition.state == "UP" else None


def _stands(state: str) -> Callable[[Any, Any], bool | None]:
    """A proof that the partition shows this state. One that no longer exists proves nothing (None)."""
    return lambda _, after: None if after is None else after.state == state


ROWS: tuple[Action, ...] = (
    Action(
        id="partition-down", operation=operations.PARTITION_DOWN,
        key="", kind="partition", label="partition-down", doing="closing…", done="down",
        refuse=_down, needs_reason=True, inverse="partition-up", proof=_stands("DOWN"),
        help="no new job starts in the partition; what runs goes on, what is sent waits",
    ),
    Action(
        id="partition-up", operation=operations.PARTITION_UP,
        key="", kind="partition", label="partition-up", doing="opening…", done="up",
        refuse=_up, inverse="partition-down", proof=_stands("UP"), help="let jobs start in the partition again",
    ),
)  # fmt: skip

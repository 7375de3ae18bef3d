"""Actions on partitions: rows of the table in `console.actions.registry`."""

from __future__ import annotations

from collectors.model import Cluster, Partition
from collectors.slurm import operations

from . import impact
from .action import Action
from .proofs import has_state


def _down(_: Cluster, partition: Partition) -> str | None:
    return "it is DOWN already" if partition.state == "DOWN" else None


def _up(_: Cluster, partition: Partition) -> str | None:
    return "it is UP already" if partition.state == "UP" else None


ROWS: tuple[Action, ...] = (
    Action(
        id="partition-down", operation=operations.PARTITION_DOWN,
        synonyms=("close partition",),
        key="", kind="partition", label="partition-down", doing="closing…", done="down",
        refuse=_down, needs_reason=True, inverse="partition-up", proof=has_state("DOWN"),
        help="no new job starts in the partition; what runs goes on, what is sent waits",
        impact=impact.closed, target_state="DOWN", toggles=True, name_confirmed=True, one_key_in_incident=True,
        left_alone="a partition that is DOWN",
    ),
    Action(
        id="partition-up", operation=operations.PARTITION_UP,
        synonyms=("open partition",),
        key="", kind="partition", label="partition-up", doing="opening…", done="up",
        refuse=_up, inverse="partition-down", proof=has_state("UP"), help="let jobs start in the partition again",
        impact=impact.opened, target_state="UP", toggles=True,
        left_alone="a partition that is UP",
    ),
)  # fmt: skip

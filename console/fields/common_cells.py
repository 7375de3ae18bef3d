"""What the cells of several tables share: their context, and the cells of states and amounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from collectors.jobstate import held, job_word
from collectors.model import Cluster, Job, Node
from themes.roles import job_look, state_look
from widgets.units import UNKNOWN

if TYPE_CHECKING:
    from widgets.cells import Cell


class Ctx(Struct, frozen=True, eq=False):
    """What a cell needs beside its row: the cluster, and the wall clock rounded to what a cell can show."""

    cluster: Cluster
    now: float


def state_cell(node: Node, _: Ctx | None = None) -> Cell:
    """Glyph and word of a node's state, followed by flags that the word does not cover."""
    glyph, role = state_look(node.display)
    star = "*" if "NOT_RESPONDING" in node.flags and node.display in {"down", "drained", "draining"} else ""
    return (f"{glyph} {node.display}{star}", role)


def job_state_cell(job: Job, _: Ctx | None = None) -> Cell:
    """Glyph and word of a job's state."""
    glyph, role = job_look("HELD" if held(job) else job.state)
    return (f"{glyph} {job_word(job)}", role)


def dim(value: str | None) -> Cell:
    """A value, or a dash where it is unknown or unset, in the dim colour."""
    return (UNKNOWN, "text-dim") if value is None else value


def used(part: int | None, whole: int | None) -> str:
    """`6/8`: used of all."""
    return UNKNOWN if whole is None else f"{'?' if part is None else part}/{whole}"

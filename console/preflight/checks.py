"""What a pre-flight check finds, what it is given, and what is read for it on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal

from msgspec import Struct, field

from collectors.model import Cluster, Gpu, Job, JobDetail, Row, Xid
from console.health.inconsistencies import FreshFacts
from console.health.xid_policy import Policy

from .sentences import Code, sentence

Level = Literal["ok", "note", "warn", "bad", "refused", "unknown"]


class Check(Struct, frozen=True, dict=True):
    """One finding of the pre-flight. `bad` keeps the target out unless the glass is broken; `refused` always does,
    since Slurm would refuse."""

    target: str
    """"" where it concerns all of them."""
    level: Level
    code: Code
    details: tuple[object, ...] = ()
    """What it is about, as values: the GPU, the XID, the loop. No values that change by themselves, such as ages."""
    params: Mapping[str, object] = {}
    """The other values of its sentence, which may change by themselves: ages, times, counts."""

    @property
    def identity(self) -> tuple[str, Code, tuple[object, ...]]:
        """Equal for the same finding at a later time."""
        return self.target, self.code, self.details

    @cached_property
    def text(self) -> str:
        """The sentence for people (`console.preflight.sentences`); no decision reads it."""
        return sentence(self.code, self.details, self.params)


class PreflightReads(Struct, frozen=True, kw_only=True):
    """What was read on demand for the pre-flight, where the Cluster does not hold it."""

    gpus: Mapping[str, tuple[Gpu, ...]] | None = None
    """Node to its GPUs; None was not read, a node that is missing did not answer."""
    details: Mapping[str, JobDetail] = field(default_factory=dict)
    """Job to its detail; a job that is missing was not read."""
    rows: Mapping[str, Row] = field(default_factory=dict)
    """Target to its row as it was read just now, with what no poll holds (`Value.on_demand`)."""
    reservation_jobs: Mapping[str, tuple[Job, ...]] = field(default_factory=dict)
    """Reservation to the jobs that asked for it; one that is missing was not read."""
    faults: tuple[str, ...] = ()
    """Why something could not be read."""
    resumed: Mapping[str, float] = field(default_factory=dict)
    """Node to when it was put back to work the last time (epoch), as far as the journal knows."""


class PreflightContext(Struct, frozen=True):
    """What the checks need besides the target."""

    cluster: Cluster
    reads: PreflightReads
    now: float
    policy: Policy
    fresh: FreshFacts
    xids: Mapping[str, list[Xid]]
    """Target node to its XIDs; empty where XIDs are not known."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Target to its new value."""

    @property
    def user(self) -> str | None:
        """The user that the commands run as, None where that is not known."""
        return None if self.cluster.rights is None else self.cluster.rights.user


#: Checks one row: appends what it finds. The row is of the kind of the action.
RowCheck = Callable[[Any, PreflightContext, list[Check]], None]

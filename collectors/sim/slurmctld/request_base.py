"""What the handlers of operator requests share. A handler returns Slurm's error text for a refusal, else None."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from collectors.model import Change
from collectors.sim.failures import NodeFailures
from collectors.sim.timeline import Timeline
from collectors.slurm.operations import SlurmOperation

from .job_queue import SimQueue
from .reboots import Reboots

INVALID_NODE = "Invalid node name specified"
INVALID_JOB = "Invalid job id specified"


class RequestContext(Struct, frozen=True):
    """The parts of the cluster that a handler may change."""

    queue: SimQueue
    failures: NodeFailures
    reboots: Reboots
    timeline: Timeline
    operator: str


#: Handles one action on one target.
Handler = Callable[[RequestContext, Change, str], str | None]
Handlers = Mapping[SlurmOperation, Handler]

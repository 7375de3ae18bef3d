"""Turns a frozen Change into calls of slurmrestd. Pure: it sends and reads nothing.

Verified on running daemons (24.11.5 with v0.0.40 to 42, 26.05.5 with v0.0.42 to 45): one update of many nodes takes
their names as a list; `{"requeue": true}` sets whether a job may be requeued and requeues nothing; without `Incomplete`
a requeue also reruns jobs that have ended; a change of an array task is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from collectors.model import Change
from collectors.slurm import operations
from collectors.slurm.operations import NodeState, batches, checked, node_groups, operation_of
from collectors.slurm.transport import unsupported_targets

_REQUEUE: Mapping[Any, list[str]] = {
    operations.REQUEUE: ["Incomplete"],
    operations.REQUEUE_HOLD: ["Incomplete", "Hold"],
}


class RestRequest(Struct, frozen=True, kw_only=True):
    """One call and its targets."""

    method: str
    path: str
    """The path after the version."""
    body: Mapping[str, Any]
    targets: tuple[str, ...]

    @property
    def sent(self) -> bytes:
        """The body as sent."""
        return msgspec.json.encode(self.body)


def requests_of(change: Change) -> list[RestRequest]:
    """Each call, in order and as few as possible. Everything is checked before the first one is returned: this is the
    last check before sending. Raises ValueError for an invalid Change, or one that slurmrestd cannot do."""
    names, operation = checked(change), operation_of(change)
    if refused := unsupported_targets("rest", change):
        raise ValueError(next(iter(refused.values())))
    if isinstance(operation, NodeState):
        return [_nodes(operation, change, told, some) for told, some in node_groups(change, names)]
    if operation == operations.CANCEL:
        return [
            RestRequest(method="DELETE", path="jobs/", body={"jobs": some}, targets=some) for some in batches(names)
        ]
    if (flags := _REQUEUE.get(operation)) is not None:
        return [
            RestRequest(method="POST", path="jobs/requeue", body={"jobs": some, "flags": flags}, targets=some)
            for some in batches(names)
        ]
    return [RestRequest(method="POST", path=f"job/{job}", body=_job(change, job), targets=(job,)) for job in names]


def _nodes(operation: NodeState, change: Change, told: tuple[str, ...], names: tuple[str, ...]) -> RestRequest:
    body: dict[str, Any] = {"name": names, "state": [operation.state]}
    if told:
        body["reason"] = told[0]
    if change.resume_after_s is not None:
        body["resume_after"] = {"set": True, "number": change.resume_after_s}
    return RestRequest(method="POST", path="nodes/", body=body, targets=names)


def _job(change: Change, job: str) -> Mapping[str, Any]:
    if change.operation == operations.PRIORITY:
        return {"priority": {"set": True, "number": int(change.values[job])}}
    return {"hold": change.operation == operations.HOLD}

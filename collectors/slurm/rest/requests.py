"""From a frozen Change to the calls of slurmrestd. Pure: it asks nothing and looks nothing up.

What each call really takes was seen on living daemons (24.11.5 with v0.0.40 to 42, 26.05.5 with v0.0.42 to 45): one
update of many nodes takes their names as a list; `{"requeue": true}` sets whether a job may be requeued and requeues
nothing; without `Incomplete` a requeue also reruns jobs that have ended; a change of a task of an array is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from collectors.model import Change
from collectors.slurm.commands.argv import NODE_STATES, alike, batches, checked
from collectors.slurm.transport import TASKS, There, unsupported

_REQUEUE = {"requeue": ["Incomplete"], "requeuehold": ["Incomplete", "Hold"]}


class RestRequest(Struct, frozen=True, kw_only=True):
    """One call: what is sent, and the targets it is for."""

    method: str
    path: str
    """Behind the version."""
    body: Mapping[str, Any]
    targets: tuple[str, ...]

    @property
    def sent(self) -> bytes:
        """The body as it is sent."""
        return msgspec.json.encode(self.body)


def orders(change: Change) -> list[RestRequest]:
    """Each call, in order and as few as they can be. Everything is checked before the first one is made: this is the
    last door. Raises ValueError for a Change that is not plain, or that slurmrestd cannot do."""
    names = checked(change)
    if refused := unable(change, None):
        raise ValueError(next(iter(refused.values())))
    action = change.action
    if change.kind == "node":
        return [_nodes(change, told, some) for told, some in alike(change, names)]
    if action == "cancel":
        return [
            RestRequest(method="DELETE", path="jobs/", body={"jobs": some}, targets=some) for some in batches(names)
        ]
    if action in _REQUEUE:
        flags = _REQUEUE[action]
        return [
            RestRequest(method="POST", path="jobs/requeue", body={"jobs": some, "flags": flags}, targets=some)
            for some in batches(names)
        ]
    return [RestRequest(method="POST", path=f"job/{job}", body=_job(change, job), targets=(job,)) for job in names]


def unable(change: Change, there: There | None) -> dict[str, str]:
    """Target to why slurmrestd cannot do this to it there; `there` None: nowhere."""
    found = {}
    for target in change.targets:
        part = "_" in target or "+" in target
        why = unsupported("rest", change.action, there)
        if why is None and change.kind == "job" and part:
            why = unsupported("rest", f"{change.action} {TASKS}", there)
        if why is not None:
            found[target] = why
    return found


def _nodes(change: Change, told: tuple[str, ...], names: tuple[str, ...]) -> RestRequest:
    body: dict[str, Any] = {"name": names, "state": [NODE_STATES[change.action]]}
    if told:
        body["reason"] = told[0]
    if change.resume_after_s is not None:
        body["resume_after"] = {"set": True, "number": change.resume_after_s}
    return RestRequest(method="POST", path="nodes/", body=body, targets=names)


def _job(change: Change, job: str) -> Mapping[str, Any]:
    if change.action == "priority":
        return {"priority": {"set": True, "number": change.priorities[job]}}
    return {"hold": change.action == "hold"}

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
from collectors.slurm.commands.argv import NODE_STATES, batches, checked_targets, nodes_by_settings
from collectors.slurm.transport import TASKS, ServerInfo, why_not

_REQUEUE = {"requeue": ["Incomplete"], "requeuehold": ["Incomplete", "Hold"]}


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
    """Each call, in order and as few as possible. Everything is checked before the first one is built: this is the last
    check. Raises ValueError for a Change that is not plain, or that slurmrestd cannot do."""
    names = checked_targets(change)
    if refused := unable(change, None):
        raise ValueError(next(iter(refused.values())))
    action = change.action
    if change.kind == "node":
        return [_nodes(change, told, some) for told, some in nodes_by_settings(change, names)]
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


def unable(change: Change, server_info: ServerInfo | None) -> dict[str, str]:
    """Target to the reason why slurmrestd cannot change it there; `server_info` None: nowhere."""
    found = {}
    for target in change.targets:
        part = "_" in target or "+" in target
        why = why_not("rest", change.action, server_info)
        if why is None and change.kind == "job" and part:
            why = why_not("rest", f"{change.action} {TASKS}", server_info)
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

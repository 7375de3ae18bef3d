"""What comes of sending a plan: a word a target, and how a long one is watched, paused and stopped."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from collectors.model import Alert, Change, Job, Node, Sent
from console.actions import Row
from console.plan import Plan
from console.verify import Waiting


class Result(Struct, frozen=True):
    """What became of one target. `pending`: accepted, not yet seen. `dropped`: not sent. `unknown`: look at Slurm."""

    state: Literal["pending", "done", "failed", "unknown", "dropped"]
    why: str = ""


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a send. With `refused` set, nothing was sent."""

    plan: Plan
    refused: str | None = None
    results: Mapping[str, Result] = msgspec.field(default_factory=dict)
    sent: tuple[Sent, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    """For `console.verify.Watch`."""
    warning: str = ""
    """Something else went wrong that the person must hear of: the result is not in the journal."""


class Progress:
    """How far a send is, and the person's hand on it. The gate reports, a screen shows, pauses and stops.

    May be used from several threads. What was sent is sent: a stop leaves out what was not.
    """

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self.results: dict[str, Result] = {}
        """Of the targets that were sent or dropped so far."""
        self.ended = False
        self._go = threading.Event()
        self._go.set()
        self._stop = threading.Event()

    @property
    def paused(self) -> bool:
        """True while no further batch is sent."""
        return not self._go.is_set()

    @property
    def stopped(self) -> bool:
        """True when no further batch will be sent."""
        return self._stop.is_set()

    def pause(self) -> None:
        """Send no further batch before `go_on`."""
        self._go.clear()

    def go_on(self) -> None:
        """Send the rest."""
        self._go.set()

    def stop(self) -> None:
        """Leave the rest out."""
        self._stop.set()
        self._go.set()

    def may_go_on(self) -> bool:
        """Between two batches: waits while it is paused. False when it was stopped."""
        self._go.wait()
        return not self._stop.is_set()


def results_of(change: Change, sent: Sequence[Sent], failure: str) -> dict[str, Result]:
    """What each target's command said. Only what Slurm said of this very target counts as failed."""
    results: dict[str, Result] = {}
    for one in sent:
        for target in one.targets:
            if target in one.refused:
                results[target] = Result("failed", one.refused[target])
            elif one.rc == 0 or (one.rc is not None and one.refused):
                results[target] = Result("pending")
            else:
                results[target] = Result("unknown", one.err or "no answer")
    last = sent[-1].err if sent else ""
    rest = (
        Result("unknown", failure) if failure else Result("dropped", f"not sent: stopped after {last or 'a failure'}")
    )
    return {target: results.get(target, rest) for target in change.targets}


def noted(row: Row) -> dict[str, Any]:
    """What the journal keeps of a target as it was: enough to undo it by hand."""
    if isinstance(row, Node):
        return {
            "state": "+".join((row.state, *row.flags)),
            "reason": row.reason,
            "by": row.reason_by,
            "at": row.reason_at,
            "boot_at": row.boot_at,
        }
    if isinstance(row, Job):
        return {
            "state": row.state, "reason": row.reason, "user": row.user, "nodes": row.nodes,
            "restarts": row.restarts, "priority": row.priority,
        }  # fmt: skip
    if isinstance(row, Alert):
        return {"state": row.state, "name": row.name, "node": row.node, "silenced_by": row.silenced_by}
    return {
        "state": row.state, "by": row.by, "comment": row.comment, "ends": row.ends,
        "matchers": [msgspec.to_builtins(one) for one in row.matchers],
    }  # fmt: skip


def told(results: Mapping[str, Result]) -> dict[str, dict[str, str]]:
    """The results as the journal holds them."""
    return {target: {"state": result.state, "why": result.why} for target, result in results.items()}


def batches_of(plan: Plan, change: Change) -> list[Change]:
    """What is sent in one go: all of it, or so many at a time where it kills."""
    step = plan.guard.batch
    if not plan.kills or len(change.targets) <= step:
        return [change]
    return [narrowed(change, change.targets[start : start + step]) for start in range(0, len(change.targets), step)]


def narrowed(change: Change, targets: Sequence[str]) -> Change:
    """The same change of fewer nodes or jobs."""
    wanted = frozenset(targets)

    def of(table: Mapping[str, Any]) -> dict[str, Any]:
        return {target: value for target, value in table.items() if target in wanted}

    return msgspec.structs.replace(
        change, targets=tuple(targets), reasons=of(change.reasons), next_state=of(change.next_state),
        priorities=of(change.priorities),
    )  # fmt: skip

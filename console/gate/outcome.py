"""The outcome of a send, target by target, and the progress of a long send: watched, paused, stopped."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from collectors.model import Alert, Change, Job, Node, Partition, Reservation, Row, Sent, User
from console.actions.action import Action, expected
from console.actions.plan import Plan
from console.actions.registry import BY_ID
from console.actions.verification import PendingTarget, Settled


class SendResult(Struct, frozen=True):
    """The result for one target. `pending`: accepted, not yet seen in a reading. `sent`: accepted, and no reading can
    show the effect. `dropped`: not sent. `unknown`: a person must check in Slurm."""

    state: Literal["pending", "sent", "done", "failed", "unknown", "dropped"]
    why: str = ""
    aside: bool = False
    """Roll-out: the node failed its checks and was set aside."""
    shown_state: str = ""
    """The state of the target that shows it, as `console.actions.verification.Settled` has it."""


class ChangedTarget(Struct, frozen=True):
    """A target that changed since the preview: what changed, and its row now."""

    why: str
    row: Row


class Outcome(Struct, frozen=True, kw_only=True):
    """The outcome of a send. With `refused` set, nothing was sent."""

    plan: Plan
    refused: str | None = None
    results: Mapping[str, SendResult] = msgspec.field(default_factory=dict)
    sent: tuple[Sent, ...] = ()
    waiting: tuple[PendingTarget, ...] = ()
    """For `console.actions.verification.Verification`."""
    aside: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Roll-out: nodes that failed their checks or did not return, and why."""
    reconfirm: Mapping[str, ChangedTarget] = msgspec.field(default_factory=dict)
    """Targets not sent because they changed, for which a new preview may be confirmed
    (`Gate.replan`). Their results are `dropped`."""
    warning: str = ""
    """Another fault to show to the person, such as a result that is not in the journal."""


class Progress:
    """The progress of a send. The gate updates it; a screen shows it, and can pause and stop the send.

    May be used from several threads. A stop only leaves out what was not yet sent.
    """

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self.results: dict[str, SendResult] = {}
        """Results of the targets sent or dropped so far."""
        self.reconfirm: dict[str, ChangedTarget] = {}
        """Dropped targets that may be confirmed again."""
        self.intent: dict[str, Any] = {}
        """The fields of its journal entry, once written. Nothing is sent before that."""
        self.written = False
        """Whether the result was written to the journal, as far as that was possible."""
        self.ended = False
        self.wave = ""
        """Roll-out: the current wave, and what it waits for."""
        self.wave_log: list[str] = []
        """Roll-out: one line for each finished wave."""
        self.aside: dict[str, str] = {}
        """Roll-out: nodes set aside or late, and why."""
        self.unfit: dict[str, str] = {}
        """Roll-out: nodes in service that failed their checks, and why."""
        self.late_count = 0
        """Roll-out: number of nodes that did not register in time and may still do so."""
        self.hold_reason = ""
        """Why it paused by itself, "" if it did not."""
        self.on_hold: Callable[[], object] = lambda: None
        """Called in the sending thread when it pauses by itself."""
        self.on_unfit: Callable[[], object] = lambda: None
        """Called in the sending thread when a person should decide whether unfit nodes are drained again."""
        self._going, self._stopping = True, False
        # A signal handler may call `stop` during a wait of the same thread; with a threading.Event that would deadlock.
        self._changed = threading.Condition(threading.RLock())

    @property
    def paused(self) -> bool:
        """True while no further batch is sent."""
        return not self._going

    @property
    def stopped(self) -> bool:
        """True when no further batch will be sent."""
        return self._stopping

    @property
    def chip(self) -> str:
        """Its text in the top line; "" unless it goes in waves, which take minutes."""
        if not self.wave or self.ended:
            return ""
        late = f", {self.late_count:,} late" if self.late_count else ""
        return f"{'PAUSED' if self.paused else 'RETURN'} {len(self.results):,}/{self.total:,}{late}"

    def pause(self) -> None:
        """Send no further batch before `resume`."""
        self._going = False

    def resume(self) -> None:
        """Send the rest."""
        self.hold_reason = ""
        with self._changed:
            self._going = True
            self._changed.notify_all()

    def hold(self, why: str) -> None:
        """Pause until a person resumes it."""
        self.hold_reason = why
        self.pause()
        self.on_hold()

    def log_wave(self, line: str, aside: Mapping[str, str]) -> None:
        """Record the end of a wave and the nodes it set aside."""
        self.wave_log.append(line)
        self.aside |= aside

    def answer(self, plan: Plan) -> str:
        """The confirmation typed for a plan that drains unfit nodes again; "" declines. Does not wait: it notifies the
        screen, where a person can start the drain."""
        self.on_unfit()
        return ""

    def wait(self, seconds: float) -> bool:
        """Wait for `seconds`. True when it was stopped in the meantime."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping, seconds)

    def stop(self) -> None:
        """Send no further batch; this is final."""
        with self._changed:
            self._stopping = self._going = True
            self._changed.notify_all()

    def wait_while_paused(self) -> bool:
        """Between two batches: wait while paused. False when stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._going)
        return not self._stopping


def nodes_by_reason(aside: Mapping[str, str]) -> dict[str, list[str]]:
    """Nodes that are set aside, grouped by reason."""
    found: dict[str, list[str]] = {}
    for node, why in aside.items():
        found.setdefault(why, []).append(node)
    return found


def results_of(change: Change, sent: Sequence[Sent], failure: str) -> dict[str, SendResult]:
    """The result of each target from the answers to its commands. Only an error that names it counts as failed."""
    results: dict[str, SendResult] = {}
    unseen = (known := BY_ID.get(change.action)) is not None and known.unverifiable
    taken = SendResult("sent", "exit status 0; no reading shows what it did") if unseen else SendResult("pending")
    for one in sent:
        for target in one.targets:
            if target in one.refused:
                result = SendResult("failed", one.refused[target])
            elif one.rc == 0 or (one.rc is not None and one.refused):
                result = taken
            else:
                result = SendResult("unknown", one.err or "no answer")
            results[target] = _both(results.get(target, result), result)
    last = sent[-1].err if sent else ""
    rest = (
        SendResult("unknown", failure)
        if failure
        else SendResult("dropped", f"not sent: stopped after {last or 'a failure'}")
    )
    return {target: results.get(target, rest) for target in change.targets}


def _both(before: SendResult, after: SendResult) -> SendResult:
    """The result of a target of two commands; `unknown` where only one of them succeeded."""
    if before.state == after.state:
        return after
    why = next(one.why for one in (after, before) if one.state not in {"pending", "sent"})
    return SendResult("unknown", f"done by half: {why}")


def pending_targets(
    plan: Plan,
    batch: Change,
    found: Mapping[str, SendResult],
    rows: Mapping[str, Row],
    sent: Sequence[Sent],
    failure: str,
    since: float,
) -> tuple[PendingTarget, ...]:
    """The targets of a batch that a later reading must verify."""
    said = {target: one.err for one in sent if one.rc != 0 for target in one.targets}
    return tuple(
        PendingTarget(plan=plan.id, action=batch.action, kind=plan.action.kind, target=target,
                      sent=expected(batch, target), before=rows[target], since=since, err=said.get(target, failure))
        for target, result in found.items() if result.state in {"pending", "unknown"} and not plan.action.unverifiable
    )  # fmt: skip


def journal_row(row: Row, action: Action | None = None) -> dict[str, Any]:
    """A target before the change, as the journal stores it: enough to undo the change by hand."""
    had = {} if action is None or action.value is None else {"value": action.value.current(row)}
    return {**_noted(row), **had}


def _noted(row: Row) -> dict[str, Any]:
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
    if isinstance(row, Partition | Reservation | User):
        return {"state": row.state, **msgspec.to_builtins(row)}
    return {
        "state": row.state, "by": row.by, "comment": row.comment, "ends": row.ends,
        "matchers": [msgspec.to_builtins(one) for one in row.matchers],
    }  # fmt: skip


def journal_results(results: Mapping[str, SendResult]) -> dict[str, dict[str, Any]]:
    """The results as the journal stores them."""
    return {target: journal_result(result) for target, result in results.items()}


def journal_result(one: SendResult | Settled) -> dict[str, Any]:
    """The result of one target as the journal stores it."""
    return {"state": one.state, "why": one.why, **({"aside": True} if one.aside else {})}


def journal_replies(sent: Sequence[Sent]) -> list[dict[str, Any]]:
    """The answer to each command as the journal stores it."""
    return [{"argv": one.argv, "rc": one.rc, "err": one.err, "took_s": round(one.took_s, 3)} for one in sent]


def interrupted_result(progress: Progress) -> dict[str, Any]:
    """The result of a send that the exception being handled has interrupted, as far as it is known."""
    error = sys.exc_info()[1]
    failure = f"cut off: {type(error).__name__}: {error}"[:300]
    unknown = dict.fromkeys(progress.intent["targets"], SendResult("unknown", failure))
    return {**progress.intent, "sent": [], "failure": failure, "outcome": journal_results(unknown | progress.results)}


def batches_of(plan: Plan, change: Change) -> list[Change]:
    """The batches of a change: all of it, the steps of the waves, or `Guard.batch` targets each where it kills work."""
    if plan.waves is not None:
        left = frozenset(change.targets)
        parts = [[one for one in step if one in left] for wave in plan.waves.waves for step in wave.steps]
        return [subset(change, part) for part in parts if part]
    step = plan.guard.batch
    if not (plan.kills or plan.action.batched) or len(change.targets) <= step:
        return [change]
    # An array that goes out under its own id is one request, and cannot be divided.
    within = {task for tasks in change.arrays.values() for task in tasks}
    units = [*change.arrays.values(), *((target,) for target in change.targets if target not in within)]
    return [
        subset(change, [target for unit in units[start : start + step] for target in unit])
        for start in range(0, len(units), step)
    ]


def subset(change: Change, targets: Sequence[str]) -> Change:
    """The same change for a subset of its targets."""
    wanted = frozenset(targets)

    def of(table: Mapping[str, Any]) -> dict[str, Any]:
        return {target: value for target, value in table.items() if target in wanted}

    return msgspec.structs.replace(
        change, targets=tuple(targets), reasons=of(change.reasons), next_state=of(change.next_state),
        values=of(change.values), arrays={id: tasks for id, tasks in change.arrays.items() if wanted.issuperset(tasks)},
    )  # fmt: skip

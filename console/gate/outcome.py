"""What comes of sending a plan: a word a target, and how a long one is watched, paused and stopped."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from collectors.model import Alert, Change, Job, Node, Partition, Reservation, Sent, User
from console.actions.action import Action, Row
from console.actions.plan import Plan
from console.actions.registry import BY_ID
from console.actions.verification import PendingTarget, Settled


class SendResult(Struct, frozen=True):
    """What became of one target. `pending`: accepted, not yet seen. `sent`: accepted, and no reading can show what it
    did. `dropped`: not sent. `unknown`: look at Slurm."""

    state: Literal["pending", "sent", "done", "failed", "unknown", "dropped"]
    why: str = ""
    aside: bool = False
    """Of waves: it is not fit, and was set aside."""
    shown_state: str = ""
    """The state of the target that shows it, as `console.actions.verification.Settled` has it."""


class ChangedTarget(Struct, frozen=True):
    """A target that changed since the preview: in what, and what it is now."""

    why: str
    row: Row


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a send. With `refused` set, nothing was sent."""

    plan: Plan
    refused: str | None = None
    results: Mapping[str, SendResult] = msgspec.field(default_factory=dict)
    sent: tuple[Sent, ...] = ()
    waiting: tuple[PendingTarget, ...] = ()
    """For `console.actions.verification.Verification`."""
    aside: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Of waves: nodes that came back unfit or not at all, and why."""
    reconfirm: Mapping[str, ChangedTarget] = msgspec.field(default_factory=dict)
    """Targets that were not sent because they changed, and that a new preview may be confirmed for
    (`Gate.replan`). Their results are `dropped`."""
    warning: str = ""
    """Something else went wrong that the person must hear of: the result is not in the journal."""


class Progress:
    """How far a send is, and the person's hand on it. The gate reports, a screen shows, pauses and stops.

    May be used from several threads. What was sent is sent: a stop leaves out what was not.
    """

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self.results: dict[str, SendResult] = {}
        """Of the targets that were sent or dropped so far."""
        self.reconfirm: dict[str, ChangedTarget] = {}
        """Of those that were dropped the ones that may be asked again."""
        self.intent: dict[str, Any] = {}
        """What names it in the journal, once it is written there; before that nothing is sent."""
        self.written = False
        """Whether the result was written after it, or as much of that as could be."""
        self.ended = False
        self.wave = ""
        """Of waves: which is under way, and what it waits for."""
        self.wave_log: list[str] = []
        """Of waves: what came of each so far."""
        self.aside: dict[str, str] = {}
        """Of waves: nodes that are set aside or left behind, and why."""
        self.unfit: dict[str, str] = {}
        """Those of them that are in service, and why they should not be."""
        self.late_count = 0
        """Of waves: so many nodes did not register in time, and may come yet."""
        self.hold_reason = ""
        """Why it paused by itself."""
        self.on_hold: Callable[[], object] = lambda: None
        """Called, in the thread that sends, when it paused by itself."""
        self.on_unfit: Callable[[], object] = lambda: None
        """Called there when somebody should say whether those that came back unfit are drained again."""
        self._going, self._stopping = True, False
        # A signal may stop it in the midst of a wait of its own thread: of a threading.Event that would never return.
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
        """What the top line says of it; "" unless it goes in waves: these take minutes."""
        if not self.wave or self.ended:
            return ""
        behind = f", {self.late_count:,} behind" if self.late_count else ""
        return f"{'PAUSED' if self.paused else 'RETURN'} {len(self.results):,}/{self.total:,}{behind}"

    def pause(self) -> None:
        """Send no further batch before `go_on`."""
        self._going = False

    def resume(self) -> None:
        """Send the rest."""
        self.hold_reason = ""
        with self._changed:
            self._going = True
            self._changed.notify_all()

    def hold(self, why: str) -> None:
        """Pause by itself: somebody must look first."""
        self.hold_reason = why
        self.pause()
        self.on_hold()

    def log_wave(self, line: str, aside: Mapping[str, str]) -> None:
        """A wave has ended, and these of it are set aside."""
        self.wave_log.append(line)
        self.aside |= aside

    def answer(self, plan: Plan) -> str:
        """What somebody types at this plan, which drains again what came back unfit; "" is no yes. Nobody is waited for
        here: a screen is told, and whoever looks at it does it with their own hand."""
        self.on_unfit()
        return ""

    def wait(self, seconds: float) -> bool:
        """Wait so long. True when it was stopped meanwhile."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping, seconds)

    def stop(self) -> None:
        """Leave the rest out."""
        with self._changed:
            self._stopping = self._going = True
            self._changed.notify_all()

    def wait_while_paused(self) -> bool:
        """Between two batches: waits while it is paused. False when it was stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._going)
        return not self._stopping


def nodes_by_reason(aside: Mapping[str, str]) -> dict[str, list[str]]:
    """Nodes that are set aside, by why."""
    found: dict[str, list[str]] = {}
    for node, why in aside.items():
        found.setdefault(why, []).append(node)
    return found


def results_of(change: Change, sent: Sequence[Sent], failure: str) -> dict[str, SendResult]:
    """What each target's command said. Only what Slurm said of this very target counts as failed."""
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
    """What became of a target of two commands: where one went and the other did not, it was done by half."""
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
    """What of a batch a later reading has to prove."""
    said = {target: one.err for one in sent if one.rc != 0 for target in one.targets}
    return tuple(
        PendingTarget(plan=plan.id, action=batch.action, kind=plan.action.kind, target=target,
                reason=batch.reasons.get(target, batch.reason), before=rows[target], since=since,
                err=said.get(target, failure), value=batch.values.get(target),
                asked=batch.resume_after_s)
        for target, result in found.items() if result.state in {"pending", "unknown"} and not plan.action.unverifiable
    )  # fmt: skip


def journal_row(row: Row, action: Action | None = None) -> dict[str, Any]:
    """What the journal keeps of a target as it was: enough to undo it by hand."""
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
    """The results as the journal holds them."""
    return {target: journal_result(result) for target, result in results.items()}


def journal_result(one: SendResult | Settled) -> dict[str, Any]:
    """What became of one target as the journal holds it."""
    return {"state": one.state, "why": one.why, **({"aside": True} if one.aside else {})}


def journal_replies(sent: Sequence[Sent]) -> list[dict[str, Any]]:
    """What each command said, as the journal holds it."""
    return [{"argv": one.argv, "rc": one.rc, "err": one.err, "took_s": round(one.took_s, 3)} for one in sent]


def interrupted_result(progress: Progress) -> dict[str, Any]:
    """The result of a send that the error which is on its way up now has cut off: as far as it is known."""
    error = sys.exc_info()[1]
    failure = f"cut off: {type(error).__name__}: {error}"[:300]
    unknown = dict.fromkeys(progress.intent["targets"], SendResult("unknown", failure))
    return {**progress.intent, "sent": [], "failure": failure, "outcome": journal_results(unknown | progress.results)}


def batches_of(plan: Plan, change: Change) -> list[Change]:
    """What is sent in one go: all of it, a step of a wave, or so many at a time where it kills."""
    if plan.waves is not None:
        left = frozenset(change.targets)
        parts = [[one for one in step if one in left] for wave in plan.waves.waves for step in wave.steps]
        return [subset(change, part) for part in parts if part]
    step = plan.guard.batch
    if not (plan.kills or plan.action.batched) or len(change.targets) <= step:
        return [change]
    return [subset(change, change.targets[start : start + step]) for start in range(0, len(change.targets), step)]


def subset(change: Change, targets: Sequence[str]) -> Change:
    """The same change of fewer nodes or jobs."""
    wanted = frozenset(targets)

    def of(table: Mapping[str, Any]) -> dict[str, Any]:
        return {target: value for target, value in table.items() if target in wanted}

    return msgspec.structs.replace(
        change, targets=tuple(targets), reasons=of(change.reasons), next_state=of(change.next_state),
        values=of(change.values),
    )  # fmt: skip

"""The only way to change the real machine: plan, confirm, re-read the targets, write the journal, send, verify.

Keys, palette, `:` commands, mouse and command line all use this gate. No other module may open a Writer. What is sent
is what was confirmed or a part of it, and it is sent at most once.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakSet

import msgspec

from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import AlertReader, Change, Cluster, Row, Sent, SourceFault, Transport, Writer
from collectors.slurm.operations import SlurmOperation
from console.actions.action import ROWS, Action, clean_reason
from console.actions.incident import Scope, declared
from console.actions.options import Guard, Options
from console.actions.plan import READ_ONLY, Plan, Refusal, Skip, by_reason
from console.actions.registry import BY_ID
from console.actions.verification import PendingTarget, Settled, Verification
from console.health.xid_policy import Policy, default_policy
from console.journal.entries import JournalEntry, outcome_of, valid_targets
from console.journal.writer import Journal, JournalFault
from console.preflight.checks import PreflightReads
from console.queue.job_arrays import whole_arrays
from console.runtime.operator_identity import login_name

from .confirmation import exceeds_confirmation
from .outcome import (
    ChangedTarget,
    Outcome,
    Progress,
    SendResult,
    batches_of,
    interrupted_result,
    journal_replies,
    journal_result,
    journal_results,
    journal_row,
    pending_targets,
    results_of,
)
from .planning import change_for, make_plan, with_reason
from .rollout import Reread, Rollout
from .target_reads import RereadResult, TargetReaders

#: Reason for unchanged targets that are confirmed again together with the changed ones.
_WITH_THEM = "with the others it takes out more than was confirmed"


def open_writer(kind: str, cluster: str, settings: Any) -> Writer:
    """Open the writer of a kind ("slurm", "alertmanager", "sim", "template"). Writers are imported only here."""
    if kind == "sim":
        from collectors.sim.write import open_writer as open_sim

        return open_sim(cluster, settings)
    if kind == "template":
        from collectors.site_command_write import open_writer as open_template

        return open_template(cluster, settings)
    if kind == "alertmanager":
        from collectors.alertmanager.write import open_writer as open_alertmanager

        return open_alertmanager(settings)
    from collectors.slurm.writers import open_writer as open_slurm

    return open_slurm(settings)


class Gate:
    """The gate of one cluster. May be used from several threads; `send` and `follow` block."""

    def __init__(
        self,
        cluster_name: str,
        writer_opener: Callable[[str], Writer],
        transport: Transport | None,
        journal_opener: Callable[[], Journal],
        clock: Clock,
        read_only: bool = False,
        guard: Guard | None = None,
        policy: Policy | None = None,
        desk: AlertReader | None = None,
    ) -> None:
        """`writer_opener` gives the writer for a kind of target; it raises SourceFault where there is none."""
        self.cluster_name = cluster_name
        self.read_only, self.read_only_reason = read_only, READ_ONLY
        self.guard = guard or Guard()
        self._open_writer = writer_opener
        self._readers = TargetReaders(transport, desk)
        self._open_journal = journal_opener
        self._clock = clock
        self._policy = policy or default_policy()
        self._journal: Journal | None = None
        self._writers: dict[str, Writer] = {}
        self._unsent: WeakSet[Plan] = WeakSet()
        self._scopes: tuple[Scope, ...] = ()
        """Incidents declared through this gate, as confirmed. What others write in Alertmanager does not count."""
        self._lock = threading.Lock()
        self._weighing = threading.Lock()
        self._going: dict[Progress, frozenset[str]] = {}
        """Nodes that each send in progress takes out. Slurm may not show them yet when another plan is checked."""
        self.reread: Reread | None = None
        """Reads again what the pre-flight needs, between two waves. None: returned nodes are not checked."""

    @property
    def wrote(self) -> bool:
        """Whether the journal was opened. Nothing is sent before that."""
        return self._journal is not None

    def plan(
        self,
        action_id: str,
        targets: Sequence[str],
        reason: str | None,
        cluster: Cluster,
        options: Options | None = None,
        extra: PreflightReads | None = None,
        changed: Mapping[str, str] | None = None,
    ) -> Plan | Refusal:
        """Freeze an action on explicit targets, or return why it is refused. Sends nothing and reads nothing.

        An action that needs a reason can be planned without one, to be shown; see `with_reason`. `extra` is what
        `console.gate.preflight_reads` read for the pre-flight. `changed` is why it is confirmed again (`Plan.changed`).
        """
        action = BY_ID.get(action_id)
        if action is None:
            return Refusal(f"unknown action {clean(action_id)[:40]}; there is {', '.join(BY_ID)}")
        if self.read_only:
            return Refusal(self.read_only_reason)
        if cluster.name != self.cluster_name:
            return Refusal(f"these are facts of {cluster.name}, this gate is for {self.cluster_name}")
        plan = make_plan(
            action, targets, cluster, self._clock.now(), self._clock.mono(), self.guard, self._policy,
            options or Options(), extra or PreflightReads(), self._scopes,
        )  # fmt: skip
        if isinstance(plan, Refusal):
            return plan
        return self._ready(msgspec.structs.replace(plan, changed=changed or {}), reason)

    def replan(self, outcome: Outcome, cluster: Cluster) -> Plan | Refusal:
        """Plan the same action, with the same reason, for the targets that a send left out because they changed.

        The targets are as the send read them; `cluster` is the newest reading of everything else."""
        plan, field = outcome.plan, ROWS[outcome.plan.action.kind]
        rows = {target: one.row for target, one in outcome.reconfirm.items()}
        laid: Any = {field: {**getattr(cluster, field), **rows}}
        return self.plan(
            plan.action.id, tuple(rows), plan.reason, msgspec.structs.replace(cluster, **laid), plan.options,
            PreflightReads(rows=rows) if plan.action.read_by_name else None,
            {target: one.why for target, one in outcome.reconfirm.items()},
        )  # fmt: skip

    def with_reason(self, plan: Plan, reason: str, options: Options | None = None) -> Plan | Refusal:
        """Return the same plan with a reason. The given plan cannot be sent any more once this succeeds.

        `options` replaces the plan's own options where more was entered: a duration, the state after a reboot.
        """
        if plan.needs_reason and not clean_reason(reason):
            return Refusal("a reason is required")
        if not self._take(plan):
            return Refusal("this plan was used already")
        fresh = msgspec.structs.replace(plan, id=secrets.token_hex(6), options=options or plan.options)
        ready = self._ready(fresh, reason)
        if isinstance(ready, Refusal):
            with self._lock:
                self._unsent.add(plan)
        return ready

    def _ready(self, plan: Plan, reason: str | None) -> Plan | Refusal:
        """Add the reason and the commands to a plan, and register it as one that can be sent."""
        try:
            # Where a reason is missing the change shows `…` in its place, and `send` refuses it.
            ready = with_reason(plan, reason, login_name())
            ready = msgspec.structs.replace(ready, change=self._with_arrays(plan, ready.change))
            writer = self._opened(plan.action)
            commands = tuple(argv for batch in batches_of(ready, ready.change) for argv in writer.commands(batch))
        except SourceFault as error:
            return Refusal(str(error.fault))
        except ValueError as error:
            return Refusal(str(error))
        ready = msgspec.structs.replace(ready, commands=commands)
        with self._lock:
            self._unsent.add(ready)
        return ready

    def _take(self, plan: Plan) -> bool:
        """True for the first caller only: a plan is used once."""
        with self._lock:
            fresh = plan in self._unsent
            self._unsent.discard(plan)
        return fresh

    def send(self, plan: Plan, answer: str, progress: Progress | None = None) -> Outcome:
        """Send a plan once, whatever the outcome. Blocks. Never raises for faults of Slurm or a disk.

        An action that kills work on many targets goes in batches; `progress` can pause and stop it between them.
        """
        progress = progress or Progress()
        progress.total = len(plan.change.targets)
        try:
            return self._send(plan, answer, progress)
        finally:
            with self._weighing:
                self._going.pop(progress, None)
            progress.ended = True
            if progress.intent and not progress.written:
                self._late_note("result", **interrupted_result(progress))

    def _send(self, plan: Plan, answer: str, progress: Progress) -> Outcome:
        if not self._take(plan):
            return Outcome(plan=plan, refused="this plan was used already; nothing was sent again")
        if self.read_only:
            return Outcome(plan=plan, refused=self.read_only_reason)
        if plan.missing_reason:
            return Outcome(plan=plan, refused="a reason is required")
        if self._clock.mono() - plan.made > self.guard.preview_s:
            return Outcome(plan=plan, refused="the preview is too old to act on, nothing was sent: ask again")
        if not plan.confirmation.accepts(answer):
            return Outcome(
                plan=plan, refused=f"not confirmed: {plan.confirmation.prompt} was asked for; nothing was sent"
            )
        try:
            with self._weighing:
                rows, age, dropped, again = self._readers.reread(plan, plan.change.targets, self._clock)
                left = tuple(target for target in plan.rows if target not in dropped and target not in again)
                outgrew = self._outgrown(plan, left, rows)
                if again and not outgrew and self._outgrown(plan, (*left, *again), rows):
                    # In two parts each would need a weaker confirmation than the whole.
                    again, left = {**again, **{target: ChangedTarget(_WITH_THEM, rows[target]) for target in left}}, ()
                dropped |= {target: SendResult("dropped", one.why) for target, one in again.items()}
                if plan.action.takes_out and not outgrew:
                    self._going[progress] = frozenset(left)
        except Exception as error:
            return Outcome(plan=plan, refused=f"the targets could not be read again, nothing was sent: {_said(error)}")
        if not left or (dropped and plan.action.creates is not None):
            skipped = tuple(Skip(target, result.why) for target, result in dropped.items())
            refused = f"nothing was sent: {by_reason(skipped, plan.action.kind)}"
            return Outcome(plan=plan, results=dropped, refused=refused, reconfirm=again)
        if outgrew:
            return Outcome(plan=plan, refused=f"nothing was sent: {outgrew}")
        progress.results |= dropped
        progress.reconfirm |= again
        try:
            change = self._with_arrays(plan, change_for(plan, left, rows, plan.reason, login_name()))
        except (ValueError, SourceFault) as error:
            return Outcome(plan=plan, results=dropped, refused=f"nothing was sent: {error}")
        return self._do(plan, change, rows, age, dropped, progress)

    def _do(
        self,
        plan: Plan,
        change: Change,
        rows: Mapping[str, Row],
        age: float | None,
        dropped: dict[str, SendResult],
        progress: Progress,
    ) -> Outcome:
        """Write the intent to the journal, send, and write the result."""
        change, scope = declared(change, self._clock.now())
        about = {"id": plan.id, "action": change.action, "kind": change.kind, "targets": change.targets}
        try:
            writer = self._opened(plan.action)
            warning = self._write(
                "intent", **about, reason=plan.reason, age_s=age,
                argv=[argv for batch in batches_of(plan, change) for argv in writer.commands(batch)],
                seen={target: journal_row(rows[target], plan.action) for target in change.targets},
                dropped={target: result.why for target, result in dropped.items()},
                reasons=change.reasons, values=change.values,
                settings=change.settings, resume_after_s=change.resume_after_s,
                next_state=change.next_state, silences=[msgspec.to_builtins(one) for one in change.silences],
                undoes=plan.options.undoes,
                broke_glass=plan.confirmation.why if plan.confirmation.kind == "break" else None,
            )  # fmt: skip
        except (JournalFault, OSError, RuntimeError) as error:  # RuntimeError: there is no such ~user in its path
            return Outcome(
                plan=plan, results=dropped, refused=f"nothing was sent, the journal cannot be written: {error}"
            )
        except (ValueError, SourceFault) as error:
            return Outcome(plan=plan, results=dropped, refused=f"nothing was sent: {error}")
        self._scopes, progress.intent = self._scopes + scope, about
        every: list[Sent] = []
        results: dict[str, SendResult] = {}
        waiting: tuple[PendingTarget, ...] = ()
        failure = ""
        batches = batches_of(plan, change)
        waving = None
        if plan.waves is not None:
            waving = Rollout(plan, plan.waves, progress, self, self._readers, self._clock, self._policy)
        for at, planned in enumerate(batches):
            batch = planned
            broke = _broke(waving.before, planned, results) if waving is not None else ""
            since = self._clock.mono()
            if at or waving is not None:
                batch, why = (planned, broke) if broke else self._next(plan, planned, progress, results, waving)
                if why:
                    rest = [target for more in batches[at:] for target in more.targets]
                    results |= {target: SendResult("dropped", why) for target in rest if target not in results}
                    break
            sent: tuple[Sent, ...] = ()
            if batch.targets:
                try:
                    sent = tuple(writer.send(batch))
                except Exception as error:  # what was done before the error is unknown here
                    failure = f"{type(error).__name__}: {error}"[:300]
            every += sent
            results |= (found := results_of(batch, sent, failure))
            progress.results |= results
            new = pending_targets(plan, batch, found, rows, sent, failure, since)
            waiting += new
            if waving is not None:
                waving.sent(batch, found, new)
            if failure or any(one.fatal or one.rc is None for one in sent):
                rest = [target for more in batches[at + 1 :] for target in more.targets]
                why = f"not sent: stopped after {failure or sent[-1].err or 'no answer'}"
                results |= {target: SendResult("dropped", why) for target in rest}
                break
        if waving is not None:
            late = "" if failure else _broke(waving.finish, results)
            waiting, warning = waving.waiting, warning or waving.warning or late
        results |= {target: result for target, result in dropped.items() if target not in results}
        progress.written = True
        late = self._late_note(
            "result", **about, sent=journal_replies(every), failure=failure or None, outcome=journal_results(results)
        )
        return Outcome(plan=plan, results=results, sent=tuple(every), waiting=waiting, warning=late or warning,
                       aside=dict(progress.aside), reconfirm=dict(progress.reconfirm))  # fmt: skip

    def _next(
        self, plan: Plan, batch: Change, progress: Progress, results: dict[str, SendResult], waving: Rollout | None
    ) -> tuple[Change, str]:
        """Re-read the targets of the next batch and drop those that changed. Returns the batch, or why none is sent."""
        try:
            while progress.wait_while_paused():
                unfit = waving.look(batch.targets) if waving is not None else {}
                some = tuple(target for target in batch.targets if target not in unfit)
                rows, _, dropped, asks = (
                    self._readers.reread(plan, some, self._clock) if some else RereadResult({}, None, {}, {})
                )
                if progress.paused or progress.stopped:
                    continue  # the pause may last long, so the targets are read again after it
                dropped |= {target: SendResult("dropped", one.why) for target, one in asks.items()}
                results |= unfit | dropped
                progress.reconfirm |= asks
                rest = [one for one in plan.rows if one not in results and one not in progress.results]
                if why := self._outgrown(plan, rest, rows):
                    return batch, f"not sent: {why}"
                left = tuple(target for target in some if target not in dropped)
                return self._with_arrays(plan, change_for(plan, left, rows, plan.reason, login_name())), ""
        except Exception as error:
            return batch, f"not sent, the targets could not be read again: {_said(error)}"
        return batch, "not sent: you stopped it"

    def _outgrown(self, plan: Plan, left: Sequence[str], rows: Mapping[str, Row]) -> str:
        """Why the confirmation is not enough for the remaining targets, by these rows; "" where it is."""
        going = frozenset[str]().union(*self._going.values())
        return exceeds_confirmation(
            plan, left, self._readers.newest(plan, rows, going), self._scopes, self._clock.now()
        )

    def follow(
        self, outcome: Outcome, deadline_s: float | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> Outcome:
        """Read until every target is settled or the deadline has passed, and write it to the journal. Blocks.

        Without a deadline the timeout of the action in `console.actions.verification` holds.
        """
        watch = Verification(outcome.waiting)
        every: list[Settled] = []
        kind = outcome.plan.action.kind
        if not self._readers.reads(kind):
            deadline_s = 0.0
        pause = 0.1
        while watch.waiting:
            seen = self._readers.poll(self.cluster_name, outcome.plan.action, watch.waiting)
            watch, settled = watch.check(seen, self._clock.mono(), deadline_s)
            every += settled
            if watch.waiting:
                sleep(pause)
                pause = min(2 * pause, 2.0)
        results = {
            **outcome.results,
            **{one.target: SendResult(one.state, one.why, one.aside, one.shown_state) for one in every},
        }
        warning = self.note(every)
        return msgspec.structs.replace(outcome, results=results, waiting=(), warning=outcome.warning or warning)

    def note(self, settled: Sequence[Settled], **more: str) -> str:
        """Write settled targets to the journal, one line for each plan. Returns a warning, "" for none."""
        warning = ""
        for plan in dict.fromkeys(one.plan for one in settled):
            of_it = [one for one in settled if one.plan == plan]
            outcome = {one.target: journal_result(one) for one in of_it}
            action = BY_ID[of_it[0].action]
            fault = self._late_note("verified", id=plan, action=action.id, kind=action.kind, outcome=outcome, **more)
            warning = warning or fault
        return warning

    def settle_orphan(self, orphan: JournalEntry) -> tuple[dict[str, dict[str, str]], str]:
        """Read the targets of an action without a result in the journal, and write the result that is seen now.

        Returns the outcome of each target, and a warning. Raises SourceFault where they cannot be read, JournalFault
        where it cannot be written.
        """
        if self.read_only:
            raise JournalFault(f"{self.read_only_reason}: nothing is written down")
        names = valid_targets(orphan)
        found = outcome_of(orphan, self._readers.read(orphan.kind, names) if names else {})
        warning = self._write(
            "result", id=orphan.plan, action=orphan.action, kind=orphan.kind, targets=orphan.targets, sent=(),
            outcome=found, note=f"read back by {login_name()}",
        )  # fmt: skip
        return found, warning

    def _with_arrays(self, plan: Plan, change: Change) -> Change:
        """The change with the arrays that are sent by their own ids, where operation and writer can do that."""
        takes = isinstance(change.operation, SlurmOperation) and change.operation.takes_arrays
        if not takes or not getattr(self._opened(plan.action), "takes_arrays", False):
            return change
        return msgspec.structs.replace(change, arrays=whole_arrays(change.targets, plan.cluster))

    def _opened(self, action: Action) -> Writer:
        kind = action.id if action.argv else action.result_kind
        with self._lock:
            if kind not in self._writers:
                self._writers[kind] = self._open_writer(kind)
            return self._writers[kind]

    def _write(self, event: str, **fields: Any) -> str:
        """Write a journal line. Returns a warning where only the audit copy has it. Raises JournalFault."""
        with self._lock:
            if self._journal is None:
                self._journal = self._open_journal()
        return self._journal.write(event, **fields)

    def _late_note(self, event: str, **fields: Any) -> str:
        """Write a line after the change was sent. Returns a warning where it cannot be written."""
        try:
            return self._write(event, **fields)
        except Exception as error:
            return f"this is not in the journal: {error if isinstance(error, JournalFault) else _said(error)}"


def _broke(look: Callable[..., object], *given: Any) -> str:
    """Run a step of a roll-out. Returns why it failed, "" where it did not: what was sent must be journalled anyway."""
    try:
        look(*given)
    except Exception as error:
        return f"stopped, the wave could not be looked at: {_said(error)}"
    return ""


def _said(error: Exception) -> str:
    """The text of an error: a source's fault, or the name and message of a bug."""
    return str(error.fault) if isinstance(error, SourceFault) else f"{type(error).__name__}: {error}"[:300]

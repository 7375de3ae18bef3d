"""The one way to change the real machine: plan, confirm, look again, write it down, send, look what came of it.

Keys, palette, `:` commands, the mouse and the command line all come through here, and nothing else may open a Writer.
What is sent was confirmed, is less than or equal to what was confirmed, and is sent at most once.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from weakref import WeakSet

import msgspec
from msgspec import Struct

from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import Change, Cluster, Node, Sent, SourceFault, Transport, Writer
from console.actions import BY_ID, Row, tidy
from console.journal import Journal, JournalFault
from console.plan import Guard, Plan, Refusal, Skip, grouped, make
from console.verify import PATIENCE_S, Settled, Waiting, Watch, drifted


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


def open_writer(kind: str, cluster: str, settings: Any) -> Writer:
    """The writer of a source's kind ("slurm" or "sim"). The only place that imports one."""
    if kind == "sim":
        from collectors.sim.write import open_writer as open_sim

        return open_sim(cluster, settings)
    from collectors.slurm.write import open_writer as open_slurm

    return open_slurm(settings)


class Gate:
    """The gate of one cluster. May be used from several threads; `send` and `follow` block."""

    def __init__(
        self,
        cluster_name: str,
        writer_opener: Callable[[], Writer],
        transport: Transport | None,
        journal_opener: Callable[[], Journal],
        clock: Clock,
        read_only: bool = False,
        guard: Guard | None = None,
    ) -> None:
        self.cluster_name = cluster_name
        self.read_only = read_only
        self._open_writer = writer_opener
        self._transport = transport
        self._open_journal = journal_opener
        self._clock = clock
        self._guard = guard or Guard()
        self._journal: Journal | None = None
        self._writer: Writer | None = None
        self._unsent: WeakSet[Plan] = WeakSet()
        self._lock = threading.Lock()

    def plan(self, action_id: str, targets: Sequence[str], reason: str | None, cluster: Cluster) -> Plan | Refusal:
        """Freeze an action on explicit targets, or say why it cannot be. Sends nothing and reads nothing.

        Without a reason an action that needs one is planned all the same, to be shown; see `with_reason`.
        """
        action = BY_ID.get(action_id)
        if action is None:
            return Refusal(f"unknown action {clean(action_id)[:40]}; there is {', '.join(BY_ID)}")
        if self.read_only:
            return Refusal("read-only")
        if cluster.name != self.cluster_name:
            return Refusal(f"these are facts of {cluster.name}, this gate is for {self.cluster_name}")
        plan = make(action, targets, cluster, self._clock.now(), self._clock.mono(), self._guard)
        return plan if isinstance(plan, Refusal) else self._ready(plan, reason)

    def with_reason(self, plan: Plan, reason: str) -> Plan | Refusal:
        """The same plan with the reason that was asked for meanwhile. The plan given is void once this succeeds."""
        if plan.action.needs_reason and not tidy(reason):
            return Refusal("a reason is required")
        if not self._take(plan):
            return Refusal("this plan was used already")
        return self._ready(msgspec.structs.replace(plan, id=secrets.token_hex(6)), reason)

    def _ready(self, plan: Plan, reason: str | None) -> Plan | Refusal:
        """Give a plan its reason and its commands, and take it in as one that can be sent."""
        change = msgspec.structs.replace(plan.change, reason=tidy(reason or "") or None)
        shown = change
        if plan.action.needs_reason and not change.reason:
            # Only shown: `send` refuses a plan without its reason.
            shown = msgspec.structs.replace(change, reason="…")
        try:
            commands = tuple(self._opened().commands(shown))
        except SourceFault as error:
            return Refusal(str(error.fault))
        except ValueError as error:
            return Refusal(str(error))
        ready = msgspec.structs.replace(plan, change=change, commands=commands)
        with self._lock:
            self._unsent.add(ready)
        return ready

    def _take(self, plan: Plan) -> bool:
        """True for the one caller that may use this plan."""
        with self._lock:
            fresh = plan in self._unsent
            self._unsent.discard(plan)
        return fresh

    def send(self, plan: Plan, answer: str) -> Outcome:
        """Do it, once: whatever comes of it, the plan is spent. Blocks; never raises for what Slurm or a disk does."""
        if not self._take(plan):
            return Outcome(plan=plan, refused="this plan was used already; nothing was sent again")
        if plan.lacks_reason:
            return Outcome(plan=plan, refused="a reason is required")
        if not plan.confirm.accepts(answer):
            return Outcome(plan=plan, refused=f"not confirmed: {plan.confirm.words} was asked for; nothing was sent")
        try:
            rows, age = self._again(plan)
        except SourceFault as error:
            return Outcome(plan=plan, refused=f"the targets could not be read again, nothing was sent: {error.fault}")
        whys = {
            target: drifted(plan.action, plan.cluster, before, rows.get(target)) for target, before in plan.seen.items()
        }
        dropped = {target: Result("dropped", why) for target, why in whys.items() if why}
        change = msgspec.structs.replace(plan.change, targets=tuple(target for target in whys if target not in dropped))
        if not change.targets:
            skipped = tuple(Skip(target, result.why) for target, result in dropped.items())
            return Outcome(
                plan=plan, results=dropped, refused=f"nothing was sent: {grouped(skipped, plan.action.kind)}"
            )
        return self._do(plan, change, rows, age, dropped)

    def _do(
        self, plan: Plan, change: Change, rows: Mapping[str, Row], age: float | None, dropped: Mapping[str, Result]
    ) -> Outcome:
        """From the intent on the disk to the result on the disk."""
        about = {"id": plan.id, "action": change.action, "kind": change.kind, "targets": change.targets}
        try:
            writer = self._opened()
            self._write(
                "intent", **about, reason=change.reason, argv=writer.commands(change), age_s=age,
                seen={target: _noted(rows[target]) for target in change.targets},
                dropped={target: result.why for target, result in dropped.items()},
            )  # fmt: skip
        except JournalFault as error:
            return Outcome(
                plan=plan, results=dropped, refused=f"nothing was sent, the journal cannot be written: {error}"
            )
        except (ValueError, SourceFault) as error:
            return Outcome(plan=plan, results=dropped, refused=f"nothing was sent: {error}")
        since = self._clock.mono()
        sent: tuple[Sent, ...] = ()
        failure = ""
        try:
            sent = tuple(writer.send(change))
        except Exception as error:
            # It broke somewhere in the middle: what it did so far only Slurm knows.
            failure = f"{type(error).__name__}: {error}"[:300]
        results = _results(change, sent, failure)
        said = {target: one.err for one in sent if one.rc != 0 for target in one.targets}
        waiting = tuple(
            Waiting(plan=plan.id, action=change.action, kind=plan.action.kind, target=target, reason=change.reason,
                    before=rows[target], since=since, err=said.get(target, failure))
            for target, result in results.items() if result.state in {"pending", "unknown"}
        )  # fmt: skip
        results |= dropped
        ended = [{"argv": one.argv, "rc": one.rc, "err": one.err, "took_s": round(one.took_s, 3)} for one in sent]
        warning = self._late_note("result", **about, sent=ended, failure=failure or None, outcome=_told(results))
        return Outcome(plan=plan, results=results, sent=sent, waiting=waiting, warning=warning)

    def follow(
        self, outcome: Outcome, deadline_s: float = PATIENCE_S, sleep: Callable[[float], None] = time.sleep
    ) -> Outcome:
        """Read back until every target is settled or the deadline has passed, and note it. Blocks."""
        watch = Watch(outcome.waiting)
        every: list[Settled] = []
        if self._transport is None:
            deadline_s = 0.0
        pause = 0.1
        while watch.waiting:
            watch, settled = watch.check(self._glance(watch.waiting), self._clock.mono(), deadline_s)
            every += settled
            if watch.waiting:
                sleep(pause)
                pause = min(2 * pause, 2.0)
        results = {**outcome.results, **{one.target: Result(one.state, one.why) for one in every}}
        warning = self.note(every)
        return msgspec.structs.replace(outcome, results=results, waiting=(), warning=outcome.warning or warning)

    def note(self, settled: Sequence[Settled]) -> str:
        """Write what was settled into the journal, a line for each plan. Returns a warning, "" when all is well."""
        warning = ""
        for plan in dict.fromkeys(one.plan for one in settled):
            of_it = [one for one in settled if one.plan == plan]
            outcome = {one.target: {"state": one.state, "why": one.why} for one in of_it}
            action = BY_ID[of_it[0].action]
            fault = self._late_note("verified", id=plan, action=action.id, kind=action.kind, outcome=outcome)
            warning = warning or fault
        return warning

    def _again(self, plan: Plan) -> tuple[Mapping[str, Row], float | None]:
        """The targets as they are now, and the age of that. Raises SourceFault."""
        age = plan.age_s(began := self._clock.mono())
        if self._transport is None:
            if age is None or age > self._guard.facts_s:
                raise SourceFault("stale", "what is known of them is too old", "wait for the next reading")
            return plan.seen, age
        rows = self._read(plan.change)
        return rows, self._clock.mono() - began

    def _read(self, about: Change) -> Mapping[str, Row]:
        assert self._transport is not None
        if about.kind == "node":
            return self._transport.read_nodes(about.targets)
        return self._transport.read_jobs(about.targets)

    def _glance(self, waiting: Sequence[Waiting]) -> Cluster:
        """A Cluster of just these targets; of nothing where they cannot be read."""
        kind = waiting[0].kind
        change = Change(action=waiting[0].action, kind=kind, targets=tuple(one.target for one in waiting))
        try:
            rows: Any = self._read(change) if self._transport is not None else None
        except SourceFault:
            rows = None
        if rows is None:
            return Cluster(name=self.cluster_name)
        return Cluster(name=self.cluster_name, known=frozenset({f"{kind}s"}), **{f"{kind}s": rows})

    def _opened(self) -> Writer:
        with self._lock:
            if self._writer is None:
                self._writer = self._open_writer()
            return self._writer

    def _write(self, event: str, **fields: Any) -> None:
        with self._lock:
            if self._journal is None:
                self._journal = self._open_journal()
        self._journal.write(event, **fields)

    def _late_note(self, event: str, **fields: Any) -> str:
        """A line that comes after the deed: where it cannot be written, the person hears of it."""
        try:
            self._write(event, **fields)
        except JournalFault as error:
            return f"this is not in the journal: {error}"
        return ""


def _results(change: Change, sent: Sequence[Sent], failure: str) -> dict[str, Result]:
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


def _noted(row: Row) -> dict[str, Any]:
    """What the journal keeps of a target as it was: enough to undo it by hand."""
    if isinstance(row, Node):
        return {
            "state": "+".join((row.state, *row.flags)),
            "reason": row.reason,
            "by": row.reason_by,
            "at": row.reason_at,
        }
    return {"state": row.state, "reason": row.reason, "user": row.user, "nodes": row.nodes, "restarts": row.restarts}


def _told(results: Mapping[str, Result]) -> dict[str, dict[str, str]]:
    return {target: {"state": result.state, "why": result.why} for target, result in results.items()}

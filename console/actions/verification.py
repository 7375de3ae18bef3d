"""Compares targets with a later reading: was the change done, and has a target drifted since the preview. Pure.

The exit status of a command proves nothing (slurm.md: a bulk update can half succeed); done means that Slurm shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from collectors.jobstate import WAITING, held, job_word
from collectors.model import Alert, Cluster, Job, Node, Partition, Reservation, Row, Silence, User, may_hide
from collectors.nodeset import expand
from collectors.nodestate import UNAVAILABLE

from .action import ROWS, Action, Expected, Kind, signed_reason
from .drift_rules import Drift
from .proofs import ASKED
from .registry import BY_ID

#: Seconds after which a reboot counts as accepted on a busy node.
_ASKED_S = 60.0
_WAITS = "reboot asked for: Slurm waits until its jobs have ended"
_BUSY = frozenset({"ALLOCATED", "MIXED"})
_UNLISTED = "Slurm no longer lists it"
_HIDDEN = "and what was read of the jobs leaves rows out"
_GONE = {**dict.fromkeys(ROWS, _UNLISTED), "alert": "it is over", "silence": "it is over"}
#: Fields of a reservation that only a person changes; its state changes by itself when it begins.
_EDITABLE = ("starts", "ends", "nodes", "users", "accounts", "flags", "partition")


class PendingTarget(Struct, frozen=True, kw_only=True):
    """A target whose change was sent and is not yet verified."""

    plan: str
    action: str
    kind: Kind
    target: str
    before: Row
    since: float
    """Monotonic time at which it was sent."""
    err: str = ""
    """An error of Slurm that named no target."""
    sent: Expected = Expected()
    """What a reading must show."""
    stage: str = ""
    """The stage in the last reading, such as `rebooting`."""


class Settled(Struct, frozen=True, kw_only=True):
    """The verified result of a target; `unknown` means that a person must check in Slurm."""

    plan: str
    action: str
    target: str
    state: Literal["done", "unknown"]
    why: str = ""
    """What the reading showed: `registered, idle`, `rebooted, down: burn-in`."""
    aside: bool = False
    """Roll-out: the node failed its checks and was set aside."""
    shown_state: str = ""
    """State of the target in the verifying reading: `draining`; "" without a row or state."""


class Verification(Struct, frozen=True):
    """The targets still pending. `check` takes a new Cluster; it returns the next Verification and the settled ones."""

    waiting: tuple[PendingTarget, ...] = ()

    def add(self, more: Sequence[PendingTarget]) -> tuple[Verification, tuple[Settled, ...]]:
        """Add targets. A later change of a pending target replaces the earlier one, which is settled by the row that
        the later change started from."""
        new = {(one.kind, one.target): one for one in more}
        still: list[PendingTarget] = []
        over: list[Settled] = []
        for one in self.waiting:
            later = new.get((one.kind, one.target))
            if later is None or BY_ID[one.action].creates is not None:
                still.append(one)
            else:
                over.append(_superseded(one, later))
        return Verification((*still, *more)), tuple(over)

    def row_texts(self, kind: Kind) -> dict[str, str]:
        """Target to the text of its row while pending: `{"gpu0412": "draining…", "gpu0413": "rebooting"}`."""
        return {one.target: one.stage or BY_ID[one.action].doing for one in self.waiting if one.kind == kind}

    def check(
        self, cluster: Cluster, mono: float, timeout_s: float | None = None
    ) -> tuple[Verification, tuple[Settled, ...]]:
        """Compare every pending change with this reading.

        The timeout is that of the action (`Action.verify_s`); `timeout_s` replaces it.
        """
        found = [_check_target(one, cluster, mono, timeout_s) for one in self.waiting]
        still = tuple(one for one in found if isinstance(one, PendingTarget))
        if all(new is old for new, old in zip(found, self.waiting, strict=True)):
            return self, ()
        return Verification(still), tuple(one for one in found if isinstance(one, Settled))


def _superseded(one: PendingTarget, later: PendingTarget) -> Settled:
    """The result of a change whose target was changed again."""
    shown, _, why = _done_or_stage(one, later.before)
    if not shown:
        why = f"{BY_ID[later.action].label} came before it was seen: {state_text(later.before)}"
    return Settled(
        plan=one.plan,
        action=one.action,
        target=one.target,
        state="done" if shown else "unknown",
        why=why,
        shown_state=state_word(later.before) if shown else "",
    )


def _check_target(
    one: PendingTarget, cluster: Cluster, mono: float, timeout_s: float | None
) -> PendingTarget | Settled:
    def over(state: Literal["done", "unknown"], why: str = "") -> Settled:
        return Settled(
            plan=one.plan,
            action=one.action,
            target=one.target,
            state=state,
            why=why,
            shown_state=state_word(row) if state == "done" else "",
        )

    rows: Mapping[str, Row] = getattr(cluster, ROWS[one.kind])
    row = rows.get(one.target)
    now = ""
    if (together := BY_ID[one.action].creates) is not None:
        if ROWS[together.kind] in cluster.known and together.exists(cluster, one.target, one.sent.value or ""):
            return over("done")
    elif f"{one.kind}s" in cluster.known:
        hides = row is None and one.kind == "job" and _may_hide(cluster, one.target)
        shown, stage, why = (False, one.stage, "") if hides else _done_or_stage(one, row)
        now = _HIDDEN if hides else _GONE[one.kind] if row is None else f"now {state_text(row)}"
        if shown:
            return over("done", why)
        if shown is None:
            return over("unknown", why or now)
        one = one if stage == one.stage else msgspec.structs.replace(one, stage=stage)
    waited = mono - one.since
    if one.stage == ASKED and waited >= _ASKED_S and isinstance(row, Node) and row.state in _BUSY:
        # The end of its jobs may be days away; the state of the node shows the request.
        return over("done", _WAITS)
    if waited < (BY_ID[one.action].verify_s if timeout_s is None else timeout_s):
        return one
    if one.stage == ASKED:
        return over("done", _WAITS)
    said_so = f"; Slurm said: {one.err}" if one.err else ""
    if BY_ID[one.action].registers and isinstance(row, Node) and now:
        because = f": {row.reason}" if row.reason else ""
        return over("unknown", f"{row.display}: not registered after {waited:.0f} s{because}{said_so}")
    return over("unknown", f"not seen after {waited:.0f} s{f', {now}' if now else ''}{said_so}")


def _may_hide(cluster: Cluster, job: str) -> bool:
    """Whether a job may exist that the last reading left out."""
    return any(may_hide(source.hidden, job) for source in cluster.sources.values())


def state_text(row: Row) -> str:
    """The state as shown: a node's display state, a job's state with its reason while it waits."""
    if isinstance(row, Node):
        return row.display
    if isinstance(row, Job) and row.state == "PENDING" and row.reason not in {None, "None"}:
        return f"{row.state} ({row.reason})"
    return row.state


def state_word(row: Row | None) -> str:
    """The short state of a node or a job, "" for other rows."""
    return row.display if isinstance(row, Node) else job_word(row) if isinstance(row, Job) else ""


def done_word(action: Action, seen: str) -> str:
    """The word for a verified change: the state in the reading where `done` names a state, else `done`. A node that
    still runs a job is draining, not drained; a job that ended by itself was not cancelled."""
    return seen if seen and action.done_is_state else action.done


def _done_or_stage(one: PendingTarget, after: Row | None) -> tuple[bool | None, str, str]:
    """As `is_done`, with the stage while it is not done, and a note once it is."""
    staged = BY_ID[one.action].staged_proof
    if staged is not None and after is not None:
        return staged(one.before, after, one.sent, one.stage)
    return is_done(one.action, one.before, after, one.sent), "", ""


def is_done(action: str, before: Row, after: Row | None, sent: Expected) -> bool | None:
    """True when `after` shows that the action was done, False while it does not, None when it can no longer be known.
    A reboot counts as soon as Slurm has accepted it.
    """
    row = BY_ID.get(action)
    if row is None or row.creates is not None:
        return None  # its own rows do not show the created object
    if row.proof is not None:
        return row.proof(before, after, sent)
    if row.value is None:
        return None
    now = None if after is None else row.value.current(after)
    # A value that a transport does not report will not be reported later either.
    return None if after is None or (now is None and row.value.on_demand) else now == sent.value


def jobs_by_node(jobs: Iterable[Job]) -> dict[str, frozenset[str]]:
    """Node to the ids of the jobs that hold it."""
    found: dict[str, set[str]] = {}
    for job in jobs:
        for node in expand(job.nodes or ""):
            found.setdefault(node, set()).add(job.id)
    return {node: frozenset(ids) for node, ids in found.items()}


class Drifted(Struct, frozen=True):
    """A change of a target since the preview that keeps it from being sent as confirmed."""

    drift: Drift
    why: str
    """For people."""
    reconfirm: bool
    """True where a new preview may be confirmed (`drift_rules`), False where the target is dropped."""


def find_drift(
    action: Action,
    cluster: Cluster,
    before: Row,
    now: Row | None,
    jobs_before: Collection[str] | None = None,
    jobs_now: Collection[str] | None = None,
) -> Drifted | None:
    """The change that keeps a confirmed target from being sent, None if there is none.

    `drift_rules` and `Action.drift` hold the rule for each change. `jobs_before` are the jobs in the preview,
    `jobs_now` those on the node now, for actions that kill jobs; None is unknown.
    """
    return apply_rules(action, _drifts(action, cluster, before, now, jobs_before, jobs_now))


def apply_rules(action: Action, drifts: Iterable[tuple[Drift, str]]) -> Drifted | None:
    """The first change that drops the target, else the first that needs a new confirmation."""
    asks = None
    for drift, why in drifts:
        match action.rule(drift):
            case "drops":
                return Drifted(drift, why, False)
            case "asks":
                asks = asks or Drifted(drift, why, True)
    return asks


def _drifts(
    action: Action,
    cluster: Cluster,
    before: Row,
    now: Row | None,
    jobs_before: Collection[str] | None,
    jobs_now: Collection[str] | None,
) -> Iterator[tuple[Drift, str]]:
    """Every change, with its text."""
    if now is None:
        yield "gone", _GONE["alert"] if isinstance(before, Alert | Silence) else f"gone: {_UNLISTED}"
        return
    if refused := action.refuse(cluster, now):
        yield "vain", refused
    if action.danger_of(now) == "kills" and action.danger_of(before) != "kills":
        yield "kills", f"it would now kill jobs: {state_text(now)}"
    if (why := _edited(before, now)) is not None:
        yield "edited", why
    if (
        action.value is not None
        and (had := action.value.current(before)) is not None
        and action.value.current(now) != had
    ):
        yield "value", f"its {action.value.noun} was changed meanwhile: {action.value.current(now)}"
    if isinstance(now, Node) and isinstance(before, Node):
        yield from _node_drifts(action, before, now, jobs_before, jobs_now)
    if isinstance(now, Job) and isinstance(before, Job):
        yield from _job_drifts(before, now)
    if isinstance(now, Alert) and isinstance(before, Alert):
        new = [one for one in now.silenced_by if one not in before.silenced_by]
        if new:
            yield "silenced", f"silenced meanwhile{_signed(cluster.silences.get(new[0]))}"
    if isinstance(now, Silence) and isinstance(before, Silence):
        same = (now.matchers, now.ends, now.by, now.comment) == (
            before.matchers, before.ends, before.by, before.comment,
        )  # fmt: skip
        if not same:
            yield "edited", f"it was changed meanwhile{_signed(now)}"


def _node_drifts(
    action: Action, before: Node, now: Node, jobs_before: Collection[str] | None, jobs_now: Collection[str] | None
) -> Iterator[tuple[Drift, str]]:
    if reason_replaced(action, before, now):
        yield "reason", f"another reason was set meanwhile{signed_reason(now)}"
    if any(flag in now.flags and flag not in before.flags for flag in ("REBOOT_REQUESTED", "REBOOT_ISSUED")):
        yield "reboot", f"a reboot was requested meanwhile: {now.display}"
    if "DRAIN" in before.flags and "DRAIN" not in now.flags:
        yield "undrained", f"it was undrained meanwhile: {now.display}"
    if before.display in UNAVAILABLE and now.display not in UNAVAILABLE:
        # It did not count in the loss that the preview showed.
        yield "returned", f"it is back in service meanwhile: {now.display}"
    if action.danger_of(now) == "kills" and (why := _new_jobs(before, now, jobs_before, jobs_now)) is not None:
        yield "new_job", why


def _job_drifts(before: Job, now: Job) -> Iterator[tuple[Drift, str]]:
    if now.user != before.user:
        yield "other_job", f"another job of {now.user} has this id now"
    if now.restarts != before.restarts:
        yield ("requeued" if now.state in WAITING else "restarted"), "it was requeued meanwhile"
    if before.state in WAITING and now.state not in WAITING:
        yield "started", f"it started meanwhile: {now.state}"
    if held(now) and now.reason != before.reason:
        yield "held", f"it was held meanwhile: {now.reason}"


def reason_replaced(action: Action, before: Node, now: Node) -> bool:
    """Whether a node has a new reason that stops the action: any set by a person. A reason set by Slurm or a program
    stops only a return to service, which would clear it, unless it is about slurmd, which is why the node is
    returned."""
    if not now.reason or now.reason == before.reason:
        return False
    from console.health import drain_reasons

    told = drain_reasons.classify(now.reason, now.reason_by)
    return told.author != "automation" or (action.returns and told.kind != "slurmd")


def _new_jobs(
    before: Node, now: Node, jobs_before: Collection[str] | None, jobs_now: Collection[str] | None
) -> str | None:
    """Text on jobs that would be killed and were not in the preview; None for none."""
    if jobs_before is not None and jobs_now is not None:
        new = sorted(set(jobs_now) - set(jobs_before))
        more = f" and {len(new) - 3} more" if len(new) > 3 else ""
        return f"a job started there meanwhile: {', '.join(new[:3])}{more}" if new else None
    busy = {"ALLOCATED", "MIXED"}
    return f"a job started there meanwhile: {now.display}" if now.state in busy and before.state not in busy else None


def _signed(silence: Silence | None) -> str:
    return f" by {silence.by}: {silence.comment}" if silence is not None else ""


def _edited(before: Row, now: Row) -> str | None:
    """What another person changed of a partition, user or reservation since the preview; None: nothing, or another
    kind of target."""
    if isinstance(before, Partition) and isinstance(now, Partition) and now.state != before.state:
        return f"it was set {now.state} meanwhile"
    if isinstance(before, User) and isinstance(now, User) and now.associations != before.associations:
        return f"its limits were changed meanwhile: {now.state}"
    if isinstance(before, Reservation) and isinstance(now, Reservation):
        what = [word for word in _EDITABLE if getattr(before, word) != getattr(now, word)]
        return f"its {', '.join(what)} {'was' if len(what) == 1 else 'were'} changed meanwhile" if what else None
    return None

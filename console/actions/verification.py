"""Compares targets with a later reading: was the change done, and has a target drifted since the preview. Pure.

The exit status of a command proves nothing (slurm.md: a bulk update can half succeed); done means that Slurm shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from collectors.jobstate import ENDED, WAITING, held, job_word
from collectors.model import Alert, Cluster, Job, Node, Partition, Reservation, Silence, User, may_hide
from collectors.nodeset import expand
from collectors.nodestate import UNAVAILABLE

from .action import ROWS, Action, Kind, Row, signed_reason
from .drift_rules import Drift
from .registry import BY_ID

#: Seconds after which a change that no reading shows is unknown.
TIMEOUT_S = 60.0
#: Longer timeouts (seconds): a resumed node must register, a rebooting node must boot.
TIMEOUT_BY_ACTION_S = {"resume": 300.0, "reboot": 900.0, "reboot-now": 900.0}
_REBOOTS = frozenset({"reboot", "reboot-now"})
#: Boot times are computed from the uptime: between two readings they differ by some seconds.
BOOT_TOLERANCE_S = 30

_FOR_A_STATE = frozenset({"drain", "down", "cancel", "hold", "suspend", "unsuspend"})
"""Actions whose `done` is the name of a state; for the others it names the event."""
_OUT_OF_SERVICE = frozenset({"DRAIN", "FAIL", "INVALID_REG"})
_ASKED, _REBOOTING, _REGISTERING = "reboot asked", "rebooting", "registering"
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
    reason: str | None
    """The reason of this target, as Slurm should show it."""
    before: Row
    since: float
    """Monotonic time at which it was sent."""
    err: str = ""
    """An error of Slurm that named no target."""
    asked: int | None = None
    """Seconds after which Slurm ends the drain."""
    value: str | None = None
    """The new value, where the action sets one."""
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

        The timeout is a minute, five for a resume, fifteen for a reboot; `timeout_s` replaces it.
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
        if ROWS[together.kind] in cluster.known and together.exists(cluster, one.target, one.value or ""):
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
    if one.stage == _ASKED and waited >= TIMEOUT_S and isinstance(row, Node) and row.state in _BUSY:
        # The end of its jobs may be days away; the state of the node shows the request.
        return over("done", _WAITS)
    if waited < (TIMEOUT_BY_ACTION_S.get(one.action, TIMEOUT_S) if timeout_s is None else timeout_s):
        return one
    if one.stage == _ASKED:
        return over("done", _WAITS)
    said_so = f"; Slurm said: {one.err}" if one.err else ""
    if one.action == "resume" and isinstance(row, Node) and now:
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
    return seen if seen and action.id in _FOR_A_STATE else action.done


def _done_or_stage(one: PendingTarget, after: Row | None) -> tuple[bool | None, str, str]:
    """As `is_done`, with the stage while it is not done, and a note once it is."""
    if isinstance(after, Node) and isinstance(one.before, Node):
        if one.action in _REBOOTS:
            return _rebooted(one.before, after, one.stage)
        if one.action == "resume":
            return _resumed(one.before, after, one.stage)
    shown = is_done(one.action, one.before, after, one.reason, one.asked, one.value)
    if shown and one.action == "drain" and one.asked is None and isinstance(after, Node) and after.resume_at:
        return True, "", "an earlier ResumeAfter still stands: Slurm will resume it by itself"
    return shown, "", ""


def _rebooted(before: Node, after: Node, stage: str) -> tuple[bool | None, str, str]:
    asked = "REBOOT_REQUESTED" in after.flags
    if asked or "REBOOT_ISSUED" in after.flags:
        return False, _ASKED if asked else _REBOOTING, ""
    because = f": {after.reason}" if after.reason and after.state == "DOWN" else ""
    if _booted(before, after, stage):
        return True, "", f"rebooted, {after.display}{because}"
    # Slurm also clears the flag when it gave up (ResumeTimeout), and when a person cancelled the reboot.
    return (None, "", f"not rebooted, {after.display}{because}") if stage else (False, "", "")


def _booted(before: Node, after: Node, stage: str = "") -> bool:
    """True when it has booted since. Where the old boot time is unknown, an earlier reading must show the reboot."""
    if after.boot_at is None:
        return False
    if before.boot_at is None:
        return stage == _REBOOTING
    return after.boot_at > before.boot_at + BOOT_TOLERANCE_S


def _resumed(before: Node, after: Node, stage: str) -> tuple[bool | None, str, str]:
    if _node_seen("resume", before, after, None, None):
        never = after.state == "UNKNOWN"
        return True, "", "as before: Slurm never heard of it" if never else f"registered, {after.display}"
    out = after.state == "DOWN" or not _OUT_OF_SERVICE.isdisjoint(after.flags)
    if not out and "NOT_RESPONDING" in after.flags:
        return False, _REGISTERING, ""
    # Ignore the state before the resume was seen; only a new state after it counts.
    because = f": {after.reason}" if after.reason else ""
    return (None, "", f"{after.display} again{because}") if out and stage else (False, stage, "")


def is_done(
    action: str,
    before: Row,
    after: Row | None,
    reason: str | None = None,
    asked: int | None = None,
    value: str | None = None,
) -> bool | None:
    """True when `after` shows that the action was done, False while it does not, None when it can no longer be known.

    `reason` is the target's own, `asked` the seconds after which a drain ends, `value` the new value. A reboot counts
    as soon as Slurm has accepted it.
    """
    row = BY_ID.get(action)
    if row is not None and row.creates is not None:
        return None  # its own rows do not show the created object
    if row is not None and row.proof is not None:
        return row.proof(before, after)
    if row is not None and row.value is not None:
        now = None if after is None else row.value.current(after)
        # A value that a transport does not report will not be reported later either.
        return None if after is None or (now is None and row.value.on_demand) else now == value
    if after is None:
        return True if action in {"cancel", "lift"} else None
    if isinstance(after, Node) and isinstance(before, Node):
        return _node_seen(action, before, after, reason, asked)
    if isinstance(after, Job) and isinstance(before, Job):
        return _job_seen(action, before, after)
    if isinstance(after, Alert) and isinstance(before, Alert):
        return after.state == "suppressed" and not set(after.silenced_by) <= set(before.silenced_by)
    return after.state == "expired"


def _node_seen(action: str, before: Node, after: Node, reason: str | None, asked: int | None) -> bool:
    drained = "DRAIN" in after.flags
    # scontrol strips a quote at either end of a reason.
    told = not reason or reason.strip('"') in (after.reason or "")
    match action:
        case "drain":
            return drained and told and (asked is None or after.resume_at is not None)
        case "undrain":
            return not drained
        case "down":
            return after.state == "DOWN" and told
        case "reboot" | "reboot-now":
            return not {"REBOOT_REQUESTED", "REBOOT_ISSUED"}.isdisjoint(after.flags) or _booted(before, after)
    if not _OUT_OF_SERVICE.isdisjoint(after.flags):
        return False
    if "REBOOT_REQUESTED" in before.flags and "REBOOT_REQUESTED" in after.flags:
        return False  # the resume was meant to cancel it
    # A node that the controller has never seen is UNKNOWN before and after; any other must have registered again.
    heard = after.state not in {"DOWN", "UNKNOWN", "FUTURE"} and "NOT_RESPONDING" not in after.flags
    return heard or after.state == before.state == "UNKNOWN"


def _job_seen(action: str, before: Job, after: Job) -> bool | None:
    if action == "cancel":
        return after.state in ENDED
    if after.state in ENDED:
        return None
    if action == "release":
        return not held(after)
    if action in {"suspend", "unsuspend"}:
        return (after.state == "SUSPENDED") == (action == "suspend")
    if action in {"hold", "uhold"}:
        return held(after) and (not held(before) or after.reason != before.reason)
    # Until its old processes are gone it is COMPLETING, with the new restart count; it may stay in that state.
    again = after.state in WAITING or (after.state != "COMPLETING" and (after.restarts or 0) > (before.restarts or 0))
    return again and (action == "requeue" or held(after))


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

    from .waves import RETURN_ACTIONS

    told = drain_reasons.classify(now.reason, now.reason_by)
    return told.author != "robot" or (action.id in RETURN_ACTIONS and told.kind != "slurmd")


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

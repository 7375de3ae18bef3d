"""What a later reading proves: that a change was done, that a target is no longer what was confirmed. All of it pure.

A command that ended well proves nothing (slurm.md: a bulk update can half succeed); done means that Slurm shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from collectors.jobstate import ENDED, WAITING, held, job_word
from collectors.model import Alert, Cluster, Job, Node, Partition, Reservation, Silence, User, may_hide
from collectors.nodeset import expand
from collectors.nodestate import OUT

from .action import ROWS, Action, Kind, Row, said
from .drift_rules import Drift
from .registry import BY_ID

#: Seconds after which a change that no reading shows is called unknown.
PATIENCE_S = 60.0
#: A node that was put back has to register, one that reboots has to come up again.
PATIENCE_OF_S = {"resume": 300.0, "reboot": 900.0, "reboot-now": 900.0}
_REBOOTS = frozenset({"reboot", "reboot-now"})
#: Boot times are told as now less the uptime: between two readings they move by a second or a few.
BOOT_WOBBLE_S = 30

_FOR_A_STATE = frozenset({"drain", "down", "cancel", "hold", "suspend", "unsuspend"})
"""Actions whose `done` is the name of a state. The others tell of what happened, and the state stands behind it."""
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
    """A target whose change was sent and not yet seen."""

    plan: str
    action: str
    kind: Kind
    target: str
    reason: str | None
    """The target's own: what Slurm should show with it."""
    before: Row
    since: float
    """Monotonic time at which it was sent."""
    err: str = ""
    """What Slurm said, where it said something and did not name whom it meant."""
    asked: int | None = None
    """The number that was asked for: the priority, or the seconds after which Slurm ends the drain."""
    value: str | None = None
    """What it was given, where the action sets something."""
    stage: str = ""
    """How far it is, as the last reading showed: `rebooting`. Watch keeps it."""


class Settled(Struct, frozen=True, kw_only=True):
    """What became of a target: `unknown` means that nobody can say without looking at Slurm by hand."""

    plan: str
    action: str
    target: str
    state: Literal["done", "unknown"]
    why: str = ""
    """What was seen: `registered, idle`, `rebooted, down: burn-in`."""
    aside: bool = False
    """Of waves: it is not fit, and was set aside."""
    seen: str = ""
    """State of the target in the reading that shows it: `draining`. Empty where it has no row or no state any more."""


class Verification(Struct, frozen=True):
    """The targets still pending. Give it each new Cluster; it gives the next Watch and what was settled."""

    waiting: tuple[PendingTarget, ...] = ()

    def add(self, more: Sequence[PendingTarget]) -> tuple[Verification, tuple[Settled, ...]]:
        """Wait for these too. A target that is waited for already is waited for anew: the later change counts, and what
        became of the earlier one is told as the later one found the target."""
        new = {(one.kind, one.target): one for one in more}
        still: list[PendingTarget] = []
        over: list[Settled] = []
        for one in self.waiting:
            later = new.get((one.kind, one.target))
            if later is None or BY_ID[one.action].together is not None:
                still.append(one)
            else:
                over.append(_overtaken(one, later))
        return Verification((*still, *more)), tuple(over)

    def words(self, kind: Kind) -> dict[str, str]:
        """Target to what its row says meanwhile: `{"gpu0412": "draining…", "gpu0413": "rebooting"}`."""
        return {one.target: one.stage or BY_ID[one.action].doing for one in self.waiting if one.kind == kind}

    def check(
        self, cluster: Cluster, mono: float, patience_s: float | None = None
    ) -> tuple[Verification, tuple[Settled, ...]]:
        """Hold every pending change against what is known now.

        Each action has its own patience (seconds): a minute, five for a resume, fifteen for a reboot; `patience_s`
        takes its place where somebody waits no longer than that.
        """
        found = [_look_at(one, cluster, mono, patience_s) for one in self.waiting]
        still = tuple(one for one in found if isinstance(one, PendingTarget))
        if all(new is old for new, old in zip(found, self.waiting, strict=True)):
            return self, ()
        return Verification(still), tuple(one for one in found if isinstance(one, Settled))


def _overtaken(one: PendingTarget, later: PendingTarget) -> Settled:
    """What became of a change before the target was changed once more."""
    shown, _, why = _shown(one, later.before)
    if not shown:
        why = f"{BY_ID[later.action].label} came before it was seen: {state_of(later.before)}"
    return Settled(
        plan=one.plan,
        action=one.action,
        target=one.target,
        state="done" if shown else "unknown",
        why=why,
        seen=word_of(later.before) if shown else "",
    )


def _look_at(one: PendingTarget, cluster: Cluster, mono: float, patience_s: float | None) -> PendingTarget | Settled:
    def over(state: Literal["done", "unknown"], why: str = "") -> Settled:
        return Settled(
            plan=one.plan,
            action=one.action,
            target=one.target,
            state=state,
            why=why,
            seen=word_of(row) if state == "done" else "",
        )

    rows: Mapping[str, Row] = getattr(cluster, ROWS[one.kind])
    row = rows.get(one.target)
    now = ""
    if (together := BY_ID[one.action].together) is not None:
        if ROWS[together.kind] in cluster.known and together.shows(cluster, one.target, one.value or ""):
            return over("done")
    elif f"{one.kind}s" in cluster.known:
        hides = row is None and one.kind == "job" and _may_hide(cluster, one.target)
        shown, stage, why = (False, one.stage, "") if hides else _shown(one, row)
        now = _HIDDEN if hides else _GONE[one.kind] if row is None else f"now {state_of(row)}"
        if shown:
            return over("done", why)
        if shown is None:
            return over("unknown", why or now)
        one = one if stage == one.stage else msgspec.structs.replace(one, stage=stage)
    waited = mono - one.since
    if one.stage == _ASKED and waited >= PATIENCE_S and isinstance(row, Node) and row.state in _BUSY:
        # That may be days away; the node's own state tells of it meanwhile.
        return over("done", _WAITS)
    if waited < (PATIENCE_OF_S.get(one.action, PATIENCE_S) if patience_s is None else patience_s):
        return one
    if one.stage == _ASKED:
        return over("done", _WAITS)
    said_so = f"; Slurm said: {one.err}" if one.err else ""
    if one.action == "resume" and isinstance(row, Node) and now:
        because = f": {row.reason}" if row.reason else ""
        return over("unknown", f"{row.display}: not registered after {waited:.0f} s{because}{said_so}")
    return over("unknown", f"not seen after {waited:.0f} s{f', {now}' if now else ''}{said_so}")


def _may_hide(cluster: Cluster, job: str) -> bool:
    """Whether a job may be there that the last reading does not show: it left rows out. One by name says so."""
    return any(may_hide(source.hidden, job) for source in cluster.sources.values())


def state_of(row: Row) -> str:
    """The state a person reads: a node's own word, a job's long state with its reason while it waits."""
    if isinstance(row, Node):
        return row.display
    if isinstance(row, Job) and row.state == "PENDING" and row.reason not in {None, "None"}:
        return f"{row.state} ({row.reason})"
    return row.state


def word_of(row: Row | None) -> str:
    """The one word for the state of a node or a job, "" for what has none."""
    return row.display if isinstance(row, Node) else job_word(row) if isinstance(row, Job) else ""


def done_word(action: Action, seen: str) -> str:
    """What to call a change that a reading shows: the state that it shows, where the action is for a state. A node that
    still runs a job is draining, not drained, and a job that ended by itself was not cancelled."""
    return seen if seen and action.id in _FOR_A_STATE else action.done


def _shown(one: PendingTarget, after: Row | None) -> tuple[bool | None, str, str]:
    """As `seen`, with the stage it is in while that is not over, and what there is to tell once it is."""
    if isinstance(after, Node) and isinstance(one.before, Node):
        if one.action in _REBOOTS:
            return _rebooted(one.before, after, one.stage)
        if one.action == "resume":
            return _resumed(one.before, after, one.stage)
    shown = seen(one.action, one.before, after, one.reason, one.asked, one.value)
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
    # Slurm takes the flag away when it gave up, too (ResumeTimeout), and when somebody called it off.
    return (None, "", f"not rebooted, {after.display}{because}") if stage else (False, "", "")


def _booted(before: Node, after: Node, stage: str = "") -> bool:
    """True when it has booted since. One whose boot time nobody knew must have been seen on its way."""
    if after.boot_at is None:
        return False
    if before.boot_at is None:
        return stage == _REBOOTING
    return after.boot_at > before.boot_at + BOOT_WOBBLE_S


def _resumed(before: Node, after: Node, stage: str) -> tuple[bool | None, str, str]:
    if _node_seen("resume", before, after, None, None):
        never = after.state == "UNKNOWN"
        return True, "", "as before: Slurm never heard of it" if never else f"registered, {after.display}"
    out = after.state == "DOWN" or not _OUT_OF_SERVICE.isdisjoint(after.flags)
    if not out and "NOT_RESPONDING" in after.flags:
        return False, _REGISTERING, ""
    # Not the old state before the resume was seen, but a new one after it.
    because = f": {after.reason}" if after.reason else ""
    return (None, "", f"{after.display} again{because}") if out and stage else (False, stage, "")


def seen(
    action: str,
    before: Row,
    after: Row | None,
    reason: str | None = None,
    asked: int | None = None,
    value: str | None = None,
) -> bool | None:
    """True when `after` shows that the action was done, False while it does not, None when it can no longer tell.

    `reason` is the target's own, `asked` the priority, or the seconds after which a drain ends, `value` what it was
    given. A reboot counts once Slurm has taken it on.
    """
    row = BY_ID.get(action)
    if row is not None and row.together is not None:
        return None  # its own rows do not show what was made of them
    if row is not None and row.proof is not None:
        return row.proof(before, after)
    if row is not None and row.value is not None:
        now = None if after is None else row.value.of(after)
        # What a road does not tell, it will not tell later either.
        return None if after is None or (now is None and row.value.read_again) else now == value
    if after is None:
        return True if action in {"cancel", "lift"} else None
    if isinstance(after, Node) and isinstance(before, Node):
        return _node_seen(action, before, after, reason, asked)
    if isinstance(after, Job) and isinstance(before, Job):
        return _job_seen(action, before, after, asked)
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
        return False  # it is what the resume was to call off
    # A node that the controller never heard of is UNKNOWN before and after; any other must have registered again.
    heard = after.state not in {"DOWN", "UNKNOWN", "FUTURE"} and "NOT_RESPONDING" not in after.flags
    return heard or after.state == before.state == "UNKNOWN"


def _job_seen(action: str, before: Job, after: Job, asked: int | None) -> bool | None:
    if action == "cancel":
        return after.state in ENDED
    if after.state in ENDED:
        return None
    if action == "priority":
        return after.priority == asked if asked is not None else after.priority != before.priority
    if action == "release":
        return not held(after)
    if action in {"suspend", "unsuspend"}:
        return (after.state == "SUSPENDED") == (action == "suspend")
    if action in {"hold", "uhold"}:
        return held(after) and (not held(before) or after.reason != before.reason)
    # Until its old work is really gone it is COMPLETING, with the new restart count: that may get stuck.
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
    """What changed about a target since the preview that keeps it from being sent as confirmed."""

    drift: Drift
    why: str
    """For people."""
    asks: bool
    """True where a new preview may be confirmed (`drift_rules`), False where the target is dropped."""


def drifted(
    action: Action,
    cluster: Cluster,
    before: Row,
    now: Row | None,
    jobs_before: Collection[str] | None = None,
    jobs_now: Collection[str] | None = None,
) -> Drifted | None:
    """What keeps a target that was confirmed from being acted on as it is now, None where nothing does.

    What each difference means for the action stands in `drift_rules` and `Action.drift`. `jobs_before` are the jobs of
    the preview, `jobs_now` those that run on this node: what is acted on with a kill. None is not known.
    """
    return judged(action, _drifts(action, cluster, before, now, jobs_before, jobs_now))


def judged(action: Action, drifts: Iterable[tuple[Drift, str]]) -> Drifted | None:
    """The first of these differences that drops the target, else the first that asks again."""
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
    """Every difference, with its words."""
    if now is None:
        yield "gone", _GONE["alert"] if isinstance(before, Alert | Silence) else f"gone: {_UNLISTED}"
        return
    if refused := action.refuse(cluster, now):
        yield "vain", refused
    if action.danger_of(now) == "kills" and action.danger_of(before) != "kills":
        yield "kills", f"it would now kill jobs: {state_of(now)}"
    if (why := _edited(before, now)) is not None:
        yield "edited", why
    if action.value is not None and (had := action.value.of(before)) is not None and action.value.of(now) != had:
        yield "value", f"its {action.value.word} was changed meanwhile: {action.value.of(now)}"
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
    if rewritten(action, before, now):
        yield "reason", f"another reason was set meanwhile{said(now)}"
    if any(flag in now.flags and flag not in before.flags for flag in ("REBOOT_REQUESTED", "REBOOT_ISSUED")):
        yield "reboot", f"a reboot was requested meanwhile: {now.display}"
    if "DRAIN" in before.flags and "DRAIN" not in now.flags:
        yield "undrained", f"it was undrained meanwhile: {now.display}"
    if before.display in OUT and now.display not in OUT:
        # It weighed nothing when it was shown what would be lost.
        yield "returned", f"it is back in service meanwhile: {now.display}"
    if action.danger_of(now) == "kills" and (why := _more_work(before, now, jobs_before, jobs_now)) is not None:
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


def rewritten(action: Action, before: Node, now: Node) -> bool:
    """Whether a node has a reason since that speaks against the action: any that a person set. What Slurm or a program
    wrote is kept behind the reason of what takes it out; what puts it back would sweep it away, but for slurmd's not
    answering: that is why it is put back."""
    if not now.reason or now.reason == before.reason:
        return False
    from console.health import drain_reasons

    from .waves import RETURNS

    told = drain_reasons.read(now.reason, now.reason_by)
    return told.who != "robot" or (action.id in RETURNS and told.kind != "slurmd")


def _more_work(
    before: Node, now: Node, jobs_before: Collection[str] | None, jobs_now: Collection[str] | None
) -> str | None:
    """A job that would be killed and that nobody was told of."""
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

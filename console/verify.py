"""What a later reading proves: that a change was done, that a target is no longer what was confirmed. All of it pure.

A command that ended well proves nothing (slurm.md: a bulk update can half succeed); done means that Slurm shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from collectors.model import Cluster, Job, Node
from console.actions import BY_ID, ENDED, WAITING, Action, Kind, Row, held, said

#: Seconds after which a change that no reading shows is called unknown.
PATIENCE_S = 60.0


class Waiting(Struct, frozen=True, kw_only=True):
    """A target whose change was sent and not yet seen."""

    plan: str
    action: str
    kind: Kind
    target: str
    reason: str | None
    before: Row
    since: float
    """Monotonic time at which it was sent."""
    err: str = ""
    """What Slurm said, where it said something and did not name whom it meant."""


class Settled(Struct, frozen=True, kw_only=True):
    """What became of a target: `unknown` means that nobody can say without looking at Slurm by hand."""

    plan: str
    action: str
    target: str
    state: Literal["done", "unknown"]
    why: str = ""


class Watch(Struct, frozen=True):
    """The targets still pending. Give it each new Cluster; it gives the next Watch and what was settled."""

    waiting: tuple[Waiting, ...] = ()

    def add(self, more: Sequence[Waiting]) -> Watch:
        """Wait for these too. A target that is waited for already is waited for anew: the later change counts."""
        new = {(one.kind, one.target) for one in more}
        return Watch((*(one for one in self.waiting if (one.kind, one.target) not in new), *more))

    def words(self, kind: Kind) -> dict[str, str]:
        """Target to what its row says meanwhile: `{"gpu0412": "draining…"}`."""
        return {one.target: BY_ID[one.action].doing for one in self.waiting if one.kind == kind}

    def check(self, cluster: Cluster, mono: float, patience_s: float = PATIENCE_S) -> tuple[Watch, tuple[Settled, ...]]:
        """Hold every pending change against what is known now."""
        settled = tuple(found for one in self.waiting if (found := _settle(one, cluster, mono, patience_s)) is not None)
        if not settled:
            return self, ()
        over = {(found.plan, found.target) for found in settled}
        return Watch(tuple(one for one in self.waiting if (one.plan, one.target) not in over)), settled


def _settle(one: Waiting, cluster: Cluster, mono: float, patience_s: float) -> Settled | None:
    def over(state: Literal["done", "unknown"], why: str = "") -> Settled:
        return Settled(plan=one.plan, action=one.action, target=one.target, state=state, why=why)

    rows = cluster.nodes if one.kind == "node" else cluster.jobs
    row: Row | None = rows.get(one.target)
    now = ""
    if f"{one.kind}s" in cluster.known:
        shown = seen(one.action, one.before, row, one.reason)
        if shown:
            return over("done")
        now = "Slurm no longer lists it" if row is None else f"now {state_of(row)}"
        if shown is None:
            return over("unknown", now)
    if mono - one.since < patience_s:
        return None
    said_so = f"; Slurm said: {one.err}" if one.err else ""
    return over("unknown", f"not seen after {mono - one.since:.0f} s{f', {now}' if now else ''}{said_so}")


def state_of(row: Row) -> str:
    """The state a person reads: a node's own word, a job's long state with its reason while it waits."""
    if isinstance(row, Node):
        return row.display
    return f"{row.state} ({row.reason})" if row.state == "PENDING" and row.reason not in {None, "None"} else row.state


def seen(action: str, before: Row, after: Row | None, reason: str | None = None) -> bool | None:
    """True when `after` shows that the action was done, False while it does not, None when it can no longer tell."""
    if after is None:
        return True if action == "cancel" else None
    if isinstance(after, Node):
        return _node_seen(action, before.state, after, reason)
    assert isinstance(before, Job)
    return _job_seen(action, before, after)


def _node_seen(action: str, was: str, after: Node, reason: str | None) -> bool:
    drained = "DRAIN" in after.flags
    if action == "drain":
        # scontrol strips a quote at either end of a reason.
        return drained and (not reason or reason.strip('"') in (after.reason or ""))
    if action == "undrain":
        return not drained
    if not {"DRAIN", "FAIL"}.isdisjoint(after.flags):
        return False
    # A node that the controller never heard of is UNKNOWN before and after; any other must have registered again.
    heard = after.state not in {"DOWN", "UNKNOWN", "FUTURE"} and "NOT_RESPONDING" not in after.flags
    return heard or after.state == was == "UNKNOWN"


def _job_seen(action: str, before: Job, after: Job) -> bool | None:
    if action == "cancel":
        return after.state in ENDED
    if after.state in ENDED:
        return None
    if action == "release":
        return not held(after)
    if action in {"hold", "uhold"}:
        return held(after) and (not held(before) or after.reason != before.reason)
    # Until its old work is really gone it is COMPLETING, with the new restart count: that may get stuck.
    again = after.state in WAITING or (after.state != "COMPLETING" and (after.restarts or 0) > (before.restarts or 0))
    return again and (action == "requeue" or held(after))


def drifted(action: Action, cluster: Cluster, before: Row, now: Row | None) -> str | None:
    """Why a target that was confirmed must not be acted on as it is now, None when it may.

    Less harm than was confirmed does not stop it (a node went down by itself); more harm does, and so does another
    person's hand.
    """
    if now is None:
        return "gone: Slurm no longer lists it"
    refused = action.refuse(cluster, now)
    if refused:
        return refused
    if action.danger_of(now) == "kills" and action.danger_of(before) != "kills":
        return f"it would now kill jobs: {state_of(now)}"
    if isinstance(now, Node) and isinstance(before, Node):
        if now.reason and now.reason != before.reason:
            return f"another reason was set meanwhile{said(now)}"
    elif isinstance(now, Job) and isinstance(before, Job):
        if now.user != before.user:
            return f"another job of {now.user} has this id now"
        if now.restarts != before.restarts:
            return "it was requeued meanwhile"
        if action.danger == "kills" and before.state in WAITING and now.state not in WAITING:
            return f"it started meanwhile: {now.state}"
    return None

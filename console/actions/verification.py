"""Compares targets with a later reading: was the change done. Pure.

The exit status of a command proves nothing (slurm.md: a bulk update can half succeed); done means that Slurm shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from collectors.jobstate import job_word
from collectors.model import Cluster, Job, Node, Row, may_hide
from collectors.nodeset import expand

from .action import ROWS, Action, Expected, Kind
from .proofs import ASKED
from .registry import BY_ID

#: Seconds after which a reboot counts as accepted on a busy node.
_ASKED_S = 60.0
_WAITS = "reboot asked for: Slurm waits until its jobs have ended"
_BUSY = frozenset({"ALLOCATED", "MIXED"})
UNLISTED = "Slurm no longer lists it"
_HIDDEN = "and what was read of the jobs leaves rows out"
GONE = {**dict.fromkeys(ROWS, UNLISTED), "alert": "it is over", "silence": "it is over"}


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
        now = _HIDDEN if hides else GONE[one.kind] if row is None else f"now {state_text(row)}"
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
    if BY_ID[one.action].must_register and isinstance(row, Node) and now:
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

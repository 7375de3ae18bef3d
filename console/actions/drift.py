"""What changed about a target between preview and confirmation, by `drift_rules` and `Action.drift`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct

from collectors.jobstate import WAITING, held
from collectors.model import Alert, Cluster, Job, Node, Partition, Reservation, Row, Silence, User
from collectors.nodestate import UNAVAILABLE

from .action import Action, signed_reason
from .drift_rules import Drift
from .verification import GONE, UNLISTED, state_text

#: Fields of a reservation that only a person changes; its state changes by itself when it begins.
_EDITABLE = ("starts", "ends", "nodes", "users", "accounts", "flags", "partition")


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
        yield "gone", GONE["alert"] if isinstance(before, Alert | Silence) else f"gone: {UNLISTED}"
        return
    if refused := action.refuse(cluster, now):
        yield "no_effect", refused
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

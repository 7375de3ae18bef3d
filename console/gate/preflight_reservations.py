"""What is looked at before a reservation is deleted: the jobs that asked for it. Pure.

Seen on 24.11.5 and 26.05.5: Slurm refuses ("Requested reservation is in use") while any job asks for it, a waiting one
too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from collectors.model import Job, Reservation
from console.actions.plan import Check

from .preflight_context import PreflightContext

_NAMED = 5


def _unreserve(row: Reservation, known: PreflightContext, found: list[Check]) -> None:
    bound = known.extra.bound.get(row.name)
    if bound is None:
        found.append(Check(row.name, "unknown", "which jobs asked for it was not read", "bound-not-read"))
        return
    if not bound:
        found.append(Check(row.name, "ok", "no job asks for it", "not-bound"))
        return
    waits = [job for job in bound if job.state == "PENDING"]
    runs = [job for job in bound if job.state != "PENDING"]
    told = [
        f"{len(jobs):,} job{'s' if len(jobs) > 1 else ''} {verb}{'' if len(jobs) > 1 else 's'} ({_named(jobs)})"
        for jobs, verb in ((runs, "run"), (waits, "wait")) if jobs
    ]  # fmt: skip
    found.append(
        Check(
            row.name,
            "refused",
            f"Slurm refuses while a job asks for it: {', '.join(told)}; they must end first",
            "bound",
            (*(job.id for job in bound),),
        )
    )


def _named(jobs: Sequence[Job]) -> str:
    more = f" and {len(jobs) - _NAMED:,} more" if len(jobs) > _NAMED else ""
    return ", ".join(f"{job.id} {job.user}" for job in jobs[:_NAMED]) + more


LOOKS: Mapping[str, Callable[..., None]] = {"unreserve": _unreserve}

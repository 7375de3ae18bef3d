"""Slurm's job states: which are final, pending or held, and the word that people use."""

from __future__ import annotations

from .model import Job

ENDED = frozenset({"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE",
                   "OUT_OF_MEMORY", "LAUNCH_FAILED", "REVOKED"})  # fmt: skip
#: A job is held if Slurm gives one of these as the reason for its wait.
HELD_REASONS = frozenset({"JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "job requeued in held state",
                          "launch failed requeued held"})  # fmt: skip
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})


def held(job: Job) -> bool:
    """True for a job that will not start until it is released. A running one can be held for its next requeue."""
    return job.state in {"REQUEUE_HOLD", "SPECIAL_EXIT"} or job.reason in HELD_REASONS or job.priority == 0


def job_word(job: Job) -> str:
    """A job's state in the usual word: lower case, and "held" if it waits for a release."""
    return "held" if held(job) else job.state.lower().replace("_", " ")

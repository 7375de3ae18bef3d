"""Actions on jobs: rows of the table in `console.actions.registry`."""

from __future__ import annotations

import re

from collectors.jobstate import WAITING, held
from collectors.model import Cluster, Job
from collectors.nodeset import expand, fold_for_slurm
from collectors.slurm import operations
from collectors.slurm.operations import MESSAGE, NAMES, NICE_MOST, SIGNALS, TIME_LIMIT_FORM, UNLIMITED
from console.preflight import job_checks
from console.runtime.slurm_times import clock_seconds, seconds_in

from . import het_jobs, proofs, user_messages
from .action import Action, Value, clean_reason, ended_reason
from .drift_rules import EASES_HOLD, ENDS_JOB, LIMITS, WAITS
from .het_jobs import component_refusal

_HOURS_MINUTES = re.compile(r"([0-9]{1,4}):([0-9]{2})")
_MOST_S = 365 * 86_400
EMPTY_WORDS = frozenset({"", "none", "-"})


def _requeue(_: Cluster, job: Job) -> str | None:
    return component_refusal(job) or ("already pending" if job.state in WAITING else ended_reason(job))


def _hold(_: Cluster, job: Job) -> str | None:
    # A hold by the owner is replaced: the owner could release it.
    return _unheld(job) or (f"already held: {job.reason}" if held(job) and job.reason != "JobHeldUser" else None)


def _uhold(_: Cluster, job: Job) -> str | None:
    return _unheld(job) or (f"already held: {job.reason}" if held(job) and job.reason != "JobHeldAdmin" else None)


def _unheld(job: Job) -> str | None:
    if job.state in WAITING:
        return None
    # Slurm accepts it for a running job, but it takes effect only if the job is requeued later.
    return ended_reason(job) or f"only a waiting job can be held: {job.state}"


def _release(_: Cluster, job: Job) -> str | None:
    return ended_reason(job) or (None if held(job) else f"not held: {job.state}")


def _priority(_: Cluster, job: Job) -> str | None:
    if job.state in WAITING:
        return "it is held: Slurm changes its priority only once it is released" if held(job) else None
    return ended_reason(job) or f"only a waiting job has a priority to change: {job.state}"


def _cancel(_: Cluster, job: Job) -> str | None:
    return ended_reason(job)


def _waits(_: Cluster, job: Job) -> str | None:
    return None if job.state in WAITING else ended_reason(job) or f"only a waiting job takes that: {job.state}"


def _lives(_: Cluster, job: Job) -> str | None:
    return ended_reason(job)


def _suspend(_: Cluster, job: Job) -> str | None:
    if job.state == "RUNNING":
        return component_refusal(job)
    return ended_reason(job) or ("already suspended" if job.state == "SUSPENDED" else f"it does not run: {job.state}")


def _unsuspend(_: Cluster, job: Job) -> str | None:
    return component_refusal(job) if job.state == "SUSPENDED" else ended_reason(job) or f"not suspended: {job.state}"


def _runs(_: Cluster, job: Job) -> str | None:
    return None if job.state == "RUNNING" else ended_reason(job) or f"no process of it runs: {job.state}"


# -- what is typed ----------------------------------------------------------------------------------------------------


def limit_text(seconds: int) -> str:
    """A time limit as it is sent and shown: `4:00:00`, `2-12:00:00`. Rounded up to minutes, Slurm's unit."""
    minutes = -(-seconds // 60)
    days, rest = divmod(minutes, 1440)
    hours, minutes = divmod(rest, 60)
    return f"{days}-{hours:02d}:{minutes:02d}:00" if days else f"{hours}:{minutes:02d}:00"


def parse_limit(text: str) -> int:
    """`4h`, `2d12h`, `36:00` (hours and minutes), `2-12`, `2-12:00:00` in seconds. Raises ValueError."""
    low = text.strip().lower()
    seconds = seconds_in(low)
    if seconds is None:
        seconds = clock_seconds(low)
    if seconds is None and (match := _HOURS_MINUTES.fullmatch(low)):
        seconds = int(match[1]) * 3600 + int(match[2]) * 60
    if seconds is None:
        raise ValueError(f"{text!r} is no time limit; write it as 90m, 4h, 36:00:00, 2-12:00:00 or unlimited")
    if not 60 <= seconds <= _MOST_S:
        raise ValueError(f"{text!r}: a time limit is from a minute to a year")
    return seconds


def _priority_text(text: str) -> str:
    low, high = operations.PRIORITIES
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is no priority; it is a whole number from 1 (hold is what keeps a job back)")
    return str(int(text))


def _priority_of(job: Job) -> str | None:
    return None if job.priority is None else str(job.priority)


def _limit(text: str) -> str:
    """The limit as it is sent; with a plus, how much longer than the limit that the job has."""
    said = text.strip()
    if said.upper() in {UNLIMITED, "INFINITE"}:
        return UNLIMITED
    if said.startswith("+"):
        return f"+{limit_text(parse_limit(said[1:]))}"
    made = limit_text(parse_limit(said))
    assert TIME_LIMIT_FORM.fullmatch(made)
    return made


def _longer(job: Job, text: str, _: float) -> str:
    """The limit of this job: that, or its own made longer by that. Raises ValueError where it has none to add to."""
    if not text.startswith("+"):
        return text
    if job.time_limit_s is None:
        has = "no time limit" if job.unlimited else "a time limit that is not known"
        raise ValueError(f"{job.id} has {has}: nothing can be added to it")
    return limit_text(parse_limit(limit_text(job.time_limit_s + parse_limit(text[1:]))))


def _limit_of(job: Job) -> str | None:
    if job.unlimited:
        return UNLIMITED
    return None if job.time_limit_s is None else limit_text(job.time_limit_s)


def _partition(text: str) -> str:
    name = text.strip()
    if not NAMES.fullmatch(name) or name.upper() == "ALL":
        raise ValueError(f"{text!r} is no name of a partition")
    return name


def _qos(text: str) -> str:
    name = text.strip()
    if not NAMES.fullmatch(name):
        raise ValueError(f"{text!r} is no name of a QOS")
    return name


def _nice(text: str) -> str:
    digits = text.strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", digits) or abs(int(digits)) > NICE_MOST:
        raise ValueError(f"{text!r} is no nice value; it is a whole number: 100 is later, -100 is sooner, 0 as before")
    return str(int(digits))


def _nodes(text: str) -> str:
    low = text.strip()
    if low.lower() in EMPTY_WORDS:
        return ""
    names = expand(low)
    if not names or any(name.upper() == "ALL" for name in names):
        raise ValueError(f"{text!r} names no nodes; gpu[001-004] does, none takes the list away")
    return fold_for_slurm(names)


def _excluded(job: Job) -> str | None:
    if not job.excluded:
        return job.excluded
    try:
        return fold_for_slurm(expand(job.excluded))
    except ValueError:
        return job.excluded


def _signal(text: str) -> str:
    low = text.strip().upper()
    batch, name = ("B:", low[2:]) if low.startswith("B:") else ("", low)
    name = name.removeprefix("SIG")
    if name not in SIGNALS:
        raise ValueError(f"{text!r} is no signal; there are {', '.join(SIGNALS)}, and B:{SIGNALS[0]} for the script")
    return f"{batch}{name}"


def _message(text: str) -> str:
    said = clean_reason(text)
    if not MESSAGE.fullmatch(said):
        raise ValueError("a message is a line that does not begin with a dash")
    return said


#: Sources that judge a limit on where or how long a job runs.
_LIMITING = ("slurm.partitions", "slurm.reservations")

ROWS: tuple[Action, ...] = (
    Action(
        id="requeue", operation=operations.REQUEUE,
        synonyms=("restart", "rerun", "scontrol requeue"),
        key="Q", kind="job", label="requeue", doing="requeuing…", done="requeued", refuse=_requeue,
        danger="kills", drift=ENDS_JOB, help="kill the running work and put the job back in the queue",
        check=job_checks.requeue, preflight_read="job details", proof=proofs.requeued,
        left_alone="a job that waits, that is ending or has ended; one without a batch script, or with `Requeue=0`",
        irreversible="requeue cannot be undone: the work is gone, the job waits again; :hold holds it, :cancel "
        "cancels it",
    ),
    Action(
        id="requeuehold", operation=operations.REQUEUE_HOLD,
        synonyms=("scontrol requeuehold",),
        key="W", kind="job", label="requeue and hold", doing="requeuing…", done="requeued and held",
        refuse=_requeue, danger="kills", drift=ENDS_JOB, help="requeue, and wait for a release before it runs again",
        check=job_checks.requeue, preflight_read="job details", proof=proofs.requeued_and_held,
        left_alone="as requeue",
        irreversible="requeue and hold cannot be undone: the work is gone; :release lets the job start, :cancel "
        "ends it",
    ),
    Action(
        id="hold", operation=operations.HOLD,
        synonyms=("scontrol hold",),
        key="H", kind="job", label="hold", doing="holding…", done="held", refuse=_hold,
        inverse="release", drift=WAITS, help="keep a waiting job from starting; its owner cannot lift it",
        check=job_checks.hold, proof=proofs.holds, done_is_state=True, target_state="JobHeldAdmin",
        left_alone="a job that runs (legal, but it would change nothing before a requeue), one that an "
        "administrator holds",
    ),
    Action(
        id="uhold", operation=operations.USER_HOLD,
        synonyms=("scontrol uhold",),
        key="U", kind="job", label="user hold", doing="holding…", done="held for its owner", refuse=_uhold,
        inverse="release", drift={**WAITS, **EASES_HOLD}, help="the polite hold: the owner can lift it",
        proof=proofs.holds, target_state="JobHeldUser",
        left_alone="a job that runs, one that its owner holds",
    ),
    Action(
        id="release", operation=operations.RELEASE,
        synonyms=("unhold", "scontrol release"),
        key="R", kind="job", label="release", doing="releasing…", done="released", refuse=_release,
        inverse="hold", drift=EASES_HOLD, help="let a held job start",
        check=job_checks.release, proof=proofs.released, admin_only=lambda job: job.reason == "JobHeldAdmin",
        left_alone="a job that is not held",
    ),
    Action(
        id="priority", operation=operations.PRIORITY,
        synonyms=("boost", "bump", "scontrol top"),
        key="P", kind="job", label="priority", doing="changing…", done="changed", refuse=_priority,
        inverse="priority", drift={**WAITS, "value": "goes"},  # Slurm raises it with age
        help="give a waiting job another priority; from then on it is fixed",
        value=Value(noun="priority", form="NUMBER", example="a whole number", parse=_priority_text,
                    current=_priority_of,
                    undo_note="it had a priority that Slurm computed; the one put back is fixed"),
        left_alone="a job that runs, and one that is held: Slurm changes its priority only once it is released",
        sample="50000",
    ),
    Action(
        id="cancel", operation=operations.CANCEL,
        synonyms=("kill", "scancel", "stop", "terminate", "abort", "delete job"),
        key="K", kind="job", label="cancel", doing="cancelling…", done="cancelled", refuse=_cancel,
        danger="kills", drift=ENDS_JOB, help="end the job; running work is lost",
        proof=proofs.cancelled, done_is_state=True, adjust=het_jobs.drop_partial_cancels,
        left_alone="a job that is ending or has ended",
        irreversible="cancel cannot be undone: the work is gone; only its owner can submit it again",
    ),
    Action(
        id="timelimit", operation=operations.TIME_LIMIT,
        synonyms=("walltime", "time limit", "extend job"),
        key="", kind="job", label="time limit", doing="changing…", done="changed", refuse=_lives,
        drift=LIMITS, inverse="timelimit", help="give a job another time limit; less than it has run is refused",
        value=Value(
            noun="time limit", form="4h | +2h | UNLIMITED", example="4h, 90m, 2-12:00:00, +2h or unlimited",
            parse=_limit, complete=_longer, current=_limit_of,
        ),
        check=job_checks.time_limit, sources=_LIMITING,
        left_alone="a job that is ending or has ended; a limit below what a job that runs has run, or within ten "
        "minutes of it: that would kill it, and cancel asks for a count",
        sample="4:00:00",
    ),
    Action(
        id="jobpartition", operation=operations.JOB_PARTITION,
        synonyms=("move job",),
        key="", kind="job", label="partition of a job", doing="moving…", done="moved",
        refuse=_waits, drift=WAITS, inverse="jobpartition", help="send a waiting job to another partition",
        value=Value(noun="partition", form="NAME", example="the name of one", parse=_partition,
                    current=lambda job: job.partition),
        check=job_checks.job_partition, sources=_LIMITING,
        left_alone="a job that does not wait; a partition that there is not",
        sample="long",
    ),
    Action(
        id="qos", operation=operations.JOB_QOS,
        synonyms=("quality of service",),
        key="", kind="job", label="QOS", doing="changing…", done="changed", refuse=_waits,
        drift=WAITS, inverse="qos", help="give a waiting job another quality of service; its limits hold from then on",
        value=Value(noun="QOS", form="NAME", example="the name of one", parse=_qos, current=lambda job: job.qos),
        left_alone="a job that does not wait",
        sample="high",
    ),
    Action(
        id="nice", operation=operations.NICE,
        synonyms=("renice",),
        key="", kind="job", label="nice", doing="changing…", done="changed", refuse=_waits,
        drift=WAITS, inverse="nice", help="let a waiting job go later (100) or sooner (-100) than its priority says",
        value=Value(
            noun="nice value", form="100 | -100", example="a whole number: 100 is later, -100 is sooner",
            parse=_nice, on_demand=True,
            current=lambda job: None if job.nice is None else str(job.nice),
        ),
        left_alone="a job that does not wait",
        sample="100",
    ),
    Action(
        id="exclude", operation=operations.EXCLUDE_NODES,
        synonyms=("avoid nodes",),
        key="", kind="job", label="excluded nodes", doing="changing…", done="changed", refuse=_waits,
        drift=WAITS, inverse="exclude", help="keep a waiting job off some nodes; none takes the list away",
        value=Value(
            noun="list of nodes", form="NODES | none", example="gpu[001-004], or none", parse=_nodes,
            current=_excluded, on_demand=True,
        ),
        check=job_checks.exclude, sources=_LIMITING,
        samples=(("with `none`", {"values": {"4711": "", "4712": ""}}),),
        left_alone="a job that does not wait; nodes that there are not",
        sample="gpu[0001-0004]",
    ),
    Action(
        id="suspend", operation=operations.SUSPEND,
        synonyms=("pause", "freeze", "scontrol suspend"),
        key="", kind="job", label="suspend", doing="suspending…", done="suspended", refuse=_suspend,
        count_confirmed=True, inverse="unsuspend",
        help="stop a job's processes and free its CPUs; what it holds in GPU memory stays there",
        check=job_checks.suspend, proof=proofs.suspended, done_is_state=True, toggles=True,
        left_alone="a job that does not run",
    ),
    Action(
        id="unsuspend", operation=operations.UNSUSPEND,
        synonyms=("continue", "thaw", "scontrol resume"),
        key="", kind="job", label="unsuspend", doing="waking…", done="runs again", refuse=_unsuspend,
        count_confirmed=True, inverse="suspend", help="let a suspended job go on",
        check=job_checks.unsuspend, proof=proofs.unsuspended, done_is_state=True, toggles=True,
        left_alone="a job that is not suspended",
    ),
    Action(
        id="signal", operation=operations.SIGNAL,
        synonyms=("scancel --signal", "sigterm"),
        key="", kind="job", label="signal", doing="signalling…", done="signalled", refuse=_runs,
        danger="kills", unobservable=True,
        help="send a signal to a job's steps, with B: to its script; one that does not handle it dies of it",
        value=Value(noun="signal", form="USR1 | TERM | B:USR1", example="USR1, TERM, B:USR1", parse=_signal,
                    current=lambda _: None),
        check=job_checks.signal,
        samples=(("to the batch script", {"values": {"4711": "B:USR1", "4712": "B:USR1"}}),),
        left_alone="a job that does not run",
        irreversible="signal cannot be undone: whoever got it has it",
        sample="USR1",
    ),
    Action(
        id="notify", operation=operations.NOTIFY,
        synonyms=("message", "tell user", "scontrol notify"),
        key="", kind="job", label="notify", doing="sending…", done="sent", refuse=_runs, plain_confirmed=True,
        unobservable=True,
        help="a message to the users of these jobs: one a user, into the output of one of their jobs",
        value=Value(
            noun="message", form="TEXT", example=f"a line; {user_messages.JOBS_FIELD} becomes the jobs of the user",
            parse=_message, current=lambda _: None, draft=user_messages.draft, addressed=True,
        ),
        adjust=user_messages.one_per_user,
        left_alone="a job that does not run; all but one of the jobs of each user, who gets it through that one",
        irreversible="notify cannot be undone: it was read, or will be",
        sample="gpu0412 goes down for repair; your jobs 4711, 4712 are on it",
    ),
)  # fmt: skip

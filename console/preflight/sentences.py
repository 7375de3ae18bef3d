"""The sentence of every pre-flight check: one row for each code. The only place where checks are worded.

A template is filled with the details of the check by position and its params by name; where the wording depends on
these values, a function takes them the same way. Checks carry numbers and times; they are formatted here. The texts of
`console.plant` and `console.health` that other screens show too (a port, a cooling loop, a version) are taken as they
are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from collectors.nodeset import fold
from console.health.hidden_jobs import hidden_jobs_text
from console.health.inconsistencies import SAMPLE_S
from console.plant.fabric import port_text
from widgets.units import duration, memory, plural, when

#: What the pre-flight can find, as stable codes: decisions read these, never the sentences that people read.
Code = Literal[
    "admin-hold", "bound", "bound-not-read", "checkup-old", "clique", "completing", "cooling", "cooling-ok",
    "cooling-old", "cooling-silent", "cpus-busy", "deaths", "deaths-hidden", "deaths-unknown", "diag",
    "diag-before-boot", "drain-goes", "drain-kills", "drain-lost", "ecc-uncorrected", "fabric", "fabric-gpus",
    "fabric-ok", "fabric-old", "fabric-unknown", "features-until-restart", "gpu-busy", "gpu-lost", "gpu-memory",
    "gpu-process", "gpu-recovery", "gpus-busy", "gpus-extra", "gpus-fit", "gpus-missing", "gpus-no-telemetry",
    "gpus-node-old", "gpus-partly-unknown", "gpus-silent", "gpus-telemetry-old", "health", "held-by-admin",
    "held-by-exit-code", "held-by-owner", "held-launch-failed", "held-max-requeue", "imex", "limit-kills",
    "limit-over-partition", "limit-shortened", "limit-unbounded", "memory-stays", "nhc", "nhc-ok", "nhc-old",
    "no-batch-script", "no-job", "no-partition", "nodes-old", "nodes-reserved", "nodes-unknown", "not-bound",
    "not-read", "not-requeueable", "not-responding", "out-for-days", "owner-hold-replaced", "partition-limit",
    "partition-not-up", "partition-small", "partitions-not-read", "port", "ports-old", "power-after-jobs",
    "powered-off", "powering-up", "reason", "reason-kept", "reboot-cancelled", "rebooting", "registers-first",
    "remap-failed", "remap-pending", "requeue-not-read", "requeue-unknown", "requeueable", "requeued-held",
    "reservations-not-read", "reserved", "restarts", "restarts-unknown", "runs-into-reservation", "signal-kills",
    "signal-may-kill", "signal-sent", "signal-stops", "slices-missing", "slurmd-silent", "start-unknown",
    "starts-after-reservation", "stays-down", "steps-time-out", "store-hung", "store-missing", "stores-old",
    "too-few-nodes", "version", "xid",
]  # fmt: skip
#: Jobs that are named of those that bind a reservation.
_JOBS_NAMED = 5
#: Unknown nodes that are named.
_NODES_NAMED = 3

# -- parts of sentences ------------------------------------------------------------------------------------------------


class GpuFact(StrEnum):
    """One fact about the GPUs of a node: those that pass share a line, those that are not known share another."""

    COUNT = "GPUs {} of {}"
    NO_XID = "no XID{}"
    NO_XID_TO_ACT_ON = "no XID to act on{} (only {})"
    NO_RECOVERY = "the driver asks for nothing"
    NO_REMAP_FAILED = "no remap failed"
    NO_REMAP_PENDING = "no remap pending"
    NO_ECC_ERROR = "no uncorrected ECC error"
    NONE_BUSY = "none busy"
    NONE_BUSY_BESIDE_JOBS = "none busy beside the jobs"

    OLD_SAMPLES = f"{{}} of its GPUs (no sample of the last {duration(SAMPLE_S)})"
    GPUS_EXPECTED = "how many GPUs it should have"
    GPUS_SEEN = "how many GPUs answer"
    XIDS = "XIDs"
    REMAPS_FAILED = "failed remaps"
    REMAPS_PENDING = "pending remaps"
    ECC_ERRORS = "ECC errors"
    ECC_AND_REMAPS = "ECC and remaps (its GPUs were not read one by one)"
    USE = "what runs on the GPUs"
    USE_JOBS_UNKNOWN = "what runs on the GPUs (the jobs are not known)"
    USE_JOB_ENDED = "what runs on the GPUs (a job has only just ended)"
    USE_BESIDE_JOBS = "what else runs on its GPUs beside the jobs"


class Since(StrEnum):
    """From when on XIDs count."""

    EVER = ""
    BOOT = " since boot"
    RETURN = " since it was put back"


class SlurmReason(StrEnum):
    """What a reason means that Slurm itself set."""

    KILL_FAILED = "a process of a job would not die: see that none is left, and what it hung on"
    PROLOG = "the site's prolog or epilog failed: its log says why"
    BATCH_COMPLETE = "slurmd could not report the end of a job"
    LOW_MEMORY = "it registered with less memory than slurm.conf says: is a DIMM gone?"
    LOW = "it registered with less than slurm.conf says"
    FEWER_GPUS = "it registered with fewer GPUs than slurm.conf says"
    REBOOTED = "it rebooted by itself: its console and hardware log say why"
    DUPLICATE_JOB = "two jobs had one id there: look for what is left of the old one"
    NOT_BACK = "it did not come back in time"
    SILENT = "slurmd did not answer"


class Drain(Struct, frozen=True, kw_only=True):
    """Who took a node out, when and why: `drained by jdv (human) 1h 52m ago: "XID 79"`."""

    state: str
    by: str | None
    reason: str | None
    author: str
    """human, robot, unknown."""
    age: float | None
    """Seconds; None where the time is not known."""

    def __str__(self) -> str:
        by = f" by {self.by}" if self.by else ""
        author = f" ({self.author})" if by and self.author != "unknown" else ""
        ago = f" {duration(self.age)} ago" if self.age is not None else ""
        reason = f': "{self.reason}"' if self.reason else ", without a reason"
        return f"{self.state}{by}{author}{ago}{reason}"


def _gpus(indices: Iterable[int]) -> str:
    """`GPU 0-3,7`."""
    folded = fold(f"g{index}" for index in sorted(set(indices))).removeprefix("g").strip("[]")
    return f"GPU {folded}"


def _facts(facts: Sequence[tuple[GpuFact, Sequence[object]]]) -> str:
    return ", ".join(fact.format(*values) for fact, values in facts)


def _at(time: float | None, now: float) -> str:
    return "" if time is None else f" at {when(time, None, now)}"


def _more(count: int, named: int) -> str:
    return f" and {count - named:,} more" if count > named else ""


def _receivers(batch: bool) -> str:
    """The processes that get a signal."""
    return "its batch script" if batch else "the processes of its steps, not its batch script"


def _reservation(name: str, maintenance: bool) -> str:
    return f"{'the maintenance' if maintenance else 'reservation'} {name}"


# -- sentences that depend on their values -----------------------------------------------------------------------------


def _reserved(name: str, *, ends: float | None, users: str | None, now: float) -> str:
    until = f" until {when(ends, None, now)}" if ends is not None else ""
    return f"in reservation {name}{until}{f' for {users}' if users else ''}"


def _deaths(count: int) -> str:
    die = "dies at once, on all its nodes" if count == 1 else "die at once, on all their nodes"
    return f"{plural(count, 'job')} {die}"


def _silent(*, age: float | None) -> str:
    last = "" if age is None else f", the last sample is {duration(age)} old"
    return f"GPUs unknown: its exporter is silent{last}"


def _xid(code: int, *gpus: int, since: Since, last: float | None, now: float, step: str) -> str:
    on = f" on {_gpus(gpus)}" if gpus else ""
    at = "when is not known" if last is None else when(last, None, now)
    return f"XID {code}{on}{since} ({at}): {step}"


def _recovery(*gpus: tuple[int, object]) -> str:
    return f"{_indices(gpus)}: the driver asks for {', '.join(dict.fromkeys(str(wish) for _, wish in gpus))}"


def _ecc(*gpus: tuple[int, int]) -> str:
    errors = sum(count for _, count in gpus)
    return f"{_indices(gpus)}: {errors:,} uncorrected ECC errors since the driver was loaded"


def _indices(gpus: Iterable[tuple[int, object]]) -> str:
    return _gpus(index for index, _ in gpus)


def _gpu_busy(*gpus: int, low: float, high: float) -> str:
    # In one line: eight lines would push other findings off the screen.
    percents = f"{low:.0f}" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f} to {high:.0f}"
    return f"{_gpus(gpus)} busy at {percents} % and no job holds {'it' if len(gpus) == 1 else 'them'}"


def _process(gpu: int, *pids: int, name: str | None, user: str | None) -> str:
    more = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
    return f"GPU {gpu}: process {pids[0]} ({name or 'unknown'}, {user or 'unknown user'}){more} belongs to no job"


def _clique(own: str, main: str, *, trays: int, domain: str) -> str:
    return f"it is in NVLink clique {own}, {trays} trays of {domain} are in {main}: no job runs over both"


def _fabric_ok(*, clique: str, others: int, domain: str | None, fabric: str | None, imex: str | None) -> str:
    beside = f" with {others} other trays of {domain}" if domain is not None else ""
    state = f", fabric {fabric}" if fabric is not None else ""
    return f"NVLink clique {clique}{beside}{state}{f', IMEX {imex}' if imex is not None else ''}"


def _limit_unbounded(*, waits: bool) -> str:
    then = "it starts on no node that one will need" if waits else "each that begins on its nodes finds it there"
    return f"no reservation and no maintenance bounds it: {then}"


def _limit_over_partition(partition: str, *, limit_s: float, waits: bool) -> str:
    then = "it would wait for ever" if waits else "it goes on, and no other job may run as long there"
    return f"longer than {partition} allows ({duration(limit_s)}): {then}"


def _limit_kills(*, has_run: float, left: float) -> str:
    then = f"in {duration(left)}" if left > 0 else "at once"
    return f"it has run {duration(has_run)}: that would kill it {then}; :cancel does"


def _limit_shortened(*, sooner: float | None, left: float) -> str:
    return f"it would be killed{'' if sooner is None else f' {duration(sooner)} sooner'}, in {duration(left)}"


def _runs_into(name: str, *, maintenance: bool, nodes: int, starts: float, now: float) -> str:
    begins = when(starts, None, now)
    return f"it would run into {_reservation(name, maintenance)} of {nodes:,} of its nodes, which begins {begins}"


def _starts_after(name: str, *, maintenance: bool, starts: float, now: float) -> str:
    begins = f"{_reservation(name, maintenance)} begins ({when(starts, None, now)})"
    return f"it could no longer start before {begins}: it would wait until that is over"


def _nodes_reserved(
    name: str, *, maintenance: bool, nodes: int, of: int, partition: str, starts: float, now: float
) -> str:
    begins = f"{_reservation(name, maintenance)} begins {when(starts, None, now)}"
    return f"{nodes:,} of {of:,} nodes of {partition} would be closed to it: {begins}"


def _nodes_unknown(*names: str) -> str:
    return f"unknown nodes: {', '.join(names[:_NODES_NAMED])}{_more(len(names), _NODES_NAMED)}"


def _bound(*_: str, run: Sequence[tuple[str, str]], wait: Sequence[tuple[str, str]]) -> str:
    parts = [
        f"{len(jobs):,} job{'s' if len(jobs) > 1 else ''} {verb}{'' if len(jobs) > 1 else 's'} ({_first_jobs(jobs)})"
        for jobs, verb in ((run, "run"), (wait, "wait")) if jobs
    ]  # fmt: skip
    return f"Slurm refuses while a job asks for it: {', '.join(parts)}; they must end first"


def _first_jobs(jobs: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{job} {user}" for job, user in jobs[:_JOBS_NAMED]) + _more(len(jobs), _JOBS_NAMED)


# -- the table ---------------------------------------------------------------------------------------------------------

#: Code to its sentence.
SENTENCES: Mapping[Code, str | Callable[..., str]] = {
    # all targets
    "not-read": "{}",
    "nodes-old": "what Slurm says of the nodes is old",
    # nodes
    "registers-first": "it must register first: it is followed until it does",
    "rebooting": "it is rebooting now",
    "reboot-cancelled": "a reboot is asked for: a resume calls it off",
    "stays-down": "it is down and stays down: only the drain is taken off",
    "not-responding": "it does not answer: no work starts before it does",
    "drain-goes": "the drain of that reboot goes with it, and its reason",
    "powered-off": "powered off: Slurm powers it up when work comes",
    "powering-up": "it is powering up",
    "completing": "a job is still ending there (COMPLETING)",
    "reason": lambda *_, drained, meaning: f"{drained}{f': {meaning}' if meaning else ''}",
    "out-for-days": "out for more than 7 days: is what it waited for done?",
    "drain-kills": lambda power: f"{power.replace('_', ' ').lower()}: a drain kills the jobs that wait for it there",
    "slurmd-silent": "slurmd does not answer, and it is slurmd that reboots: use the BMC",
    "power-after-jobs": "power goes off once its jobs have ended; no new work starts meanwhile",
    "drain-lost": "{drained}; Slurm takes the drain off with the power, and the next job boots it: drain it again once "
                  "it is off",
    "reason-kept": "{drained}; it is kept behind yours",
    "reserved": _reserved,
    "deaths": _deaths,
    "deaths-unknown": "how many jobs die is not known: the jobs were not read, or are old",
    "deaths-hidden": lambda nodes, more: f"how many {'more ' if more else ''}jobs die is {hidden_jobs_text(nodes)}",
    "no-job": "no job is there",
    "features-until-restart": "slurmctld says so until the next start of slurmd, or a reconfigure",
    # GPUs
    "gpus-node-old": "GPUs unknown: what Slurm says of the node is old",
    "gpus-no-telemetry": "GPUs unknown: no telemetry",
    "gpus-telemetry-old": "GPUs unknown: its telemetry was not read, or is old",
    "gpus-silent": _silent,
    "gpus-fit": _facts,
    "gpus-partly-unknown": lambda facts: f"not known: {_facts(facts)}",
    "gpu-lost": "GPU {} is lost: {lost}",
    "slices-missing": "{} GPUs are seen, Slurm's GPUs and slices need {} at least",
    "gpus-missing": "{} of the {} GPUs that Slurm counts are seen",
    "gpus-extra": "{} GPUs are seen, Slurm counts {}",
    "xid": _xid,
    "gpu-recovery": _recovery,
    "remap-failed": lambda *gpus: f"{_indices(gpus)}: a row could not be remapped: support",
    "remap-pending": lambda *gpus: f"{_indices(gpus)}: a remapped row waits for a reset: reset it first",
    "ecc-uncorrected": _ecc,
    "gpus-busy": lambda busy: f"{plural(busy, 'GPU')} busy, and no job holds any",
    "gpu-busy": _gpu_busy,
    "gpu-process": _process,
    "gpu-memory": lambda gpu, memory_mb: f"GPU {gpu} has {memory(memory_mb)} in use and no job holds it",
    # health checks, NVLink, cooling, ports, file systems
    "checkup-old": "its health checks were not read lately",
    "version": "{drift.text}",
    "nhc-old": lambda at, now: f"NHC has not run since {when(at, None, now)}",
    "nhc-ok": lambda at, now: f"NHC ok{_at(at, now)}",
    "nhc": lambda failed, at, now: f"NHC fails{_at(at, now)}: {failed}",
    "diag-before-boot": "dcgmi diag {} before it booted, and did not run since",
    "diag": "dcgmi diag {} since it booted",
    "health": "dcgmi health: {}",
    "fabric-old": "what is known of its NVLink fabric is old",
    "fabric-unknown": "its NVLink fabric is unknown: its exporter is silent",
    "fabric": lambda state, *wrong: f"its NVLink fabric is {state}{': ' if wrong else ''}{', '.join(wrong)}",
    "fabric-gpus": "{} of its {} GPUs are in the NVLink fabric",
    "imex": "its IMEX service is not up: {}",
    "clique": _clique,
    "fabric-ok": _fabric_ok,
    "cooling-old": "what is known of its cooling ({}) is old",
    "cooling": "its cooling is not well: {loop.name} {loop.state}, {loop.text}",
    "cooling-silent": "its cooling: of {loop.name} {loop.text}",
    "cooling-ok": "cooling ok ({})",
    "port": lambda *_, port: port_text(port),
    "ports-old": "what is known of its ports is old",
    "stores-old": "what is known of its file systems is old",
    "store-hung": "{} hangs there: jobs would hang",
    "store-missing": "{} is not mounted there",
    # time limits and partitions of jobs
    "limit-unbounded": _limit_unbounded,
    "limit-over-partition": _limit_over_partition,
    "reservations-not-read": "whether a reservation is in its way: they were not read",
    "runs-into-reservation": _runs_into,
    "starts-after-reservation": _starts_after,
    "nodes-reserved": _nodes_reserved,
    "start-unknown": "when it began is not known: less than it has run would kill it",
    "limit-kills": _limit_kills,
    "limit-shortened": _limit_shortened,
    "partitions-not-read": "whether there is such a partition: they were not read",
    "no-partition": lambda name, known: f"there is no partition {name}; there is {', '.join(known)}",
    "partition-not-up": "{} is {}: nothing starts there",
    "partition-limit": lambda name, limit_s: f"its time limit is longer than {name} allows ({duration(limit_s)})",
    "partition-small": "it asks for {wanted:,} nodes, {} has {has:,}",
    "nodes-unknown": _nodes_unknown,
    "too-few-nodes": "that leaves {left:,} nodes of {}, it asks for {wanted:,}",
    # suspend and signal
    "memory-stays": "its CPUs are free for others, what it has in memory, of the GPUs too, stays there",
    "steps-time-out": "its processes on several nodes may time out on each other meanwhile",
    "cpus-busy": "it waits until no other job runs on its CPUs",
    "signal-kills": lambda _, batch: f"it kills {'its batch script' if batch else 'the job'} at once",
    "signal-stops": lambda _, batch: f"{_receivers(batch)} stop, its time goes on; CONT lets them go on",
    "signal-sent": lambda _, batch: f"{_receivers(batch)} get it",
    "signal-may-kill": lambda name, batch: f"{_receivers(batch)} get it: one that does not handle {name} dies of it",
    # requeue, hold, release
    "requeue-not-read": "whether it can be requeued was not read",
    "no-batch-script": "no batch script: Slurm would refuse",
    "not-requeueable": "submitted as not to be requeued (Requeue=0): Slurm would refuse",
    "requeue-unknown": "Slurm does not say whether it can be requeued",
    "requeueable": "a batch job that may be requeued",
    "restarts-unknown": "how often it was requeued before is not known",
    "restarts": "it was requeued {} times before",
    "requeued-held": "it is suspended: it will be held, not queued",
    "admin-hold": "an admin hold: its owner cannot lift it; U, the user hold, is the polite one",
    "owner-hold-replaced": "held by its owner, {user}, already: yours takes that over",
    "held-by-owner": "held by its owner, {user}",
    "held-max-requeue": "Slurm held it: it was requeued as often as is allowed",
    "held-launch-failed": "Slurm held it: its launch failed, on that node it would again",
    "held-by-admin": "held by an admin",
    "held-by-exit-code": "held by its own exit code (SPECIAL_EXIT)",
    # reservations
    "bound-not-read": "which jobs asked for it was not read",
    "not-bound": "no job asks for it",
    "bound": _bound,
}  # fmt: skip


def sentence(code: Code, details: Sequence[object], params: Mapping[str, object]) -> str:
    """The sentence of a check with these values."""
    row = SENTENCES[code]
    return row.format(*details, **params) if isinstance(row, str) else row(*details, **params)

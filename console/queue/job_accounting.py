"""Job accounting as text: why a job ended, and how well it used its CPUs, memory and GPUs. Pure."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from collectors.model import JobAccount, NodeEvent, PastJob, Series, Step
from widgets.units import UNKNOWN, clock_span, duration, memory, percent, plural, when

#: States of a job that has not ended.
UNFINISHED_STATES = frozenset({
    "PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "STOPPED", "STAGE_OUT", "SIGNALING",
    "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT",
})  # fmt: skip
#: States that need no explanation.
SUCCESS_STATES = frozenset({"COMPLETED"})
#: slurmctld ends the jobs of a failed node some time after the failure: SlurmdTimeout, five minutes by default.
_FAILED_WITHIN_S = 600
_SHELL_CODES = {126: "what it called cannot be run", 127: "what it called was not found"}
_STATE_TEXT = {
    "BOOT_FAIL": "its nodes did not boot",
    "DEADLINE": "it could not be done by its deadline",
    "PREEMPTED": "a job with more right to its nodes took them",
    "REQUEUED": "it was stopped and put back into the queue",
    "REVOKED": "another cluster of the federation took it over",
    "LAUNCH_FAILED": "its nodes could not start it",
    "RECONFIG_FAIL": "the change of its node's mode failed",
}
#: With fewer samples than this, a job's mean is unknown.
_MIN_SAMPLES = 3


def end_reason(account: JobAccount, now: float) -> str:
    """Why it ended, in one plain sentence."""
    run = account.run
    match run.state:
        case "COMPLETED":
            if run.derived_code or run.derived_signal:
                return f"it completed, though a step of it {_ended_with(run.derived_code, run.derived_signal)}"
            return "it completed"
        case "FAILED":
            return _failed(account)
        case "TIMEOUT":
            limit = "" if run.time_limit_s is None else f" of {clock_span(run.time_limit_s)}"
            return f"it reached its time limit{limit}"
        case "CANCELLED":
            by = f" by {run.cancelled_by}" if run.cancelled_by else "; by an unknown user"
            when_said = " before it started" if run.started is None else ""
            return f"it was cancelled{when_said}{by}"
        case "NODE_FAIL":
            return _node_failed(account, now)
        case "OUT_OF_MEMORY":
            return f"out of memory{_out_of_memory_place(account)}"
    if run.state in UNFINISHED_STATES:
        return "it waits" if run.started is None else "the accounting has it running"
    return _STATE_TEXT.get(run.state, f"it ended as {run.state}")


def _failed(account: JobAccount) -> str:
    """The cause of the failure: the step that ended as the job did, else the job's script."""
    run = account.run
    for step in account.steps:
        own = step.id not in ("batch", "extern")
        if own and (step.exit_code or step.signal) and _explains_job_end(step, run):
            where = f" on {step.nodes}" if step.nodes and "[" not in step.nodes and "," not in step.nodes else ""
            return f"step {step.id} ({step.name}){where} {_ended_with(step.exit_code, step.signal)}"
    if not run.exit_code and not run.signal:
        return "it failed before its script ran" if not account.steps else "it failed, with exit code 0"
    what = "its script" if any(step.id == "batch" for step in account.steps) else "it"
    return f"{what} {_ended_with(run.exit_code, run.signal)}"


def _explains_job_end(step: Step, run: PastJob) -> bool:
    """Whether the end of a step explains that of the job: a script may exit with the step's exit code, or with its
    signal.
    """
    wanted = (run.exit_code or 0, run.signal or 0)
    return wanted in ((step.exit_code or 0, step.signal or 0), (128 + (step.signal or 0), 0))


def _ended_with(code: int | None, number: int | None) -> str:
    """`ended with exit code 3`, `was ended by signal 9 (SIGKILL)`."""
    if number:
        return f"was ended by {signal_text(number)}"
    if code is None:
        return "ended with an unknown exit code"
    more = _SHELL_CODES.get(code, "")
    if 128 < code < 128 + 65:
        more = f"as a shell reports {signal_text(code - 128)}"
    return f"ended with exit code {code}" + (f": {more}" if more else "")


def signal_text(number: int) -> str:
    """`signal 9 (SIGKILL)`; 125 is Slurm's own code for a job that ran out of memory."""
    if number == 125:
        return "the out-of-memory killer (signal 125)"
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _node_failed(account: JobAccount, now: float) -> str:
    run = account.run
    event = _node_failure(account)
    node = run.failed_node or (event.node if event is not None else None)
    at = event.began if event is not None else run.ended
    said = f"killed by the failure of {node or 'one of its nodes'}"
    said += f" at {when(at, None, now)}" if at is not None else ""
    if event is None or event.node != node:
        return said
    reason = f': "{event.reason}"' if event.reason else ""
    by = f" by {event.by}" if event.by else ""
    return f"{said} (set {event.state}{by}{reason})" if reason or by else said


def _node_failure(account: JobAccount) -> NodeEvent | None:
    """The failure that best fits the end of the last run: of the node that Slurm names, else of any of its nodes."""
    run = account.run
    if run.ended is None:
        return None
    ended = run.ended
    fit = [
        event
        for event in account.events or ()
        if "DOWN" in event.state
        and (run.failed_node is None or event.node == run.failed_node)
        and ended - _FAILED_WITHIN_S <= event.began <= ended + 120
    ]
    return min(fit, key=lambda event: abs(event.began - ended), default=None)


def _out_of_memory_place(account: JobAccount) -> str:
    """The step and node where the memory ran out, as far as accounting reports them."""
    step = next((one for one in account.steps if one.state == "OUT_OF_MEMORY" and one.id != "extern"), None)
    if step is None:
        return ""
    nodes = step.nodes or ""
    alone = nodes and "[" not in nodes and "," not in nodes
    where = f" on {nodes}" if alone else f" on {step.memory_node}" if step.memory_node else f" on one of {nodes}"
    return f" in {'its script' if step.id == 'batch' else f'step {step.id}'}{where if nodes else ''}"


def code_text(code: int | None, number: int | None) -> str:
    """`3:0` as sacct writes it; a dash where it is unknown."""
    return UNKNOWN if code is None else f"{code}:{number or 0}"


# -- use of what it held -----------------------------------------------------------------------------------------------


def cpu_text(account: JobAccount) -> str:
    """`62 % of 112 CPUs  (processors worked 1h 02m of 1h 40m)`."""
    run = account.run
    ran = run.ran_s
    if account.cpu_s is None or not run.cpus or not ran:
        return f"{UNKNOWN}  not counted by Slurm (JobAcctGatherType)" if ran else UNKNOWN
    given = ran * run.cpus
    worked = f"{duration(account.cpu_s)} of {duration(given)}"
    return f"{percent(100 * account.cpu_s / given)} of {run.cpus:,} CPUs  ({worked})"


def memory_text(account: JobAccount) -> str:
    """`410 GB of 1.9 TB  (21 %)`: the most that a step held on all its nodes together."""
    given = account.memory_alloc_mb
    if account.memory_mb is None:
        return f"{UNKNOWN} of {memory(given)}  not counted by Slurm (JobAcctGatherType)"
    if not given:
        return memory(account.memory_mb)
    return f"{memory(account.memory_mb)} of {memory(given)}  ({percent(100 * account.memory_mb / given)})"


def gpu_text(account: JobAccount, telemetry: str | None) -> str:
    """`87 % of 8 GPUs  (counted by Slurm)`; else the mean from telemetry."""
    run = account.run
    if not run.gpus:
        return "it had none" if run.gpus == 0 else UNKNOWN
    if account.gpu_util_pct is not None:
        return f"{percent(account.gpu_util_pct)} of {plural(run.gpus, 'GPU')}  (counted by Slurm)"
    return telemetry or f"{UNKNOWN}  neither Slurm nor telemetry has counted them"


def gpu_mean(series: Sequence[Series], run: PastJob) -> float | None:
    """Mean use of the GPUs of a node in % while a job ran there, from the chart of the node; None where too little is
    known."""
    if run.started is None or run.ended is None:
        return None
    for one in series:
        if one.unit == "%" and one.name.startswith("util"):
            seen = [value for at, value in one.points if run.started <= at <= run.ended and value is not None]
            return sum(seen) / len(seen) if len(seen) >= _MIN_SAMPLES else None
    return None

"""Reads partitions, reservations, the controller's own figures, and one job in full."""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from collectors.clean import clean, decode
from collectors.decoding import from_json
from collectors.model import Diag, JobDetail, Partition, Reservation, SourceFault
from collectors.nodeset import expand
from collectors.shared_readings import CommandRunner
from collectors.slurm.fields import duration_s, epoch, gres_gpus, integer, tres_gpus

from . import job_text
from .nodes import split
from .read_command import ask, lines, value_or_none

#: The data parser that 24.11, 25.11 and 26.05 have in common.
PARSER = "v0.0.42"


def partitions(deadline_s: float, run: CommandRunner | None = None) -> Mapping[str, Partition]:
    """All partitions by name. Raises SourceFault; "empty" without any, since every Slurm has one."""
    found: dict[str, Partition] = {}
    out = ask(["scontrol", "-a", "show", "partition", "-o"], deadline_s, run=run)
    for line in lines(out, "scontrol show partition"):
        if not line.startswith("PartitionName="):
            continue
        fields, _ = split(line)
        denied = value_or_none(fields.get("DenyAccounts", ""))
        made = Partition(
            name=clean(fields["PartitionName"]),
            state=clean(fields.get("State", "UNKNOWN")),
            default=fields.get("Default") == "YES",
            nodes=value_or_none(fields.get("Nodes", "")),
            node_count=integer(fields.get("TotalNodes", "")),
            cpus=integer(fields.get("TotalCPUs", "")),
            gpus=tres_gpus(fields.get("TRES", "")),
            time_limit_s=duration_s(fields.get("MaxTime", "")),
            priority_tier=integer(fields.get("PriorityTier", "")),
            qos=value_or_none(fields.get("QoS", "")),
            # scontrol prints either one; for a partition that denies accounts only DenyAccounts.
            allow_accounts="ALL" if denied else value_or_none(fields.get("AllowAccounts", "")),
            deny_accounts=denied,
        )
        found.setdefault(made.name, made)
    if not found:
        raise SourceFault("empty", "scontrol show partition lists none", "run it by hand to see")
    return found


def reservations(deadline_s: float, run: CommandRunner | None = None) -> Mapping[str, Reservation]:
    """All reservations by name; Slurm says in words if there are none.

    A comment may hold a line break followed by what looks like a reservation. So if there are comments, a name counts
    only if `sinfo -T`, which prints no comments, has it too, and a duplicated name is read on its own.
    """
    out = ask(["scontrol", "-a", "show", "reservation", "-o"], deadline_s, run=run)
    found: dict[str, list[str]] = {}
    at: list[str] = []
    for line in lines(out, "scontrol show reservation"):
        match = _RESERVATION.match(line)
        if match:
            at = found.setdefault(match[1], [])
            at.append(line)
        elif at:
            at[-1] += f"\n{line}"
    if not found and b"No reservations in the system" not in out:
        raise SourceFault("empty", "scontrol show reservation printed nothing", "run it by hand to see")
    if b" Comment=" in out:
        listing = lines(ask(["sinfo", "-a", "-T", "-h"], deadline_s, run=run), "sinfo -T")
        named = {line.split(maxsplit=1)[0] for line in listing if line.strip()}
        found = {name: texts if len(texts) == 1 else _alone(name, deadline_s) for name, texts in found.items()
                 if name in named}  # fmt: skip
    return {clean(name): _reservation(clean(name), texts[0]) for name, texts in found.items() if texts}


_RESERVATION = re.compile(r"ReservationName=(\S+)(?: |$)")


def _alone(name: str, deadline_s: float) -> list[str]:
    """The text of one reservation, read by its name; empty if it is gone."""
    argv = ["scontrol", "-a", "show", "reservation", name, "-o"]
    text = "\n".join(lines(ask(argv, deadline_s, despite=f"Reservation {name} not found"), " ".join(argv[:4])))
    return [text] if text.startswith(f"ReservationName={name} ") else []


def _reservation(name: str, line: str) -> Reservation:
    fields, free = split(line)
    return Reservation(
        name=name,
        state=clean(fields.get("State", "UNKNOWN")),
        starts=epoch(fields.get("StartTime", "")),
        ends=epoch(fields.get("EndTime", "")),
        nodes=value_or_none(fields.get("Nodes", "")),
        node_count=integer(fields.get("NodeCnt", "")),
        partition=value_or_none(fields.get("PartitionName", "")),
        flags=tuple(clean(flag) for flag in fields.get("Flags", "").split(",") if flag),
        users=value_or_none(fields.get("Users", "")),
        accounts=value_or_none(fields.get("Accounts", "")),
        comment=value_or_none(free.get("Comment", "")),
        groups=value_or_none(fields.get("Groups", "")),
        licenses=value_or_none(fields.get("Licenses", "")),
        features=value_or_none(fields.get("Features", "")),
    )


#: Figure to its section in sdiag's answer ("" is the top) and its label there.
_FIGURES = {
    "server_threads": ("", "Server thread count"),
    "agent_queue": ("", "Agent queue size"),
    "dbd_queue": ("", "DBD Agent queue size"),
    "main_cycle_last_us": ("Main schedule statistics", "Last cycle"),
    "main_cycle_mean_us": ("Main schedule statistics", "Mean cycle"),
    "backfill_cycle_last_us": ("Backfilling stats", "Last cycle"),
    "jobs_pending": ("", "Jobs pending"),
    "jobs_running": ("", "Jobs running"),
}
_FIGURE = re.compile(r"\s*([A-Za-z][^:]*):\s*([0-9]{1,18})\s*$")
_USER = re.compile(r"\s*(\S+)\s+\(\s*[0-9]+\)\s+count:([0-9]{1,18})\s+ave_time:[0-9]+\s+total_time:([0-9]{1,18})\s*$")

#: Counts are comparable only within one period: slurmctld resets them every midnight (UTC) and on `sdiag --reset`.
_SINCE = re.compile(r"Data since\s.*\(([0-9]{1,18})\)\s*$")


def _reader() -> str | None:
    """This process's user, as sdiag names it on this host."""
    try:
        return clean(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        return None


def diag(deadline_s: float, run: CommandRunner | None = None) -> Diag:
    """The controller's figures from `sdiag`. Raises SourceFault("malformed") without any of them."""
    part = ""
    said_there: dict[tuple[str, str], int] = {}
    calls: dict[str, int] = {}
    times: dict[str, int] = {}
    since: int | None = None
    for line in lines(ask(["sdiag"], deadline_s, run=run), "sdiag"):
        if match := _SINCE.match(line):
            since = int(match[1])
        elif line[:1].isalpha() and not _FIGURE.match(line):
            # A section's header is not indented and has no figure; indented lines belong to it.
            part = line.partition(" (")[0].rstrip(":")
        elif match := _FIGURE.match(line):
            said_there.setdefault((part if line[:1].isspace() else "", match[1]), int(match[2]))
        elif part.endswith("by user") and (match := _USER.match(line)):
            calls[clean(match[1])], times[clean(match[1])] = int(match[2]), int(match[3])
    figures = {key: said_there[at] for key, at in _FIGURES.items() if at in said_there}
    if not figures:
        raise SourceFault("malformed", "sdiag printed none of its figures", "run sdiag by hand to see")
    return Diag(since=since, reader=_reader(), user_calls=calls, user_time_us=times, **figures)


#: What scontrol prints for `--json` in 22.05, and in a newer one built without json-c (25.11.7).
_NO_JSON = ("unrecognized option", "could not find plugin for application/json")


def job_detail(job: str, deadline_s: float) -> JobDetail:
    """One job in full, from JSON, which a name cannot forge. Raises SourceFault; "missing" for an unknown id.

    In JSON scontrol prints the whole array for one of its tasks, every component for one of a heterogeneous job, and an
    empty list with exit status 0 both for an unknown job and for a controller that does not respond. So the job is
    first read as text, where scontrol reports errors. 22.05 has no JSON, nor has a Slurm built without json-c: see
    `job_text`.
    """
    text = _job_text(job, deadline_s)
    match = re.match(r"JobId=([0-9]+) ", text)
    if match is None:
        raise SourceFault("malformed", f"scontrol show job {job} gives no number", "is this version of Slurm known?")
    try:
        out = ask(["scontrol", "show", "job", match[1], f"--json={PARSER}"], deadline_s)
    except SourceFault as error:
        if not any(sign in error.fault.what for sign in _NO_JSON):
            raise
        return job_text.job_detail(job, _job_text(job, deadline_s, "-d"), deadline_s)
    try:
        records = from_json(out, _JobAnswer).jobs
        own = next((one for one in records if _job_id(one) == match[1]), None)
        # Users choose the bytes of names: text that is not UTF-8 must not hide the rest.
        record = None if own is None else json.loads(decode(bytes(own)))
    except (ValueError, RecursionError):
        raise SourceFault(
            "malformed", f"scontrol show job {job} printed no JSON that can be read", "run it by hand to see"
        ) from None
    if record is None:
        raise _unknown(job)
    return detail(job, record)


class _JobAnswer(msgspec.Struct):
    """An array of 1,000 running tasks prints 40 MB; only the requested record is decoded."""

    jobs: list[msgspec.Raw]


class _Numbered(msgspec.Struct):
    job_id: int | None = None


def _job_id(record: msgspec.Raw) -> str:
    return str(from_json(record, _Numbered).job_id)


def _job_text(job: str, deadline_s: float, *more: str) -> str:
    try:
        return decode(ask(["scontrol", "show", "job", job, *more, "-o"], deadline_s))
    except SourceFault as error:
        if "Invalid job id" in error.fault.what or f"Job {job} not found" in error.fault.what:
            raise _unknown(job) from None
        raise


def _unknown(job: str) -> SourceFault:
    return SourceFault("missing", f"Slurm shows no job {job}", f"it may have ended; try: sacct -j {job}")


def detail(job: str, record: Mapping[str, Any]) -> JobDetail:
    """The JSON record of a job as a JobDetail. Missing fields and fields of another type are unknown."""

    def say(key: str) -> str | None:
        value = record.get(key)
        return clean(value) if isinstance(value, str) and value else None

    def flag(key: str) -> bool | None:
        value = record.get(key)
        return value if isinstance(value, bool) else None

    states, code = record.get("job_state"), record.get("exit_code")
    # A job that has not ended has no exit code, though Slurm writes 0.
    ended = not (isinstance(states, list) and _ALIVE.intersection(map(str, states)))
    returned = code.get("return_code") if ended and isinstance(code, dict) else None
    number = returned.get("number") if isinstance(returned, dict) and returned.get("set") else None
    return JobDetail(
        id=job,
        gpu_indices=_gpu_indices(record),
        batch=flag("batch_flag"),
        requeueable=flag("requeue"),
        dependency=say("dependency"),
        working_dir=say("current_working_directory"),
        command=say("command"),
        # From v0.0.43 on the first holds Slurm's patterns as given (%j), the second their expansion.
        stdout=say("stdout_expanded") or say("standard_output"),
        comment=say("comment"),
        admin_comment=say("admin_comment"),
        exit_code=None if number is None else str(number),
        features=say("features"),
        time_min_s=_minutes_s(record.get("time_minimum")),
        fields={key: value for key in _MORE if (value := say(_EXPANDED.get(key, key)) or say(key)) is not None},
    )


def _minutes_s(value: Any) -> int | None:
    """Minutes in seconds; Slurm writes 0 for none."""
    number = value.get("number") if isinstance(value, dict) and value.get("set") is True else None
    return 60 * number if isinstance(number, int) and 0 < number < 1 << 32 else None


_ALIVE = frozenset({"PENDING", "RUNNING", "SUSPENDED"})
_EXPANDED = {"standard_error": "stderr_expanded"}
_MORE = ("tres_req_str", "tres_alloc_str", "batch_host", "state_description", "required_nodes", "excluded_nodes",
         "licenses", "resv_name", "standard_error", "container", "system_comment", "extra")  # fmt: skip


def _gpu_indices(record: Mapping[str, Any]) -> dict[str, str]:
    """`gres_detail` holds one string for each node, in the order of the job's nodes."""
    details, nodes = record.get("gres_detail"), record.get("nodes")
    if not isinstance(details, list) or not isinstance(nodes, str) or not nodes:
        return {}
    try:
        names = expand(nodes)
    except ValueError:
        return {}
    if len(names) != len(details):
        return {}
    found = {}
    for name, text in zip(names, details, strict=True):
        indices = gres_gpus(text)[2] if isinstance(text, str) else None
        if indices:
            found[name] = clean(indices)
    return found

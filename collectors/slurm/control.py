"""The smaller reads: partitions, reservations, the controller's own figures, and one job in full."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from collectors.clean import clean, decode
from collectors.model import Diag, JobDetail, Partition, Reservation, SourceFault
from collectors.slurm.ask import ask, lines
from collectors.slurm.fields import duration_s, epoch, gres_gpus, integer, text_or_none, tres_gpus
from collectors.slurm.nodes import split

#: The data parser that 24.11, 25.11 and 26.05 all have.
PARSER = "v0.0.42"


def _maybe(value: str | None) -> str | None:
    return None if value is None or text_or_none(value) is None else clean(value)


def partitions(deadline_s: float) -> Mapping[str, Partition]:
    """All partitions by name. Raises SourceFault; "empty" when there is none, since every Slurm has one."""
    found: dict[str, Partition] = {}
    for line in lines(ask(["scontrol", "-a", "show", "partition", "-o"], deadline_s)):
        if not line.startswith("PartitionName="):
            continue
        fields, _ = split(line)
        tres = fields.get("TRES", "")
        made = Partition(
            name=clean(fields["PartitionName"]),
            state=clean(fields.get("State", "UNKNOWN")),
            default=fields.get("Default") == "YES",
            nodes=_maybe(fields.get("Nodes")),
            node_count=integer(fields.get("TotalNodes", "")),
            cpus=integer(fields.get("TotalCPUs", "")),
            gpus=tres_gpus(tres),
            time_limit_s=duration_s(fields.get("MaxTime", "")),
            priority_tier=integer(fields.get("PriorityTier", "")),
            qos=_maybe(fields.get("QoS")),
            allow_accounts=_maybe(fields.get("AllowAccounts")),
        )
        found.setdefault(made.name, made)
    if not found:
        raise SourceFault("empty", "scontrol show partition lists none", "run it by hand to see")
    return found


def reservations(deadline_s: float) -> Mapping[str, Reservation]:
    """All reservations by name; Slurm says in words when there is none."""
    out = ask(["scontrol", "-a", "show", "reservation", "-o"], deadline_s)
    found: dict[str, Reservation] = {}
    for line in lines(out):
        if not line.startswith("ReservationName="):
            continue
        fields, free = split(line)
        made = Reservation(
            name=clean(fields["ReservationName"]),
            state=clean(fields.get("State", "UNKNOWN")),
            starts=epoch(fields.get("StartTime", "")),
            ends=epoch(fields.get("EndTime", "")),
            nodes=_maybe(fields.get("Nodes")),
            node_count=integer(fields.get("NodeCnt", "")),
            partition=_maybe(fields.get("PartitionName")),
            flags=tuple(clean(flag) for flag in fields.get("Flags", "").split(",") if flag),
            users=_maybe(fields.get("Users")),
            accounts=_maybe(fields.get("Accounts")),
            comment=_maybe(free.get("Comment")),
        )
        found.setdefault(made.name, made)
    if not found and b"No reservations in the system" not in out:
        raise SourceFault("empty", "scontrol show reservation printed nothing", "run it by hand to see")
    return found


_FIGURES = {
    "server_threads": r"Server thread count:\s*(\d+)",
    "agent_queue": r"Agent queue size:\s*(\d+)",
    "dbd_queue": r"DBD Agent queue size:\s*(\d+)",
    "main_cycle_last_us": r"Main schedule statistics.*?Last cycle:\s*(\d+)",
    "main_cycle_mean_us": r"Main schedule statistics.*?Mean cycle:\s*(\d+)",
    "backfill_cycle_last_us": r"Backfilling stats.*?Last cycle:\s*(\d+)",
    "jobs_pending": r"Jobs pending:\s*(\d+)",
    "jobs_running": r"Jobs running:\s*(\d+)",
}
_USER = re.compile(r"^\s*(\S+)\s+\(\s*\d+\)\s+count:(\d+)\s+ave_time:\d+\s+total_time:(\d+)", re.M)


def diag(deadline_s: float) -> Diag:
    """The controller's figures from `sdiag`. Raises SourceFault("malformed") when it holds none of them."""
    text = decode(ask(["sdiag"], deadline_s))
    figures = {key: int(match[1]) for key, pattern in _FIGURES.items() if (match := re.search(pattern, text, re.S))}
    if not figures:
        raise SourceFault("malformed", "sdiag printed none of its figures", "run sdiag by hand to see")
    users = _USER.findall(text.partition("by user")[2])
    return Diag(
        user_calls={clean(name): int(calls) for name, calls, _ in users},
        user_time_us={clean(name): int(total) for name, _, total in users},
        **figures,
    )


def job_detail(job: str, deadline_s: float) -> JobDetail:
    """One job in full, through JSON, which a name cannot forge. Raises SourceFault; "missing" for an unknown id."""
    out = ask(["scontrol", "show", "job", job, f"--json={PARSER}"], deadline_s)
    try:
        answer = msgspec.json.decode(out, type=dict[str, Any])
        record = next(item for item in answer["jobs"] if isinstance(item, dict))
    except (msgspec.MsgspecError, KeyError, TypeError, StopIteration):
        raise SourceFault("missing", f"Slurm shows no job {job}", "it may have ended; try: sacct -j " + job) from None
    return detail(job, record)


def detail(job: str, record: Mapping[str, Any]) -> JobDetail:
    """The JSON record of a job as a JobDetail. Fields that are missing or of another type are unknown."""

    def say(key: str) -> str | None:
        value = record.get(key)
        return clean(value) if isinstance(value, str) and value else None

    def flag(key: str) -> bool | None:
        value = record.get(key)
        return value if isinstance(value, bool) else None

    code = record.get("exit_code")
    returned = code.get("return_code") if isinstance(code, dict) else None
    number = returned.get("number") if isinstance(returned, dict) and returned.get("set") else None
    return JobDetail(
        id=job,
        gpu_indices=_gpu_indices(record),
        batch=flag("batch_flag"),
        requeueable=flag("requeue"),
        dependency=say("dependency"),
        working_dir=say("current_working_directory"),
        command=say("command"),
        stdout=say("standard_output"),
        comment=say("comment"),
        admin_comment=say("admin_comment"),
        exit_code=None if number is None else str(number),
        features=say("features"),
        fields={key: clean(value) for key in _MORE if isinstance(value := record.get(key), str) and value},
    )


_MORE = ("tres_req_str", "tres_alloc_str", "batch_host", "state_description", "required_nodes", "excluded_nodes",
         "licenses", "standard_error", "container", "system_comment", "extra")  # fmt: skip


def _gpu_indices(record: Mapping[str, Any]) -> dict[str, str]:
    """`gres_detail` holds one string a node, in the order of the job's nodes."""
    from collectors.nodeset import expand

    details, nodes = record.get("gres_detail"), record.get("nodes")
    if not isinstance(details, list) or not isinstance(nodes, str) or not nodes:
        return {}
    found = {}
    for name, text in zip(expand(nodes), details, strict=False):
        indices = gres_gpus(text)[2] if isinstance(text, str) else None
        if indices:
            found[name] = clean(indices)
    return found

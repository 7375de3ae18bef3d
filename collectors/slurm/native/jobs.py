"""pyslurm's jobs as values, the same rows as `squeue -a -r`: live jobs only, one row for each waiting task."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from collectors.clean import clean
from collectors.model import Job, JobDetail
from collectors.nodeset import expand
from collectors.slurm.commands.jobs import WAITING

from .field_reads import field, gpus_in, gpus_of_tres, joined, number, text, word, yes

#: States that `squeue` does not list by default.
_ENDED = frozenset({
    "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY",
    "REVOKED",
})  # fmt: skip
#: States in which a job holds its GRES; a completing one has returned them.
HOLDING = frozenset({"RUNNING", "SUSPENDED", "CONFIGURING", "RESIZING", "SIGNALING", "STOPPED"})
#: MaxArraySize is at most 4,000,001.
_MOST_TASKS = 4_000_001
_RANGE = re.compile(r"([0-9]{1,7})(?:-([0-9]{1,7})(?::([0-9]{1,7}))?)?")

#: The reason for refusing a change of a job that Slurm no longer has.
GONE = "it has ended or is gone"

Held = Mapping[str, tuple[int, str | None]]
"""Node to the GPUs that a job holds there, and their indices."""


def live(records: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    """The records of jobs that have not ended, each with its state."""
    for record in records:
        state = word(record, "state")
        if state is not None and state not in _ENDED:
            yield record, state


def jobs(records: Iterable[Any], gpus_tracked: bool) -> tuple[list[Job], list[str]]:
    """All rows, and the numbers of jobs and arrays with unreadable rows. `gpus_tracked`: the controller counts GPUs as
    a TRES, so a job without that TRES has none."""
    rows: list[Job] = []
    lost = []
    users: dict[int | None, str] = {}
    for record, state in live(records):
        ids = ids_of(record)
        if not ids:
            of = number(record, "array_id") or number(record, "id")
            lost.append("?" if of is None else str(of))
            continue
        given = _fields(record, state, gpus_tracked, users)
        rows += [Job(id=one, **given) for one in ids]
    return rows, lost


def ids_of(record: Any) -> tuple[str, ...]:
    """The ids of a record: `101`, `101_3`, `100+1`, or those of all its waiting tasks."""
    array, part = number(record, "array_id"), number(record, "heterogeneous_id")
    if array is None:
        own = number(record, "id")
        if part is not None:
            # pyslurm gives None for offset 0.
            return (f"{part}+{number(record, 'heterogeneous_offset') or 0}",)
        return () if own is None else (str(own),)
    waiting = field(record, "array_tasks_waiting")
    if isinstance(waiting, str):
        return tuple(f"{array}_{task}" for task in tasks(waiting))
    # pyslurm gives None for task 0; for a job that is no array it has no array_id either.
    return (f"{array}_{number(record, 'array_task_id') or 0}",)


def tasks(told: str) -> list[int]:
    """The numbers in `1-3,7,10-20:2`; none if it is unreadable or cut."""
    found: list[int] = []
    for piece in told.split(","):
        match = _RANGE.fullmatch(piece)
        if match is None:
            return []
        first = int(match[1])
        last = int(match[2] or first)
        if last - first > _MOST_TASKS or len(found) > _MOST_TASKS:
            return []
        found += range(first, last + 1, int(match[3] or 1) or 1)
    return found


def numbers_of(
    records: Iterable[Any], verb: str, targets: Iterable[str]
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The numbers by which pyslurm changes these array tasks, each with its tasks; and the reason for each task that it
    cannot change.

    Seen on 25.11.7: a number's record changes between one task and all waiting tasks of the array; but
    cancelling the number of an array ends all of its tasks.
    """
    wanted = frozenset(targets)
    alive: dict[int, set[str]] = {}
    met: list[tuple[int, int, tuple[str, ...]]] = []
    for record, _ in live(records):
        array, own = number(record, "array_id"), number(record, "id")
        if array is None or own is None:
            continue
        ids = ids_of(record)
        alive.setdefault(array, set()).update(ids or (f"{array}_?",))  # for an unreadable list
        if not wanted.isdisjoint(ids):
            met.append((own, array, ids))
    found: dict[str, tuple[str, ...]] = {}
    unable = dict.fromkeys(wanted, GONE)
    for own, array, ids in met:
        others = (alive[array] if verb == "scancel" and own == array else frozenset(ids)) - wanted
        for task in wanted.intersection(ids):
            del unable[task]
            if others:
                unable[task] = f"pyslurm changes it only together with {len(others):,} other tasks of array {array}"
        if not others:
            found[str(own)] = ids
    return found, unable


def _user(record: Any, known: dict[int | None, str]) -> str:
    """The user's name, looked up once a reading: pyslurm would ask the system for every job."""
    uid = number(record, "user_id")
    if uid is None or uid not in known:
        known[uid] = word(record, "user_name") or "?"
    return known[uid]


def _fields(record: Any, state: str, gpus_tracked: bool, users: dict[int | None, str]) -> dict[str, Any]:
    nodes = text(record, "allocated_nodes")
    waiting = nodes is None or state in WAITING
    gpus = _gpus(record, state, gpus_tracked)
    began, limit = number(record, "start_time"), number(record, "time_limit")
    return {
        "name": text(record, "name") or "",
        "user": _user(record, users),
        "account": word(record, "account"),
        "partition": word(record, "partition"),
        "qos": word(record, "qos"),
        "state": state,
        "reason": word(record, "state_reason"),
        "nodes": nodes,
        "node_count": number(record, "num_nodes"),
        "cpus": number(record, "cpus"),
        "gpus": gpus,
        "gpus_held": None if waiting else gpus,
        "submitted": number(record, "submit_time"),
        "started": None if waiting else began,
        "expected": began if waiting else None,
        "time_limit_s": None if limit is None else 60 * limit,
        "unlimited": _unlimited(record),
        "priority": number(record, "priority"),
        "restarts": number(record, "requeue_count"),
    }


def _unlimited(record: Any) -> bool:
    """pyslurm 25.11.2 gives None for a job without a time limit; Slurm gives every other job one at its submission."""
    try:
        limit = record.time_limit
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError):
        return False
    return limit is None or limit == "UNLIMITED"


def _gpus(record: Any, state: str, tracked: bool) -> int | None:
    """GPUs requested or held: from the TRES, else per node, else those that it holds, else per task.

    pyslurm 25.11.2 does not read `--gpus` and `--gpus-per-socket`: None if a waiting job may have used them.
    """
    if tracked:  # otherwise its TRES have none, and parsing them takes a tenth of a reading's time
        total = gpus_of_tres(field(record, "allocated_tres") or field(record, "requested_tres"))
        if total is not None:
            return total
    per_node, nodes = gpus_in(field(record, "gres_per_node"))[0], number(record, "num_nodes")
    if per_node:
        return None if nodes is None else per_node * nodes
    held = gpus_held(record, state)
    if held is not None:
        return sum(count for count, _ in held.values())
    per_task, tasks = gpus_of_tres(field(record, "tres_per_task")), number(record, "ntasks")
    if per_task is not None and tasks is not None:
        return per_task * tasks
    return 0 if tracked else None


def gpus_held(record: Any, state: str) -> Held | None:
    """Node to the job's GPUs there; None for a job that holds nothing, or if pyslurm does not know."""
    if state not in HOLDING:
        return None
    try:
        layout = record.get_resource_layout_per_node()
    except (ValueError, TypeError, LookupError):
        return None
    if not layout:
        return None
    found: dict[str, tuple[int, str | None]] = {}
    for name, there in layout.items():
        count, _, indices = gpus_in(there.get("gres"))
        found[str(name)] = (count, indices)
    return found


def detail(record: Any, state: str, asked: str) -> JobDetail:
    """All of one job that pyslurm has."""
    held = gpus_held(record, state) or {}
    ended = state in _ENDED
    code = number(record, "exit_code") if ended else None
    more = {
        "batch_host": text(record, "batch_host"),
        "required_nodes": text(record, "required_nodes"),
        "excluded_nodes": text(record, "excluded_nodes"),
        "licenses": joined(record, "licenses"),
        "standard_error": text(record, "standard_error"),
        "container": text(record, "container"),
        "system_comment": text(record, "system_comment"),
        "extra": text(record, "extra"),
    }
    return JobDetail(
        id=asked,
        gpu_indices={clean(name): clean(indices) for name, (_, indices) in held.items() if indices},
        batch=yes(record, "is_batch_job"),
        requeueable=yes(record, "is_requeueable"),
        dependency=_dependency(field(record, "dependencies")),
        working_dir=text(record, "working_directory"),
        command=text(record, "command"),
        stdout=text(record, "standard_output"),
        comment=text(record, "comment"),
        admin_comment=text(record, "admin_comment"),
        exit_code=None if code is None else str(code),
        features=joined(record, "constraints"),
        fields={key: value for key, value in more.items() if value},
    )


def _dependency(told: Any) -> str | None:
    """Slurm's own syntax, from pyslurm's dict."""
    if not isinstance(told, Mapping):
        return None
    pieces = [f"{kind}:{job}" for kind, of in told.items() if isinstance(of, list) for job in of]
    if told.get("singleton"):
        pieces.append("singleton")
    return clean(("?" if told.get("satisfy") == "any" else ",").join(pieces)) or None


def on_nodes(found: Iterable[Job], names: Iterable[str]) -> dict[str, Job]:
    """The jobs among these that hold one of the nodes."""
    wanted = frozenset(names)
    return {one.id: one for one in found if one.nodes and not wanted.isdisjoint(_expanded(one.nodes))}


def _expanded(nodes: str) -> tuple[str, ...]:
    try:
        return expand(nodes)
    except ValueError:
        return ()

"""Turns pyslurm's nodes, partitions, reservations and controller figures into the model's values.

Three facts that pyslurm 25.11.2 lacks are joined from others: a node's GPUs in use (from the jobs on it), its
reservation, and the GPUs of a partition.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterable, Mapping
from typing import Any

from collectors.clean import clean
from collectors.model import Diag, Node, Partition, Reservation
from collectors.nodeset import expand, names_in, runs_of
from collectors.nodestate import display_word, parse_state

from .field_reads import field, gpus_in, joined, number, text, types_in, word, words, yes
from .jobs import HOLDING, gpus_held, live
from .protocol import WorkerConfig

_RESERVED = frozenset({"MAINTENANCE", "RESERVED"})
#: pyslurm's names of reservation flags to Slurm's, in Slurm's order.
_FLAGS = {
    "MAINTENANCE": "MAINT", "FLEX": "FLEX", "OVERLAP": "OVERLAP", "IGNORE_RUNNING_JOBS": "IGNORE_JOBS",
    "DAILY": "DAILY", "HOURLY": "HOURLY", "WEEKDAY": "WEEKDAY", "WEEKEND": "WEEKEND", "WEEKLY": "WEEKLY",
    "SPECIFIC_NODES": "SPEC_NODES", "ALL_NODES": "ALL_NODES", "ANY_NODES": "ANY_NODES", "STATIC_NODES": "STATIC",
    "PARTITION_NODES_ONLY": "PART_NODES", "PURGE": "PURGE_COMP", "NO_JOB_HOLD_AFTER_END": "NO_HOLD_JOBS_AFTER_END",
    "MAGNETIC": "MAGNETIC", "SKIP": "SKIP", "USER_DELETION": "USER_DELETE", "SCHED_FAILED": "SCHED_FAILED",
}  # fmt: skip

Used = Mapping[str, tuple[int | None, str | None]]
"""Node to its GPUs in use and their indices, both None if a job there could not be read."""


def nodes(records: Iterable[Any], used: Used | None, reserved: Mapping[str, str]) -> list[Node]:
    """All nodes. `used` is None if jobs of other users may be hidden: then it is unknown."""
    return [made for record in records if (made := node(record, used, reserved)) is not None]


def node(record: Any, used: Used | None, reserved: Mapping[str, str]) -> Node | None:
    """One node; None without a name."""
    name, state = text(record, "name"), text(record, "state")
    if name is None or state is None:
        return None
    base, flags = parse_state(state)
    gres = field(record, "configured_gres")
    # pyslurm 25.11.2 cannot read GRES with `no_consume`.
    gpus = None if gres is None else gpus_in(gres)[0]
    kind, slices = (None, None) if gres is None else types_in(gres)
    tracked = gpus_of_node(record)
    in_use, indices = (None, None) if used is None else used.get(name, (0, None))
    reason = text(record, "reason")
    load = field(record, "cpu_load")
    return Node(
        name=name,
        state=base,
        flags=flags,
        display=display_word(base, flags),
        reason=reason,
        reason_by=word(record, "reason_user") if reason else None,
        reason_at=number(record, "reason_time") if reason else None,
        partitions=words(record, "partitions"),
        cpus=number(record, "total_cpus"),
        cpus_alloc=number(record, "allocated_cpus"),
        cpu_load=load if isinstance(load, float) and load > 0 else None,  # pyslurm gives 0.0 for unknown, too
        memory_mb=number(record, "real_memory"),
        memory_alloc_mb=number(record, "allocated_memory"),
        free_memory_mb=number(record, "free_memory"),
        gpus=gpus,
        gpus_alloc=tracked if tracked is not None else in_use,
        gpu_type=kind,
        gpu_slices=slices,
        gpus_used=indices,
        features=words(record, "active_features"),
        hostname=word(record, "hostname"),
        address=word(record, "address"),
        version=word(record, "slurm_version"),
        boot_at=number(record, "boot_time"),
        slurmd_at=number(record, "slurmd_start_time"),
        busy_at=number(record, "last_busy_time"),
        reservation=reserved.get(name) if _RESERVED.intersection(flags) else None,
        comment=text(record, "comment"),
        extra=text(record, "extra"),
    )


def gpus_of_node(record: Any) -> int | None:
    """GPUs in use by the node's own TRES, None if these have none: not counted there, or none in use."""
    tres = field(record, "allocated_tres")
    if not isinstance(tres, Mapping):
        return None
    plain, typed = tres.get("gres/gpu"), [value for key, value in tres.items() if str(key).startswith("gres/gpu:")]
    if type(plain) is int:
        return plain
    return sum(one for one in typed if type(one) is int) if typed else None


def gpus_in_use(records: Iterable[Any]) -> Used:
    """Node to the GPUs that its jobs hold."""
    counts: dict[str, int] = {}
    indices: dict[str, list[str]] = {}
    unknown: set[str] = set()
    for record, state in live(records):
        if state not in HOLDING:
            continue
        held = gpus_held(record, state)
        if held is None:
            unknown.update(names_in(text(record, "allocated_nodes") or ""))
        for name, (count, which) in (held or {}).items():
            counts[name] = counts.get(name, 0) + count
            if which:
                indices.setdefault(name, []).append(which)
    told = {name: (count, _folded(indices.get(name, []))) for name, count in counts.items() if name not in unknown}
    return told | dict.fromkeys(unknown, (None, None))


def _folded(pieces: Iterable[str]) -> str | None:
    """Indices of several jobs as Slurm folds them: `0-2` and `3,7` as `0-3,7`."""
    try:
        numbers = sorted({int(one) for one in expand(f"[{','.join(pieces)}]")}) if (pieces := tuple(pieces)) else []
    except ValueError:
        return None
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs_of(numbers)) or None


def reserved(records: Iterable[Any]) -> dict[str, str]:
    """Node to the reservation that holds it now."""
    found: dict[str, str] = {}
    for one in reservations(records)[0]:
        if one.state == "ACTIVE" and one.nodes:
            found |= dict.fromkeys(names_in(one.nodes), one.name)
    return found


def partitions(records: Iterable[Any], gpus: Mapping[str, int] | None) -> list[Partition]:
    """All partitions. `gpus`: GPUs of each, None if the controller does not count them as a TRES."""
    made = []
    for record in records:
        name, minutes = text(record, "name"), number(record, "max_time")
        if name is None:
            continue
        allowed, denied = joined(record, "allowed_accounts"), joined(record, "denied_accounts")  # ALL if not set
        made.append(
            Partition(
                name=name,
                state=word(record, "state") or "UNKNOWN",
                default=yes(record, "is_default") or False,
                nodes=text(record, "nodes"),
                node_count=number(record, "total_nodes"),
                cpus=number(record, "total_cpus"),
                gpus=None if gpus is None else gpus.get(name),
                time_limit_s=None if minutes is None else 60 * minutes,
                priority_tier=number(record, "priority_tier"),
                qos=word(record, "qos"),
                allow_accounts=allowed,
                deny_accounts=denied if allowed == "ALL" and denied != "ALL" else None,
            )
        )
    return made


def gpus_by_partition(records: Iterable[Any]) -> dict[str, int]:
    """GPUs by partition, without partitions that have none or contain a node with an unknown number."""
    found: dict[str, int] = {}
    unknown: set[str] = set()
    for record in records:
        gres = field(record, "configured_gres")
        count = gpus_in(gres)[0]
        unknown.update(words(record, "partitions") if gres is None else ())
        for name in words(record, "partitions") if count else ():
            found[name] = found.get(name, 0) + count
    return {name: count for name, count in found.items() if name not in unknown}


def reservations(records: Iterable[Any]) -> tuple[list[Reservation], list[str]]:
    """All reservations, and warnings."""
    made, warnings, now = [], [], time.time()
    for record in records:
        name = text(record, "name")
        if name is None:
            continue
        starts, ends = number(record, "start_time"), number(record, "end_time")
        flags = field(record, "flags")
        if flags is None:
            warnings.append(f"the flags of reservation {name} are not known to pyslurm")
        active = starts is not None and ends is not None and starts <= now <= ends
        made.append(
            Reservation(
                name=name,
                state="ACTIVE" if active else "INACTIVE",
                starts=starts,
                ends=ends,
                nodes=text(record, "nodes"),
                node_count=number(record, "node_count"),
                partition=word(record, "partition"),
                flags=_flags(flags, field(record, "reoccurrence"), number(record, "purge_time")),
                users=joined(record, "users"),
                accounts=joined(record, "accounts"),
                comment=text(record, "comment"),
            )
        )
    return made, warnings


def _flags(flags: Any, again: Any, purge_s: int | None) -> tuple[str, ...]:
    has = {str(field(one, "name")) for one in flags or ()} | {str(again)}
    told = [word for key, word in _FLAGS.items() if key in has]
    if purge_s and "PURGE_COMP" in told:
        days, rest = divmod(purge_s, 86_400)
        after = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
        told[told.index("PURGE_COMP")] = f"PURGE_COMP={f'{days}-' if days else ''}{after}"
    return tuple(told)


def diag(stats: Any) -> Diag:
    """The controller's own figures."""
    users = field(stats, "rpcs_by_user")
    users = users if isinstance(users, Mapping) else {}
    return Diag(
        server_threads=number(stats, "server_thread_count"),
        agent_queue=number(stats, "agent_queue_size"),
        dbd_queue=number(stats, "dbd_agent_queue_size"),
        main_cycle_last_us=number(stats, "schedule_cycle_last"),
        main_cycle_mean_us=number(stats, "schedule_cycle_mean"),
        backfill_cycle_last_us=number(stats, "backfill_cycle_last"),
        jobs_pending=number(stats, "jobs_pending"),
        jobs_running=number(stats, "jobs_running"),
        since=number(stats, "data_since"),
        reader=reader(),
        user_calls={clean(name): count for name, one in users.items() if (count := number(one, "count")) is not None},
        user_time_us={clean(name): spent for name, one in users.items() if (spent := number(one, "time")) is not None},
    )


def reader() -> str | None:
    """This process's user, by its name on this host."""
    try:
        return clean(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        return None


def config(told: Any) -> WorkerConfig:
    """The part of the configuration that rights depend on."""
    return WorkerConfig(
        slurm_user=text(told, "slurm_user_name"),
        slurm_uid=number(told, "slurm_user_id"),
        accounting=word(told, "accounting_storage_type"),
    )

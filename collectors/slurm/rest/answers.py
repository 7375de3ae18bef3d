"""slurmrestd's answers about nodes, partitions, reservations and the controller, as facts.

Only the fields that wacht shows are decoded. A number is `{set, infinite, number}`: unset is unknown, infinite no
limit, and a time of 0 none. Names, reasons and comments are cleaned here, once.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Control, Controller, Diag, Node, Partition, Reservation, SourceFault
from collectors.nodestate import display_word, parse_state
from collectors.racks import RackOf, no_rack
from collectors.slurm.commands.read_command import value_or_none
from collectors.slurm.fields import gpu_types, gres_gpus, tres_gpus

from .client import Pings, RestEnvelope


class Number(Struct, frozen=True, gc=False):
    """A number of Slurm's, which may be unset or infinite."""

    set: bool = False
    infinite: bool = False
    number: float | None = None

    @property
    def value(self) -> int | None:
        """The number, None if unset or infinite."""
        return int(self.number) if self.set and not self.infinite and self.number is not None else None

    @property
    def time(self) -> int | None:
        """The epoch, None if unset or 0."""
        return self.value or None


_UNSET = Number()
#: Slurm's values for "unknown" in 64 and 32 bits (NO_VAL64, NO_VAL).
_NO_VALUES = frozenset({0xFFFFFFFFFFFFFFFE, 0xFFFFFFFE, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF})


#: Flags of nodes in the order in which scontrol prints them (node_state_flags in slurm_protocol_defs.c, 26.05).
_FLAGS = (
    "BLOCKED", "CLOUD", "COMPLETING", "DRAIN", "DYNAMIC_FUTURE", "DYNAMIC_NORM", "EXTERNAL", "INVALID_REG", "FAIL",
    "MAINTENANCE", "POWER_DOWN", "POWER_UP", "POWERED_DOWN", "REBOOT_REQUESTED", "REBOOT_ISSUED", "RESERVED", "RESUME",
    "NOT_RESPONDING", "PLANNED", "POWERING_UP", "POWERING_DOWN",
)  # fmt: skip
_PLACE = {flag: at for at, flag in enumerate(_FLAGS)}


class NodeRecord(Struct, gc=False):
    """The used fields of a node."""

    name: str
    state: list[str] | None = None
    reason: str | None = None
    reason_set_by_user: str | None = None
    reason_changed_at: Number = _UNSET
    partitions: list[str] | None = None
    cpus: int | None = None
    alloc_cpus: int | None = None
    cpu_load: int | None = None
    real_memory: int | None = None
    alloc_memory: int | None = None
    free_mem: Number = _UNSET
    gres: str | None = None
    gres_used: str | None = None
    active_features: list[str] | None = None
    hostname: str | None = None
    address: str | None = None
    version: str | None = None
    boot_time: Number = _UNSET
    slurmd_start_time: Number = _UNSET
    last_busy: Number = _UNSET
    reservation: str | None = None
    comment: str | None = None
    extra: str | None = None
    resume_after: Number = _UNSET
    weight: int | None = None


class Nodes(RestEnvelope):
    """GET /nodes/."""

    nodes: list[NodeRecord] | None = None


def node(record: NodeRecord, rack: RackOf = no_rack) -> Node:
    """One record as a Node."""
    words = sorted(map(clean, record.state or ()), key=lambda word: _PLACE.get(word, -1))
    base, flags = parse_state("+".join(words))
    gpus, _, _ = (None, None, None) if record.gres is None else gres_gpus(record.gres)
    kind, slices = gpu_types(record.gres) if record.gres is not None else (None, None)
    used, _, indices = (None, None, None) if record.gres_used is None else gres_gpus(record.gres_used)
    reason = clean(record.reason) if record.reason else None
    return Node(
        name=clean(record.name),
        state=base,
        flags=flags,
        display=display_word(base, flags),
        reason=reason,
        reason_by=value_or_none(record.reason_set_by_user or "") if reason else None,
        reason_at=record.reason_changed_at.time if reason else None,
        partitions=tuple(clean(one) for one in record.partitions or ()),
        cpus=record.cpus,
        cpus_alloc=record.alloc_cpus,
        cpu_load=_load(record.cpu_load),
        memory_mb=record.real_memory,
        memory_alloc_mb=record.alloc_memory,
        free_memory_mb=_known(record.free_mem.value),
        gpus=gpus,
        gpus_alloc=used,
        gpu_type=value_or_none(kind or ""),
        gpu_slices=slices,
        gpus_used=value_or_none(indices or ""),
        rack=rack(record.name),
        features=tuple(clean(one) for one in record.active_features or ()),
        hostname=value_or_none(record.hostname or ""),
        address=value_or_none(record.address or ""),
        version=value_or_none(record.version or ""),
        boot_at=record.boot_time.time,
        slurmd_at=record.slurmd_start_time.time,
        busy_at=record.last_busy.time,
        reservation=value_or_none(record.reservation or ""),
        comment=value_or_none(record.comment or ""),
        extra=value_or_none(record.extra or ""),
        resume_at=record.resume_after.time,
        weight=record.weight,
    )


def _known(value: int | None) -> int | None:
    return None if value in _NO_VALUES else value


def _load(hundredths: int | None) -> float | None:
    """The load from hundredths; NO_VAL is unknown."""
    known = _known(hundredths)
    return None if known is None else known / 100


# -- partitions --------------------------------------------------------------------------------------------------------


class _Configured(Struct, frozen=True, gc=False):
    configured: str | None = None
    total: int | None = None


class _Total(Struct, frozen=True, gc=False):
    total: int | None = None


class _Allowed(Struct, frozen=True, gc=False):
    allowed: str | None = None
    deny: str | None = None
    assigned: str | None = None


class _Maximums(Struct, frozen=True, gc=False):
    time: Number = _UNSET


class _State(Struct, frozen=True, gc=False):
    state: list[str] | None = None


class _Tier(Struct, frozen=True, gc=False):
    tier: int | None = None


class PartitionRecord(Struct, gc=False):
    """The used fields of a partition."""

    name: str
    nodes: _Configured = _Configured()
    cpus: _Total = _Total()
    accounts: _Allowed = _Allowed()
    qos: _Allowed = _Allowed()
    tres: _Configured = _Configured()
    maximums: _Maximums = _Maximums()
    partition: _State = _State()
    priority: _Tier = _Tier()
    flags: list[str] | None = None


class Partitions(RestEnvelope):
    """GET /partitions/."""

    partitions: list[PartitionRecord] | None = None


def partition(record: PartitionRecord) -> Partition:
    """One record as a Partition. The default partition is known from v0.0.45 on."""
    allowed = value_or_none(record.accounts.allowed or "ALL")
    return Partition(
        name=clean(record.name),
        state="+".join(clean(word) for word in record.partition.state or ()) or "UNKNOWN",
        default="DEFAULT" in (record.flags or ()),
        nodes=value_or_none(record.nodes.configured or ""),
        node_count=record.nodes.total,
        cpus=record.cpus.total,
        gpus=tres_gpus(record.tres.configured or ""),
        time_limit_s=minutes_s(record.maximums.time.value),
        priority_tier=record.priority.tier,
        qos=value_or_none(record.qos.assigned or ""),
        allow_accounts=allowed,
        deny_accounts=value_or_none(record.accounts.deny or "") if allowed == "ALL" else None,
    )


# -- reservations ------------------------------------------------------------------------------------------------------


class ReservationRecord(Struct, gc=False):
    """The used fields of a reservation. slurmrestd gives neither whether it is active nor its comment."""

    name: str
    start_time: Number = _UNSET
    end_time: Number = _UNSET
    node_list: str | None = None
    node_count: int | None = None
    partition: str | None = None
    flags: list[str] | None = None
    users: str | None = None
    accounts: str | None = None
    comment: str | None = None
    groups: str | None = None
    licenses: str | None = None
    features: str | None = None


class Reservations(RestEnvelope):
    """GET /reservations/."""

    reservations: list[ReservationRecord] | None = None


def reservation(record: ReservationRecord, now: float) -> Reservation:
    """One record as a Reservation, active by its own times, as scontrol computes it."""
    starts, ends = record.start_time.time, record.end_time.time
    active = starts is not None and ends is not None and starts <= now <= ends
    return Reservation(
        name=clean(record.name),
        state="ACTIVE" if active else "INACTIVE",
        starts=starts,
        ends=ends,
        nodes=value_or_none(record.node_list or ""),
        node_count=record.node_count,
        partition=value_or_none(record.partition or ""),
        flags=tuple(clean(flag) for flag in record.flags or ()),
        users=value_or_none(record.users or ""),
        accounts=value_or_none(record.accounts or ""),
        comment=value_or_none(record.comment or ""),
        groups=value_or_none(record.groups or ""),
        licenses=value_or_none(record.licenses or ""),
        features=value_or_none(record.features or ""),
    )


# -- the controller ----------------------------------------------------------------------------------------------------


class _UserCalls(Struct, gc=False):
    user: str
    count: int = 0
    total_time: int = 0


class _Statistics(Struct, gc=False):
    server_thread_count: int | None = None
    agent_queue_size: int | None = None
    dbd_agent_queue_size: int | None = None
    schedule_cycle_last: int | None = None
    schedule_cycle_mean: int | None = None
    bf_cycle_last: int | None = None
    jobs_pending: int | None = None
    jobs_running: int | None = None
    req_time_start: Number = _UNSET
    rpcs_by_user: list[_UserCalls] | None = None


class Diagnostics(RestEnvelope):
    """GET /diag/."""

    statistics: _Statistics | None = None


def diag(found: _Statistics, reader: str | None) -> Diag:
    """The controller's own figures. `reader` is the user that slurmrestd uses."""
    calls = found.rpcs_by_user or []
    return Diag(
        server_threads=found.server_thread_count,
        agent_queue=found.agent_queue_size,
        dbd_queue=found.dbd_agent_queue_size,
        main_cycle_last_us=found.schedule_cycle_last,
        main_cycle_mean_us=found.schedule_cycle_mean,
        backfill_cycle_last_us=found.bf_cycle_last,
        jobs_pending=found.jobs_pending,
        jobs_running=found.jobs_running,
        since=found.req_time_start.time,
        reader=reader,
        user_calls={clean(one.user): one.count for one in calls},
        user_time_us={clean(one.user): one.total_time for one in calls},
    )


@lru_cache(maxsize=1024)
def minutes_s(minutes: int | None) -> int | None:
    """Minutes in seconds."""
    return None if minutes is None else 60 * minutes


def control(answer: Pings) -> Control:
    """Which controllers respond; slurmrestd has no more about Slurm's daemons. Raises SourceFault."""
    if not answer.pings:
        raise SourceFault("malformed", "slurmrestd answered /ping/ without any controller", "see its log")
    if not answer.up():
        raise SourceFault("refused", "slurmrestd is there, no controller answers it", "is slurmctld up?")
    return Control(
        controllers=tuple(
            Controller(
                host=clean(one.hostname or "?"),
                role=clean(one.mode or ("backup" if one.primary is False else "primary")),
                up=one.up,
            )
            for one in answer.pings
        )
    )

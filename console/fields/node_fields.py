"""The fields of a node, one row each. A new row comes last in the list of nodes, unless `NODES` names its column."""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from collectors.model import Cluster, Job, Load, Node
from collectors.nodeset import natural_key
from collectors.nodestate import BASES, DISPLAYS
from console.health import tickets
from console.health.cooling_loops import loops_by_rack
from console.health.version_drift import drift_by_node
from widgets.bars import gauge
from widgets.table_column import ExportField, always_identity
from widgets.units import UNKNOWN, duration

from .common_cells import Ctx, state_cell, used
from .field import Field, Read, Shown, attribute, columns_of, field, moment, since, snapshot_of
from .job_fields import job_ids

if TYPE_CHECKING:
    from widgets.cells import Cell

#: Short spellings of states, as in sinfo or as people type them.
NODE_STATES = {
    "alloc": "allocated", "mix": "mixed", "comp": "completing", "maint": "maintenance", "drng": "draining",
    "resv": "reserved", "unk": "unknown", "futr": "future", "off": "powered off", "no_respond": "not_responding",
    "inval": "invalid",
}  # fmt: skip
#: Flags that Slurm adds to a node's base state (slurm/slurm.h, 22.05 to 26.05), lower case.
_FLAGS = frozenset({
    "blocked", "cloud", "completing", "drain", "dynamic_future", "dynamic_norm", "external", "fail", "invalid_reg",
    "maintenance", "not_responding", "planned", "powered_down", "powering_down", "powering_up", "power_down",
    "power_drain", "power_up", "reboot_canceled", "reboot_issued", "reboot_requested", "reserved",
})  # fmt: skip
#: Base states, lower case.
NODE_BASES = frozenset(one.lower() for one in BASES)
_RANK = {word: rank for rank, word in enumerate(DISPLAYS)}


@lru_cache(maxsize=4096)
def state_words(display: str, base: str, flags: tuple[str, ...]) -> tuple[str, ...]:
    """The words that `state=` matches for a node, lower case.

    A drained node is IDLE to Slurm, but `state=idle` must not match it, so these three bases count only when they are
    the display word (`base=idle` matches the base itself). Nor does `state=down` match a node that reboots.
    """
    more = () if base in {"IDLE", "ALLOCATED", "MIXED"} or display == "rebooting" else (base.lower(),)
    return tuple(dict.fromkeys((display.lower(), *more, *(flag.lower() for flag in flags))))


def _load(node: Node, cluster: Cluster) -> Load | None:
    return cluster.loads.get(node.name)


def _jobs(node: Node, cluster: Cluster) -> list[Job]:
    return [cluster.jobs[key] for key in cluster.jobs_on.get(node.name, ()) if key in cluster.jobs]


def users_on(node: Node, cluster: Cluster) -> tuple[str, ...]:
    """The users whose jobs run on a node."""
    return tuple(dict.fromkeys(job.user for job in _jobs(node, cluster)))


def _telemetry(attribute: str) -> Read:
    def read(node: Node, cluster: Cluster, _now: float) -> Any:
        load = cluster.loads.get(node.name)
        return None if load is None else getattr(load, attribute)

    return read


def load_export(name: str) -> ExportField:
    """A figure of a node's telemetry."""
    read = _telemetry(name)
    return ExportField(name, lambda node, ctx: read(node, ctx.cluster, ctx.now))


def _free_gpus(node: Node, _cluster: Cluster, _now: float) -> int | None:
    return None if node.gpus is None or node.gpus_alloc is None else node.gpus - node.gpus_alloc


def _gpus(node: Node, _: Ctx) -> Cell:
    if node.gpus == 0:
        return ("none", "text-dim")
    return used(node.gpus_alloc, node.gpus)


def _util(node: Node, ctx: Ctx) -> Cell:
    load = ctx.cluster.loads.get(node.name)
    value = None if load is None else load.gpu_util_pct
    if value is None:
        return (UNKNOWN, "text-dim")
    return [*gauge(value / 100, 6), (f" {value:3.0f} %", "")]


def _job_cell(node: Node, ctx: Ctx) -> Cell:
    if "jobs" not in ctx.cluster.known:
        return (UNKNOWN, "text-dim")
    ids = ctx.cluster.jobs_on.get(node.name, ())
    if not ids:
        return ""
    first = ctx.cluster.jobs.get(ids[0])
    more = f" +{len(ids) - 1}" if len(ids) > 1 else ""
    return f"{first.user if first else ids[0]}{more}"


def _job_list(node: Node, ctx: Ctx) -> tuple[str, ...] | None:
    return ctx.cluster.jobs_on.get(node.name, ()) if "jobs" in ctx.cluster.known else None


def _reason_age(node: Node, ctx: Ctx) -> Cell:
    return "" if node.reason is None else duration(None if node.reason_at is None else ctx.now - node.reason_at)


def _power(load: Load | None) -> tuple[float | None, str | None]:
    """A node's power in watts and its basis: the node if measured, else the sum of its GPUs."""
    if load is not None and load.power_w is not None:
        return load.power_w, "node"
    if load is not None and load.gpu_power_w is not None:
        return load.gpu_power_w, "gpus"
    return None, None


def _power_export(name: str, part: int) -> ExportField:
    return ExportField(name, lambda node, ctx: _power(ctx.cluster.loads.get(node.name))[part])


NODE_FIELDS: tuple[Field, ...] = (
    field("name", "names", "name", "name, or a node set", ("node",),
          column=Shown("node", 9, lambda n, _: n.name, lambda n: natural_key(n.name), grow=1, max_width=18,
                       identity=always_identity)),
    field("state", "words", lambda r, c, t: state_words(r.display, r.state, r.flags),
          "the word on the screen, or any of Slurm's flags", spellings=NODE_STATES, listed=True, completed=True,
          known=_FLAGS | NODE_BASES | frozenset(DISPLAYS),
          column=Shown("state", 13, state_cell, lambda n: (_RANK.get(n.display, -1), natural_key(n.name))),
          export=(attribute("state", "display"),
                  ExportField("slurm_state", lambda n, _: "+".join((n.state, *n.flags)))),
          snapshot=("state", "flags", "display")),
    field("base", "text", "state", "Slurm's base state", spellings=NODE_STATES, known=NODE_BASES, listed=True),
    field("reason", "text", "reason", "why it is down or drained", completed=True,
          column=Shown("reason", 14, lambda n, _: n.reason or "", priority=1, grow=6)),
    field("by", "text", "reason_by", "who gave the reason", listed=True, completed=True,
          column=Shown("by", 6, lambda n, _: n.reason_by or "", priority=7, max_width=10, grow=1)),
    field("age", "duration", lambda r, c, t: since(r.reason_at, t), "age of the reason",
          column=Shown("since", 7, _reason_age, attrgetter("reason_at"), priority=4, volatile=True),
          export=(moment("reason_at"),)),
    field("rack", "text", "rack", "rack", listed=True, completed=True,
          column=Shown("rack", 5, sort=lambda n: n.rack and natural_key(n.rack), priority=5)),
    field("loop", "words", lambda r, c, t: loops_by_rack(c).get(r.rack or "", ()), "cooling loop it hangs on", ("cdu",),
          facts="cooling", listed=True),
    field("partition", "words", "partitions", "partition it is in", ("part",), listed=True, completed=True,
          column=Shown("partitions", 10, key="partitions", priority=13, grow=1, max_width=20)),
    field("gpu", "number", "gpus", "GPUs it has", ("gpus",),
          column=Shown("GPUs", 5, _gpus, attrgetter("gpus_alloc"), key="gpus", priority=2),
          export=("gpus_alloc", "gpus"), snapshot=("gpus", "gpus_alloc", "gpu_slices")),
    field("free", "number", _free_gpus, "GPUs that no job holds"),
    field("type", "text", "gpu_type", "type of its GPUs", listed=True, completed=True),
    field("load", "number", "cpu_load", "CPU load",
          column=Shown("load", 6, lambda n, _: UNKNOWN if n.cpu_load is None else f"{n.cpu_load:.1f}", priority=10)),
    field("cpu", "number", "cpus", "CPUs it has", ("cpus",),
          column=Shown("CPUs", 8, lambda n, _: used(n.cpus_alloc, n.cpus), attrgetter("cpus_alloc"), key="cpus",
                       priority=11),
          export=("cpus_alloc", "cpus")),
    field("mem", "size", "memory_mb", "memory it has", ("memory",), snapshot=("memory_mb",)),
    field("memfree", "size", "free_memory_mb", "memory that is free",
          column=Shown("free mem", 8, key="memory", priority=12)),
    field("feature", "words", "features", "feature it has", ("features",), listed=True, completed=True),
    field("job", "words", lambda r, c, t: [i for k in c.jobs_on.get(r.name, ()) for i in job_ids(k)], "job on it",
          facts="jobs"),
    field("user", "words", lambda r, c, t: users_on(r, c), "user with a job on it", facts="jobs", listed=True,
          column=Shown("jobs of", 10, _job_cell, key="jobs", priority=6, grow=1, max_width=16, volatile=True),
          export=(ExportField("jobs", _job_list),), snapshot=()),
    field("account", "words", lambda r, c, t: [j.account or "" for j in _jobs(r, c)], "account with a job on it",
          facts="jobs", listed=True),
    field("res", "text", "reservation", "reservation it is in", ("reservation",), listed=True, completed=True),
    field("util", "percent", _telemetry("gpu_util_pct"), "GPU utilisation in %", facts="loads",
          column=Shown("GPU util", 12, _util, align="left", priority=3, volatile=True),
          export=(load_export("gpu_util_pct"),), snapshot=(load_export("gpu_util_pct"), load_export("util_gpus"))),
    field("temp", "degrees", _telemetry("temp_c"), "hottest GPU in degrees Celsius", facts="loads",
          column=Shown("hottest", 7, priority=9), snapshot=()),
    field("power", "watts", _telemetry("power_w"), "power it draws", facts="loads",
          column=Shown("power", 8, priority=8),
          snapshot=(_power_export("power_w", 0), _power_export("power_basis", 1))),
    field("xid", "number", _telemetry("xid"), "last XID code", facts="loads"),
    field("uptime", "duration", lambda r, c, t: since(r.boot_at, t), "time since it booted"),
    field("version", "text", "version", "version of its slurmd", listed=True, completed=True),
    field("drift", "words", lambda r, c, t: [one.what for one in drift_by_node(c).get(r.name, ())],
          "what differs from most of its rack: driver, vbios, bios, bmc, kernel, slurmd", facts="checkups", listed=True,
          known=frozenset({"driver", "vbios", "bios", "bmc", "kernel", "slurmd"})),
    field("ticket", "text", lambda r, c, t: tickets.ticket_label(r), "ticket or RMA in comment, extra or reason"),
    field("comment", "text", "comment", "comment"),
)  # fmt: skip
#: The columns of the list of nodes, in this order.
NODES = columns_of(NODE_FIELDS, "name state gpus rack util temp power load cpus memory jobs partitions by age reason")
#: The keys of a node in the snapshot, in this order.
NODE_SNAPSHOT = snapshot_of(
    NODE_FIELDS,
    "name state flags display reason reason_by reason_at partitions cpus cpus_alloc cpu_load memory_mb free_memory_mb "
    "gpus gpus_alloc rack gpu_slices gpu_util_pct util_gpus power_w power_basis",
)


def node_text(node: Node, cluster: Cluster) -> str:
    """The text in which a plain word is searched, one part a line so that no match runs over two."""
    return "\n".join((
        node.name, node.display, *node.flags, node.reason or "", node.reason_by or "", node.rack or "",
        *node.partitions, *node.features, node.gpu_type or "", node.reservation or "", node.comment or "",
        *users_on(node, cluster),
    ))  # fmt: skip

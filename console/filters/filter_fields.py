"""The fields of nodes, jobs, partitions and reservations that a filter can test, in one table for each kind.

A reader gets the row, the Cluster and the time and returns None for unknown. Words and text are compared without regard
to case; numbers, sizes, durations and power accept the usual units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal

from msgspec import Struct

from collectors.jobstate import ENDED, WAITING, held
from collectors.model import Cluster, Job, Load, Node
from collectors.nodeset import expand
from collectors.nodestate import BASES, DISPLAYS
from console.health import tickets
from console.health.cooling_loops import loops_by_rack
from console.health.version_drift import drift_by_node

Kind = Literal["node", "job", "partition", "reservation"]
Read = Callable[[Any, Cluster, float], Any]
Shape = Literal["text", "words", "names", "holds", "number", "size", "duration", "watts", "percent", "degrees"]
"""text: one string. words: several, any of them counts. names: text that may be given as a node set. holds: a folded
node set, tested by its members. The rest are numbers, in MB, seconds, watts, % and °C where they have a unit.
"""

NUMERIC_SHAPES = frozenset({"number", "size", "duration", "watts", "percent", "degrees"})
_UNITS: dict[str, dict[str, float]] = {
    "number": {"": 1, "k": 1e3, "m": 1e6},
    "percent": {"": 1, "%": 1},
    "degrees": {"": 1, "c": 1, "°": 1, "°c": 1},
    "size": {"": 1, "k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2, "p": 1024**3},
    "watts": {"": 1, "w": 1, "kw": 1e3, "mw": 1e6},
    "duration": {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800},
}
_EXAMPLES = {
    "number": "8", "size": "512G", "watts": "700W or 12kW", "duration": "30m, 2h, 1d12h or 1-00:00:00",
    "percent": "90 or 90%", "degrees": "64 or 64°C",
}  # fmt: skip
#: Shapes whose values are shown with a scaled unit, and what a number without one may mean.
_UNIT_REQUIRED = {"watts": ("kW", "W"), "size": ("GB", "MB")}
#: Units as the columns show them, a blank before each (`6.2 kW`, `64 °C`).
DISPLAY_UNITS: Mapping[str, frozenset[str]] = {
    "watts": frozenset({"w", "kw", "mw"}), "size": frozenset({"mb", "gb", "tb"}), "percent": frozenset({"%"}),
    "degrees": frozenset({"°c", "c"}), "duration": frozenset({"s", "m", "h", "d"}),
}  # fmt: skip
_NUMBER = re.compile(r"(-?[0-9]{1,15}(?:\.[0-9]{1,6})?)([a-z%°]*)")
_TIMES = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?[a-z]+)+")
_TIME = re.compile(r"([0-9.]+)([a-z]+)")
_SLURM_TIME = re.compile(r"(?:([0-9]{1,6})-)?([0-9]{1,6}):([0-9]{2})(?::([0-9]{2}))?")

#: Short spellings of states, as in squeue and sinfo or as people type them.
NODE_STATES = {
    "alloc": "allocated", "mix": "mixed", "comp": "completing", "maint": "maintenance", "drng": "draining",
    "resv": "reserved", "unk": "unknown", "futr": "future", "off": "powered off", "no_respond": "not_responding",
    "inval": "invalid",
}  # fmt: skip
JOB_STATES = {
    "pd": "pending", "r": "running", "cg": "completing", "cd": "completed", "f": "failed", "ca": "cancelled",
    "to": "timeout", "nf": "node_fail", "s": "suspended", "oom": "out_of_memory", "pr": "preempted",
    "cf": "configuring", "rq": "requeued", "rh": "requeue_hold", "st": "stopped", "so": "stage_out", "dl": "deadline",
}  # fmt: skip


#: Flags that Slurm adds to a node's base state (slurm/slurm.h, 22.05 to 26.05), lower case.
_FLAGS = frozenset({
    "blocked", "cloud", "completing", "drain", "dynamic_future", "dynamic_norm", "external", "fail", "invalid_reg",
    "maintenance", "not_responding", "planned", "powered_down", "powering_down", "powering_up", "power_down",
    "power_drain", "power_up", "reboot_canceled", "reboot_issued", "reboot_requested", "reserved",
})  # fmt: skip
_BASES = frozenset(one.lower() for one in BASES)
#: Kind and field to values that are valid although no row has them now, lower case.
KNOWN_VALUES: Mapping[tuple[str, str], frozenset[str]] = {
    ("node", "state"): _FLAGS | _BASES | frozenset(DISPLAYS), ("node", "base"): _BASES,
    ("node", "drift"): frozenset({"driver", "vbios", "bios", "bmc", "kernel", "slurmd"}),
    ("job", "state"): frozenset({*JOB_STATES.values(), *(one.lower() for one in ENDED | WAITING), "held", "signaling",
                                 "resizing", "resv_del_hold", "update_db", "power_up_node"}),
}  # fmt: skip
#: Fields with values that can be listed: a value that no row has is probably a typo.
LISTABLE_FIELDS: Mapping[str, frozenset[str]] = {
    "node": frozenset({"state", "base", "by", "rack", "loop", "partition", "type", "feature", "user", "account", "res",
                       "version", "drift"}),
    "job": frozenset({"user", "account", "partition", "qos", "state", "rack", "loop"}),
    "partition": frozenset(), "reservation": frozenset(),
}  # fmt: skip


class FilterField(Struct, frozen=True):
    """One field that a filter can test."""

    name: str
    shape: Shape
    read: Read
    help: str
    aliases: tuple[str, ...] = ()
    spellings: Mapping[str, str] = {}
    """Short value to long value."""
    count: Read | None = None
    """Reads the number that < and > compare on a field that is not a number (`nodes>4`)."""
    titles: tuple[str, ...] = ()
    """Lower-case titles of the columns that show it, where they differ from its name."""
    facts: str = ""
    """Field of the Cluster that holds it, where that is not the row itself."""


def parse_number(shape: str, text: str) -> tuple[float, int | None]:
    """A typed number in the field's own unit, and its decimals where it has no unit. Raises ValueError with a message
    for the user.
    """
    low = text.lower().replace(",", "").strip()
    match = _NUMBER.fullmatch(low)
    unit = match[2] if match else ""
    if match is not None and not unit and shape in _UNIT_REQUIRED and float(match[1]):
        raise ValueError(f"needs a unit: {' or '.join(match[1] + one for one in _UNIT_REQUIRED[shape])}?")
    if shape == "size" and len(unit) > 1:
        unit = unit.removesuffix("b").removesuffix("i")
    if match is not None and unit in _UNITS[shape]:
        scale = _UNITS[shape][unit]
        return float(match[1]) * scale, len(match[1].partition(".")[2]) if scale == 1 else None
    if shape == "duration":
        return float(_duration(low)), None
    raise ValueError(f"is not a number, like {_EXAMPLES[shape]}")


def _duration(low: str) -> float:
    clock = _SLURM_TIME.fullmatch(low)
    if clock is not None:
        days, high, middle, last = clock.groups()
        if last is None and days is None:  # Slurm reads 10:30 as minutes and seconds
            return int(high) * 60 + int(middle)
        return int(days or 0) * 86_400 + int(high) * 3600 + int(middle) * 60 + int(last or 0)
    if low == "0":
        return 0
    units = _UNITS["duration"]
    if _TIMES.fullmatch(low):
        parts = _TIME.findall(low)
        if all(unit in units and value.count(".") < 2 for value, unit in parts):
            return sum(float(value) * units[unit] for value, unit in parts)
    raise ValueError(f"is not a time with its unit, like {_EXAMPLES['duration']}")


def expand_or_none(text: str | None) -> tuple[str, ...]:
    """The nodes in a folded set; none when it is unknown or not a set."""
    if not text:
        return ()
    try:
        return expand(text)
    except ValueError:
        return ()


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


def job_ids(job: str) -> tuple[str, ...]:
    """The ids that match an array task, its own and the array's: `101_3` is found as 101_3 and as 101."""
    base = re.split(r"[_+]", job, maxsplit=1)[0]
    return (job,) if base == job else (job, base)


def _base_id(job: Job) -> int | None:
    base = job_ids(job.id)[-1]
    return int(base) if base.isascii() and base.isdigit() and len(base) < 16 else None


def _racks(job: Job, cluster: Cluster) -> tuple[str, ...]:
    nodes = (cluster.nodes.get(name) for name in expand_or_none(job.nodes))
    return tuple({node.rack for node in nodes if node is not None and node.rack is not None})


def _loops(job: Job, cluster: Cluster) -> list[str]:
    return [loop for rack in _racks(job, cluster) for loop in loops_by_rack(cluster).get(rack, ())]


def _since(then: int | None, now: float) -> float | None:
    return None if then is None else max(0.0, now - then)


def _until(then: int | None, now: float) -> float | None:
    return None if then is None else max(0.0, then - now)


def _free_gpus(node: Node) -> int | None:
    return None if node.gpus is None or node.gpus_alloc is None else node.gpus - node.gpus_alloc


def _split_commas(text: str | None) -> list[str]:
    return (text or "").split(",")


def _telemetry(attribute: str) -> Read:
    def read(node: Node, cluster: Cluster, _now: float) -> float | None:
        load = _load(node, cluster)
        return None if load is None else getattr(load, attribute)

    return read


_NODE = (
    FilterField("name", "names", lambda r, c, t: r.name, "name, or a node set", ("node",)),
    FilterField(
        "state",
        "words",
        lambda r, c, t: state_words(r.display, r.state, r.flags),
        "the word on the screen, or any of Slurm's flags",
        spellings=NODE_STATES,
    ),
    FilterField("base", "text", lambda r, c, t: r.state, "Slurm's base state", spellings=NODE_STATES),
    FilterField("reason", "text", lambda r, c, t: r.reason, "why it is down or drained"),
    FilterField("by", "text", lambda r, c, t: r.reason_by, "who gave the reason"),
    FilterField("age", "duration", lambda r, c, t: _since(r.reason_at, t), "age of the reason", titles=("since",)),
    FilterField("rack", "text", lambda r, c, t: r.rack, "rack"),
    FilterField("loop", "words", lambda r, c, t: loops_by_rack(c).get(r.rack or "", ()), "cooling loop it hangs on",
          ("cdu",), facts="cooling"),
    FilterField("partition", "words", lambda r, c, t: r.partitions, "partition it is in", ("part",),
        titles=("partitions",)),
    FilterField("gpu", "number", lambda r, c, t: r.gpus, "GPUs it has", ("gpus",)),
    FilterField("free", "number", lambda r, c, t: _free_gpus(r), "GPUs that no job holds"),
    FilterField("type", "text", lambda r, c, t: r.gpu_type, "type of its GPUs"),
    FilterField("load", "number", lambda r, c, t: r.cpu_load, "CPU load"),
    FilterField("cpu", "number", lambda r, c, t: r.cpus, "CPUs it has", ("cpus",)),
    FilterField("mem", "size", lambda r, c, t: r.memory_mb, "memory it has", ("memory",)),
    FilterField("memfree", "size", lambda r, c, t: r.free_memory_mb, "memory that is free", titles=("free mem",)),
    FilterField("feature", "words", lambda r, c, t: r.features, "feature it has", ("features",)),
    FilterField("job", "words", lambda r, c, t: [i for k in c.jobs_on.get(r.name, ()) for i in job_ids(k)], "job on it",
          facts="jobs"),
    FilterField("user", "words", lambda r, c, t: users_on(r, c), "user with a job on it", titles=("jobs of",),
        facts="jobs"),
    FilterField("account", "words", lambda r, c, t: [j.account or "" for j in _jobs(r, c)], "account with a job on it",
          facts="jobs"),
    FilterField("res", "text", lambda r, c, t: r.reservation, "reservation it is in", ("reservation",)),
    FilterField("util", "percent", _telemetry("gpu_util_pct"), "GPU utilisation in %", titles=("gpu util",),
        facts="loads"),
    FilterField("temp", "degrees", _telemetry("temp_c"), "hottest GPU in degrees Celsius", titles=("hottest",),
          facts="loads"),
    FilterField("power", "watts", _telemetry("power_w"), "power it draws", facts="loads"),
    FilterField("xid", "number", _telemetry("xid"), "last XID code", facts="loads"),
    FilterField("uptime", "duration", lambda r, c, t: _since(r.boot_at, t), "time since it booted"),
    FilterField("version", "text", lambda r, c, t: r.version, "version of its slurmd"),
    FilterField("drift", "words", lambda r, c, t: [one.what for one in drift_by_node(c).get(r.name, ())],
          "what differs from most of its rack: driver, vbios, bios, bmc, kernel, slurmd", facts="checkups"),
    FilterField("ticket", "text", lambda r, c, t: tickets.ticket_label(r), "ticket or RMA in comment, extra or reason"),
    FilterField("comment", "text", lambda r, c, t: r.comment, "comment"),
)  # fmt: skip
_JOB = (
    FilterField("id", "words", lambda r, c, t: job_ids(r.id), "id; an array's id finds all its tasks", ("job",),
          count=lambda r, c, t: _base_id(r)),
    FilterField("name", "text", lambda r, c, t: r.name, "name"),
    FilterField("user", "text", lambda r, c, t: r.user, "owner"),
    FilterField("account", "text", lambda r, c, t: r.account, "account"),
    FilterField("partition", "words", lambda r, c, t: _split_commas(r.partition), "partition", ("part",)),
    FilterField("qos", "text", lambda r, c, t: r.qos, "quality of service"),
    FilterField("state", "words", lambda r, c, t: (r.state, "held") if held(r) else (r.state,),
          "state, long or short (PENDING, PD), or held", spellings=JOB_STATES),
    FilterField("reason", "text", lambda r, c, t: r.reason, "why it waits or ended"),
    FilterField("node", "holds", lambda r, c, t: r.nodes, "nodes it runs on; < and > count them", ("nodes",),
          count=lambda r, c, t: r.node_count, titles=("nodes or why",)),
    FilterField("gpu", "number", lambda r, c, t: r.gpus, "GPUs it asks for or holds", ("gpus",)),
    FilterField("cpu", "number", lambda r, c, t: r.cpus, "CPUs", ("cpus",)),
    FilterField("prio", "number", lambda r, c, t: r.priority, "priority", ("priority",)),
    FilterField("restarts", "number", lambda r, c, t: r.restarts, "times it was requeued"),
    FilterField("wait", "duration", lambda r, c, t: _since(r.submitted, t) if r.started is None else None,
          "time it has been pending"),
    FilterField("elapsed", "duration", lambda r, c, t: r.elapsed_s(t), "time since it started", titles=("for",)),
    FilterField("left", "duration", lambda r, c, t: r.left_s(t), "time until its limit"),
    FilterField("limit", "duration", lambda r, c, t: r.time_limit_s, "time limit"),
    FilterField("rack", "words", lambda r, c, t: _racks(r, c), "rack it runs in", facts="nodes"),
    FilterField("loop", "words", lambda r, c, t: _loops(r, c), "cooling loop it runs on", ("cdu",), facts="cooling"),
)  # fmt: skip
_PARTITION = (
    FilterField("name", "text", lambda r, c, t: r.name, "name", ("partition",)),
    FilterField("state", "text", lambda r, c, t: r.state, "UP, DOWN, DRAIN or INACTIVE"),
    FilterField("default", "text", lambda r, c, t: "yes" if r.default else "no", "yes or no"),
    FilterField("node", "holds", lambda r, c, t: r.nodes, "nodes in it; < and > count them", ("nodes",),
          count=lambda r, c, t: r.node_count),
    FilterField("gpu", "number", lambda r, c, t: r.gpus, "GPUs in it", ("gpus",)),
    FilterField("cpu", "number", lambda r, c, t: r.cpus, "CPUs in it", ("cpus",)),
    FilterField("limit", "duration", lambda r, c, t: r.time_limit_s, "longest time limit"),
    FilterField("tier", "number", lambda r, c, t: r.priority_tier, "priority tier"),
    FilterField("qos", "text", lambda r, c, t: r.qos, "quality of service"),
    FilterField("account", "words", lambda r, c, t: _split_commas(r.allow_accounts), "account that may use it"),
    FilterField("denied", "words", lambda r, c, t: _split_commas(r.deny_accounts), "account that may not use it"),
)  # fmt: skip
_RESERVATION = (
    FilterField("name", "text", lambda r, c, t: r.name, "name", ("res", "reservation")),
    FilterField("state", "text", lambda r, c, t: r.state, "ACTIVE or INACTIVE"),
    FilterField("node", "holds", lambda r, c, t: r.nodes, "nodes in it; < and > count them", ("nodes",),
          count=lambda r, c, t: r.node_count),
    FilterField("partition", "text", lambda r, c, t: r.partition, "partition", ("part",)),
    FilterField("user", "words", lambda r, c, t: _split_commas(r.users), "user who may use it"),
    FilterField("account", "words", lambda r, c, t: _split_commas(r.accounts), "account that may use it"),
    FilterField("flag", "words", lambda r, c, t: r.flags, "flag", ("flags",)),
    FilterField("starts", "duration", lambda r, c, t: _until(r.starts, t), "time until it starts"),
    FilterField("left", "duration", lambda r, c, t: _until(r.ends, t), "time until it ends"),
    FilterField("comment", "text", lambda r, c, t: r.comment, "comment"),
)  # fmt: skip

#: Kind to its fields, in the order of the help.
FIELDS: Mapping[str, tuple[FilterField, ...]] = {
    "node": _NODE, "job": _JOB, "partition": _PARTITION, "reservation": _RESERVATION,
}  # fmt: skip

#: Kind to the text in which a plain word is searched, one part a line so that no match runs over two.
SEARCH_TEXT: Mapping[str, Callable[[Any, Cluster], str]] = {
    "node": lambda r, c: "\n".join((
        r.name, r.display, *r.flags, r.reason or "", r.reason_by or "", r.rack or "", *r.partitions,
        *r.features, r.gpu_type or "", r.reservation or "", r.comment or "", *users_on(r, c),
    )),
    "job": lambda r, c: (
        f"{r.id}\n{r.name}\n{r.user}\n{r.account or ''}\n{r.partition or ''}\n{r.qos or ''}\n{r.state}\n"
        f"{r.reason or ''}\n{r.nodes or ''}"
    ),
    "partition": lambda r, c: f"{r.name}\n{r.state}\n{r.nodes or ''}\n{r.qos or ''}\n{r.allow_accounts or ''}",
    "reservation": lambda r, c: "\n".join((
        r.name, r.state, r.nodes or "", r.partition or "", *r.flags, r.users or "", r.accounts or "", r.comment or "",
    )),
}  # fmt: skip

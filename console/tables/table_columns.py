"""Columns of the node and job tables, as data: cell text, sort order, and which columns are dropped when narrow."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from collectors.jobstate import held, job_word
from collectors.model import Cluster, Job, Node
from collectors.nodeset import natural_key
from collectors.nodestate import DISPLAYS
from console.tables.exports import attribute, moment
from themes.roles import job_look, state_look
from widgets.cells import Cell, gauge
from widgets.table_column import Column, ExportField, always_identity
from widgets.units import UNKNOWN, clock_span, count, degrees, duration, memory, power


class Ctx(Struct, frozen=True, eq=False):
    """What a cell needs beside its row: the cluster, and the wall clock rounded to what a cell can show."""

    cluster: Cluster
    now: float


_RANK = {word: rank for rank, word in enumerate(DISPLAYS)}


def state_cell(node: Node, _: Ctx | None = None) -> Cell:
    """Glyph and word of a node's state, followed by flags that the word does not cover."""
    glyph, role = state_look(node.display)
    star = "*" if "NOT_RESPONDING" in node.flags and node.display in {"down", "drained", "draining"} else ""
    return (f"{glyph} {node.display}{star}", role)


def job_state_cell(job: Job, _: Ctx | None = None) -> Cell:
    """Glyph and word of a job's state."""
    glyph, role = job_look("HELD" if held(job) else job.state)
    return (f"{glyph} {job_word(job)}", role)


def dim(value: str | None) -> Cell:
    """A value, or a dash where it is unknown or unset, in the dim colour."""
    return (UNKNOWN, "text-dim") if value is None else value


def used(part: int | None, whole: int | None) -> str:
    """`6/8`: used of all."""
    return UNKNOWN if whole is None else f"{'?' if part is None else part}/{whole}"


def _gpus(node: Node, _: Ctx) -> Cell:
    if node.gpus == 0:
        return ("none", "text-dim")
    return used(node.gpus_alloc, node.gpus)


def _load(node: Node, ctx: Ctx, field: str) -> Any:
    load = ctx.cluster.loads.get(node.name)
    return None if load is None else getattr(load, field)


def _util(node: Node, ctx: Ctx) -> Cell:
    value = _load(node, ctx, "gpu_util_pct")
    if value is None:
        return (UNKNOWN, "text-dim")
    return [*gauge(value / 100, 6), (f" {value:3.0f} %", "")]


def _node_jobs(node: Node, ctx: Ctx) -> Cell:
    if "jobs" not in ctx.cluster.known:
        return (UNKNOWN, "text-dim")
    ids = ctx.cluster.jobs_on.get(node.name, ())
    if not ids:
        return ""
    first = ctx.cluster.jobs.get(ids[0])
    more = f" +{len(ids) - 1}" if len(ids) > 1 else ""
    return f"{first.user if first else ids[0]}{more}"


def _by(node: Node, _: Ctx) -> Cell:
    return node.reason_by or ""


def _reason_age(node: Node, ctx: Ctx) -> Cell:
    return "" if node.reason is None else duration(None if node.reason_at is None else ctx.now - node.reason_at)


def load_export(name: str) -> ExportField:
    """A figure of a node's telemetry."""
    return ExportField(
        name, lambda n, c: None if (load := c.cluster.loads.get(n.name)) is None else getattr(load, name)
    )


NODES: tuple[Column, ...] = (
    Column("name", "node", 9, lambda n, _: n.name, lambda n: natural_key(n.name), grow=1, max_width=18,
           identity=always_identity, export=(attribute("name"),)),
    Column("state", "state", 13, state_cell, lambda n: (_RANK.get(n.display, -1), natural_key(n.name)),
           export=(attribute("state", "display"),
               ExportField("slurm_state", lambda n, _: "+".join((n.state, *n.flags))))),
    Column("gpus", "GPUs", 5, _gpus, lambda n: n.gpus_alloc, align="right", priority=2, descending=True,
           export=(attribute("gpus_alloc"), attribute("gpus"))),
    Column("rack", "rack", 5, lambda n, _: dim(n.rack), lambda n: n.rack and natural_key(n.rack), priority=5,
           export=(attribute("rack"),)),
    Column("util", "GPU util", 12, _util, priority=6, volatile=True, export=(load_export("gpu_util_pct"),)),
    Column("temp", "hottest", 7, lambda n, c: degrees(_load(n, c, "temp_c")), priority=9, align="right",
           volatile=True, export=(load_export("temp_c"),)),
    Column("power", "power", 8, lambda n, c: power(_load(n, c, "power_w")), priority=8, align="right", volatile=True,
           export=(load_export("power_w"),)),
    Column("load", "load", 6, lambda n, _: UNKNOWN if n.cpu_load is None else f"{n.cpu_load:.1f}",
           lambda n: n.cpu_load, align="right", priority=10, descending=True, export=(attribute("cpu_load"),)),
    Column("cpus", "CPUs", 8, lambda n, _: used(n.cpus_alloc, n.cpus), lambda n: n.cpus_alloc, align="right",
           priority=11, descending=True, export=(attribute("cpus_alloc"), attribute("cpus"))),
    Column("memory", "free mem", 8, lambda n, _: memory(n.free_memory_mb), lambda n: n.free_memory_mb, align="right",
           priority=12, export=(attribute("free_memory_mb"),)),
    Column("jobs", "jobs of", 10, _node_jobs, priority=7, grow=1, max_width=16, volatile=True,
           export=(ExportField("jobs", lambda n, c: c.cluster.jobs_on.get(n.name,
               ()) if "jobs" in c.cluster.known else None),)),
    Column("partitions", "partitions", 10, lambda n, _: ",".join(n.partitions), lambda n: n.partitions, priority=13,
           grow=1, max_width=20, export=(attribute("partitions"),)),
    Column("by", "by", 6, _by, lambda n: n.reason_by, priority=4, max_width=10, grow=1,
           export=(attribute("reason_by"),)),
    Column("age", "since", 7, _reason_age, lambda n: n.reason_at, align="right", priority=3, volatile=True,
           export=(moment("reason_at"),)),
    Column("reason", "reason", 14, lambda n, _: n.reason or "", lambda n: n.reason, priority=1, grow=6,
           export=(attribute("reason"),)),
)  # fmt: skip


def _job_gpus(job: Job, _: Ctx) -> Cell:
    return count(job.gpus)


def _elapsed(job: Job, ctx: Ctx) -> Cell:
    if job.started is None:
        wait = None if job.submitted is None else ctx.now - job.submitted
        return (duration(wait), "text-dim")
    return duration(job.elapsed_s(ctx.now))


def _left(job: Job, ctx: Ctx) -> Cell:
    if job.started is not None:
        return ("no limit", "text-dim") if job.unlimited else duration(job.left_s(ctx.now))
    if job.expected is None or job.expected <= ctx.now:
        return ("", "")
    return (f"in {duration(job.expected - ctx.now)}", "text-dim")


def _where(job: Job, _: Ctx) -> Cell:
    if job.nodes is not None:
        return job.nodes
    return ("" if job.reason is None else job.reason, "job-held" if held(job) else "text-dim")


def _job_key(job: Job) -> int:
    """Job number and array task as one integer: 100,000 of these take 4 MB and sort fast."""
    head, _, task = job.id.partition("_")
    number = int(head) if head.isdecimal() else 0
    # 101_[3-9] holds the waiting tasks, and sorts before them.
    return number << 32 | (min(int(task), 0xFFFFFFFE) + 1 if task.isdecimal() else 0)


JOBS: tuple[Column, ...] = (
    Column("id", "job", 9, lambda j, _: j.id, _job_key, grow=1, max_width=14, identity=always_identity,
           export=(attribute("id"),)),
    Column("state", "state", 12, job_state_cell, lambda j: (j.state, _job_key(j)),
           export=(ExportField("state", lambda j, _: job_word(j)), attribute("slurm_state", "state"))),
    Column("user", "user", 9, lambda j, _: j.user, lambda j: j.user, grow=2, max_width=14),
    Column("name", "name", 12, lambda j, _: j.name, lambda j: j.name, priority=3, min_width=10, grow=3, max_width=32),
    Column("account", "account", 12, lambda j, _: dim(j.account), lambda j: j.account, priority=9, grow=1,
           max_width=18, export=(attribute("account"),)),
    Column("partition", "part", 6, lambda j, _: dim(j.partition), lambda j: j.partition, priority=6, grow=1,
           max_width=12, export=(attribute("partition"),)),
    Column("qos", "QOS", 7, lambda j, _: dim(j.qos), lambda j: j.qos, priority=12, export=(attribute("qos"),)),
    Column("nodes_n", "nodes", 5, lambda j, _: count(j.node_count), lambda j: j.node_count, align="right", priority=5,
           descending=True, export=(attribute("node_count"),)),
    Column("gpus", "GPUs", 6, _job_gpus, lambda j: j.gpus, align="right", priority=1, descending=True,
           export=(attribute("gpus"), attribute("gpus_held"))),
    Column("elapsed", "for", 7, _elapsed, lambda j: None if j.started is None else -j.started, align="right",
           priority=2, volatile=True,
           export=(moment("submitted"), moment("started"), ExportField("elapsed_s", lambda j, c: j.elapsed_s(c.now)))),
    Column("left", "left", 8, _left,
           lambda j: None if j.started is None or j.time_limit_s is None else j.started + j.time_limit_s,
           align="right", priority=7, volatile=True,
           export=(moment("expected"), ExportField("left_s", lambda j, c: j.left_s(c.now)))),
    Column("limit", "limit", 10, lambda j, _: "none" if j.unlimited else clock_span(j.time_limit_s),
           lambda j: j.time_limit_s, align="right", priority=13, descending=True, export=(attribute("time_limit_s"),)),
    Column("priority", "priority", 10, lambda j, _: count(j.priority), lambda j: j.priority, align="right",
           priority=11, descending=True, export=(attribute("priority"),)),
    Column("restarts", "restarts", 8, lambda j, _: count(j.restarts), lambda j: j.restarts, align="right",
           priority=10, descending=True, export=(attribute("restarts"),)),
    Column("where", "nodes or why", 15, _where, lambda j: j.nodes or j.reason, priority=4, min_width=12, grow=4,
           export=(attribute("nodes"), attribute("reason"))),
)  # fmt: skip

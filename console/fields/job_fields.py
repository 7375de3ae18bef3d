"""The fields of a job, one row each. A new row comes last in the list of jobs, unless `JOBS` names its column."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING

from collectors.jobstate import ENDED, WAITING, held, job_word
from collectors.model import Cluster, Job
from console.health.cooling_loops import loops_by_rack
from console.queue.job_arrays import JobArray
from themes.roles import job_look
from widgets.table_column import ExportField, always_identity
from widgets.units import clock_span, duration

from .common_cells import Ctx, dim, job_state_cell
from .field import Field, Shown, attribute, columns_of, field, moment, since, snapshot_of, split_commas
from .shapes import expand_or_none

if TYPE_CHECKING:
    from widgets.cells import Cell

#: Short spellings of states, as in squeue or as people type them.
JOB_STATES = {
    "pd": "pending", "r": "running", "cg": "completing", "cd": "completed", "f": "failed", "ca": "cancelled",
    "to": "timeout", "nf": "node_fail", "s": "suspended", "oom": "out_of_memory", "pr": "preempted",
    "cf": "configuring", "rq": "requeued", "rh": "requeue_hold", "st": "stopped", "so": "stage_out", "dl": "deadline",
}  # fmt: skip
#: Every state, lower case.
JOB_STATE_WORDS = frozenset({
    *JOB_STATES.values(), *(one.lower() for one in ENDED | WAITING), "held", "signaling", "resizing", "resv_del_hold",
    "update_db", "power_up_node",
})  # fmt: skip


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


def _id(job: Job, _: Ctx) -> Cell:
    return f"{job.id} {'-' if job.is_open else '+'}" if isinstance(job, JobArray) else job.id


def _state(job: Job, _: Ctx) -> Cell:
    """A job's state; of an array the leading one, with the number of its tasks."""
    if not isinstance(job, JobArray):
        return job_state_cell(job)
    (word, number), *_rest = job.counts
    glyph, role = job_look("HELD" if held(job) else job.state)
    return (f"{glyph} {_number(number)} {word}", role)


def _number(number: int) -> str:
    """A number of tasks in at most four cells."""
    return str(number) if number < 10_000 else f"{number // 1000}k"


def _where(job: Job, _: Ctx) -> Cell:
    if isinstance(job, JobArray) and len(job.counts) > 1:
        return (", ".join(f"{number:,} {word}" for word, number in job.counts[1:]), "text-dim")
    if job.nodes is not None:
        return job.nodes
    return ("" if job.reason is None else job.reason, "job-held" if held(job) else "text-dim")


def _job_key(job: Job) -> int:
    """Job number and array task as one integer: 100,000 of these take 4 MB and sort fast."""
    head, _, task = job.id.partition("_")
    number = int(head) if head.isdecimal() else 0
    # 101_[3-9] holds the waiting tasks, and sorts before them.
    return number << 32 | (min(int(task), 0xFFFFFFFE) + 1 if task.isdecimal() else 0)


JOB_FIELDS: tuple[Field, ...] = (
    field("id", "words", lambda r, c, t: job_ids(r.id), "id; an array's id finds all its tasks", ("job",),
          count=lambda r, c, t: _base_id(r),
          column=Shown("job", 9, _id, _job_key, grow=1, max_width=14, identity=always_identity),
          export=("id",)),
    field("name", "text", "name", "name",
          column=Shown("name", 12, lambda j, _: j.name, priority=5, min_width=10, grow=3, max_width=32)),
    field("user", "text", "user", "owner", listed=True, completed=True,
          column=Shown("user", 9, lambda j, _: j.user, min_width=8, grow=2, max_width=14)),
    field("account", "text", "account", "account", listed=True, completed=True,
          column=Shown("account", 12, priority=9, grow=1, max_width=18)),
    field("partition", "words", lambda r, c, t: split_commas(r.partition), "partition", ("part",), listed=True,
          completed=True, export=("partition",),
          column=Shown("part", 6, lambda j, _: dim(j.partition), attrgetter("partition"), priority=2, grow=1,
                       max_width=12)),
    field("qos", "text", "qos", "quality of service", listed=True, completed=True,
          column=Shown("QOS", 7, priority=12), snapshot=()),
    field("state", "words", lambda r, c, t: (r.state, "held") if held(r) else (r.state,),
          "state, long or short (PENDING, PD), or held", spellings=JOB_STATES, known=JOB_STATE_WORDS, listed=True,
          completed=True, column=Shown("state", 12, _state, lambda j: (j.state, _job_key(j))),
          export=(ExportField("state", lambda j, _: job_word(j)), attribute("slurm_state", "state")),
          snapshot=("state",)),
    field("reason", "text", "reason", "why it waits or ended", completed=True, snapshot=("reason",)),
    field("node", "holds", "nodes", "nodes it runs on; < and > count them", ("nodes",),
          count=lambda r, c, t: r.node_count,
          column=Shown("nodes or why", 15, _where, lambda j: j.nodes or j.reason, key="where", priority=4, min_width=12,
                       grow=4),
          export=("nodes", "reason"), snapshot=("nodes",)),
    field("nodes_n", "number", "node_count", "number of its nodes", filtered=False,
          column=Shown("nodes", 5, priority=7)),
    field("gpu", "number", "gpus", "GPUs it asks for or holds", ("gpus",), export=("gpus", "gpus_held"),
          column=Shown("GPUs", 6, key="gpus", priority=1, min_width=5), snapshot=("gpus",)),
    field("cpu", "number", "cpus", "CPUs", ("cpus",), snapshot=("cpus",)),
    field("prio", "number", "priority", "priority", ("priority",),
          column=Shown("priority", 10, key="priority", priority=11)),
    field("restarts", "number", "restarts", "times it was requeued", column=Shown("restarts", 8, priority=10)),
    field("wait", "duration", lambda r, c, t: since(r.submitted, t) if r.started is None else None,
          "time it has been pending"),
    field("elapsed", "duration", lambda r, c, t: r.elapsed_s(t), "time since it started",
          column=Shown("for", 7, _elapsed, lambda j: None if j.started is None else -j.started, priority=6,
                       volatile=True),
          export=(moment("submitted"), moment("started"),
                  ExportField("elapsed_s", lambda j, c: j.elapsed_s(c.now)))),
    field("left", "duration", lambda r, c, t: r.left_s(t), "time until its limit",
          column=Shown("left", 9, _left,
                       lambda j: None if j.started is None or j.time_limit_s is None else j.started + j.time_limit_s,
                       priority=3, min_width=8, volatile=True),
          export=(moment("expected"), ExportField("left_s", lambda j, c: j.left_s(c.now))),
          snapshot=(moment("expected"),)),
    field("limit", "duration", "time_limit_s", "time limit",
          column=Shown("limit", 10, lambda j, _: "none" if j.unlimited else clock_span(j.time_limit_s), priority=13,
                       descending=True)),
    field("rack", "words", lambda r, c, t: _racks(r, c), "rack it runs in", facts="nodes", listed=True),
    field("loop", "words", lambda r, c, t: _loops(r, c), "cooling loop it runs on", ("cdu",), facts="cooling",
          listed=True),
)  # fmt: skip
#: The columns of the list of jobs, in this order.
JOBS = columns_of(
    JOB_FIELDS,
    "id state user name account partition qos nodes_n gpus elapsed left limit priority restarts where",
)
#: The keys of a job in the snapshot, in this order.
JOB_SNAPSHOT = snapshot_of(
    JOB_FIELDS,
    "id name user account partition state reason nodes node_count cpus gpus submitted started expected time_limit_s "
    "elapsed_s priority restarts",
)


def job_text(job: Job, _: Cluster) -> str:
    """The text in which a plain word is searched, one part a line so that no match runs over two."""
    return (
        f"{job.id}\n{job.name}\n{job.user}\n{job.account or ''}\n{job.partition or ''}\n{job.qos or ''}\n"
        f"{job.state}\n{job.reason or ''}\n{job.nodes or ''}"
    )

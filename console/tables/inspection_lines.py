"""Lines of the inspections of one node and one job. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.model import Cluster, Gpu, Job, JobDetail, Node
from collectors.nodeset import fold
from console.fields.common_cells import job_state_cell, state_cell, used
from console.health import version_drift
from console.health.drain_reasons import is_automation
from console.health.inconsistencies import inconsistencies, suspect_nodes, xids_by_node
from console.health.unknown_reasons import why_unknown
from console.health.xid_policy import Policy, preceding_xid
from console.journal.past_actions import PastAction, drains_text
from console.plant import cooling, nvlink_domains
from console.queue.job_arrays import JobArray
from console.runtime.memo import Sum
from widgets.cells import Span, pad, spans_of
from widgets.pane import PaneLine, pane_line
from widgets.units import UNKNOWN, clock_span, count, degrees, duration, memory, percent, power, when

from .cooling_columns import node_cooling_lines
from .domain_columns import node_domain_lines

_LABEL = 15
NODE_SUMS: tuple[Sum, ...] = (suspect_nodes, version_drift.drift_by_node, nvlink_domains.domain_of_node, cooling.loops)
"""Sums needed for the lines of a node."""


def fact(label: str, *spans: Span | str) -> PaneLine:
    """One fact with its label."""
    return PaneLine(
        [(f"{label:<{_LABEL}}", "text-dim"), *((one, "") if isinstance(one, str) else one for one in spans)]
    )


def _moment(epoch: int | None, now: float) -> str:
    return UNKNOWN if epoch is None else f"{when(epoch, None, now)}  ({duration(now - epoch)} ago)"


def _some(number: int | None, word: str) -> str:
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def node_head(node: Node, cluster: Cluster, now: float) -> list[PaneLine]:
    """State, reason with author and time, and running jobs."""
    lines = [fact("state", *spans_of(state_cell(node)), (f"   {'+'.join((node.state, *node.flags))}", "text-dim"))]
    if node.reason is not None:
        who = node.reason_by or "unknown"
        kind = "automation" if is_automation(node.reason_by, node.reason) else "human" if node.reason_by else ""
        since = UNKNOWN if node.reason_at is None else duration(now - node.reason_at)
        lines.append(fact("reason", (node.reason, "text-strong")))
        lines.append(
            fact(
                "set by",
                f"{who}",
                (f" ({kind})" if kind else "", "text-dim"),
                f"  {since} ago",
                (f"  {when(node.reason_at, None, now)}", "text-dim"),
            )
        )
    return lines


def node_lines(node: Node, cluster: Cluster, now: float) -> list[PaneLine]:
    """All facts of Slurm about a node."""
    load = cluster.loads.get(node.name)
    gpus = used(node.gpus_alloc, node.gpus) + (f" {node.gpu_type}" if node.gpu_type else "")
    lines = [
        *node_head(node, cluster, now),
        fact("rack", node.rack or UNKNOWN),
        *node_domain_lines(node.name, cluster),
        *node_cooling_lines(node.name, cluster, now),
        fact("partitions", ", ".join(node.partitions) or "none"),
        fact("GPUs in jobs", gpus, (f"   indices {node.gpus_used}" if node.gpus_used else "", "text-dim")),
        fact(
            "CPUs in jobs",
            used(node.cpus_alloc, node.cpus),
            f"   load {UNKNOWN if node.cpu_load is None else f'{node.cpu_load:.2f}'}",
        ),
        fact(
            "memory",
            f"{memory(node.memory_alloc_mb)} of {memory(node.memory_mb)} in jobs, {memory(node.free_memory_mb)} free",
        ),
    ]
    if load is not None:
        lines.append(
            fact(
                "telemetry",
                f"GPU {percent(load.gpu_util_pct, 0)}   hottest {degrees(load.temp_c)}   {power(load.power_w)}",
                (f"   XID {load.xid}" if load.xid is not None else "", "bad"),
            )
        )
    lines += [
        fact("booted", _moment(node.boot_at, now)),
        fact(
            "slurmd", _moment(node.slurmd_at, now), (f"   version {node.version}" if node.version else "", "text-dim")
        ),
        fact("last busy", _moment(node.busy_at, now)),
        fact("address", node.address or UNKNOWN),
        fact("features", ", ".join(node.features) or "none"),
    ]
    optional = (("reservation", node.reservation), ("comment", node.comment), ("extra", node.extra))
    return lines + [fact(label, text) for label, text in optional if text]


def problem_lines(
    name: str,
    cluster: Cluster,
    policy: Policy,
    now: float,
    mono: float | None = None,
    resumed: Mapping[str, float] = {},
) -> list[PaneLine]:
    """XIDs of the node with their meaning, the policy's advice and its source, and inconsistent facts."""
    lines: list[PaneLine] = []
    node = cluster.nodes.get(name)
    known = xids_by_node(cluster).get(name, [])
    if unknown := why_unknown(cluster, "xids"):
        lines.append(pane_line((f"XIDs {unknown}", "text-dim")))
    for xid in sorted(known, key=lambda one: -(one.last_at or 0)):
        advice = policy.advice_for(xid.code, xid.severity)
        before = preceding_xid(xid, known)
        often = f" ×{count(xid.count)}" if xid.count is not None else ""
        gpu = "" if xid.gpu is None else f" GPU {xid.gpu}"
        boot = node.boot_at if node is not None else None
        since_boot = boot is not None and xid.last_at is not None and xid.last_at >= boot
        when_said = f"first {when(xid.first_at, None, now)}  last {when(xid.last_at, None, now)}"
        lines.append(
            PaneLine(
                [
                    (f"XID {xid.code}{often}{gpu}", "bad"),
                    (f" {xid.severity}" if xid.severity is not None else "", "text-strong"),
                    (f": {advice.meaning}" if advice is not None else "", ""),
                ]
            )
        )
        lines.append(pane_line([(f"  {when_said}", ""), ("  since boot" if since_boot else "", "warn")]))
        if advice is None:
            lines.append(pane_line((f"  no advice for XID {xid.code}", "text-dim")))
        else:
            lines.append(
                PaneLine(
                    [
                        ("  policy ", "text-dim"),
                        (f"{advice.action}", "text-strong"),
                        (f": {advice.followed.first_step}", ""),
                        (f"  ({advice.followed.source})", "text-dim"),
                    ]
                )
            )
        if before is not None:
            seen = when(before.last_at, None, now)
            lines.append(
                pane_line(
                    (
                        f"  before it XID {before.code} ({seen}): {policy.step(before.code, before.severity)}",
                        "warn",
                    )
                )
            )
        if advice is not None:
            for other in advice.others:
                lines.append(pane_line((f"  {other.source} says {other.action}: {other.first_step}", "text-dim")))
    for one in inconsistencies(cluster, now, policy, mono=mono, resumed=resumed, node=name):
        lines.append(PaneLine([("disagree  ", "warn"), (one.text, "")]))
    return lines


def process_lines(gpus: Sequence[Gpu]) -> list[PaneLine]:
    """The compute processes on the GPUs, where the driver reports them (not through Prometheus)."""
    lines: list[PaneLine] = []
    for gpu in gpus:
        for one in gpu.processes or ():
            held = f"job {one.job}" if one.job else "no job holds it"
            lines.append(
                PaneLine(
                    [
                        (f"GPU {gpu.index} ", "text-dim"),
                        (f"pid {one.pid} {one.name or UNKNOWN} {one.user or UNKNOWN}  {memory(one.memory_mb)}  ", ""),
                        (held, "" if one.job else "warn"),
                    ]
                )
            )
    return lines


def history_lines(acts: Sequence[PastAction], drains: Mapping[str, int] | None, now: float) -> list[PaneLine]:
    """Earlier actions on it from the journal, newest first."""
    lines = [pane_line((drains_text(drains), "text-dim"))] if drains is not None else []
    for act in acts:
        ago = UNKNOWN if act.at is None else f"{duration(now - act.at)} ago"
        about = f" {act.about}" if act.about else ""
        why = f' "{act.reason}"' if act.reason else ""
        undo = " as an undo" if act.undoes else ""
        role = "" if act.state == "done" else "warn"
        spans = [
            (f"{ago:>9} ", "text-dim"),
            (f"{act.action}{about} by {act.who}{undo}{why}", ""),
            (f"  {act.state}", role),
        ]
        lines.append(PaneLine([*spans, (f"  undone by {act.undone_by}", "text-dim")] if act.undone_by else spans))
    return lines


def job_rows(ids: Sequence[str], jobs: Mapping[str, Job], now: float) -> list[PaneLine]:
    """The jobs on a node; each can be opened."""
    lines = []
    for ref in ids:
        job = jobs.get(ref)
        if job is None:
            continue
        left = job.left_s(now)
        lines.append(
            PaneLine(
                [
                    (f"{job.id:<10} ", "text-strong"),
                    (f"{pad(job.user, 10)} ", ""),
                    (f"{pad(job.name, 18)} ", ""),
                    (f"{_some(job.gpus_held, 'GPU')} on {_some(job.node_count, 'node')}  ", ""),
                    (f"{duration(job.elapsed_s(now))} done, ", "text-dim"),
                    ("no limit" if job.unlimited else f"{duration(left)} left", "text-dim"),
                ],
                (),
                job.id,
            )
        )
    return lines


def job_lines(job: Job, cluster: Cluster, now: float) -> list[PaneLine]:
    """All facts of the queue about a job."""
    lines = [
        fact("state", *spans_of(job_state_cell(job)), (f"   {job.state}", "text-dim")),
        fact("why", job.reason or UNKNOWN) if job.nodes is None else fact("nodes", job.nodes),
        fact("name", job.name),
        fact("user", job.user, (f"   account {job.account or UNKNOWN}   QOS {job.qos or UNKNOWN}", "text-dim")),
        fact("partition", job.partition or UNKNOWN, (f"   priority {count(job.priority)}", "text-dim")),
        fact("size", "   ".join((_some(job.node_count, "node"), _some(job.gpus, "GPU"), _some(job.cpus, "CPU")))),
        fact("submitted", _moment(job.submitted, now)),
    ]
    if job.started is not None:
        left = job.left_s(now)
        lines += [
            fact("started", _moment(job.started, now)),
            fact(
                "time left",
                "no limit" if job.unlimited else clock_span(left),
                ("" if job.unlimited else f"   of {clock_span(job.time_limit_s)}", "text-dim"),
            ),
        ]
        elapsed = job.elapsed_s(now)
        if job.gpus_held is not None and elapsed is not None:
            lines.append(fact("GPU-hours", f"{job.gpus_held * elapsed / 3600:,.0f} so far"))
    else:
        soon = UNKNOWN if job.expected is None else f"{when(job.expected, None, now)}"
        if job.expected is not None and job.expected > now:
            soon += f"  (in {duration(job.expected - now)})"
        limit = "none" if job.unlimited else clock_span(job.time_limit_s)
        lines += [fact("expected start", soon), fact("time limit", limit)]
    lines.append(fact("restarts", count(job.restarts)))
    return lines


def array_lines(array: JobArray) -> list[PaneLine]:
    """The facts of a job array: its tasks by state and reason, and what they have in common."""
    return [
        fact("tasks", (count(len(array.tasks)), "text-strong"), f"   {array.id}"),
        *(
            fact("", f"{number:>9,} {word}", (f"   {reason}" if reason else "", "text-dim"))
            for word, reason, number in array.kinds
        ),
        fact("name", array.name),
        fact("user", array.user, (f"   account {array.account or UNKNOWN}   QOS {array.qos or UNKNOWN}", "text-dim")),
        fact("partition", array.partition or UNKNOWN),
        fact("time limit", "none" if array.unlimited else clock_span(array.time_limit_s)),
    ]


def detail_lines(detail: JobDetail) -> list[PaneLine]:
    """Details of a job, read on demand: GPU indices first, since no other source has them."""
    said = {None: UNKNOWN, True: "yes", False: "no"}
    lines = [fact("batch job", said[detail.batch], f"   requeueable {said[detail.requeueable]}")]
    alike: dict[str, list[str]] = {}
    for node, indices in detail.gpu_indices.items():
        alike.setdefault(indices, []).append(node)
    # A job on whole nodes has the same on each: one line saves room for the lines below.
    lines += [fact("GPUs", f"{fold(nodes)}: {indices}") for indices, nodes in alike.items()]
    for label, text in (
        ("dependency", detail.dependency),
        ("features", detail.features),
        ("work dir", detail.working_dir),
        ("command", detail.command),
        ("output", detail.stdout),
        ("comment", detail.comment),
        ("admin comment", detail.admin_comment),
        ("exit code", detail.exit_code),
        *detail.fields.items(),
    ):
        if text:
            lines.append(fact(label.replace("_", " "), text))
    return lines

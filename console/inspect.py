"""What the inspection screens say of one node and one job, as lines. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.model import Cluster, Gpu, Job, JobDetail, Node
from console.columns import job_state_cell, state_cell, used
from console.needs import robot
from widgets.cells import Span, bar, spans_of
from widgets.pane import Line, line
from widgets.units import UNKNOWN, clock_span, count, degrees, duration, memory, percent, power, when

_LABEL = 15


def fact(label: str, *spans: Span | str) -> Line:
    """One labelled fact."""
    return Line([(f"{label:<{_LABEL}}", "text-dim"), *((one, "") if isinstance(one, str) else one for one in spans)])


def _moment(epoch: int | None, now: float) -> str:
    return UNKNOWN if epoch is None else f"{when(epoch, None, now)}  ({duration(now - epoch)} ago)"


def node_head(node: Node, cluster: Cluster, now: float) -> list[Line]:
    """State, reason with who and when, what runs there."""
    lines = [fact("state", *spans_of(state_cell(node)), (f"   {'+'.join((node.state, *node.flags))}", "text-dim"))]
    if node.reason is not None:
        who = node.reason_by or "unknown"
        kind = "robot" if robot(node.reason_by) else "human" if node.reason_by else ""
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


def node_lines(node: Node, cluster: Cluster, now: float) -> list[Line]:
    """Everything that Slurm says of a node."""
    load = cluster.loads.get(node.name)
    gpus = used(node.gpus_alloc, node.gpus) + (f" {node.gpu_type}" if node.gpu_type else "")
    lines = [
        *node_head(node, cluster, now),
        fact("rack", node.rack or UNKNOWN),
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


def gpu_table(gpus: Sequence[Gpu], jobs: Mapping[str, Job]) -> list[Line]:
    """A line a GPU: utilisation, memory, temperature, power, and who holds it."""
    if not gpus:
        return []
    lines = [line((f"{'#':>2}  {'GPU util':<14} {'memory':<20} {'temp':>6} {'power':>7}  job", "header"))]
    for gpu in gpus:
        job = jobs.get(gpu.job or "")
        holder = f"{gpu.job} {job.user}" if job else (gpu.job or "")
        util = [*bar(None if gpu.util_pct is None else gpu.util_pct / 100, 8), (f" {percent(gpu.util_pct, 0):>5}", "")]
        full = gpu.memory_used_mb is not None and gpu.memory_mb
        share = gpu.memory_used_mb / gpu.memory_mb if full and gpu.memory_used_mb and gpu.memory_mb else None
        held = [*bar(share, 6), (f" {memory(gpu.memory_used_mb)}/{memory(gpu.memory_mb)}"[:14].ljust(14), "")]
        spans: list[Span] = [(f"{gpu.index:>2}  ", "text-strong"), *util, (" ", ""), *held]
        spans += [(f" {degrees(gpu.temp_c):>6} {power(gpu.power_w):>7}  ", ""), (holder, "")]
        if gpu.xid is not None:
            spans.append((f"  ✖ XID {gpu.xid}", "bad"))
        lines.append(Line(spans))
    return lines


def job_rows(ids: Sequence[str], jobs: Mapping[str, Job], now: float) -> list[Line]:
    """The jobs on a node, each to be opened."""
    lines = []
    for ref in ids:
        job = jobs.get(ref)
        if job is None:
            continue
        left = job.left_s(now)
        lines.append(
            Line(
                [
                    (f"{job.id:<10} ", "text-strong"),
                    (f"{job.user:<10.10} ", ""),
                    (f"{job.name:<18.18} ", ""),
                    (f"{count(job.gpus_held)} GPUs on {count(job.node_count)} nodes  ", ""),
                    (f"{duration(job.elapsed_s(now))} done, ", "text-dim"),
                    (f"{duration(left)} left" if left is not None else "no limit", "text-dim"),
                ],
                (),
                job.id,
            )
        )
    return lines


def job_lines(job: Job, cluster: Cluster, now: float) -> list[Line]:
    """Everything that the queue says of a job."""
    lines = [
        fact("state", *spans_of(job_state_cell(job)), (f"   {job.state}", "text-dim")),
        fact("why", job.reason or UNKNOWN) if job.nodes is None else fact("nodes", job.nodes),
        fact("name", job.name),
        fact("user", job.user, (f"   account {job.account or UNKNOWN}   QOS {job.qos or UNKNOWN}", "text-dim")),
        fact("partition", job.partition or UNKNOWN, (f"   priority {count(job.priority)}", "text-dim")),
        fact("size", f"{count(job.node_count)} nodes   {count(job.gpus)} GPUs   {count(job.cpus)} CPUs"),
        fact("submitted", _moment(job.submitted, now)),
    ]
    if job.started is not None:
        left = job.left_s(now)
        lines += [
            fact("started", _moment(job.started, now)),
            fact(
                "time left",
                "no limit" if left is None else clock_span(left),
                (f"   of {clock_span(job.time_limit_s)}", "text-dim"),
            ),
        ]
        elapsed = job.elapsed_s(now)
        if job.gpus_held is not None and elapsed is not None:
            lines.append(fact("GPU-hours", f"{job.gpus_held * elapsed / 3600:,.0f} so far"))
    else:
        soon = UNKNOWN if job.expected is None else f"{when(job.expected, None, now)}"
        if job.expected is not None and job.expected > now:
            soon += f"  (in {duration(job.expected - now)})"
        lines += [fact("expected start", soon), fact("time limit", clock_span(job.time_limit_s))]
    lines.append(fact("restarts", count(job.restarts)))
    return lines


def detail_lines(detail: JobDetail) -> list[Line]:
    """What was asked for on demand: GPU indices first, since nothing else shows them."""
    said = {None: UNKNOWN, True: "yes", False: "no"}
    lines = [fact("batch job", said[detail.batch], f"   requeueable {said[detail.requeueable]}")]
    lines += [fact("GPUs", f"{node}: {indices}") for node, indices in detail.gpu_indices.items()]
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

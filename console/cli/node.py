"""`wacht node`: one node in detail, as text or JSON: this host from its own driver, with Slurm's view.

Needs neither Prometheus nor a controller. An unreadable source is reported in one line and affects nothing else.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from collectors import process
from collectors.clean import clean
from collectors.clock import Clock, SystemClock, rfc3339
from collectors.model import Fault, Gpu, Job, Node, PastJob, SourceFault, Telemetry, Xid
from collectors.nvml import NvmlSettings, gpu_problems
from collectors.nvml.client import Sample
from collectors.nvml.protocol import NvmlGpuDetail
from collectors.nvml.sources import NvmlTelemetry, acquire_nvml, this_node
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.accounting import SlurmAccounting
from collectors.slurm.commands.jobs import COLUMNS, command, row
from collectors.slurm.commands.nodes import read_named
from collectors.slurm.commands.read_command import ask, fence, fenced
from console.health.drain_reasons import is_automation
from console.health.xid_policy import Policy, default_policy, preceding_xid
from console.ingest.node_naming import WAIT_S, share_names
from console.runtime.errors import UserError
from widgets.units import plural

VERSION = 1
#: Longest time in seconds for a Slurm command, which runs beside the driver.
SLURM_DEADLINE_S = 5.0
#: How far back accounting is read, and how many ended jobs are shown.
LAST_DAYS, LAST_JOBS = 3, 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
T = TypeVar("T")


class NodeReport(Struct, frozen=True, kw_only=True):
    """Everything read about one node at one moment."""

    node: str
    at: float
    here: bool
    """Whether it was read from this host's own driver."""
    gpus: tuple[Gpu, ...] | None = None
    extras: Mapping[int, NvmlGpuDetail] = {}
    xids: tuple[Xid, ...] | None = None
    """None when the host's kernel log was not read."""
    driver: str | None = None
    on_bus: int | None = None
    slurm: Node | None = None
    jobs: Mapping[str, Job] | None = None
    """Jobs on the node by id, from Slurm."""
    ended: tuple[PastJob, ...] | None = None
    """The last jobs that ended there, if there is accounting."""
    faults: Mapping[str, Fault] = {}
    """Source to its fault."""
    tried: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


# -- reading ----------------------------------------------------------------------------------------------------------


def describe(
    name: str | None = None,
    *,
    as_json: bool = False,
    width: int = 120,
    telemetry: Telemetry | None = None,
    policy: Policy | None = None,
    clock: Clock | None = None,
) -> tuple[str, int]:
    """Read a node once. Returns the text and the exit code: 0 all sources OK, 1 some failed, 2 none could be read.

    Without a name it is this host. `telemetry` is used for other nodes; without it only Slurm is. Raises UserError
    for an invalid name.
    """
    clock = clock or SystemClock()
    node = name or this_node()
    if not _NAME.fullmatch(node):
        raise UserError(f"{clean(node)!r} is no node's name; one name, as Slurm has it: wacht node gpu0412")
    own: NvmlTelemetry | None = None
    try:
        if is_here(node):
            own = NvmlTelemetry(acquire_nvml(NvmlSettings(), node))
        report = take(node, own or telemetry, clock)
    finally:
        if own is not None:
            own.close()
    chosen = policy or default_policy()
    text = as_json_text(report, chosen) if as_json else "\n".join(render(report, width, chosen)) + "\n"
    return text, exit_code(report)


def is_here(name: str | None) -> bool:
    """Whether a name means this host."""
    return name is None or name.partition(".")[0] == this_node()


def take(node: str, telemetry: Telemetry | None, clock: Clock) -> NodeReport:
    """Read the driver (or the telemetry) and Slurm in parallel."""
    faults: dict[str, Fault] = {}
    notes: list[str] = []
    here = isinstance(telemetry, NvmlTelemetry)
    gpu_source = "nvml.gpus" if here else "telemetry"
    with_slurm = shutil.which("scontrol") is not None
    if not with_slurm:
        notes.append("Slurm: scontrol is not on PATH; no state, no jobs")
    accounting_faults: dict[str, Fault] = {}
    with ThreadPoolExecutor(4) as pool:
        try:
            known = pool.submit(lambda: read_named([node], SLURM_DEADLINE_S)) if with_slurm else None
            seen = pool.submit(_gpus_of, node, telemetry, known) if telemetry is not None else None
            queue = pool.submit(jobs_on, node) if with_slurm else None
            past = pool.submit(lambda: ended_on(node, clock.now())) if shutil.which("sacct") is not None else None
            sample = _result(seen, gpu_source, faults)
            nodes = _result(known, "slurm.nodes", faults)
            jobs = _result(queue, "slurm.jobs", faults)
            ended = _result(past, "last jobs", accounting_faults)
        except BaseException:
            process.stop_all()  # Ctrl-C must not wait for a hanging driver or controller
            raise
    if nodes is not None and node not in nodes:
        notes.append(f"Slurm knows no node {node}")
    # A site may have no accounting; the node report does not depend on it.
    notes += [f"{what}: {fault}" for what, fault in accounting_faults.items() if fault.kind != "missing"]
    shown = None if jobs is None else {job.id: job for job in jobs.values()}
    gpus = None if sample is None else tuple(_named(gpu, jobs or {}) for gpu in sample.gpus)
    tried = [gpu_source] * (seen is not None) + ["slurm.nodes", "slurm.jobs"] * with_slurm
    return NodeReport(
        node=node,
        at=clock.now(),
        here=here,
        gpus=gpus,
        extras=sample.extras if sample else {},
        xids=tuple(sorted(sample.xids.values(), key=lambda xid: -(xid.last_at or 0))) if sample and here else None,
        driver=sample.driver if sample else None,
        on_bus=sample.on_bus if sample else None,
        slurm=(nodes or {}).get(node),
        jobs=shown,
        ended=ended,
        faults=faults,
        tried=tuple(tried),
        notes=(*notes, *(sample.warnings if sample else ())),
    )


def jobs_on(node: str) -> dict[str, Job]:
    """The jobs on a node by their numeric id: a cgroup has that (88133) for an array task (88100_3).

    Raises SourceFault.
    """
    mark = fence()
    argv = command(mark)
    argv = [*argv[:-1], f"JobID:|,{argv[-1]}", "-w", node]
    found = {}
    for raw in fenced(argv, mark, ask(argv, SLURM_DEADLINE_S), len(COLUMNS) + 1):
        number, _, rest = raw.partition("|")
        job = row(rest)
        if job is not None:
            found[number] = job
    return found


def ended_on(node: str, now: float) -> tuple[PastJob, ...]:
    """The last jobs that ended on a node, newest first. Raises SourceFault."""
    accounts = SlurmAccounting(SlurmSettings(deadline_s=SLURM_DEADLINE_S))
    return tuple(accounts.jobs_of_node(node, int(now) - LAST_DAYS * 86_400, LAST_JOBS))


def _gpus_of(node: str, telemetry: Telemetry, known: Future[Mapping[str, Node]] | None) -> Sample:
    if isinstance(telemetry, NvmlTelemetry):
        return telemetry.sample()
    nodes: Mapping[str, Node] = {}
    with contextlib.suppress(SourceFault, TimeoutError):  # its own name is enough for most sites
        nodes = known.result(WAIT_S) if known is not None else {}
    share_names(telemetry, nodes or {node: Node(name=node, state="UNKNOWN", display="unknown")})
    gpus = telemetry.gpus([node]).get(node, ())
    if not gpus:
        raise SourceFault("empty", f"no sample of {node}", "is its exporter up?")
    return Sample(node=node, at=0.0, mono=0.0, gpus=tuple(gpus), extras={}, xids={})


def _result(future: Future[T] | None, source: str, faults: dict[str, Fault]) -> T | None:
    if future is None:
        return None
    try:
        return future.result()
    except SourceFault as error:
        faults[source] = error.fault
        return None


def _named(gpu: Gpu, jobs: Mapping[str, Job]) -> Gpu:
    """A GPU with the job ids that users know."""

    def known(number: str | None) -> str | None:
        job = None if number is None else jobs.get(number)
        return number if job is None else job.id

    rows = None if gpu.processes is None else tuple(
        msgspec.structs.replace(one, job=known(one.job)) for one in gpu.processes)  # fmt: skip
    return msgspec.structs.replace(gpu, job=known(gpu.job), processes=rows)


def _inconsistencies(report: NodeReport) -> list[str]:
    return gpu_problems.inconsistencies(
        report.gpus, report.on_bus, report.slurm, report.jobs, "NVML" if report.here else "its exporter"
    )


def exit_code(report: NodeReport) -> int:
    """0 all sources answered, 1 some did not, 2 none did or there was none."""
    good = [source for source in report.tried if source not in report.faults]
    return 2 if not good or (report.gpus is None and report.slurm is None) else 1 if report.faults else 0


# -- text -------------------------------------------------------------------------------------------------------------


def render(report: NodeReport, width: int = 120, policy: Policy | None = None) -> list[str]:
    """The report as lines of at most `width` cells. A dash is unknown, n/a is not supported by the driver."""
    policy = policy or default_policy()
    lines = [*_head(report)]
    if report.gpus is not None:
        lines += ["", *_tables(report, width)]
    parts: list[tuple[str, Iterable[str]]] = [
        ("XIDs", _xid_lines(report, policy)),
        (
            "Problems",
            [f"GPU {index}: {text}" for index, text in gpu_problems.gpu_problems(report.gpus or (), report.extras)],
        ),
        ("Inconsistencies", _inconsistencies(report)),
        ("Processes", _process_lines(report)),
        ("Jobs here", _job_lines(report)),
        ("Last jobs", _ended_lines(report.ended or (), report.at)),
        (
            "Not known",
            [*(f"{source}: {fault}" for source, fault in report.faults.items()), *_unread(report), *report.notes],
        ),
    ]
    for title, said in parts:
        rows = list(said)
        if rows:
            lines += ["", title, *(f"  {text}" for text in rows)]
    return [piece for text in lines for piece in _fitted(text, width)]


def _unread(report: NodeReport) -> Iterator[str]:
    """Facts that were not read from any source, so that their absence is not taken for zero."""
    if report.gpus is None and not any(source in report.faults for source in ("nvml.gpus", "telemetry")):
        yield "GPUs: no telemetry is configured"
    if report.xids is None:
        yield "XIDs: only a node's own driver and kernel log are asked for them"


def _fitted(text: str, width: int) -> list[str]:
    from widgets.cells import width as cells

    if cells(text) <= width:
        return [text.rstrip()]
    indent = " " * (len(text) - len(text.lstrip()) + 4)
    return textwrap.wrap(text, max(20, width), subsequent_indent=indent, drop_whitespace=True) or [""]


def _head(report: NodeReport) -> Iterator[str]:
    from themes.roles import state_look
    from widgets.units import count, duration
    from widgets.units import stamp as moment

    node = report.slurm
    if node is None:
        yield f"{report.node}  {moment(report.at)}"
    else:
        rack = f"  rack {node.rack}" if node.rack else ""
        state = f"{state_look(node.display)[0]} {node.display} ({'+'.join((node.state, *node.flags))})"
        yield f"{report.node}  {state}{rack}  {moment(report.at)}"
        if node.reason is not None:
            kind = "automation" if is_automation(node.reason_by, node.reason) else "human"
            since = "" if node.reason_at is None else f"{duration(report.at - node.reason_at)} ago "
            by = f"by {node.reason_by} ({kind})" if node.reason_by else "by unknown"
            yield f'  reason  "{node.reason}"  {since}{by}'
        yield (
            f"  Slurm   GPUs {count(node.gpus_alloc)} of {count(node.gpus)} in jobs   "
            f"CPUs {count(node.cpus_alloc)} of {count(node.cpus)}   partitions {', '.join(node.partitions) or 'none'}"
        )
    if report.gpus:
        models = dict.fromkeys(gpu.model for gpu in report.gpus if gpu.model)
        driver = f"   driver {report.driver}" if report.driver else ""
        yield f"  GPUs    {len(report.gpus)} × {', '.join(models) or 'unknown model'}{driver}"


def _tables(report: NodeReport, width: int) -> list[str]:
    """All facts of the GPUs, one line each: in one table if the width allows, else in several."""
    from console.tables.gpu_table import GAP, Col, columns
    from widgets.cells import pad
    from widgets.cells import width as cells
    from widgets.units import UNKNOWN, energy

    def more(title: str, drop: int, write: Callable[[Gpu, NvmlGpuDetail], str]) -> Col:
        def cell(gpu: Gpu) -> list[tuple[str, str]]:
            return [(write(gpu, report.extras.get(gpu.index) or NvmlGpuDetail(index=gpu.index)), "")]

        return Col(title, 0, cell, drop)

    def said(thing: Gpu | NvmlGpuDetail, field: str, write: Callable[[Any], str] = "{:,.0f}".format) -> str:
        found = getattr(thing, field)
        return "n/a" if field in thing.na else UNKNOWN if found is None else write(found)

    def pair(thing: Gpu | NvmlGpuDetail, first: str, second: str) -> str:
        return "/".join(dict.fromkeys((said(thing, first), said(thing, second)))) if thing.na & {first, second} else (
            f"{said(thing, first)}/{said(thing, second)}")  # fmt: skip

    given = columns(report.jobs or {})
    every = [
        *given[:-1],
        more("mem clock", 20, lambda g, x: said(g, "memory_clock_mhz", lambda v: f"{v / 1000:.2f} GHz")),
        more("energy", 21, lambda g, x: said(g, "energy_j", energy)),
        more("ECC ever u/c", 22, lambda g, x: pair(x, "ecc_uncorrected_ever", "ecc_corrected_ever")),
        more("retired 2/1", 23, lambda g, x: pair(x, "retired_double", "retired_single")),
        more("link errors", 24, lambda g, x: said(g, "nvlink_errors")),
        more("MIG", 25, lambda g, x: said(g, "mig", lambda v: "on" if v else "off")),
        more("recovery", 26, lambda g, x: said(g, "recovery", str)),
        more("fabric", 27, lambda g, x: said(g, "fabric", str)),
        given[-1],
    ]
    texts = {col.title: ["".join(text for text, _ in col.cell(gpu)) for gpu in report.gpus or ()] for col in every}
    # A column without values is left out.
    every = [col for col in every if col.title == "#" or any(text.strip("—·─/? x") for text in texts[col.title])]
    wide = {col.title: max(cells(text) for text in (col.title, *texts[col.title])) for col in every}
    lines: list[str] = []
    left = sorted(every[1:], key=lambda col: col.drop)
    while left:
        shown, room = [every[0]], width - wide["#"]
        for col in left:
            if wide[col.title] + GAP <= room or len(shown) == 1:
                shown.append(col)
                room -= wide[col.title] + GAP
        left = [col for col in left if col not in shown]
        shown.sort(key=every.index)
        for at in range(-1, len(report.gpus or ())):
            words = [
                pad(texts[col.title][at] if at >= 0 else col.title, wide[col.title], "right" if col.right else "left")
                for col in shown
            ]
            lines.append((" " * GAP).join(words).rstrip())
        lines += [""] if left else []
    return lines


def _xid_lines(report: NodeReport, policy: Policy) -> Iterator[str]:
    from widgets.units import when

    for xid in report.xids or ():
        gpu = "a GPU" if xid.gpu is None else f"GPU {xid.gpu}"
        times = f"first {when(xid.first_at, None, report.at)}  last {when(xid.last_at, None, report.at)}"
        advice = policy.advice_for(xid.code, xid.severity)
        source = f" ({advice.source})" if advice is not None else ""
        said = f"  {xid.severity}" if xid.severity is not None else ""
        meaning = f": {advice.meaning}" if advice is not None else ""
        step = policy.step(xid.code, xid.severity)
        yield f"{xid.code:>3} ×{xid.count or 1}  {gpu}{said}{meaning}  {times}  policy: {step}{source}"
        before = preceding_xid(xid, report.xids or ())
        if before is not None:
            yield f"      before it XID {before.code}: {policy.step(before.code, before.severity)}"


def _process_lines(report: NodeReport) -> Iterator[str]:
    from widgets.units import UNKNOWN, memory

    for gpu in report.gpus or ():
        for one in gpu.processes or ():
            job = f"job {one.job}" if one.job else "no job"
            yield (
                f"GPU {gpu.index}  {one.pid:>8}  {one.user or UNKNOWN:<12}  {job:<14}  {memory(one.memory_mb):>7}  "
                f"{one.name or UNKNOWN}"
            )


def _job_lines(report: NodeReport) -> Iterator[str]:
    from widgets.units import duration

    for job in (report.jobs or {}).values():
        left = job.left_s(report.at)
        yield (
            f"{job.id:<10} {job.user:<12} {job.name}  {job.state}  {plural(job.gpus_held, 'GPU')} on "
            f"{plural(job.node_count, 'node')}  {duration(job.elapsed_s(report.at))} done, "
            + ("no time limit" if job.unlimited else f"{duration(left)} left")
        )


def _ended_lines(runs: Sequence[PastJob], now: float) -> Iterator[str]:
    """One line for each job."""
    from console.queue.job_accounting import code_text
    from widgets.units import UNKNOWN, duration, when

    for run in runs:
        code = code_text(run.exit_code, run.signal)
        yield (
            f"{run.id:<10} {run.user or UNKNOWN:<12} {run.state} {code}  {when(run.ended, None, now)}  "
            f"{plural(run.gpus, 'GPU')}, ran {duration(run.ran_s)}  {run.name}"
        )


# -- JSON -------------------------------------------------------------------------------------------------------------


def as_json_text(report: NodeReport, policy: Policy | None = None) -> str:
    """The report as one JSON object with a newline at the end. Unread facts are null, never empty."""
    policy = policy or default_policy()
    document: dict[str, Any] = {
        "version": VERSION,
        "node": report.node,
        "at": rfc3339(report.at),
        "sources": [
            {"name": source, "ok": source not in report.faults,
             "error": str(report.faults[source]) if source in report.faults else None}
            for source in report.tried
        ],
        "notes": report.notes,
        "driver": report.driver,
        "gpus_on_bus": report.on_bus,
        "slurm": None if report.slurm is None else _timed(report.slurm, "reason_at", "boot_at", "slurmd_at", "busy_at"),
        "jobs": None if report.jobs is None else [
            {**_timed(job, "submitted", "started", "expected"), "elapsed_s": job.elapsed_s(report.at)}
            for job in report.jobs.values()
        ],
        "last_jobs": None if report.ended is None else [
            _timed(run, "submitted", "started", "ended") for run in report.ended
        ],
        "gpus": None if report.gpus is None else [
            _gpu_fields(gpu, report.extras.get(gpu.index)) for gpu in report.gpus
        ],
        "xids": None if report.xids is None else [
            {**_timed(xid, "first_at", "last_at"), "policy": policy.step(xid.code, xid.severity)} for xid in report.xids
        ],
        "troubles": None if report.gpus is None else [
            {"gpu": index, "text": text} for index, text in gpu_problems.gpu_problems(report.gpus, report.extras)
        ],
        "disagree": None if report.gpus is None else _inconsistencies(report),
    }  # fmt: skip
    return msgspec.json.encode(document).decode() + "\n"


def _gpu_fields(gpu: Gpu, extra: NvmlGpuDetail | None) -> dict[str, Any]:
    more = msgspec.structs.asdict(extra) if extra is not None else {}
    na: Sequence[str] = sorted(gpu.na | more.pop("na", frozenset()))
    more.pop("index", None)
    return {**_timed(gpu, "sampled_at"), **more, "na": na}


def _timed(thing: Struct, *times: str) -> dict[str, Any]:
    """A Struct as a dict with its times as RFC 3339."""
    fields = msgspec.structs.asdict(thing)
    return {**fields, **{name: rfc3339(fields[name]) for name in times}}

"""The per-GPU table of one node, as lines that fit the width. Pure: from Gpu values and the jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from collectors.model import Gpu, Job, Node
from widgets.bars import gauge
from widgets.cells import Span, pad, pad_spans
from widgets.pane import PaneLine, pane_line
from widgets.units import UNKNOWN, degrees, memory, percent

NOT_OFFERED = "n/a"
GAP = 2


class Col(NamedTuple):
    """One column of the table. Columns with the highest `drop` are left out first where the width is short."""

    title: str
    width: int
    cell: Callable[[Gpu], Sequence[Span]]
    drop: int = 0
    right: bool = True


def value(gpu: Gpu, field: str, write: Callable[[float | None], str] = lambda v: f"{v:,.0f}") -> Span:
    """A value; "n/a" where the driver does not offer it, a dash where unknown. Never 0 for either."""
    if field in gpu.na:
        return (NOT_OFFERED, "text-dim")
    found = getattr(gpu, field)
    return (UNKNOWN, "text-dim") if found is None else (write(found), "")


def _util(gpu: Gpu) -> Sequence[Span]:
    share = None if gpu.util_pct is None else gpu.util_pct / 100
    return [*gauge(share, 7), (f"{value(gpu, 'util_pct', lambda v: percent(v, 0))[0]:>6}", "")]


def _memory(gpu: Gpu) -> Sequence[Span]:
    if "memory_used_mb" in gpu.na:
        return [(NOT_OFFERED, "text-dim")]
    used, full = gpu.memory_used_mb, gpu.memory_mb
    share = None if used is None or not full else used / full
    return [*gauge(share, 5), (f" {memory(used).removesuffix(' GB') if full else memory(used)}/{memory(full)}", "")]


def _power(gpu: Gpu) -> Sequence[Span]:
    drawn = value(gpu, "power_w", lambda v: f"{v:.0f}")
    limit = "" if gpu.power_limit_w is None else f"/{gpu.power_limit_w:.0f}"
    return [drawn, (f"{limit} W" if drawn[0] not in {UNKNOWN, NOT_OFFERED} else "", "")]


def _throttle(gpu: Gpu) -> Sequence[Span]:
    if "throttle" in gpu.na:
        return [(NOT_OFFERED, "text-dim")]
    if gpu.throttle is None:
        return [(UNKNOWN, "text-dim")]
    return [(", ".join(gpu.throttle), "warn")] if gpu.throttle else [("no", "text-dim")]


def _pair(gpu: Gpu, first: str, second: str, bad: str) -> Sequence[Span]:
    """`0/2`, coloured bad where the field `bad` is above 0."""
    left, right = value(gpu, first), value(gpu, second)
    return [left, ("/", "text-dim"), right] if not getattr(gpu, bad) else [(f"{left[0]}/{right[0]}", "bad")]


def _remap(gpu: Gpu) -> Sequence[Span]:
    if gpu.remap_failed:
        return [("failed", "bad")]
    if gpu.remap_pending:
        return [("pending", "warn")]
    return _pair(gpu, "remapped_uncorrected", "remapped_corrected", "remapped_uncorrected")


def _nvlink(gpu: Gpu) -> Sequence[Span]:
    if "nvlinks_up" in gpu.na:
        return [(NOT_OFFERED, "text-dim")]
    if gpu.nvlinks_up is None:
        return [(UNKNOWN, "text-dim")]
    whole = gpu.nvlinks is None or gpu.nvlinks_up == gpu.nvlinks
    return [(f"{gpu.nvlinks_up} up" if whole else f"{gpu.nvlinks_up} of {gpu.nvlinks} up", "" if whole else "bad")]


def _pcie(gpu: Gpu) -> Sequence[Span]:
    if gpu.pcie_gen is None and gpu.pcie_width is None:
        return [value(gpu, "pcie_gen")]
    return [(f"{gpu.pcie_gen or '?'}x{gpu.pcie_width or '?'}", "")]


def _holder(jobs: Mapping[str, Job]) -> Callable[[Gpu], Sequence[Span]]:
    def cell(gpu: Gpu) -> Sequence[Span]:
        # Faults are first: the last column is cut where the width is short.
        spans: list[Span] = []
        if gpu.lost:
            spans.append((f"✖ {gpu.lost}  ", "bad"))
        if gpu.xid is not None:
            spans.append((f"✖ XID {gpu.xid}  ", "bad"))
        if gpu.recovery not in {None, "none"}:
            spans.append((f"needs {gpu.recovery}  ", "warn"))
        job = jobs.get(gpu.job or "")
        spans.append((f"{gpu.job} {job.user}" if job else gpu.job or "", ""))
        return spans

    return cell


def columns(jobs: Mapping[str, Job], kilowatts: bool = False) -> tuple[Col, ...]:
    """All columns from left to right; power takes more room for GPUs that may draw a kilowatt."""
    return (
        Col("#", 2, lambda g: [(str(g.index), "text-strong")]),
        Col("GPU util", 13, _util, right=False),
        Col("memory", 16, _memory, right=False, drop=1),
        Col("temp", 6, lambda g: [value(g, "temp_c", degrees)]),
        Col("power", 11 if kilowatts else 9, _power),
        Col(
            "SM clock",
            9,
            lambda g: [value(g, "sm_clock_mhz", lambda v: f"{v / 1000:.2f} GHz" if v else UNKNOWN)],
            drop=5,
        ),
        Col("throttle", 12, _throttle, right=False, drop=3),
        Col("ECC u/c", 9, lambda g: _pair(g, "ecc_uncorrected", "ecc_corrected", "ecc_uncorrected"), drop=4),
        Col("remap u/c", 9, _remap, drop=6),
        Col("NVLink", 8, _nvlink, drop=7),
        Col("PCIe", 5, _pcie, drop=9),
        Col("replays", 7, lambda g: [value(g, "pcie_replays")], drop=10),
        Col("tensor", 7, lambda g: [value(g, "tensor_pct", lambda v: percent(v, 0))], drop=8),
        Col("mem temp", 8, lambda g: [value(g, "memory_temp_c", degrees)], drop=11),
        Col("job", 14, _holder(jobs), right=False, drop=2),
    )


def gpu_table(gpus: Sequence[Gpu], jobs: Mapping[str, Job], cells: int) -> list[PaneLine]:
    """A head and one line for each GPU, in the columns that fit."""
    if not gpus:
        return []
    shown = [*columns(jobs, any((gpu.power_limit_w or gpu.power_w or 0) >= 1000 for gpu in gpus))]
    # A column without any value is left out: an exporter without ECC must not show a column of dashes.
    shown = [col for col in shown if not col.drop or any(_tells(col.cell(gpu)) for gpu in gpus)]
    while len(shown) > 1 and sum(col.width for col in shown) + GAP * (len(shown) - 1) > cells:
        shown.remove(max(shown, key=lambda col: col.drop))
    head = (" " * GAP).join(pad(col.title, col.width, "right" if col.right else "left") for col in shown)
    lines = [pane_line((head, "header"))]
    for gpu in gpus:
        spans: list[Span] = []
        for at, col in enumerate(shown):
            spans += [(" " * GAP, "")] if at else []
            last = at == len(shown) - 1
            spans += col.cell(gpu) if last else pad_spans(col.cell(gpu), col.width, "right" if col.right else "left")
        lines.append(PaneLine(spans))
    return lines


def _tells(spans: Sequence[Span]) -> bool:
    text = "".join(piece for piece, _ in spans).strip(f"{UNKNOWN}·─/? ")
    return bool(text)


def gpus_title(gpus: Sequence[Gpu], node: Node | None, now: float) -> tuple[list[Span], list[Span]]:
    """The title of a GPU pane: a note if Slurm has another number of GPUs, and at the right the age of the samples."""
    sampled = [gpu.sampled_at for gpu in gpus if gpu.sampled_at is not None]
    title: list[Span] = [("GPUs", "title")]
    if node is not None and node.gpus is not None and gpus and len(gpus) != node.gpus:
        title.append((f" {len(gpus)} seen, Slurm has {node.gpus}", "bad"))
    return title, [(f"sampled {max(0, int(now) - min(sampled))} s ago", "text-dim")] if sampled else []

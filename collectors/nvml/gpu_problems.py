"""What needs attention on the GPUs of one node, in words. Pure: from values of the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from collectors.model import Gpu, Job, Node

from .protocol import NvmlGpuDetail

#: Node states in which jobs may start.
_TAKES_WORK = frozenset({"idle", "mixed", "allocated", "planned", "reserved", "completing"})


def gpu_problems(gpus: Sequence[Gpu], extras: Mapping[int, NvmlGpuDetail]) -> list[tuple[int, str]]:
    """GPU index and problem, worst first."""
    found: list[tuple[int, int, str]] = []
    for gpu in gpus:
        extra = extras.get(gpu.index) or NvmlGpuDetail(index=gpu.index)
        found += [(rank, gpu.index, text) for rank, text in _of(gpu, extra)]
    return [(index, text) for _, index, text in sorted(found)]


def _of(gpu: Gpu, extra: NvmlGpuDetail) -> list[tuple[int, str]]:
    if gpu.lost is not None:
        return [(0, f"lost: {gpu.lost}")]
    said: list[tuple[int, str]] = []
    if gpu.recovery not in {None, "none"}:
        said.append((1, f"the driver asks for: {gpu.recovery}"))
    if gpu.remap_failed:
        said.append((1, "a row could not be remapped"))
    if gpu.remap_pending:
        said.append((2, "a remapped row waits for a reset"))
    if extra.retired_pending:
        said.append((2, "a retired page waits for a reset"))
    if gpu.ecc_uncorrected:
        said.append((2, f"{gpu.ecc_uncorrected:,} uncorrected ECC errors since the driver was loaded"))
    if extra.ecc is False:
        said.append((3, "ECC is switched off"))
    if extra.nvlinks_down:
        said.append((2, f"NVLink {', '.join(map(str, extra.nvlinks_down))} down"))
    if gpu.fabric is not None and gpu.fabric != "ready":
        said.append((2, f"NVLink fabric {gpu.fabric}"))
    if gpu.pcie_width is not None and extra.pcie_width_max is not None and gpu.pcie_width < extra.pcie_width_max:
        said.append((3, f"PCIe x{gpu.pcie_width} of x{extra.pcie_width_max}"))
    # An idle link is slowed down to save power: its generation counts only under load.
    if gpu.pcie_gen is not None and extra.pcie_gen_max is not None and gpu.pcie_gen < extra.pcie_gen_max and busy(gpu):
        said.append((3, f"PCIe gen {gpu.pcie_gen} of {extra.pcie_gen_max} under load"))
    return said


def busy(gpu: Gpu) -> bool:
    """Whether a GPU is busy now; an unknown one is not."""
    return gpu.util_pct is not None and gpu.util_pct >= 5


def inconsistencies(
    gpus: Sequence[Gpu] | None, on_bus: int | None, node: Node | None, jobs: Mapping[str, Job] | None, sees: str
) -> list[str]:
    """Inconsistencies between Slurm, the driver and the PCI bus. `sees` is who counts the GPUs."""
    if gpus is None:
        return []
    said = list(_counts(gpus, on_bus, node, sees))
    if jobs is not None:
        if not jobs and any(busy(gpu) for gpu in gpus):
            said.append(f"{sum(map(busy, gpus))} GPUs are busy, Slurm has no job here")
        said += [text for gpu in gpus for text in _strangers(gpu, jobs)]
    return said


def _counts(gpus: Sequence[Gpu], on_bus: int | None, node: Node | None, sees: str) -> Iterator[str]:
    seen = sum(gpu.lost is None for gpu in gpus)
    if node is not None and node.gpus is not None and node.gpus != seen:
        yield f"Slurm sees {node.gpus} GPUs, {sees} sees {seen}"
    if on_bus is not None and on_bus != seen:
        yield f"the PCI bus shows {on_bus} GPUs, {sees} sees {seen}"
    if node is None or node.display not in _TAKES_WORK:
        return
    for gpu in gpus:
        if gpu.lost or gpu.recovery not in {None, "none"}:
            word = "is lost" if gpu.lost else f"asks for {gpu.recovery}"
            yield f"GPU {gpu.index} {word}, the node takes work ({node.display} in Slurm)"


def _strangers(gpu: Gpu, jobs: Mapping[str, Job]) -> Iterator[str]:
    """Processes that Slurm does not account for."""
    for one in gpu.processes or ():
        who = f"process {one.pid} ({one.user or 'unknown user'}, {one.name or 'unknown'}) on GPU {gpu.index}"
        job = jobs.get(one.job or "")
        if one.job is None:
            yield f"{who} belongs to no job"
        elif job is None:
            yield f"{who} is of job {one.job}, which Slurm does not have here"
        elif one.user is not None and not one.user.startswith("uid ") and one.user != job.user:
            yield f"{who} runs in job {job.id} of {job.user}"

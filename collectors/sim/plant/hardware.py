"""Hardware and software versions of the nodes: servers with eight H100, or compute trays of a GB200 NVL72."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

#: NVLinks of one GPU, on both kinds of node.
NVLINKS = 18

#: Component to its usual version, an older one, one node in how many runs the older one, and which of them.
_RUNS: Mapping[str, tuple[str, str, int, int]] = {
    "driver": ("580.95.05", "575.57.08", 193, 55),
    "vbios": ("96.00.CF.00.01", "96.00.A5.00.03", 509, 45),
    "bios": ("2.4.1", "2.3.7", 401, 15),
    "bmc": ("24.09.17", "24.06.02", 449, 6),
    "kernel": ("5.14.0-570.12.1.el9_6.x86_64", "5.14.0-503.40.1.el9_5.x86_64", 499, 73),
}


class Hardware(Struct, frozen=True, gc=False):
    """One kind of node. Watts, MHz, MiB, °C."""

    gpu_type: str
    """GPU type in Slurm's GRES."""
    model: str
    product: str
    """Product name in the node's DMI data."""
    cpus: int
    cpus_per_gpu: int
    """CPUs allocated with each GPU."""
    node_memory_mb: int
    features: tuple[str, ...]
    memory_mb: int
    """MiB of one GPU, as nvidia-smi shows it."""
    idle_w: int
    limit_w: int
    per_ten_pct_w: int
    """Watts of ten per cent utilisation."""
    cap_w: int
    """Watts at which the driver lowers the clocks."""
    unused_w: int
    """Watts above idle of an allocated GPU without work."""
    degrees_per_kw: int
    """K per kW that a GPU draws: lower with water than with air."""
    boost_mhz: int
    idle_mhz: int
    memory_mhz: int
    host_w: int
    """Watts of the rest of the node: CPUs, fans or pumps, network."""


# HGX H100: two 56-core CPUs, 2 TB, eight H100 SXM of 80 GB.
HGX_H100 = Hardware(
    gpu_type="h100", model="NVIDIA H100 80GB HBM3", product="HGX H100", cpus=112, cpus_per_gpu=14,
    node_memory_mb=2_000_000, features=("h100", "nvlink", "ib"), memory_mb=81_559, idle_w=70, limit_w=700,
    per_ten_pct_w=61, cap_w=675,
    unused_w=45, degrees_per_kw=60, boost_mhz=1980, idle_mhz=345, memory_mhz=2619, host_w=1400,
)  # fmt: skip
# GB200 tray: two Grace CPUs of 72 cores and 480 GB, four GPUs of 1,200 W. nvidia-smi shows 189,471 MiB of each, and
# some 160 W idle.
NVL72_GB200 = Hardware(
    gpu_type="gb200", model="NVIDIA GB200", product="GB200 NVL", cpus=144, cpus_per_gpu=36, node_memory_mb=960_000,
    features=("gb200", "nvlink", "ib"), memory_mb=189_471, idle_w=155, limit_w=1200, per_ten_pct_w=102, cap_w=1165,
    unused_w=70, degrees_per_kw=34, boost_mhz=2062, idle_mhz=120, memory_mhz=3996, host_w=1300,
)  # fmt: skip


@lru_cache(maxsize=32_768)
def versions_of(node: str) -> Mapping[str, str]:
    """Versions of a node by component. Nodes with the same versions share one mapping."""
    runs = (
        (what, old if _draw(what, node) % rare == which else new) for what, (new, old, rare, which) in _RUNS.items()
    )
    return _shared(tuple(runs))


@lru_cache(maxsize=256)
def _shared(versions: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return dict(versions)


def serial(node: str) -> str:
    """Serial number of a node."""
    return f"J{_draw('serial', node):08X}"


def _draw(what: str, node: str) -> int:
    return zlib.crc32(f"{what}/{node}".encode())

"""What runs on each node of the simulated machine: the same nearly everywhere. It follows from the node's name."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache

#: Thing to what most nodes run, what a few still run, one node in how many that is, and which of them.
_RUNS: Mapping[str, tuple[str, str, int, int]] = {
    "driver": ("580.95.05", "575.57.08", 193, 55),
    "vbios": ("96.00.CF.00.01", "96.00.A5.00.03", 509, 45),
    "bios": ("2.4.1", "2.3.7", 401, 15),
    "bmc": ("24.09.17", "24.06.02", 449, 6),
    "kernel": ("5.14.0-570.12.1.el9_6.x86_64", "5.14.0-503.40.1.el9_5.x86_64", 499, 73),
}


@lru_cache(maxsize=32_768)
def of(node: str) -> Mapping[str, str]:
    """What a node runs. Nodes that run the same share one mapping."""
    runs = (
        (what, old if _draw(what, node) % rare == which else new) for what, (new, old, rare, which) in _RUNS.items()
    )
    return _one(tuple(runs))


@lru_cache(maxsize=256)
def _one(versions: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return dict(versions)


def serial(node: str) -> str:
    """Its serial number."""
    return f"J{_draw('serial', node):08X}"


def _draw(what: str, node: str) -> int:
    return zlib.crc32(f"{what}/{node}".encode())

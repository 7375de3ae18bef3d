"""Site layout: nodes in racks, with their PDU, leaf switch, cooling loop and partitions."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

from collectors.model import Node, Partition
from collectors.nodestate import display_word
from collectors.sim import SimSettings
from collectors.sim.host import Host

from .cooling import SimLoop, build_loops
from .hardware import HGX_H100, NVL72_GB200, Hardware

RACKS_PER_ROW = 4
HOUR = 3600
DAY = 24 * HOUR


def gpu_uuid(node: str, index: int) -> str:
    """The UUID of one GPU, in the driver's format."""
    a, b = zlib.crc32(f"{node}/{index}".encode()), zlib.crc32(f"{index}/{node}".encode())
    return f"GPU-{a:08x}-{b >> 16:04x}-{b & 0xFFFF:04x}-{a >> 16:04x}-{a & 0xFFFF:04x}{b:08x}"


class SimPartition(Struct, gc=False):
    """One partition: its row, its nodes as a bit set, and its time limit in seconds."""

    row: Partition
    mask: int
    limit_s: int
    size: int


class SimSite(Struct):
    """The site: hosts by index, partitions by name."""

    hosts: list[Host]
    partitions: dict[str, SimPartition]
    gpus: int
    """GPUs of one node."""
    hardware: Hardware
    by_name: dict[str, int]
    racks: dict[str, list[int]]
    loops: dict[str, SimLoop]

    def fold(self, indices: Iterable[int]) -> str:
        """`gpu[0001-0004,0009]`, as ClusterShell writes it (a test compares), forty times faster: jobs start often."""
        width = len(self.hosts[0].name) - 3
        return fold(tuple(sorted(indices)), width)


def fold(indices: tuple[int, ...], width: int) -> str:
    """Fold sorted host indices (0 is gpu0001) into a node set with numbers of `width` digits."""
    if len(indices) == 1:
        return f"gpu{indices[0] + 1:0{width}d}"
    parts = []
    first = last = indices[0]
    for index in (*indices[1:], -1):
        if index == last + 1:
            last = index
            continue
        low = f"{first + 1:0{width}d}"
        parts.append(low if first == last else f"{low}-{last + 1:0{width}d}")
        first = last = index
    return f"gpu[{','.join(parts)}]"


@lru_cache(maxsize=4096)
def fold_bits(bits: int) -> str:
    """A bit set of GPUs as Slurm writes indices: `0-3,7`."""
    parts = []
    index = 0
    while bits >> index:
        if not bits >> index & 1:
            index += 1
            continue
        first = index
        while bits >> index & 1:
            index += 1
        parts.append(str(first) if index - first == 1 else f"{first}-{index - 1}")
    return ",".join(parts)


def span(first: int, last: int) -> int:
    """A bit set with the bits `first` to `last` - 1."""
    return ((1 << (last - first)) - 1) << first


def indices_of(mask: int) -> list[int]:
    """The indices of the bits that are set, lowest first."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def build_site(settings: SimSettings, now: float) -> SimSite:
    """Build the site from the settings; only the boot times are spread over the past weeks."""
    count, gpus = settings.nodes, settings.gpus_per_node
    hardware = NVL72_GB200 if settings.nvl72 else HGX_H100
    # debug has nodes of its own if there is room; long shares its nodes with gpu.
    debug = max(1, count // 64)
    main = count - debug if count >= 8 else count
    long = max(1, main // 4)
    spans = {"gpu": (0, main, 3 * DAY), "debug": (count - debug, count, HOUR), "long": (0, long, 7 * DAY)}
    digits = max(4, len(str(count)))
    hosts: list[Host] = []
    racks: dict[str, list[int]] = {}
    everything = (1 << gpus) - 1
    half = (settings.nodes_per_rack + 1) // 2
    for index in range(count):
        number, place = divmod(index, settings.nodes_per_rack)
        rack = f"R{number + 1:02d}"
        row = chr(ord("A") + number // RACKS_PER_ROW % 26)
        pdu = f"{rack}-pdu-{'a' if place < half else 'b'}"
        switch = f"leaf-{rack}"
        racks.setdefault(rack, []).append(index)
        hosts.append(
            Host(
                index=index,
                name=f"gpu{index + 1:0{digits}d}",
                rack=rack,
                row=row,
                pdu=pdu,
                switch=switch,
                partitions=tuple(name for name, (low, high, _) in spans.items() if low <= index < high),
                extra=json.dumps({"row": row, "pdu": pdu, "switch": switch, "unit": place * 2 + 1}),
                free=everything,
                boot_at=int(now) - 2 * DAY - index * 7919 % (38 * DAY),
                hardware=hardware,
            )
        )
    partitions = {}
    for name, (low, high, limit) in spans.items():
        row_of = Partition(
            name=name,
            state="UP",
            default=name == "gpu",
            nodes=fold(tuple(range(low, high)), digits),
            node_count=high - low,
            cpus=(high - low) * hardware.cpus,
            gpus=(high - low) * gpus,
            time_limit_s=limit,
            priority_tier=10 if name == "debug" else 1,
            qos=name if name != "gpu" else "normal",
            allow_accounts="ALL",
        )
        partitions[name] = SimPartition(row_of, span(low, high), limit, high - low)
    loops = build_loops({rack: len(indices) for rack, indices in racks.items()}, gpus, hardware)
    fed = {rack: loop for loop in loops.values() for rack in loop.racks}
    for host in hosts:
        host.loop = fed[host.rack]
    return SimSite(hosts, partitions, gpus, hardware, {host.name: host.index for host in hosts}, racks, loops)


def node_row(host: Host, gpus: int) -> Node:
    """The node as Slurm shows it now."""
    used = host.free ^ ((1 << gpus) - 1)
    count = used.bit_count()
    busy = bool(host.jobs)
    base = "DOWN" if host.down else "IDLE" if not busy else "ALLOCATED" if count == gpus else "MIXED"
    flags = tuple(
        word
        for word, true in (
            ("DRAIN", host.drain or host.power == "POWER_DOWN"),
            (host.power, bool(host.power)),
            ("REBOOT_REQUESTED", host.reboot is not None and not host.rebooting),
            ("REBOOT_ISSUED", host.rebooting),
            ("NOT_RESPONDING", host.silent and not host.rebooting and not host.power),
            ("INVALID_REG", host.invalid),
            ("MAINTENANCE", host.maintenance),
            ("RESERVED", host.reservation is not None and not host.maintenance),
            ("PLANNED", host.planned and not busy and host.usable),
        )
        if true
    )
    made = host.hardware
    cores = made.cpus * count // gpus
    memory = made.node_memory_mb * count // gpus
    return Node(
        name=host.name,
        state=base,
        flags=flags,
        display=display_word(base, flags),
        reason=host.reason,
        reason_by=host.reason_by,
        reason_at=host.reason_at,
        partitions=host.partitions,
        cpus=made.cpus,
        cpus_alloc=cores,
        cpu_load=None if host.silent else round(0.2 + cores * (0.55 + host.index * 37 % 40 / 100), 2),
        memory_mb=made.node_memory_mb,
        memory_alloc_mb=memory,
        free_memory_mb=None
        if host.silent
        else made.node_memory_mb - 40_000 - memory * (30 + host.index * 11 % 50) // 100,
        gpus=gpus,
        gpus_alloc=count,
        gpu_type=made.gpu_type,
        gpu_slices=0,
        gpus_used=fold_bits(used) if used else None,
        rack=host.rack,
        features=made.features if host.features is None else host.features,
        address=f"10.{140 + host.index // 65025}.{host.index // 255 % 255}.{host.index % 255}",
        version="25.11.7",
        boot_at=host.boot_at,
        slurmd_at=host.slurmd_at or host.boot_at + 95,
        busy_at=host.busy_at,
        reservation=host.reservation,
        comment=host.comment,
        extra=host.extra,
        resume_at=host.resume_at,
        weight=host.weight,
    )

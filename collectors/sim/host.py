"""One node of the simulated cluster: its mutable state, and the failure that it has."""

from __future__ import annotations

from msgspec import Struct, field

from .plant.cooling import SimLoop
from .plant.hardware import Hardware


class NodeFailure(Struct, gc=False):
    """A failure of a node, until it is repaired."""

    kind: str
    reason: str
    by: str
    down: bool
    repaired_at: float


class Host(Struct, gc=False):
    """Mutable state of one node. It is part of no reference cycle, so the garbage collector may ignore it."""

    index: int
    name: str
    rack: str
    row: str
    pdu: str
    switch: str
    partitions: tuple[str, ...]
    extra: str
    free: int
    """Bit set of the GPUs that no job holds."""
    boot_at: int
    hardware: Hardware
    jobs: dict[str, int] = field(default_factory=dict)
    """Job id to the bit set of its GPUs here."""
    free_at: float = 0.0
    """Time when the limits of all its jobs have passed; 0 without jobs."""
    offered: int = 0
    """Free GPUs that the scheduler sees: 0 while the node takes no jobs."""
    down: bool = False
    silent: bool = False
    """slurmd does not answer the controller."""
    drain: bool = False
    invalid: bool = False
    """The node registered with less than its configuration."""
    reason: str | None = None
    reason_by: str | None = None
    reason_at: int | None = None
    busy_at: int | None = None
    slurmd_at: int | None = None
    reservation: str | None = None
    maintenance: bool = False
    resume_at: int | None = None
    """Time when slurmctld resumes it automatically."""
    reboot: str | None = None
    """State after the requested reboot: RESUME or DOWN."""
    rebooting: bool = False
    """The reboot was issued: the node is off."""
    power: str = ""
    """Slurm's power state flag, "" if none: POWER_DOWN, POWERING_DOWN, POWERED_DOWN, POWERING_UP."""
    comment: str | None = None
    weight: int = 1
    features: tuple[str, ...] | None = None
    """None: those of its hardware."""
    planned: bool = False
    """The backfill scheduler reserves it for a job."""
    lemon: bool = False
    failure: NodeFailure | None = None
    xids: dict[int, int] = field(default_factory=dict)
    """GPU index to the last XID since boot."""
    lost_gpus: int = 0
    """Bit set of the GPUs that fell off the bus."""
    exporter_down: bool = False
    """Its exporter does not answer."""
    stray_process: bool = False
    """A process without a job keeps GPU 0 busy."""
    extra_heat_c: int = 0
    """K by which its GPUs are hotter than others: a failing fan."""
    loop: SimLoop | None = None
    """The cooling loop of its rack."""

    @property
    def usable(self) -> bool:
        """True if the scheduler may start jobs here."""
        return not (
            self.down or self.drain or self.silent or self.invalid or self.maintenance or self.rebooting or self.power
        )


def answers(host: Host) -> bool:
    """True if the node's exporter answers."""
    return not (host.silent or host.exporter_down)

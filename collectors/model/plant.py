"""The plant around the nodes: fabric, NVLink domains, cooling, storage, health checks, controllers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args, get_type_hints

from msgspec import Struct, field
from msgspec.structs import fields


class Port(Struct, frozen=True, gc=False, kw_only=True):
    """One port of a node's network adapter: an unhealthy one, or one of a node on the screen."""

    node: str
    device: str
    """The kernel's name: mlx5_0, eth0."""
    port: int = 1
    link: str | None = None
    """InfiniBand (any RDMA adapter: RoCE's too) or Ethernet."""
    up: bool | None = None
    state: str | None = None
    """The driver's own word: Active, Down, Polling."""
    speed_gbps: float | None = None
    usual_gbps: float | None = None
    """The speed of most ports of its device name: a slower one is reported."""
    downed: int | None = None
    """Link-down events in the last hour."""
    errors: int | None = None
    """Symbol, receive and integrity errors in the last hour."""
    switch: str | None = None
    switch_port: str | None = None
    sampled_at: int | None = None
    wrong: tuple[str, ...] = ()
    """Its problems, a word each: down, slow, flapping, errors; () if healthy."""

    @property
    def key(self) -> str:
        """Node, device and port: one line each."""
        return f"{self.node}/{self.device}/{self.port}"


class Attached(Struct, frozen=True, kw_only=True):
    """The ports and shared file systems of one node, at their last sample."""

    ports: tuple[Port, ...] = ()
    """Ports with a cable."""
    mounts: Mapping[str, bool] = field(default_factory=dict)
    """Mount point to whether it responds; False if it hangs or fails."""


class Fabric(Struct, frozen=True, kw_only=True):
    """All ports in figures. There are a hundred thousand, so only sums and unhealthy ports are kept."""

    ports: int | None = None
    """Ports with a cable; a device that is down nearly everywhere is counted in `uncabled`."""
    up: int | None = None
    uncabled: int | None = None
    switches: Mapping[str, int] = field(default_factory=dict)
    """Switch to its number of ports to nodes, if the site's series name switches."""
    source: str = ""
    """Its origin: "node_exporter", and the series that name switches."""


class Domain(Struct, frozen=True, gc=False, kw_only=True):
    """One configured NVLink domain (a rack of GB200 or GB300): its trays may work as one GPU."""

    name: str
    nodes: tuple[str, ...] = ()
    """Its trays as Slurm node names, in natural order."""
    said_by: str = ""
    """The source of the layout: "Slurm's blocks" or "the racks"."""


class Tray(Struct, frozen=True, gc=False, kw_only=True):
    """One node as the NVLink fabric has it: the domain that its GPUs report."""

    node: str
    domain: str = ""
    """The fabric's own id of the domain (a UUID), "" if unknown."""
    clique: str | None = None
    """The part of the domain whose GPUs reach each other; several, joined by commas, if its GPUs differ."""
    gpus: int | None = None
    """GPUs in the fabric; one that did not join is not counted."""
    ready: int | None = None
    """GPUs among these with a healthy fabric; None if no GPU reports its health."""
    fabric: str | None = None
    """healthy, degraded, unhealthy: the worst that one of its GPUs reports; None if none reports."""
    wrong: tuple[str, ...] = ()
    """Its problems in the driver's words: "degraded bandwidth", "route unhealthy"."""
    imex: str | None = None
    """up, or the state of its IMEX service: "down", "waiting for peers"; None if unknown."""
    imex_domain: str | None = None
    """The state of the whole domain as IMEX on this node reports it: up, degraded, down."""


class Coolant(Struct, frozen=True, gc=False, kw_only=True):
    """One measuring point of a cooling loop, or the leak detectors of a part of it. `loop` is a CDU or a circuit."""

    loop: str
    """The loop's name in the site's series; "" if they name only racks."""
    what: str
    """supply, return (°C), flow (l/min), pressure (bar), leak (number of wet detectors)."""
    at: str = ""
    """Its place in the loop if there are several: a rack, a manifold."""
    value: float | None = None
    """None without a current value: it fell silent, is no number, or is old."""
    trend_h: float | None = None
    """Change per hour, from the last ten minutes."""
    low: float | None = None
    high: float | None = None
    """The configured limits, None without one."""
    racks: tuple[str, ...] = ()
    """Racks on the loop, if this point or the configuration gives them."""
    sampled_at: int | None = None
    """Time of the last sample, on this computer's clock; None if unknown."""
    detectors: int | None = None
    """leak: the number of detectors."""
    unknown: int = 0
    """Detectors among these that report neither dry nor wet."""
    wet: tuple[str, ...] = ()
    """Names of the wet detectors, if they have names."""

    @property
    def key(self) -> str:
        """Loop, what and where: one line each."""
        return f"{self.loop}/{self.what}/{self.at}"


class FileSystem(Struct, frozen=True, gc=False, kw_only=True):
    """One shared file system as its exporters and the nodes see it."""

    name: str
    """Its mount point or name: /scratch, lustre-fs1."""
    kind: str = ""
    """lustre, wekafs, nfs4: the kernel's word, or the exporter's."""
    device: str = ""
    """The mounted device: 10.0.0.1@o2ib:/fs1, nas:/export/home."""
    used_pct: float | None = None
    size_tb: float | None = None
    targets: int | None = None
    """Its servers or targets; `targets_up` of them respond."""
    targets_up: int | None = None
    mounted: int | None = None
    """Nodes that have it mounted, including those on which it hangs."""
    hung: tuple[str, ...] = ()
    """Nodes on which it hangs or fails."""
    missing: tuple[str, ...] = ()
    """Nodes that report their mounts and lack this one, which nearly all have; some may be out of service."""
    wrong: tuple[str, ...] = ()
    """Its other problems in words: a target that is gone, a server that does not respond, full."""


class Checkup(Struct, frozen=True, gc=False, kw_only=True):
    """The last results of a node's own checks, and the versions that it runs."""

    node: str
    nhc: str | None = None
    """ok, or the problem that Node Health Check found."""
    nhc_at: int | None = None
    diag: str | None = None
    """The result of `dcgmi diag` with its level: "r3 pass", "r2 failed: memory"."""
    diag_at: int | None = None
    health: str | None = None
    """The result of `dcgmi health` for its GPUs: ok, or the failing parts."""
    serial: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    """driver, vbios, bios, bmc, kernel, as far as known. slurmd's version is in the Node."""

    @property
    def nhc_ok(self) -> bool | None:
        """Whether Node Health Check passed; None if unknown."""
        return None if self.nhc is None else self.nhc == "ok"

    @property
    def diag_ok(self) -> bool | None:
        """Whether the last diagnosis passed; None if unknown."""
        return None if self.diag is None else self.diag.endswith("pass")


class Controller(Struct, frozen=True, gc=False, kw_only=True):
    """One slurmctld and its answer to a ping."""

    host: str
    role: str
    """primary, backup, backup2, as Slurm calls it."""
    up: bool


class Completing(Struct, frozen=True, gc=False, kw_only=True):
    """One job that has ended but whose processes have not."""

    job: str
    user: str
    nodes: str | None = None
    """The nodes that it still holds, folded."""
    since: int | None = None
    """When it ended."""


class Runaway(Struct, frozen=True, gc=False, kw_only=True):
    """One job that slurmdbd counts as running but slurmctld does not know: its owner is charged for ever."""

    job: str
    user: str
    since: int | None = None
    nodes: str | None = None


class Control(Struct, frozen=True, kw_only=True):
    """The state of Slurm's own daemons, in addition to `Diag`."""

    controllers: tuple[Controller, ...] = ()
    """The primary first; () if unknown."""
    dbd: str | None = None
    """The host of slurmdbd, None without one or if unknown."""
    dbd_up: bool | None = None
    """Whether it responds; None without one, or if it was not asked."""
    completing: tuple[Completing, ...] | None = None
    """None if unknown."""
    runaway: tuple[Runaway, ...] | None = None
    """None if unknown."""
    runaway_at: int | None = None
    """When runaway jobs were last looked for."""
    unkillable_s: int | None = None
    """UnkillableStepTimeout in seconds."""


class PlantFacts(Struct, frozen=True, eq=False, kw_only=True):
    """The kinds of facts of the plant in a reading (`Facts`); None is not read."""

    ports: Mapping[str, Port] | None = None
    fabric: Fabric | None = None
    domains: Mapping[str, Domain] | None = None
    trays: Mapping[str, Tray] | None = None
    cooling: Mapping[str, Coolant] | None = None
    storage: Mapping[str, FileSystem] | None = None
    checkups: Mapping[str, Checkup] | None = None
    control: Control | None = None


class PlantRows(Struct, frozen=True, eq=False, kw_only=True):
    """The same kinds in a `Cluster`."""

    ports: Mapping[str, Port] = field(default_factory=dict)
    """Unhealthy ports; `fabric` counts all of them."""
    fabric: Fabric | None = None
    domains: Mapping[str, Domain] = field(default_factory=dict)
    """NVLink domains as configured; without configuration, `trays` are used (console/plant/nvlink_domains.py)."""
    trays: Mapping[str, Tray] = field(default_factory=dict)
    cooling: Mapping[str, Coolant] = field(default_factory=dict)
    storage: Mapping[str, FileSystem] = field(default_factory=dict)
    checkups: Mapping[str, Checkup] = field(default_factory=dict)
    control: Control | None = None


#: Kinds that are a single value; the others are rows by key.
PLANT_VALUES = frozenset(one.name for one in fields(PlantRows) if one.default is None)
#: Kinds that are rows by key, with the type of a row.
PLANT_ROWS: Mapping[str, type[Struct]] = {
    kind: get_args(hint)[1] for kind, hint in get_type_hints(PlantRows).items() if kind not in PLANT_VALUES
}

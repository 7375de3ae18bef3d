"""What is neither node nor GPU and keeps both alive: fabric, NVLink domains, cooling, storage, checks, controllers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


class Port(Struct, frozen=True, gc=False, kw_only=True):
    """One port of a node's network adapter that is not well, or one of a node that is looked at."""

    node: str
    device: str
    """As the kernel calls it: mlx5_0, eth0."""
    port: int = 1
    link: str | None = None
    """InfiniBand (any RDMA adapter: RoCE's too) or Ethernet."""
    up: bool | None = None
    state: str | None = None
    """The driver's own word: Active, Down, Polling."""
    speed_gbps: float | None = None
    usual_gbps: float | None = None
    """What most ports of its device name run at: a slower one is told."""
    downed: int | None = None
    """How often the link went down in the last hour."""
    errors: int | None = None
    """Symbol, receive and integrity errors in the last hour."""
    switch: str | None = None
    switch_port: str | None = None
    sampled_at: int | None = None
    wrong: tuple[str, ...] = ()
    """What is not well with it, a word each: down, slow, flapping, errors; () is well."""

    @property
    def key(self) -> str:
        """Node, device and port: one line each."""
        return f"{self.node}/{self.device}/{self.port}"


class Attached(Struct, frozen=True, kw_only=True):
    """What one node hangs on, as it was sampled last: its ports, and its shared file systems."""

    ports: tuple[Port, ...] = ()
    """Those that have a cable."""
    mounts: Mapping[str, bool] = field(default_factory=dict)
    """Where it has one mounted: True where it answers, False where it hangs or fails."""


class Fabric(Struct, frozen=True, kw_only=True):
    """All ports in figures: there are a hundred thousand of them, so the machine sees sums and those not well."""

    ports: int | None = None
    """Those that have a cable: a device that is down nearly everywhere is counted in `uncabled`."""
    up: int | None = None
    uncabled: int | None = None
    switches: Mapping[str, int] = field(default_factory=dict)
    """Switch to its ports that lead to nodes, where the site's series name switches."""
    source: str = ""
    """Where it is from: "node_exporter", and the series that name switches."""


class Domain(Struct, frozen=True, gc=False, kw_only=True):
    """One NVLink domain as somebody laid it out (a rack of GB200 or GB300): its trays may work as one GPU."""

    name: str
    nodes: tuple[str, ...] = ()
    """Its trays, by Slurm's names, in natural order."""
    said_by: str = ""
    """Who says so: "Slurm's blocks" or "the racks"."""


class Tray(Struct, frozen=True, gc=False, kw_only=True):
    """One node as the NVLink fabric has it: what its GPUs say of the domain that they are in."""

    node: str
    domain: str = ""
    """The fabric's own id of the domain (a UUID), "" where it is not told."""
    clique: str | None = None
    """The part of the domain whose GPUs reach each other; several joined by commas where its GPUs are not in one."""
    gpus: int | None = None
    """GPUs that are in the fabric; one that did not join is not among them."""
    ready: int | None = None
    """Of these, those whose fabric is healthy; None where no GPU tells its health."""
    fabric: str | None = None
    """healthy, degraded, unhealthy: the worst that a GPU of it says; None where none tells."""
    wrong: tuple[str, ...] = ()
    """What is not well with it, in the driver's words: "degraded bandwidth", "route unhealthy"."""
    imex: str | None = None
    """up, or the state of its IMEX service that is not: "down", "waiting for peers"; None where nobody tells."""
    imex_domain: str | None = None
    """What IMEX says of all the domain, as this node hears it: up, degraded, down."""


class Coolant(Struct, frozen=True, gc=False, kw_only=True):
    """One measuring point of a cooling loop, or the leak detectors of a part of it. `loop` is a CDU or a circuit."""

    loop: str
    """As the site's series call it; "" where they name only racks."""
    what: str
    """supply, return (°C), flow (l/min), pressure (bar), leak (detectors that are wet)."""
    at: str = ""
    """Where in the loop, where the loop has several: a rack, a manifold."""
    value: float | None = None
    """None where it says nothing now: it fell silent, is no number, or is old."""
    trend_h: float | None = None
    """By how much it rises in an hour, as of the last ten minutes."""
    low: float | None = None
    high: float | None = None
    """The limits of the configuration, None where it sets none."""
    racks: tuple[str, ...] = ()
    """Racks that hang on the loop, as far as this point or the configuration tells."""
    sampled_at: int | None = None
    """When it was sampled last, on this computer's clock; None where that is not known."""
    detectors: int | None = None
    """Of a leak: how many detectors there are."""
    unknown: int = 0
    """Of these, those that say neither dry nor wet."""
    wet: tuple[str, ...] = ()
    """Names of those that are wet, where they have any."""

    @property
    def key(self) -> str:
        """Loop, what and where: one line each."""
        return f"{self.loop}/{self.what}/{self.at}"


class FileSystem(Struct, frozen=True, gc=False, kw_only=True):
    """One shared file system as its exporters and the nodes see it."""

    name: str
    """As it is mounted or called: /scratch, lustre-fs1."""
    kind: str = ""
    """lustre, wekafs, nfs4: as the kernel calls it, or whose exporter tells of it."""
    device: str = ""
    """What is mounted there: 10.0.0.1@o2ib:/fs1, nas:/export/home."""
    used_pct: float | None = None
    size_tb: float | None = None
    targets: int | None = None
    """Servers or targets behind it; `targets_up` of them answer."""
    targets_up: int | None = None
    mounted: int | None = None
    """Nodes that have it mounted, those on which it hangs among them."""
    hung: tuple[str, ...] = ()
    """Nodes on which it hangs or fails."""
    missing: tuple[str, ...] = ()
    """Nodes that tell of their mounts and lack this one, which nearly all have; some of them may be out of service."""
    wrong: tuple[str, ...] = ()
    """What else is not well with it, in words: a target that is gone, a server that does not answer, full."""


class Checkup(Struct, frozen=True, gc=False, kw_only=True):
    """What a node's own checks said last, and the versions that it runs."""

    node: str
    nhc: str | None = None
    """ok, or what Node Health Check found."""
    nhc_at: int | None = None
    diag: str | None = None
    """What `dcgmi diag` came to, with its level: "r3 pass", "r2 failed: memory"."""
    diag_at: int | None = None
    health: str | None = None
    """What `dcgmi health` says of its GPUs: ok, or the parts that are not."""
    serial: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    """driver, vbios, bios, bmc, kernel: those that are known. What slurmd runs stands in the Node."""

    @property
    def nhc_ok(self) -> bool | None:
        """Whether Node Health Check is content; None where nobody tells."""
        return None if self.nhc is None else self.nhc == "ok"

    @property
    def diag_ok(self) -> bool | None:
        """Whether the last diagnosis passed; None where nobody tells."""
        return None if self.diag is None else self.diag.endswith("pass")


class Controller(Struct, frozen=True, gc=False, kw_only=True):
    """One slurmctld, as it answers a ping."""

    host: str
    role: str
    """primary, backup, backup2, as Slurm calls it."""
    up: bool


class Completing(Struct, frozen=True, gc=False, kw_only=True):
    """One job that has ended and whose processes have not."""

    job: str
    user: str
    nodes: str | None = None
    """Folded: those that it still holds."""
    since: int | None = None
    """When it ended."""


class Runaway(Struct, frozen=True, gc=False, kw_only=True):
    """One job that slurmdbd holds for running and slurmctld does not know: its owner is charged for ever."""

    job: str
    user: str
    since: int | None = None
    nodes: str | None = None


class Control(Struct, frozen=True, kw_only=True):
    """How Slurm's own daemons fare, beside `Diag`."""

    controllers: tuple[Controller, ...] = ()
    """The primary first; () where nobody told."""
    dbd: str | None = None
    """The host of slurmdbd, None where there is none or it is not told."""
    dbd_up: bool | None = None
    """Whether it answers; None where there is none, or nobody asked."""
    completing: tuple[Completing, ...] | None = None
    """None is not known."""
    runaway: tuple[Runaway, ...] | None = None
    """None is not known."""
    runaway_at: int | None = None
    """When they were looked for."""
    unkillable_s: int | None = None
    """UnkillableStepTimeout: how long a step may take to die."""

"""Facts of Prometheus, DCGM, NVML and Alertmanager: GPUs, XIDs, loads, power, alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field


class Process(Struct, frozen=True, gc=False, kw_only=True):
    """One compute process on a GPU. `job` is None without a job, never ""."""

    pid: int
    name: str | None = None
    user: str | None = None
    memory_mb: int | None = None
    job: str | None = None


class Gpu(Struct, frozen=True, gc=False, kw_only=True):
    """One GPU at one moment, from DCGM or NVML. None is unknown; `na` names fields that the driver does not offer."""

    node: str
    index: int
    uuid: str | None = None
    model: str | None = None
    sampled_at: int | None = None
    util_pct: float | None = None
    tensor_pct: float | None = None
    memory_used_mb: int | None = None
    memory_mb: int | None = None
    temp_c: float | None = None
    memory_temp_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    energy_j: float | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    throttle: tuple[str, ...] | None = None
    """Reasons for reduced clocks in words; () if not throttled."""
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    remapped_corrected: int | None = None
    remapped_uncorrected: int | None = None
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    nvlinks_up: int | None = None
    nvlinks: int | None = None
    nvlink_errors: int | None = None
    pcie_gen: int | None = None
    pcie_width: int | None = None
    pcie_replays: int | None = None
    mig: bool | None = None
    recovery: str | None = None
    """The recovery that the driver asks for: none, reset, reboot, drain p2p, drain and reset."""
    fabric: str | None = None
    job: str | None = None
    xid: int | None = None
    """Code of the last XID that the driver reported, None if unknown."""
    processes: tuple[Process, ...] | None = None
    na: frozenset[str] = frozenset()
    lost: str | None = None
    """Why it cannot be read (fallen off the bus), None while it responds."""


#: The severity in the kernel's log line of an NVLink 5 error.
Severity = Literal["fatal", "nonfatal"]
#: XIDs that follow another one (NVIDIA's catalogue: 43, 45), sum it up (154) or add to it (171, 172); the XID before
#: names the cause. DCGM's gauge holds only the last code, so these hide it.
FOLLOWERS = frozenset({43, 45, 154, 171, 172})


class Xid(Struct, frozen=True, gc=False, kw_only=True):
    """One XID code on one GPU: first and last time seen, and how often, in the period that the source looks back."""

    node: str
    gpu: int | None
    code: int
    first_at: int | None = None
    last_at: int | None = None
    count: int | None = None
    uuid: str | None = None
    severity: Severity | None = None
    """The severity in the kernel's log (XIDs 144 to 150): fatal if any line says so; None if unknown."""

    @property
    def key(self) -> str:
        """Node, GPU and code: one line each."""
        return f"{self.node}/{self.gpu}/{self.code}"


HOT_C = 85.0
"""A GPU above this is too hot: most throttle a few degrees later."""


class Load(Struct, frozen=True, gc=False, kw_only=True):
    """The telemetry of one node in sums, for the map, the lists and the totals."""

    node: str
    sampled_at: int | None = None
    gpu_util_pct: float | None = None
    """Mean over its GPUs with known utilisation."""
    util_gpus: int | None = None
    """GPUs with known utilisation: the base of `gpu_util_pct` and `gpus_idle`."""
    gpu_memory_pct: float | None = None
    temp_c: float | None = None
    """Hottest GPU."""
    power_w: float | None = None
    """The node's power from the source in `Power.source`."""
    gpu_power_w: float | None = None
    """Sum of its GPUs only."""
    gpus_seen: int | None = None
    """GPUs that report."""
    gpus_idle: int | None = None
    """GPUs at less than 5 % now."""
    xid: int | None = None


class Power(Struct, frozen=True, kw_only=True):
    """The power of the site. Every figure names its source: PDU, BMC, or the sum of GPUs."""

    source: str
    """The source as shown: "PDU", "BMC", "sum of GPUs"."""
    site_w: float | None = None
    rack_w: Mapping[str, float] = field(default_factory=dict)
    """By rack if the source measures racks (PDU); else racks are summed from `Load.power_w`."""
    trend_w_h: float | None = None
    """Change in watts per hour over the last hour, None if unknown."""
    budget_w: float | None = None


class SlurmCounts(Struct, frozen=True, kw_only=True):
    """slurmctld's own counts, from its metrics. A missing state is unknown, never 0."""

    nodes: int | None = None
    nodes_by_state: Mapping[str, int] = field(default_factory=dict)
    """By the metrics' own words. A node is in one of alloc, mixed, idle, down, future and unknown; drained and draining
    are counted in addition, so a drained node is also under idle or down."""
    nodes_at: int | None = None
    """When the nodes and their GPUs were counted; None if they are unknown."""
    gpus: int | None = None
    gpus_alloc: int | None = None
    jobs_by_state: Mapping[str, int] = field(default_factory=dict)
    """running, pending, suspended, completing; each waiting array task counts as one."""
    jobs_at: int | None = None
    """When the jobs were counted."""


class Series(Struct, frozen=True, kw_only=True):
    """One line of a chart: points of (epoch, value), None without a sample."""

    name: str
    unit: str
    points: tuple[tuple[int, float | None], ...] = ()


class Alert(Struct, frozen=True, gc=False, kw_only=True):
    """One alert as Alertmanager holds it. `state` is active, suppressed or unprocessed."""

    id: str
    """Alertmanager's fingerprint of its labels."""
    name: str
    severity: str | None = None
    state: str = "active"
    node: str | None = None
    starts: int | None = None
    summary: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    silenced_by: tuple[str, ...] = ()
    """Ids of the silences that suppress it."""
    inhibited_by: tuple[str, ...] = ()
    """Ids of the alerts that inhibit it."""


class Matcher(Struct, frozen=True, gc=False):
    """One condition on a label, as Alertmanager writes it: `name=value`, `!=`, `=~`, `!~`."""

    name: str
    value: str
    regex: bool = False
    equal: bool = True

    def __str__(self) -> str:
        sign = {(False, True): "=", (True, True): "=~", (False, False): "!=", (True, False): "!~"}
        return f'{self.name}{sign[self.regex, self.equal]}"{self.value}"'


#: The beginning of a silence's comment that acknowledges alerts; Alertmanager itself has no acknowledgement.
TAKEN = "taken: "


class Silence(Struct, frozen=True, gc=False, kw_only=True):
    """One silence as Alertmanager holds it. `state` is active, pending or expired."""

    id: str
    state: str
    matchers: tuple[Matcher, ...]
    starts: int | None = None
    ends: int | None = None
    by: str = ""
    comment: str = ""

    @property
    def taken(self) -> bool:
        """True if it is an acknowledgement."""
        return self.comment.startswith(TAKEN)

"""What a reading is, and the one frozen value made of all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct, field

from collectors.clean import clean
from collectors.redaction import redact

from .plant import Checkup, Control, Coolant, Domain, Fabric, FileSystem, Port, Tray
from .slurm import Cost, Diag, Job, Node, Partition, Reservation, Rights
from .telemetry import Alert, Load, Power, Silence, SlurmCounts, Xid
from .users import User


class ReadOrigin(Struct, frozen=True, kw_only=True):
    """When and at what cost facts were read, where that is not simply the call that brought them."""

    begun: float
    """Monotonic clock when the oldest of it was asked for."""
    took_s: float
    """How long the commands ran behind it, by whomever they were started."""
    lent: bool
    """True when another console asked, and this one only took the answer."""


class Facts(Struct, frozen=True, eq=False, kw_only=True):
    """What one reading found. A kind that is None was not read; an empty mapping was read and is truly empty."""

    nodes: Mapping[str, Node] | None = None
    jobs: Mapping[str, Job] | None = None
    partitions: Mapping[str, Partition] | None = None
    reservations: Mapping[str, Reservation] | None = None
    loads: Mapping[str, Load] | None = None
    xids: Mapping[str, Xid] | None = None
    power: Power | None = None
    counts: SlurmCounts | None = None
    alerts: Mapping[str, Alert] | None = None
    silences: Mapping[str, Silence] | None = None
    diag: Diag | None = None
    rights: Rights | None = None
    ports: Mapping[str, Port] | None = None
    fabric: Fabric | None = None
    domains: Mapping[str, Domain] | None = None
    trays: Mapping[str, Tray] | None = None
    cooling: Mapping[str, Coolant] | None = None
    storage: Mapping[str, FileSystem] | None = None
    checkups: Mapping[str, Checkup] | None = None
    control: Control | None = None
    cluster: str | None = None
    """The name the source itself gives its cluster, where it does."""
    warnings: tuple[str, ...] = ()
    """What was left out of the facts and why ("2 rows of squeue were cut")."""
    hidden: frozenset[str] = frozenset()
    """The jobs of which rows were left out, so that their absence says nothing: ids, `101_*` for any task of an array,
    `*_5` for that task of any, `*` where nobody knows whose."""
    taken: ReadOrigin | None = None
    """None: the call that brought the facts asked for all of them."""


KINDS = ("nodes", "jobs", "partitions", "reservations", "loads", "xids", "power", "counts", "alerts", "silences",
         "diag", "rights", "ports", "fabric", "domains", "trays", "cooling", "storage", "checkups",
         "control")  # fmt: skip
#: Those that are one value; all others are rows by key.
SINGLE_VALUES = frozenset({"power", "counts", "diag", "rights", "fabric", "control"})


class Fault(Struct, frozen=True):
    """Why a reading failed: a short word for the chip, what happened to what, what to do next."""

    kind: str
    """missing, timeout, cut, empty, refused, auth, backoff, malformed, internal"""
    what: str
    mend: str = ""
    rest_s: float = 0.0
    """Seconds for which the source asks to be left alone (Retry-After); 0 where it says nothing of it."""

    def __str__(self) -> str:
        return f"{self.what} ({self.mend})" if self.mend else self.what


class Reading(Struct, frozen=True, eq=False, kw_only=True):
    """One attempt to read one source. An error is data: exactly one of `facts` and `fault` is set."""

    cluster: str
    source: str
    at: float
    """Wall clock when it ended, for people; ages come from `mono`."""
    mono: float
    """Monotonic clock when the reading *began*: the facts are at least this old."""
    took_s: float
    facts: Facts | None = None
    fault: Fault | None = None


class SourceFault(Exception):
    """Raised by a collector that could not read its source; carries the Fault."""

    def __init__(self, kind: str, what: str, mend: str = "", rest_s: float = 0.0) -> None:
        # Words of a server may stand in it, which may repeat what it was sent.
        what = redact(what)
        super().__init__(what)
        # Paths and addresses of the configuration stand in it, which nobody has cleaned.
        self.fault = Fault(kind, clean(what), clean(mend), rest_s)


def may_hide(hidden: Collection[str], job: str) -> bool:
    """Whether a reading that left these out (`Facts.hidden`) may have left out the row of this job."""
    if not hidden:
        return False
    tail = job.lstrip("0123456789")
    forms = ("*", job, f"*{tail}" if tail else job, f"{job.partition('_')[0]}_*" if tail[:1] == "_" else job)
    return any(form in hidden for form in forms)


class Source(Struct, frozen=True, kw_only=True):
    """The state of one source, as the chips show it."""

    name: str
    ok: bool = False
    tried: bool = False
    """False until the first reading ended, well or not."""
    read_mono: float | None = None
    """Monotonic time of the last good reading; None when there has been none."""
    took_s: float | None = None
    fault: Fault | None = None
    failures: int = 0
    """Failed readings in a row."""
    warnings: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    """As `Facts.hidden`, of the last good reading."""
    due_s: float = 10.0
    """Seconds between readings as planned now; facts older than twice this are stale."""

    @property
    def chip(self) -> str:
        """The part of the name that the top line shows: `slurm` of `slurm.nodes`."""
        return self.name.partition(".")[0]

    def age_s(self, mono: float) -> float | None:
        """Age of the facts in seconds, None when there are none."""
        return None if self.read_mono is None else max(0.0, mono - self.read_mono)

    def late(self, mono: float) -> bool:
        """Whether its facts are older than two readings and the time one takes."""
        age = self.age_s(mono)
        return age is not None and age > 2 * self.due_s + (self.took_s or 0.0)


class Totals(Struct, frozen=True, kw_only=True):
    """The machine in figures. None where the facts are missing."""

    nodes: int | None = None
    nodes_by_display: Mapping[str, int] = field(default_factory=dict)
    gpus: int | None = None
    gpus_alloc: int | None = None
    gpu_slices: int | None = None
    """How many of `gpus` are MIG slices."""
    gpus_out: int | None = None
    """GPUs on nodes that are down or drained."""
    gpus_idle_in_jobs: int | None = None
    jobs: int | None = None
    jobs_by_state: Mapping[str, int] = field(default_factory=dict)
    power_w: float | None = None
    """Sum of the nodes whose power is measured."""
    gpu_power_w: float | None = None
    """Sum of the GPUs alone, never added to `power_w`."""
    gpu_util_pct: float | None = None
    """Mean over all GPUs whose utilisation is known."""
    util_gpus: int | None = None
    """How many GPUs `gpu_util_pct` is over; None where a source gives means without their number."""
    nodes_hot: int | None = None
    """Nodes whose hottest GPU is above 85 degrees."""


class Cluster(Struct, frozen=True, weakref=True, eq=False, kw_only=True):
    """Everything known of one cluster at one moment. Compared by identity; the mappings are never changed in place."""

    name: str
    demo: bool = False
    at: float = 0.0
    """Wall clock of the newest reading in it."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    jobs: Mapping[str, Job] = field(default_factory=dict)
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    loads: Mapping[str, Load] = field(default_factory=dict)
    xids: Mapping[str, Xid] = field(default_factory=dict)
    power: Power | None = None
    counts: SlurmCounts | None = None
    """What slurmctld itself counts; kept apart from `totals`, which are made of the rows."""
    alerts: Mapping[str, Alert] = field(default_factory=dict)
    silences: Mapping[str, Silence] = field(default_factory=dict)
    """Those that are active or will be; Alertmanager's memory of expired ones is left out."""
    diag: Diag | None = None
    dbd_queues: tuple[tuple[float, int], ...] = ()
    """How many messages waited for slurmdbd at the last readings of `diag`, oldest first, each with its monotonic time;
    empty where the newest did not tell."""
    cost: Cost | None = None
    """What the user who reads costs the controller; None while that is not known."""
    rights: Rights | None = None
    """What the person at the keyboard may change; None while that is not known."""
    ports: Mapping[str, Port] = field(default_factory=dict)
    """Ports that are not well; `fabric` counts all of them."""
    fabric: Fabric | None = None
    domains: Mapping[str, Domain] = field(default_factory=dict)
    """As somebody laid them out; where nobody did, `trays` tell (console/plant/nvlink_domains.py)."""
    trays: Mapping[str, Tray] = field(default_factory=dict)
    cooling: Mapping[str, Coolant] = field(default_factory=dict)
    storage: Mapping[str, FileSystem] = field(default_factory=dict)
    checkups: Mapping[str, Checkup] = field(default_factory=dict)
    control: Control | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    """Kinds that were read at least once: an empty mapping of a kind not in here means unknown, not none."""
    jobs_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Node name to the ids of the jobs that hold it."""
    users: Mapping[str, User] = field(default_factory=dict)
    """Only those that an action is about, read for it: no source has them."""
    racks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Rack to its nodes, both in natural order; nodes without a rack stand under ""."""
    totals: Totals = Totals()


class Diff(Struct, frozen=True, eq=False):
    """What differs between two Clusters: the kinds, and per kind the keys that came, went or changed."""

    kinds: frozenset[str] = frozenset()
    keys: Mapping[str, frozenset[str]] = field(default_factory=dict)

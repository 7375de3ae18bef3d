"""A reading, and the one frozen value made of all readings."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct, field

from collectors.clean import clean
from collectors.redaction import redact

from .plant import PLANT_VALUES, PlantFacts, PlantRows
from .queue_limits import User
from .slurm import Cost, Diag, Job, Node, Partition, Reservation, Rights
from .telemetry import Alert, Load, Power, Silence, SlurmCounts, Xid

#: A row that an action can target.
Row = Node | Job | Alert | Silence | Partition | Reservation | User


class ReadOrigin(Struct, frozen=True, kw_only=True):
    """When facts were read and at what cost, if that differs from the call that returned them."""

    begun: float
    """Monotonic time when the oldest part was requested."""
    took_s: float
    """Run time of the commands, whichever console started them."""
    lent: bool
    """True if another console ran the commands and this one took the answer."""


class Facts(PlantFacts, frozen=True, eq=False, kw_only=True):
    """The result of one reading. A kind that is None was not read; an empty mapping was read and is truly empty."""

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
    cluster: str | None = None
    """The cluster's name as the source itself has it."""
    warnings: tuple[str, ...] = ()
    """What was left out and why ("2 rows of squeue were cut")."""
    hidden: frozenset[str] = frozenset()
    """Jobs whose rows were left out, so their absence proves nothing: ids, `101_*` for any task of an array, `*_5` for
    that task of any array, `*` if the job is unknown."""
    taken: ReadOrigin | None = None
    """None if the call that returned the facts read all of them itself."""


#: Kinds of facts of Slurm, telemetry and alerts, then those of the plant.
KINDS = ("nodes", "jobs", "partitions", "reservations", "loads", "xids", "power", "counts", "alerts", "silences",
         "diag", "rights", *PlantFacts.__struct_fields__)  # fmt: skip
#: Kinds that are a single value; all others are rows by key.
SINGLE_VALUES = frozenset({"power", "counts", "diag", "rights"} | PLANT_VALUES)


class Fault(Struct, frozen=True):
    """Why a reading failed: a short word for the chip, what happened, what to do next."""

    kind: str
    """missing, timeout, cut, empty, refused, auth, backoff, malformed, internal"""
    what: str
    mend: str = ""
    rest_s: float = 0.0
    """Seconds that the source asks to wait (Retry-After); 0 if it does not say."""

    def __str__(self) -> str:
        return f"{self.what} ({self.mend})" if self.mend else self.what


class Reading(Struct, frozen=True, eq=False, kw_only=True):
    """One attempt to read one source. An error is data: exactly one of `facts` and `fault` is set."""

    cluster: str
    source: str
    at: float
    """Wall clock at its end, for people; ages are computed from `mono`."""
    mono: float
    """Monotonic clock when the reading *began*: the facts are at least this old."""
    took_s: float
    facts: Facts | None = None
    fault: Fault | None = None
    recalled: bool = False
    """True for the newest stored reading of another console, shown until the first one of this console."""


class SourceFault(Exception):
    """Raised by a collector that cannot read its source; carries the Fault."""

    def __init__(self, kind: str, what: str, mend: str = "", rest_s: float = 0.0) -> None:
        # The text may contain a server's words, which may repeat what was sent to it.
        what = redact(what)
        super().__init__(what)
        # The text may contain paths and addresses of the configuration, which are not cleaned yet.
        self.fault = Fault(kind, clean(what), clean(mend), rest_s)


def may_hide(hidden: Collection[str], job: str) -> bool:
    """Whether a reading that left these out (`Facts.hidden`) may have left out this job's row."""
    if not hidden:
        return False
    tail = job.lstrip("0123456789")
    forms = ("*", job, f"*{tail}" if tail else job, f"{job.partition('_')[0]}_*" if tail[:1] == "_" else job)
    return any(form in hidden for form in forms)


class Source(Struct, frozen=True, kw_only=True):
    """The state of one source, as its chip shows it."""

    name: str
    ok: bool = False
    tried: bool = False
    """False until the first reading ended, successful or not."""
    read_mono: float | None = None
    """Monotonic time of the last successful reading; None before it."""
    took_s: float | None = None
    fault: Fault | None = None
    failures: int = 0
    """Consecutive failed readings."""
    warnings: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    """`Facts.hidden` of the last successful reading."""
    due_s: float = 10.0
    """Seconds between readings as planned now; facts older than twice that are stale."""

    @property
    def recalled(self) -> bool:
        """Whether its facts were read by another console, and this one has not read them yet."""
        return not self.ok and not self.tried and self.read_mono is not None

    @property
    def chip(self) -> str:
        """The part of the name on the top line: `slurm` of `slurm.nodes`."""
        return self.name.partition(".")[0]

    def age_s(self, mono: float) -> float | None:
        """Age of the facts in seconds, None before the first reading."""
        return None if self.read_mono is None else max(0.0, mono - self.read_mono)

    def late(self, mono: float) -> bool:
        """Whether its facts are older than two intervals plus the time of one reading, or were recalled."""
        age = self.age_s(mono)
        return age is not None and (self.recalled or age > 2 * self.due_s + (self.took_s or 0.0))


class Totals(Struct, frozen=True, kw_only=True):
    """The cluster in figures. None if the facts are missing."""

    nodes: int | None = None
    nodes_by_display: Mapping[str, int] = field(default_factory=dict)
    gpus: int | None = None
    gpus_alloc: int | None = None
    gpu_slices: int | None = None
    """The MIG slices among `gpus`."""
    gpus_out: int | None = None
    """GPUs on nodes that are down or drained."""
    gpus_idle_in_jobs: int | None = None
    jobs: int | None = None
    jobs_by_state: Mapping[str, int] = field(default_factory=dict)
    power_w: float | None = None
    """Sum over the nodes with measured power."""
    gpu_power_w: float | None = None
    """Sum of the GPUs only, never added to `power_w`."""
    gpu_util_pct: float | None = None
    """Mean over all GPUs with known utilisation."""
    util_gpus: int | None = None
    """The number of GPUs in `gpu_util_pct`; None if a source gives means without their number."""
    nodes_hot: int | None = None
    """Nodes whose hottest GPU is above 85 degrees."""


class Cluster(PlantRows, frozen=True, weakref=True, eq=False, kw_only=True):
    """All that is known of one cluster at one moment. Compared by identity; the mappings are never changed in place."""

    name: str
    demo: bool = False
    at: float = 0.0
    """Wall clock of its newest reading."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    jobs: Mapping[str, Job] = field(default_factory=dict)
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    loads: Mapping[str, Load] = field(default_factory=dict)
    xids: Mapping[str, Xid] = field(default_factory=dict)
    power: Power | None = None
    counts: SlurmCounts | None = None
    """slurmctld's own counts; kept apart from `totals`, which are computed from the rows."""
    alerts: Mapping[str, Alert] = field(default_factory=dict)
    silences: Mapping[str, Silence] = field(default_factory=dict)
    """Active and pending ones; Alertmanager's expired ones are left out."""
    diag: Diag | None = None
    dbd_queues: tuple[tuple[float, int], ...] = ()
    """Messages waiting for slurmdbd at the last readings of `diag`, oldest first, each with its monotonic time; empty
    if the newest reading has no count."""
    cost: Cost | None = None
    """The load that this console's user causes on the controller; None if unknown."""
    rights: Rights | None = None
    """What the console's user may change; None if unknown."""
    sources: Mapping[str, Source] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    """Kinds that were read at least once: an empty mapping of any other kind means unknown, not none."""
    jobs_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Node name to the ids of the jobs that hold it."""
    users: Mapping[str, User] = field(default_factory=dict)
    """Only the users of an action, read for it: no source polls users."""
    racks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Rack to its nodes, both in natural order; nodes without a rack are under ""."""
    totals: Totals = Totals()


class Diff(Struct, frozen=True, eq=False):
    """The difference between two Clusters: the kinds, and per kind the keys that were added, removed or changed."""

    kinds: frozenset[str] = frozenset()
    keys: Mapping[str, frozenset[str]] = field(default_factory=dict)

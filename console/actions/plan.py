"""What an action would do, as frozen values: targets, jobs hit, capacity lost, what was checked, what to type.

`console.gate.planning` makes plans; the gate alone sends them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from collectors.model import Change, Cluster, Gpu, Job, JobDetail, Node
from collectors.nodeset import fold
from collectors.nodestate import OUT

from .action import Action, Kind, Row

#: How serious a finding of the pre-flight is. See `Check`.
Level = Literal["ok", "note", "warn", "bad", "refused", "unknown"]
#: What the pre-flight can find, as stable codes: a roll-out compares these, never the texts that people read.
Code = Literal[
    "admin-hold", "bound", "bound-not-read", "checkup-old", "clique", "completing", "cooling", "cooling-ok",
    "cooling-old", "cooling-silent", "cpus-busy", "deaths", "deaths-unknown", "diag", "diag-before-boot",
    "drain-goes", "drain-kills", "drain-lost", "ecc-uncorrected", "fabric", "fabric-gpus", "fabric-ok",
    "fabric-old", "fabric-unknown", "features-until-restart", "gpu-busy", "gpu-lost", "gpu-memory", "gpu-process",
    "gpu-recovery", "gpus-busy", "gpus-extra", "gpus-fit", "gpus-missing", "gpus-partly-unknown", "gpus-unknown",
    "health", "held-by-admin", "held-by-exit-code", "held-by-owner", "held-by-slurm", "imex", "limit-kills",
    "limit-over-partition", "limit-over-reservation", "limit-shortened", "limit-unbounded", "memory-stays", "nhc",
    "nhc-ok", "nhc-old", "no-batch-script", "no-job", "no-partition", "nodes-old", "nodes-unknown", "not-bound",
    "not-read", "not-requeueable", "not-responding", "out-for-days", "partition-not-up", "partition-small",
    "partitions-not-read", "port", "ports-old", "power-after-jobs", "powered-off", "powering-up", "reason",
    "reason-kept", "reboot-cancelled", "rebooting", "registers-first", "remap-failed", "remap-pending",
    "requeue-not-read", "requeue-unknown", "requeueable", "requeued-held", "reservations-not-read", "reserved",
    "restarts", "restarts-unknown", "signal-kills", "signal-may-kill", "signal-sent", "signal-stops",
    "slurmd-silent", "start-unknown", "stays-down", "steps-time-out", "store-hung", "store-missing", "stores-old",
    "too-few-nodes", "version", "xid",
]  # fmt: skip

#: Why nothing may be sent where whoever started the console said so.
READ_ONLY = "read-only"


class Wave(Struct, frozen=True, kw_only=True):
    """Nodes that come back before it is looked whether they are fit."""

    name: str
    """`canary R07`, `10 %`, `the rest, 1 of 4`."""
    steps: tuple[tuple[str, ...], ...]
    """What is sent in one go."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """All of it, in order."""
        return tuple(node for step in self.steps for node in step)


class Waves(Struct, frozen=True, kw_only=True):
    """How many nodes come back: every one in one step of one wave."""

    waves: tuple[Wave, ...]
    node_kw: Mapping[str, float]
    """Node to what it may draw when it works (kW). One that is missing: nobody knows."""
    source: str
    """Where that is from."""
    ramp_kw_min: float
    """kW a minute that may come on top; 0: no ramp is configured."""
    pause_s: float
    """Between two waves, where no ramp says how long."""
    most_failed_pct: float
    """More of a wave than this unfit, and everything pauses."""
    wait_s: float
    """Longest that a wave waits for one of its nodes to register; then it is left behind, and the others go on."""
    drains: bool = False
    """Somebody wants what came back and is not fit drained again: it is asked each time."""

    def kw(self, nodes: Iterable[str]) -> float:
        """What these may draw, as far as it is known."""
        return sum(self.node_kw.get(node, 0.0) for node in nodes)

    @property
    def blind(self) -> int:
        """Nodes of which nobody knows what they draw."""
        return sum(node not in self.node_kw for wave in self.waves for node in wave.nodes)

    def words(self, whole: bool = False) -> list[str]:
        """What a person should know before: the waves (`whole`: each), the ramp, what becomes of those that are not
        fit."""
        sizes = [f"{wave.name}: {len(wave.nodes):,}" for wave in self.waves]
        shown = sizes if whole else sizes[:3]
        told = [", ".join(shown) + (f" and {len(sizes) - len(shown)} more" if len(sizes) > len(shown) else "")]
        count = sum(len(wave.nodes) for wave in self.waves)
        if not self.ramp_kw_min:
            told.append(f"no power ramp is configured (ramp_kw_min): at least {self.pause_s:g} s between two waves")
        elif self.blind == count:
            told.append(f"what they will draw is not known (node_kw): no ramp can be kept, at least {self.pause_s:g} s "
                        "between two waves")  # fmt: skip
        else:
            most = max(self.node_kw.values())
            told.append(f"{self.ramp_kw_min:,.0f} kW a minute at {most:,.1f} kW a node ({self.source})")
            if self.blind:
                told.append(f"what {self.blind:,} will draw is not known: {self.pause_s:g} s after a step with these")
        told.append(
            f"the next wave waits until these have registered, {self.wait_s:g} s at most, and been looked at; more "
            f"than {self.most_failed_pct:g} % unfit and everything pauses"
        )
        after = ", and you are asked whether they are drained again" if self.drains else ": they stay as Slurm has them"
        told.append(f"each step is looked at again before it goes out; those that are not fit are set aside{after}")
        return told


class Guard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The figures of the guard: `[guard]` in the configuration, with the defaults of the contract."""

    plain_most: Annotated[int, Meta(ge=0)] = 1
    """Most targets of a reversible action that a plain yes confirms."""
    share_pct: Annotated[float, Meta(ge=0, le=100)] = 5.0
    """More than this share of a partition's healthy nodes newly out, and a count and a reason are asked for…"""
    share_nodes: Annotated[int, Meta(ge=0)] = 2
    """… unless it is no more than so many nodes."""
    break_pct: Annotated[float, Meta(ge=0, le=100)] = 20.0
    """More than this share (and more nodes than `share_nodes`): break-glass, the partition's name is typed."""
    part_pct: Annotated[float, Meta(ge=0, le=100)] = 50.0
    """A partition with this share or more of the machine's nodes or running jobs goes down by its name alone."""
    facts_s: Annotated[float, Meta(gt=0)] = 30.0
    """Oldest facts (seconds, or two polls where that is longer) that may be acted on without reading again."""
    preview_s: Annotated[float, Meta(ge=30)] = 300.0
    """A preview older than this (seconds) is acted on no more: jobs and GPUs have moved on, ask again."""
    batch: Annotated[int, Meta(ge=1, le=500)] = 50
    """Targets of one call of a killing action: between two calls it can be paused and stopped."""
    take_s: Annotated[int, Meta(ge=60)] = 3600
    """How long "I'm on it" lasts."""
    silence_s: Annotated[int, Meta(ge=60)] = 4 * 3600
    """How long a silence lasts when nothing else is said."""
    wave_from: Annotated[int, Meta(ge=2)] = 100
    """Nodes from which a resume or undrain goes in waves, asked or not."""
    wave_failed_pct: Annotated[float, Meta(ge=0, le=100)] = 20.0
    """More than this share of a wave unfit, and the waves pause until somebody lets them go on."""
    wave_wait_s: Annotated[float, Meta(ge=1)] = 120.0
    """Longest (seconds) that a wave waits for one of its nodes to register: then it goes on and leaves it behind."""
    wave_pause_s: Annotated[float, Meta(ge=0)] = 60.0
    """Least time (seconds) between two waves where no ramp can be kept."""
    ramp_kw_min: Annotated[float, Meta(ge=0)] = 0.0
    """Power (kW) that waves may bring back within a minute; 0: no ramp."""
    node_kw: Annotated[float, Meta(ge=0)] = 0.0
    """What a node draws at work (kW), for the ramp; 0: what busy nodes of its kind draw just then."""


class Options(Struct, frozen=True, kw_only=True):
    """What can be said beside targets and reason; `Action.asks` tells who knows which."""

    priority: int | None = None
    resume_after_s: int | None = None
    seconds: int | None = None
    """How long a silence lasts."""
    next_state: Literal["RESUME", "DOWN"] | None = None
    """How a node comes back from a reboot; None: a drained one comes back down, the others resume."""
    value: str | None = None
    """What every target is given, spelt as `Action.value.read` gives it."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Target to its own, where that differs: of an undo what it had, of a plan what each is given."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What is said once for all of it: a reservation's name, its end, its users."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """undo: node to the reason that it had."""
    priorities: Mapping[str, int] = field(default_factory=dict)
    """undo: job to the priority that it had."""
    undoes: str | None = None
    """undo: id of the plan whose doing is taken back."""
    break_glass: bool = False
    """The command line's word that a break-glass question will be answered; the screen asks by itself."""
    waves: bool = False
    """resume, undrain: in waves, however few they are."""
    canary: str | None = None
    """The rack that comes back first."""
    redrain: bool = False
    """What came back and is not fit is to be drained again, once somebody has said yes to it."""
    offered: str = ""
    """What the console itself wrote into the line for the reason: an alert's text may read like a filter."""


class Check(Struct, frozen=True):
    """One thing that was looked at before an action. `bad` keeps the target out unless the glass is broken, `refused`
    always: Slurm would not do it."""

    target: str
    """"" where it concerns all of them."""
    level: Level
    text: str
    """For people: nothing is decided by it."""
    code: Code
    about: tuple[object, ...] = ()
    """What of this kind it is, as values: the GPU, the XID, the loop. Never what moves by itself: ages, percents."""

    @property
    def trouble(self) -> tuple[str, Code, tuple[object, ...]]:
        """What makes it the same finding a minute later."""
        return self.target, self.code, self.about


class PreflightReads(Struct, frozen=True, kw_only=True):
    """What was read on demand for the pre-flight, where the Cluster does not hold it."""

    gpus: Mapping[str, tuple[Gpu, ...]] | None = None
    """Node to its GPUs; None was not read, a node that is missing did not answer."""
    details: Mapping[str, JobDetail] = field(default_factory=dict)
    """Job to its detail; a job that is missing was not read."""
    rows: Mapping[str, Row] = field(default_factory=dict)
    """Target to its row as it was read just now, with what no poll holds (`Value.read_again`)."""
    bound: Mapping[str, tuple[Job, ...]] = field(default_factory=dict)
    """Reservation to the jobs that asked for it; one that is missing was not read."""
    faults: tuple[str, ...] = ()
    """Why something could not be read."""
    resumed: Mapping[str, float] = field(default_factory=dict)
    """Node to when it was put back to work the last time (epoch), as far as the journal knows."""


class Confirm(Struct, frozen=True):
    """What must be typed: y, the count of the targets, or a word where the glass must be broken."""

    kind: Literal["plain", "count", "break"]
    expect: int
    word: str = ""
    """break: the partition that loses so much, or "anyway" against a failed pre-flight."""
    why: str = ""
    """break: what it is that asks for it."""

    def covers(self, other: Confirm) -> bool:
        """Whether an answer to this question, given in advance, would do for another one too: no more targets, nothing
        stronger to type, and no glass to break."""
        weaker = other.kind == "plain" or (other.kind == "count" and self.kind != "plain")
        return weaker and other.expect <= self.expect

    @property
    def words(self) -> str:
        """What to ask for: `y`, `4`, `gpu`."""
        return {"plain": "y", "count": str(self.expect), "break": self.word}[self.kind]

    def accepts(self, answer: str) -> bool:
        """True for the very answer, with nothing before or after it. A count answers a plain question too."""
        if self.kind == "break":
            return answer == self.word
        return answer == str(self.expect) or (self.kind == "plain" and answer in {"y", "yes"})


class Skip(Struct, frozen=True):
    """A target that is left alone, and why."""

    target: str
    why: str


class JobHit(Struct, frozen=True, kw_only=True):
    """A job that the action touches. `gpus` is all it holds, None where Slurm does not tell."""

    id: str
    user: str
    name: str
    nodes: str | None
    node_count: int | None
    gpus: int | None
    elapsed_s: int | None
    left_s: int | None
    unlimited: bool = False
    """Slurm says that it has no time limit."""


class PartitionShare(Struct, frozen=True, kw_only=True):
    """What a partition loses. Nodes that are out already weigh nothing."""

    partition: str
    nodes: int
    healthy: int
    newly_out: int

    @property
    def part(self) -> float:
        """Nodes newly out, as a share of the healthy ones (0 to 1)."""
        return self.newly_out / self.healthy if self.healthy else 0.0

    @property
    def out_then(self) -> float:
        """Nodes out of service afterwards, as a share of all (0 to 1)."""
        return (self.nodes - self.healthy + self.newly_out) / self.nodes

    def __str__(self) -> str:
        return (
            f"{self.partition}: {self.newly_out:,} of {self.healthy:,} healthy nodes newly out "
            f"({100 * self.part:.1f} %); out of service then {100 * self.out_then:.1f} %"
        )


class Refusal(Struct, frozen=True):
    """Why nothing can be planned or sent, in words for the person who asked."""

    why: str
    skipped: tuple[Skip, ...] = ()
    glass: bool = False
    """True where a plan with `Options.break_glass` would go through: only a failed pre-flight stands in the way."""


class Plan(Struct, frozen=True, eq=False, weakref=True, kw_only=True):
    """One action, frozen: what will be sent to whom, what it costs, and what must be typed. Good for one `send`."""

    id: str
    action: Action
    change: Change
    """Holds only the targets that are acted on, under explicit names."""
    cluster: Cluster
    """What was known when it was made."""
    made: float
    """Monotonic time."""
    seen: Mapping[str, Row]
    """Target to its row as confirmed."""
    skipped: tuple[Skip, ...]
    jobs: tuple[JobHit, ...] | None
    """Jobs that run on the nodes, or that are themselves killed; None when the jobs were never read."""
    empty_in_s: int | None
    """Seconds until the last of these jobs ends by itself; None when that is not known, or there are none."""
    shares: tuple[PartitionShare, ...]
    commands: tuple[tuple[str, ...], ...]
    """Exactly what will run; as long as a reason is missing, `…` stands for it."""
    confirm: Confirm
    checks: tuple[Check, ...] = ()
    """What the pre-flight found."""
    options: Options = Options()
    guard: Guard = Guard()
    inside: str = ""
    """The declared incident that all of it lies in, by whose name it takes one key."""
    waves: Waves | None = None
    """How many nodes come back, where they do not all at once."""
    changed: Mapping[str, str] = field(default_factory=dict)
    """Of a plan that asks again: target to what changed about it since the preview before."""
    why: str | None = None
    """The person's reason, as the journal has it; Slurm hears of it where the action has a reason."""

    @property
    def asks_reason(self) -> bool:
        """True when it is not sent without a reason: the action has one, or the glass is broken."""
        return self.action.needs_reason or self.confirm.kind == "break"

    @property
    def lacks_reason(self) -> bool:
        """True when `Gate.with_reason` must be called before it can be sent."""
        return self.asks_reason and not self.why

    @property
    def kills(self) -> bool:
        """True when running work may be lost."""
        return any(self.action.danger_of(row) == "kills" for row in self.seen.values())

    @property
    def oldest_s(self) -> float:
        """How old facts may be that are acted on: two polls, and never less than the guard's figure."""
        source = self.cluster.sources.get(f"slurm.{self.change.kind}s")
        return max(self.guard.facts_s, 2 * source.due_s if source is not None else 0.0)

    def age_s(self, mono: float) -> float | None:
        """Age of the facts it was made from; None when no source tells it."""
        ages = [source.age_s(mono) for name, source in self.cluster.sources.items()
                if name.endswith(f".{self.change.kind}s")]  # fmt: skip
        return max((age for age in ages if age is not None), default=None)


def grouped(skipped: Sequence[Skip], kind: Kind) -> str:
    """Skipped targets by their reason: `gpu[0001-0004]: already drained`."""
    by_why: dict[str, list[str]] = {}
    for skip in skipped:
        by_why.setdefault(skip.why, []).append(skip.target)
    return "; ".join(f"{listed(targets, kind)}: {why}" for why, targets in by_why.items())


def listed(targets: Sequence[str], kind: Kind, most: int = 10) -> str:
    """Targets as people read them: nodes folded, job ids one by one as long as they are few."""
    if kind == "node":
        return fold(targets)
    more = f" and {len(targets) - most:,} more" if len(targets) > most else ""
    return ", ".join(targets[:most]) + more


def named(cluster: Cluster, targets: Sequence[str], kind: Kind) -> str:
    """Targets as people know them: alerts by name and node, silences by their comment, never by a fingerprint."""
    if kind == "alert":
        nodes: dict[str, list[str]] = {}
        for target in targets:
            alert = cluster.alerts.get(target)
            nodes.setdefault(alert.name if alert is not None else target, []).append((alert and alert.node) or "")
        return ", ".join(" ".join(filter(None, (name, fold(filter(None, on))))) for name, on in nodes.items())
    if kind == "silence":
        told = (cluster.silences.get(target) for target in targets)
        return ", ".join(dict.fromkeys(one.comment or one.id if one is not None else "a silence" for one in told))
    return f"{len(targets):,} jobs" if kind == "job" and len(targets) > 4 else listed(targets, kind)


def is_out(row: Row) -> bool:
    return isinstance(row, Node) and row.display in OUT


def shares_of(nodes: Collection[str], cluster: Cluster) -> tuple[PartitionShare, ...]:
    """What each partition loses that holds one of the nodes."""
    acting = frozenset(nodes)
    hit = {part: 0 for name in nodes for part in cluster.nodes[name].partitions}
    total, healthy = dict(hit), dict(hit)
    for node in cluster.nodes.values():
        in_service = not is_out(node)
        for part in node.partitions:
            if part in hit:
                total[part] += 1
                healthy[part] += in_service
                hit[part] += in_service and node.name in acting
    return tuple(
        PartitionShare(partition=part, nodes=total[part], healthy=healthy[part], newly_out=newly)
        for part, newly in hit.items()
    )

"""The preview of an action as frozen values: targets, jobs hit, capacity lost, findings, what must be typed.

`console.gate.planning` makes plans; the gate alone sends them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from collectors.model import Change, Cluster, Node, Row
from collectors.nodeset import fold
from collectors.nodestate import UNAVAILABLE
from console.preflight.checks import Check

from .action import Action, Kind
from .options import Guard, Options

#: The refusal of every action in a console started as read-only.
READ_ONLY = "read-only"


class Wave(Struct, frozen=True, kw_only=True):
    """Nodes that return together and are checked before the next wave."""

    name: str
    """`canary R07`, `10 %`, `the rest, 1 of 4`."""
    steps: tuple[tuple[str, ...], ...]
    """Nodes of each step; a step is sent at once."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """All of it, in order."""
        return tuple(node for step in self.steps for node in step)


class Waves(Struct, frozen=True, kw_only=True):
    """The plan of a roll-out: every node is in one step of one wave."""

    waves: tuple[Wave, ...]
    node_kw: Mapping[str, float]
    """Node to its power under load (kW); missing where unknown."""
    source: str
    """The source of `node_kw`."""
    ramp_kw_min: float
    """Power ramp: kW that may be added in a minute; 0: no ramp is configured."""
    pause_s: float
    """Pause (seconds) between two waves, where no ramp applies."""
    max_failed_pct: float
    """The roll-out pauses if more than this share of a wave is not fit."""
    wait_s: float
    """Longest wait (seconds) for a node to register; then it counts as late, and the roll-out goes on."""
    redrain: bool = False
    """Whether unfit nodes are to be drained again; each drain is confirmed."""

    def power_kw(self, nodes: Iterable[str]) -> float:
        """Sum of the known power of these nodes."""
        return sum(self.node_kw.get(node, 0.0) for node in nodes)

    @property
    def unknown_power(self) -> int:
        """Number of nodes whose power is unknown."""
        return sum(node not in self.node_kw for wave in self.waves for node in wave.nodes)

    def describe(self, whole: bool = False) -> list[str]:
        """Lines of the preview: the waves (each, if `whole`), the ramp, and what happens to unfit nodes."""
        sizes = [f"{wave.name}: {len(wave.nodes):,}" for wave in self.waves]
        shown = sizes if whole else sizes[:3]
        told = [", ".join(shown) + (f" and {len(sizes) - len(shown)} more" if len(sizes) > len(shown) else "")]
        count = sum(len(wave.nodes) for wave in self.waves)
        if not self.ramp_kw_min:
            told.append(f"no power ramp is configured (ramp_kw_min): at least {self.pause_s:g} s between two waves")
        elif self.unknown_power == count:
            told.append(f"what they will draw is not known (node_kw): no ramp can be kept, at least {self.pause_s:g} s "
                        "between two waves")  # fmt: skip
        else:
            most = max(self.node_kw.values())
            told.append(f"{self.ramp_kw_min:,.0f} kW a minute at {most:,.1f} kW a node ({self.source})")
            if self.unknown_power:
                told.append(
                    f"what {self.unknown_power:,} will draw is not known: {self.pause_s:g} s after a step with these"
                )
        told.append(
            f"the next wave waits until these have registered, {self.wait_s:g} s at most, and been looked at; more "
            f"than {self.max_failed_pct:g} % unfit and everything pauses"
        )
        after = (
            ", and you are asked whether they are drained again" if self.redrain else ": they stay as Slurm has them"
        )
        told.append(f"each step is looked at again before it goes out; those that are not fit are set aside{after}")
        return told


class Confirmation(Struct, frozen=True):
    """What must be typed: y, the number of targets, or a word where the glass must be broken."""

    kind: Literal["plain", "count", "break"]
    count: int
    word: str = ""
    """break: the partition that loses that share, or "anyway" against a failed pre-flight."""
    why: str = ""
    """break: why it is required."""

    def covers(self, other: Confirmation) -> bool:
        """Whether a confirmation given in advance for this also confirms `other`: no more targets, nothing stronger
        to type, and no glass to break."""
        weaker = other.kind == "plain" or (other.kind == "count" and self.kind != "plain")
        return weaker and other.count <= self.count

    @property
    def prompt(self) -> str:
        """The text to type: `y`, `4`, `gpu`."""
        return {"plain": "y", "count": str(self.count), "break": self.word}[self.kind]

    def accepts(self, answer: str) -> bool:
        """True for exactly the required text. A count also answers a plain question."""
        if self.kind == "break":
            return answer == self.word
        return answer == str(self.count) or (self.kind == "plain" and answer in {"y", "yes"})


class Skip(Struct, frozen=True):
    """A target that is skipped, and why."""

    target: str
    why: str


class JobHit(Struct, frozen=True, kw_only=True):
    """A job that the action affects. `gpus` are all GPUs it holds, None if unknown."""

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
    """The loss of a partition. Nodes that are out already do not count."""

    partition: str
    nodes: int
    healthy: int
    newly_out: int

    @property
    def fraction(self) -> float:
        """Nodes newly out, as a share of the healthy ones (0 to 1)."""
        return self.newly_out / self.healthy if self.healthy else 0.0

    @property
    def out_fraction_after(self) -> float:
        """Nodes out of service afterwards, as a share of all (0 to 1)."""
        return (self.nodes - self.healthy + self.newly_out) / self.nodes

    def __str__(self) -> str:
        return (
            f"{self.partition}: {self.newly_out:,} of {self.healthy:,} healthy nodes newly out "
            f"({100 * self.fraction:.1f} %); out of service then {100 * self.out_fraction_after:.1f} %"
        )


class Refusal(Struct, frozen=True):
    """Why nothing can be planned or sent, as text for the person."""

    why: str
    skipped: tuple[Skip, ...] = ()
    can_break_glass: bool = False
    """True if only a failed pre-flight check blocks it, so that `Options.break_glass` would allow it."""


class Plan(Struct, frozen=True, eq=False, weakref=True, kw_only=True):
    """One action, frozen: what will be sent, the impact, and what must be typed. Good for one `send`."""

    id: str
    action: Action
    change: Change
    """Holds only the targets that are acted on, under explicit names."""
    cluster: Cluster
    """The cluster when the plan was made."""
    made: float
    """Monotonic time."""
    rows: Mapping[str, Row]
    """Target to its row in the preview."""
    skipped: tuple[Skip, ...]
    jobs: tuple[JobHit, ...] | None
    """Jobs that run on the nodes, or that are themselves killed; None when the jobs were never read."""
    empty_in_s: int | None
    """Seconds until the last of these jobs ends by itself; None when that is not known, or there are none."""
    shares: tuple[PartitionShare, ...]
    commands: tuple[tuple[str, ...], ...]
    """Exactly what will run; `…` replaces a missing reason."""
    confirmation: Confirmation
    checks: tuple[Check, ...] = ()
    """What the pre-flight found."""
    options: Options = Options()
    guard: Guard = Guard()
    incident: str = ""
    """The declared incident that contains all targets and eases the confirmation to one key; "" for none."""
    waves: Waves | None = None
    """The roll-out, where nodes do not return all at once."""
    changed: Mapping[str, str] = field(default_factory=dict)
    """Of a plan that is confirmed again: target to what changed since the previous preview."""
    reason: str | None = None
    """The person's reason for the journal. Slurm gets it where the action has a reason."""

    @property
    def needs_reason(self) -> bool:
        """True when it is not sent without a reason: the action has one, or the glass is broken."""
        return self.action.needs_reason or self.confirmation.kind == "break"

    @property
    def missing_reason(self) -> bool:
        """True when `Gate.with_reason` must be called before it can be sent."""
        return self.needs_reason and not self.reason

    @property
    def kills(self) -> bool:
        """True when running work may be lost."""
        return any(self.action.danger_of(row) == "kills" for row in self.rows.values())

    @property
    def max_age_s(self) -> float:
        """Oldest facts (seconds) that may be acted on: two polls, at least `Guard.facts_s`."""
        source = self.cluster.sources.get(f"slurm.{self.change.kind}s")
        return max(self.guard.facts_s, 2 * source.due_s if source is not None else 0.0)

    def age_s(self, mono: float) -> float | None:
        """Age of the facts it was made from; None if unknown."""
        ages = [source.age_s(mono) for name, source in self.cluster.sources.items()
                if name.endswith(f".{self.change.kind}s")]  # fmt: skip
        return max((age for age in ages if age is not None), default=None)


def by_reason(skipped: Sequence[Skip], kind: Kind) -> str:
    """Skipped targets by their reason: `gpu[0001-0004]: already drained`."""
    by_why: dict[str, list[str]] = {}
    for skip in skipped:
        by_why.setdefault(skip.why, []).append(skip.target)
    return "; ".join(f"{target_list(targets, kind)}: {why}" for why, targets in by_why.items())


def target_list(targets: Sequence[str], kind: Kind, most: int = 10) -> str:
    """Targets as people read them: nodes folded, job ids one by one as long as they are few."""
    if kind == "node":
        return fold(targets)
    more = f" and {len(targets) - most:,} more" if len(targets) > most else ""
    return ", ".join(targets[:most]) + more


def display_names(cluster: Cluster, targets: Sequence[str], kind: Kind) -> str:
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
    return f"{len(targets):,} jobs" if kind == "job" and len(targets) > 4 else target_list(targets, kind)


def is_out(row: Row) -> bool:
    return isinstance(row, Node) and row.display in UNAVAILABLE


def partition_shares(nodes: Collection[str], cluster: Cluster) -> tuple[PartitionShare, ...]:
    """The loss of each partition that holds one of the nodes."""
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

"""Traits that the given nodes share and most other nodes lack: where to look when several nodes fail. Pure.

It only counts. A trait that nearly every node has is left out; one that only some of the given nodes have is listed
with their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.model import Cluster, Node
from collectors.nodeset import natural_key

from . import drain_reasons, failure_domains
from .cooling_loops import loops_by_rack

#: A common trait is one of at least this share of the given nodes.
MIN_SHARE = 0.6
#: A trait is listed when it is this many times as frequent among the given nodes as among the others.
MIN_LIFT = 2.0
#: Nodes that went out of service, or booted, within this many seconds did so together.
TOGETHER_S = 600
_MAX_TRAITS = 20


class Trait(Struct, frozen=True, kw_only=True):
    """A property that several of the given nodes share."""

    kind: str
    """switch, pdu, rack, driver, last job …"""
    value: str
    named_count: int
    """Given nodes that have it, of `of`."""
    named_total: int
    other_count: int
    """Other nodes of the machine that have it too, of `rest`."""
    other_total: int

    @property
    def lift(self) -> float:
        """How many times as frequent it is among the given nodes as among the others."""
        return (self.named_count / self.named_total) / ((self.other_count + 0.5) / (self.other_total + 0.5))

    def __str__(self) -> str:
        rest = (
            f"; so have {self.other_count:,} of the {self.other_total:,} others"
            if self.other_count
            else "; no other node has"
        )
        return f"{self.kind} {self.value}: {self.named_count:,} of {self.named_total:,}{rest}"


def traits(
    names: Sequence[str], cluster: Cluster, last_jobs: Mapping[str, Iterable[str]] | None = None
) -> tuple[Trait, ...]:
    """What these nodes share, the most frequent trait first. `last_jobs`: node to its recent jobs, where known."""
    chosen = [cluster.nodes[name] for name in dict.fromkeys(names) if name in cluster.nodes]
    if len(chosen) < 2:
        return ()
    mine = {node.name for node in chosen}
    extra = _NodeTraits(cluster)
    ours: Counter[tuple[str, str]] = Counter()
    for node in chosen:
        ours.update(set(extra.of(node)))
        ours.update({("last job", job) for job in (last_jobs or {}).get(node.name, ())})
    least = max(2, -(-len(chosen) * MIN_SHARE // 1))
    candidates = {trait for trait, have in ours.items() if have >= least}
    theirs: Counter[tuple[str, str]] = Counter()
    rest = 0
    for node in cluster.nodes.values():
        if node.name not in mine:
            rest += 1
            theirs.update(candidates.intersection(extra.of(node)))
    found = [
        Trait(
            kind=kind,
            value=value,
            named_count=ours[kind, value],
            named_total=len(chosen),
            other_count=theirs[kind, value],
            other_total=rest,
        )
        for kind, value in candidates
    ]
    found += _time_traits(chosen, [node for node in cluster.nodes.values() if node.name not in mine])
    told = [one for one in found if one.lift >= MIN_LIFT]
    told.sort(key=lambda one: (-one.named_count, -one.lift, one.kind, natural_key(one.value)))
    return tuple(told[:_MAX_TRAITS])


class _NodeTraits:
    """Lists the traits of nodes, with lookup tables that are built once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._fed = loops_by_rack(cluster)
        self._domain = {name: one.name for one in cluster.domains.values() for name in one.nodes}
        self._xids: dict[str, set[int]] = {}
        for xid in cluster.xids.values():
            self._xids.setdefault(xid.node, set()).add(xid.code)

    def of(self, node: Node) -> Iterable[tuple[str, str]]:
        """Kind and value of each."""
        cluster = self._cluster
        yield from failure_domains.places_of_node(node, self._fed)
        if node.name in self._domain:
            yield "NVLink domain", self._domain[node.name]
        for part in node.partitions:
            yield "partition", part
        for feature in node.features:
            yield "feature", feature
        for kind, told in (("GPU type", node.gpu_type), ("slurmd", node.version), ("reservation", node.reservation),
                           ("reason", node.reason)):  # fmt: skip
            if told:
                yield kind, told
        if node.reason:
            yield "kind of reason", drain_reasons.KINDS[drain_reasons.classify(node.reason, node.reason_by).kind]
        for code in self._xids.get(node.name, ()):
            yield "XID", str(code)
        checkup = cluster.checkups.get(node.name)
        if checkup is not None:
            yield from ((kind, told) for kind, told in checkup.versions.items() if kind != "slurmd")
        for job in cluster.jobs_on.get(node.name, ()):
            yield "job", job
            if job in cluster.jobs:
                yield "user", cluster.jobs[job].user


def _time_traits(chosen: Sequence[Node], others: Sequence[Node]) -> list[Trait]:
    """Traits for nodes that went out of service, or booted, at about the same time."""
    found = []
    for kind, at in (("went out", _went_out), ("booted", _booted)):
        moments = sorted(one for node in chosen if (one := at(node)) is not None)
        best: list[int] = []
        for first, begin in enumerate(moments):
            near = [one for one in moments[first:] if one - begin <= TOGETHER_S]
            best = max(best, near, key=len)
        if len(best) < max(2, MIN_SHARE * len(chosen)):
            continue
        also = sum((one := at(node)) is not None and best[0] <= one <= best[-1] for node in others)
        value = f"within {max(1, round((best[-1] - best[0]) / 60))} min"
        found.append(
            Trait(
                kind=kind,
                value=value,
                named_count=len(best),
                named_total=len(chosen),
                other_count=also,
                other_total=len(others),
            )
        )
    return found


def _went_out(node: Node) -> int | None:
    return node.reason_at if node.reason else None


def _booted(node: Node) -> int | None:
    return node.boot_at

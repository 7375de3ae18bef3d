"""NVLink domains: which trays are usable, the state of the fabric, and the largest job that fits. Pure.

Domains come from the configuration (racks as domains), else from the blocks of Slurm's topology, else from the fabric's
own ids. A planned layout wins, because only it shows that a tray has left. Usable trays are read from the nodes, so a
drain counts at once; a job size is ruled out only where the counts prove that it does not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.model import Cluster, Domain, Node, Tray
from collectors.nodeset import natural_key
from collectors.nodestate import UNAVAILABLE
from console.runtime.memo import remembered
from widgets.units import plural

#: States of the fabric and of IMEX, best first; an unknown word is the worst.
_FABRIC = ("healthy", "degraded", "unhealthy")
_IMEX = ("up", "degraded", "down")
#: `said_by` of domains that only the fabric defines.
BY_FABRIC = "the fabric"


class Clique(Struct, frozen=True):
    """A clique: the trays of a domain whose GPUs can use NVLink together."""

    id: str
    nodes: tuple[str, ...]


class DomainState(Struct, frozen=True, kw_only=True):
    """One domain. Figures that no source gives are None."""

    name: str
    nodes: tuple[str, ...]
    said_by: str
    rack: str | None
    """The rack that holds all its trays; None where there are several or it is unknown."""
    usable: tuple[str, ...]
    """Trays that are in service by Slurm."""
    free: tuple[str, ...]
    """The usable trays that are idle and not reserved."""
    cliques: tuple[Clique, ...]
    """The cliques of the trays that report one, the largest first; a tray whose GPUs are in two is a clique of its own.
    """
    gpus: int | None
    gpus_ready: int | None
    """GPUs with a healthy fabric on usable trays of the largest clique; None where no tray reports it."""
    fabric: str | None
    """The worst state of a usable tray: healthy, degraded, unhealthy."""
    unhealthy: tuple[str, ...]
    """Usable trays whose fabric is not healthy."""
    problems: tuple[str, ...]
    imex: str | None
    """The worst IMEX state: of the domain, or of the daemon of a usable tray."""
    imex_down: tuple[str, ...]
    """Usable trays whose own daemon is not up."""
    largest_job: int
    """The largest job in trays: the usable ones of one clique."""
    largest_job_now: int
    """The same for free trays."""

    @property
    def split(self) -> bool:
        """Whether trays in service are in several cliques: a job that spans them would not run."""
        return len(_clique_counts(self.cliques, frozenset(self.usable))) > 1

    @property
    def broken(self) -> bool:
        """Whether it is split or unhealthy, or its IMEX is not up."""
        return self.split or self.fabric == "unhealthy" or self.imex not in {None, "up"}

    def clique_of(self, node: str) -> Clique | None:
        """The clique of a tray; None where it reports none."""
        return next((part for part in self.cliques if node in part.nodes), None)


@remembered("domains", "trays", "nodes")
def domain_states(cluster: Cluster) -> Mapping[str, DomainState]:
    """Every domain by its name, in natural order; none where the nodes were never read."""
    if "nodes" not in cluster.known:
        return {}
    laid_out = cluster.domains or _by_fabric(cluster)
    return {name: _domain_state(domain, cluster) for name, domain in laid_out.items()}


@remembered("domains", "trays", "nodes")
def domain_of_node(cluster: Cluster) -> Mapping[str, str]:
    """Node to the domain that it belongs to."""
    return {node: one.name for one in domain_states(cluster).values() for node in one.nodes}


def state_of_node(node: str, cluster: Cluster) -> DomainState | None:
    """The domain that a node belongs to; None where it belongs to none."""
    name = domain_of_node(cluster).get(node)
    return None if name is None else domain_states(cluster)[name]


def _by_fabric(cluster: Cluster) -> dict[str, Domain]:
    """Domains by the ids that the fabric itself reports, each named after its rack where one rack holds all of it."""
    found: dict[str, list[str]] = {}
    for name, tray in cluster.trays.items():
        if tray.domain:
            found.setdefault(tray.domain, []).append(name)
    racks = {ref: _rack(names, cluster.nodes) for ref, names in found.items()}
    often = Counter(racks.values())
    named = {
        rack if rack is not None and often[rack] == 1 else " ".join(filter(None, (rack, ref[:8]))): ref
        for ref, rack in racks.items()
    }
    return {
        name: Domain(name=name, nodes=tuple(sorted(found[named[name]], key=natural_key)), said_by=BY_FABRIC)
        for name in sorted(named, key=natural_key)
    }


def _rack(names: Iterable[str], nodes: Mapping[str, Node]) -> str | None:
    racks = {node.rack for name in names if (node := nodes.get(name)) is not None}
    return next(iter(racks)) if len(racks) == 1 else None


def _domain_state(domain: Domain, cluster: Cluster) -> DomainState:
    nodes, trays = cluster.nodes, cluster.trays
    rows = [nodes[name] for name in domain.nodes if name in nodes]
    usable = tuple(node.name for node in rows if node.display not in UNAVAILABLE)
    free = tuple(node.name for node in rows if is_free(node))
    parts = _cliques(domain.nodes, trays)
    main = frozenset(parts[0].nodes) if parts else frozenset()
    told = [trays[name] for name in usable if name in trays]
    ready = [tray.ready for tray in told if tray.node in main and tray.ready is not None]
    sizes = [node.gpus for node in rows]
    daemons = [tray for tray in told if tray.imex not in {None, "up"}]
    words = [tray.imex_domain for tray in told] + [
        tray.imex and ("up" if tray.imex == "up" else "down") for tray in told
    ]
    return DomainState(
        name=domain.name,
        nodes=domain.nodes,
        said_by=domain.said_by,
        rack=_rack(domain.nodes, nodes),
        usable=usable,
        free=free,
        cliques=parts,
        gpus=None if None in sizes else sum(size or 0 for size in sizes),
        gpus_ready=sum(ready) if ready else None,
        fabric=_worst([tray.fabric for tray in told], _FABRIC),
        unhealthy=tuple(tray.node for tray in told if tray.fabric not in {None, "healthy"}),
        problems=tuple(dict.fromkeys(word for tray in told for word in tray.wrong)),
        imex=_worst(words, _IMEX),
        imex_down=tuple(tray.node for tray in daemons),
        largest_job=largest_in_one_clique(usable, parts),
        largest_job_now=largest_in_one_clique(free, parts),
    )


def is_free(node: Node) -> bool:
    """Whether a job can start there now: idle and not reserved or planned."""
    return node.display == "idle"


def _cliques(names: Sequence[str], trays: Mapping[str, Tray]) -> tuple[Clique, ...]:
    """The cliques, the largest first. Two trays share a clique only where their domain id is equal too."""
    ids = Counter(trays[name].domain for name in names if name in trays)
    own = ids.most_common(1)[0][0] if ids else ""
    found: dict[str, list[str]] = {}
    for name in names:
        tray = trays.get(name)
        if tray is not None and tray.clique is not None:
            clique = tray.clique if tray.domain == own else f"{tray.domain[:8]}/{tray.clique}"
            found.setdefault(clique, []).append(name)
    order = sorted(found, key=lambda clique: (-len(found[clique]), natural_key(clique)))
    return tuple(Clique(clique, tuple(found[clique])) for clique in order)


def _clique_counts(parts: Sequence[Clique], names: frozenset[str]) -> list[int]:
    """How many of these trays each clique has, the most first; cliques that have none are left out."""
    return sorted((count for part in parts if (count := len(names.intersection(part.nodes)))), reverse=True)


def largest_in_one_clique(names: Iterable[str], parts: Sequence[Clique]) -> int:
    """The largest number of these trays that may be in one clique. A tray without a known clique may be in any, so that
    no job is ruled out that might fit."""
    wanted = frozenset(names)
    counts = _clique_counts(parts, wanted)
    return max(counts, default=0) + len(wanted) - sum(counts)


def _worst(words: Iterable[str | None], order: Sequence[str]) -> str | None:
    known = {word for word in words if word is not None}
    return max(known, key=lambda word: order.index(word) if word in order else len(order), default=None)


# -- texts -------------------------------------------------------------------------------------------------------------


def cliques_text(one: DomainState) -> str:
    """`3`, or `14 in 3, 4 in 4`; "" where no tray reports a clique."""
    if len(one.cliques) == 1:
        return one.cliques[0].id
    return ", ".join(f"{len(part.nodes)} in {part.id}" for part in one.cliques)


def capacity_loss_texts(cluster: Cluster, names: Iterable[str]) -> list[str]:
    """What domains lose when these nodes go out of service, the largest loss first: `R07 15 of 18 trays usable (now
    16): no 16-tray job fits`."""
    going: dict[str, set[str]] = {}
    for name in names:
        one = state_of_node(name, cluster)
        if one is not None and name in one.usable:
            going.setdefault(one.name, set()).add(name)
    told = []
    for domain, out in going.items():
        one = domain_states(cluster)[domain]
        left = [name for name in one.usable if name not in out]
        fits = largest_in_one_clique(left, one.cliques)
        head = f"{domain} {len(left)} of {plural(len(one.nodes), 'tray')} usable (now {len(one.usable)})"
        if not left:
            text = f"{head}: none is left"
        elif fits < one.largest_job:
            text = f"{head}: no {fits + 1}-tray job fits"
        else:
            text = f"{head}: a job of {fits} trays is the largest, as it is now"
        told.append((one.largest_job - fits, text))
    return [text for _, text in sorted(told, key=lambda row: -row[0])]

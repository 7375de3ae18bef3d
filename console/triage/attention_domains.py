"""Attention items about NVLink domains. Pure; stale facts give none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collectors.model import Cluster
from collectors.nodeset import fold
from console.health.inconsistencies import FreshFacts
from console.plant import nvlink_domains
from console.plant.nvlink_domains import DomainState
from widgets.units import plural

from .attention_control import AttentionItem

#: From this many domains on, those with the same problem share one item.
MIN_MERGED = 3


def domain_items(cluster: Cluster, good: FreshFacts) -> list[AttentionItem]:
    """Split domains, unhealthy fabrics, IMEX that is not up, worst first. A domain has at most one item, about its
    worst problem. Trays that are already out of service are left out."""
    if not (good.trays and good.nodes):
        return []
    every = list(nvlink_domains.domain_states(cluster).values())
    split = [one for one in every if one.split]
    unwell = [one for one in every if one.fabric == "unhealthy" and not one.split]
    silent = [one for one in every if one.imex not in {None, "up"} and one not in split and one not in unwell]
    return [
        *_items(split, "NVLink domains fell apart", _split, True),
        *_items(unwell, "NVLink fabrics are unhealthy", _unwell, True),
        *_items(silent, "NVLink domains whose IMEX is not up", _imex, False),
    ]


def _items(
    those: Sequence[DomainState], what: str, text: Callable[[DomainState], tuple[str, Sequence[str]]], bad: bool
) -> list[AttentionItem]:
    """One item each, or one for all."""
    if len(those) < MIN_MERGED:
        return [AttentionItem(text=words, bad=bad, nodes=tuple(nodes)) for words, nodes in map(text, those)]
    nodes = tuple(node for one in those for node in text(one)[1])
    names = ", ".join(one.name for one in those[:6]) + (", …" if len(those) > 6 else "")
    return [AttentionItem(text=f"{len(those)} {what}: {names}", bad=bad, nodes=nodes)]


def _split(one: DomainState) -> tuple[str, Sequence[str]]:
    usable = frozenset(one.usable)
    parts = [(part.id, [node for node in part.nodes if node in usable]) for part in one.cliques]
    apart = [node for _, nodes in parts[1:] for node in nodes]
    said = ", ".join(f"{plural(len(nodes), 'tray')} in clique {clique}" for clique, nodes in parts if nodes)
    return f"{one.name} fell apart: {said}; no {one.largest_job + 1}-tray job fits", apart


def _unwell(one: DomainState) -> tuple[str, Sequence[str]]:
    why = f": {', '.join(one.problems)}" if one.problems else ""
    return f"{one.name} NVLink fabric unhealthy on {fold(one.unhealthy)}{why}", one.unhealthy


def _imex(one: DomainState) -> tuple[str, Sequence[str]]:
    where = f" on {fold(one.imex_down)}" if one.imex_down else ""
    return f"{one.name} IMEX {one.imex}{where}: memory is not shared between its trays", one.imex_down or one.usable


def racks_of_broken_domains(cluster: Cluster, good: FreshFacts) -> frozenset[str]:
    """The racks of broken domains, for the map."""
    if not (good.trays and good.nodes):
        return frozenset()
    return frozenset(
        one.rack for one in nvlink_domains.domain_states(cluster).values() if one.broken and one.rack is not None
    )

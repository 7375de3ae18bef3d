"""Checks whether the hosts in each source's labels are Slurm nodes: how many, by which label and rule, and which are
not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from collectors.hosts import HostMapping, is_ip
from collectors.nodeset import fold, natural_key

from .finding import FindingGroup

#: Most hosts in the figures for scripts, and most characters of their folded names.
_MOST, _WIDTH = 100, 80
_LABELS = "see host_labels, node_labels and node in docs/configuration.md"


def add_findings(group: FindingGroup, source: str, one: HostMapping) -> None:
    """Add the findings about one kind of series of a source."""
    figures: dict[str, Any] = {
        "what": one.what, "labels": one.labels, "rule": dict(one.hows), "hosts": one.hosts,
        "known": one.known if one.checked else None, "unknown": one.unknown[:_MOST],
        "ambiguous": one.ambiguous[:_MOST], "unlabelled": one.unlabelled,
    }  # fmt: skip
    labels = " or ".join(one.labels)
    if not one.checked:
        said = f"{one.hosts} hosts of {one.what}, by {labels}: not compared, Slurm's nodes are not known"
        group.note(source, said, **figures)
        return
    said = f"{one.known} of {one.hosts} hosts of {one.what} are nodes of Slurm, by {labels}{_rule(one)}"
    if one.unknown:
        said += f"; unknown: {_folded(one.unknown)}"
    addresses = any(map(is_ip, one.unknown))
    if not one.whole and one.unknown:
        # An alert may be about a switch or a file server.
        group.note(source, said, **figures)
    elif one.hosts and not one.known:
        group.bad(source, said, _mend(addresses), **figures)
    elif one.unknown and (addresses or one.missing):
        group.warn(source, said, _mend(addresses), **figures)
    elif one.unknown:
        # Every Slurm node has its host; the others are, for example, login nodes.
        group.note(source, said, **figures)
    else:
        group.ok(source, said, **figures)
    if one.ambiguous:
        said = f"{len(one.ambiguous)} hosts of {one.what} fit several nodes, or share one: {_folded(one.ambiguous)}"
        group.warn(source, f"{said}; they count for none", f"name a label that distinguishes them: {_LABELS}")
    if one.unlabelled:
        group.warn(source, f"{one.unlabelled} groups of series of {one.what} have none of the labels {labels}", _LABELS)


def add_rack_finding(group: FindingGroup, source: str, named: Collection[str], racks: Collection[str]) -> None:
    """Add the finding about rack labels: how many of these racks have Slurm nodes."""
    strange = [rack for rack in named if rack not in racks]
    said = f"{len(named) - len(strange)} of {len(named)} racks have nodes of Slurm"
    figures = {"racks": len(named), "known": len(named) - len(strange), "unknown": sorted(strange)[:_MOST]}
    if strange:
        said += f"; unknown: {_folded(strange)}"
        group.warn(source, said, "see racks in docs/configuration.md, and the label of the rack", **figures)
    else:
        group.ok(source, said, **figures)


def _rule(one: HostMapping) -> str:
    if one.configured:
        return " and the configured rule"
    return f" ({', '.join(f'{count} by {how}' for how, count in one.hows)})" if one.hows else ""


def _mend(addresses: bool) -> str:
    if addresses:
        return f"give them as NodeAddr in slurm.conf, or name a label with the host's name: {_LABELS}"
    return f"are they nodes? then {_LABELS}"


def _folded(hosts: Collection[str]) -> str:
    try:
        text = fold(hosts)
    except ValueError:
        text = ",".join(sorted(hosts, key=natural_key))
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"

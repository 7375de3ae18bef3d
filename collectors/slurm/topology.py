"""Which nodes form an NVLink domain: by the site's racks, else by the blocks of Slurm's topology."""

from __future__ import annotations

import re
from collections.abc import Mapping

from collectors.clean import clean, decode
from collectors.model import Domain, SourceFault
from collectors.nodeset import natural_key
from collectors.racks import RackRule, leaf_switches, rack_lookup, rack_of
from collectors.shared_readings import CommandRunner

from .commands.nodes import inventory
from .commands.read_command import ask, names_in

#: One block, as 24.11 and 26.05 print it, whichever file it was written in. Without a topology they print none.
_BLOCK = re.compile(r"^BlockName=(\S+) .*?Nodes=(\S+)", re.M)


def domains(racks: RackRule | None, deadline_s: float, run: CommandRunner | None = None) -> Mapping[str, Domain]:
    """The domains by name; empty if none are configured. Raises SourceFault.

    If the configuration says that racks are domains, it takes precedence over Slurm's topology.
    """
    if racks is not None and racks.domains:
        where = rack_of(racks) or rack_lookup(_switches(_topology(deadline_s, run)))
        found: dict[str, list[str]] = {}
        for name in inventory(deadline_s, run):
            found.setdefault(where(name) or "", []).append(name)
        found.pop("", None)
        return _made(found, "the racks")
    blocks: dict[str, list[str]] = {}
    for name, nodes in _BLOCK.findall(_topology(deadline_s, run)):
        blocks[clean(name)] = [] if nodes == "(null)" else list(names_in(nodes, "scontrol show topology"))
    return _made(blocks, "Slurm's blocks")


def _made(found: Mapping[str, list[str]], said_by: str) -> dict[str, Domain]:
    return {
        name: Domain(name=name, nodes=tuple(sorted(found[name], key=natural_key)), said_by=said_by)
        for name in sorted(found, key=natural_key)
        if found[name]
    }


def _topology(deadline_s: float, run: CommandRunner | None) -> str:
    return decode(ask(["scontrol", "show", "topology", "-o"], deadline_s, run=run))


def _switches(topology: str) -> Mapping[str, str]:
    try:
        return leaf_switches(topology)
    except ValueError as error:
        raise SourceFault(
            "malformed", f"scontrol show topology: {clean(str(error))}", "run it by hand to see"
        ) from None

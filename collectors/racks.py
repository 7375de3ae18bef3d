"""Maps nodes to racks, by the rule in the site's configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from . import files
from .clean import clean
from .nodeset import expand

#: 12,000 nodes, one a line, are 200 kB.
LARGEST = 4 << 20


class RackRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`racks = { pattern = "gpu(?P<n>\\\\d{4})", nodes_per_rack = 18 }`, or `{ file = "/etc/wacht/racks" }`, or
    `{ topology = true }` for the leaf switches, or the blocks, of Slurm's own topology.

    A pattern names the group `n` (counted from 1, shared out by `nodes_per_rack`) or the group `rack` (taken as it
    is). A file holds lines of a rack and a node set: `R07 gpu[0109-0126]`.
    """

    pattern: str | None = None
    """A regular expression that matches all of a node's name, with a group `n` or `rack`."""
    nodes_per_rack: int = 0
    """With the group `n`: how many nodes, counted from 1, make a rack."""
    file: str | None = None
    """A file of lines of a rack and a node set: `R07 gpu[0109-0126]`."""
    topology: bool = False
    """The leaf switches, or the blocks, of Slurm's own topology are the racks."""
    domains: bool = False
    """Each rack is one NVLink domain (NVL72), whatever blocks Slurm's topology has."""

    def __post_init__(self) -> None:
        if [bool(self.pattern), bool(self.file), self.topology].count(True) != 1:
            raise ValueError("racks needs one of pattern, file and topology")
        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groupindex
            except re.error as error:
                raise ValueError(f"racks.pattern is no regular expression: {error}") from None
            if "rack" not in groups and not ("n" in groups and self.nodes_per_rack > 0):
                raise ValueError("racks.pattern needs a group named rack, or one named n and nodes_per_rack above 0")


RackOf = Callable[[str], str | None]


def no_rack(name: str) -> str | None:
    """The rule of a site without racks."""
    return None


def rack_of(rule: RackRule | None) -> RackOf | None:
    """The rule as a function of the node's name; None if Slurm's topology must be read first."""
    if rule is None:
        return no_rack
    if rule.topology:
        return None
    if rule.file is not None:
        return rack_lookup(read_file(Path(rule.file).expanduser()))
    pattern, per = re.compile(rule.pattern or ""), rule.nodes_per_rack
    by_name = "rack" in pattern.groupindex

    def by_pattern(name: str) -> str | None:
        match = pattern.fullmatch(name)
        if match is None:
            return None
        if by_name:
            return match["rack"] or None
        number = match["n"] or ""
        return f"R{(int(number) - 1) // per + 1:02d}" if number.isdecimal() and len(number) <= 18 else None

    return by_pattern


def rack_lookup(racks: Mapping[str, str]) -> RackOf:
    """The rule that looks a node up in this mapping."""
    return racks.get


def read_file(path: Path) -> Mapping[str, str]:
    """Node to rack from a file of lines `RACK NODESET`. Raises ValueError with the line that cannot be read."""
    racks: dict[str, str] = {}
    try:
        text = files.read(path, LARGEST).decode("utf-8", "replace")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except files.UntrustedFile as error:
        raise ValueError(f"{path}: {error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2:
            raise ValueError(f"{path}:{number}: a line is a rack and a node set, as in: R07 gpu[0109-0126]")
        try:
            names = expand(words[1])
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        racks.update(dict.fromkeys(names, clean(words[0])))
    return racks


def leaf_switches(topology: str) -> Mapping[str, str]:
    """Node to leaf switch or block from `scontrol show topology` (topology/tree: lines with Level=0 and Nodes=;
    topology/block: lines that begin with BlockName). Raises ValueError for what is no node set."""
    racks: dict[str, str] = {}
    for match in re.finditer(r"^(?:SwitchName=(\S+) Level=0|BlockName=(\S+)) .*?Nodes=(\S+)", topology, re.M):
        for name in expand(match[3]):
            racks.setdefault(name, clean(match[1] or match[2]))
    return racks

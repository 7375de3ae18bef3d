"""The nodes: `scontrol show node`, one line a node, and `sinfo -R` for reasons with user and time.

`scontrol -o` has no fence, and a comment may hold a line break followed by what looks like a node's line. So a line
counts only if its name is in the inventory (`sinfo -o %N`, without free text) and occurs once in the answer; a
duplicated or unknown name is read on its own, where the first line is the real one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from collectors.clean import clean, decode
from collectors.model import Node, SourceFault
from collectors.nodestate import display_word, parse_state
from collectors.racks import RackOf, RackRule, leaf_switches, no_rack, rack_lookup, rack_of
from collectors.shared_readings import CommandRunner
from collectors.slurm.fields import epoch, gpu_types, gres_gpus, integer, real, text_or_none

from .read_command import MAX_ARGUMENT, ask, ask_rows, fence, lines, names_in, value_or_none

NAME = re.compile(r"NodeName=([A-Za-z0-9][A-Za-z0-9._-]*)(?: |$)")
#: Fields that a person or a helper program may fill with any text. All fields used for decisions come before the first
#: of them, except the reservation, which 23.11 and later print after them, with the rest of `_AFTER` from 25.05 on.
_FREE = "Reason|Comment|Extra|InstanceId|InstanceType"
_AFTER = "ReservationName|TLSCertTokenSet|TLSCertLastRenewal|Topology|Parameters"
_FREE_START = re.compile(rf"\s+({_FREE})=")
_REST_START = re.compile(rf"\s+(?:{_FREE}|{_AFTER})=")
_TAIL = re.compile(rf"(?:\s+(?:{_AFTER})=\S*)+\s*$")
_RESERVATION = re.compile(r"\sReservationName=(\S+)")
_SIGNED = re.compile(r"^(.*) \[([^\[\]@]+)@(\d+|[0-9T:-]+)\]$", re.S)
#: Duplicated or unknown names that are read one by one in a reading; more is no accident.
_ALONE = 32

Signed = tuple[str, str | None, int | None]


class _NodeMemo(Struct, frozen=True):
    """A node in the last reading: its text, the free end of it, who set its reason, the result."""

    line: str
    end: str
    signed: Signed | None
    node: Node


def command(names: Sequence[str] = ()) -> list[str]:
    """The read command, for all nodes or the named ones; `-d` is for GresUsed, `-a` for nodes in hidden partitions,
    which an operator without a right to them would miss."""
    wanted = ",".join(names)
    return ["scontrol", "-a", "show", "node", *([wanted] if wanted and len(wanted) < MAX_ARGUMENT else []), "-d", "-o"]


def reasons_command(mark: str) -> list[str]:
    """Reasons with user and time, fenced."""
    return ["sinfo", "-a", "-R", "-O", f"NodeList:|,UserLong:|,Timestamp:|,Reason:{mark}"]


def end_of(line: str) -> str:
    """The free fields of a line and those after them, "" without any."""
    match = _REST_START.search(line, max(0, line.find(" AveWatts=")))
    return line[match.start() :] if match else ""


def split(line: str) -> tuple[dict[str, str], dict[str, str]]:
    """A line of scontrol as trusted fields and free ones. Of a repeated trusted key the first one counts."""
    end = end_of(line)
    steering: dict[str, str] = {}
    key = ""
    for token in line[: len(line) - len(end)].split():
        left, sign, right = token.partition("=")
        if sign and left and left[0].isalpha():
            key = left
            steering.setdefault(key, right)
        elif key:
            steering[key] += f" {token}"
    tail = _TAIL.search(end)
    if tail:
        end = end[: tail.start()]
        if reserved := _RESERVATION.findall(tail[0]):
            steering.setdefault("ReservationName", reserved[-1])
    free: dict[str, str] = {}
    pieces = _FREE_START.split(end)
    for name, value in zip(pieces[1::2], pieces[2::2], strict=True):
        free.setdefault(name, value.rstrip())
    return steering, free


def node(line: str, signed: Signed | None, rack: RackOf = no_rack) -> Node | None:
    """One line as a Node, with its reason from `sinfo -R`, or from the line itself if -R has none."""
    fields, free = split(line)
    name = fields.get("NodeName")
    state = fields.get("State")
    if not name or not state:
        return None
    base, flags = parse_state(clean(state))
    gpus, _, _ = gres_gpus(fields["Gres"]) if "Gres" in fields else (None, None, None)
    kind, slices = gpu_types(fields["Gres"]) if "Gres" in fields else (None, None)
    # scontrol prints no GresUsed for a node without any GRES: none of its 0 GPUs is in use.
    in_use = fields.get("GresUsed", "" if fields.get("Gres") == "(null)" else None)
    used, _, indices = (None, None, None) if in_use is None else gres_gpus(in_use)
    if signed is None and free.get("Reason"):
        match = _SIGNED.match(free["Reason"])
        signed = (clean(match[1]), clean(match[2]), epoch(match[3])) if match else (clean(free["Reason"]), None, None)
    reason, by, at = signed or (None, None, None)
    get = fields.get
    return Node(
        name=clean(name),
        state=base,
        flags=flags,
        display=display_word(base, flags),
        reason=reason,
        reason_by=by,
        reason_at=at,
        partitions=_list(get("Partitions", "")),
        cpus=integer(get("CPUTot", "")),
        cpus_alloc=integer(get("CPUAlloc", "")),
        cpu_load=real(get("CPULoad", "")),
        memory_mb=integer(get("RealMemory", "")),
        memory_alloc_mb=integer(get("AllocMem", "")),
        free_memory_mb=integer(get("FreeMem", "")),
        gpus=gpus,
        gpus_alloc=used,
        gpu_type=value_or_none(kind or ""),
        gpu_slices=slices,
        gpus_used=value_or_none(indices or ""),
        rack=rack(name),
        features=_list(get("ActiveFeatures", "")),
        hostname=value_or_none(get("NodeHostName", "")),
        address=value_or_none(get("NodeAddr", "")),
        version=value_or_none(get("Version", "")),
        boot_at=epoch(get("BootTime", "")),
        slurmd_at=epoch(get("SlurmdStartTime", "")),
        busy_at=epoch(get("LastBusyTime", "")),
        reservation=value_or_none(get("ReservationName", "")),
        comment=value_or_none(free.get("Comment", "")),
        extra=value_or_none(free.get("Extra", "")),
        resume_at=epoch(get("ResumeAfterTime", "")),
        weight=integer(get("Weight", "")),
    )


@lru_cache(maxsize=4096)
def _list(value: str) -> tuple[str, ...]:
    return () if text_or_none(value) is None else tuple(clean(part) for part in value.split(",") if part)


def named(answer: Iterable[str]) -> dict[str, list[str]]:
    """The lines of an answer by node; a line without a node's name continues the free text before it."""
    found: dict[str, list[str]] = {}
    at: list[str] = []
    for line in answer:
        match = NAME.match(line)
        if match:
            at = found.setdefault(match[1], [])
            at.append(line)
        elif at:
            at[-1] += f"\n{line}"
    return found


class NodeReader:
    """Reads all nodes; remembers lines and reasons, so that unchanged nodes stay the same objects."""

    def __init__(self, racks: RackRule | None = None, run: CommandRunner | None = None) -> None:
        self._run = run
        self._by_topology = racks is not None and racks.topology
        self._rack = rack_of(racks)
        self._racks: Mapping[str, str] = {}
        self._inventory: frozenset[str] = frozenset()
        self._unlisted: frozenset[str] = frozenset()
        self._seen: dict[str, _NodeMemo] = {}
        self._reason_texts: tuple[str, ...] = ()
        self._signed: Mapping[str, Signed] = {}

    def read(self, deadline_s: float) -> tuple[Mapping[str, Node], tuple[str, ...]]:
        """All nodes by name, and warnings. Raises SourceFault; "empty" without a single node."""
        found = named(lines(ask(command(), deadline_s, run=self._run), "scontrol show node"))
        if not found:
            raise SourceFault("empty", "scontrol show node lists not one node", "run it by hand to see")
        warnings: list[str] = []
        moved = not found.keys() <= self._inventory | self._unlisted or not self._inventory <= found.keys()
        if moved:
            self._inventory = inventory(deadline_s, self._run)
        if self._by_topology and (moved or self._rack is None):
            warnings += self._locate(deadline_s)
        listed_here = self._inventory | self._unlisted
        strange = [name for name, at in found.items() if len(at) > 1 or name not in listed_here]
        kept = {name: at[0] for name, at in found.items()}
        if strange:
            # The inventory's nodes must be there: otherwise the answer is cut.
            strange.sort(key=lambda name: name not in self._inventory)
            warnings.append(self._settle(kept, found, strange, deadline_s))
        missing = self._inventory - kept.keys()
        if missing:
            raise SourceFault("cut", f"scontrol show node left out {len(missing)} of {len(self._inventory)} nodes",
                              "wacht reads it again")  # fmt: skip
        return self._build(kept, deadline_s), tuple(warnings)

    def _locate(self, deadline_s: float) -> list[str]:
        """Read racks from Slurm's topology. Without an answer nodes are returned without racks."""
        try:
            racks = leaf_switches(decode(ask(["scontrol", "show", "topology", "-o"], deadline_s)))
        except (SourceFault, ValueError) as error:
            return [f"racks are unknown: {clean(str(error))}"]
        if self._rack is None or racks != self._racks:
            # All nodes are rebuilt: their lines do not contain the rack.
            self._seen = {name: _NodeMemo("", "", seen.signed, seen.node) for name, seen in self._seen.items()}
        self._racks, self._rack = racks, rack_lookup(racks)
        return []

    def _settle(self, kept: dict[str, str], found: Mapping[str, list[str]], strange: Sequence[str],
                deadline_s: float) -> str:  # fmt: skip
        """One line for each node: duplicated and unknown names are read individually; those that stay unknown were
        forged."""
        forged = 0
        for position, name in enumerate(strange):
            line = read_alone(name, deadline_s) if position < _ALONE else None
            if line is None:
                forged += 1
                kept.pop(name)
            else:
                kept[name] = line
                if name not in self._inventory and len(found[name]) == 1:
                    self._unlisted |= {name}
        return f"{len(strange)} node lines were doubled or unknown and asked for again, {forged} dropped"

    def _build(self, kept: Mapping[str, str], deadline_s: float) -> Mapping[str, Node]:
        ends: dict[str, str] = {}
        for name, line in kept.items():
            before = self._seen.get(name)
            ends[name] = before.end if before is not None and before.line == line else end_of(line)
        texts = tuple(f"{name}{end}" for name, end in ends.items() if "Reason=" in end)
        if texts != self._reason_texts:
            self._signed = reasons(deadline_s, self._run) if texts else {}
            self._reason_texts = texts
        seen: dict[str, _NodeMemo] = {}
        for name, line in kept.items():
            signed = self._signed.get(name)
            before = self._seen.get(name)
            if before is not None and before.line == line and before.signed == signed:
                seen[name] = before
                continue
            fresh = node(line, signed, self._rack or no_rack)
            if fresh is None:
                raise SourceFault(
                    "malformed", f"scontrol show node gives no state for {name}", "is this version known?"
                )
            if before is not None and before.node == fresh:
                fresh = before.node
            seen[name] = _NodeMemo(line, ends[name], signed, fresh)
        self._seen = seen
        return {name: one.node for name, one in seen.items()}


def inventory(deadline_s: float, run: CommandRunner | None = None) -> frozenset[str]:
    """Every node of every partition, hidden ones too, from a source without free text."""
    out = ask(["sinfo", "-a", "-h", "-o", "%N"], deadline_s, run=run)
    names = [name for line in lines(out, "sinfo") if line.strip() for name in names_in(line.strip(), "sinfo")]
    if not names:
        raise SourceFault("empty", "sinfo lists not one node", "run sinfo by hand to see")
    return frozenset(names)


def reasons(deadline_s: float, run: CommandRunner | None = None) -> Mapping[str, Signed]:
    """Node name to reason, user and time."""
    mark = fence()
    signed: dict[str, Signed] = {}
    for raw in ask_rows(reasons_command(mark), mark, deadline_s, 4, run):
        cells = raw.split("|", 3)
        if len(cells) != 4:
            continue
        nodes, user, at, reason = cells
        who = re.sub(r"\(\d+\)$", "", user)
        for name in names_in(nodes, "sinfo -R"):
            signed[name] = (clean(reason), value_or_none(who), epoch(at))
    return signed


def read_alone(name: str, deadline_s: float) -> str | None:
    """The text of one node, read by its name, or None if Slurm does not know it."""
    out = ask(command([name]), deadline_s, despite=f"Node {name} not found")
    text = "\n".join(lines(out, "scontrol show node"))
    match = NAME.match(text)
    return text if match and match[1] == name else None


def read_named(names: Sequence[str], deadline_s: float) -> Mapping[str, Node]:
    """The nodes of these names as they are now; each line is checked against the requested names."""
    answer = lines(ask(command(names), deadline_s, despite=" not found"), "scontrol show node")
    unknown = {f"Node {name} not found": name for name in names}
    gone = {unknown[line] for line in answer if line in unknown}
    found = named(line for line in answer if line not in unknown)
    kept: dict[str, str] = {}
    for name in names:
        at = found.get(name, [])
        line = at[0] if len(at) == 1 else None if not at and name in gone else read_alone(name, deadline_s)
        if line is not None:
            kept[name] = line
    signed = reasons(deadline_s) if any("Reason=" in end_of(line) for line in kept.values()) else {}
    made = {name: node(line, signed.get(name)) for name, line in kept.items()}
    return {name: one for name, one in made.items() if one is not None}

"""The nodes: `scontrol show node`, one line a node, and `sinfo -R` for reasons with who and when.

`scontrol -o` has no fence, and a reason may hold a line break and what looks like a node's line. So a line counts as
a node only if its name is in the inventory (`sinfo -o %N`, free of free text) and stands once in the answer; a name
that is doubled or unknown is asked for on its own, where the first line is the truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from collectors.clean import clean, decode
from collectors.model import Node, SourceFault
from collectors.nodeset import expand
from collectors.nodestate import display_word, parse_state
from collectors.racks import RackOf, RackRule, listed, nowhere, rack_of, switches
from collectors.slurm.ask import ask, fence, fenced, lines
from collectors.slurm.fields import epoch, gres_gpus, integer, real, text_or_none

NAME = re.compile(r"NodeName=([A-Za-z0-9][A-Za-z0-9._-]*)(?: |$)")
#: Fields that a person or a helper program may fill with anything; all others stand before the first of these.
_FREE = ("Comment", "Extra", "Reason", "InstanceId", "InstanceType")
_SIGNED = re.compile(r"^(.*) \[([^\[\]@]+)@(\d+|[0-9T:-]+)\]$", re.S)
_FREE_START = re.compile(r"\s+(" + "|".join(_FREE) + r")=")
#: Doubled or unknown names that are asked for one by one in a reading; more than this is no accident.
_ALONE = 32

Signed = tuple[str, str | None, int | None]


def command(names: Sequence[str] = ()) -> list[str]:
    """The reading command, for all nodes or those named; `-d` is for GresUsed."""
    return ["scontrol", "show", "node", *([",".join(names)] if names else []), "-d", "-o"]


def reasons_command(mark: str) -> list[str]:
    """Reasons with who and when, fenced."""
    return ["sinfo", "-a", "-R", "-O", f"NodeList:|,UserLong:|,Timestamp:|,Reason:{mark}"]


def split(line: str) -> tuple[dict[str, str], dict[str, str]]:
    """A node's line as its steering fields and its free ones. In the steering part the first of a key wins."""
    pieces = _FREE_START.split(line)
    steering: dict[str, str] = {}
    key = ""
    for token in pieces[0].split():
        left, sign, right = token.partition("=")
        if sign and left and left[0].isalpha():
            key = left
            steering.setdefault(key, right)
        elif key:
            steering[key] += f" {token}"
    free: dict[str, str] = {}
    for name, value in zip(pieces[1::2], pieces[2::2], strict=True):
        if name in free or name not in _FREE:
            continue
        free[name] = value.rstrip()
    return steering, free


def node(line: str, signed: Signed | None, rack: RackOf = nowhere) -> Node | None:
    """One line as a Node, with its reason as `sinfo -R` tells it, or as the line itself does where -R is silent."""
    fields, free = split(line)
    name = fields.get("NodeName")
    state = fields.get("State")
    if not name or not state:
        return None
    base, flags = parse_state(clean(state))
    gpus, kind, _ = gres_gpus(fields.get("Gres", ""))
    used, _, indices = gres_gpus(fields["GresUsed"]) if "GresUsed" in fields else (None, None, None)
    if signed is None and free.get("Reason"):
        match = _SIGNED.match(free["Reason"])
        signed = (clean(match[1]), clean(match[2]), epoch(match[3])) if match else (clean(free["Reason"]), None, None)
    reason, by, at = signed or (None, None, None)
    return Node(
        name=clean(name),
        state=base,
        flags=flags,
        display=display_word(base, flags),
        reason=reason,
        reason_by=by,
        reason_at=at,
        partitions=tuple(clean(part) for part in fields.get("Partitions", "").split(",") if part),
        cpus=integer(fields.get("CPUTot", "")),
        cpus_alloc=integer(fields.get("CPUAlloc", "")),
        cpu_load=real(fields.get("CPULoad", "")),
        memory_mb=integer(fields.get("RealMemory", "")),
        memory_alloc_mb=integer(fields.get("AllocMem", "")),
        free_memory_mb=integer(fields.get("FreeMem", "")),
        gpus=gpus,
        gpus_alloc=used,
        gpu_type=clean(kind) if kind else None,
        gpus_used=clean(indices) if indices else None,
        rack=rack(name),
        features=_list(fields.get("ActiveFeatures", "")),
        address=_maybe(fields.get("NodeAddr")),
        version=_maybe(fields.get("Version")),
        boot_at=epoch(fields.get("BootTime", "")),
        slurmd_at=epoch(fields.get("SlurmdStartTime", "")),
        busy_at=epoch(fields.get("LastBusyTime", "")),
        reservation=_maybe(fields.get("ReservationName")),
        comment=_maybe(free.get("Comment")),
        extra=_maybe(free.get("Extra")),
    )


def _maybe(value: str | None) -> str | None:
    return None if value is None or text_or_none(value) is None else clean(value)


def _list(value: str) -> tuple[str, ...]:
    return () if text_or_none(value) is None else tuple(clean(part) for part in value.split(","))


def named(answer: Iterable[str]) -> dict[str, list[str]]:
    """The lines of an answer by the node they name; a line that names none continues a free text and is dropped."""
    found: dict[str, list[str]] = {}
    for line in answer:
        match = NAME.match(line)
        if match:
            found.setdefault(match[1], []).append(line)
    return found


class NodeReader:
    """Reads all nodes; remembers lines and reasons, so that unchanged nodes stay the same objects."""

    def __init__(self, racks: RackRule | None = None) -> None:
        self._rack = rack_of(racks)
        self._inventory: frozenset[str] = frozenset()
        self._unlisted: frozenset[str] = frozenset()
        self._known: dict[str, tuple[str, Signed | None, Node]] = {}
        self._reason_text: tuple[str, ...] = ()
        self._signed: Mapping[str, Signed] = {}

    def read(self, deadline_s: float) -> tuple[Mapping[str, Node], tuple[str, ...]]:
        """All nodes by name, and warnings. Raises SourceFault; "empty" when there is not one node."""
        out = ask(command(), deadline_s)
        if not out.endswith(b"\n"):
            kind, what = ("cut", "was cut in the middle of a line") if out else ("empty", "printed nothing")
            raise SourceFault(kind, f"scontrol show node {what}", "wacht reads it again")
        found = named(lines(out))
        if not found:
            raise SourceFault("empty", "scontrol show node lists not one node", "run it by hand to see")
        if not found.keys() <= (self._inventory | self._unlisted) or not self._inventory <= found.keys():
            self._inventory = inventory(deadline_s)
            if self._rack is None:
                self._rack = listed(switches(decode(ask(["scontrol", "show", "topology", "-o"], deadline_s))))
        strange = [name for name, at in found.items() if len(at) > 1 or name not in self._inventory | self._unlisted]
        kept, warnings = self._settle(found, strange, deadline_s)
        missing = self._inventory - kept.keys()
        if missing:
            raise SourceFault("cut", f"scontrol show node left out {len(missing)} of {len(self._inventory)} nodes",
                              "wacht reads it again")  # fmt: skip
        return self._build(kept, deadline_s), warnings

    def _settle(
        self, found: dict[str, list[str]], strange: Sequence[str], deadline_s: float
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """One line a node: doubled and unknown names are asked for alone; what then stays unknown was forged."""
        kept = {name: at[0] for name, at in found.items()}
        if not strange:
            return kept, ()
        forged = 0
        for position, name in enumerate(strange):
            line = alone(name, deadline_s) if position < _ALONE else None
            if line is None:
                forged += 1
                kept.pop(name)
            else:
                kept[name] = line
                if name not in self._inventory and len(found[name]) == 1:
                    self._unlisted |= {name}
        warned = f"{len(strange)} node lines were doubled or unknown and asked for again, {forged} dropped"
        return kept, (warned,)

    def _build(self, kept: Mapping[str, str], deadline_s: float) -> Mapping[str, Node]:
        texts = tuple(f"{name}{line[match.start():]}" for name, line in kept.items()
                      if (match := _FREE_START.search(line)))  # fmt: skip
        if texts != self._reason_text:
            self._signed = reasons(deadline_s) if texts else {}
            self._reason_text = texts
        known: dict[str, tuple[str, Signed | None, Node]] = {}
        nodes: dict[str, Node] = {}
        for name, line in kept.items():
            signed = self._signed.get(name)
            before = self._known.get(name)
            if before is not None and before[0] == line and before[1] == signed:
                nodes[name] = before[2]
                known[name] = before
                continue
            fresh = node(line, signed, self._rack or nowhere)
            if fresh is None:
                raise SourceFault(
                    "malformed", f"scontrol show node gives no state for {name}", "is this version known?"
                )
            if before is not None and before[2] == fresh:
                fresh = before[2]
            nodes[name] = fresh
            known[name] = (line, signed, fresh)
        self._known = known
        return nodes


def inventory(deadline_s: float) -> frozenset[str]:
    """Every node that a partition holds, hidden partitions too, from a source without free text."""
    out = ask(["sinfo", "-a", "-h", "-o", "%N"], deadline_s)
    names = [name for line in lines(out) if line.strip() for name in expand(line.strip())]
    if not names:
        raise SourceFault("empty", "sinfo lists not one node", "run sinfo by hand to see")
    return frozenset(names)


def reasons(deadline_s: float) -> Mapping[str, Signed]:
    """Node name to reason, who set it, and when."""
    mark = fence()
    argv = reasons_command(mark)
    signed: dict[str, Signed] = {}
    for raw in fenced(argv, mark, ask(argv, deadline_s), 4):
        cells = raw.split("|", 3)
        if len(cells) != 4:
            continue
        nodes, user, at, reason = cells
        who = re.sub(r"\(\d+\)$", "", user)
        for name in expand(nodes):
            signed[name] = (clean(reason), _maybe(who), epoch(at))
    return signed


def alone(name: str, deadline_s: float) -> str | None:
    """The line of one node, asked for by its name, or None when Slurm does not know it."""
    try:
        first = lines(ask(command([name]), deadline_s))[0]
    except SourceFault as error:
        if "not found" in error.fault.what:
            return None
        raise
    match = NAME.match(first)
    return first if match and match[1] == name else None


def read_named(names: Sequence[str], deadline_s: float) -> Mapping[str, Node]:
    """The nodes of these names as they are now, each line checked against what was asked for."""
    signed = reasons(deadline_s)
    try:
        found = named(lines(ask(command(names), deadline_s)))
    except SourceFault as error:
        if "not found" not in error.fault.what:
            raise
        found = {name: [""] * 2 for name in names}
    fresh: dict[str, Node] = {}
    for name in names:
        at = found.get(name, [])
        line = at[0] if len(at) == 1 else alone(name, deadline_s)
        made = node(line, signed.get(name)) if line else None
        if made is not None:
            fresh[name] = made
    return fresh

"""Classifies drain reasons: kind, person or program, ticket; and groups the drained nodes.

Reasons are free text. The tables below hold what Slurm itself writes (slurmctld and slurmd, 22.05 to 26.05), what NHC
and other health checks write, and the words that people use. The first kind that matches wins.
`console.health.automation` knows the programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from collectors.model import Cluster, Node
from collectors.nodeset import natural_key
from collectors.nodestate import UNAVAILABLE

from . import automation, tickets
from .tickets import find_ticket

Author = Literal["human", "automation", "unknown"]

#: A node that is unavailable for longer than this is forgotten.
FORGOTTEN_S = 7 * 86400
#: The kinds with their titles, in the order in which groups are shown.
KINDS: Mapping[str, str] = {
    "gpu": "GPU, XID",
    "memory": "memory, ECC",
    "network": "network, fabric",
    "power": "power, cooling",
    "storage": "storage, file systems",
    "jobs": "job clean-up",
    "slurmd": "slurmd, registration",
    "health": "health check",
    "maintenance": "maintenance",
    "human": "note by a person",
    "unknown": "unknown",
}
#: What Slurm itself writes: patterns for the start of the text.
SLURM: tuple[tuple[str, str], ...] = (
    ("jobs", r"kill task failed|(prolog|epilog|taskprolog|taskepilog)\b.{0,40}(error|fail)|batch job complete failure"
             r"|job step .{0,40}(fail|revoked)|unkillable"),
    ("slurmd", r"not responding|node unexpectedly rebooted|low (realmemory|tmpdisk|cpus?|cores?|sockets?|socket\*)"
               r"|gres/\w+ count|duplicate jobid|reboot (asap|timed out|complete|issued)|resumetimeout|suspendtimeout"
               r"|node (reboot|register|configuration)|cannot resolve|scheduled reboot|slurmd\b|power(ing)? (up|down)"
               r"|invalid node"),
)  # fmt: skip
#: Words anywhere in the text. Only letters and digits belong to a word: check_ib is about ib.
WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("memory", ("ecc", "dbe", "sbe", "double[- ]bit", "single[- ]bit", r"dimms?\d*", "edac", "mce", "memory errors?",
                r"row[- ]?remap\w*", r"remap\w*", "retired pages?", r"hbm\d?e?", r"uncorrect\w*", r"(un)?contained",
                "physmem", "hw_mem", "sram")),
    ("network", ("ib", r"ib\d+", "infiniband", r"mlx\d*", "hcas?", r"nvlinks?\w*", r"nvswitch\w*", "fabric",
                 r"fabric ?manager", "switch", "roce", "rdma", "ethernet", "eth", r"eth\d+", "nic", "nics",
                 r"links?[ _]?(down|flap\w*|error\w*)", "port down", r"cables?", "transceivers?", "opa", "omnipath",
                 "leaf", "nccl", "lid", "hsn", r"slingshot\w*", r"cxi\d*", "optics", "network", "dns")),
    ("power", ("psus?", "pdus?", r"power\w*", "voltage", "fans?", "fan tray", "temp", "temperature", r"overheat\w*",
               r"thermal\w*", "cooling", "coolant", "cdu", r"leak\w*", "water", "ups", "breaker", "too hot")),
    ("storage", ("lustre", "gpfs", "mmfs", "nfs", "beegfs", r"weka\w*", "scratch", r"(un|re)?mount\w*", "disks?",
                 r"nvme\w*", "ssd", "raid", "file ?systems?", "fs", r"check_fs\w*", "read-only", r"inodes?", "ost",
                 "mds", "quota", "stale", r"/home\S*", "tmp full", "storage")),
    ("gpu", (r"gpu(?!\d{3})[a-z_]*\d{0,2}", r"nvidia\w*", "cuda", r"dcgm\w*", "nvml", "nvsm", "gsp", "off the bus",
             r"h[12]00", "a100", r"g?b[23]00", "pcie?", "accelerators?")),
    ("jobs", ("kill task", "epilog", "prolog", "stray process", "zombies?", "clean-?up", "hung job")),
    ("health", ("nhc", r"health\w*", r"check_\w+", r"node[_-]problem\w*", "hc")),
    ("maintenance", (r"maint\w*", "bios", "firmware", "fw", r"upgrad\w*", r"updat\w*", r"re-?boot\w*", "kernel",
                     r"re-?imag\w*", r"re-?install\w*", r"burn-?in", r"bench\w*", "acceptance", "rma", r"replac\w*",
                     r"swap\w*", "part ordered", "vendor", r"decommission\w*", r"relocat\w*", "drivers?", r"patch\w*",
                     "planned", "window")),
)  # fmt: skip
#: XID codes that are about memory and about links; any other is about the GPU.
XIDS_BY_KIND: Mapping[str, frozenset[int]] = {
    "memory": frozenset({48, 63, 64, 92, 94, 95, 140, 156, 157, 171, 172}),
    "network": frozenset({74, 136, 137, *range(144, 151), 155}),
}
_XID = re.compile(r"(?<![a-z0-9])xids?[\s:#=(-]*(\d{1,3})(?!\d)", re.I)
_DIGITS = re.compile(r"\d+")


def _word_pattern(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(words)})(?![a-z0-9])", re.I)


_SLURM = tuple((kind, re.compile(rf"\s*(?:{pattern})", re.I)) for kind, pattern in SLURM)
_WORDS = tuple((kind, _word_pattern(words)) for kind, words in WORDS)


class Reason(Struct, frozen=True):
    """A classified reason."""

    kind: str
    """A key of KINDS."""
    author: Author
    ticket: str | None = None
    xid: int | None = None

    @property
    def label(self) -> str:
        """The title of the kind."""
        return KINDS[self.kind]


def classify(reason: str | None, by: str | None) -> Reason:
    """Classify a reason. Never raises; a text that matches nothing is a person's note, or unknown."""
    return _classify(reason, by, automation.configured())


@lru_cache(maxsize=8192)
def _classify(reason: str | None, by: str | None, _: automation.Automation) -> Reason:
    text = reason or ""
    found = _XID.search(text)
    code = int(found[1]) if found else None
    signed = author_of(by, reason)
    return Reason(_kind(text, code, signed), signed, find_ticket(text), code)


def _kind(text: str, code: int | None, signed: Author) -> str:
    for kind, pattern in _SLURM:
        if pattern.match(text):
            return kind
    if code is not None:
        return next((kind for kind, codes in XIDS_BY_KIND.items() if code in codes), "gpu")
    for kind, pattern in _WORDS:
        if pattern.search(text):
            return kind
    return "human" if signed == "human" and text.strip() else "unknown"


def author_of(by: str | None, reason: str | None = None) -> Author:
    """Whether a person or a program set a reason, from the login and the text.

    Both health checks and people use root. There the text decides; root without a text is a program.
    """
    name = (by or "").partition("(")[0].strip().lower()
    if not name:
        return "automation" if reason and automation.is_automation_reason(reason) else "unknown"
    if automation.is_automation_login(name):
        return "automation"
    if name == "root":
        return "automation" if not reason or automation.is_automation_reason(reason) else "human"
    return "human"


def is_automation(by: str | None, reason: str | None = None) -> bool:
    """Whether a program set the reason, as far as login and text show."""
    return author_of(by, reason) == "automation"


class DrainGroup(Struct, frozen=True, kw_only=True):
    """Nodes of one rack that are unavailable for one reason."""

    kind: str
    author: Author
    by: str | None
    reason: str | None
    """The text; where texts differ only in numbers, that of the first node."""
    reasons: int
    """How many different texts there are."""
    ticket: str | None
    xid: int | None
    rack: str | None
    nodes: tuple[str, ...]
    displays: tuple[str, ...]
    """The display words of their states, each once."""
    since: int | None
    """When the first of them went out of service."""
    forgotten: bool
    jobs: tuple[str, ...] | None
    """Jobs still there; None while jobs are not known."""

    @property
    def label(self) -> str:
        """The title of the kind."""
        return KINDS[self.kind]


def is_unavailable(node: Node) -> bool:
    """Whether a node is out of service and must be brought back."""
    return node.display in UNAVAILABLE and node.display != "future"


def drain_groups(cluster: Cluster, now: float) -> list[DrainGroup]:
    """Unavailable nodes in groups: the forgotten first, then by kind, rack and age. Empty when nodes are unknown."""
    groups: dict[tuple[object, ...], list[tuple[Node, Reason]]] = {}
    for node in cluster.nodes.values():
        if is_unavailable(node):
            told = classify(node.reason, node.reason_by)
            same = _DIGITS.sub("#", node.reason or "")
            key = (
                is_forgotten(node, now),
                told.kind,
                node.rack,
                same,
                node.reason_by,
                tickets.ticket_label(node),
                told.xid,
            )
            groups.setdefault(key, []).append((node, told))
    order = {kind: at for at, kind in enumerate(KINDS)}
    entries = [_drain_group(cluster, members, now) for members in groups.values()]
    return sorted(
        entries,
        key=lambda one: (not one.forgotten, order[one.kind], natural_key(one.rack or ""), one.since or now,
                         natural_key(one.nodes[0])),
    )  # fmt: skip


def is_forgotten(node: Node, now: float) -> bool:
    """Whether a node has had its reason for longer than FORGOTTEN_S."""
    return node.reason_at is not None and now - node.reason_at > FORGOTTEN_S


def _drain_group(cluster: Cluster, members: list[tuple[Node, Reason]], now: float) -> DrainGroup:
    node, told = members[0]
    nodes = [one for one, _ in members]
    held = {job for one in nodes for job in cluster.jobs_on.get(one.name, ())}
    return DrainGroup(
        kind=told.kind,
        author=told.author,
        by=node.reason_by,
        reason=node.reason,
        reasons=len({one.reason for one in nodes}),
        ticket=tickets.ticket_label(node),
        xid=told.xid,
        rack=node.rack,
        nodes=tuple(sorted((one.name for one in nodes), key=natural_key)),
        displays=tuple(dict.fromkeys(one.display for one in nodes)),
        since=min((one.reason_at for one in nodes if one.reason_at is not None), default=None),
        forgotten=is_forgotten(node, now),
        jobs=tuple(sorted(held, key=natural_key)) if "jobs" in cluster.known else None,
    )

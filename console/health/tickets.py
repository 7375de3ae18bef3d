"""Tickets and RMAs of a node: from its Comment, its Extra and its reason, and since when. Pure.

What wacht writes is plain: `ticket=KubeGPU-1182 since=2026-11-20 rma=4471`, in any order, among other text. What people
write is read too: `[KubeGPU-1182]`, `INC0012345`, `RMA 4471`, a date, or JSON with these words as keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import lru_cache

from msgspec import Struct

from collectors.model import Node
from widgets.units import duration

#: Words before a dash and a number that are not a ticket project.
_NO_TICKET = frozenset({
    "XID", "GPU", "CPU", "DIMM", "PSU", "PDU", "FAN", "NVL", "NVLINK", "IB", "HCA", "PORT", "SLOT", "PCIE", "PCI",
    "ECC", "RACK", "NODE", "UTF", "ISO", "RFC", "SHA", "DDR", "CAT", "QSFP", "LID", "OST", "MDS", "ETH", "SM", "TPC",
    "GPC", "HBM", "NUMA", "CVE", "LEAF", "ROW", "UNIT", "DISK", "COVID", "USB", "SATA", "RAID", "NVME", "SXM", "HGX",
    "DGX",
})  # fmt: skip
_KEY = re.compile(r"\[([A-Za-z][A-Za-z0-9]{1,15})-(\d{1,7})\]")
_SERVICE_NOW = re.compile(r"\b((?:INC|REQ|RITM|CHG|S?C?TASK|PRB|CS)\d{3,10})\b")
_WORDED = re.compile(
    r"\b(RT|OTRS|SR|RMA|case|ticket|issues?|bug)\s*(?:no\.?|nr\.?|number)?\s*[#:/]?\s*#?(\d{2,10})\b", re.I
)
_FORMS = {"RT": "RT#{}", "OTRS": "OTRS#{}", "SR": "SR {}", "RMA": "RMA {}", "CASE": "case {}"}
_UPPER = re.compile(r"\b([A-Z]{2,10})-(\d{1,7})\b")
_HASH = re.compile(r"(?<![\w&])#(\d{3,9})\b")
#: `word=value`, as wacht writes it.
_SET = re.compile(r"(?<![\w-])(ticket|rma|since)=[\"']?([^\s,;\"'}\]]{1,64})", re.I)
_RMA = re.compile(r"\bRMA[\s:#-]*(?:no\.?|nr\.?|number)?[\s:#]*([A-Za-z]{0,3}\d[\w-]{1,20})", re.I)
_DATE = re.compile(r"(?<!\d)(20\d\d)-(\d\d)-(\d\d)(?!\d)")


class Ticket(Struct, frozen=True):
    """The ticket or RMA of a node."""

    id: str | None
    """As people write it: KubeGPU-1182, INC0012345; None where there is only an RMA."""
    rma: str | None = None
    since: int | None = None
    """The day it began (UTC); None where no text holds a date."""
    found_in: str = ""
    """comment, extra or reason."""

    @property
    def label(self) -> str:
        """The ticket id, or the RMA."""
        return self.id or f"RMA {self.rma}"

    def text_at(self, now: float, seen: float | None = None) -> str:
        """`KubeGPU-1182, RMA 4471, 5 d old`. Where no text holds a date: for how long it has been there at least, by
        `seen` (epoch; see `known_since`), else that its age is not known."""
        age = "age unknown: it has no date" if seen is None else f"there for {duration(now - seen)} at least"
        age = age if self.since is None else f"{duration(now - self.since)} old"
        return ", ".join([*([self.id] if self.id else []), *([f"RMA {self.rma}"] if self.rma else []), age])


def find_ticket(text: str) -> str | None:
    """The ticket that a text names, as people write it: KubeGPU-1182, INC0012, RT#123, RMA 4471, #4711."""
    for key in (*_KEY.finditer(text), *_UPPER.finditer(text)):
        if key[1].upper() not in _NO_TICKET:
            return f"{key[1]}-{key[2]}"
    if match := _SERVICE_NOW.search(text):
        return match[1]
    if match := _WORDED.search(text):
        return _FORMS.get(match[1].upper(), "#{}").format(match[2])
    if match := _HASH.search(text):
        return f"#{match[1]}"
    return None


def ticket_of(node: Node) -> Ticket | None:
    """The ticket of a node: its Comment's, else its Extra's, else its reason's; None where no text names one."""
    for where, text in (("comment", node.comment), ("extra", node.extra), ("reason", node.reason)):
        if text and (found := parse_ticket(text, where)) is not None:
            return found
    return None


def ticket_label(node: Node) -> str | None:
    """The ticket id of a node, or its RMA; None where no text names one."""
    found = ticket_of(node)
    return None if found is None else found.label


def known_since(node: Node, found: Ticket, ticketed: Mapping[tuple[str, str], float] | None = None) -> float | None:
    """Since when this ticket is known (epoch): since its reason was set, or since the journal first names it
    (`console.journal.past_actions.ticketed`)."""
    told = [(ticketed or {}).get((node.name, found.label)), node.reason_at if found.found_in == "reason" else None]
    return min((at for at in told if at is not None), default=None)


@lru_cache(maxsize=8192)
def parse_ticket(text: str, where: str = "") -> Ticket | None:
    """The ticket or RMA in a text; None where it names neither. Never raises."""
    text = _relevant_text(text)
    told = {match[1].lower(): match[2] for match in _SET.finditer(text)}
    rest = _SET.sub(" ", text)
    rma = told.get("rma")
    if rma is None and (match := _RMA.search(rest)):
        rma = match[1]
    name = told.get("ticket") or find_ticket(rest)
    if name is not None and name.startswith("RMA "):
        name = None
    if name is None and rma is None:
        return None
    return Ticket(name, rma, _day(told.get("since", "")) or _day(rest), where)


def _relevant_text(text: str) -> str:
    """The text; of JSON only the values that may name a ticket, because a serial number or a switch looks like one."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        return text
    words = {str(key).lower(): value for key, value in table.items() if isinstance(value, str | int)}
    named = [f"{key}={words[key]}" for key in ("ticket", "rma", "since") if key in words]
    return " ".join([*named, *(str(words[key]) for key in ("comment", "note", "issue") if key in words)])


def _day(text: str) -> int | None:
    """The first day in a text, as seconds since the epoch."""
    for match in _DATE.finditer(text):
        try:
            day = date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            continue
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return None

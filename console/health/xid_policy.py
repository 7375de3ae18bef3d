"""The XID policy: what to do about an XID and which source recommends it, from the shipped data file and the site's own
over it.

The code alone does not say what to do, and the sources disagree (XID 63: NVIDIA's catalogue ignores it, AWS replaces
the node), so every advice carries its source. Nothing here acts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from collectors.clean import clean
from collectors.model import FOLLOWERS, Severity, Xid
from console.runtime.toml_file import ConfigError, TomlFile

SHIPPED_FILE = Path(__file__).with_name("xid-policy.toml")
#: The actions that an advice may name, worst last, with their meaning.
ACTIONS: Mapping[str, str] = {
    "ignore": "nothing to do",
    "watch": "count it, nothing to do yet",
    "job": "look at the job, leave the node",
    "reset": "reset the GPU when the node is idle",
    "recovery": "do what the driver reports as its recovery action",
    "check-log": "look at the kernel's line first: it says whether the error is fatal",
    "drain": "take the node out",
    "drain+link": "take the node out, look at the link",
    "drain+reset": "take the node out, reset the GPU",
    "drain+reboot": "take the node out, reboot it",
}
_RANK = {word: rank for rank, word in enumerate(ACTIONS)}
#: Severities in the kernel's line; a policy entry may have a table of its own for each.
_SEVERITIES: tuple[Severity, ...] = ("fatal", "nonfatal")
_KEYS = {"action": str, "first_step": str, "source": str}
_LARGEST_CODE = 1 << 16
_SPAN = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")

__all__ = [
    "ACTIONS",
    "SHIPPED_FILE",
    "Advice",
    "ConfigError",
    "Opinion",
    "Policy",
    "default_policy",
    "load_policy",
    "preceding_xid",
]


class Opinion(Struct, frozen=True, kw_only=True):
    """What one source recommends."""

    action: str
    """A key of ACTIONS."""
    first_step: str
    source: str


class Advice(Struct, frozen=True, kw_only=True):
    """The policy for one code. wacht follows `followed`; `others` are what other sources recommend."""

    code: int
    meaning: str
    followed: Opinion
    others: tuple[Opinion, ...] = ()
    by_severity: Mapping[Severity, Opinion] = {}
    """Replaces `followed` where the kernel's line gives the severity."""

    @property
    def action(self) -> str:
        """The action that wacht follows, a key of ACTIONS."""
        return self.followed.action

    @property
    def first_step(self) -> str:
        """The first step, as text."""
        return self.followed.first_step

    @property
    def source(self) -> str:
        """The source of the advice that is followed."""
        return self.followed.source

    @property
    def drains(self) -> bool:
        """Whether the node must be drained."""
        return self.action.startswith("drain")

    @property
    def acts(self) -> bool:
        """Whether the node or its GPU needs an action, now or later."""
        return self.drains or self.action in {"reset", "recovery", "check-log"}

    @property
    def rank(self) -> int:
        """Severity of the action, 0 is harmless."""
        return _RANK[self.action]


class Policy(Struct, frozen=True, kw_only=True):
    """The advice by code, and the files it comes from, lowest first."""

    advice: Mapping[int, Advice] = {}
    files: tuple[str, ...] = ()

    def advice_for(self, code: int, severity: Severity | None = None) -> Advice | None:
        """The advice for a code; None where there is none. `severity` is that of the kernel's line, if known."""
        advice = self.advice.get(code)
        if advice is None or severity is None or severity not in advice.by_severity:
            return advice
        return replace(advice, followed=advice.by_severity[severity])

    def step(self, code: int, severity: Severity | None = None) -> str:
        """The first step as text: `drain, reboot the node`, or that there is no advice."""
        advice = self.advice_for(code, severity)
        return f"no advice for XID {code}" if advice is None else advice.first_step

    def worst(self, codes: Iterable[int]) -> int | None:
        """The code with the most severe action; one without advice ranks above those that leave the node alone."""
        return max(codes, key=lambda code: (self._rank(self.advice_for(code)), code), default=None)

    def worst_of(self, xids: Iterable[Xid]) -> Xid | None:
        """The XID with the most severe action, by its code and its severity."""
        return max(xids, key=lambda one: (self._rank(self.advice_for(one.code, one.severity)), one.code), default=None)

    def _rank(self, advice: Advice | None) -> float:
        return _RANK["job"] + 0.5 if advice is None else advice.rank


def preceding_xid(xid: Xid, rows: Iterable[Xid]) -> Xid | None:
    """The XID that caused a follow-up code (43, 45, …) on the same GPU; None where none is known."""
    if xid.code not in FOLLOWERS:
        return None
    before = [
        one for one in rows
        if (one.node, one.gpu) == (xid.node, xid.gpu) and one.code not in FOLLOWERS
        and (one.first_at is None or xid.last_at is None or one.first_at <= xid.last_at)
    ]  # fmt: skip
    return max(before, key=lambda one: (one.last_at or 0, one.code), default=None)


@cache
def default_policy() -> Policy:
    """The policy that ships with wacht."""
    return _policy(TomlFile(SHIPPED_FILE, ours=True))


def load_policy(path: str | Path | None) -> Policy:
    """The shipped policy with the site's file laid over it, code by code. Raises ConfigError: file, line, key."""
    if path is None:
        return default_policy()
    return _policy(TomlFile(SHIPPED_FILE, ours=True), TomlFile(Path(path).expanduser()))


def _policy(*layers: TomlFile) -> Policy:
    advice: dict[int, Advice] = {}
    for layer in layers:
        advice |= _read(layer, advice)
    return Policy(advice=advice, files=tuple(str(layer.path) for layer in layers))


def _read(layer: TomlFile, beneath: Mapping[int, Advice]) -> dict[int, Advice]:
    for key in layer.table:
        if key != "xid":
            raise layer.fail("", key, "unknown key; allowed: xid, as in [xid.79]")
    tables = layer.table.get("xid", {})
    if not isinstance(tables, dict):
        raise layer.fail("", "xid", "needs a code, as in [xid.79]")
    found: dict[int, Advice] = {}
    for key, table in tables.items():
        for code in _codes(layer, key):
            if code in found:
                raise layer.fail("xid", key, f"XID {code} is in this file twice")
            found[code] = _advice(layer, key, table, code, beneath.get(code))
    return found


def _codes(layer: TomlFile, key: str) -> list[int]:
    """`79`, `39-41,70-72`: the codes a table is about."""
    codes: list[int] = []
    for part in key.split(","):
        match = _SPAN.fullmatch(part.strip())
        if match is None:
            raise layer.fail("xid", key, 'must be a code, or codes as in [xid.79] and [xid."39-41,70"]')
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < _LARGEST_CODE:
            raise layer.fail("xid", key, f"{part.strip()} runs backwards or is too large")
        codes += range(first, last + 1)
    return codes


def _advice(layer: TomlFile, key: str, table: Any, code: int, beneath: Advice | None) -> Advice:
    where = f"xid.{key}"
    if not isinstance(table, dict):
        raise layer.fail("xid", key, f"must be a table, as in [{where}]")
    allowed = (*_KEYS, *_SEVERITIES, "meaning", "other")
    for name in table:
        if name not in allowed:
            raise layer.fail(where, name, f"unknown key; allowed: {', '.join(sorted(allowed))}")
    meaning = table.get("meaning", beneath.meaning if beneath is not None else None)
    if meaning is None:
        raise layer.fail("xid", key, "needs a meaning: no file beneath this one has one for this code")
    others = table.get("other", [])
    if not isinstance(others, list):
        raise layer.fail(where, "other", f"must be tables, as in [[{where}.other]]")
    return Advice(
        code=code,
        meaning=_text(layer, where, "meaning", meaning, 0),
        followed=_opinion(layer, where, {name: table[name] for name in _KEYS if name in table}, 0),
        others=tuple(_opinion(layer, f"{where}.other", other, nth) for nth, other in enumerate(others)),
        by_severity={one: _opinion(layer, f"{where}.{one}", table[one], 0) for one in _SEVERITIES if one in table},
    )


def _opinion(layer: TomlFile, where: str, table: Any, nth: int) -> Opinion:
    if not isinstance(table, dict):
        raise layer.fail(where, "", "must be a table", nth)
    for name in table:
        if name not in _KEYS:
            raise layer.fail(where, name, f"unknown key; allowed: {', '.join(sorted(_KEYS))}", nth)
    for name in _KEYS:
        if name not in table:
            raise layer.fail(where, "", f"needs {name}", nth)
    given = {name: _text(layer, where, name, table[name], nth) for name in _KEYS}
    if given["action"] not in ACTIONS:
        raise layer.fail(where, "action", f"is {given['action']!r}; allowed: {', '.join(ACTIONS)}", nth)
    return Opinion(**given)


def _text(layer: TomlFile, where: str, key: str, value: Any, nth: int) -> str:
    if not isinstance(value, str):
        raise layer.fail(where, key, f"must be a text, is {type(value).__name__}", nth)
    text = clean(" ".join(value.split()))
    if not text:
        raise layer.fail(where, key, "is empty", nth)
    return text

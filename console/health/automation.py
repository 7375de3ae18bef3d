"""Which programs take nodes out of service: logins and reasons of known automations, and those that a site adds.

The list is a data file that ships with wacht (automation.toml); `[automation]` in the configuration adds to it. One
set is in force per process. `console.health.drain_reasons` uses it to distinguish people and programs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from msgspec import Struct

from console.runtime.toml_file import TomlFile

SHIPPED_FILE = Path(__file__).with_name("automation.toml")
#: Reasons that people write: a pattern that matches one of these is too wide.
HUMAN_SAMPLES = ("", "a", "do not use, ask Jan", "bad DIMM B2", "maintenance", "PSU dead, ticket 4711")


class Automation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[automation]`: a site's own programs that drain nodes, in addition to those that wacht knows."""

    logins: tuple[str, ...] = ()
    """Logins that are programs, whatever the reason says: regular expressions that match the whole login."""
    patterns: tuple[str, ...] = ()
    """Reasons that a program writes as root: regular expressions that match the whole reason, in any case."""

    def __post_init__(self) -> None:
        for kind, found in (("login", self.logins), ("pattern", self.patterns)):
            for text in found:
                try:
                    made = re.compile(text, re.I | re.S)
                except re.error as error:
                    raise ValueError(f"{kind} {text!r} is no regular expression: {error}") from None
                if any(made.fullmatch(one) for one in HUMAN_SAMPLES):
                    raise ValueError(f"{kind} {text!r} is too wide: it matches what people write")


class KnownAutomation(Struct, frozen=True):
    """One automation of the list."""

    name: str
    source: str
    logins: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


class _Patterns(Struct, frozen=True):
    """The compiled patterns."""

    logins: tuple[re.Pattern[str], ...]
    patterns: tuple[re.Pattern[str], ...]


@cache
def known_automations() -> tuple[KnownAutomation, ...]:
    """The automations that wacht knows."""
    layer = TomlFile(SHIPPED_FILE, ours=True)
    return tuple(
        KnownAutomation(one["name"], one["source"], tuple(one.get("logins", ())), tuple(one.get("patterns", ())))
        for one in layer.table["automation"]
    )


def _compiled(texts: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    """Compiled one by one: flags and groups of one pattern must not affect another."""
    return tuple(re.compile(text, re.I | re.S) for text in texts)


@cache
def _patterns(own: Automation) -> _Patterns:
    known = known_automations()
    logins = [text for one in known for text in one.logins]
    patterns = [text for one in known for text in one.patterns]
    return _Patterns(_compiled([*logins, *own.logins]), _compiled([*patterns, *own.patterns]))


class _SiteAutomation:
    """The site's own entries, one set per process."""

    own = Automation()


def configure(own: Automation) -> None:
    """Add a site's own entries to the shipped ones; replaces those configured before."""
    _SiteAutomation.own = own


def configured() -> Automation:
    """The site's own entries in force."""
    return _SiteAutomation.own


def is_automation_login(login: str) -> bool:
    """Whether a login belongs to a program."""
    return any(one.fullmatch(login) for one in _patterns(_SiteAutomation.own).logins)


def is_automation_reason(text: str) -> bool:
    """Whether a known program writes this reason."""
    text = text.strip()
    return any(one.fullmatch(text) for one in _patterns(_SiteAutomation.own).patterns)

"""Parses limits from `scontrol -o show assoc_mgr flags=assoc,qos`, one record a line (24.11 to 26.05).

An association's line begins with its names and ends in a comment; a QOS's line ends in the limits of each account and
each user, `ml={…} User Limits= alice(1001)={…}`. A limit reads `64(12)`, or `N(12)` without a limit, with the use in
brackets; a TRES has one for each resource. slurmdbd accepts nearly any name: only single words without special
characters of this format count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from collectors.clean import clean
from collectors.model import Limit, Limits

_ASSOC = re.compile(r"ClusterName=\S* Account=(\S+) UserName=(\S*) Partition=(\S*) ")
_QOS = re.compile(r"QOS=([^\s(]+)\([0-9]+\) ")
_EACH = re.compile(r" (\S+)=\{([^{}]*)\}")
#: `alice(1001)`, or a user that the controller knows by number only.
_NAMED = re.compile(r"([^\s()=]+)(?:\([^()\s]*\))?")
_PARENT = re.compile(r" ParentAccount=([^\s(]+)\([0-9]+\)")
_VALUE = re.compile(r"([0-9]{1,18})(?:\(([0-9]{1,18})(?:\.[0-9]+)?\))?")
_TRES = re.compile(r"([a-z]+(?:/[^=,\s]+)?)=([0-9]{1,18})(?:\(([0-9]{1,18})\))?")
#: Limits of TRES, and of jobs and times; other fields on the line are no limits.
_OF_TRES = frozenset({"GrpTRES", "GrpTRESMins", "GrpTRESRunMins", "MaxTRESPJ", "MaxTRESPN", "MaxTRESMinsPJ",
                      "MaxTRESPU", "MaxTRESPA", "MaxTRESRunMinsPU", "MaxTRESRunMinsPA", "MinTRESPJ"})  # fmt: skip
_PLAIN = frozenset({"GrpJobs", "GrpSubmitJobs", "GrpWall", "MaxJobs", "MaxSubmitJobs", "MaxWallPJ", "MaxJobsPU",
                    "MaxSubmitJobsPU", "MaxJobsPA", "MaxSubmitJobsPA"})  # fmt: skip


class LimitScope(NamedTuple):
    """Who sets a limit, and whose use it counts."""

    qos: str | None = None
    account: str | None = None
    user: str | None = None
    partition: str | None = None


def limits(lines: list[str]) -> Limits | None:
    """All configured limits. None without any record: then the text is no answer."""
    found: dict[LimitScope, list[Limit]] = {}
    parents: dict[str, str] = {}
    twice: set[LimitScope] = set()
    for line in lines:
        # The text after it is written by coordinators and must not be taken for a limit.
        text = line.partition(" Comment=")[0]
        whose = _whose(text)
        if whose is None:
            continue
        if whose in found:
            twice.add(whose)
        found[whose] = [*(_of_qos(text, whose.qos) if whose.qos is not None else _set(text, whose))]
        if whose.account is not None and whose.user is None and (above := _PARENT.search(text)):
            parents[whose.account] = clean(above[1])
    # A duplicated record comes from a comment with a line break: which one is real is unknown.
    every = tuple(one for whose, those in found.items() if whose not in twice for one in those)
    return Limits(limits=every, parents=parents) if found else None


def _whose(text: str) -> LimitScope | None:
    """The scope of a record, None for other text or an unreadable name."""
    if match := _QOS.match(text):
        return LimitScope(qos=clean(match[1]))
    match = _ASSOC.match(text)
    if match is None:
        return None
    user = _name(match[2])
    if user is None and match[2]:
        return None  # not a user's name: it must not count as the account's own
    return LimitScope(account=clean(match[1]), user=user, partition=clean(match[3]) or None)


def _name(word: str) -> str | None:
    match = _NAMED.fullmatch(word)
    return clean(match[1]) if match else None


def _of_qos(text: str, qos: str) -> Iterator[Limit]:
    """The limits of the QOS as a whole, then of each account and user, in braces after their names."""
    head, _, accounts = text.partition(" Account Limits=")
    accounts, _, users = accounts.partition(" User Limits=")
    yield from _set(head, LimitScope(qos))
    for word, inside in _EACH.findall(accounts):
        if (name := _name(word)) is not None:
            yield from _set(inside, LimitScope(qos, account=name))
    for word, inside in _EACH.findall(users):
        if (name := _name(word)) is not None:
            yield from _set(inside, LimitScope(qos, user=name))


def _set(text: str, whose: LimitScope) -> Iterator[Limit]:
    """The limits among these words."""
    for word in text.split():
        name, equal, value = word.partition("=")
        if not equal:
            continue
        if name in _PLAIN:
            if match := _VALUE.fullmatch(value):
                yield _limit(name, "", match[1], match[2], whose)
        elif name in _OF_TRES:
            for one in value.split(","):
                if match := _TRES.fullmatch(one):
                    yield _limit(name, clean(match[1]), match[2], match[3], whose)


def _limit(name: str, tres: str, most: str, used: str | None, whose: LimitScope) -> Limit:
    counted = None if used is None else int(used)
    return Limit(name=name, tres=tres, most=int(most), used=counted, **whose._asdict())

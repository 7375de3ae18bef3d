"""Matchers of silences with a certain meaning: a value, or alternatives of plain words, escaped as Go's RE2 reads them.

Alertmanager anchors every expression itself (`^(?:…)$`), so `gpu1|gpu2` matches these two and nothing longer. Other
tools may write any expression; `words` returns None for those and nothing here ever runs them: a pattern made for that
would keep Python's engine busy for hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from .clean import hostile
from .model import Matcher

_META = frozenset("\\.+*?()|[]{}^$")
_ESCAPE = re.compile(r"\\([nrte]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_NAMED = {"n": 0x0A, "r": 0x0D, "t": 0x09, "e": 0x1B}
_HEX = re.compile(r"x\{([0-9a-f]{1,6})\}")


def one_of(name: str, values: Iterable[str]) -> Matcher:
    """The matcher for exactly these values of a label: `=` if one value is enough.

    A value that `clean` changed also matches its original: Alertmanager still has that.
    """
    several = sorted({spelling for value in values for spelling in (value, _raw(value))})
    if len(several) == 1 and not hostile(several[0]):
        return Matcher(name, several[0])
    return Matcher(name, "|".join(map(quoted, several)), regex=True)


def quoted(value: str) -> str:
    """A value escaped so that RE2 reads it literally. Characters that steer a terminal are written as \\x{1b}: people
    see the pattern."""
    return "".join(
        f"\\{char}" if char in _META else f"\\x{{{ord(char):x}}}" if hostile(char) else char for char in value
    )


def _raw(value: str) -> str:
    """The possible original of a cleaned value."""
    return _ESCAPE.sub(_unescaped, value) if "\\" in value else value


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    point = _NAMED[code] if code in _NAMED else int(code[1:], 16)
    # A lone surrogate is in no label: Alertmanager uses UTF-8.
    return match[0] if 0xD800 <= point < 0xE000 or point > 0x10FFFF else chr(point)


@lru_cache(maxsize=1024)
def words(pattern: str) -> frozenset[str] | None:
    """The only values that a pattern matches, None if it is more than alternatives of plain words."""
    found, word, at = [], "", 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "|":
            found.append(word)
            word = ""
        elif char == "\\":
            point = _HEX.match(pattern, at)
            if point and int(point[1], 16) <= 0x10FFFF:
                word += chr(int(point[1], 16))
                at = point.end()
            elif at < len(pattern) and pattern[at] in _META:
                word += pattern[at]
                at += 1
            else:
                return None
        elif char in _META:
            return None
        else:
            word += char
    return frozenset((*found, word))


def values_of(matcher: Matcher) -> frozenset[str] | None:
    """The values that a matcher matches or (`!=`, `!~`) excludes; None if they cannot be listed."""
    return words(matcher.value) if matcher.regex else frozenset({matcher.value})


def meets(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool | None:
    """Whether a silence with these matchers suppresses an alert with these labels; None if that is not certain.

    A missing label has the empty value, as in Alertmanager. An empty list of matchers matches nothing.
    """
    certain = True
    for matcher in matchers:
        listed = values_of(matcher)
        if listed is None:
            certain = False
        elif (labels.get(matcher.name, "") in listed) is not matcher.equal:
            return False
    return bool(matchers) if certain else None


def spelled(matcher: Matcher) -> str:
    """A matcher as `amtool` and `filter=` accept it: the value in quotes, with quotes and backslashes escaped."""
    sign = ("!" if not matcher.equal else "") + ("=~" if matcher.regex else "=")
    value = matcher.value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{matcher.name}{"!~" if sign == "!=~" else sign}"{value}"'

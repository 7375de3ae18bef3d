"""The tests that a compiled filter consists of: closures, so that a row costs a few calls and no parsing."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from collectors.model import Cluster
from console.fields.field import Field, Get, Read
from console.fields.shapes import expand_or_none

Test = Callable[[Any, Cluster, float], bool]
Match = Callable[[str], bool]

COMPARE = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
_CACHE_NODES_MIN = 512


def matcher(text: str, contains: bool, literal: bool) -> Match:
    """A test of one lower-case text; `*` and `?` are wildcards unless `literal`."""
    low = text.lower()
    if not literal and ("*" in low or "?" in low):
        pattern = _glob(low, contains)
        return lambda value: pattern.search(value) is not None
    if contains:
        return lambda value: low in value
    return lambda value: value == low


def _glob(low: str, contains: bool) -> re.Pattern[str]:
    """A pattern whose every star is atomic: for any input it backtracks at most once over the text.

    A dot stops at a line end, and each part of a row is on its own line: a match never runs over two of them.
    """
    first, *rest = [re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", low)]
    if contains:
        return re.compile(first + "".join(f"(?>.*?{part})" for part in rest))
    if not rest:
        return re.compile(rf"\A{first}\Z")
    return re.compile(rf"\A{first}" + "".join(f"(?>.*?{part})" for part in rest[:-1]) + rf".*{rest[-1]}\Z")


def text_test(field: Field, matches: list[Match]) -> Test:
    """Whether a text, or any of several, passes one of `matches`; a missing text is ""."""
    read, get = field.read, field.get
    if field.shape == "words":

        def words(row: Any, cluster: Cluster, now: float) -> bool:
            values: Iterable[str] = read(row, cluster, now) or ("",)
            return any(match(value.lower()) for value in values for match in matches)

        return words
    if len(matches) == 1:
        only = matches[0]
        if get is not None:  # saves a call for each row
            return lambda row, _cluster, _now: only((get(row) or "").lower())
        return lambda row, cluster, now: only((read(row, cluster, now) or "").lower())

    def text(row: Any, cluster: Cluster, now: float) -> bool:
        value = (read(row, cluster, now) or "").lower()
        return any(match(value) for match in matches)

    return text


def name_test(wanted: frozenset[str]) -> Test:
    """Whether the row's own name is one of these, lower case."""
    return lambda row, _cluster, _now: row.name.lower() in wanted


def holds_test(wanted: frozenset[str], matches: list[Match]) -> Test:
    """Whether the row's nodes include one of these, lower case, or one that passes `matches`; "" means no nodes."""

    def test(row: Any, _cluster: Cluster, _now: float) -> bool:
        folded = row.nodes
        if not folded:
            return "" in wanted
        # A partition holds thousands of nodes, and the same ones at the next key.
        names = (
            _cached_names(folded.lower())
            if (row.node_count or 0) > _CACHE_NODES_MIN
            else expand_or_none(folded.lower())
        )
        return not wanted.isdisjoint(names) or any(match(name) for match in matches for name in names)

    return test


@lru_cache(maxsize=16)
def _cached_names(folded: str) -> frozenset[str]:
    return frozenset(expand_or_none(folded))


def number_test(read: Read, get: Get | None, sign: str, wanted: list[tuple[float, int | None]]) -> Test:
    """Comparison of a number with one, or for `=` and `!=` with any of several; unknown fails it."""
    if sign in COMPARE:
        compare, limit = COMPARE[sign], wanted[0][0]
        if get is not None:  # saves a call for each row
            return lambda row, _cluster, _now: (value := get(row)) is not None and compare(value, limit)

        def order(row: Any, cluster: Cluster, now: float) -> bool:
            value = read(row, cluster, now)
            return value is not None and compare(value, limit)

        return order
    same = sign == "="

    def equal(row: Any, cluster: Cluster, now: float) -> bool:
        value = read(row, cluster, now)
        # 98 means what the screen shows as 98, which includes 97.6.
        return value is not None and same is any(
            (value if digits is None else round(value, digits)) == number for number, digits in wanted
        )

    return equal


def negation(test: Test) -> Test:
    """The negation of a test."""
    return lambda row, cluster, now: not test(row, cluster, now)


def all_of(tests: list[Test]) -> Test:
    """Whether all tests pass; stops at the first that fails."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda row, cluster, now: first(row, cluster, now) and second(row, cluster, now)

    def every(row: Any, cluster: Cluster, now: float) -> bool:
        for test in tests:  # noqa: SIM110 - all() over a generator costs 0.3 us a row
            if not test(row, cluster, now):
                return False
        return True

    return every


def any_of(tests: list[Test]) -> Test:
    """Whether at least one test passes."""
    if len(tests) == 1:
        return tests[0]
    return lambda row, cluster, now: any(test(row, cluster, now) for test in tests)

"""The filter language of `/` and of every list: `state=drained & rack=R07`, `user=alice`, `gpu>0`, `!idle`.

    expression   all | all ...
    all          one & one ..., and words next to each other mean the same: all of them
    one          !one, (expression), field OP value, field in (value, ...), a word, "some text", a node set
    OP           = != ~ !~ < > <= >=        ~ is "contains"; * and ? stand for anything in a word

A word is looked for in everything the list shows; one that is a node set (`gpu[0001-0010]`) finds those nodes, or
the jobs on them. Unknown never matches a comparison of numbers. A text that is missing is "", so `reason=""` works.
There are no regular expressions on purpose: nothing that is typed can hang the console.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import Any

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Cluster
from collectors.nodeset import expand, is_nodeset
from console.errors import FilterError
from console.filter_fields import FIELDS, NUMBERS, TEXT, Field, Kind, number
from console.filter_match import (
    COMPARE,
    Match,
    Test,
    all_of,
    any_of,
    holds_test,
    matcher,
    name_test,
    negation,
    number_test,
    text_test,
)

LENGTH_CAP = 500
DEPTH_CAP = 30
_NODES_CAP = 100_000

_BLANK = re.compile(r"\s*")
_OPERATOR = re.compile(r"!=|!~|<=|>=|==|=|~|<|>")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# Blanks and commas inside the brackets of a node set belong to the word.
_WORD = re.compile(r"(?:\[[0-9,/\- ]*\]|[^\s()|&!=~<>\"'])(?:\[[0-9,/\- ]*\]|[^\s()|&!=~<>])*")
_ITEM = re.compile(r"(?:\[[0-9,/\- ]*\]|[^\s()|&!=~<>\"',])(?:\[[0-9,/\- ]*\]|[^\s()|&!=~<>,])*")
_IN = re.compile(r"in\s*\(", re.IGNORECASE)
_COMMAS = re.compile(r",(?![^\[]*\])")


class Filter(Struct, frozen=True, eq=False):
    """A compiled filter; an empty text matches every row."""

    text: str
    kind: str
    test: Test

    def matches(self, row: Any, cluster: Cluster, now: float | None = None) -> bool:
        """Whether a row of that kind, of that Cluster, passes. Ages are counted to `now`, or to the newest reading."""
        return self.test(row, cluster, cluster.at if now is None else now)


def compile_filter(text: str, kind: Kind) -> Filter:
    """Compile a filter for the rows of a list: "node", "job", "partition" or "reservation". Raises FilterError."""
    if len(text) > LENGTH_CAP:
        raise FilterError(f"this filter is too long (at most {LENGTH_CAP} characters)", LENGTH_CAP)
    return _compile(text, kind)


@lru_cache(maxsize=64)
def _compile(text: str, kind: Kind) -> Filter:
    return Filter(text, kind, _Parser(text, kind).parse())


class _Token(Struct, frozen=True):
    text: str
    at: int
    quoted: bool = False


class _Parser:
    """Recursive descent over the text; it makes the tests as it goes, so a row costs only calls."""

    def __init__(self, text: str, kind: Kind) -> None:
        self.text = text
        self.kind = kind
        self.at = 0
        self.depth = 0
        self.fields = {name: field for field in FIELDS[kind] for name in (field.name, *field.aliases)}

    def parse(self) -> Test:
        if self._blank():
            return lambda _row, _cluster, _now: True
        test = self._any()
        if not self._blank():
            if self._next() == ")":
                raise FilterError("this closing parenthesis has no opening one", self.at)
            raise self._confused()
        return test

    def _any(self) -> Test:
        tests = [self._all()]
        while self._next() == "|":
            start = self.at
            self._skip("|")
            tests.append(self._all(after=("|", start)))
        return any_of(tests)

    def _all(self, after: tuple[str, int] | None = None) -> Test:
        tests = [self._one(after)]
        while True:
            char = self._next()
            if char == "&":
                start = self.at
                self._skip("&")
                tests.append(self._one(("&", start)))
            elif char in {"", "|", ")"}:
                return all_of(tests)
            else:
                tests.append(self._one(None))

    def _one(self, after: tuple[str, int] | None) -> Test:
        negate = False
        while self._next() == "!" and not _OPERATOR.match(self.text, self.at):
            after = ("!", self.at)
            self.at += 1
            negate = not negate
        char = self._next()
        if char in {"", "|", "&", ")"}:
            raise self._missing(after)
        test = self._group() if char == "(" else self._word()
        return negation(test) if negate else test

    def _group(self) -> Test:
        start = self.at
        self.depth += 1
        if self.depth > DEPTH_CAP:
            raise FilterError(f"parentheses go too deep here (at most {DEPTH_CAP})", start)
        self.at += 1
        test = self._any()
        if self._next() != ")":
            raise FilterError("this parenthesis is not closed", start)
        self.at += 1
        self.depth -= 1
        return test

    def _word(self) -> Test:
        word = self._value(_WORD)
        if word is None:
            raise self._confused()
        if word.quoted:
            return self._plain(word)
        self._blank()
        operation = _OPERATOR.match(self.text, self.at)
        if operation is not None:
            field = self._field(word)
            self.at = operation.end()
            value = self._value(_WORD)
            if value is None:
                raise FilterError(f"{word.text} {operation[0]} needs a value after it", min(self.at, len(self.text)))
            values = [value] if value.quoted else _split(value)
            return self._comparison(field, operation[0].replace("==", "="), values, value.at)
        if _IN.match(self.text, self.at):
            return self._within(word)
        return self._plain(word)

    def _within(self, word: _Token) -> Test:
        field = self._field(word)
        self.at = self.text.index("(", self.at)
        start = self.at
        values: list[_Token] = []
        while True:
            self.at += 1
            value = self._value(_ITEM)
            if value is not None:
                values.append(value)
            char = self._next()
            if char == ")" and values:
                self.at += 1
                return self._comparison(field, "=", values, start)
            if char == "":
                raise FilterError("this parenthesis is not closed", start)
            if value is None or char != ",":
                raise FilterError(f"write the values of {word.text} as in (a, b)", self.at)

    # what stands where

    def _blank(self) -> bool:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at >= len(self.text)

    def _next(self) -> str:
        return "" if self._blank() else self.text[self.at]

    def _skip(self, char: str) -> None:
        """Past `|` or `||`: who writes C is understood."""
        self.at += 2 if self.text.startswith(char * 2, self.at) else 1

    def _value(self, pattern: re.Pattern[str]) -> _Token | None:
        char = self._next()
        start = self.at
        if char in {'"', "'"}:
            quoted = _QUOTED.match(self.text, start)
            if quoted is None:
                raise FilterError("this quote is not closed", start)
            self.at = quoted.end()
            return _Token(quoted[0][1:-1], start, quoted=True)
        match = pattern.match(self.text, start)
        if match is None:
            return None
        self.at = match.end()
        return _Token(match[0], start)

    def _missing(self, after: tuple[str, int] | None) -> FilterError:
        if after is not None:
            return FilterError(f"{after[0]} needs something after it", after[1])
        if self._next() == ")":
            return FilterError("there is nothing before this closing parenthesis", self.at)
        if self._next():
            return FilterError(f"{self._next()} needs something before it", self.at)
        return FilterError("something is missing at the end", self.at)

    def _confused(self) -> FilterError:
        what = clean(self.text[self.at : self.at + 1])
        return FilterError(f"{what} makes no sense here; put quotes around a text that holds it", self.at)

    # what it means

    def _field(self, word: _Token) -> Field:
        name = word.text.lower()
        field = self.fields.get(name)
        if field is None:
            allowed = [field.name for field in FIELDS[self.kind]]
            allowed.sort(key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())
            raise FilterError(
                f"there is no field {clean(word.text)!r} here, only {', '.join(allowed)}; "
                "put quotes around it to look for the text", word.at,
            )  # fmt: skip
        return field

    def _comparison(self, field: Field, sign: str, values: list[_Token], at: int) -> Test:
        if field.shape in NUMBERS or sign in COMPARE:
            return self._numbers(field, sign, values, at)
        negate = sign.startswith("!")
        if field.shape in {"names", "holds"} and sign.endswith("="):
            test = self._nodes(field, values)
        else:
            contains = sign.endswith("~")
            test = text_test(field.read, [_match(field, value, contains) for value in values], field.shape == "words")
        return negation(test) if negate else test

    def _numbers(self, field: Field, sign: str, values: list[_Token], at: int) -> Test:
        shape, read = (field.shape, field.read) if field.shape in NUMBERS else ("number", field.count)
        if read is None:
            raise FilterError(f"{field.name} is no number: use = != ~ !~ or in (a, b)", at)
        if sign.endswith("~"):
            raise FilterError(f"{field.name} is a number: use = != < > <= >= or in (a, b)", at)
        if sign in COMPARE and len(values) > 1:
            raise FilterError(f"{field.name} {sign} takes one number", at)
        wanted = []
        for value in values:
            try:
                wanted.append(number(shape, value.text))
            except ValueError as error:
                raise FilterError(f"{field.name}: {clean(value.text)!r} {error}", value.at) from None
        return number_test(read, sign, wanted)

    def _nodes(self, field: Field, values: list[_Token]) -> Test:
        names: set[str] = set()
        matches: list[Match] = []
        for value in values:
            if not value.quoted and is_nodeset(value.text):
                names |= _nodes_of(value)
            elif not value.quoted and ("*" in value.text or "?" in value.text):
                matches.append(matcher(value.text, contains=False, literal=False))
            else:
                names.add(value.text.lower())
        if field.shape == "holds":
            return holds_test(frozenset(names), matches)
        named = name_test(frozenset(names))
        return any_of([named, text_test(field.read, matches, several=False)]) if matches else named

    def _plain(self, word: _Token) -> Test:
        text_of, match = TEXT[self.kind], matcher(word.text, contains=True, literal=word.quoted)
        found: Test = lambda row, cluster, _now: match(text_of(row, cluster).lower())  # noqa: E731 - it takes part in a list
        if word.quoted or not word.text:
            return found
        names = frozenset(_nodes_of(word) if is_nodeset(word.text) else {word.text.lower()})
        return any_of([found, name_test(names) if self.kind == "node" else holds_test(names, [])])


def _match(field: Field, value: _Token, contains: bool) -> Match:
    text = value.text if contains else field.spellings.get(value.text.lower(), value.text)
    return matcher(text, contains, value.quoted)


def _nodes_of(value: _Token) -> set[str]:
    try:
        return set(expand(value.text.lower(), _NODES_CAP))
    except ValueError as error:
        raise FilterError(clean(str(error)), value.at) from None


def _split(value: _Token) -> list[_Token]:
    """`idle,mixed` is two values, `gpu[1,3]` one; a value of commas only is what it is."""
    parts = [part for part in _COMMAS.split(value.text) if part]
    return [_Token(part, value.at) for part in parts] or [value]

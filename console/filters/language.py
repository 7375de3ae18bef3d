"""The filter language of `/` and of every list: `state=drained & rack=R07`, `user=alice`, `gpu>0`, `!idle`.

    expression   all | all ...
    all          one & one ..., and words next to each other mean the same: all of them
    one          !one, (expression), field OP value, field in (value, ...), a word, "some text", a node set
    OP           = != ~ !~ < > <= >=        ~ is "contains"; * and ? are wildcards in a word

A word is looked for in everything the list shows; one that is a node set (`gpu[0001-0010]`) finds those nodes, or
the jobs on them; `@rack:R[07-10]` and `@loop:cdu-2` are short for `rack=` and `loop=`. Unknown never matches a
comparison of numbers. A text that is missing is "", so `reason=""` works.
There are intentionally no regular expressions: no input can hang the console.

The same language names the targets of actions (`console.actions.targets`); `split_filter` finds where it ends and a
reason begins.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Any

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Cluster
from collectors.nodeset import expand, is_nodeset, natural_key
from console.fields.field import Field, Kind
from console.fields.filter_fields import FIELDS, SEARCH_TEXT
from console.fields.shapes import DISPLAY_UNITS, NUMERIC_SHAPES, parse_number
from console.runtime.errors import FilterError

from .filter_match import (
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
#: Most values that are listed in a message.
_MAX_LISTED = 12
#: With more values than this, no similar spelling is searched.
_MAX_COMPARED = 2000

_BLANK = re.compile(r"\s*")
_OPERATOR = re.compile(r"!=|!~|<=|>=|==|=|~|<|>")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
# Blanks and commas inside the brackets of a node set belong to the word.
_WORD = re.compile(r"(?:\[[0-9,/\- ]*\]|[^\s()|&!=~<>\"'])(?:\[[0-9,/\- ]*\]|[^\s()|&!=~<>])*")
_ITEM = re.compile(r"(?:\[[0-9,/\- ]*\]|[^\s()|&!=~<>\"',])(?:\[[0-9,/\- ]*\]|[^\s()|&!=~<>,])*")
_IN = re.compile(r"in\s*\(", re.IGNORECASE)
_COMMAS = re.compile(r",(?![^\[]*\])")
_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{3})+[^,]*")
#: What may follow a number as the columns show it: `6.2 kW`, `64 °C`, `1h 52m`.
_UNIT = re.compile(r"\s+([0-9]*[A-Za-z°%]+)(?=[\s&|)]|$)")
_DURATION_UNITS = "wdhms"
#: Short forms of places, and the fields that they mean.
PLACES = {"@rack:": "rack", "@loop:": "loop"}


class FilterValue(Struct, frozen=True, eq=False):
    """A value that a filter compares a field with."""

    field: Field
    text: str
    match: Match


#: A reason that begins like this was meant as a filter, whether or not the rest of it is valid.
_LOOKS_LIKE_FILTER = re.compile(r"[&|=~<>!]|@(?:rack|loop):|[A-Za-z_](?:[\w.-]*\w)?\s*(?:!=|!~|<=|>=|==|=|~|<|>)")


class Filter(Struct, frozen=True, eq=False):
    """A compiled filter; an empty text matches every row."""

    text: str
    kind: str
    test: Test
    values: tuple[FilterValue, ...] = ()
    """The text values that fields are compared with, without numbers."""
    fields: frozenset[str] = frozenset()
    """Names of the fields that it tests."""
    plain_words: bool = True
    """Whether it consists of words and texts alone: nothing is compared, joined or negated."""
    has_or: bool = False
    """Whether it has an `|`."""
    stray_comma: str = ""
    """A value with a superfluous comma, as typed."""
    places: tuple[Test, ...] = ()
    """Of a filter for jobs: a test for each node condition."""

    def matches(self, row: Any, cluster: Cluster, now: float | None = None) -> bool:
        """Whether a row of that kind and Cluster passes. Ages are measured at `now`, by default at the
        newest reading.
        """
        return self.test(row, cluster, cluster.at if now is None else now)


def compile_filter(text: str, kind: Kind) -> Filter:
    """Compile a filter for the rows of a list: "node", "job", "partition" or "reservation". Raises FilterError."""
    if len(text) > LENGTH_CAP:
        raise FilterError(f"this filter is too long (at most {LENGTH_CAP} characters)", LENGTH_CAP)
    return _compile(text, kind)


@lru_cache(maxsize=64)
def _compile(text: str, kind: Kind) -> Filter:
    return _Parser(text, kind).parse()


def begins_with_filter(text: str, kind: Kind) -> bool:
    """Whether a text begins with a filter, and not with a plain name: `rack=R07 …`, `@rack:R07 …`, `idle & …`."""
    return _Parser(text, kind).at_condition(joined=True)


def split_filter(text: str, kind: Kind) -> tuple[str, str]:
    """The filter at the start of a text, and the rest: the filter ends before the first plain word that no operator
    joins to it. `rack=R07 & state=idle bad DIMM` gives `rack=R07 & state=idle` and `bad DIMM`. Raises FilterError.
    """
    if len(text) > LENGTH_CAP:
        # Only the filter is limited in length; the rest is not part of it.
        found, rest = split_filter(text[:LENGTH_CAP], kind)
        return (found, text[len(found) :].strip()) if rest else (text, "")
    parser = _Parser(text, kind, alone=False)
    parser.parse()
    return text[: parser.position].strip(), text[parser.position :].strip()


def filter_in_reason(text: str) -> str:
    """Why a text is refused as a reason because it is written like a filter; "" where it is not."""
    text = text.strip()
    head = _LOOKS_LIKE_FILTER.match(text)
    if head is None and not any(_is_condition(text, kind) for kind in ("node", "job")):
        return ""
    short = clean(text if len(text) <= 60 else f"{text[:59]}…")
    condition = short.lstrip("&| ")
    return (
        f"{short!r} reads as a filter and was not taken for the reason: to choose targets by it, put it before the "
        f"reason, joined by & (TARGETS & {condition}); a reason is plain words"
    )


def _is_condition(text: str, kind: Kind) -> bool:
    try:
        return not compile_filter(text, kind).plain_words
    except FilterError:
        return False


class _Token(Struct, frozen=True):
    text: str
    at: int
    quoted: bool = False


class _Parser:
    """Recursive descent over the text. It builds the tests as it parses, so a row costs only calls."""

    def __init__(self, text: str, kind: Kind, alone: bool = True) -> None:
        """Unless it is `alone`, the filter ends before the first plain word that no operator joins to it."""
        self.text = text
        self.kind: Kind = kind
        self.position = 0
        self.depth = 0
        self.whole_text = alone
        self.ended = False
        self.fields = {name: field for field in FIELDS[kind] for name in (field.name, *field.aliases)}
        self.values: list[FilterValue] = []
        self.used_fields: set[str] = set()
        self.plain_words = True
        self.has_or = False
        self.stray_comma = ""
        self.places: list[Test] = []

    def parse(self) -> Filter:
        test: Test = lambda _row, _cluster, _now: True  # noqa: E731
        if not self._skip_blanks():
            test = self._parse_any()
            if not self.ended and not self._skip_blanks():
                if self._next_char() == ")":
                    raise FilterError("this closing parenthesis has no opening one", self.position)
                raise self._unexpected()
        return Filter(
            self.text, self.kind, test, tuple(self.values), frozenset(self.used_fields), self.plain_words,
            self.has_or, self.stray_comma, tuple(self.places),
        )  # fmt: skip

    def at_condition(self, joined: bool = False) -> bool:
        """Whether the text at this position can only be part of a filter; with `joined` also a word followed by `&` or
        `|`.
        """
        start = self.position
        try:
            if self._next_char() in {'"', "'", ""}:
                return False
            word = _WORD.match(self.text, self.position)
            if word is None or word[0].lower().startswith(tuple(PLACES)):
                return True
            if word[0].startswith("@"):
                return False
            self.position = word.end()
            after = self._next_char()
            operator = _OPERATOR.match(self.text, self.position) or _IN.match(self.text, self.position)
            return operator is not None or (joined and after in {"&", "|"})
        finally:
            self.position = start

    def _parse_any(self) -> Test:
        tests = [self._parse_all()]
        while not self.ended and self._next_char() == "|":
            self.plain_words, self.has_or = False, True
            start = self.position
            self._skip_operator("|")
            tests.append(self._parse_all(after=("|", start)))
        return any_of(tests)

    def _parse_all(self, after: tuple[str, int] | None = None) -> Test:
        tests = [self._parse_one(after)]
        while True:
            char = self._next_char()
            if char == "&":
                self.plain_words = False
                start = self.position
                self._skip_operator("&")
                tests.append(self._parse_one(("&", start)))
            elif char in {"", "|", ")"}:
                return all_of(tests)
            elif not self.whole_text and not self.depth and not self.at_condition():
                self.ended = True
                return all_of(tests)
            else:
                tests.append(self._parse_one(None))

    def _parse_one(self, after: tuple[str, int] | None) -> Test:
        negate = False
        while self._next_char() == "!" and not _OPERATOR.match(self.text, self.position):
            after = ("!", self.position)
            self.position += 1
            self.plain_words = False
            negate = not negate
        char = self._next_char()
        if char in {"", "|", "&", ")"}:
            raise self._operand_missing(after)
        test = self._parse_group() if char == "(" else self._parse_word()
        return negation(test) if negate else test

    def _parse_group(self) -> Test:
        start = self.position
        self.depth += 1
        if self.depth > DEPTH_CAP:
            raise FilterError(f"parentheses go too deep here (at most {DEPTH_CAP})", start)
        self.position += 1
        test = self._parse_any()
        if self._next_char() != ")":
            raise FilterError("this parenthesis is not closed", start)
        self.position += 1
        self.depth -= 1
        return test

    def _parse_word(self) -> Test:
        word = self._read_token(_WORD)
        if word is None:
            raise self._unexpected()
        if word.quoted:
            return self._word_test(word)
        self._skip_blanks()
        operation = _OPERATOR.match(self.text, self.position)
        if operation is not None:
            field = self._find_field(word)
            self.position = operation.end()
            value = self._read_token(_WORD)
            if value is None:
                raise FilterError(
                    f"{word.text} {operation[0]} needs a value after it", min(self.position, len(self.text))
                )
            if field.shape in NUMERIC_SHAPES or operation[0] in COMPARE:
                value = self._with_unit(field, value)
            values = [value] if value.quoted else self._split_values(value, operation[0])
            return self._comparison(field, operation[0].replace("==", "="), values, value.at)
        if _IN.match(self.text, self.position):
            return self._parse_in_list(word)
        return self._word_test(word)

    def _parse_in_list(self, word: _Token) -> Test:
        field = self._find_field(word)
        self.position = self.text.index("(", self.position)
        start = self.position
        values: list[_Token] = []
        while True:
            self.position += 1
            value = self._read_token(_ITEM)
            if value is not None:
                values.append(value)
            char = self._next_char()
            if char == ")" and values:
                self.position += 1
                return self._comparison(field, "=", values, start)
            if char == "":
                raise FilterError("this parenthesis is not closed", start)
            if value is None or char != ",":
                raise FilterError(f"write the values of {word.text} as in (a, b)", self.position)

    # Syntax.

    def _skip_blanks(self) -> bool:
        match = _BLANK.match(self.text, self.position)
        self.position = match.end() if match else self.position
        return self.position >= len(self.text)

    def _next_char(self) -> str:
        return "" if self._skip_blanks() else self.text[self.position]

    def _skip_operator(self, char: str) -> None:
        """Skip `|` or `||`: the C form is accepted too."""
        self.position += 2 if self.text.startswith(char * 2, self.position) else 1

    def _read_token(self, pattern: re.Pattern[str]) -> _Token | None:
        char = self._next_char()
        start = self.position
        if char in {'"', "'"}:
            quoted = _QUOTED.match(self.text, start)
            if quoted is None:
                raise FilterError("this quote is not closed", start)
            self.position = quoted.end()
            return _Token(quoted[0][1:-1], start, quoted=True)
        match = pattern.match(self.text, start)
        if match is None:
            return None
        self.position = match.end()
        return _Token(match[0], start)

    def _operand_missing(self, after: tuple[str, int] | None) -> FilterError:
        if after is not None:
            return FilterError(f"{after[0]} needs something after it", after[1])
        if self._next_char() == ")":
            return FilterError("there is nothing before this closing parenthesis", self.position)
        if self._next_char():
            return FilterError(f"{self._next_char()} needs something before it", self.position)
        return FilterError("something is missing at the end", self.position)

    def _unexpected(self) -> FilterError:
        what = clean(self.text[self.position : self.position + 1])
        return FilterError(f"{what} makes no sense here; put quotes around a text that holds it", self.position)

    # Meaning.

    def _find_field(self, word: _Token) -> Field:
        name = word.text.lower()
        self.plain_words = False
        field = self.fields.get(name)
        if field is not None:
            self.used_fields.add(field.name)
        else:
            titled = next((one for one in FIELDS[self.kind] if name in one.titles), None)
            if titled is not None:
                raise FilterError(
                    f"{clean(word.text)} is the title of a column, in a filter its name is {titled.name}: "
                    f"{titled.name}{'>' if titled.shape in NUMERIC_SHAPES else '='}…", word.at,
                )  # fmt: skip
            allowed = [field.name for field in FIELDS[self.kind]]
            allowed.sort(key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())
            raise FilterError(
                f"there is no field {clean(word.text)!r} here, only {', '.join(allowed)}; "
                "put quotes around it to look for the text", word.at,
            )  # fmt: skip
        return field

    def _comparison(self, field: Field, sign: str, values: list[_Token], at: int) -> Test:
        if field.shape in NUMERIC_SHAPES or sign in COMPARE:
            return self._number_test(field, sign, values, at)
        negate = sign.startswith("!")
        if field.name in PLACES.values():
            values = [one for value in values for one in _expand_places(value)]
        if self.kind == "job" and field.name in {"node", *PLACES.values()}:
            self.places.append(self._place_test(field, sign, values, at))
        if field.shape in {"names", "holds"} and sign.endswith("="):
            test = self._node_test(field, values)
        else:
            contains = sign.endswith("~")
            matches = [_match(field, value, contains) for value in values]
            self.values += [FilterValue(field, value.text, match) for value, match in zip(values, matches, strict=True)]
            test = text_test(field, matches)
        return negation(test) if negate else test

    @staticmethod
    def _place_test(field: Field, sign: str, values: list[_Token], at: int) -> Test:
        """A test of the nodes that a filter for jobs names; all nodes where the condition is negative."""
        if sign != "=":
            return lambda _row, _cluster, _now: True
        of_nodes = _Parser("", "node")
        return of_nodes._comparison(of_nodes.fields[field.name], "=", values, at)

    def _with_unit(self, field: Field, value: _Token) -> _Token:
        """A number with the unit after it, as the column shows it: `6.2 kW`, `1h 52m`."""
        units = DISPLAY_UNITS.get(field.shape, frozenset())
        text = value.text
        while not value.quoted and (found := _UNIT.match(self.text, self.position)):
            piece, last = found[1].lower(), text[-1:].lower()
            if piece not in units or not last.isdigit():
                # In a duration: the next smaller unit.
                smaller = field.shape == "duration" and piece[0].isdigit() and piece[-1] in units and last in units
                if not smaller or _DURATION_UNITS.find(piece[-1]) <= _DURATION_UNITS.find(last):
                    break
            text, self.position = text + piece, found.end()
        return _Token(text, value.at, value.quoted)

    def _split_values(self, value: _Token, sign: str) -> list[_Token]:
        """Split at commas: `idle,mixed` is two values, `gpu[1,3]` one; a value of commas only stays whole. `>7,514` is
        one number.
        """
        if sign in COMPARE and _THOUSANDS.fullmatch(value.text):
            return [value]
        every = _COMMAS.split(value.text)
        parts = [part for part in every if part]
        if len(parts) < len(every):
            self.stray_comma = value.text
        return [_Token(part, value.at) for part in parts] or [value]

    def _number_test(self, field: Field, sign: str, values: list[_Token], at: int) -> Test:
        numeric = field.shape in NUMERIC_SHAPES
        shape, read = (field.shape, field.read) if numeric else ("number", field.count)
        if read is None:
            raise FilterError(f"{field.name} is no number: use = != ~ !~ or in (a, b)", at)
        if sign.endswith("~"):
            raise FilterError(f"{field.name} is a number: use = != < > <= >= or in (a, b)", at)
        if sign in COMPARE and len(values) > 1:
            raise FilterError(f"{field.name} {sign} takes one number", at)
        wanted = []
        for value in values:
            try:
                wanted.append(parse_number(shape, value.text))
            except ValueError as error:
                raise FilterError(f"{field.name}: {clean(value.text)!r} {error}", value.at) from None
        return number_test(read, field.get if numeric else None, sign, wanted)

    def _node_test(self, field: Field, values: list[_Token]) -> Test:
        names: set[str] = set()
        matches: list[Match] = []
        places: list[Test] = []
        for value in values:
            if not value.quoted and is_nodeset(value.text):
                names |= _expand_token(value)
            elif not value.quoted and value.text.lower().startswith(tuple(PLACES)):
                places.append(self._word_test(value))
                continue
            elif not value.quoted and ("*" in value.text or "?" in value.text):
                matches.append(matcher(value.text, contains=False, literal=False))
            else:
                names.add(value.text.lower())
        self.values += [
            FilterValue(field, name, matcher(name, contains=False, literal=True))
            for name in sorted(names)[:_MAX_LISTED]
            if name
        ]
        if field.shape == "holds":
            return any_of([holds_test(frozenset(names), matches), *places])
        named = name_test(frozenset(names))
        return any_of([named, *([text_test(field, matches)] if matches else []), *places])

    def _word_test(self, word: _Token) -> Test:
        short = next((one for one in PLACES if word.text.lower().startswith(one)), "")
        if short and not word.quoted and PLACES[short] in self.fields:
            self.plain_words = False
            field = self.fields[PLACES[short]]
            self.used_fields.add(field.name)
            which = word.text[len(short) :]
            if not which:
                raise FilterError(f"{short} needs a name after it", word.at)
            return self._comparison(field, "=", [_Token(which, word.at)], word.at)
        text_of, match = SEARCH_TEXT[self.kind], matcher(word.text, contains=True, literal=word.quoted)
        found: Test = lambda row, cluster, _now: match(text_of(row, cluster).lower())  # noqa: E731 - it takes part in a list
        if word.quoted or not word.text:
            return found
        names = frozenset(_expand_token(word) if is_nodeset(word.text) else {word.text.lower()})
        if self.kind == "job":
            self.places.append(name_test(names))
        return any_of([found, name_test(names) if self.kind == "node" else holds_test(names, [])])


def _match(field: Field, value: _Token, contains: bool) -> Match:
    text = value.text if contains else field.spellings.get(value.text.lower(), value.text)
    return matcher(text, contains, value.quoted)


def _expand_token(value: _Token) -> set[str]:
    try:
        return set(expand(value.text.lower(), _NODES_CAP))
    except ValueError as error:
        raise FilterError(clean(str(error)), value.at) from None


def _expand_places(value: _Token) -> list[_Token]:
    """`R[07-10]` expanded to the racks that it names."""
    if value.quoted or not is_nodeset(value.text):
        return [value]
    return [_Token(name, value.at) for name in sorted(_expand_token(value))]


def unread_fields(found: Filter, cluster: Cluster) -> list[str]:
    """The fields of a filter that no source has read: conditions on them are neither true nor false."""
    return [
        f"{field.name} is not known of any {found.kind}: it was not read"
        for field in FIELDS[found.kind]
        # Of these, slurmd's version comes from Slurm itself.
        if field.name in found.fields and field.facts not in {"", "checkups"} and field.facts not in cluster.known
    ]


def unknown_values(found: Filter, cluster: Cluster) -> list[str]:
    """Messages for values that no row has and that are not otherwise valid, each with the values that exist."""
    told = [_unknown_value(found.kind, one, cluster) for one in found.values]
    return list(dict.fromkeys(one for one in told if one))


def _unknown_value(kind: str, asked: FilterValue, cluster: Cluster) -> str:
    field, names = asked.field, asked.field.shape in {"names", "holds"}
    if not asked.text or f"{kind}s" not in cluster.known or (field.facts or "nodes") not in cluster.known | {"nodes"}:
        return ""
    if names:
        if "nodes" not in cluster.known or asked.text in cluster.nodes:
            return ""
        values = {name.lower(): name for name in cluster.nodes}
        what = "node"
    elif field.listed:
        if any(asked.match(one) for one in field.known):
            return ""
        values, what = {}, field.name
        rows: Iterable[Any] = (cluster.nodes if kind == "node" else cluster.jobs).values()
        for row in rows:
            for one in _row_values(field, row, cluster):
                if one.lower() not in values:
                    if asked.match(one.lower()):
                        return ""
                    values[one.lower()] = one.lower() if field.name in {"state", "base"} else one
    else:
        return ""
    if any(asked.match(one) for one in values):
        return ""
    low = asked.text.lower()
    likely = [*field.known, *(values if len(values) <= _MAX_COMPARED else ())]
    near = difflib.get_close_matches(low, likely, 1, 0.6)
    guess = f": did you mean {values.get(near[0], near[0])}?" if near else ";"
    # With many values the first ones suffice, and are quick.
    there = sorted(islice(values.values(), _MAX_COMPARED), key=natural_key)
    more = f" and {len(values) - _MAX_LISTED:,} more" if len(values) > _MAX_LISTED else ""
    return f"no {what} is called {clean(asked.text)}{guess} there are {', '.join(there[:_MAX_LISTED]) or 'none'}{more}"


def _row_values(field: Field, row: Any, cluster: Cluster) -> Iterable[str]:
    value = field.read(row, cluster, cluster.at)
    return [value] if isinstance(value, str) and value else [one for one in value or () if one]

"""Node sets: folding names to `gpu[0017-0020]` and back, and natural sorting.

ClusterShell does the work, without its group resolver: a group upcall runs a shell, and an unknown `@x` silently gives
an empty set. It is imported on first use (18 ms). A set's size is computed before it is handed over, because
`gpu[0-3000000]` blocks for 1.3 s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

#: Longest text that `expand` accepts: 12,000 names without a range are 120 KB.
TEXT_CAP = 1 << 20
_PLAIN = re.compile(r"[A-Za-z0-9_.:-]+")
_WORD = re.compile(r"(?:[A-Za-z0-9_.:-]|\[[0-9,/-]*\])+")
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18})(?:/([0-9]{1,6}))?)?")
_INSIDE = re.compile(r"\[([^\]]*)\]")
_DIGITS = re.compile(r"([0-9]{1,18})")
_ONE_RANGE = re.compile(r"([A-Za-z0-9_.:-]*[A-Za-z_.:-])\[([0-9]{1,18})-([0-9]{1,18})\]")
_LAST_DIGITS = re.compile(r"(.*?)([0-9]{1,18})([^0-9]*)", re.DOTALL)
_FORBIDDEN = {"@": "groups (@)", "*": "wildcards (*)", "!": "exclusion (!)", "&": "intersection (&)", "^": "^"}
_MANY = 300
"""Names that ClusterShell folds along two numbers in 10 ms."""
_CACHED_NAMES = 1024
_ONE_WORD = 120_000
"""Characters of one argument: Linux allows 128 KiB (MAX_ARG_STRLEN)."""
_CACHED_TEXT = 256


def expand(text: str, cap: int = 100_000) -> tuple[str, ...]:
    """The names in a node set, in natural order, without duplicates; commas and blanks separate. Empty for "".

    Raises ValueError, with a message for people, if it is no node set or holds more than `cap` names. Groups and set
    operators are refused: their meaning depends on the machine they are typed on.
    """
    if _PLAIN.fullmatch(text):
        return (text,)
    simple = _one_range(text, cap)
    if simple is not None:
        return simple
    if len(text) <= _CACHED_TEXT:
        words, size = _measure(text)
        if size <= min(cap, _CACHED_NAMES):
            return _expand_small(words)
    else:
        words, size = _measure.__wrapped__(text)
    if size > cap:
        raise ValueError(f"{size:,} nodes are too many (at most {cap:,})")
    return _expand(words)


def fold(names: Iterable[str]) -> str:
    """The names folded to a node set: `gpu[0017-0020],login1`. Never raises.

    ClusterShell folds along two numbers, as many ranges as Slurm reads in a name. The cost grows with the square (3,000
    names: 1.5 s), so larger sets and deeper names are folded along their last number only; so are names with one
    number: 100 of them in 0.07 ms instead of 0.75.
    """
    unique = list(dict.fromkeys(names))
    if len(unique) < 2:
        return "".join(unique)
    plain = [name for name in unique if _PLAIN.fullmatch(name)]
    odd = sorted(set(unique).difference(plain)) if len(plain) < len(unique) else []
    if not plain:
        return ",".join(odd)
    if len(plain) <= _MANY and max(len(_DIGITS.findall(name)) for name in plain) == 2:
        return ",".join([_fold_all(plain), *odd])
    return ",".join([_fold_last(plain), *odd])


def fold_for_slurm(names: Iterable[str]) -> str:
    """As `fold`, in a form that every Slurm version reads: before 23.11 it refuses text after a range (`gpu[1-2].site`,
    `r[1-2]n1`), so such names are written out. If that exceeds one argument they stay folded."""
    text = fold(names)
    if "[" not in text:
        return text
    words = (word if word.endswith("]") or "[" not in word else ",".join(_expand([word])) for word in _split(text))
    plain = ",".join(words)
    return plain if len(plain) <= _ONE_WORD else text


def is_nodeset(text: str) -> bool:
    """True if `text` is written as a set (it has a range or a comma) and could be expanded, whatever its size."""
    if "[" not in text and "," not in text:
        return False
    try:
        return _measure.__wrapped__(text)[1] > 0
    except ValueError:
        return False


@lru_cache(maxsize=32_768)
def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Natural sort key: gpu2 before gpu10; names that compare alike (gpu1, gpu01) keep a fixed order."""
    # Strings and numbers alternate in every split, so keys are comparable; digit runs are cut at 18 so that int stays
    # cheap.
    return tuple(int(part) if i % 2 else part for i, part in enumerate(_DIGITS.split(name))), name


@lru_cache(maxsize=4096)
def _measure(text: str) -> tuple[tuple[str, ...], int]:
    """The words of a node set, and the number of names in it, without expanding it. Raises ValueError."""
    if len(text) > TEXT_CAP:
        raise ValueError(f"a node set of {len(text):,} characters is too long")
    for char, what in _FORBIDDEN.items():
        if char in text:
            raise ValueError(f"{what} cannot be used in a node set; write the names, like gpu[0001-0004]")
    if text.count("[") != text.count("]"):
        raise ValueError(f"a bracket is missing in {_short(text)}")
    if "][" in text:
        raise ValueError(f"two ranges need something between them in {_short(text)}")
    words = _split(text)
    size = 0
    for word in words:
        if not _WORD.fullmatch(word):
            raise ValueError(f"{_short(word)} is not a node name or a set like gpu[0001-0004]")
        count = 1
        for inside in _INSIDE.findall(word):
            count *= sum(_count(piece) for piece in inside.split(","))
        size += count
    return tuple(_INSIDE.sub(_even, word) for word in words), size


def _same_padding(first: str, last: str) -> bool:
    """Whether Slurm could have written such a range: `09-11`, `9-11` and, across a change of width, `0001-12000`."""
    return len(first) == len(last) or (len(last) > len(first) and not last.startswith("0"))


def _even(inside: re.Match[str]) -> str:
    """`[0001-12000]` as `[0001-9999,10000-12000]`: ClusterShell requires the same width at both ends."""
    parts = []
    for piece in inside[1].split(","):
        first, _, last = piece.partition("-")
        if not last or len(first) == len(last) or not first.startswith("0") or first == "0":
            parts.append(piece)
            continue
        for width in range(len(first), len(last) + 1):
            low = first if width == len(first) else str(10 ** (width - 1))
            parts.append(f"{low}-{min(10**width - 1, int(last))}")
    return f"[{','.join(parts)}]"


def _split(text: str) -> list[str]:
    """Cut at commas and blanks outside brackets."""
    if "[" in text:
        text = re.sub(r"\[[^\[\]]*\]", lambda match: re.sub(r"\s+", "", match[0]).replace(",", "\0"), text)
    return [word.replace("\0", ",") for word in re.split(r"[\s,]+", text) if word]


def _count(piece: str) -> int:
    match = _RANGE.fullmatch(piece)
    if match is None:
        raise ValueError(f"{_short(piece)} is not a number or a range like 0001-0004" if piece else "a range is empty")
    first, last, step = match.groups()
    if last is None:
        return 1
    if int(last) < int(first):
        raise ValueError(f"{_short(piece)} runs backwards")
    if not _same_padding(first, last):
        raise ValueError(f"{_short(piece)}: both ends need the same number of digits")
    if step is not None and (int(step) == 0 or len(first) != len(last)):
        raise ValueError(f"{_short(piece)}: a step needs a number above 0 and two ends of the same digits")
    return (int(last) - int(first)) // int(step or 1) + 1


def _one_range(word: str, cap: int) -> tuple[str, ...] | None:
    """Fast path for `gpu[0001-0016]`, the form of nearly every job and partition: 2 us instead of 30."""
    match = _ONE_RANGE.fullmatch(word)
    if match is None:
        return None
    before, first, last = match.groups()
    if not _same_padding(first, last) or not 0 <= int(last) - int(first) < cap:
        return None
    width = len(first)
    return tuple(f"{before}{number:0{width}d}" for number in range(int(first), int(last) + 1))


@lru_cache(maxsize=16_384)
def _expand_small(words: tuple[str, ...]) -> tuple[str, ...]:
    return _expand(words)


def _expand(words: Iterable[str]) -> tuple[str, ...]:
    """Word by word: ClusterShell's union of names with two and three numbers grows with the square."""
    names: dict[str, None] = {}
    for word in words:
        if "[" not in word:
            names[word] = None
        else:
            names.update(dict.fromkeys(_one_range(word, 1 << 30) or _expand_word(word)))
    return tuple(sorted(names, key=natural_key if len(names) <= _CACHED_NAMES else natural_key.__wrapped__))


def names_in(folded: str | None) -> tuple[str, ...]:
    """The names of a node set that Slurm wrote; empty if it wrote none, or none that can be read."""
    try:
        return tuple(expand(folded)) if folded else ()
    except ValueError:
        return ()


def _expand_word(word: str) -> list[str]:
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

    try:
        return [str(name) for name in NodeSet(word, resolver=RESOLVER_NOGROUP)]
    except (NodeSetException, AssertionError) as error:
        raise ValueError(f"{_short(word)} is not a node set: {_short(str(error))}") from None


def _fold_all(names: list[str]) -> str:
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet

    return str(NodeSet.fromlist(names, resolver=RESOLVER_NOGROUP))


def _fold_last(names: list[str]) -> str:
    """Fold along the last number of each name only: `r1n[01-18],r2n[01-18]`. 12,000 names of a machine in 10 ms, where
    ClusterShell takes 150."""
    groups: dict[tuple[str, str], list[str]] = {}
    bare = []
    for name in names:
        before = name.rstrip("0123456789")
        number, after = name[len(before) :], ""
        if not 0 < len(number) <= 18:
            match = _LAST_DIGITS.fullmatch(name)
            if match is None:
                bare.append(name)
                continue
            before, number, after = match.groups()
        groups.setdefault((before, after), []).append(number)
    folded = [*bare, *(f"{before}{_ranges(numbers)}{after}" for (before, after), numbers in groups.items())]
    return ",".join(sorted(folded, key=natural_key.__wrapped__))


def _ranges(numbers: list[str]) -> str:
    """The numbers as ClusterShell writes them in a name: `[0001-0003,0007,10000]`."""
    if len(numbers) == 1:
        return numbers[0]
    found: list[list[str]] = []
    width, value, padded = 0, -2, False
    for text in sorted(sorted(numbers), key=len):
        this = int(text)
        # A number of another width continues a range only without padding: 9 and 10, not 99 and 0100, nor 01-99 and
        # 100.
        if this == value + 1 and (len(text) == width or not (padded or text[0] == "0")):
            found[-1][1] = text
        else:
            found.append([text, text])
            padded = len(text) > 1 and text[0] == "0"
        width, value = len(text), this
    return "[" + ",".join(first if first == last else f"{first}-{last}" for first, last in found) + "]"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def runs_of(numbers: Iterable[int]) -> list[list[int]]:
    """Ascending numbers as first and last of each run: 0, 1, 2, 7 gives 0 to 2 and 7 to 7."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found

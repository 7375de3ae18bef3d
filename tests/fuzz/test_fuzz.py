"""Every target for a moment: over its kept corpus, over what grows from it, and with atheris where there is one."""

from __future__ import annotations

import random
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.fuzz import seeds
from tests.fuzz.targets import TARGETS
from tests.hostile.corpus import CORPUS

ROUNDS = 1500
PIECES = [text.encode("utf-8", "surrogateescape")[:200] for text in CORPUS.values()]
PIECES += [
    b"\x00",
    b"\xff",
    b"\n",
    b"=",
    b"|",
    b'"',
    b"{",
    b"[",
    b"@F\n",
    b"\xc2\x9b",
    b"\xed\xa0\x80",
    b"-1",
    b"1e999",
]


def bent(one: bytes, other: bytes, luck: random.Random) -> bytes:
    """An input bent in a few places: cut, doubled, swapped with another's, or with something hostile put in."""
    for _ in range(luck.randrange(1, 5)):
        at, upto = sorted((luck.randrange(len(one) + 1), luck.randrange(len(one) + 1)))
        middle = luck.choice((b"", one[at:upto] * 2, luck.choice(PIECES), other[at:upto], bytes([luck.randrange(256)])))
        one = one[:at] + middle + one[at if luck.random() < 0.5 else upto :]
    return one[:20_000]


@pytest.mark.parametrize("name", TARGETS)
def test_bent_answers_break_nothing(name: str) -> None:
    target, kept, luck = TARGETS[name], seeds(name), random.Random(name)
    for raw in (*kept, *PIECES, b""):
        target(raw)
    for _ in range(ROUNDS):
        raw = bent(luck.choice(kept), luck.choice(kept), luck)
        try:
            target(raw)
        except Exception as error:
            raise AssertionError(f"{name} breaks on {raw!r}") from error


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this Python here")
def test_atheris_breaks_nothing() -> None:
    words = [sys.executable, "-m", "tests.fuzz", "--runs", "2000", "--seed", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": well") == len(TARGETS)

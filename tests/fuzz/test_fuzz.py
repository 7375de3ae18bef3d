"""Every target briefly: over its kept corpus, over mutations of it, and with atheris if it is installed."""

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


def mutated(one: bytes, other: bytes, rng: random.Random) -> bytes:
    """Mutate an input in a few places: cut, duplicated, spliced with another, or with hostile text inserted."""
    for _ in range(rng.randrange(1, 5)):
        at, upto = sorted((rng.randrange(len(one) + 1), rng.randrange(len(one) + 1)))
        middle = rng.choice((b"", one[at:upto] * 2, rng.choice(PIECES), other[at:upto], bytes([rng.randrange(256)])))
        one = one[:at] + middle + one[at if rng.random() < 0.5 else upto :]
    return one[:20_000]


@pytest.mark.parametrize("name", TARGETS)
def test_bent_answers_break_nothing(name: str) -> None:
    target, kept, rng = TARGETS[name], seeds(name), random.Random(name)
    for raw in (*kept, *PIECES, b""):
        target(raw)
    for _ in range(ROUNDS):
        raw = mutated(rng.choice(kept), rng.choice(kept), rng)
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

"""Mutation tests of the code that decides and acts: does a test fail when a rule is broken on purpose?

Each `*.toml` here is a part of the table: a file, the tests to run for it, and its mutants. A mutant is a piece of text
that occurs once in the file, its replacement, and the rule that this breaks. `equivalent` says why a mutant changes
nothing that a test could see, `survives` why no test kills one that does. `python -m tests.mutants` (`make mutants`)
applies them one by one to a copy of the tree and runs the tests; tests/mutants/test_table.py checks that each mutant
still applies and compiles.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.support.paths import ROOT

HERE = Path(__file__).parent


class Mutant(Struct, frozen=True, kw_only=True):
    """One mutation of one file."""

    path: str
    """The file, relative to the root of the project."""
    old: str
    new: str
    breaks: str
    """The rule that it breaks, in one line."""
    tests: tuple[str, ...]
    """Test files, or single tests, that should fail."""
    equivalent: str = ""
    """Why no test could detect it: it is not counted."""
    survives: str = ""
    """Why no test detects it: it is counted as surviving."""

    def text(self, root: Path = ROOT) -> str:
        """The file with the mutation. Raises ValueError unless the old text occurs exactly once."""
        source = (root / self.path).read_text(encoding="utf-8")
        if (count := source.count(self.old)) != 1:
            raise ValueError(f"{self.path}: {count} times instead of once: {self.old!r}")
        return source.replace(self.old, self.new)


@cache
def mutants() -> tuple[Mutant, ...]:
    """The whole table, in order."""
    return tuple(one for part in sorted(HERE.glob("*.toml")) for one in _part(part))


def _part(part: Path) -> list[Mutant]:
    table: dict[str, Any] = tomllib.loads(part.read_text(encoding="utf-8"))
    return [
        Mutant(path=file["path"], **{"tests": file["tests"], **row}) for file in table["file"] for row in file["mutant"]
    ]

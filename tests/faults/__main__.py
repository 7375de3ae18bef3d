"""`python -m tests.faults`: write the table of docs/reliability.md from the tests that are marked with `fault`.

The tests' source is read, none of them is imported: a row is there as soon as the mark is, on every machine.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msgspec import Struct

from tests.faults import AREAS, SECTIONS
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: written by python -m tests.faults -->", "<!-- end of the faults -->"


class Row(Struct, frozen=True):
    """One mark: the line of the table that it makes."""

    area: str
    injected: str
    asserted: str
    case: str
    test: str
    """`tests/unit/test_x.py::test_y`."""


@cache
def rows() -> tuple[Row, ...]:
    """Every mark of every test, by area, then file and line. Raises ValueError for one that makes no row."""
    found = [row for path in sorted((ROOT / "tests").rglob("test_*.py")) for row in _rows_of(path)]
    return tuple(sorted(found, key=lambda row: AREAS.index(row.area)))


def _rows_of(path: Path) -> Iterator[Row]:
    text = path.read_text(encoding="utf-8")
    if "import fault" not in text:
        return
    where, tree = str(path.relative_to(ROOT)), ast.parse(text)
    marks = {id(node): node for node in ast.walk(tree) if _is_mark(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            for mark in (inner for one in node.decorator_list for inner in ast.walk(one) if id(inner) in marks):
                del marks[id(mark)]
                yield _row(mark, f"{where}::{node.name}")
    if marks:
        lines = ", ".join(str(node.lineno) for node in marks.values())
        raise ValueError(f"{where}:{lines}: a fault must stand above a test, or be a parameter's mark there")


def _is_mark(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "fault"


def _row(mark: ast.AST, test: str) -> Row:
    assert isinstance(mark, ast.Call)
    try:
        words = dict(zip(("area", "injected", "asserted", "case"), map(ast.literal_eval, mark.args), strict=False))
        words |= {one.arg or "": ast.literal_eval(one.value) for one in mark.keywords}
        area, injected, asserted = (words[name] for name in ("area", "injected", "asserted"))
    except (ValueError, KeyError):
        raise ValueError(f"{test}: its fault needs an area, what is injected and what is asserted, literally") from None
    if area not in AREAS:
        raise ValueError(f"{test}: no area {area!r}")
    return Row(area, injected, asserted, words.get("case", injected), test)


def table() -> str:
    """What stands between the two marks of the page."""
    every = rows()
    counts = Counter(row.area for row in every)
    parts = [f"{len(every)} faults, in {len({row.test for row in every})} tests."]
    for section, areas in SECTIONS.items():
        parts.append(f"### {section} ({sum(counts[area] for area in areas)})")
        lines = ["| into | what is injected | what is asserted | test |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {row.area} | {_cell(row.injected)} | {_cell(row.asserted)} | `{row.test.removeprefix('tests/')}` |"
            for row in every if row.area in areas
        ]  # fmt: skip
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")


def page(text: str) -> str:
    """The page with the table that there is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

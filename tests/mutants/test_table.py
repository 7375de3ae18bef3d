"""The table of mutations stays true: each still applies to its file, and what it makes is Python."""

from __future__ import annotations

import ast

import pytest

from tests.mutants import ROOT, Mutant, mutants
from tests.mutants.__main__ import _summary

TABLE = mutants()


@pytest.mark.parametrize("path", sorted({one.path for one in TABLE}))
def test_every_mutation_still_applies_and_compiles(path):
    for one in TABLE:
        if one.path == path:
            assert one.new != one.old and ast.dump(ast.parse(one.text())) != ast.dump(
                ast.parse((ROOT / path).read_text(encoding="utf-8"))
            ), f"it changes nothing: {one.breaks}"


def test_every_mutation_names_a_rule_of_its_own_and_tests_that_there_are():
    assert len(TABLE) >= 120
    assert len({(one.path, one.breaks) for one in TABLE}) == len(TABLE)
    assert len({(one.path, one.old, one.new) for one in TABLE}) == len(TABLE)
    for test in {test for one in TABLE for test in one.tests}:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8") if name else (ROOT / path).is_file(), test


def test_what_no_test_kills_is_explained_on_the_page():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for one in TABLE:
        assert not (one.equivalent and one.survives)
        if one.equivalent or one.survives:
            assert one.breaks in page, f"docs/reliability.md does not explain: {one.breaks}"


def test_a_rule_that_no_test_holds_fails_the_run(capsys):
    def mutant(**more: str) -> Mutant:
        return Mutant(path="a.py", old="x", new="y", breaks="a rule", tests=(), **more)

    assert _summary([mutant()] * 20, [True] * 19 + [False], 1.0) == 0, "95 % are enough"
    assert "no test holds this rule" in capsys.readouterr().out
    assert _summary([mutant()] * 20, [True] * 18 + [False] * 2, 1.0) == 1
    assert _summary([mutant(), mutant(equivalent="why")], [True, False], 1.0) == 0, "what is equivalent does not count"
    assert _summary([mutant(), mutant(equivalent="why")], [True, True], 1.0) == 1, "the table is wrong of it"

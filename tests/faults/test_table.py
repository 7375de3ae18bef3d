"""docs/reliability.md tells of every fault that is injected, and every fault that must be, is."""

from __future__ import annotations

import pytest

from tests import faults
from tests.faults.__main__ import END, PAGE, _rows_of, page, rows
from tests.faults.required import CASES


def test_the_page_is_what_the_tests_say():
    text = PAGE.read_text()
    assert END in text
    assert text == page(text), "write it: python -m tests.faults"


@pytest.mark.parametrize("section", CASES)
def test_every_case_has_a_test(section):
    covered = {row.case for row in rows()}
    missing = [case for case in CASES[section] if case not in covered]
    assert not missing, f"no test injects: {', '.join(missing)}"


def test_every_case_that_a_test_names_is_one():
    known = {case for cases in CASES.values() for case in cases}
    named = {row.case: row.test for row in rows() if row.case != row.injected}
    strange = {case: test for case, test in named.items() if case not in known}
    assert not strange, f"no such case in required.py: {strange}"


def test_no_two_rows_say_the_same():
    every = [(row.area, row.injected, row.test) for row in rows()]
    assert len(every) == len(set(every))


def test_an_area_is_one_of_the_table():
    with pytest.raises(ValueError, match="no area 'nowhere'"):
        faults.fault("nowhere", "x", "y")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('MARKS = [fault("clock", "x", "y")]\n', "must stand above a test"),
        ('@fault("clock", "x")\ndef test_a(): ...\n', "needs an area"),
        ('@fault("clock", WORDS, "y")\ndef test_a(): ...\n', "literally"),
        ('@fault("nowhere", "x", "y")\ndef test_a(): ...\n', "no area"),
    ],
)
def test_a_mark_that_makes_no_row_is_an_error(tmp_path, monkeypatch, text, why):
    monkeypatch.setattr("tests.faults.__main__.ROOT", tmp_path)
    file = tmp_path / "test_x.py"
    file.write_text(f"from tests.faults import fault\n{text}")
    with pytest.raises(ValueError, match=why):
        list(_rows_of(file))

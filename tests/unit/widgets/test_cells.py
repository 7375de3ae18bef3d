"""Text in cells: always exactly as wide as asked for, whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets.bars import bar, gauge, sparkline
from widgets.cells import Span, cut, cut_spans, pad, pad_spans, spans_of, spans_width, width

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf")), max_size=30) | st.text(
    "abc[]/日本🔥é東\u0301\ufe0f1❤", max_size=30
)
CELLS = st.integers(0, 24)


@given(TEXT, CELLS)
def test_cut_fits_and_tells(text: str, cells: int) -> None:
    short = cut(text, cells)
    assert width(short) <= cells
    assert short in (text, "") or short.endswith("…")
    if width(text) <= cells:
        assert short == text or not cells


@given(TEXT, CELLS, st.sampled_from(["left", "right", "center"]))
def test_pad_is_exact(text: str, cells: int, align: str) -> None:
    assert width(pad(text, cells, align)) == cells  # type: ignore[arg-type]


@given(st.lists(st.tuples(TEXT, st.sampled_from(["", "accent"])), max_size=4), CELLS)
def test_spans_are_exact(spans: list[Span], cells: int) -> None:
    assert spans_width(pad_spans(spans, cells)) == cells
    assert spans_width(pad_spans(spans, cells, "right")) == cells


def test_cutting_keeps_what_it_can() -> None:
    assert cut("gpu0412", 7) == "gpu0412"
    assert cut("gpu0412", 6) == "gpu04…"
    assert cut("東京タワー", 5) == "東京…"
    assert cut("東京タワー", 4) == "東…"
    assert cut("x", 0) == ""
    assert pad("東京", 7, "right") == "   東京"
    assert pad("ab", 5, "center") == " ab  "
    assert cut_spans([("ab", "x"), ("cd", "y")], 4) == [("ab", "x"), ("cd", "y")]
    assert cut_spans([("ab", "x"), ("cd", "y")], 3) == [("ab", "x"), ("…", "y")]
    assert cut_spans([("ab", "x"), ("cd", "y")], 2) == [("a…", "x")]


def test_a_cell_may_come_in_three_forms() -> None:
    assert list(spans_of("[/]")) == [("[/]", "")]
    assert list(spans_of(("a", "warn"))) == [("a", "warn")]
    assert list(spans_of([("a", "warn"), ("b", "")])) == [("a", "warn"), ("b", "")]
    assert list(spans_of((("a", "warn"), ("b", "")))) == [("a", "warn"), ("b", "")]


@given(st.none() | st.floats(-1, 2), st.integers(0, 30))
def test_bars_are_exact(part: float | None, cells: int) -> None:
    assert spans_width(bar(part, cells)) == cells
    assert spans_width(gauge(part, cells)) == cells


@pytest.mark.parametrize(
    ("part", "text"),
    [(0, "░░░░"), (0.5, "██░░"), (1, "████"), (0.001, "▏░░░"), (0.999, "███▉"), (None, "····"), (0.28125, "█▏░░")],
)
def test_a_trace_shows_and_only_the_whole_looks_whole(part: float | None, text: str) -> None:
    assert "".join(piece for piece, _ in bar(part, 4)) == text


def test_gauges_step_in_halves() -> None:
    assert "".join(piece for piece, _ in gauge(0.6, 5)) == "━━━──"
    assert "".join(piece for piece, _ in gauge(0.5, 5)) == "━━╸──"
    assert "".join(piece for piece, _ in gauge(0.999, 5)) == "━━━━╸"


def test_sparks() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([1, None, 1], 5) == "▁·▁"
    assert sparkline([5, 0, 10], 2) == "▁█"
    assert sparkline([50], 4, low=0, high=100) == "▄"
    assert sparkline([None], 3) == "·"
    assert sparkline([1], 0) == ""

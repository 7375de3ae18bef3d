"""A source that asks to be left alone is, for so long and within reason; a person may ask it all the same."""

from __future__ import annotations

import pytest

from collectors.clock import ManualClock
from collectors.http.http_faults import parse_retry_after
from collectors.model import Facts, SourceFault
from tests.support.held_sources import Held, Watched


@pytest.mark.parametrize(
    ("header", "words", "seconds"),
    [
        ("30", "it asks to wait 30 s", 30.0),
        (" 120 ", "it asks to wait 120 s", 120.0),
        ("", "", 0.0),
        ("-5", "", 0.0),
        ("1e9", "", 0.0),
        ("9" * 400, "", 0.0),
        ("٣٠", "", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "", 0.0),
    ],
)
def test_what_a_header_asks_for(header, words, seconds):
    assert parse_retry_after(header) == (words, seconds)


@pytest.mark.parametrize(
    ("asked_s", "waits_s"),
    [(45.0, 90.0), (900_000.0, 300.0), (0.0, 20.0)],
)
def test_a_source_that_asks_for_peace(asked_s, waits_s):
    held = Held(floor_s=10.0)
    watched = Watched(held, clock=ManualClock())
    watched.poller.start()
    try:
        held.is_asked()
        held.answers(SourceFault("backoff", "it answered 503", rest_s=asked_s))
        assert watched.publishes()[0].sources["slurm.nodes"].due_s == waits_s
        watched.poller.refresh_now()
        held.is_asked()
        held.answers(Facts(nodes={}))
        assert watched.publishes()[0].sources["slurm.nodes"].due_s == 10.0, "what was asked for once is over"
    finally:
        watched.poller.stop()

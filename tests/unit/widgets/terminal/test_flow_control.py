"""When a line is slow, and when a frame may go: pure."""

from __future__ import annotations

import pytest

from widgets.terminal.flow_control import (
    CALM_S,
    FRAME_S,
    MAX_IN_FLIGHT,
    SLOW_FRAME_S,
    SLOW_MAX_IN_FLIGHT,
    FlowState,
    LinePace,
)


def test_a_line_that_is_behind_is_slow_and_one_that_was_is_well_again_after_a_minute_only():
    flow = LinePace().next(FlowState(behind_s=0.4), 0.0)
    assert not flow.slow
    flow = flow.next(FlowState(behind_s=0.6), 1.0)
    assert flow.slow
    assert flow.next(FlowState(), 2.0).next(FlowState(), 2.0 + CALM_S - 0.1).slow
    assert not flow.next(FlowState(), 2.0).next(FlowState(), 2.0 + CALM_S).slow
    # A moment of trouble in that minute, and it begins again.
    troubled = flow.next(FlowState(), 2.0).next(FlowState(behind_s=0.4), 30.0).next(FlowState(), 31.0)
    assert troubled.next(FlowState(), 62.5).slow
    assert not troubled.next(FlowState(), 31.0 + CALM_S).slow


@pytest.mark.parametrize(
    ("stuck_s", "taken", "slow"),
    [
        (2.0, 250_000, True),  # 1 Mbit/s
        (2.0, 2_500_000, False),  # 10 Mbit/s
        (0.3, 10_000, False),  # too little to know
        (0.0, 0, False),
    ],
)
def test_a_line_that_takes_little_while_it_is_waited_for_is_slow(stuck_s, taken, slow):
    assert LinePace().next(FlowState(blocked_s=stuck_s, blocked_bytes=taken), 0.0).slow is slow


def test_no_frame_goes_while_another_waits_or_too_much_is_on_the_way():
    for slow, most in ((False, MAX_IN_FLIGHT), (True, SLOW_MAX_IN_FLIGHT)):
        flow = LinePace(slow)
        for touched in (-99.0, 10.0):
            assert flow.hold_s(FlowState(unsent_bytes=1), 10.0, -99.0, touched) is None
            assert flow.hold_s(FlowState(in_flight=most + 1), 10.0, -99.0, touched) is None
            assert flow.hold_s(FlowState(in_flight=most), 10.0, -99.0, touched) == 0.0
            assert flow.hold_s(FlowState(in_flight=None), 10.0, -99.0, touched) == 0.0


def test_what_changes_by_itself_keeps_its_distance_and_the_answer_to_a_key_does_not():
    for slow, apart in ((False, FRAME_S), (True, SLOW_FRAME_S)):
        flow = LinePace(slow)
        assert flow.hold_s(FlowState(), 10.01, 10.0, -99.0) == pytest.approx(apart - 0.01)
        assert flow.hold_s(FlowState(), 10.0 + apart, 10.0, -99.0) == pytest.approx(0.0)
        assert flow.hold_s(FlowState(), 10.01, 10.0, 10.0) == 0.0

"""A word in the corner that ends between the look whether it has and the timer for its end: a timer of less than
nothing would hold the event loop for ever (seen on a busy machine, in the matrix of keys)."""

from __future__ import annotations

from textual.widgets import _toast

from tests.faults import fault
from widgets.terminal.quiet_app import QuietApp
from widgets.textual_ext.toasts import MIN_TIMER_S, Toast


def test_what_has_ended_has_ended():
    assert Toast("x", timeout=-1.0).has_expired and not Toast("x", timeout=60.0).has_expired
    assert Toast("x", timeout=-1.0).time_left == MIN_TIMER_S and 59 < Toast("x", timeout=60.0).time_left <= 60


@fault("terminal", "a word in the corner ends while it is being shown", "it goes; keys are answered")
async def test_one_that_ends_while_it_is_being_shown_holds_nothing_up(monkeypatch):
    app = QuietApp()
    made: list[float] = []
    monkeypatch.setattr(_toast.Toast, "set_timer", lambda _, delay, *more: made.append(delay))
    async with app.run_test(notifications=True) as pilot:
        monkeypatch.setattr(Toast, "has_expired", False)  # as it was when it was asked, a fifth of a second ago
        app.notify("it has ended since", timeout=-0.2)
        await pilot.pause()
        await pilot.pause()
    assert made == [MIN_TIMER_S]

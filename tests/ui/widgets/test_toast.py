"""A word in the corner that ends between the look whether it has and the timer for its end: a timer of less than
nothing would hold the event loop for ever (seen on a busy machine, in the matrix of keys)."""

from __future__ import annotations

from textual.widgets import Input, _toast

from tests.faults import fault
from widgets.terminal.quiet_app import QuietApp, QuietModal, QuietScreen
from widgets.textual_ext.toasts import MAX_WAITING, MIN_TIMER_S, Toast, ToastList


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


async def test_two_are_shown_and_equal_ones_counted():
    app = QuietApp()
    async with app.run_test(notifications=True) as pilot:
        for text, severity in (("one", "information"), ("two", "error"), ("three", "information"), ("two", "error")):
            app.notify(text, severity=severity, timeout=60)
        await pilot.pause()
        assert shown(app) == ["three", "two (x2)"]
        app.notify("two", severity="error", timeout=60)
        app.notify("two", severity="warning", timeout=60)
        await pilot.pause()
        assert shown(app) == ["two (x3)", "two"]
        app.notify("four", timeout=60)
        await pilot.pause()
        assert shown(app) == ["two (x3)", "two"], "errors and warnings make no room for information"
        first = app.screen.query(_toast.Toast).first()
        first._expire()
        await pilot.pause()
        await pilot.pause()
        assert shown(app) == ["two", "four"]


class _Line(QuietScreen[None]):
    AUTO_FOCUS = ""

    def compose(self):
        yield Input()


async def test_none_is_over_a_dialog_or_a_line_that_is_typed_and_those_come_afterwards():
    app = QuietApp()
    async with app.run_test(notifications=True) as pilot:
        await app.push_screen(_Line())
        app.screen.set_focus(None)
        app.notify("seen", timeout=60)
        app.notify("broken", severity="error", timeout=60)
        await pilot.pause()
        assert shown(app) == ["seen", "broken"]
        await pilot.press("tab")
        await pilot.pause()
        app.notify("typed meanwhile", timeout=60)
        await pilot.pause()
        assert shown(app) == []
        app.screen.set_focus(None)
        await pilot.pause()
        await pilot.pause()
        assert shown(app) == ["broken", "typed meanwhile"]
        await app.push_screen(QuietModal())
        await pilot.pause()
        app.notify("behind it", severity="warning", timeout=60)
        await pilot.pause()
        assert shown(app) == []
        app.pop_screen()
        await pilot.pause()
        await pilot.pause()
        assert shown(app) == ["broken", "behind it"]
        assert len(app.screen.query("ToastHolder")) == 2


def test_those_that_wait_are_bounded_and_errors_are_kept():
    waiting = ToastList(QuietApp(), lambda: True)
    waiting.add(Toast("broken", severity="error"))
    for at in range(100):
        waiting.add(Toast(f"seen {at}"))
    assert len(waiting._waiting) == MAX_WAITING and waiting._waiting[0].message == "broken"
    assert waiting._waiting[-1].message == "seen 99"


def shown(app: QuietApp[None]) -> list[str]:
    """The notifications on the screen."""
    return [one._notification.message for one in app.screen.query(_toast.Toast)]

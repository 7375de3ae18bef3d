"""Messages: which cluster they are of, that they are bounded, and whether the user has moved on."""

from __future__ import annotations

from types import SimpleNamespace

from console.actions.verification import Settled
from console.app.error_reporting import ErrorReporting
from console.app.plugin_loading import PluginLoading
from tests.support import fake_app
from tests.support.fake_app import A, B, Desk


def test_a_message_names_its_cluster_where_there_are_several(desk: Desk, state) -> None:
    desk.notifications.show("drained")
    several = Desk(None, B)
    several.notifications.show("drained", "warning")
    several.notifications.show_for(fake_app.session(name=B), "drained")
    assert (desk.notes, several.notes) == (["drained"], [f"{A}: drained", f"{B}: drained"])
    assert several.app.severities == ["warning", "information"]


def test_a_user_who_types_or_is_elsewhere_has_moved_on(desk: Desk) -> None:
    screen = desk.show()
    assert not desk.notifications.user_moved_on(screen, "drain of n1") and desk.notes == []
    screen.prompt.is_open = True
    assert desk.notifications.user_moved_on(screen, "drain of n1")
    assert desk.notes == ["drain of n1: you went on meanwhile; ask for it again"]


def test_of_many_different_results_the_first_are_shown(desk: Desk) -> None:
    desk.session.gate = SimpleNamespace(note=lambda settled: "")
    ends = [
        Settled(plan="a", action="drain", target=f"n{number}", state="unknown", why=f"reason {number}")
        for number in range(8)
    ]
    desk.acting.outcomes.show_settled(desk.session, desk.session.cluster, ends)
    assert len(desk.notes) == 4 and desk.notes[-1].endswith("5 more reasons, in :journal")


def test_of_many_plugins_that_are_wrong_the_first_are_named(desk: Desk) -> None:
    plugins = PluginLoading(desk.fleet, desk.notifications, desk.input, desk.app)
    desk.app.push_screen(object())
    plugins.take((), (), [f"plugin {number} is broken" for number in range(5)])
    (note,) = desk.notes
    assert note.count("broken") == 3 and note.endswith("and 2 more: wacht doctor")


def test_a_recorder_that_fails_is_told_of_once_until_it_works_again(desk: Desk) -> None:
    errors = ErrorReporting(desk.fleet, desk.notifications, desk.app)
    desk.session.recorder = recorder = SimpleNamespace(trouble="the disk is full")
    errors.check()
    errors.check()
    recorder.trouble = ""
    errors.check()
    recorder.trouble = "the disk is gone"
    errors.check()
    assert desk.notes == ["not recorded: the disk is full", "not recorded: the disk is gone"]


def test_an_error_of_the_event_loop_ends_the_app_only_while_it_runs(desk: Desk) -> None:
    errors, error = ErrorReporting(desk.fleet, desk.notifications, desk.app), KeyError("a bug")
    errors._loop_failed(None, {"exception": error})
    desk.app.is_running = False
    errors._loop_failed(None, {"exception": error})
    assert desk.app.ended == [error]

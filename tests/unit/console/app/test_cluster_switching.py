"""Clusters: which can be shown, what stays with each, and which may be closed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from console.app.cluster_switching import OPEN_OTHERS_S, ClusterSwitching
from console.config.commands import CommandError
from console.gate.outcome import Progress
from tests.support import fake_app
from tests.support.fake_app import A, B, Desk, FakePoller


class Clusters(Desk):
    """A console that knows several clusters."""

    def __init__(self, *others: str) -> None:
        super().__init__(None, *others)
        self.shown, self.closed, self.started = [], [], []
        stacks = SimpleNamespace(show=lambda session: self.shown.append(session) or True, close=self.closed.append)
        updates = SimpleNamespace(
            attach=lambda session: session.attach(FakePoller(fake_app.make.cluster(session.name))),
            garbage=SimpleNamespace(started=lambda: None),
        )
        undoing = SimpleNamespace(report_orphans=self.started.append)
        plugins = SimpleNamespace(add_columns=lambda session: None)
        self.clusters = ClusterSwitching(
            self.fleet, self.notifications, self.input, self.journal, undoing, updates, plugins, stacks, self.config,
            None, self.app,
        )  # fmt: skip


@pytest.fixture
def console(state) -> Clusters:
    made = Clusters(B)
    made.show("n1")
    return made


def test_the_others_are_opened_after_the_first_frame(console: Clusters) -> None:
    console.clusters.start()
    ((delay, then),) = console.app.timers
    assert delay == OPEN_OTHERS_S and list(console.fleet.sessions) == [A]
    then()
    console.app.work()
    assert list(console.fleet.sessions) == [A, B] and [one.name for one in console.started] == [A, B]
    assert console.session.name == A, "it is opened, not shown"


def test_a_cluster_that_cannot_be_opened_says_why_and_the_rest_goes_on(console: Clusters) -> None:
    console.clusters._updates.attach = lambda session: {}["a bug"]
    console.clusters.open_others()
    console.app.work()
    assert "KeyError" in console.fleet.unopened[B] and f"{B} cannot be opened: " in console.notes[0]
    console.clusters.open_others()
    assert not console.app.threads, "it was tried"


def test_switching_shows_the_screens_of_the_other_cluster_without_the_marks_of_this_one(console: Clusters) -> None:
    here, screen = console.session, console.app.screen
    there = console.fleet.sessions[B] = fake_app.session(name=B)
    console.clusters.show(B)
    assert console.session is there and console.shown == [there], "its own stack of screens comes"
    assert console.app.screen == "overview" and screen.at is here, "what was marked stays marked where it was"


def test_a_cluster_that_is_not_open_yet_is_shown_when_it_is_unless_the_user_moved_on(console: Clusters) -> None:
    console.clusters.show(B)
    console.show("n2")
    console.app.work()
    assert console.session.name == A and "you went on meanwhile" in console.notes[-1]
    console.clusters.show(B)
    assert console.session.name == B


@pytest.mark.parametrize(("name", "why"), [("nowhere", "no cluster nowhere is configured"), (A, "is on the screen")])
def test_what_cannot_be_shown_is_refused(console: Clusters, name: str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        console.clusters.show(name)


def test_no_cluster_is_shown_from_the_past_or_over_a_dialog(console: Clusters) -> None:
    console.fleet.sessions[B] = fake_app.session(name=B)
    console.fleet.session = fake_app.session()
    with pytest.raises(CommandError, match="the past of groningen is on the screen"):
        console.clusters.show(B)
    console.fleet.session = console.fleet.live
    console.app.push_screen(object())
    with pytest.raises(CommandError, match="answer what is open first"):
        console.clusters.show(B)


def test_the_next_one_comes_round_and_one_alone_says_so(console: Clusters, state) -> None:
    console.fleet.sessions[B] = fake_app.session(name=B)
    console.clusters.next()
    assert console.session.name == B
    alone = Clusters()
    alone.clusters.next()
    assert "one cluster is known" in alone.notes[0]


def test_what_is_shown_or_busy_or_not_open_is_not_closed(console: Clusters) -> None:
    other = console.fleet.sessions[B] = fake_app.session(name=B)
    other.sending.add(Progress(1))
    for name, why in ((A, "show another first"), (B, "wait until what you sent was seen"), ("c", "c is not open")):
        with pytest.raises(CommandError, match=why):
            console.clusters.close(name)
    other.sending.clear()
    console.clusters.close(B)
    assert list(console.fleet.sessions) == [A] and console.fleet.unopened == {B: "closed"}
    assert console.closed == [other]


def test_chips_of_other_clusters_are_few_and_the_worst_first(state) -> None:
    console = Clusters(B, "c", "d", "e")
    console.fleet.unopened.update({"c": "no Slurm", "d": "closed"})
    chips = console.clusters.chips()
    assert [text for text, _ in chips] == [f"{B} …", "c not open", "+1"]
    assert Clusters().clusters.chips() == []

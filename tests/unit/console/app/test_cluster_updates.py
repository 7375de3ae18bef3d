"""Newer facts: to the screens of their own cluster, and the bell once; the journal's facts and shift notes beside."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from collectors.model import Diff
from console.app.cluster_updates import ClusterChanged, ClusterUpdates
from console.app.journal_queries import JournalQueries
from console.app.shift_notes import ShiftNotes
from console.journal.shifts import NOTE_EVERY_S
from tests.support import fake_app, make
from tests.support.fake_app import A, B, Desk, FakeScreen


class Updates(Desk):
    """A console with two open clusters."""

    def __init__(self) -> None:
        super().__init__(None, B)
        self.fleet.sessions[B] = fake_app.session(name=B)
        self.screens: list[FakeScreen] = []
        stacks = SimpleNamespace(of=lambda session: [one for one in self.screens if one.at is session])
        self.updates = ClusterUpdates(
            self.fleet, self.notifications, self.acting.outcomes, self.journal, self.input, stacks, self.config,
            self.app,
        )  # fmt: skip

    def newer(self, name: str, *kinds: str, **facts: object):
        cluster = make.cluster(name, **facts)
        self.updates.cluster_changed(ClusterChanged(cluster, Diff(kinds=frozenset(kinds))))
        return cluster


@pytest.fixture
def console(state) -> Updates:
    return Updates()


def test_a_newer_cluster_is_shown_where_it_belongs(console: Updates) -> None:
    over = console.show("n1")
    hidden = FakeScreen(console.fleet)
    other = FakeScreen(SimpleNamespace(session=console.fleet.sessions[B]))
    console.screens = [over, hidden, other]
    mine, theirs = console.newer(A, "nodes"), console.newer(B, "nodes")
    assert (over.shown_clusters, hidden.shown_clusters, other.shown_clusters) == ([mine], [mine], [theirs])
    assert console.fleet.cluster is mine and console.fleet.sessions[B].cluster is theirs


def test_in_the_past_a_newer_cluster_is_only_kept(console: Updates) -> None:
    over = console.show("n1")
    console.fleet.session = fake_app.session()
    newer = console.newer(A, "nodes")
    assert console.fleet.live.cluster is newer and console.fleet.cluster is not newer and not over.shown_clusters


def test_what_was_closed_or_comes_after_the_end_is_dropped(console: Updates) -> None:
    del console.fleet.sessions[B]
    console.updates.publish(make.cluster(B), Diff())
    assert console.app.posted == []
    console.app.screen_stack.clear()
    before = console.fleet.cluster
    console.newer(A, "nodes")
    assert console.fleet.cluster is before


def test_messages_of_one_cluster_merge_in_the_queue(console: Updates) -> None:
    first = ClusterChanged(make.cluster(A), Diff(kinds=frozenset({"nodes"})))
    second = ClusterChanged(make.cluster(A), Diff(kinds=frozenset({"jobs"})))
    assert second.can_replace(first) is False or first.diff.kinds == {"nodes", "jobs"}
    assert not ClusterChanged(make.cluster(B), Diff()).can_replace(first)


def test_the_facts_of_the_journal_go_to_the_session_that_they_were_read_for(console: Updates) -> None:
    session = console.session
    session.journal = SimpleNamespace(lines=list)
    JournalQueries(console.app).read_facts(session)
    console.fleet.session = console.fleet.sessions[B]
    session.resumed = {"old": 1.0}
    console.app.work()
    assert session.resumed == {}


def test_a_journal_that_cannot_be_read_is_one_line_of_the_history(console: Updates) -> None:
    def breaks():
        raise OSError("the disk is gone")

    console.session.journal = SimpleNamespace(lines=breaks)
    (line,) = JournalQueries(console.app).action_history(console.session, "node", "n1")
    assert "the disk is gone" in str(line)
    console.session.resumed = {"n1": 1.0}
    JournalQueries(console.app).read_facts(console.session)
    console.app.work()
    assert console.session.resumed == {"n1": 1.0}


def test_a_shift_is_noted_now_and_then_and_at_the_end(console: Updates) -> None:
    written: list[str] = []
    shifts = ShiftNotes(console.fleet, fake_app.Writer())
    shifts._file = SimpleNamespace(add=written.append)
    shifts.note()
    shifts.note()
    assert len(written) == 2, "one line for each cluster, once"
    console.fleet.live.clock.advance(NOTE_EVERY_S)
    shifts.note()
    shifts.end()
    assert len(written) == 6

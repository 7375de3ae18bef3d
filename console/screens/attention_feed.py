"""The attention list of the cluster that a screen shows, computed off the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from collectors.model import Cluster, Fault
from console.triage.attention_task import AttentionResult, attention_task

from .layout.screen import WachtScreen, stepped

if TYPE_CHECKING:
    from console.clusters.cluster_session import ClusterSession
    from console.health.xid_policy import Policy


def any_answer(cluster: Cluster) -> bool:
    """Whether any source has answered. Before that there is nothing to judge, and the first frame need not import the
    judging modules."""
    return any(source.tried for source in cluster.sources.values())


def prepare_attention(cluster: Cluster, session: ClusterSession, policy: Policy) -> None:
    """Compute the list in the thread that made the Cluster: at 12,000 nodes it takes 50 ms, too long for the event
    loop. The screens of a session share it."""
    now = stepped(session.clock.now())
    if any_answer(cluster) and not any(one.is_current(cluster, session.by, now) for one in session.judgements):
        _keep(session, attention_task(cluster, session.by, now, policy)())


def _keep(session: ClusterSession, made: AttentionResult) -> None:
    session.judgements = made, *[one for one in session.judgements if one.cluster() is not made.cluster()][:1]


class AttentionFeed:
    """Gives a screen the newest list. A list that is out of date is given too, and `ready` is called with the next."""

    def __init__(self, screen: WachtScreen, ready: Callable[[AttentionResult], None]) -> None:
        self._screen, self._ready = screen, ready
        self._number = 0
        """Number of the last computation in a thread."""

    def newest(self, now: float) -> AttentionResult | None:
        """The last list of the cluster shown. If it is out of date, a thread computes a new one. None before the first
        answer of a source."""
        screen, session = self._screen, self._screen.at
        cluster, by = screen.cluster, session.by
        if not any_answer(cluster):
            return None
        task = attention_task(cluster, by, now, screen.app.policy)
        mine = (one for one in session.judgements if one.cluster() is cluster and one.by.clock is by.clock)
        made = next(mine, None)
        if made is None:
            _keep(session, made := task())
        elif not made.is_current(cluster, by, now):
            self._number += 1
            number = self._number
            screen.fetch(task, lambda made: self._computed(number, made), "needs")
        return made

    def _computed(self, number: int, made: AttentionResult | Fault) -> None:
        if number != self._number:
            return  # a later computation is in progress or finished
        session = self._screen.at
        if isinstance(made, Fault):
            session.judgements = ()  # the next call computes it on the event loop, where an exception is reported
        elif made.cluster() is self._screen.cluster and made.by.clock is session.clock:
            _keep(session, made)
            self._ready(made)

"""The clusters of this console: which there are, which are open, and which one is on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from collectors.model import Cluster
from console.session.cluster_sources import ClusterSources

from .cluster_session import ClusterSession

if TYPE_CHECKING:
    from .cluster_summary import ClusterSummary


class Fleet:
    """Every cluster of this console. To show another cluster, or a recording of this one, `session` is replaced."""

    def __init__(self, first: ClusterSession, available: Sequence[ClusterSources]) -> None:
        """`first` is on the screen; `available` are the sources of all that can be shown."""
        self.available: Mapping[str, ClusterSources] = {one.name: one for one in available}
        """Cluster name to sources, for every cluster that can be shown."""
        self.sessions = {first.name: first}
        """Every cluster that is open, by name; never the session of a replay that has live polling behind it."""
        self.unopened: dict[str, str] = {}
        """Clusters that failed to open or were closed, with the reason. A cluster in neither dict is opened later."""
        self.session = first
        """What is on the screen."""

    @property
    def cluster(self) -> Cluster:
        """The facts on the screen."""
        return self.session.cluster

    @property
    def live(self) -> ClusterSession:
        """The session of the cluster on the screen that is polled, also while its recording is shown."""
        return self.sessions[self.session.name]

    @property
    def in_replay_mode(self) -> bool:
        """Whether this console shows its own recording while live polling continues."""
        return self.session is not self.live

    @property
    def replaying(self) -> bool:
        """Whether a recording is on the screen, of this console or from a file."""
        return self.session.site.recorded

    def standings(self) -> list[ClusterSummary]:
        """A summary of each cluster as it is now, in the order of the configuration."""
        from .cluster_summary import ClusterSummary, summarise  # not needed for the first frame

        made = []
        for name in self.available:
            if (session := self.sessions.get(name)) is None:
                made.append(ClusterSummary(name=name, why=self.unopened.get(name, "")))
            else:
                # `session.cluster`, not the newest: the sums of the next one are still being computed.
                made.append(summarise(session.cluster, session.clock.mono(), shown=session is self.live))
        return made

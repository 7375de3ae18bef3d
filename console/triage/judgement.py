"""What needs a person, with all that it was made of: judged off the event loop, shown while it is still true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, NamedTuple
from weakref import ref

from collectors.clock import Clock
from collectors.model import Cluster

if TYPE_CHECKING:
    from console.health.xid_policy import Policy
    from console.journal.leftovers import Leftovers

    from .attention_list import AttentionLine


class JudgedBy(NamedTuple):
    """What a cluster is judged by, beside its facts."""

    clock: Clock
    resumed: Mapping[str, float]
    leftovers: Leftovers


class Judged(NamedTuple):
    """What needs a person, and all that it was made of."""

    cluster: ref[Cluster]
    """Nothing more is asked of it than whether it is the one that is shown."""
    by: JudgedBy
    now: float
    needs: Sequence[AttentionLine]

    def stands(self, cluster: Cluster, by: JudgedBy, now: float) -> bool:
        """Whether it was made of just that."""
        return self.cluster() is cluster and self.now == now and all(map(is_, self.by, by))


def judge(cluster: Cluster, by: JudgedBy, now: float, policy: Policy) -> Callable[[], Judged]:
    """What judges it, on any thread."""

    def judged() -> Judged:
        from .attention import needs  # with what it imports it would hold up the first frame

        found = needs(cluster, now, policy, mono=by.clock.mono(), resumed=by.resumed, leftovers=by.leftovers)
        return Judged(ref(cluster), by, now, found)

    return judged

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
    from console.journal.leftovers import Left

    from .attention_list import AttentionLine


class AttentionInputs(NamedTuple):
    """What a cluster is judged by, beside its facts."""

    clock: Clock
    resumed: Mapping[str, float]
    left: Left


class AttentionResult(NamedTuple):
    """What needs a person, and all that it was made of."""

    cluster: ref[Cluster]
    """Nothing more is asked of it than whether it is the one that is shown."""
    by: AttentionInputs
    now: float
    lines: Sequence[AttentionLine]

    def is_current(self, cluster: Cluster, by: AttentionInputs, now: float) -> bool:
        """Whether it was made of just that."""
        return self.cluster() is cluster and self.now == now and all(map(is_, self.by, by))


def attention_task(cluster: Cluster, by: AttentionInputs, now: float, policy: Policy) -> Callable[[], AttentionResult]:
    """What judges it, on any thread."""

    def judged() -> AttentionResult:
        from .attention import attention_lines  # with what it imports it would hold up the first frame

        found = attention_lines(cluster, now, policy, mono=by.clock.mono(), resumed=by.resumed, left=by.left)
        return AttentionResult(ref(cluster), by, now, found)

    return judged

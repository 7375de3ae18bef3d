"""The attention list with the inputs that it was computed from: computed in a thread, shown while they are current."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, NamedTuple
from weakref import ref

from collectors.clock import Clock
from collectors.model import Cluster

if TYPE_CHECKING:
    from console.health.xid_policy import Policy
    from console.journal.still_closed import StillClosed
    from widgets.map_health import MapHealth

    from .attention_list import AttentionLine


class AttentionInputs(NamedTuple):
    """The inputs of the attention list besides the Cluster."""

    clock: Clock
    resumed: Mapping[str, float]
    still_closed: StillClosed


class AttentionResult(NamedTuple):
    """The attention list, and the inputs that it was computed from."""

    cluster: ref[Cluster]
    """Weak: used only to compare it with the Cluster that is shown."""
    by: AttentionInputs
    now: float
    lines: Sequence[AttentionLine]
    health: MapHealth
    """The same for the map."""

    def is_current(self, cluster: Cluster, by: AttentionInputs, now: float) -> bool:
        """Whether it was computed from exactly these inputs."""
        return self.cluster() is cluster and self.now == now and all(map(is_, self.by, by))


def attention_task(cluster: Cluster, by: AttentionInputs, now: float, policy: Policy) -> Callable[[], AttentionResult]:
    """A function that computes the attention list, for any thread."""

    def judged() -> AttentionResult:
        # Slow to import: it would delay the first frame.
        from .attention import attention_lines
        from .fault_map import map_health

        mono = by.clock.mono()
        found = attention_lines(cluster, now, policy, mono=mono, resumed=by.resumed, still_closed=by.still_closed)
        return AttentionResult(ref(cluster), by, now, found, map_health(cluster, found, now, mono))

    return judged

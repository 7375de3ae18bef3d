"""What the looks of a pre-flight are given besides the target."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from collectors.model import Cluster, Xid
from console.actions.plan import PreflightReads
from console.health.inconsistencies import FreshFacts
from console.health.xid_policy import Policy


class PreflightContext(Struct, frozen=True):
    """What the looks need besides the target."""

    cluster: Cluster
    extra: PreflightReads
    now: float
    policy: Policy
    good: FreshFacts
    xids: Mapping[str, list[Xid]]
    """Node to its rows, of the nodes that are looked at; empty where XIDs are not known."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Target to what it is to be given."""

    @property
    def me(self) -> str | None:
        """Who the commands run as, None where that is not known."""
        return None if self.cluster.rights is None else self.cluster.rights.user

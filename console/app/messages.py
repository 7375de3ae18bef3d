"""What travels between the poller, the app and the screens."""

from __future__ import annotations

from textual.message import Message

from collectors.model import Cluster, Diff
from console.ingest.reduce import merged


class ClusterChanged(Message):
    """The poller has a newer Cluster. Those still in the queue become one, with the differences of all."""

    def __init__(self, cluster: Cluster, diff: Diff) -> None:
        super().__init__()
        self.cluster, self.diff = cluster, diff

    def can_replace(self, message: Message) -> bool:
        """The newer one takes over what this one would have told."""
        if isinstance(message, ClusterChanged) and message.cluster.name == self.cluster.name:
            message.diff = merged(self.diff, message.diff)
            return True
        return False

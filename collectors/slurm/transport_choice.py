"""A Writer over several roads: each target goes over the first one that can, and what none can do is refused.

It imports no writer: `collectors.slurm.commands.write`, which only the gate opens, hands them over.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from collectors.model import Change, Sent

from .transport import RoadWriter

_BY_TARGET = ("reasons", "next_state", "priorities", "values")


class ByRoad:
    """Sends a Change over the configured road, and what that cannot do over those that stand in for it."""

    def __init__(self, writers: Sequence[RoadWriter]) -> None:
        self._writers = tuple(writers)

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """Exactly what `send` sends. Raises ValueError with the reason where no road can do all of it, SourceFault."""
        return tuple(argv for writer, part in self._parts(change) for argv in writer.commands(part))

    def send(self, change: Change) -> Sequence[Sent]:
        """Send it, road by road; after a call that the controller or the caller's rights failed, the rest is left out.

        Raises ValueError, SourceFault before anything is sent.
        """
        ended: list[Sent] = []
        for writer, part in self._parts(change):
            ended += writer.send(part)
            if ended and (ended[-1].rc is None or ended[-1].fatal):
                break
        return tuple(ended)

    def _parts(self, change: Change) -> list[tuple[RoadWriter, Change]]:
        """Each road with what goes over it, in the order of the roads."""
        left, found, whys = change.targets, [], list[str]()
        for writer in self._writers:
            if not left:
                break
            unable = writer.unsupported_targets(msgspec.structs.replace(change, targets=left))
            if some := tuple(target for target in left if target not in unable):
                found.append((writer, part_of(change, some)))
            whys += [f"{target}: {why}" if len(unable) < len(change.targets) else why for target, why in unable.items()]
            left = tuple(target for target in left if target in unable)
        if left:
            told = "; ".join(dict.fromkeys(whys)) if len(left) <= 3 else whys[-1]
            roads = " nor ".join(writer.name for writer in self._writers)
            raise ValueError(f'not over {roads}: {told} (slurm = {{ …, fallback = ["cli"] }} sends it by command)')
        return found


def part_of(change: Change, targets: tuple[str, ...]) -> Change:
    """The same change for some of its targets."""
    if targets == change.targets:
        return change
    kept = {
        name: {target: value for target, value in getattr(change, name).items() if target in frozenset(targets)}
        for name in _BY_TARGET
    }
    return msgspec.structs.replace(change, targets=targets, **kept)

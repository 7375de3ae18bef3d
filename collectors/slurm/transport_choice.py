"""A Writer over several transports: each target goes over the first one that can change it, else it is refused.

It imports no writer: `collectors.slurm.writers`, which only the gate imports, passes them in.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from collectors.model import Change, Sent

from .transport import TransportWriter

_BY_TARGET = ("reasons", "next_state", "values")


class FallbackWriter:
    """Sends a Change over the configured transport, and what that cannot do over the fallback transports."""

    def __init__(self, writers: Sequence[TransportWriter]) -> None:
        self._writers = tuple(writers)

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """Exactly what `send` sends. Raises SourceFault, and ValueError with the reason if no transport can do all."""
        return tuple(argv for writer, part in self._parts(change) for argv in writer.commands(part))

    def send(self, change: Change) -> Sequence[Sent]:
        """Send it transport by transport; stop after a call that failed because of the controller or the caller's
        rights.

        Raises ValueError or SourceFault before anything is sent.
        """
        ended: list[Sent] = []
        for writer, part in self._parts(change):
            ended += writer.send(part)
            if ended and (ended[-1].rc is None or ended[-1].fatal):
                break
        return tuple(ended)

    def _parts(self, change: Change) -> list[tuple[TransportWriter, Change]]:
        """Each writer with its part of the change, in the order of the transports."""
        left, found, whys = change.targets, [], list[str]()
        for writer in self._writers:
            if not left:
                break
            unable = writer.unsupported_targets(msgspec.structs.replace(change, targets=left))
            if some := tuple(target for target in left if target not in unable):
                found.append((writer, change_for(change, some)))
            whys += [f"{target}: {why}" if len(unable) < len(change.targets) else why for target, why in unable.items()]
            left = tuple(target for target in left if target in unable)
        if left:
            told = "; ".join(dict.fromkeys(whys)) if len(left) <= 3 else whys[-1]
            transports = " nor ".join(writer.name for writer in self._writers)
            raise ValueError(f'not over {transports}: {told} (slurm = {{ …, fallback = ["cli"] }} sends it by command)')
        return found


def change_for(change: Change, targets: tuple[str, ...]) -> Change:
    """The same change for some of its targets."""
    if targets == change.targets:
        return change
    kept = {
        name: {target: value for target, value in getattr(change, name).items() if target in frozenset(targets)}
        for name in _BY_TARGET
    }
    return msgspec.structs.replace(change, targets=targets, **kept)

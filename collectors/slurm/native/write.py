"""The only code that writes through pyslurm: a frozen Change becomes calls of `write_worker`, each its own process.

Only `collectors.slurm.writers` may import this module; a test enforces it. A call is sent once. A call that was killed,
crashed or got no answer is in doubt: the next reading shows the result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from collectors import process
from collectors.decoding import from_json
from collectors.model import Change, Sent, SourceFault
from collectors.slurm import SlurmSettings, operations, transport
from collectors.slurm.commands.write import DEADLINE_S, concerns_all, with_newlines

from .client import NativeClient, command, environment
from .protocol import SENDING, NativeResult, Question
from .requests import calls, verb

_PART = "pyslurm names jobs by number alone, not a part of a heterogeneous job"
_NUMBER_OR_TASK = re.compile(r"[0-9]+(?:_[0-9]+)?")

Call = tuple[tuple[str, ...], tuple[str, ...]]


class NativeWriter:
    """Writes with pyslurm, after a site's `prefix`. Keeps no state between calls."""

    name = "native"

    def __init__(self, prefix: Sequence[str] = (), deadline_s: float = DEADLINE_S) -> None:
        self._prefix = tuple(prefix)
        self._deadline_s = deadline_s

    def unsupported_targets(self, change: Change) -> Mapping[str, str]:
        """Target to the reason why pyslurm cannot change it; asks only about array tasks. Raises SourceFault."""
        unable = self._never(change)
        tasks = tuple(one for one in change.targets if "_" in one and one not in unable)
        return unable | dict(self._tasks(change, tasks)) if tasks else unable

    def _tasks(self, change: Change, tasks: tuple[str, ...]) -> Mapping[str, str]:
        client = NativeClient(self._deadline_s)
        try:
            return client.ask(Question("tasks", verb=verb(change), targets=tasks)).unable or {}
        finally:
            client.close()

    def _never(self, change: Change) -> dict[str, str]:
        """Target to why pyslurm can nowhere do that to it."""
        if change.kind != "job":
            return transport.unsupported_targets(self.name, change)
        why = transport.unsupported(self.name, operations.operation_of(change))
        if why is not None:
            return dict.fromkeys(change.targets, why)
        return {one: _PART for one in change.targets if not _NUMBER_OR_TASK.fullmatch(one)}

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """Exactly what `send` runs. Raises ValueError if pyslurm cannot do it, and as `operations.checked`."""
        return tuple(words for words, _ in self._calls(change))

    def send(self, change: Change) -> Sequence[Sent]:
        """Run them in order; stop after a call that failed because of the controller or the caller's rights."""
        ended = []
        for words, targets in self._calls(change):
            sent = self._one(words, targets)
            ended.append(sent)
            if sent.rc is None or sent.fatal:
                break
        return tuple(ended)

    def _calls(self, change: Change) -> list[Call]:
        """Each call as it runs, with its targets. Everything is checked before the first one is returned."""
        names = operations.checked(change)
        unable = self._never(change)
        if unable:
            raise ValueError(next(iter(unable.values())))
        before = (process.find(self._prefix[0]), *self._prefix[1:]) if self._prefix else ()
        return [((*before, *command("write_worker", *words)), some) for words, some in calls(change, names)]

    def _one(self, words: tuple[str, ...], targets: tuple[str, ...]) -> Sent:
        try:
            ended = process.run(words, deadline_s=self._deadline_s, cap_bytes=1 << 20, env=environment(), spared=True)
        except SourceFault as error:
            # It could not be started: a certain failure for every target.
            why = str(error.fault)
            return Sent(argv=words, targets=targets, rc=127, err=why, refused=dict.fromkeys(targets, why), fatal=True)
        try:
            result = from_json(ended.out.strip().rpartition(b"\n")[2], NativeResult)
        except msgspec.DecodeError:
            result = None
        if result is not None:
            return _sent(words, targets, result, ended.took_s)
        how = (
            f"no answer in {self._deadline_s:g} s" if ended.timed_out else f"the process of pyslurm ended by {ended.rc}"
        )
        err = with_newlines(ended.err)
        if SENDING in ended.out:
            why = f"{how}; it may have been done. {err}".strip()
            return Sent(argv=words, targets=targets, rc=None, err=why, took_s=ended.took_s)
        # libslurm ends the process itself without a configuration: certainly nothing was sent.
        why = f"nothing was sent: {err.rpartition(chr(10))[2] or how}"
        return Sent(argv=words, targets=targets, rc=ended.rc or 1, err=f"{why}\n{err}", took_s=ended.took_s,
                    refused=dict.fromkeys(targets, why), fatal=True)  # fmt: skip


def _sent(words: tuple[str, ...], targets: tuple[str, ...], result: NativeResult, took_s: float) -> Sent:
    """The result that `write_worker` reported for its call."""
    nothing = result.refused.get("")
    refused = dict.fromkeys(targets, nothing) if nothing else dict(result.refused)
    whys = dict.fromkeys(refused.values())
    rc = None if result.doubt else 1 if refused or result.said else 0
    fatal = len(refused) == len(targets) and (nothing is not None or all(concerns_all(why) for why in whys))
    return Sent(argv=words, targets=targets, rc=rc, err="\n".join([*whys, *result.said]), took_s=took_s,
                refused=refused, fatal=fatal)  # fmt: skip


def open_writer(settings: SlurmSettings) -> NativeWriter:
    """The writer over pyslurm. Starts nothing."""
    return NativeWriter(settings.prefix)

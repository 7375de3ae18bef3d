"""All that writes through pyslurm, and nothing else: a frozen Change becomes calls of `write_worker`, each a process.

Only `collectors.slurm.commands.write` may import this module; a test holds that. A call is sent once. One that was
killed, that crashed or that got no answer is in doubt: what came of it, the next reading says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from collectors import process
from collectors.decoding import from_json
from collectors.model import Change, Sent, SourceFault
from collectors.slurm import SlurmSettings, transport
from collectors.slurm.commands import argv
from collectors.slurm.commands.write import DEADLINE_S, readable, to_all

from .client import NativeClient, command, environment
from .protocol import SENDING, NativeResult, Question

_PART = "pyslurm names jobs by number alone, not a part of a heterogeneous job"
_NUMBER_OR_TASK = re.compile(r"[0-9]+(?:_[0-9]+)?")

Call = tuple[tuple[str, ...], tuple[str, ...]]


class NativeWriter:
    """Writes through pyslurm, after a site's `prefix`. Keeps nothing between calls."""

    name = "native"

    def __init__(self, prefix: Sequence[str] = (), deadline_s: float = DEADLINE_S) -> None:
        self._prefix = tuple(prefix)
        self._deadline_s = deadline_s

    def unsupported_targets(self, change: Change) -> Mapping[str, str]:
        """Target to why pyslurm cannot do that to it; it asks only about tasks of arrays. Raises SourceFault."""
        unable = self._never(change)
        tasks = tuple(one for one in change.targets if "_" in one and one not in unable)
        return unable | dict(self._tasks(change.action, tasks)) if tasks else unable

    def _tasks(self, action: str, tasks: tuple[str, ...]) -> Mapping[str, str]:
        client = NativeClient(self._deadline_s)
        try:
            return client.ask(Question("tasks", action=action, targets=tasks)).unable or {}
        finally:
            client.close()

    def _never(self, change: Change) -> dict[str, str]:
        """Target to why pyslurm can nowhere do that to it."""
        what = "drain for a time" if change.resume_after_s is not None else change.action
        why = transport.unsupported(self.name, change.action) or transport.unsupported(self.name, what)
        if why is not None:
            return dict.fromkeys(change.targets, why)
        if change.kind != "job":
            return {}
        return {one: _PART for one in change.targets if not _NUMBER_OR_TASK.fullmatch(one)}

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """Exactly what `send` runs. Raises ValueError where pyslurm cannot do it, and as `argv.checked` does."""
        return tuple(words for words, _ in self._calls(change))

    def send(self, change: Change) -> Sequence[Sent]:
        """Run them in order; after a call that the controller or the caller's rights failed, the rest is left out."""
        ended = []
        for words, targets in self._calls(change):
            sent = self._one(words, targets)
            ended.append(sent)
            if sent.rc is None or sent.fatal:
                break
        return tuple(ended)

    def _calls(self, change: Change) -> list[Call]:
        """Each call as it runs, with its targets. Everything is checked before the first one is returned."""
        names = argv.checked(change)
        unable = self._never(change)
        if unable:
            raise ValueError(next(iter(unable.values())))
        before = (process.find(self._prefix[0]), *self._prefix[1:]) if self._prefix else ()
        return [((*before, *command("write_worker", *words)), some) for words, some in _spelt(change, names)]

    def _one(self, words: tuple[str, ...], targets: tuple[str, ...]) -> Sent:
        try:
            ended = process.run(words, deadline_s=self._deadline_s, cap_bytes=1 << 20, env=environment(), spared=True)
        except SourceFault as error:
            # It could not even be started: that much is certain, for every target.
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
        err = readable(ended.err)
        if SENDING in ended.out:
            why = f"{how}; it may have been done. {err}".strip()
            return Sent(argv=words, targets=targets, rc=None, err=why, took_s=ended.took_s)
        # libslurm ends the process itself where it finds no configuration: nothing was sent, that much is certain.
        why = f"nothing was sent: {err.rpartition(chr(10))[2] or how}"
        return Sent(argv=words, targets=targets, rc=ended.rc or 1, err=f"{why}\n{err}", took_s=ended.took_s,
                    refused=dict.fromkeys(targets, why), fatal=True)  # fmt: skip


def _sent(words: tuple[str, ...], targets: tuple[str, ...], result: NativeResult, took_s: float) -> Sent:
    """What `write_worker` told of its call."""
    nothing = result.refused.get("")
    refused = dict.fromkeys(targets, nothing) if nothing else dict(result.refused)
    whys = dict.fromkeys(refused.values())
    rc = None if result.doubt else 1 if refused or result.said else 0
    fatal = len(refused) == len(targets) and (nothing is not None or all(to_all(why) for why in whys))
    return Sent(argv=words, targets=targets, rc=rc, err="\n".join([*whys, *result.said]), took_s=took_s,
                refused=refused, fatal=fatal)  # fmt: skip


def _spelt(change: Change, names: tuple[str, ...]) -> list[Call]:
    """The words of each call behind the program's, with its targets."""
    if change.kind == "node":
        return [((change.action, *_reason(told), argv.folded(some)), some) for told, some in argv.alike(change, names)]
    if change.action == "priority":
        of = change.priorities
        return [
            (("priority", f"--priority={value}", *words), some)
            for value in dict.fromkeys(of[job] for job in names)
            for words, some in _jobs(tuple(job for job in names if of[job] == value))
        ]
    return [((change.action, *words), some) for words, some in _jobs(names)]


def _jobs(names: tuple[str, ...]) -> list[Call]:
    """Jobs split into calls of limited size; the tasks of one array always share a call, `write_worker` groups them."""
    arrays: dict[str, list[str]] = {}
    for name in names:
        if "_" in name:
            arrays.setdefault(name.partition("_")[0], []).append(name)
    plain = tuple(name for name in names if "_" not in name)
    calls: list[Call] = [((",".join(some),), some) for some in argv.batches(plain)]
    return calls + [((argv.folded(tuple(tasks)),), tuple(tasks)) for tasks in arrays.values()]


def _reason(told: argv.Words) -> argv.Words:
    """Raises ValueError where a node is told more than a reason: pyslurm cannot say it."""
    if len(told) > 1:
        raise ValueError("pyslurm cannot drain for a time")
    return tuple(f"--reason={one}" for one in told)


def open_writer(settings: SlurmSettings) -> NativeWriter:
    """The writer over pyslurm. Starts nothing."""
    return NativeWriter(settings.prefix)

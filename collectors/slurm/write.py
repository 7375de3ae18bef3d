"""All that writes to Slurm, and nothing else: a frozen Change becomes scontrol and scancel.

Only `console.gate` may import this module; a test holds that.

What each command really does, and every text that is parsed here, was seen on live 24.11.5 and 26.05.5 controllers:
a node update that fails names no node and may have changed all others; hold, release and requeue go through their
whole list and name each job they refuse; scancel is silent about jobs that are gone.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from collectors import process
from collectors.clean import clean
from collectors.model import Change, Sent, SourceFault
from collectors.nodeset import expand, fold

REASON_CAP = 1000
#: Job ids in one call: the controller takes them one by one, and an operator may want to stop in between.
BATCH = 500
DEADLINE_S = 30.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ID = re.compile(r"[0-9]{1,10}(?:_[0-9]{1,10}|\+[0-9]{1,5})?")
_NODE_STATES = {"drain": "DRAIN", "undrain": "UNDRAIN", "resume": "RESUME"}
#: The words before the ids, and whether these are joined by commas. Without `Incomplete` a requeue also reruns jobs
#: that have ended, however well.
_JOB_WORDS = {
    "requeue": (("scontrol", "requeue", "Incomplete"), True),
    "requeuehold": (("scontrol", "requeuehold", "Incomplete"), True),
    "hold": (("scontrol", "hold"), False),
    "uhold": (("scontrol", "uhold"), False),
    "release": (("scontrol", "release"), False),
    "cancel": (("scancel",), False),
}
_REFUSED = (
    re.compile(r"^(?P<why>.+) for job (?P<id>[0-9_+]+)\s*$"),
    re.compile(r"^scancel: error: Kill job error on job id (?P<id>[0-9_+]+): (?P<why>.+)$"),
)
#: Array tasks are named in groups, by 26.05 in brackets; one that fared well may be among them (`22_[1-2]: No error`).
_TASKS = re.compile(r"^(?P<job>[0-9]+)_\[?(?P<tasks>[0-9][0-9,-]*)\]?: (?P<why>.+)$")
#: After these nobody can say whether the controller has done it. 24.11 says the second when it cannot connect.
_DOUBTFUL = ("timed out", "Unexpected message", "Zero Bytes", "Transport endpoint", "Connection reset", "Broken pipe",
             "send failure", "receive failure", "shutdown failure")  # fmt: skip
#: These concern the caller or the controller: where every target met one, the next call would fare alike.
_TO_ALL = ("Unable to contact", "Invalid user id", "Access/permission denied", "authentication", "Rate limit",
           "standby mode", "sudo:", "Request denied", "unge")  # fmt: skip
#: The process module keeps this much of the error text (bytes); what was cut may end in the middle of an id.
_ERR_KEPT = 4000


class CliWriter:
    """Writes through scontrol and scancel, after a site's `prefix` (`sudo -n`). Keeps nothing between calls."""

    def __init__(self, prefix: Sequence[str] = (), deadline_s: float = DEADLINE_S) -> None:
        self._prefix = tuple(prefix)
        self._deadline_s = deadline_s

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """Exactly what `send` would run.

        Raises ValueError when the Change holds anything that is not a plain name or id, SourceFault("missing") when a
        program is not on PATH.
        """
        return tuple(argv for argv, _ in self._calls(change))

    def send(self, change: Change) -> Sequence[Sent]:
        """Run them in order; after a call that the controller or the caller's rights failed, the rest is left out."""
        ended = []
        for argv, targets in self._calls(change):
            sent = self._one(argv, targets)
            ended.append(sent)
            hopeless = len(sent.refused) == len(targets) and any(text in sent.err for text in _TO_ALL)
            if sent.rc is None or hopeless:
                break
        return tuple(ended)

    def _calls(self, change: Change) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Each command with its targets. Everything is checked before the first one is returned."""
        names = _checked(change)
        if change.kind == "node":
            reason = (f"Reason={_reason(change.reason)}",) if change.action == "drain" else ()
            words = (self._path("scontrol"), "update", f"NodeName={_folded(names)}")
            return [((*self._before(), *words, f"State={_NODE_STATES[change.action]}", *reason), names)]
        (program, *words_before), joined = _JOB_WORDS[change.action]
        head = (*self._before(), self._path(program), *words_before)
        return [((*head, ",".join(some)) if joined else (*head, *some), some) for some in _batches(names)]

    def _before(self) -> tuple[str, ...]:
        return (self._path(self._prefix[0]), *self._prefix[1:]) if self._prefix else ()

    @staticmethod
    def _path(program: str) -> str:
        return process.find(program)

    def _one(self, argv: tuple[str, ...], targets: tuple[str, ...]) -> Sent:
        try:
            ended = process.run(argv, deadline_s=self._deadline_s, cap_bytes=1 << 20, spared=True)
        except SourceFault as error:
            # It could not even be started: that much is certain, for every target.
            text = str(error.fault)
            return Sent(argv=argv, targets=targets, rc=127, err=text, refused=dict.fromkeys(targets, text))
        rc: int | None = ended.rc
        err = readable(ended.err)
        if ended.timed_out or ended.capped:
            rc, err = None, f"no answer in {self._deadline_s:g} s; it may have been done. {err}".strip()
        elif rc and _doubtful(err):
            rc = None
        return Sent(argv=argv, targets=targets, rc=rc, err=err, took_s=ended.took_s, refused=refusals(rc, err, targets))


def refusals(rc: int | None, err: str, targets: Sequence[str]) -> dict[str, str]:
    """Target to what Slurm said against it, for those it is certain of.

    `rc` None: the others are in doubt. An error that names nobody is certain for one target, and for all when it
    speaks of the caller or the controller.
    """
    wanted = frozenset(targets)
    lines = err.split("\n")
    if len(err.encode()) > _ERR_KEPT - 100:
        lines[-1] = ""
    named = {job: why for line in lines for job, why in _named(line) if job in wanted}
    if rc and not named and (len(targets) == 1 or any(text in err for text in _TO_ALL)):
        return dict.fromkeys(targets, lines[0] or f"exit status {rc}")
    return named


def _named(line: str) -> Iterator[tuple[str, str]]:
    """The jobs that a line of error text refuses, with its reason."""
    tasks = _TASKS.match(line)
    if tasks and tasks["why"] != "No error" and not _doubtful(tasks["why"]):
        with contextlib.suppress(ValueError):
            yield from ((job, tasks["why"]) for job in expand(f"{tasks['job']}_[{tasks['tasks']}]"))
    for pattern in _REFUSED:
        match = pattern.match(line)
        if match and not _doubtful(match["why"]):
            yield match["id"], match["why"]


def _doubtful(text: str) -> bool:
    return any(doubt in text for doubt in _DOUBTFUL)


def readable(err: str) -> str:
    """Error text with its lines again: the process module shows each newline as a visible escape."""
    return err.replace("\\n", "\n").strip()


def open_writer(settings: HasPrefix) -> CliWriter:
    """The writer of one Slurm. Starts nothing."""
    return CliWriter(settings.prefix)


class HasPrefix(Protocol):
    """What is needed of `collectors.slurm.SlurmSettings`."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words before a writing command."""
        ...


def _checked(change: Change) -> tuple[str, ...]:
    """The targets, or ValueError. The gate has checked them against the inventory; this is the last door."""
    known: Collection[str] = _NODE_STATES if change.kind == "node" else _JOB_WORDS
    if change.kind not in {"node", "job"} or change.action not in known:
        raise ValueError(f"{change.action} of a {change.kind} is not an action")
    if not change.targets:
        raise ValueError("no targets: nothing is sent")
    pattern = _NAME if change.kind == "node" else _ID
    for name in change.targets:
        if not pattern.fullmatch(name) or name.upper() == "ALL":
            raise ValueError(f"{clean(name)[:60]!r} is no {change.kind} that can be named to Slurm")
    if len(set(change.targets)) != len(change.targets):
        raise ValueError("a target is named twice")
    return change.targets


def _reason(text: str | None) -> str:
    """One line, no control characters, capped: it becomes one argv element."""
    reason = clean(" ".join((text or "").split()))[:REASON_CAP]
    if not reason:
        raise ValueError("a drain needs a reason")
    return reason


def _folded(names: tuple[str, ...]) -> str:
    """The names as one node set, proven to mean exactly these names."""
    text = fold(names)
    if frozenset(expand(text, cap=len(names))) != frozenset(names):
        return ",".join(names)
    return text


def _batches(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(names), BATCH):
        yield names[start : start + BATCH]

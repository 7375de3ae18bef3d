"""The child that makes one change through pyslurm: `python -m collectors.slurm.native.write_worker VERB [--…]
TARGETS`.

Only `write` starts it, as it would a command; nothing imports it. Its arguments are all that it does, so the preview
and the journal show what ran. It prints SENDING on stdout before its first change, and a NativeResult as its last line;
it exits with 0 if all was done, else with 1. Verified with pyslurm 25.11.2 on a live 25.11.7:

- `Node.modify` is one call for all nodes, like scontrol's, and may change some before it fails for another.
- `Job.requeue` also reruns jobs that have ended, and has no `Incomplete`: the states are read first.
- `Job.cancel` is silent about a job that is gone, as scancel is: that is no failure. It is read back anyway.
- A job of an array is changed by `jobs.numbers_of`.
- `Job.hold(mode="user")` writes to address 0: it is never called.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from collectors.child_process import claim_stdout
from collectors.clean import clean
from collectors.nodeset import expand

from . import pyslurm_library
from .field_reads import number
from .jobs import GONE, live, numbers_of
from .protocol import SENDING, NativeResult

#: After these errors it is unknown whether the controller executed the call: the answer is missing.
_DOUBTFUL = frozenset({1000, 1002, 1003, 1004, 1802, 1803, 5003, 5004})
#: Errors of the controller or the caller: the next job would fail too. 1005 and 1007: it could not read the request.
_OF_ALL = frozenset({1001, 1005, 1007, 1800, 1801, 1804, 1805})
#: The states that nodes can be set to.
NODE_STATES = ("DRAIN", "UNDRAIN", "RESUME", "DOWN")
_ID = re.compile(r"[0-9]+(?:_[0-9]+)?", re.ASCII)
_WAITS = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"})


class PyslurmCalls:
    """Makes the changes of one call and collects the results."""

    def __init__(self, pyslurm: Any, out: int) -> None:
        self.slurm = pyslurm
        self._out = out
        self._began = False
        self.refused: dict[str, str] = {}
        self.said: list[str] = []
        self.doubt = False
        self._named: dict[str, tuple[str, ...]] = {}
        """Job number to the targets it represents."""

    def nodes(self, state: str, targets: str, reason: str | None) -> None:
        """One update for the whole node set."""
        names = expand(targets)
        changes = {"state": state} | ({"reason": reason} if reason else {})
        code, text = self._call(lambda: self.slurm.Node(targets).modify(self.slurm.Node(**changes)), "node update")
        if code is None or code in _DOUBTFUL:
            return
        if len(names) == 1 or code in _OF_ALL or code in {2002, 2010}:
            self.refused = dict.fromkeys(names, text)
        else:
            self.said.append(text)  # it names no node, and may have changed all others

    def jobs(self, verb: str, ids: Sequence[str], priority: int | None) -> None:
        """Job by job, until the controller itself fails. `verb` as `requests.verb` makes it."""
        self._named = {job: (job,) for job in ids if "_" not in job} | self._arrays(verb, ids)
        left = list(self._named)
        if verb in {"requeue", "requeuehold"}:
            left = self._requeueable(left)
        for at, job in enumerate(left):
            code, text = self._call(self._doing(verb, int(job), priority), f"{verb} {job}")
            if code is None:
                continue
            if code in _DOUBTFUL:
                self._refuse(left[at + 1 :], "not sent: the call before it got no answer")
                return
            self._refuse([job], text)
            if code in _OF_ALL:
                self._refuse(left[at + 1 :], f"not sent: {text}")
                return
        if verb == "scancel":
            self._read_back([job for job in left if self.refused.keys().isdisjoint(self._named[job])])

    def _arrays(self, verb: str, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Number to the requested array tasks that it represents; others are refused."""
        tasks = [one for one in ids if "_" in one]
        if not tasks:
            return {}
        try:
            found, unable = numbers_of(self.slurm.Jobs.load().values(), verb, tasks)
        except self.slurm.RPCError as error:
            found, unable = {}, dict.fromkeys(tasks, clean(f"not sent, since its array cannot be read: {error}"))
        self.refused |= unable
        return found

    def _refuse(self, numbers: Iterable[str], why: str) -> None:
        for one in numbers:
            self.refused |= dict.fromkeys(self._named[one], why)

    def _doing(self, verb: str, job: int, priority: int | None) -> Callable[[], object]:
        one = self.slurm.Job(job)
        calls: dict[str, Callable[[], object]] = {
            "requeue": one.requeue,
            "requeuehold": lambda: one.requeue(hold=True),
            "hold": one.hold,
            "release": one.release,
            "scancel": one.cancel,
            "Priority": lambda: one.modify(self.slurm.JobSubmitDescription(priority=priority)),
        }
        return calls[verb]

    def _call(self, do: Callable[[], object], what: str) -> tuple[int | None, str]:
        """Do it once: None if Slurm did not refuse, else the error's number and text."""
        if not self._began:
            self._began = True
            os.write(self._out, SENDING)
        try:
            do()
        except self.slurm.RPCError as error:
            found = error.errno if isinstance(error.errno, int) else -1
            text = clean(str(error))[:200]
            if found in _DOUBTFUL:
                self.doubt = True
                self.said.append(f"{what}: {text}; it may have been done")
            return found, text
        return None, ""

    def _states(self) -> dict[str, str]:
        """Job number to state, for live jobs."""
        return {str(number(record, "id")): state for record, state in live(self.slurm.Jobs.load().values())}

    def _requeueable(self, ids: Sequence[str]) -> list[str]:
        """The running ones; the others are refused, since pyslurm would rerun ended jobs."""
        try:
            states = self._states()
        except self.slurm.RPCError as error:
            self._refuse(ids, clean(f"not sent, since its state cannot be read: {error}"))
            return []
        found = []
        for job in ids:
            state = states.get(job)
            if state is None or state in _WAITS:
                self._refuse([job], GONE if state is None else f"it waits already ({state})")
            else:
                found.append(job)
        return found

    def _read_back(self, ids: Iterable[str]) -> None:
        """Check that each cancelled job has ended or completes."""
        try:
            states = self._states()
        except self.slurm.RPCError as error:
            self.said.append(clean(f"cancel could not be read back: {error}"))
            return
        for job in ids:
            if states.get(job, "COMPLETING") != "COMPLETING":
                self.doubt = True
                self.said.append(f"job {job} was asked to end and is still {states[job]}")


def main(words: Sequence[str]) -> int:
    """Make the change and print the result. Returns the exit status."""
    out = claim_stdout()
    asked = _parser().parse_args(words)
    calls: PyslurmCalls | None = None
    try:
        calls = PyslurmCalls(pyslurm_library.load(), out)
        if asked.verb in NODE_STATES:
            calls.nodes(asked.verb, asked.targets, asked.reason)
        else:
            calls.jobs(asked.verb, _ids(asked.targets), asked.priority)
        result = NativeResult(refused=calls.refused, said=tuple(calls.said), doubt=calls.doubt)
    except pyslurm_library.PyslurmFault as error:
        result = NativeResult(refused={"": "; ".join(part for part in error.told[1:] if part)})
    except Exception as error:
        told = pyslurm_library.fault_of(calls.slurm, error, asked.verb)[1] if calls else str(error)
        result = NativeResult(said=(clean(told),), doubt=True)
    os.write(out, msgspec.json.encode(result) + b"\n")
    return 0 if not (result.refused or result.said) else 1


def _ids(targets: str) -> list[str]:
    """Job numbers, or array tasks (`101_[0-9]`); int() would read 101_3 as 1013. Raises PyslurmFault."""
    found = list(expand(targets)) if "_" in targets else targets.split(",")
    if not all(_ID.fullmatch(one) for one in found):
        raise pyslurm_library.PyslurmFault("missing", f"pyslurm names jobs by number alone: {clean(targets)[:80]}")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="write_worker")
    verbs = (*NODE_STATES, "requeue", "requeuehold", "hold", "release", "scancel", "Priority")
    parser.add_argument("verb", choices=verbs)
    parser.add_argument("--reason")
    parser.add_argument("--priority", type=int)
    parser.add_argument("targets")
    return parser


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(ended)

"""All that writes to Slurm by command: scontrol, scancel and sacctmgr, as `collectors.slurm.operations` spells it.

Only `console.gate.gate` and `collectors.slurm.writers` may import this module; a test enforces it.

Verified on live 24.11.5 and 26.05.5 controllers: a node update that fails names no node and may have changed all
others; hold, release and requeue process their whole list and name each refused job, as an update of jobs does; scancel
is silent about jobs that are gone; reboot skips a node with exit status 0, and `requeue Incomplete` silently skips a
job that waits or has ended.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence

from collectors import process
from collectors.model import Change, Sent, SourceFault
from collectors.nodeset import expand
from collectors.slurm import operations

DEADLINE_S = 30.0

_REFUSED = (
    re.compile(r"^(?P<why>.+) for job (?P<id>[0-9_+]+)\s*$"),
    re.compile(r"^scancel: error: Kill job error on job id (?P<id>[0-9_+]+): (?P<why>.+)$"),
)
#: Array tasks are named in groups, by 26.05 in brackets; a successful one may be among them (`22_[1-2]: No error`).
_TASKS = re.compile(r"^(?P<job>[0-9]+)_\[?(?P<tasks>[0-9][0-9,-]*)\]?: (?P<why>.+)$")
_SKIPPED = re.compile(r"^scontrol: error: (?P<why>Skipping reboot of nodes (?P<nodes>\S+) due to current node state)")
#: Printed as an error, with exit status 1, for a priority lowered by the owner: it was changed anyway.
NOT_A_REFUSAL = "Changes to job priority are not persistent"
#: After these errors it is unknown whether the controller executed the call. 24.11 prints the second when it cannot
#: connect.
_DOUBTFUL = ("timed out", "Unexpected message", "Zero Bytes", "Transport endpoint", "Connection reset", "Broken pipe",
             "send failure", "receive failure", "shutdown failure")  # fmt: skip
#: These concern the caller or the controller: if every target met one, the next call would fail too.
_TO_ALL = ("Unable to contact", "Invalid user id", "Access/permission denied", "Permission denied", "authentication",
           "Rate limit", "standby mode", "Request denied", "unge", "RebootProgram isn't defined",
           # One reservation is created for all of them, or none.
           "Error creating the reservation", "No reservation created")  # fmt: skip
#: What sudo prints instead of running a command, and what it may print besides: a warning, a prompt on stderr (`-S`).
_SUDO = re.compile(
    r"sudo: |Sorry, user |\S+ (?:is not in the sudoers file|is not allowed to run sudo|may not run sudo)"
)
_SUDO_BESIDES = re.compile(r"sudo: (?:unable to resolve host|warning)|\[sudo\] ")


class CliWriter:
    """Writes with scontrol and scancel, after a site's `prefix` (`sudo -n`). Keeps no state between calls."""

    takes_arrays = True
    """Whether it sends `Change.arrays` by their own ids."""

    def __init__(self, prefix: Sequence[str] = (), deadline_s: float = DEADLINE_S, conf: str | None = None) -> None:
        """`conf` names another slurm.conf than this computer's own. It is part of each command, visible in preview and
        journal; sudo, which drops the environment, accepts it too."""
        self._prefix = tuple(prefix)
        if conf is not None:
            self._prefix = (*(prefix or ("env",)), f"SLURM_CONF={conf}")
        self._deadline_s = deadline_s

    name = "cli"

    def unsupported_targets(self, change: Change) -> Mapping[str, str]:
        """The commands can do everything."""
        return {}

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """Exactly what `send` would run.

        Raises ValueError if the Change has anything that is not a plain name or id, SourceFault("missing") if a program
        is not on PATH.
        """
        return tuple(argv for argv, _ in self._calls(change))

    def send(self, change: Change) -> Sequence[Sent]:
        """Run them in order; stop after a call that failed because of the controller or the caller's rights."""
        ended = []
        for argv, targets in self._calls(change):
            sent = self._one(argv, targets)
            ended.append(sent)
            if sent.rc is None or sent.fatal:
                break
        return tuple(ended)

    def _calls(self, change: Change) -> list[operations.Call]:
        """Each command as it runs, with its targets. Everything is checked before the first one is returned."""
        return [
            ((*self._before(), self._path(program), *words), targets)
            for (program, *words), targets in operations.calls(change)
        ]

    def _before(self) -> tuple[str, ...]:
        return (self._path(self._prefix[0]), *self._prefix[1:]) if self._prefix else ()

    @staticmethod
    def _path(program: str) -> str:
        return process.find(program)

    def _one(self, argv: tuple[str, ...], targets: tuple[str, ...]) -> Sent:
        try:
            ended = process.run(argv, deadline_s=self._deadline_s, cap_bytes=1 << 20, spared=True)
        except SourceFault as error:
            # It could not be started: a certain failure for every target.
            text = str(error.fault)
            refused = dict.fromkeys(targets, text)
            return Sent(argv=argv, targets=targets, rc=127, err=text, refused=refused, fatal=True)
        rc: int | None = ended.rc
        err = with_newlines(ended.err)
        if ended.timed_out or ended.capped:
            rc, err = None, f"no answer in {self._deadline_s:g} s; it may have been done. {err}".strip()
        elif rc and is_doubtful(err):
            rc = None
        refused = refusals(rc, err, targets)
        fatal = len(refused) == len(targets) and concerns_all(err)
        return Sent(argv=argv, targets=targets, rc=rc, err=err, took_s=ended.took_s, refused=refused, fatal=fatal)


def refusals(rc: int | None, err: str, targets: Sequence[str]) -> dict[str, str]:
    """Target to Slurm's error, for targets that certainly failed.

    `rc` None: the others are in doubt. An error without a name is certain for a single target, and for all if it
    concerns the caller or the controller.
    """
    wanted = frozenset(targets)
    lines = [line for line in err.split("\n") if not _SUDO_BESIDES.match(line)] or [""]
    # The process module keeps this much; a cut text may end inside an id.
    if len(err.encode()) > process.ERR_BYTES - 100:
        lines[-1] = ""
    lines = [line for line in lines if NOT_A_REFUSAL not in line]
    named = {target: why for line in lines for target, why in _named(line) if target in wanted}
    if rc and lines and not named and (len(targets) == 1 or concerns_all(err)):
        return dict.fromkeys(targets, lines[0] or f"exit status {rc}")
    return named


def _named(line: str) -> Iterator[tuple[str, str]]:
    """The targets that a line of error text refuses, with its reason."""
    skipped = _SKIPPED.match(line)
    if skipped:
        with contextlib.suppress(ValueError):
            yield from ((node, skipped["why"]) for node in expand(skipped["nodes"]))
    tasks = _TASKS.match(line)
    if tasks and tasks["why"] != "No error" and not is_doubtful(tasks["why"]):
        with contextlib.suppress(ValueError):
            yield from ((job, tasks["why"]) for job in expand(f"{tasks['job']}_[{tasks['tasks']}]"))
    for pattern in _REFUSED:
        match = pattern.match(line)
        if match and not is_doubtful(match["why"]):
            yield match["id"], match["why"]


def is_doubtful(text: str) -> bool:
    """Whether an error leaves open if the controller executed the call."""
    return any(doubt in text for doubt in _DOUBTFUL)


def concerns_all(text: str) -> bool:
    """Whether an error concerns the caller or the controller, so that the next call would fail too."""
    said = [line for line in text.split("\n") if line and not _SUDO_BESIDES.match(line)]
    # If sudo refused, the command never ran.
    return any(sign in text for sign in _TO_ALL) or (bool(said) and all(_SUDO.match(line) for line in said))


def with_newlines(err: str) -> str:
    """Error text with real line breaks: the process module shows each newline as a visible escape."""
    return err.replace("\\n", "\n").strip()

"""All that writes to Slurm by command, and nothing else: a frozen Change becomes scontrol and scancel (see `argv`).

Only `console.gate.gate` may import this module; a test holds that. It also opens the writers of the other roads.

What each command really does, and every text that is parsed here, was seen on live 24.11.5 and 26.05.5 controllers:
a node update that fails names no node and may have changed all others; hold, release and requeue go through their
whole list and name each job they refuse, and so does an update of jobs; scancel is silent about jobs that are gone;
reboot skips a node with exit status 0, and so does `requeue Incomplete` a job that waits or has ended, without a word.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence

from collectors import process
from collectors.model import Change, Sent, SourceFault
from collectors.nodeset import expand

from . import argv as spelling

DEADLINE_S = 30.0

_REFUSED = (
    re.compile(r"^(?P<why>.+) for job (?P<id>[0-9_+]+)\s*$"),
    re.compile(r"^scancel: error: Kill job error on job id (?P<id>[0-9_+]+): (?P<why>.+)$"),
)
#: Array tasks are named in groups, by 26.05 in brackets; one that fared well may be among them (`22_[1-2]: No error`).
_TASKS = re.compile(r"^(?P<job>[0-9]+)_\[?(?P<tasks>[0-9][0-9,-]*)\]?: (?P<why>.+)$")
_SKIPPED = re.compile(r"^scontrol: error: (?P<why>Skipping reboot of nodes (?P<nodes>\S+) due to current node state)")
#: Said as an error, with exit status 1, of a priority that an owner lowered: it was changed all the same.
NO_REFUSAL = "Changes to job priority are not persistent"
#: After these nobody can say whether the controller has done it. 24.11 says the second when it cannot connect.
_DOUBTFUL = ("timed out", "Unexpected message", "Zero Bytes", "Transport endpoint", "Connection reset", "Broken pipe",
             "send failure", "receive failure", "shutdown failure")  # fmt: skip
#: These concern the caller or the controller: where every target met one, the next call would fare alike.
_TO_ALL = ("Unable to contact", "Invalid user id", "Access/permission denied", "Permission denied", "authentication",
           "Rate limit", "standby mode", "Request denied", "unge", "RebootProgram isn't defined",
           # One reservation is made of all of them, or none is.
           "Error creating the reservation", "No reservation created")  # fmt: skip
#: What sudo says instead of running a command, and what it may say besides: a warning, a question on stderr (`-S`).
_SUDO = re.compile(
    r"sudo: |Sorry, user |\S+ (?:is not in the sudoers file|is not allowed to run sudo|may not run sudo)"
)
_SUDO_BESIDES = re.compile(r"sudo: (?:unable to resolve host|warning)|\[sudo\] ")


class CliWriter:
    """Writes through scontrol and scancel, after a site's `prefix` (`sudo -n`). Keeps nothing between calls."""

    def __init__(self, prefix: Sequence[str] = (), deadline_s: float = DEADLINE_S, conf: str | None = None) -> None:
        """`conf` names another slurm.conf than this computer's own. It stands in each command, where whoever reads the
        preview and the journal sees it; sudo, which lets no environment through, takes it like that too."""
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
            if sent.rc is None or sent.fatal:
                break
        return tuple(ended)

    def _calls(self, change: Change) -> list[spelling.Call]:
        """Each command as it runs, with its targets. Everything is checked before the first one is returned."""
        return [
            ((*self._before(), self._path(program), *words), targets)
            for (program, *words), targets in spelling.calls(change)
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
            # It could not even be started: that much is certain, for every target.
            text = str(error.fault)
            refused = dict.fromkeys(targets, text)
            return Sent(argv=argv, targets=targets, rc=127, err=text, refused=refused, fatal=True)
        rc: int | None = ended.rc
        err = readable(ended.err)
        if ended.timed_out or ended.capped:
            rc, err = None, f"no answer in {self._deadline_s:g} s; it may have been done. {err}".strip()
        elif rc and doubtful(err):
            rc = None
        refused = refusals(rc, err, targets)
        fatal = len(refused) == len(targets) and to_all(err)
        return Sent(argv=argv, targets=targets, rc=rc, err=err, took_s=ended.took_s, refused=refused, fatal=fatal)


def refusals(rc: int | None, err: str, targets: Sequence[str]) -> dict[str, str]:
    """Target to what Slurm said against it, for those it is certain of.

    `rc` None: the others are in doubt. An error that names nobody is certain for one target, and for all when it
    speaks of the caller or the controller.
    """
    wanted = frozenset(targets)
    lines = [line for line in err.split("\n") if not _SUDO_BESIDES.match(line)] or [""]
    # The process module keeps so much; what was cut may end in the middle of an id.
    if len(err.encode()) > process.ERR_BYTES - 100:
        lines[-1] = ""
    lines = [line for line in lines if NO_REFUSAL not in line]
    named = {target: why for line in lines for target, why in _named(line) if target in wanted}
    if rc and lines and not named and (len(targets) == 1 or to_all(err)):
        return dict.fromkeys(targets, lines[0] or f"exit status {rc}")
    return named


def _named(line: str) -> Iterator[tuple[str, str]]:
    """The targets that a line of error text refuses, with its reason."""
    skipped = _SKIPPED.match(line)
    if skipped:
        with contextlib.suppress(ValueError):
            yield from ((node, skipped["why"]) for node in expand(skipped["nodes"]))
    tasks = _TASKS.match(line)
    if tasks and tasks["why"] != "No error" and not doubtful(tasks["why"]):
        with contextlib.suppress(ValueError):
            yield from ((job, tasks["why"]) for job in expand(f"{tasks['job']}_[{tasks['tasks']}]"))
    for pattern in _REFUSED:
        match = pattern.match(line)
        if match and not doubtful(match["why"]):
            yield match["id"], match["why"]


def doubtful(text: str) -> bool:
    """Whether an error leaves open if the controller has done it."""
    return any(doubt in text for doubt in _DOUBTFUL)


def to_all(text: str) -> bool:
    """Whether an error concerns the caller or the controller, so that the next call would fare alike."""
    said = [line for line in text.split("\n") if line and not _SUDO_BESIDES.match(line)]
    # Where sudo has refused, nobody else has said anything: the command never ran.
    return any(sign in text for sign in _TO_ALL) or (bool(said) and all(_SUDO.match(line) for line in said))


def readable(err: str) -> str:
    """Error text with its lines again: the process module shows each newline as a visible escape."""
    return err.replace("\\n", "\n").strip()

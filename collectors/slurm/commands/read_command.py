"""Runs Slurm's read commands: output with a fence that free text cannot forge, and errors as named faults."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterator, Sequence
from functools import lru_cache

from collectors import process
from collectors.clean import clean, decode
from collectors.model import SourceFault
from collectors.nodeset import expand
from collectors.shared_readings import FENCE, CommandRunner
from collectors.slurm.fields import text_or_none

#: Larger outputs are rejected: 100,000 jobs are 24 MB, and a million tasks fit.
MAX_BYTES = 256 << 20
#: Longest argument (Linux allows 128 KiB): for more names, read all and select.
MAX_ARGUMENT = 100_000
#: Bytes of an answer that are split into rows in one call, which blocks other threads: a millisecond.
_BLOCK = 256 << 10

_NAMED = (
    ("Rate limit exceeded", "backoff", "the controller limits this user's calls; wacht waits longer"),
    ("Unable to contact slurm controller", "refused", "is slurmctld up? try: scontrol ping"),
    ("Unable to contact", "refused", "is slurmctld up? try: scontrol ping"),
    ("Connection refused", "refused", "is slurmctld up? try: scontrol ping"),
    ("Socket timed out", "timeout", "the controller is overloaded or hung; try: sdiag"),
    ("Protocol authentication error", "auth", "is munge running here with the cluster's key? try: munge -n | unmunge"),
    ("Invalid authentication credential", "auth", "has munge here the cluster's key? try: munge -n | unmunge"),
    ("auth_g_pack", "auth", "is munge running here? try: munge -n | unmunge"),
    ("Munge", "auth", "is munge running here? try: munge -n | unmunge"),
    ("Could not establish a configuration source", "missing", "no slurm.conf: set SLURM_CONF"),
    ("Unable to determine", "missing", "no slurm.conf: set SLURM_CONF"),
    ("Access/permission denied", "auth", "ask the site for the right to read this"),
    ("Invalid user", "auth", "this user is unknown to the controller"),
)  # fmt: skip


def fence() -> str:
    """A fresh random fence: letters only, since in `-O` a digit after the colon is read as a width."""
    return "".join(secrets.choice(string.ascii_uppercase) for _ in range(16))


def ask(argv: Sequence[str], deadline_s: float, despite: str | None = None, run: CommandRunner | None = None) -> bytes:
    """Run one read command and return its output. Raises SourceFault with what happened and how to fix it.

    An answer that contains `despite` is accepted even if the command failed: scontrol ends with 1 if *one* of the
    requested names is unknown. `run` may have a cached answer; without it the command is run.
    """
    return _ask(argv, deadline_s, despite, run).out


def ask_rows(
    argv: Sequence[str], mark: str, deadline_s: float, columns: int, run: CommandRunner | None = None
) -> list[str]:
    """Run one fenced command, whose last word ends in `mark`, and return its raw rows. Raises SourceFault."""
    return [row for block in ask_blocks(argv, mark, deadline_s, columns, run) for row in block]


def ask_blocks(
    argv: Sequence[str], mark: str, deadline_s: float, columns: int, run: CommandRunner | None = None
) -> Iterator[list[str]]:
    """As `ask_rows`, some rows at a time: 100,000 in one call would block the keyboard's thread for a tenth of a
    second. Faults are raised before the first rows."""
    ended = _ask(argv, deadline_s, None, run)
    theirs = FENCE.search(ended.argv[-1])  # a cached answer has the fence of the console that ran the command
    return blocks(argv, mark if theirs is None else theirs[0], ended.out, columns)


def _ask(
    argv: Sequence[str], deadline_s: float, despite: str | None, run: CommandRunner | None
) -> process.ProcessResult:
    ended = (run or process.run)([process.find(argv[0]), *argv[1:]], deadline_s=deadline_s, cap_bytes=MAX_BYTES)
    name = " ".join([word for word in argv if not word.startswith("-")][:3]) if argv[0] == "scontrol" else argv[0]
    if ended.timed_out:
        raise SourceFault("timeout", f"{name} gave no answer in {deadline_s:g} s", "is the controller busy? try: sdiag")
    if ended.capped:
        raise SourceFault("malformed", f"{name} printed over {MAX_BYTES >> 20} MB", "is that Slurm's own command?")
    for sign, kind, mend in _NAMED:
        # `scontrol show topology` ends with 0 and prints nothing if no controller responds.
        if sign in ended.err and (ended.rc != 0 or kind == "backoff" or not ended.out):
            raise SourceFault(kind, f"{name}: {_first(ended.err)}", mend)
    if ended.rc != 0 and (despite is None or despite not in decode(ended.out)):
        how = f"ended with {ended.rc}" if ended.rc > 0 else f"was ended by signal {-ended.rc}"
        raise SourceFault(
            "refused",
            f"{name} {how}: {_first(ended.err) or _first(clean(decode(ended.out[:400]))) or 'it said nothing'}",
            "run it by hand to see",
        )
    return ended


def _first(err: str) -> str:
    """The first informative line of an error, without Slurm's own prefix."""
    line = next((part for part in err.split("\\n") if part.strip()), "")
    return re.sub(r"^(?:slurm_load_\w+ )?error: ", "", line)[:200]


def fenced(argv_of: Sequence[str], mark: str, out: bytes, columns: int) -> list[str]:
    """All raw rows of an answer. Raises SourceFault as `blocks`."""
    return [row for block in blocks(argv_of, mark, out, columns) for row in block]


def blocks(argv_of: Sequence[str], mark: str, out: bytes, columns: int) -> Iterator[list[str]]:
    """Split an answer at its fence into raw rows, without the header that proves the answer.

    Raises SourceFault: "empty" without a header, "cut" if the last row lacks its fence, "malformed" if the header has
    other columns than requested.
    """
    name, fence_at = argv_of[0], f"{mark}\n".encode()
    # Header and rows each end in the fence and a line break, so nothing may follow the last one.
    at = out.find(fence_at)
    header = decode(out[:at] if at >= 0 else out)
    if at < 0:
        if not header.strip():
            raise SourceFault("empty", f"{name} printed nothing, not even its header", "run it by hand to see")
        raise SourceFault("cut", f"{name} printed half a header", "run it by hand to see")
    if header.count("|") != columns - 1:
        raise SourceFault("malformed", f"{name} printed {header.count('|') + 1} columns, {columns} were asked for",
                          "is this version of Slurm one that wacht knows?")  # fmt: skip
    if not out.endswith(fence_at):
        raise SourceFault("cut", f"{name} was cut in the middle of a row", "wacht reads it again")
    return _blocks(out, fence_at, at + len(fence_at))


def _blocks(out: bytes, fence_at: bytes, start: int) -> Iterator[list[str]]:
    while start < len(out):
        end = out.rfind(fence_at, start, start + _BLOCK)
        if end < 0:  # a row longer than a block
            end = out.index(fence_at, start)
        yield decode(out[start:end]).split(fence_at.decode())
        start = end + len(fence_at)


def lines(out: bytes, name: str) -> list[str]:
    """The lines of an unfenced answer (`scontrol -o`). Raises SourceFault("cut") if the last one has no line end."""
    text = decode(out)
    if text and not text.endswith("\n"):
        raise SourceFault("cut", f"{name} was cut in the middle of a line", "wacht reads it again")
    return text.split("\n")[:-1]


def names_in(folded: str, name: str) -> tuple[str, ...]:
    """The names in a node set that Slurm printed. Raises SourceFault("malformed") for other text."""
    try:
        return expand(folded)
    except ValueError as error:
        raise SourceFault("malformed", clean(f"{name}: {error}"), "run it by hand to see") from None


@lru_cache(maxsize=16_384)
def value_or_none(value: str) -> str | None:
    """A field's value, None for Slurm's words for nothing; equal values share one object."""
    return None if text_or_none(value) is None else clean(value)

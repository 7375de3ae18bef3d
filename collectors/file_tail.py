"""The end of a file that a user's job wrote, read in a child process: a hanging file system ends with the child.

The child checks owner and type on the open descriptor: a plain file, not reached through a link, of which only the last
bytes are read. It must belong to the job's user. Otherwise someone who names a file as a job's output could choose what
this console's user, or a wall display, shows.
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import stat
import sys
from pathlib import Path

import msgspec

from . import child_process, files, process
from .clean import clean, decode
from .decoding import from_json
from .model import LogTail, SourceFault

#: Bytes from the end of the file, lines of these, and characters of a line.
MOST_BYTES = 64 << 10
MOST_LINES = 2000
LONGEST_LINE = 2000
#: A file system that responds does so at once.
DEADLINE_S = 5.0
#: Colour sequences: the only control sequences that training logs are full of, and they carry no content.
_COLOURS = re.compile(r"\x1b\[[0-9;]{0,40}m")
#: Slurm's patterns that 24.11 and before leave in a batch script's path; 26.05 leaves none.
_LEFT = re.compile(r"%([NJnts])")
#: A progress bar returns to the start of its line.
_BREAKS = re.compile(r"\r?\n|\r")


class TailResult(msgspec.Struct):
    """The child's header before the bytes. With a `kind` it is a fault, with the fields of SourceFault."""

    size: int = 0
    changed_at: int = 0
    begins_at: int = 0
    kind: str = ""
    what: str = ""
    mend: str = ""


def tail(path: str, user: str | None, deadline_s: float = DEADLINE_S) -> LogTail:
    """The end of a file that a job of `user` wrote. Raises SourceFault with the reason why it cannot be read."""
    if path == "/dev/null":
        raise SourceFault("missing", "the job threw its output away: it wrote to /dev/null")
    if not path.startswith("/") or "\0" in path:
        raise SourceFault("refused", f"{clean(path)[:200]!r} is no path that could be opened")
    argv = child_process.command("collectors.file_tail", path, user or "")
    ended = process.run(argv, deadline_s=deadline_s, cap_bytes=4 * MOST_BYTES, env=child_process.environment())
    if ended.timed_out:
        raise SourceFault("timeout", f"{path} could not be read in {deadline_s:g} s", "does its file system hang?")
    try:
        head, _, raw = ended.out.partition(b"\n")
        found = from_json(head, TailResult)
    except msgspec.DecodeError:
        why = ended.err[-200:] or "it said nothing"
        raise SourceFault("malformed", f"what reads {path} ended with {ended.rc}: {why}") from None
    if found.kind:
        raise SourceFault(found.kind, f"{path}: {found.what}", found.mend)
    lines = _BREAKS.split(_COLOURS.sub("", decode(raw)))
    if found.begins_at:
        lines = lines[1:]  # the rest of a line that begins earlier
    if lines and not lines[-1]:
        lines.pop()
    return LogTail(
        path=clean(path), size=found.size, changed_at=found.changed_at, begins_at=found.begins_at,
        lines=tuple(clean(one.expandtabs(4)[:LONGEST_LINE]) for one in lines[-MOST_LINES:]),
    )  # fmt: skip


def expand_patterns(path: str, job: str, host: str | None) -> str:
    """The path of a batch script's output with the remaining patterns of Slurm filled in: `%N` is the first node's
    name.

    Unchanged if a pattern's value is unknown.
    """
    number = job if job.isdecimal() else None  # a task of an array has another number, which is not known here
    known = {"N": host and host.partition(".")[0], "J": number, "n": "0", "t": "0", "s": "batch"}
    return _LEFT.sub(lambda match: known[match[1]] or match[0], path)


# -- in the child ------------------------------------------------------------------------------------------------------


def read_tail(path: Path, user: str) -> tuple[TailResult, bytes]:
    """Open the file, check it, read its end. Raises nothing: a fault is part of the result."""
    try:
        # Checked before it is opened: opening a device may have side effects.
        if not stat.S_ISREG(mode := os.lstat(path).st_mode):
            what = "a symbolic link, which is not followed" if stat.S_ISLNK(mode) else "no plain file"
            return TailResult(kind="refused", what=f"it is {what}"), b""
        with files.open_to_read(path, shut=None, follow=False) as fd:
            status = os.fstat(fd)
            if why := _not_theirs(status.st_uid, user):
                return TailResult(kind="refused", what=why), b""
            begins = max(0, status.st_size - MOST_BYTES)
            raw = os.pread(fd, MOST_BYTES, begins)
            return TailResult(size=status.st_size, changed_at=int(status.st_mtime), begins_at=begins), raw
    except files.UntrustedFile as error:
        return TailResult(kind="refused", what=str(error)), b""
    except OSError as error:
        why = os.strerror(error.errno or 0)
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            mend = "what a node keeps on its own disk can be read there alone"
            return TailResult(kind="missing", what="there is no such file on this host", mend=mend), b""
        kind = "auth" if error.errno in (errno.EACCES, errno.EPERM) else "refused"
        return TailResult(kind=kind, what=why, mend="it is its user's to show" if kind == "auth" else ""), b""


def _not_theirs(uid: int, user: str) -> str:
    """Why a file of this owner is not shown as output of this user's job, "" if it may be shown."""
    try:
        wanted = pwd.getpwnam(user).pw_uid
    except (LookupError, ValueError):
        return f"this host knows no user {user or 'of the job'}, so the owner of the file is unknown"
    return "" if uid == wanted else f"it belongs to uid {uid}, and not to the job's user {user}"


def main() -> None:
    """Send the header, then the bytes."""
    found, raw = read_tail(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n" + raw)


if __name__ == "__main__":
    main()

"""Writes an output file: complete or not at all, readable only by its owner, never through a symbolic link."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from collectors import files
from console.runtime.errors import UserError

_serial = itertools.count()


class CannotWrite(UserError):
    """The file was not written; the message says why and what to do."""


def save(path: Path, chunks: Iterable[bytes], over: bool = False) -> int:
    """Write a new file of mode 0600, or with `over` replace an existing one. Returns its size in bytes. Raises
    CannotWrite; errors of the chunks pass through and leave no file. Blocks on a hanging disk.
    """
    try:
        _room(path, over)
        # The old file stays until the new one is complete.
        begun = path.with_name(f".wacht-{os.getpid()}-{next(_serial)}.part") if over else path
        size = _write(begun, chunks)
        if over:
            try:
                begun.replace(path)
            except OSError:
                _drop(begun)
                raise
    except FileExistsError:
        raise CannotWrite(f"{path}: a file is there already; name another, or write over it with a !") from None
    except files.UntrustedFile as error:
        raise CannotWrite(f"{path}: {error}") from None
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        why = "the disk is full, nothing was left there; make room or name a file elsewhere" if full else error.strerror
        raise CannotWrite(f"{path}: {why}") from None
    return size


def _room(path: Path, over: bool) -> None:
    if not path.parent.is_dir():
        raise CannotWrite(f"{path.parent}: there is no such folder; make it, or name a file elsewhere")
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise files.UntrustedFile("it is a symbolic link; name another file")
    if not stat.S_ISREG(found.st_mode):
        raise files.UntrustedFile("it is no plain file; name another")
    if over and found.st_uid != os.geteuid():
        raise files.UntrustedFile(f"it belongs to another user (uid {found.st_uid}); name another file")
    if not over:
        raise FileExistsError


def _write(path: Path, chunks: Iterable[bytes]) -> int:
    fd, size = files.open_new(path), 0
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(fd, view) :]
            size += len(chunk)
        os.fsync(fd)  # a network file system may report a full quota only now
    except BaseException:
        _drop(path)
        raise
    finally:
        os.close(fd)
    return size


def _drop(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()

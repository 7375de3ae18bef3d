"""Opens files safely: checks who owns them, who else can change or read them, and that they are plain files.

Files that wacht trusts (configuration, certificates, racks, tokens) must be plain files of this user or root that no
other user can write, in a folder with the same properties; a token must not be readable by others either. Links are
followed: the target and both folders are checked. Files that wacht writes for itself (journal, log, crash reports,
recordings) are plain files of mode 0600 whatever the umask, owned by this user, and never reached through a link.

Checks use the open descriptor, since the name may already lead elsewhere. A FIFO or a device in its place does not
block. A hanging file system does: callers that must not wait open files in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

#: Mode bits that a file must not have: TRUSTED is not writable by others, SECRET not readable either.
TRUSTED, SECRET = 0o022, 0o077


class UntrustedFile(Exception):
    """A file that must not be used: `what` is wrong with it, and how to fix it if there is a way."""

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(f"{what}; try: {mend}" if mend else what)
        self.what = what
        self.mend = mend


@contextlib.contextmanager
def open_to_read(path: Path, shut: int | None = TRUSTED, follow: bool = True) -> Iterator[int]:
    """A descriptor for reading a file. `shut` None accepts any plain file, of any owner, in any folder.

    Raises OSError, and UntrustedFile for a file that fails the checks.
    """
    fd = _opened(path, os.O_RDONLY | (0 if follow else os.O_NOFOLLOW))
    try:
        _plain(fd, path)
        if shut is not None:
            check(path, os.fstat(fd), shut)
            for folder in dict.fromkeys((path.parent, path.resolve().parent)):
                check_folder(folder)
        yield fd
    finally:
        os.close(fd)


def read(path: Path, largest: int, shut: int | None = TRUSTED) -> bytes:
    """The content of a file, opened with `open_to_read`. Raises OSError; UntrustedFile also above `largest` bytes."""
    return read_with_owner(path, largest, shut)[0]


def read_with_owner(path: Path, largest: int, shut: int | None = TRUSTED) -> tuple[bytes, int]:
    """As `read`, with the uid of the file's owner."""
    with open_to_read(path, shut) as fd:
        owner = os.fstat(fd).st_uid
        found = bytearray()
        # Read no more than that, whatever fstat says: the file may grow meanwhile.
        while len(found) <= largest and (chunk := os.read(fd, min(1 << 20, largest + 1 - len(found)))):
            found += chunk
    if len(found) > largest:
        raise UntrustedFile(f"is larger than {_size(largest)}")
    return bytes(found), owner


def open_to_append(path: Path) -> int:
    """A descriptor for appending to a file of our own; the file and its folder are created if missing. Raises OSError,
    UntrustedFile."""
    make_folder(path.parent)
    _check_room(path.parent)
    fd = _opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)
    try:
        _plain(fd, path)
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            raise UntrustedFile(f"it belongs to another user (uid {found.st_uid})")
        if found.st_mode & SECRET:
            # Ours, but too open: what others could read so far cannot be undone, the rest can.
            os.fchmod(fd, 0o600)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_new(path: Path) -> int:
    """A descriptor of a new file of our own; its folder is created if missing. Raises OSError (FileExistsError if the
    name exists, even as a link), UntrustedFile."""
    make_folder(path.parent)
    _check_room(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def exists(path: Path) -> bool:
    """Whether the path exists; True also if this user may not see it, as in another user's home after `su`: the caller
    who opens it then gets the reason why it cannot be read."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, all closed to others whatever the umask says."""
    missing = []
    for one in (path, *path.parents):
        if one.exists():
            break
        missing.append(one)
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            one.mkdir(0o700)


def check(path: Path, status: os.stat_result, shut: int) -> None:
    """Raises UntrustedFile for a file that is neither this user's nor root's, or that others can write (or read, with
    SECRET)."""
    if status.st_uid not in (0, os.geteuid()):
        raise UntrustedFile(f"it belongs to another user (uid {status.st_uid})", "make a copy of your own")
    if status.st_mode & shut & TRUSTED:
        raise UntrustedFile("others can write it", f"chmod {'go-w' if shut == TRUSTED else '600'} {path}")
    if status.st_mode & shut:
        raise UntrustedFile("others can read it", f"chmod 600 {path}")


def check_folder(folder: Path) -> None:
    """Raises UntrustedFile for a folder in which others can replace a file; a sticky folder prevents that."""
    status = folder.stat()
    if status.st_uid not in (0, os.geteuid()):
        raise UntrustedFile(f"its folder {folder} belongs to another user (uid {status.st_uid})")
    _check_room(folder)
    if status.st_mode & stat.S_IWGRP and not status.st_mode & stat.S_ISVTX:
        raise UntrustedFile(f"its group can write in its folder {folder}", f"chmod go-w {folder}")


def _check_room(folder: Path) -> None:
    """Raises UntrustedFile for a folder in which any user can remove our file. Its owner and what a group may do there
    is the site's decision (sudo with another user's home): what is written is our own, and never through a link."""
    status = folder.stat()
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise UntrustedFile(f"everybody can write in its folder {folder}", f"chmod go-w {folder}")


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW:
            raise UntrustedFile("it is a symbolic link, this must be a plain file") from None
        raise


def _plain(fd: int, path: Path) -> None:
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise UntrustedFile("it is no plain file")


def _size(largest: int) -> str:
    return f"{largest >> 20} MB" if largest >= 1 << 20 else f"{largest >> 10} kB"

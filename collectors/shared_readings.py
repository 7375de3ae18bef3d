"""One reading for several consoles: what a reading command printed, kept in a small file for the next one that asks.

The output is kept byte for byte, so whoever takes it goes through the same parser and the same edge as with an answer
of its own. With it goes the monotonic moment when the command was started: that clock is one for all processes of a
computer until it boots again, so the age of what is taken is its true age. A file that is not beyond doubt (another
owner, a link, another boot, cut) is no file, and then the command runs as if there were none.

A cached answer is used only after `SharedCache.lend` has said how old it may be. The poller calls it; `act`, `snapshot`
and the gate do not, so they always ask Slurm itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import pwd
import re
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import Protocol

import msgspec
from msgspec import Struct

from . import files, process
from .clean import clean
from .decoding import msgpack_decoder
from .model import ReadOrigin, SourceFault
from .process import ProcessResult

#: 100,000 jobs are 24 MB. What is larger is not kept: the folder of a login is often in memory.
LARGEST = 64 << 20
_HEAD = 64 << 10
_VERSION = 1
#: How often one that waits for another's answer looks for it.
_LOOK_S = 0.05
#: The fence at the end of a command's last word: another one in every call, and no part of what is asked.
FENCE = re.compile(r"[A-Z]{16}\Z")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class CommandRunner(Protocol):
    """Runs a reading command: `process.run`, or a shelf that may have the answer."""

    def __call__(self, argv: Sequence[str], *, deadline_s: float, cap_bytes: int) -> ProcessResult:
        """As `process.run`; `argv` of what comes back is the command that was really run."""
        ...


class Published(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`published = { folder = "/run/wacht", owner = "wacht" }`: where a site's recorder leaves its readings."""

    folder: str
    """What `wacht record --publish` was given."""
    owner: str
    """The only account whose files there are believed: its name, or its number."""

    def __post_init__(self) -> None:
        if not self.folder.startswith("/"):
            raise ValueError("folder must begin at /")
        self.uid()

    def uid(self) -> int:
        """The number of the owner. Raises ValueError where this host knows no such account."""
        try:
            return int(self.owner) if self.owner.isdigit() else pwd.getpwnam(self.owner).pw_uid
        except KeyError:
            raise ValueError(f"this host knows no account {clean(self.owner)}") from None


class _Head(Struct, frozen=True, kw_only=True):
    """What stands before the output. `ended.out` is empty here: `size` bytes of it follow."""

    version: int
    boot: str
    form: tuple[str, ...]
    begun: float
    ended: ProcessResult
    size: int


class SharedAnswer(Struct, frozen=True, kw_only=True):
    """A command that was run, and the monotonic moment when it was started."""

    begun: float
    ended: ProcessResult


class SharedFolder:
    """A folder of readings, and whom it believes: files of `owner` that nobody else can write.

    A `private` one is the user's own, closed to all others, and is made where it is missing. Of any other the folder
    must be there, belong to `owner` or root, and be closed to writing; what is put there its group can read.
    """

    def __init__(self, folder: Path, owner: int, *, private: bool) -> None:
        self.folder = folder
        self._owner = owner
        self._private = private
        self._shut = 0o077 if private else 0o022

    def get(self, name: str, form: tuple[str, ...], since: float) -> SharedAnswer | None:
        """The answer of that name, if it was begun at `since` or later; None also for whatever is not to be trusted."""
        with contextlib.suppress(OSError, ValueError), self._open() as at:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, dir_fd=at), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or not self._trusts(status, (self._owner,)):
                    return None
                length = int.from_bytes(file.read(4), "big")
                if length > _HEAD:
                    return None
                head = msgpack_decoder(_Head).decode(file.read(length))
                known = head.version == _VERSION and head.boot == boot_id() and head.form == form
                if not known or not since <= head.begun <= time.monotonic() or head.size > LARGEST:
                    return None
                out = file.read(head.size + 1)
            if len(out) == head.size:
                ended = msgspec.structs.replace(head.ended, out=out, err=clean(head.ended.err))
                return SharedAnswer(begun=head.begun, ended=ended)
        return None

    def put(self, name: str, form: tuple[str, ...], answer: SharedAnswer) -> bool:
        """Keep an answer for others; all of it is there at once. False where it cannot be kept: that is no fault."""
        out = answer.ended.out
        bare = msgspec.structs.replace(answer.ended, out=b"")
        head = msgspec.msgpack.encode(
            _Head(version=_VERSION, boot=boot_id(), form=form, begun=answer.begun, ended=bare, size=len(out))
        )
        if len(out) > LARGEST or len(head) > _HEAD:
            return False
        new = f"{name}.new"
        with contextlib.suppress(OSError), self._open() as at:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new, dir_fd=at)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(new, flags, 0o600, dir_fd=at), "wb") as file:
                    if not self._private:
                        os.fchmod(file.fileno(), 0o640)
                    file.write(len(head).to_bytes(4, "big") + head)
                    file.write(out)
                os.replace(new, name, src_dir_fd=at, dst_dir_fd=at)
            except OSError:
                # A full disk took a part of it: others need the room.
                os.unlink(new, dir_fd=at)
                raise
            return True
        return False

    def lock(self, name: str, until: float) -> int | None:
        """Try to be the one that asks, until that monotonic moment at most: a descriptor to close, None when another
        is. Where there can be no lock, or its holder is past its own moment (it hangs, or was stopped with ^Z), -1:
        nothing to wait for, nothing to close.
        """
        fd = -1
        try:
            with self._open() as at:
                fd = os.open(f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=at)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(fd, f"{until:<32.3f}".encode(), 0)
        except BlockingIOError:
            said = os.pread(fd, 32, 0)
            os.close(fd)
            # One that has only just got it may not have written yet: what the holder before it wrote is then read.
            return None if not said or time.monotonic() <= float(said) else -1
        except OSError:
            if fd >= 0:
                os.close(fd)
            return -1
        return fd

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        """The folder, looked at once and then held. Raises OSError where it is not to be trusted."""
        if self._private:
            files.make_folder(self.folder)
        at = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not self._trusts(os.fstat(at), (self._owner,) if self._private else (self._owner, 0)):
                raise PermissionError(f"{self.folder} is not to be trusted")
            yield at
        finally:
            os.close(at)

    def _trusts(self, status: os.stat_result, owners: tuple[int, ...]) -> bool:
        return status.st_uid in owners and not status.st_mode & self._shut


class SharedCache:
    """The reading commands of one source: run, or taken from another console of the same user or from the recorder.

    Used by one thread. `cluster` is the name the console gives it; `own` None keeps nothing.
    """

    def __init__(self, cluster: str, own: SharedFolder | None, published: SharedFolder | None = None) -> None:
        self._cluster = cluster
        self._own = own
        self._published = published
        self._since: float | None = None
        self._first: float | None = None
        self._seen: dict[str, float] = {}
        self._took = 0.0
        self._lent = True
        self._closed = threading.Event()

    def lend(self, since: float) -> None:
        """From now on an answer will do that was begun at this monotonic moment or later."""
        self._since = since

    def begin(self) -> None:
        """Begin a reading: its first command may be as old as `lend` said, all others no older than the first."""
        self._first, self._took, self._lent = None, 0.0, True

    @property
    def taken(self) -> ReadOrigin | None:
        """Of the reading that was begun; None where nothing was to be lent, or nothing was asked."""
        if self._since is None or self._first is None:
            return None
        return ReadOrigin(begun=self._first, took_s=self._took, lent=self._lent)

    def publish(self, folder: Path) -> None:
        """From now on keep what is read in this folder, where its group can read it: for a site's recorder."""
        self._own, self._published = SharedFolder(folder, os.geteuid(), private=False), None

    def close(self) -> None:
        """Wait for nobody any longer."""
        self._closed.set()

    def run(self, argv: Sequence[str], *, deadline_s: float, cap_bytes: int) -> ProcessResult:
        """The answer to a command: lent, or asked for. Blocks for twice the deadline at most: once for another's
        answer, once for its own. Raises SourceFault as `process.run`, and "cut" when closed."""
        if self._since is None:
            return process.run(argv, deadline_s=deadline_s, cap_bytes=cap_bytes)
        form = question_of(argv)
        name = file_name_of(self._cluster, form)
        # A console must never be given what it has already: then its facts would stand still.
        newer = math.nextafter(self._seen.get(name, -math.inf), math.inf)
        since = max(newer, self._since) if self._first is None else self._first
        answer = self._ask(argv, form, name, since, deadline_s, cap_bytes)
        self._seen[name] = answer.begun
        self._took += answer.ended.took_s
        if self._first is None:
            self._first = answer.begun
        return answer.ended

    def _ask(
        self, argv: Sequence[str], form: tuple[str, ...], name: str, since: float, deadline_s: float, cap: int
    ) -> SharedAnswer:
        until = time.monotonic() + deadline_s
        lock: int | None = None
        try:
            # With the lock it looks once more: another may have answered and let go in between.
            while (found := self._look(name, form, since)) is None and lock is None and self._own is not None:
                lock = self._own.lock(name, time.monotonic() + deadline_s + 2 * process.GRACE_S)
                if lock is None:
                    if time.monotonic() >= until:
                        break
                    if self._closed.wait(_LOOK_S):
                        raise SourceFault("cut", "closed")
            if found is not None:
                return found
            self._lent = False
            begun = time.monotonic()
            ended = process.run(argv, deadline_s=deadline_s, cap_bytes=cap)
            answer = SharedAnswer(begun=begun, ended=ended)
            # What ended by a signal was ended by this console's own end. A refusal is an answer: asked again by each
            # of several, it would cost the controller in trouble several times.
            if self._own is not None and lock is not None and lock >= 0 and (ended.rc >= 0 or ended.timed_out):
                self._own.put(name, form, answer)
            return answer
        finally:
            if lock is not None and lock >= 0:
                os.close(lock)

    def _look(self, name: str, form: tuple[str, ...], since: float) -> SharedAnswer | None:
        for place in (self._own, self._published):
            if place is not None and (found := place.get(name, form, since)) is not None:
                return found
        return None


def shared_cache_of(cluster: str, share: bool, published: Published | None) -> SharedCache:
    """The shelf of a console: the user's own folder, unless sharing is off or a token says who asks, and the site's."""
    own = own_folder() if share and "SLURM_JWT" not in os.environ and boot_id() else None
    return SharedCache(
        cluster,
        SharedFolder(own, os.geteuid(), private=True) if own is not None else None,
        SharedFolder(Path(published.folder), published.uid(), private=False) if published is not None else None,
    )


def publishing_cache(cluster: str, folder: Path) -> SharedCache:
    """The shelf of a site's recorder: what it reads, the group of the folder can read. The folder is the site's to
    make: of the recorder's account or root, writable by nobody else (`install -d -o wacht -g operators -m 2750`)."""
    shelf = SharedCache(cluster, None)
    shelf.publish(folder)
    return shelf


def own_folder() -> Path | None:
    """Where this user's consoles share: the login's own folder if it is this user's (not so after `su`), or the cache;
    None where there is no home."""
    login = os.environ.get("XDG_RUNTIME_DIR")
    with contextlib.suppress(OSError):
        if login and login.startswith("/") and Path(login).stat().st_uid == os.geteuid():
            return Path(login) / "wacht"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    with contextlib.suppress(RuntimeError):
        return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "wacht" / "readings"
    return None


def question_of(argv: Sequence[str]) -> tuple[str, ...]:
    """What a command asks, whatever its fence."""
    return (*argv[:-1], FENCE.sub("", argv[-1]))


def file_name_of(cluster: str, form: Sequence[str]) -> str:
    """The file's name: told apart by cluster, computer (a home may be on several), configuration and command."""
    from hashlib import sha256  # it brings a library with it, and nobody asks before the first frame

    key = (cluster, os.uname().nodename, os.environ.get("SLURM_CONF", ""), *form)
    return f"{PurePath(form[0]).name}-{sha256(repr(key).encode()).hexdigest()[:24]}"


@cache
def boot_id() -> str:
    """This run of this computer, "" where it does not tell: the monotonic clock means nothing beyond it."""
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""

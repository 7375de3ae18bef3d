"""Shares readings between consoles: the output of a read command is kept in a small file for the next console.

The output is kept byte for byte, so it goes through the same parser and `clean` as an answer of one's own. The
monotonic time of the command's start is kept with it: all processes of a computer share that clock until it boots
again, so the age is the true age. A file that fails any check (another owner, a link, another boot, cut) is ignored,
and the command runs as if it did not exist.

A cached answer is used only after `SharedCache.lend` or `recall` has said how old it may be. The poller calls them;
`act`, `snapshot` and the gate do not, so they always ask Slurm itself.
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

#: Larger outputs are not kept (100,000 jobs are 24 MB): the folder is often in memory.
LARGEST = 64 << 20
_HEAD = 64 << 10
_VERSION = 1
#: Seconds between looks for another console's answer.
_LOOK_S = 0.05
#: The fence at the end of a command's last word: it differs in every call and is not part of the question.
FENCE = re.compile(r"[A-Z]{16}\Z")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class CommandRunner(Protocol):
    """Runs a read command: `process.run`, or a cache that may have the answer."""

    def __call__(self, argv: Sequence[str], *, deadline_s: float, cap_bytes: int) -> ProcessResult:
        """As `process.run`; `argv` of the result is the command that actually ran."""
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
        """The uid of the owner. Raises ValueError if this host does not know the account."""
        try:
            return int(self.owner) if self.owner.isdigit() else pwd.getpwnam(self.owner).pw_uid
        except KeyError:
            raise ValueError(f"this host knows no account {clean(self.owner)}") from None


class _Head(Struct, frozen=True, kw_only=True):
    """The header of a file. The output in `ended` is empty: `size` bytes of output follow the header."""

    version: int
    boot: str
    form: tuple[str, ...]
    begun: float
    ended: ProcessResult
    size: int


class SharedAnswer(Struct, frozen=True, kw_only=True):
    """A finished command, and the monotonic time of its start."""

    begun: float
    ended: ProcessResult


class SharedFolder:
    """A folder of readings, and the owner it trusts: files of `owner` that no other user can write.

    A `private` folder is the user's own, closed to all others, and created if missing. Any other must exist, belong to
    `owner` or root and not be writable by others; its group can read what is put there.
    """

    def __init__(self, folder: Path, owner: int, *, private: bool) -> None:
        self.folder = folder
        self._owner = owner
        self._private = private
        self._shut = 0o077 if private else 0o022

    def get(self, name: str, form: tuple[str, ...], since: float) -> SharedAnswer | None:
        """The answer of that name if it began at `since` or later; None also for an untrusted file."""
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
        """Store an answer atomically for other consoles. False if it cannot be stored, which is no fault."""
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
                # Remove a partial file of a full disk: others need the space.
                os.unlink(new, dir_fd=at)
                raise
            return True
        return False

    def lock(self, name: str, until: float) -> int | None:
        """Try to become the one that runs the command, until that monotonic time at most. Returns a descriptor to
        close; None if another console runs it; -1 if locking is impossible, or the holder exceeded its time (it hangs,
        or was stopped with ^Z): then there is nothing to wait for or to close."""
        fd = -1
        try:
            with self._open() as at:
                fd = os.open(f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=at)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(fd, f"{until:<32.3f}".encode(), 0)
        except BlockingIOError:
            said = os.pread(fd, 32, 0)
            os.close(fd)
            # A holder that has just got the lock may not have written yet; then the time of the one before is read.
            return None if not said or time.monotonic() <= float(said) else -1
        except OSError:
            if fd >= 0:
                os.close(fd)
            return -1
        return fd

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        """The folder, checked once and then held open. Raises OSError if it is not trusted."""
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
    """The read commands of one source: run, or taken from another console of the same user or from the recorder.

    Used by one thread. `cluster` is the console's name for it; `own` None stores nothing.
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
        self._recalling: tuple[float, float] | None = None
        self._closed = threading.Event()

    def lend(self, since: float) -> None:
        """From now on accept an answer that began at this monotonic time or later."""
        self._since = since

    def begin(self) -> None:
        """Begin a reading: its first command may be as old as `lend` said, the others no older than the first."""
        self._first, self._took, self._lent = None, 0.0, True

    @contextlib.contextmanager
    def recall(self, since: float, before: float) -> Iterator[None]:
        """Inside, `run` starts no command: it gives the newest stored answer if that began between these two monotonic
        times, and raises SourceFault if there is none."""
        lent, self._since, self._recalling = self._since, since, (since, before)
        self.begin()
        try:
            yield
        finally:
            self._since, self._recalling = lent, None

    @property
    def taken(self) -> ReadOrigin | None:
        """Where the current reading came from; None if sharing is off or nothing was asked."""
        if self._since is None or self._first is None:
            return None
        return ReadOrigin(begun=self._first, took_s=self._took, lent=self._lent)

    def publish(self, folder: Path) -> None:
        """From now on store what is read in this folder for its group: for a site's recorder."""
        self._own, self._published = SharedFolder(folder, os.geteuid(), private=False), None

    def close(self) -> None:
        """Stop waiting for other consoles."""
        self._closed.set()

    def run(self, argv: Sequence[str], *, deadline_s: float, cap_bytes: int) -> ProcessResult:
        """The answer to a command, cached or run. Blocks for twice the deadline at most: once for another console's
        answer, once for its own. Raises SourceFault as `process.run`, and "cut" if closed."""
        if self._since is None:
            return process.run(argv, deadline_s=deadline_s, cap_bytes=cap_bytes)
        form = question_of(argv)
        name = file_name_of(self._cluster, form)
        if self._recalling is not None:
            return self._recalled(name, form)
        # A console must not get the answer it already has: its facts would never advance.
        newer = math.nextafter(self._seen.get(name, -math.inf), math.inf)
        since = max(newer, self._since) if self._first is None else self._first
        answer = self._ask(argv, form, name, since, deadline_s, cap_bytes)
        self._seen[name] = answer.begun
        self._took += answer.ended.took_s
        if self._first is None:
            self._first = answer.begun
        return answer.ended

    def _recalled(self, name: str, form: tuple[str, ...]) -> ProcessResult:
        assert self._recalling is not None
        since, before = self._recalling if self._first is None else (self._first, math.inf)
        found = [one for place in (self._own, self._published) if place and (one := place.get(name, form, since))]
        newest = max(found, key=lambda one: one.begun, default=None)
        if newest is None or newest.begun >= before:
            raise SourceFault("missing", f"there is no older reading of {PurePath(form[0]).name}")
        if self._first is None:
            self._first = newest.begun
        self._took += newest.ended.took_s
        return newest.ended

    def _ask(
        self, argv: Sequence[str], form: tuple[str, ...], name: str, since: float, deadline_s: float, cap: int
    ) -> SharedAnswer:
        until = time.monotonic() + deadline_s
        lock: int | None = None
        try:
            # Look again with the lock held: another console may have answered and released it in between.
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
            # A command ended by a signal was ended by this console's own exit. A refusal is an answer: repeated by
            # every console it would cost an overloaded controller several times.
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
    """The cache of a console: the user's own folder, unless sharing is off or a token identifies the caller; and the
    site's."""
    own = own_folder() if share and "SLURM_JWT" not in os.environ and boot_id() else None
    return SharedCache(
        cluster,
        SharedFolder(own, os.geteuid(), private=True) if own is not None else None,
        SharedFolder(Path(published.folder), published.uid(), private=False) if published is not None else None,
    )


def publishing_cache(cluster: str, folder: Path) -> SharedCache:
    """The cache of a site's recorder: the folder's group can read what it stores. The site creates the folder, owned by
    the recorder's account or root and not writable by others (`install -d -o wacht -g operators -m 2750`)."""
    shared_cache = SharedCache(cluster, None)
    shared_cache.publish(folder)
    return shared_cache


def own_folder() -> Path | None:
    """The folder that this user's consoles share: the login's runtime folder if it is this user's (not after `su`), or
    the cache; None without a home."""
    login = os.environ.get("XDG_RUNTIME_DIR")
    with contextlib.suppress(OSError):
        if login and login.startswith("/") and Path(login).stat().st_uid == os.geteuid():
            return Path(login) / "wacht"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    with contextlib.suppress(RuntimeError):
        return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "wacht" / "readings"
    return None


def question_of(argv: Sequence[str]) -> tuple[str, ...]:
    """The command without its fence."""
    return (*argv[:-1], FENCE.sub("", argv[-1]))


def file_name_of(cluster: str, form: Sequence[str]) -> str:
    """The file's name, distinct by cluster, computer (a home may be shared by several), configuration and command."""
    from hashlib import sha256  # it loads a library that is not needed before the first frame

    key = (cluster, os.uname().nodename, os.environ.get("SLURM_CONF", ""), *form)
    return f"{PurePath(form[0]).name}-{sha256(repr(key).encode()).hexdigest()[:24]}"


@cache
def boot_id() -> str:
    """The boot id of this computer, "" if unknown: the monotonic clock is meaningless beyond one boot."""
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""

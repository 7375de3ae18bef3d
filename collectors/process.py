"""The one place that starts processes.

Every command gets an argv list (no shell), an absolute path, a closed stdin, a small environment, a process group of
its own, a deadline and an output cap. When a limit is reached, the whole group is killed: SIGTERM, then SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from msgspec import Struct

from .clean import clean, decode
from .model import SourceFault

#: Variables that a command inherits; the rest of the operator's environment is dropped. SLURM_* selects the cluster.
_KEPT = ("HOME", "USER", "LOGNAME", "PATH", "XDG_RUNTIME_DIR", "KRB5CCNAME", "SSH_AUTH_SOCK")
#: SLURM variables that change the output of a read but not its source: dropped so that output has one form.
_SHAPING = ("SLURM_BITSTR_LEN", "SLURM_TOPO_LEN", "SLURM_JSON", "SLURM_YAML", "SLURM_DEBUG_FLAGS")
GRACE_S = 0.5
_PIPE = 1 << 16
"""Bytes to read at once: the capacity of a pipe."""
_STOP_S = 0.1
"""Seconds within which a command that may be stopped notices it."""
_BEGINNING = 4 << 20
"""Bytes kept of an invalid answer, enough to see why; a copy of all of it would double the memory."""
#: Error output kept: one line for each of 500 refused targets.
ERR_BYTES = 256 << 10

_live: set[subprocess.Popen[bytes]] = set()
_live_lock = threading.Lock()
_counts = threading.local()
_stops = 0
"""How often `stop_all` was called: a command being started meanwhile must not outlive it."""


class ProcessResult(Struct, frozen=True, kw_only=True):
    """How a command ended. `rc` is negative for a signal; `timed_out` and `capped` say why wacht killed it."""

    argv: tuple[str, ...]
    rc: int
    out: bytes
    err: str
    took_s: float
    timed_out: bool = False
    capped: bool = False


def count_started() -> int:
    """How many commands and requests this thread has started; the difference is the cost of a source."""
    return int(getattr(_counts, "started", 0))


def count_request() -> None:
    """Count a request of this thread to the controller that starts no command."""
    _counts.started = count_started() + 1


@contextlib.contextmanager
def extra_environment(by: Mapping[str, str]) -> Iterator[None]:
    """Inside this context, commands that this thread starts also get these environment variables: they select the
    cluster."""
    before = getattr(_counts, "command_environment", {})
    _counts.command_environment = {**before, **by}
    try:
        yield
    finally:
        _counts.command_environment = before


#: The Slurm commands that wacht uses.
SLURM = frozenset({"sacct", "sacctmgr", "scancel", "scontrol", "sdiag", "sinfo", "sprio", "squeue", "sshare"})


def find(program: str) -> str:
    """Absolute path of `program` on PATH. Raises SourceFault("missing")."""
    path = shutil.which(program)
    if path is None:
        ours = "install Slurm's client commands, or load the site's module"
        mend = ours if program in SLURM else "install it, or put its folder on PATH"
        raise SourceFault("missing", f"{program} is not on PATH", f"{mend}, then start wacht again")
    return str(os.path.abspath(path))  # noqa: PTH100 - a path resolved through links would break multi-call wrappers


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command: the kept variables, SLURM_*, the C locale in UTF-8, and `extra`."""
    env = {
        key: value
        for key, value in os.environ.items()
        if key in _KEPT or (key.startswith("SLURM_") and key not in _SHAPING)
    }
    # Output filters of squeue and sinfo hide jobs and nodes if an operator's profile sets them.
    for key in list(env):
        if key.startswith(("SLURM_CLUSTERS", "SLURM_JOB_", "SLURM_STEP_")):
            del env[key]
    env.setdefault("PATH", os.defpath)
    env["LC_ALL"] = "C.UTF-8"
    env["SLURM_TIME_FORMAT"] = "%s"
    env.update(getattr(_counts, "command_environment", {}))
    env.update(extra or {})
    return env


def run(
    argv: Sequence[str],
    *,
    deadline_s: float,
    cap_bytes: int = 64 << 20,
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
    spared: bool = False,
    stop: threading.Event | None = None,
) -> ProcessResult:
    """Run one command until its end, deadline or output cap, and return its output.

    Blocks the calling thread. Raises SourceFault("missing") if the program cannot be started. A `spared` command
    changes the cluster: `stop_all` lets it run to its deadline, since a half-done change without a result is the worst
    outcome. Once `stop` is set the command is ended as at its deadline.
    """
    began, stops = time.monotonic(), _stops
    timed_out = False
    count_request()
    try:
        child = subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=dict(env) if env is not None else environment(), cwd=cwd, start_new_session=True, close_fds=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:  # ValueError: a NUL or a lone surrogate in a configured word
        why = getattr(error, "strerror", None) or error
        raise SourceFault("missing", clean(f"{argv[0]} cannot be started: {why}"), "check its path and mode") from None
    with _live_lock:
        if not spared:
            _live.add(child)
        late = stops != _stops and not spared
    try:
        if late:
            _end(child)
        out, err, timed_out, capped = _drain(child, began + deadline_s, cap_bytes, stop)
        # A process that even SIGKILL does not end (state D, or another user's under sudo) is abandoned and reported as
        # a time-out.
        ended = _end(child) if timed_out or capped else True
        rc = child.wait() if ended else -signal.SIGKILL
    finally:
        if child.returncode is None and not timed_out:
            _end(child)
        with _live_lock:
            _live.discard(child)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
    return ProcessResult(
        argv=tuple(argv), rc=rc, out=out, err=clean(decode(err[:ERR_BYTES]).strip()), took_s=time.monotonic() - began,
        timed_out=timed_out, capped=capped,
    )  # fmt: skip


def _drain(
    child: subprocess.Popen[bytes], deadline: float, cap: int, stop: threading.Event | None
) -> tuple[bytes, bytes, bool, bool]:
    """Read both pipes until they close and the child ends, or the deadline or the cap is reached."""
    assert child.stdout is not None and child.stderr is not None
    # One growing buffer is returned to the system whole; a list of 4,000 pieces left holes: 256 MB of output took 1.8
    # GB, and 500 MB stayed (glibc 2.36).
    out, err = bytearray(), bytearray()
    into = {child.stdout.fileno(): out, child.stderr.fileno(): err}
    with selectors.DefaultSelector() as selector:
        for fd in into:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0 or (stop is not None and stop.is_set()):
                return bytes(out[:_BEGINNING]), bytes(err), True, False
            for key, _ in selector.select(left if stop is None else min(left, _STOP_S)):
                chunk = os.read(key.fd, _PIPE)
                if not chunk:
                    selector.unregister(key.fd)
                    continue
                if len(out) + len(err) + len(chunk) > cap:
                    return bytes(out[:_BEGINNING]), bytes(err), False, True
                into[key.fd] += chunk
    # A child that closed its output but still runs is a hang.
    while (left := deadline - time.monotonic()) > 0 and not (stop is not None and stop.is_set()):
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(left if stop is None else min(left, _STOP_S))
            return bytes(out), bytes(err), False, False
    return bytes(out), bytes(err), child.poll() is None, False


def _end(child: subprocess.Popen[bytes]) -> bool:
    """End a child and its whole process group. False if it does not end."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
            if sig is signal.SIGTERM:
                # The leader is gone, but the rest of its group must not outlive it.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
            return True
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        return False
    return True


def run_in_foreground(argv: Sequence[str]) -> int:
    """Give the terminal to a program of the operator (ssh) and wait until it ends. Returns its exit code.

    It has the operator's environment, keys and signals, as if started from the shell: the caller must have suspended
    the console first. A SIGTERM or SIGHUP for the console ends the program first. For the main thread only. Raises
    SourceFault("missing") if it cannot be started.
    """
    try:
        child = subprocess.Popen(list(argv))
    except OSError as error:
        raise SourceFault("missing", f"{argv[0]} cannot be started: {error.strerror}", "check its path") from None
    ours = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def pass_on(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)
        if callable(own := ours[signal.Signals(number)]):
            own(number, frame)

    for number, own in ours.items():
        if own is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    try:
        return child.wait()
    finally:
        for number, own in ours.items():
            signal.signal(number, own)


def stop_all() -> None:
    """Kill every running read command: called when the console ends."""
    global _stops  # noqa: PLW0603 - one number of the whole program, under its lock
    with _live_lock:
        _stops += 1
        children = list(_live)
    for child in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


class Child:
    """A long-running child that exchanges messages over its pipes: 4 bytes of length, big-endian, then the body.

    Started as carefully as `run` starts a command, and ended by `kill`, by `stop_all` and, since it reads its stdin, by
    the end of this process. One thread talks to it and closes it; any thread may kill it.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cap_bytes: int = 16 << 20) -> None:
        stops = _stops
        self._cap, self._said, self._err = cap_bytes, bytearray(), b""
        try:
            self._child = subprocess.Popen(
                list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, cwd="/",
                env=dict(env) if env is not None else environment(), start_new_session=True, close_fds=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise SourceFault("missing", clean(f"{argv[0]} cannot be started: {why}"), "check its path") from None
        assert self._child.stdin is not None and self._child.stdout is not None and self._child.stderr is not None
        self._in, self._out, self._complaints = self._child.stdin, self._child.stdout, self._child.stderr
        os.set_blocking(self._in.fileno(), False)
        self._selector = selectors.DefaultSelector()
        for pipe in (self._out, self._complaints):
            self._selector.register(pipe, selectors.EVENT_READ)
        with _live_lock:
            _live.add(self._child)
            late = stops != _stops
        if late:
            self.kill()

    @property
    def pid(self) -> int:
        """Its process id, also its process group's."""
        return self._child.pid

    def how(self) -> str:
        """How it ended ("ended by signal 11: …") with its last error output; "runs" while it runs."""
        rc = self._child.poll()
        if rc is None:
            return "runs"
        said = clean(decode(self._err.strip().rpartition(b"\n")[2])[:200])
        return (f"ended with {rc}" if rc >= 0 else f"was ended by signal {-rc}") + (f": {said}" if said else "")

    def send(self, message: bytes) -> None:
        """Send one small message. Raises SourceFault("cut") if the child has ended or no longer reads."""
        frame = len(message).to_bytes(4, "big") + message
        try:
            whole = os.write(self._in.fileno(), frame) == len(frame)
        except OSError:
            whole = False
        if not whole:
            raise self._gone()

    def receive(self, deadline: float) -> bytes:
        """The next message. Raises SourceFault: "timeout" at the deadline (monotonic), "cut" if it has ended,
        "malformed" if the message exceeds the cap."""
        while True:
            if len(self._said) >= 4:
                size = int.from_bytes(self._said[:4], "big")
                if size > self._cap:
                    raise SourceFault("malformed", f"a message of {size} bytes is over the cap of {self._cap}")
                if len(self._said) >= size + 4:
                    message = bytes(self._said[4 : size + 4])
                    del self._said[: size + 4]
                    return message
            left = deadline - time.monotonic()
            if left <= 0:
                raise SourceFault("timeout", "no answer in time")
            for key, _ in self._selector.select(left):
                self._take(key.fd)

    def _take(self, fd: int) -> None:
        chunk = os.read(fd, 1 << 16)
        if fd == self._complaints.fileno():
            self._err = (self._err + chunk)[-4000:]
            if not chunk:
                self._selector.unregister(self._complaints)
        elif chunk:
            self._said += chunk
        else:
            raise self._gone()

    def _gone(self) -> SourceFault:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(GRACE_S)
        with contextlib.suppress(OSError):
            os.set_blocking(self._complaints.fileno(), False)
            self._err = (self._err + os.read(self._complaints.fileno(), 1 << 16))[-4000:]
        return SourceFault("cut", self.how())

    def kill(self) -> bool:
        """End it and its group at once. False if the kernel holds it (state D): then it ends when it is released."""
        if self._child.returncode is None:  # after wait its pid may be another process's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
        try:
            self._child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            return False
        with _live_lock:
            _live.discard(self._child)
        return True

    def close(self) -> bool:
        """Kill it and close its pipes. Only for the thread that talks to it. False as in `kill`."""
        ended = self.kill()
        self._selector.close()
        for pipe in (self._in, self._out, self._complaints):
            pipe.close()
        return ended

"""The one place where a process starts.

Every command gets an argv list (no shell), an absolute path, a closed stdin, a small environment, a process group
of its own, a deadline and an output cap. When one of these runs out, the whole group is killed: SIGTERM, then SIGKILL.
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
from collections.abc import Mapping, Sequence

from msgspec import Struct

from collectors.clean import clean, decode
from collectors.model import SourceFault

#: What a command inherits. Anything else of the operator's environment stays outside; SLURM_* chooses the cluster.
_KEPT = ("HOME", "USER", "LOGNAME", "PATH", "XDG_RUNTIME_DIR", "KRB5CCNAME", "SSH_AUTH_SOCK")
#: SLURM variables that change what a read prints, never where it reads: dropped so that output has one shape.
_SHAPING = ("SLURM_BITSTR_LEN", "SLURM_TOPO_LEN", "SLURM_JSON", "SLURM_YAML", "SLURM_DEBUG_FLAGS")
GRACE_S = 0.5

_live: set[subprocess.Popen[bytes]] = set()
_live_lock = threading.Lock()
_stops = 0
"""How often `stop_all` was called: a command that was being started meanwhile must not outlive it."""


class Ended(Struct, frozen=True, kw_only=True):
    """How a command ended. `rc` is negative for a signal; `timed_out` and `capped` tell why wacht killed it."""

    argv: tuple[str, ...]
    rc: int
    out: bytes
    err: str
    took_s: float
    timed_out: bool = False
    capped: bool = False


def find(program: str) -> str:
    """Absolute path of `program` on PATH. Raises SourceFault("missing")."""
    path = shutil.which(program)
    if path is None:
        raise SourceFault(
            "missing",
            f"{program} is not on PATH",
            "install Slurm's client commands, or load the site's module, then start wacht again",
        )
    return str(os.path.abspath(path))  # noqa: PTH100 - a path resolved through links would break multi-call wrappers


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command: the few kept names, SLURM_*, the C locale in UTF-8, and `extra`."""
    env = {
        key: value
        for key, value in os.environ.items()
        if key in _KEPT or (key.startswith("SLURM_") and key not in _SHAPING)
    }
    # Output filters of squeue and sinfo hide jobs and nodes when an operator has them in a profile.
    for key in list(env):
        if key.startswith(("SLURM_CLUSTERS", "SLURM_JOB_", "SLURM_STEP_")):
            del env[key]
    env.setdefault("PATH", os.defpath)
    env["LC_ALL"] = "C.UTF-8"
    env["SLURM_TIME_FORMAT"] = "%s"
    env.update(extra or {})
    return env


def run(
    argv: Sequence[str],
    *,
    deadline_s: float,
    cap_bytes: int = 64 << 20,
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
) -> Ended:
    """Run one command to its end, its deadline or its cap, whichever comes first, and return what it said.

    Blocks the calling thread. Raises SourceFault("missing") when the program cannot be started.
    """
    began, stops = time.monotonic(), _stops
    try:
        child = subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=dict(env) if env is not None else environment(), cwd=cwd, start_new_session=True, close_fds=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:  # ValueError: a NUL or a lone surrogate in a word of the configuration
        why = getattr(error, "strerror", None) or error
        raise SourceFault("missing", clean(f"{argv[0]} cannot be started: {why}"), "check its path and mode") from None
    with _live_lock:
        _live.add(child)
        late = stops != _stops
    try:
        if late:
            _end(child)
        out, err, timed_out, capped = _drain(child, began + deadline_s, cap_bytes)
        if timed_out or capped:
            _end(child)
        rc = child.wait()
    finally:
        if child.returncode is None:
            _end(child)
        with _live_lock:
            _live.discard(child)
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
    return Ended(
        argv=tuple(argv), rc=rc, out=out, err=clean(decode(err[:4000]).strip()), took_s=time.monotonic() - began,
        timed_out=timed_out, capped=capped,
    )  # fmt: skip


def _drain(child: subprocess.Popen[bytes], deadline: float, cap: int) -> tuple[bytes, bytes, bool, bool]:
    """Read both pipes until they close and the child ended, or the deadline or the cap is reached."""
    assert child.stdout is not None and child.stderr is not None
    parts: dict[int, list[bytes]] = {child.stdout.fileno(): [], child.stderr.fileno(): []}
    out_fd, err_fd = parts
    total = 0
    with selectors.DefaultSelector() as selector:
        for fd in parts:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return b"".join(parts[out_fd]), b"".join(parts[err_fd]), True, False
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, 1 << 20)
                if not chunk:
                    selector.unregister(key.fd)
                    continue
                total += len(chunk)
                if total > cap:
                    return b"".join(parts[out_fd]), b"".join(parts[err_fd]), False, True
                parts[key.fd].append(chunk)
    out, err = b"".join(parts[out_fd]), b"".join(parts[err_fd])
    try:
        # Pipes can close before the end: a child that closed its output and goes on is still a hang.
        child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return out, err, True, False
    return out, err, False, False


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child and everything in its process group."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
            if sig is signal.SIGTERM:
                # The leader is gone; what it left in its group must not outlive it.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
            return
    child.wait(5)


def stop_all() -> None:
    """Kill every command that still runs: called once when the console ends."""
    global _stops  # noqa: PLW0603 - one number of the whole program, under its lock
    with _live_lock:
        _stops += 1
        children = list(_live)
    for child in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)

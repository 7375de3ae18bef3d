"""The owner of a process: its user, and the Slurm job whose cgroup contains it.

A user cannot fake a cgroup, but can fake an environment: SLURM_JOB_ID counts only if the cgroup shows that Slurm
started the process and names the job by its SLUID (26.05's default on cgroup v2, unless CgroupJobIdPaths=yes). Reading
an environment takes a lock that a process wedged in the driver may hold for ever, and looking up a user's name may hang
on a directory service: both run in threads for which a GPU reading waits only briefly.
"""

from __future__ import annotations

import pwd
import queue
import re
import threading
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from collectors.clean import clean, decode

#: cgroup v1: /slurm/uid_1000/job_42/step_0; several slurmd on a host: /slurm_gpu0001/uid_1000/…
_V1 = re.compile(r"^/slurm[^/]*/uid_\d+/job_(\d+)(?:/|$)")
#: cgroup v2: …/slurmstepd.scope/job_42/step_0/user/task_0, several slurmd on a host: …/gpu0001_slurmstepd.scope/…
_V2 = re.compile(r"/(?:[^/]+_)?slurmstepd\.scope/(?:job_(\d+)|(s[0-9A-Z]{13}))(?:/|$)")
#: Cgroup trees that users may change freely: systemd delegates them.
_USERS = ("/user.slice/", "/user/")
#: Longest wait for a user's name; a slower directory service provides it for a later reading.
_NAME_WAIT_S = 0.2


class Owner(Struct, frozen=True, kw_only=True):
    """The owner of a process, as far as known."""

    name: str | None = None
    """The command, as the kernel has it (15 characters)."""
    user: str | None = None
    job: str | None = None
    sluid: str | None = None
    """The SLUID of its job, if its cgroup has only that."""


def job_of(cgroup: str) -> tuple[str | None, str | None]:
    """Job id and SLUID in /proc/PID/cgroup; at most one of them, none for a process that Slurm did not start."""
    for line in cgroup.splitlines():
        path = line.split(":", 2)[-1]
        if path.startswith(_USERS):
            continue
        match = _V1.search(path) or _V2.search(path)
        if match:
            return match[1], match[2] if match.re is _V2 else None
    return None, None


class UserNames:
    """User names by uid. Look-ups run in a thread: with LDAP down one may take a minute."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._asked: queue.SimpleQueue[tuple[int, threading.Event]] = queue.SimpleQueue()
        self._pending: set[int] = set()
        self._thread: threading.Thread | None = None

    def of(self, uid: int) -> str:
        """A user's name; "uid 1000" until it is known, and for a user without one."""
        if uid not in self._known and uid not in self._pending:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="user names", daemon=True)
                self._thread.start()
            done = threading.Event()
            self._pending.add(uid)
            self._asked.put((uid, done))
            done.wait(_NAME_WAIT_S)
        return self._known.get(uid, f"uid {uid}")

    def _look(self) -> None:
        while True:
            uid, done = self._asked.get()
            try:
                self._known[uid] = clean(pwd.getpwuid(uid).pw_name)
            except (KeyError, OSError, OverflowError):
                self._known[uid] = f"uid {uid}"
            self._pending.discard(uid)
            done.set()


class Owners:
    """Owners of processes, kept as long as a process lives."""

    def __init__(self, proc: Path = Path("/proc"), names: UserNames | None = None) -> None:
        self._proc = proc
        self._names = names or UserNames()
        self._known: dict[int, tuple[str, Owner]] = {}

    def of(self, pid: int) -> Owner:
        """The owner of a process; all fields unknown if it has ended or is hidden."""
        born = self._born(pid)
        if born is None:
            self._known.pop(pid, None)
            return Owner()
        known = self._known.get(pid)
        # Pids are reused: same pid and same start time means the same process. A process without a job yet, or with an
        # unknown user name, is looked up again.
        if known is not None and known[0] == born and known[1].job and not (known[1].user or "uid ").startswith("uid "):
            return known[1]
        owner = self._look(pid)
        self._known[pid] = (born, owner)
        return owner

    def keep(self, pids: frozenset[int]) -> None:
        """Forget all but these."""
        for pid in self._known.keys() - pids:
            del self._known[pid]

    def _look(self, pid: int) -> Owner:
        comm, status = self._text(pid, "comm"), self._text(pid, "status")
        uid = re.search(r"^Uid:\s+(\d+)", status, re.M)
        job, sluid = job_of(self._text(pid, "cgroup"))
        if sluid is not None:
            job = self._declared(pid, sluid)
        return Owner(
            name=clean(comm.rstrip("\n")) or None,
            user=self._names.of(int(uid[1])) if uid else None,
            job=job,
            sluid=sluid,
        )

    def _declared(self, pid: int, sluid: str) -> str | None:
        """SLURM_JOB_ID of a process whose SLURM_JOB_SLUID agrees with its cgroup; None if unreadable."""
        env = dict(part.split("=", 1) for part in self._text(pid, "environ").split("\0") if "=" in part)
        job = env.get("SLURM_JOB_ID", "")
        return job if env.get("SLURM_JOB_SLUID", sluid) == sluid and re.fullmatch(r"[1-9]\d{0,9}", job) else None

    def _born(self, pid: int) -> str | None:
        """Its start time (field 22 of its stat), in the kernel's own unit."""
        rest = self._text(pid, "stat").rpartition(")")[2].split()
        return rest[19] if len(rest) > 19 else None

    def _text(self, pid: int, name: str) -> str:
        try:
            with (self._proc / str(pid) / name).open("rb") as file:
                return decode(file.read(1 << 20))
        except OSError:
            return ""


class ProcessOwners:
    """Owners, looked up in a thread; late results are used by a later reading."""

    def __init__(self, owners: Owners | None = None) -> None:
        self._owners = owners or Owners()
        self._asked: queue.SimpleQueue[frozenset[int]] = queue.SimpleQueue()
        self._done = threading.Event()
        self._done.set()
        self._found: Mapping[int, Owner] = {}
        self._thread: threading.Thread | None = None

    def of(self, pids: frozenset[int], wait_s: float = 0.3) -> Mapping[int, Owner]:
        """Owners of these processes, as far as known within `wait_s`."""
        if pids and self._done.is_set():  # otherwise it is still busy: nothing is queued behind a hanging look-up
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="owners", daemon=True)
                self._thread.start()
            self._done.clear()
            self._asked.put(pids)
            self._done.wait(wait_s)
        return self._found

    def _work(self) -> None:
        while True:
            pids = self._asked.get()
            self._owners.keep(pids)
            self._found = {pid: self._owners.of(pid) for pid in pids}
            self._done.set()


def parse_listpids(text: str) -> dict[int, str]:
    """PID to job id from `scontrol listpids`; other lines are skipped."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and all(word.isascii() and word.isdecimal() for word in words[:2]):
            found[int(words[0])] = words[1]
    return found

"""Whose a process is: its user, and the Slurm job whose cgroup holds it.

A cgroup cannot be claimed by a user, an environment can: SLURM_JOB_ID counts only where the cgroup says that Slurm
started the process and names the job by its SLUID (26.05's default on cgroup v2, unless CgroupJobIdPaths=yes).
To read an environment takes a lock that a process wedged in the driver may hold for ever, and a user's name may hang
on a directory service: both are done in threads that the reading of the GPUs waits for only briefly.
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
#: What a user may lay out as they like: systemd hands these trees to them.
_USERS = ("/user.slice/", "/user/")
#: Longest wait for the name of a user; a directory service that is slower tells it at a later reading.
_NAME_WAIT_S = 0.2


class Owner(Struct, frozen=True, kw_only=True):
    """Whose a process is, as far as it can be told."""

    name: str | None = None
    """The command, as the kernel has it (15 characters)."""
    user: str | None = None
    job: str | None = None
    sluid: str | None = None
    """The SLUID of its job, where that is all that its cgroup names."""


def job_of(cgroup: str) -> tuple[str | None, str | None]:
    """Job id and SLUID that /proc/PID/cgroup names; at most one of them, none for what Slurm did not start."""
    for line in cgroup.splitlines():
        path = line.split(":", 2)[-1]
        if path.startswith(_USERS):
            continue
        match = _V1.search(path) or _V2.search(path)
        if match:
            return match[1], match[2] if match.re is _V2 else None
    return None, None


class UserNames:
    """User names by uid. The look-up runs in a thread of its own: with LDAP down it may take a minute."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._asked: queue.SimpleQueue[tuple[int, threading.Event]] = queue.SimpleQueue()
        self._pending: set[int] = set()
        self._thread: threading.Thread | None = None

    def of(self, uid: int) -> str:
        """Name of a user; "uid 1000" until it is known, and for a user that has none."""
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
    """Owners of processes, remembered for as long as a process lives."""

    def __init__(self, proc: Path = Path("/proc"), names: UserNames | None = None) -> None:
        self._proc = proc
        self._names = names or UserNames()
        self._known: dict[int, tuple[str, Owner]] = {}

    def of(self, pid: int) -> Owner:
        """The owner of a process; all unknown for one that has ended or hides."""
        born = self._born(pid)
        if born is None:
            self._known.pop(pid, None)
            return Owner()
        known = self._known.get(pid)
        # A number is used again; a process with the same number and the same birth is the same. One that no job owns
        # yet, or whose user's name is not known yet, is looked at again.
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
        """SLURM_JOB_ID of a process whose own SLURM_JOB_SLUID agrees with its cgroup; None where it cannot be read."""
        env = dict(part.split("=", 1) for part in self._text(pid, "environ").split("\0") if "=" in part)
        job = env.get("SLURM_JOB_ID", "")
        return job if env.get("SLURM_JOB_SLUID", sluid) == sluid and re.fullmatch(r"[1-9]\d{0,9}", job) else None

    def _born(self, pid: int) -> str | None:
        """When it was born (field 22 of its stat), in the kernel's own unit."""
        rest = self._text(pid, "stat").rpartition(")")[2].split()
        return rest[19] if len(rest) > 19 else None

    def _text(self, pid: int, name: str) -> str:
        try:
            with (self._proc / str(pid) / name).open("rb") as file:
                return decode(file.read(1 << 20))
        except OSError:
            return ""


class ProcessOwners:
    """Owners, looked up in a thread of its own: what is not known in time is told at a later reading."""

    def __init__(self, owners: Owners | None = None) -> None:
        self._owners = owners or Owners()
        self._asked: queue.SimpleQueue[frozenset[int]] = queue.SimpleQueue()
        self._done = threading.Event()
        self._done.set()
        self._found: Mapping[int, Owner] = {}
        self._thread: threading.Thread | None = None

    def of(self, pids: frozenset[int], wait_s: float = 0.3) -> Mapping[int, Owner]:
        """Owners of these processes, as far as they are known within `wait_s`."""
        if pids and self._done.is_set():  # else it still looks: nothing is queued behind a look-up that hangs
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
    """PID to job id from what `scontrol listpids` prints; lines that are none are left out."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and all(word.isascii() and word.isdecimal() for word in words[:2]):
            found[int(words[0])] = words[1]
    return found

"""The state of Slurm's own daemons: ping results, jobs stuck completing, and runaway jobs.

`sacctmgr show runawayjobs` is not used: it sends slurmdbd the fix *before* it asks for confirmation, and without stdin
24.11 keeps that open and prints its question endlessly. So `sacct` and `squeue` are compared here, which changes
nothing.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

from collectors.clean import clean, decode
from collectors.model import Completing, Control, Controller, Runaway, SourceFault
from collectors.shared_readings import CommandRunner
from collectors.slurm.fields import epoch, whole

from .read_command import ask, ask_rows, fence, lines, value_or_none

#: Seconds between two pings of a single controller: other reads already show whether it responds.
ALONE_S = 900.0
#: Seconds between two searches for runaway jobs: each reads every running job in slurmdbd.
RUNAWAY_S = 900.0
#: Seconds between two reads of the configuration.
CONFIG_S = 3600.0
#: Seconds: a job that started later may be in slurmdbd but not in the queue that was read a moment before.
_SETTLED_S = 300
_PING = re.compile(r"Slurmctld\((?P<role>[A-Za-z0-9]{1,20})\) at (?P<host>\S{1,255}) is (?P<is>UP|DOWN)\b")
_SECONDS = re.compile(r"([0-9]{1,9}) sec")
_SLURM_USER = re.compile(r"[^()]*\(([0-9]{1,10})\)")
_ACCOUNTS = ("sacct", "-a", "-X", "-P", "-s", "R,S", "-o", "JobIDRaw,User,Start,NodeList")
#: All jobs that slurmctld knows, including those that ended in the last minutes (MinJobAge).
_QUEUE = ("squeue", "-a", "-t", "all", "-o", "%A")


class _Config(Struct, frozen=True):
    """The settings used here."""

    unkillable_s: int | None
    dbd: str | None
    sees_all: bool
    """True if this user sees all users' jobs in the queue; otherwise theirs would look like runaways."""


class _Due:
    """A timer for something that is due periodically."""

    def __init__(self, every_s: float, mono: Callable[[], float]) -> None:
        self._every_s, self._mono = every_s, mono
        self._at: float | None = None

    def __call__(self, *, early: bool = False) -> bool:
        """Whether it is due; if so, it counts as done. `early` ignores the interval."""
        now = self._mono()
        if not early and self._at is not None and now - self._at < self._every_s:
            return False
        self._at = now
        return True


class DaemonReader:
    """Reads `Control` repeatedly, each part at its own interval. Used by one thread."""

    def __init__(self, run: CommandRunner | None = None, mono: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._ping_due, self._look_due, self._config_due = (
            _Due(every_s, mono) for every_s in (ALONE_S, RUNAWAY_S, CONFIG_S)
        )
        self._config: _Config | None = None
        self._controllers: tuple[Controller, ...] = ()
        self._dbd_up: bool | None = None
        self._found: frozenset[str] = frozenset()
        """What the last look found."""
        self._unsure = False
        """It found some that the look before had not."""
        self._runaway: tuple[Runaway, ...] | None = None
        self._runaway_at: int | None = None

    def read(self, deadline_s: float) -> Control:
        """Read it now. Raises SourceFault if no controller responds; a responding controller and a missing slurmdbd are
        facts."""
        if self._ping_due(early=len(self._controllers) != 1):
            self._controllers = self._ping(deadline_s)
        due = self._config_due(early=self._config is None)
        known = read_config(deadline_s, self._run) if due or self._config is None else self._config
        self._config, completing = known, completing_jobs(deadline_s, self._run)
        # If slurmdbd was gone or something new was found, the next reading checks again.
        if known.dbd is not None and self._look_due(early=self._dbd_up is False or self._unsure):
            self._look(known, deadline_s)
        return Control(
            controllers=self._controllers,
            dbd=known.dbd,
            dbd_up=self._dbd_up,
            completing=completing,
            runaway=self._runaway,
            runaway_at=self._runaway_at,
            unkillable_s=known.unkillable_s,
        )

    def _ping(self, deadline_s: float) -> tuple[Controller, ...]:
        # Exit status 1 means that none responds: that is an answer too.
        found = parse_ping(decode(ask(["scontrol", "ping"], deadline_s, despite="Slurmctld(", run=self._run)))
        if not found:
            raise SourceFault("malformed", "scontrol ping names no controller", "run it by hand to see")
        if not any(one.up for one in found):
            names = ", ".join(f"{one.host} ({one.role})" for one in found)
            raise SourceFault("refused", f"no controller answers: {names}", "is slurmctld up? try: scontrol ping")
        return found

    def _look(self, known: _Config, deadline_s: float) -> None:
        """Compare slurmdbd with the queue. A job counts as runaway after two findings: slurmctld may report an end
        late."""
        if not known.sees_all:
            return
        began = time.time()
        # The queue is read first and includes jobs that ended within MinJobAge, so a job ending meanwhile is in it.
        alive = frozenset(_rows(_QUEUE, "JOBID", deadline_s, self._run))
        try:
            found = runaway_jobs(alive, began, deadline_s, self._run)
        except SourceFault as error:
            # A slow slurmdbd may be healthy, and without sacct its state is unknown.
            self._dbd_up = None if error.fault.kind in {"timeout", "missing"} else False
            self._runaway, self._found, self._unsure = None, frozenset(), False
            return
        self._dbd_up = True
        sure = tuple(one for one in found if one.job in self._found)
        self._found, self._unsure = frozenset(one.job for one in found), len(sure) < len(found)
        self._runaway, self._runaway_at = sure, int(began)


def parse_ping(text: str) -> tuple[Controller, ...]:
    """The controllers in the output of `scontrol ping`, in its order: the primary first."""
    return tuple(
        Controller(host=clean(match["host"]), role=match["role"], up=match["is"] == "UP")
        for match in map(_PING.match, text.split("\n"))
        if match is not None
    )


def read_config(deadline_s: float, run: CommandRunner | None = None) -> _Config:
    """Time limits and accounting settings from `scontrol show config`. Raises SourceFault."""
    told = {
        key.strip(): value.strip()
        for line in lines(ask(["scontrol", "show", "config"], deadline_s, run=run), "scontrol show config")
        for key, equal, value in [line.partition("=")]
        if equal
    }
    if "AccountingStorageType" not in told:
        raise SourceFault("malformed", "scontrol show config names no AccountingStorageType", "run it by hand to see")
    seconds = _SECONDS.fullmatch(told.get("UnkillableStepTimeout", ""))
    dbd = told.get("AccountingStorageHost") if "slurmdbd" in told["AccountingStorageType"] else None
    return _Config(
        unkillable_s=None if seconds is None else int(seconds[1]),
        dbd=None if dbd is None else clean(dbd[:255]),
        sees_all="jobs" not in told.get("PrivateData", "").split(",") or _privileged(told.get("SlurmUser", "")),
    )


def _privileged(slurm_user: str) -> bool:
    """Whether this account is root or SlurmUser, who see everything."""
    match = _SLURM_USER.fullmatch(slurm_user)
    return os.geteuid() in {0, int(match[1]) if match else 0}


def completing_jobs(deadline_s: float, run: CommandRunner | None = None) -> tuple[Completing, ...]:
    """The jobs that have ended but still hold nodes, and since when. Raises SourceFault."""
    mark = fence()
    argv = ["squeue", "-a", "-t", "CG", "-O", f"JobArrayID:|,UserName:|,EndTime:|,NodeList:{mark}"]
    found = []
    for raw in ask_rows(argv, mark, deadline_s, 4, run):
        if raw.count("|") != 3:
            continue
        job, user, since, nodes = raw.split("|")
        found.append(Completing(job=clean(job), user=clean(user), since=epoch(since), nodes=value_or_none(nodes)))
    return tuple(found)


def runaway_jobs(
    alive: Collection[str], now: float, deadline_s: float, run: CommandRunner | None = None
) -> tuple[Runaway, ...]:
    """Jobs that run according to slurmdbd but were unknown to slurmctld a moment before `now`. Raises SourceFault."""
    found = []
    for raw in _rows(_ACCOUNTS, "JobIDRaw|", deadline_s, run):
        if raw.count("|") != 3:
            continue
        job, user, start, nodes = raw.split("|")
        since = epoch(start)
        if whole(job) and job not in alive and since is not None and since < now - _SETTLED_S:
            found.append(Runaway(job=job, user=clean(user), since=since, nodes=value_or_none(nodes)))
    return tuple(found)


def _rows(argv: Sequence[str], header: str, deadline_s: float, run: CommandRunner | None) -> list[str]:
    """The lines after the header, which proves the answer. Raises SourceFault."""
    told = lines(ask(argv, deadline_s, run=run), argv[0])
    if not told or not told[0].startswith(header):
        raise SourceFault("empty", f"{argv[0]} printed no header", "run it by hand to see")
    return [one.strip() for one in told[1:]]

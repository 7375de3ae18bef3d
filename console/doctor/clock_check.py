"""Checks this computer's clock against those of the servers, and whether NTP keeps it synchronised."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from collectors.clock import ClockSkew
from collectors.slurm import SlurmSettings
from collectors.slurm.commands import doctor_reads
from console.session.cluster_sources import ClusterSources

from .finding import Finding, FindingGroup
from .parallel import ParallelChecks
from .source_checks import fault_of

#: Clock difference in seconds that gets a warning: ages of reasons, alerts and samples are then visibly wrong.
OFF_S = 5.0
_UNSYNC, _ERROR = 0x40, 5
_OF = {"controller": "Slurm's controller", "prometheus": "Prometheus", "alertmanager": "Alertmanager"}


class _Timex(ctypes.Structure):
    """Linux's struct timex, with room for any kernel's version of it."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("constant", ctypes.c_long),
        ("precision", ctypes.c_long), ("tolerance", ctypes.c_long), ("time", ctypes.c_long * 2),
        ("rest", ctypes.c_char * 256),
    )  # fmt: skip


def synchronised() -> tuple[bool, float] | None:
    """Whether the kernel reports a synchronised clock, and its largest error in seconds. Reads adjtimex(2), which
    changes nothing when no mode is set. None when the kernel does not say.
    """
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    return state != _ERROR and not timex.status & _UNSYNC, timex.maxerror / 1e6


def start(checks: ParallelChecks, sources: ClusterSources) -> None:
    """Start reading the controller's time; Prometheus and Alertmanager report theirs with their own checks."""
    slurm = sources.slurm
    if isinstance(slurm, SlurmSettings):
        checks.start("controller", lambda: doctor_reads.controller_clock(slurm))


def findings(sources: ClusterSources | None, ended: Mapping[str, Any]) -> list[Finding]:
    """Each server's clock compared with this one, its NTP state, and the time zone."""
    group = FindingGroup("Clock")
    for name, whose in _OF.items():
        if sources is None or (
            name not in sources.others and (name != "controller" or sources.slurm is None or sources.demo)
        ):
            continue
        found = ended.get(name)
        moment = found if isinstance(found, ClockSkew) else getattr(found, "moment", None)
        if moment is None:
            why = f": {fault_of(found).what}" if isinstance(found, Exception) else ""
            group.note(name, f"the clock of {whose} is unknown{why}")
        else:
            _add_skew(group, name, whose, moment)
    _add_ntp(group)
    group.ok("time zone", _zone())
    return group.found


def _add_skew(group: FindingGroup, name: str, whose: str, moment: ClockSkew) -> None:
    ahead, within = moment.ahead_s, moment.within_s
    figures = {"ahead_s": round(ahead, 3), "within_s": round(within, 3)}
    digits = 3 if within < 0.1 else 1
    said = f"{whose} is {abs(ahead):.{digits}f} s {'ahead of' if ahead > 0 else 'behind'} here, ± {within:.{digits}f} s"
    if abs(ahead) - within > OFF_S:
        mend = "ages of reasons, alerts and samples are wrong by as much: let chrony or timesyncd keep both clocks"
        group.warn(name, said, mend, **figures)
    elif abs(ahead) <= within:
        group.ok(name, f"{whose} agrees, ± {within:.{digits}f} s", **figures)
    else:
        group.ok(name, said, **figures)


def _add_ntp(group: FindingGroup) -> None:
    found = synchronised()
    if found is None:
        group.note("NTP", "the kernel does not report whether this clock is NTP-synchronised", "try: timedatectl")
        return
    kept, error_s = found
    figures = {"synchronised": kept, "error_s": error_s}
    if kept:
        group.ok("NTP", f"this clock is kept right, within {max(error_s, 0.001):.3f} s", **figures)
    else:
        group.warn("NTP", "nothing keeps this clock right", "start chronyd or systemd-timesyncd here", **figures)


def _zone() -> str:
    """The time zone of displayed times, and where it is set."""
    now = datetime.fromtimestamp(time.time()).astimezone()
    set_by = "TZ" if os.environ.get("TZ") else "/etc/localtime"
    if set_by != "TZ" and not Path(set_by).exists():
        set_by = "nothing: UTC"
    return f"{now.strftime('%Z')} (UTC{now.strftime('%z')}), by {set_by}"

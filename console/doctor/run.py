"""`wacht doctor`: probes each source, the Slurm transports, the rights, the clock, the terminal and the files, and
states how to fix what is wrong.

All checks run in parallel, each with its own timeout; one without an answer after WITHIN_S is reported as unresponsive.
Nothing is changed, and no secret is printed.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from collectors import process
from collectors.clean import clean
from collectors.clock import SystemClock, rfc3339
from collectors.slurm import SlurmSettings
from collectors.slurm.probe import TransportProbe
from console.config.settings import Config
from console.session.cluster_sources import ClusterSources

from . import certificates, clock_check, file_checks, rights_check, source_checks, terminal_check, transport_checks
from .finding import GROUPS, Finding, count
from .parallel import ParallelChecks

VERSION = 1
#: Seconds to wait for all checks together.
WITHIN_S = 13.0
_COLOURS = {"ok": "32", "note": "36", "warn": "33", "bad": "31"}
#: Column where a finding's text starts, and the least and most width of lines.
_INDENT, _WIDTHS = 27, (60, 110)


class DoctorReport(Struct, frozen=True, kw_only=True, rename={"transports": "roads"}):
    """All findings, in the shape that scripts get."""

    version: int = VERSION
    cluster: str | None
    """None when there is no cluster."""
    at: str | None
    status: int
    """0 all good or only warnings, 1 something configured fails, 2 nothing works."""
    faults: int
    warnings: int
    findings: tuple[Finding, ...]
    transports: tuple[TransportProbe, ...] = ()
    """Each transport to Slurm, with what it actually did."""


def examine(sources: ClusterSources | None, config: Config | None, wrong: Sequence[Finding] = ()) -> DoctorReport:
    """Run all checks. `wrong` are the errors that left no site or configuration. Main thread only."""
    until = time.monotonic() + WITHIN_S
    now = time.time()
    checks = ParallelChecks()
    opened: Sequence[Any] = ()
    found: list[Finding] = [*wrong]
    tried: tuple[TransportProbe, ...] = ()
    granted_s = 0.0
    try:
        if sources is not None:
            granted_s = source_checks.timeout_s(sources)
            sources = source_checks.with_short_timeouts(sources)
            opened = source_checks.start(checks, sources, SystemClock())
            if isinstance(sources.slurm, SlurmSettings):
                transport_checks.start(checks, sources.name, sources.slurm)
            certificates.start(checks, sources)
            rights_check.start(checks, sources)
            clock_check.start(checks, sources)
        checks.start("files", lambda: file_checks.findings(sources, config))
        terminal_check.start(checks)
        asked = terminal_check.findings(checks.wait_for("tmux", until))
        ended = checks.wait(until)
    finally:
        for one in opened:
            one.close()
        process.stop_all()
    if sources is not None:
        found += source_checks.findings(opened, ended, WITHIN_S, granted_s)
        found += certificates.findings(sources, ended, now)
        if isinstance(sources.slurm, SlurmSettings):
            tried = transport_checks.probes_of(sources.slurm, opened, ended)
            found += transport_checks.findings(sources.slurm, ended, tried, WITHIN_S)
    found += [*rights_check.findings(sources, ended), *clock_check.findings(sources, ended), *asked, *_files(ended)]
    found = _together(found)
    return DoctorReport(
        cluster=None if sources is None else sources.name,
        at=rfc3339(now),
        status=_status(found, {one.name for one in opened} - {source_checks.ASKING}),
        faults=sum(one.mark == "bad" for one in found),
        warnings=sum(one.mark == "warn" for one in found),
        findings=tuple(found),
        transports=tried,
    )


def _together(found: Sequence[Finding]) -> list[Finding]:
    """Sorted by group, with findings about one subject together, in order of first appearance."""
    first: dict[tuple[str, str], int] = {}
    for at, one in enumerate(found):
        first.setdefault((one.group, one.name), at)
    return sorted(found, key=lambda one: (GROUPS.index(one.group), first[one.group, one.name]))


def _files(ended: dict[str, Any]) -> Sequence[Finding]:
    found = ended.get("files")
    if isinstance(found, list):
        return found
    if found is None:
        said, mend = f"no answer within {WITHIN_S:g} s: a file system hangs", "see: df; a journal needs a local disk"
    else:
        fault = source_checks.fault_of(found)
        said, mend = fault.what, fault.mend
    return [Finding(group="Files", name="files", mark="bad", said=said, mend=mend)]


def _status(found: Sequence[Finding], names: set[str]) -> int:
    """The exit status: 2 when no source answers or there is none."""
    bad = {one.name for one in found if one.mark == "bad"}
    if not names or all(any(one.mark == "bad" and one.name == name for one in found) for name in names):
        return 2
    return 1 if bad else 0


def as_json(report: DoctorReport) -> bytes:
    """The report as one JSON object with a newline at the end."""
    return msgspec.json.encode(report) + b"\n"


def as_text(report: DoctorReport, width: int = 80, colour: bool = False) -> str:
    """The report as text, grouped, with the verdict last."""
    width = min(max(width, _WIDTHS[0]), _WIDTHS[1])
    lines = [f"wacht doctor: {report.cluster or 'no cluster'}, {report.at}"]
    for group in GROUPS:
        of_group = [one for one in report.findings if one.group == group]
        if of_group:
            lines += ["", group]
            for one in of_group:
                lines += _lines(one, width, colour)
    return "\n".join([*lines, "", _verdict(report)]) + "\n"


def _lines(one: Finding, width: int, colour: bool) -> list[str]:
    mark = f"{one.mark:4}"
    if colour:
        mark = f"\x1b[{_COLOURS[one.mark]}m{mark}\x1b[0m"
    said = _wrapped(one.said, width) or [""]
    room = " " * _INDENT
    made = [f"  {mark}  {one.name:{_INDENT - 9}} {said[0]}", *(f"{room}{line}" for line in said[1:])]
    if one.mend:
        made += [f"{room}{line}" for line in _wrapped(f"→ {one.mend}", width)]
    return made


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width - _INDENT, break_on_hyphens=False)


def _verdict(report: DoctorReport) -> str:
    said = {0: "everything that is configured works", 1: "something that is configured does not work",
            2: "nothing works"}[report.status]  # fmt: skip
    return f"{count(report.faults, 'fault')}, {count(report.warnings, 'warning')}: {said}"


def no_site(error: Exception) -> Finding:
    """The finding for an error that left no site or configuration."""
    first, _, rest = clean(str(error).replace("\n", "\0")).partition("\\x00")
    return Finding(group="Sources", name="cluster", mark="bad", said=first, mend=rest.replace("\\x00", " "))

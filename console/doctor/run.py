"""`wacht doctor`: probes each source, the Slurm transports, the rights, the clock, the terminal and the files, and says
how to mend what is not as it should be.

Everything is asked at once, with deadlines of its own; what has not answered by WITHIN_S is said to hang. Nothing is
changed anywhere, and no secret is printed.
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
from collectors.clock import SystemClock
from collectors.slurm import SlurmSettings
from collectors.slurm.probe import TransportProbe
from console.config.settings import Config
from console.session.site import Site
from console.session.snapshot import stamp

from . import certificates, clock_check, file_checks, rights_check, source_checks, terminal_check, transport_checks
from .finding import GROUPS, Finding, count
from .parallel import Crew

VERSION = 1
#: Longest that everything together is waited for.
WITHIN_S = 13.0
_COLOURS = {"ok": "32", "note": "36", "warn": "33", "bad": "31"}
#: Where the text of a finding begins, and the narrowest and widest that lines are.
_INDENT, _WIDTHS = 27, (60, 110)


class DoctorReport(Struct, frozen=True, kw_only=True, rename={"transports": "roads"}):
    """Everything that was found, in the shape that scripts get."""

    version: int = VERSION
    cluster: str | None
    """None: there is none to be watched."""
    at: str | None
    status: int
    """0 all good or only warnings, 1 something configured fails, 2 nothing works."""
    faults: int
    warnings: int
    findings: tuple[Finding, ...]
    transports: tuple[TransportProbe, ...] = ()
    """Each transport to Slurm by what it really did."""


def examine(site: Site | None, config: Config | None, wrong: Sequence[Finding] = ()) -> DoctorReport:
    """Look at everything. `wrong` is why there is no site or no configuration. Only for the main thread."""
    until = time.monotonic() + WITHIN_S
    now = time.time()
    crew = Crew()
    opened: Sequence[Any] = ()
    found: list[Finding] = [*wrong]
    tried: tuple[TransportProbe, ...] = ()
    granted_s = 0.0
    try:
        if site is not None:
            granted_s = source_checks.patience_s(site)
            site = source_checks.hurried(site)
            opened = source_checks.start(crew, site, SystemClock())
            if isinstance(site.slurm, SlurmSettings):
                transport_checks.start(crew, site.name, site.slurm)
            certificates.start(crew, site)
            rights_check.start(crew, site)
            clock_check.start(crew, site)
        crew.start("files", lambda: file_checks.findings(site, config))
        terminal_check.start(crew)
        asked = terminal_check.findings(crew.wait_for("tmux", until))
        ended = crew.wait(until)
    finally:
        for one in opened:
            one.close()
        process.stop_all()
    if site is not None:
        found += source_checks.findings(opened, ended, WITHIN_S, granted_s)
        found += certificates.findings(site, ended, now)
        if isinstance(site.slurm, SlurmSettings):
            tried = transport_checks.told(site.slurm, opened, ended)
            found += transport_checks.findings(site.slurm, ended, tried, WITHIN_S)
    found += [*rights_check.findings(site, ended), *clock_check.findings(site, ended), *asked, *_files(ended)]
    found = _together(found)
    return DoctorReport(
        cluster=None if site is None else site.name,
        at=stamp(now),
        status=_status(found, {one.name for one in opened} - {source_checks.ASKING}),
        faults=sum(one.mark == "bad" for one in found),
        warnings=sum(one.mark == "warn" for one in found),
        findings=tuple(found),
        transports=tried,
    )


def _together(found: Sequence[Finding]) -> list[Finding]:
    """By group, and what is about one thing together, where it was first told of."""
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
    """2 where no source answers, and where there is none."""
    bad = {one.name for one in found if one.mark == "bad"}
    if not names or all(any(one.mark == "bad" and one.name == name for one in found) for name in names):
        return 2
    return 1 if bad else 0


def as_json(report: DoctorReport) -> bytes:
    """The whole report as one JSON object, with a line break at its end."""
    return msgspec.json.encode(report) + b"\n"


def as_text(report: DoctorReport, width: int = 80, colour: bool = False) -> str:
    """The same for people, grouped, the verdict last."""
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
    """Why there is nothing to be watched, or no configuration to go by."""
    first, _, rest = clean(str(error).replace("\n", "\0")).partition("\\x00")
    return Finding(group="Sources", name="cluster", mark="bad", said=first, mend=rest.replace("\\x00", " "))

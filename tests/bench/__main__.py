"""`python -m tests.bench`: measure, print the table, write results.json; exit 1 when a ratio or a count is missed
or a part could not be measured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.lab.roots import SUITES, why_not

from . import report, screens


def main() -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--part",
        action="append",
        choices=("demo", "lab", "design", "telemetry"),
        help="only this part (may be repeated)",
    )
    parser.add_argument("--quick", action="store_true", help="few repeats: a look, not a measurement")
    parser.add_argument("--suite", default="forky", help="Debian suite of the lab: forky is Slurm 26.05, trixie 24.11")
    parser.add_argument("--nodes", type=int, default=256, help="nodes of the lab")
    parser.add_argument("--jobs", type=int, default=10_000, help="pending jobs of the lab")
    parser.add_argument("--out", type=Path, default=report.RESULTS, help="where the results go")
    asked = parser.parse_args()
    parts = asked.part or ["demo", "lab", "design", "telemetry"]
    rows: list[report.Row] = []
    notes: list[str] = []
    slurm: list[str] = []

    def part(what: str, measure: Callable[[], list[report.Row]]) -> None:
        """One part after the other: what one has found is kept when the next fails."""
        print(f"measuring {what} ...", file=sys.stderr, flush=True)
        try:
            rows.extend(measure())
        except Exception as error:
            notes.append(f"{what} was not measured: {type(error).__name__}: {error}")

    def live() -> list[report.Row]:
        from . import reads

        found, version = reads.lab(asked.suite, asked.nodes, asked.jobs, asked.quick)
        slurm.append(version)
        return found

    def design() -> list[report.Row]:
        from . import reads

        return reads.design(asked.suite, asked.quick)

    def telemetry() -> list[report.Row]:
        from . import telemetry as measured

        return measured.overview(asked.quick)

    if "demo" in parts:
        part("wacht demo", lambda: screens.demo(asked.quick))
    failed = bool(notes)
    reason = why_not() if {"lab", "design", "telemetry"} & set(parts) else None
    if reason:
        notes.append(f"no live Slurm on this machine: {reason}")
    else:
        before = len(notes)
        if "lab" in parts:
            part(f"a live Slurm with {asked.jobs:,} jobs", live)
        if "design" in parts:
            part("a live Slurm at the design point", design)
        if "telemetry" in parts:
            part("a real Prometheus at the design point", telemetry)
        failed = failed or len(notes) > before
    told: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": report.machine(),
        "versions": report.versions(slurm=slurm[0] if slurm else f"{SUITES.get(asked.suite, '')} ({asked.suite})"),
        "terminal": "200x50, TERM=xterm-256color, COLORTERM=truecolor",
        "quick": asked.quick,
        "notes": notes,
    }
    print(report.table(rows))
    print(*notes, sep="\n")
    report.write(rows, told, asked.out)
    missed = [row for row in rows if row.verdict == "MISSED"]
    if missed:
        print(f"{len(missed)} ratios or counts missed their target", file=sys.stderr)
    return 1 if missed or failed else 0


sys.exit(main())

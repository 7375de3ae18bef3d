"""`python -m tests.bench`: measure, print the table, write results.json; exit 1 when a ratio or a count is missed."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from . import report, screens


def main() -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--part", action="append", choices=("demo", "lab", "design"), help="only this part (may be repeated)"
    )
    parser.add_argument("--quick", action="store_true", help="few repeats: a look, not a measurement")
    parser.add_argument("--suite", default="forky", help="Debian suite of the lab: forky is Slurm 26.05, trixie 24.11")
    parser.add_argument("--nodes", type=int, default=256, help="nodes of the lab")
    parser.add_argument("--jobs", type=int, default=10_000, help="pending jobs of the lab")
    parser.add_argument("--out", type=Path, default=report.RESULTS, help="where the results go")
    asked = parser.parse_args()
    parts = asked.part or ["demo", "lab", "design"]
    rows: list[report.Row] = []
    notes: list[str] = []
    slurm = "not measured"
    if "demo" in parts:
        _say("wacht demo")
        rows += screens.demo(asked.quick)
    if {"lab", "design"} & set(parts):
        from tests.lab.roots import why_not

        reason = why_not()
        if reason:
            notes.append(f"no live Slurm on this machine: {reason}")
        else:
            from . import reads

            if "lab" in parts:
                _say(f"a live Slurm with {asked.jobs:,} jobs")
                more, slurm = reads.lab(asked.suite, asked.nodes, asked.jobs, asked.quick)
                rows += more
            if "design" in parts:
                _say("a live Slurm at the design point")
                rows += reads.design(asked.suite, asked.quick)
    told: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": report.machine(),
        "versions": report.versions(slurm=slurm),
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
    return 1 if missed else 0


def _say(what: str) -> None:
    print(f"measuring {what} ...", file=sys.stderr, flush=True)


sys.exit(main())

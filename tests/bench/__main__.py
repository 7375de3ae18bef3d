"""`python -m tests.bench`: measure, print the table, keep it in results.json, write docs/scale.md from it; exit 1 when
a ratio or a count is missed, or a part could not be measured."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.lab.roots import SUITES, lab_unsupported

from . import growth, live, report, scale, screens, slow_line, soak, soak_faults, telemetry
from .report import Part, Results, Row


def parts(args: argparse.Namespace) -> dict[str, tuple[str, bool, Callable[[], list[Row]]]]:
    """Name to what it measures, whether that takes a live Slurm, and how."""
    suite, quick, minutes = args.suite, args.quick, args.minutes
    return {
        "demo": ("the simulated cluster at three sizes", False, lambda: screens.demo(quick)),
        "lab": (
            f"a live Slurm of {args.nodes:,} nodes with {args.jobs:,} jobs, and others beside",
            True,
            lambda: live.small(suite, args.nodes, args.jobs, quick),
        ),
        "middle": ("a live controller of 1,000 nodes with 10,000 jobs", True, lambda: live.middle(suite, quick)),
        "design": ("a live Slurm at the design point, and others beside", True, lambda: live.design(suite, quick)),
        "telemetry": ("a real Prometheus at the design point", True, lambda: telemetry.overview(quick)),
        "far": ("the console at the end of a slow line", False, lambda: slow_line.demo(quick)),
        "growth": ("how the cost grows", True, lambda: growth.measured(suite, quick)),
        "soak": (f"{minutes:g} minutes on the simulated cluster", False, lambda: soak.demo(minutes)),
        "soak-far": (f"{minutes:g} minutes over a slow line", False, lambda: soak.demo(minutes, at_far_end=True)),
        "soak-faults": (f"{minutes:g} minutes under faults", False, lambda: soak_faults.measured(minutes)),
        "soak-live": (f"{minutes:g} minutes on a live Slurm", True, lambda: soak.design(suite, minutes)),
        "soak-shared": (
            f"{minutes:g} minutes on the cores of a live Slurm",
            True,
            lambda: soak.design(suite, minutes, shared=True),
        ),
    }


#: Parts that `make bench` runs; growth and the soaks must be named.
USUAL = ("demo", "lab", "middle", "design", "telemetry", "far")


def main() -> int:
    """Run the parts that were requested."""
    args = _parser().parse_args()
    if args.docs:
        return _docs()
    known = parts(args)
    names = list(dict.fromkeys(args.part or USUAL))
    if args.out is None and not args.quick:
        args.out = report.RESULTS
    results = (report.load(args.out) if args.out else None) or Results({}, ())
    fresh: list[str] = []
    failed: list[str] = []
    reason = lab_unsupported()
    for number, name in enumerate(names, 1):
        what, live_slurm, measure = known[name]
        print(f"[{number}/{len(names)}] measuring {what} ...", file=sys.stderr, flush=True)
        if live_slurm and reason:
            failed.append(f"{what}: no live Slurm on this machine: {reason}")
            continue
        began = time.monotonic()
        try:
            rows = measure()
        except Exception as error:  # what others find is kept when one fails
            failed.append(f"{what} was not measured: {type(error).__name__}: {error}")
            continue
        part = Part(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            took_s=round(time.monotonic() - began),
            machine=report.machine(),
            versions=report.versions(**({"slurm": f"{SUITES[args.suite]} ({args.suite})"} if live_slurm else {})),
        )
        print(f"  took {part.took_s:.0f} s", file=sys.stderr, flush=True)
        fresh.append(name)
        results = report.merged(results, name, part, rows)
        print(report.table(row for row in results.rows if row.part == name), flush=True)
        if args.out is not None:
            report.write(results, args.out)
    print(*failed, sep="\n", file=sys.stderr)
    if args.out == report.RESULTS:
        scale.write(results)
    missed = [row for row in results.rows if row.part in fresh and row.verdict == "MISSED"]
    for row in missed:
        print(f"MISSED: {row.case}: {row.what} is {report.figure(row.value)} {row.unit}", file=sys.stderr)
    return 1 if missed or failed else 0


def _docs() -> int:
    results = report.load()
    if results is None:
        print(f"no {report.RESULTS.name} to make docs/scale.md from: measure first (make bench)", file=sys.stderr)
        return 1
    scale.write(results)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    names = (*USUAL, "growth", "soak", "soak-far", "soak-faults", "soak-live", "soak-shared")
    parser.add_argument("--part", action="append", choices=names, help=f"only this (repeatable); {' '.join(USUAL)}")
    parser.add_argument("--quick", action="store_true", help="few repeats: a look, not a measurement; not kept")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long a soak lasts")
    parser.add_argument("--suite", default="forky", choices=SUITES, help="forky is Slurm 26.05, trixie 24.11")
    parser.add_argument("--nodes", type=int, default=256, help="nodes of the part lab")
    parser.add_argument("--jobs", type=int, default=10_000, help="pending jobs of the part lab")
    parser.add_argument("--out", type=Path, help="where the results are kept (a quick look: nowhere by default)")
    parser.add_argument("--docs", action="store_true", help="only make docs/scale.md from what is kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Benchmark results: a table for people, results.json, and an exit code from counts and ratios only.

results.json holds the last run of each part, and for each figure its value in the run before.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")
WACHT = "wacht"
TERMINAL = "200x50, TERM=xterm-256color, COLORTERM=truecolor"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `kind` is wall (never fails), ratio or count (fail above `target`, if set)."""

    case: str
    what: str
    value: float
    unit: str
    kind: str = "wall"
    target: float | None = None
    program: str = WACHT
    part: str = ""
    before: float | None = None
    """The figure in the run before."""

    @property
    def verdict(self) -> str:
        """Comparison with the target: ok, over or MISSED; "" without one."""
        if self.target is None:
            return ""
        if self.value <= self.target:
            return "ok"
        return "over" if self.kind == "wall" else "MISSED"

    @property
    def key(self) -> tuple[str, str, str]:
        """Identity of the figure."""
        return self.case, self.program, self.what


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a run: when, where and how it was measured."""

    at: str
    took_s: float
    machine: str
    versions: Mapping[str, str]
    notes: Sequence[str] = ()
    before_at: str = ""
    before_machine: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """All parts and rows."""

    parts: Mapping[str, Part]
    rows: Sequence[Row]

    def value(self, case: str, what: str, program: str = WACHT) -> float | None:
        """A figure; None if it was not measured."""
        return next((row.value for row in self.rows if row.key == (case, program, what)), None)


def quantile(values: Sequence[float], part: float) -> float:
    """The quantile `part` of the values; the largest for 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def machine() -> str:
    """Description of this machine in one line."""
    cpu = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    cores = len(os.sched_getaffinity(0))
    system = f"{platform.system()} {platform.release()}"
    return f"{cpu or platform.machine()}, {cores} cores, {round(memory / (1 << 20))} GB, {system}"


def versions(**more: str) -> dict[str, str]:
    """Versions of everything that affects the figures."""
    found = {"python": platform.python_version()}
    for name in ("wacht", "textual", "rich", "msgspec", "ClusterShell", "pyte"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "from the checkout"
    return found | more


def table(rows: Iterable[Row]) -> str:
    """The rows as text, with a blank line between cases."""
    lines: list[str] = []
    case = None
    for row in rows:
        if row.case != case:
            lines += ["", row.case]
            case = row.case
        target = "" if row.target is None else f"<= {figure(row.target)}"
        before = "" if row.before is None else f"({figure(row.before)})"
        what = row.what if row.program == WACHT else f"{row.program}: {row.what}"
        lines.append(
            f"  {what:<62}{figure(row.value):>11} {before:>11} {row.unit:<8}{target:>9}  {row.verdict}".rstrip()
        )
    return "\n".join(lines[1:])


def merged(kept: Results, name: str, part: Part, rows: Sequence[Row]) -> Results:
    """The results with a new run of one part, which replaces the old one and keeps its values as `before`."""
    old = kept.parts.get(name)
    if old is not None:
        part = replace(part, before_at=old.at, before_machine=old.machine)
    before = {row.key: row.value for row in kept.rows if row.part == name}
    found = {other: [row for row in kept.rows if row.part == other] for other in kept.parts}
    found[name] = [replace(row, part=name, before=before.get(row.key)) for row in rows]
    return Results({**kept.parts, name: part}, [row for part_rows in found.values() for row in part_rows])


def load(path: Path = RESULTS) -> Results | None:
    """The results in a file; None if there is none."""
    if not path.exists():
        return None
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows = [Row(**{key: value for key, value in row.items() if key != "verdict"}) for row in kept["rows"]]
    return Results({name: Part(**part) for name, part in kept["parts"].items()}, rows)


def write(results: Results, path: Path = RESULTS) -> None:
    """Write the results, one line per figure."""
    parts = {name: _compact(asdict(part)) for name, part in results.parts.items()}
    rows = [_compact(asdict(row) | {"verdict": row.verdict}) for row in results.rows]
    body = [f'"terminal": {json.dumps(TERMINAL)}', _listed("parts", parts), _listed("rows", rows)]
    path.write_text("{\n  " + ",\n  ".join(body) + "\n}\n", encoding="utf-8")


def _listed(name: str, what: Mapping[str, Any] | Sequence[Any]) -> str:
    def text(one: object) -> str:
        return json.dumps(one, ensure_ascii=False)

    if isinstance(what, Mapping):
        left, right, lines = "{", "}", [f"{text(key)}: {text(one)}" for key, one in what.items()]
    else:
        left, right, lines = "[", "]", [text(one) for one in what]
    return f'"{name}": {left}\n    ' + ",\n    ".join(lines) + f"\n  {right}"


def _compact(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields without empty values and the console's own name."""
    ours = ("program", WACHT)
    return {key: one for key, one in fields.items() if one not in (None, "", (), []) and (key, one) != ours}


def figure(value: float) -> str:
    """A value formatted for people."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []

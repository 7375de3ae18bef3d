"""The results: a table for people, results.json for the project, and an exit code for counts and ratios only."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `kind` is wall (never fails), ratio or count (fail above `target`, where they have one)."""

    case: str
    what: str
    value: float
    unit: str
    kind: str = "wall"
    target: float | None = None

    @property
    def verdict(self) -> str:
        """How it stands to its target."""
        if self.target is None:
            return ""
        if self.value <= self.target:
            return "ok"
        return "over" if self.kind == "wall" else "MISSED"


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which that part lies; the largest for 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def machine() -> dict[str, object]:
    """What it was measured on."""
    cpu = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": cpu or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / (1 << 20)),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(**more: str) -> dict[str, str]:
    """Of everything that moves the figures."""
    found = {"python": platform.python_version()}
    for name in ("wacht", "textual", "rich", "msgspec", "ClusterShell", "pyte"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "from the checkout"
    return found | more


def table(rows: Sequence[Row]) -> str:
    """The rows as text, a blank line between cases."""
    lines: list[str] = []
    case = None
    for row in rows:
        if row.case != case:
            lines += ["", row.case]
            case = row.case
        target = "" if row.target is None else f"<= {_figure(row.target)}"
        lines.append(f"  {row.what:<52}{_figure(row.value):>12} {row.unit:<8}{target:>12}  {row.verdict}".rstrip())
    return "\n".join(lines[1:])


def write(rows: Sequence[Row], told: dict[str, object], path: Path = RESULTS) -> None:
    """Keep the results."""
    listed = [{key: value for key, value in (asdict(row) | {"verdict": row.verdict}).items() if value not in (None, "")}
              for row in rows]  # fmt: skip
    text = ",\n    ".join(json.dumps(row, ensure_ascii=False) for row in listed)
    head = json.dumps(told, indent=2, ensure_ascii=False).removesuffix("\n}")
    path.write_text(f'{head},\n  "rows": [\n    {text}\n  ]\n}}\n', encoding="utf-8")


def _figure(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []

"""Generates docs/scale.md and its chart from results.json. The text is in scale.md beside this file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.support.paths import DOCS

from . import drawing, growth
from .report import WACHT, Part, Results, Row, figure
from .targets import DESIGN, LARGE, SMALL

PAGE, DRAWING = DOCS / "scale.md", DOCS / "scale.svg"
_WORDS = Path(__file__).with_name("scale.md")

_COSTS = "at rest: the controller's time for them"
_MOVES = "cursor moves while polls arrive: key to screen"
#: Figures with targets: name, row, unit, and the target at the two sizes.
_FIGURES: tuple[tuple[str, str, str, float, float], ...] = (
    ("first frame", "first frame", "s", SMALL.first_s, DESIGN.first_s),
    ("first useful frame", "first useful frame", "s", SMALL.useful_s, DESIGN.useful_s),
    ("key to screen, p50", f"{_MOVES}, p50", "ms", 0, 0),
    ("key to screen, p95", f"{_MOVES}, p95", "ms", SMALL.key_ms, DESIGN.key_ms),
    ("key to screen, max", f"{_MOVES}, max", "ms", 0, 0),
    ("longest stall", "longest stall of the event loop", "ms", SMALL.stall_ms, DESIGN.stall_ms),
    ("a cursor move, nodes", "move in nodes: bytes, p50", "B", SMALL.move_bytes, DESIGN.move_bytes),
    ("a cursor move, jobs", "move in jobs: bytes, p50", "B", SMALL.move_bytes, DESIGN.move_bytes),
    ("a page of nodes", "page of nodes: bytes, p50", "B", 0, 0),
    ("a change of view", "change of view: bytes, p50", "B", 30_000, 30_000),
    ("at rest", "at rest: written", "B/s", SMALL.rest_bytes, DESIGN.rest_bytes),
    ("CPU at rest, polls included", "at rest: CPU of the process tree", "%", SMALL.cpu_pct, DESIGN.cpu_pct),
    ("memory", "at rest: memory of the process tree", "MB", SMALL.memory_mb, DESIGN.memory_mb),
    ("Slurm commands started", "at rest: Slurm commands started", "/min", SMALL.commands_min, DESIGN.commands_min),
    ("RPCs of its user", "at rest: RPCs of its user", "/min", 0, 0),
    ("the controller's time for them", _COSTS, "ms/min", 0, 0),
)
_PEER_FIGURES = (
    "first frame", "first useful frame", f"{_MOVES}, p50", f"{_MOVES}, p95", f"{_MOVES}, max",
    "move in jobs: bytes, p50", "move that scrolls jobs: bytes, p50", "at rest: written",
    "at rest: CPU of the process tree",
    "at rest: memory of the process tree", "at rest: Slurm commands started", "at rest: RPCs of its user",
    _COSTS, "keys without an answer",
)  # fmt: skip
_GROWTH = (
    "a reading of the nodes: took", "a reading of the nodes: read",
    "a reading of the jobs: took", "a reading of the jobs: read", "commands started, all together",
    "RPCs", "the controller's own time for the RPCs", "CPU of the controller",
    "CPU of the controller without a console",
    "CPU of a console", "memory of a console",
)  # fmt: skip


def page(results: Results) -> str:
    """The page; parts that were not measured are marked."""
    return _WORDS.read_text(encoding="utf-8").format(
        figures=_figures(results),
        peers=_peers(results),
        far=_by_case(results, ("far",), "make bench ARGS='--part far'"),
        soak=_by_case(results, ("soak", "soak-far", "soak-live", "soak-shared"), "make soak"),
        growth=_growth(results),
        hundred=_hundred(results),
        measured=_measured(results.parts),
    )


def write(results: Results) -> None:
    """Write the page and the chart."""
    PAGE.write_text(page(results), encoding="utf-8")
    DRAWING.write_text(drawing.svg(panels(results)), encoding="utf-8")


def _figures(results: Results) -> str:
    blocks = []
    for title, small in (("Hundreds of nodes, and a thousand", True), ("12,000 nodes, 100,000 jobs", False)):
        cases = _cases(row for row in results.rows if row.part in ("demo", "lab", "middle", "design"))
        cases = [case for case in cases if (_nodes(case) <= LARGE) is small]
        if not cases:
            blocks.append(_missing(title, "make bench"))
            continue
        rows = []
        for name, what, unit, aim_small, aim_design in _FIGURES:
            aim = aim_small if small else aim_design
            cells = [_cell(results, case, what) for case in cases]
            if any(cells):
                rows.append([f"{name} ({unit})", figure(aim) if aim else "", *cells])
        blocks.append(f"**{title}**\n\n" + _table(["", "at most", *cases], rows))
    return "\n\n".join(blocks)


def _peers(results: Results) -> str:
    cases = _cases(row for row in results.rows if row.program != WACHT)
    if not cases:
        return _missing("other programs", "make bench ARGS='--part lab --part design'")
    blocks = []
    for case in cases:
        programs = list(dict.fromkeys(row.program for row in results.rows if row.case == case))
        rows = []
        for what in _PEER_FIGURES:
            units = [row.unit for row in results.rows if row.case == case and row.what == what]
            cells = [_cell(results, case, what, program) for program in programs]
            if any(cells):
                rows.append([f"{what} ({units[0]})", *(cell or "-" for cell in cells)])
        late = {
            row.program: row.what for row in results.rows if row.case == case and row.what.startswith("not ready after")
        }
        if late:
            rows.append(["", *(late.get(program, "") for program in programs)])
        ratios = [row for row in results.rows if row.case == case and row.what.endswith("times turm's")]
        ratio_text = "; ".join(f"{row.what.partition(':')[0]} {figure(row.value)}" for row in ratios)
        blocks.append(f"**{case}**\n\n{_table(['', *programs], rows)}")
        blocks += [f"wacht to turm: {ratio_text}."] if ratio_text else []
    return "\n\n".join(blocks)


def _growth(results: Results) -> str:
    if "growth" not in results.parts:
        return _missing("growth", "make bench ARGS='--part growth'")
    blocks = []
    for title, cases in _lines():
        rows = []
        for what in _GROWTH:
            cells = [_cell(results, case, what) for case in cases]
            if any(cells):
                unit = next(row.unit for row in results.rows if row.what == what)
                rows.append([f"{what} ({unit})", *(cell or "-" for cell in cells)])
        blocks.append(f"**{title}**\n\n" + _table(["", *(case.removeprefix("growth, ") for case in cases)], rows))
    return "\n\n".join(blocks)


def _lines() -> Sequence[tuple[str, Sequence[str]]]:
    groups = [growth.case(*growth.MIDDLE, count) for count in growth.CONSOLES]
    groups.append(growth.case(*growth.MIDDLE, growth.CONSOLES[-1], len(growth.USERS)))
    return (
        ("With the nodes", [growth.case(*size, 1) for size in growth.NODES]),
        ("With the jobs", [growth.case(*size, 1) for size in growth.JOBS]),
        ("With the consoles", groups),
    )


def panels(results: Results) -> list[drawing.Panel]:
    """The panels of the chart: CPU seconds per minute of the controller and of a console."""
    (_, nodes), (_, jobs), (_, consoles) = _lines()
    along = (
        ("nodes", nodes, [float(one) for one, _ in growth.NODES]),
        ("jobs", jobs, [float(one) for _, one in growth.JOBS]),
        ("consoles of one user", consoles[:-1], [float(one) for one in growth.CONSOLES]),
    )
    made = []
    for name, cases, sizes in along:
        lines = {
            "the controller, CPU s a minute": [results.value(case, "CPU of the controller") for case in cases],
            "a console, CPU s a minute": [
                None if (used := results.value(case, "CPU of a console")) is None else used * 0.6 for case in cases
            ],
            "the controller's time for RPCs, s a minute": [
                results.value(case, "the controller's own time for the RPCs") for case in cases
            ],
        }
        made.append(drawing.Panel(name, sizes, lines))
    return made


def _by_case(results: Results, parts: Sequence[str], how: str) -> str:
    rows = [row for row in results.rows if row.part in parts and not row.what.startswith("longest stall:")]
    if not rows:
        return _missing(" and ".join(parts), how)
    cases = _cases(rows)
    whats = list(dict.fromkeys((row.what, row.unit) for row in rows))
    lines = [[f"{what} ({unit})", *(_cell(results, case, what) or "-" for case in cases)] for what, unit in whats]
    return _table(["", *cases], lines)


def _hundred(results: Results) -> str:
    """Estimated cost of a hundred users for a controller with separate jobs, from the cost of one."""
    ms = next((row.value for row in results.rows if row.part == "lab" and row.what == _COSTS), None)
    return (
        ""
        if ms is None
        else f" (a hundred of them: {ms / 10:.0f} s of the controller's time a minute, in the lab above)"
    )


def _measured(parts: Mapping[str, Part]) -> str:
    rows = []
    for name, part in parts.items():
        versions = ", ".join(f"{what} {which}" for what, which in part.versions.items() if what != "wacht")
        before = f"{part.before_at} on {part.before_machine}" if part.before_at else "none"
        rows.append([name, part.at, "; ".join([part.machine, *part.notes]), versions, before])
    return _table(["part", "at", "machine", "with", "the run before"], rows)


def _cases(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row.case for row in rows))


def _nodes(case: str) -> int:
    return next(int(word.replace(",", "").removesuffix(" nodes")) for word in case.split(", ") if "nodes" in word)


def _cell(results: Results, case: str, what: str, program: str = WACHT) -> str:
    row = next((row for row in results.rows if row.key == (case, program, what)), None)
    if row is None:
        return ""
    value = f"**{figure(row.value)}**" if row.verdict in ("over", "MISSED") else figure(row.value)
    return value if row.before is None else f"{value} ({figure(row.before)})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    right = ["---", *["---:"] * (len(head) - 1)] if head[0] == "" else ["---"] * len(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, right, *rows))


def _missing(what: str, how: str) -> str:
    return f"*{what}: not measured yet (`{how}`).*"

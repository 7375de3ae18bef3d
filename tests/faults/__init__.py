"""The faults that tests inject, as a table: `@fault(area, injected, asserted)` above a test puts a row into it.

`python -m tests.faults` collects the marked tests (it reads their source, so literals only) and writes the table of
docs/reliability.md; tests/faults/test_table.py checks that both are equal, and that each case of `required.CASES` has a
test. A test may have several marks, and one may be a parameter's mark: `pytest.param(…, marks=fault(…))`.
"""

from __future__ import annotations

import pytest

#: Section of the table: its areas. An area names the real component, or the side of the console, that a fault meets.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Sources": ("HTTP sources", "Prometheus", "Alertmanager", "slurmrestd", "pyslurm",
                "Slurm's commands", "slurmctld", "NVML", "clock"),
    "People": ("people",),
    "Process": ("process", "journal", "files", "terminal"),
    "Security": ("hostile text", "read-only", "network"),
}  # fmt: skip
AREAS = tuple(area for areas in SECTIONS.values() for area in areas)


def fault(area: str, injected: str, asserted: str, case: str = "") -> pytest.MarkDecorator:
    """Mark a test as one that injects a fault: into what, what, and what it asserts, in plain words of one cell each.

    `case` names the case of `required.CASES` that it covers, where `injected` is not that name itself.
    Raises ValueError where the area is not one of `AREAS`.
    """
    if area not in AREAS:
        raise ValueError(f"no area {area!r}: one of {', '.join(AREAS)}")
    return pytest.mark.fault(area, injected, asserted, case or injected)

"""A finding: one line of `wacht doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

Mark = Literal["ok", "note", "warn", "bad"]
#: In the order in which they are shown.
GROUPS = ("Sources", "Slurm roads", "Rights", "Clock", "Terminal", "Files")


class Finding(Struct, frozen=True, kw_only=True):
    """One finding. Its texts are cleaned and safe to print."""

    group: str
    name: str
    mark: Mark
    """ok; note: neither good nor bad, or unknown; warn: it works but should be changed; bad: it fails."""
    said: str
    mend: str = ""
    """What to do, in one sentence; "" when there is nothing to do."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The same as figures for scripts: `took_s`, `rows`, `age_s`, …"""


class FindingGroup:
    """Creates the findings of one group."""

    def __init__(self, group: str) -> None:
        self._group = group
        self.found: list[Finding] = []

    def ok(self, name: str, said: str, **figures: Any) -> None:
        """It is as it should be."""
        self._add("ok", name, said, "", figures)

    def note(self, name: str, said: str, mend: str = "", **figures: Any) -> None:
        """Worth knowing, or unknown."""
        self._add("note", name, said, mend, figures)

    def warn(self, name: str, said: str, mend: str = "", **figures: Any) -> None:
        """It works, but should be changed."""
        self._add("warn", name, said, mend, figures)

    def bad(self, name: str, said: str, mend: str = "", **figures: Any) -> None:
        """Something configured does not work."""
        self._add("bad", name, said, mend, figures)

    def _add(self, mark: Mark, name: str, said: str, mend: str, figures: Mapping[str, Any]) -> None:
        self.found.append(Finding(group=self._group, name=name, mark=mark, said=said, mend=mend, figures=figures))


def count(number: int, word: str) -> str:
    """A count with its noun: `1 row`, `1,200 rows`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def seconds(value: float) -> str:
    """A duration or an age as text: `6 ms`, `2.4 s`, `3 min`, `5 h`, `12 days`."""
    if value < 1:
        return f"{1e3 * value:.0f} ms"
    for size, word in ((86_400, "days"), (3600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:.0f} {word}"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"

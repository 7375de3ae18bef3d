"""TopLine: which cluster, what time, which modes, how old the facts are, how many alerts. One line, always there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from textual.strip import Strip
from textual.widget import Widget

from collectors.model import Cluster

from .cells import Span
from .chips import top_spans
from .role_styles import role_styles
from .terminal.quiet_app import QuietApp

_EMPTY = Cluster(name="")
_SLOW_STEP_S = 5
"""On a slow line the clock and the ages change only at this interval in seconds."""


class TopLine(Widget):
    """Shows the values given to `show`; repaints only when its text changed."""

    DEFAULT_CSS = """
    TopLine { dock: top; height: 1; background: $panel; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, zone: tzinfo | None = None, id: str | None = None) -> None:
        """`zone` None is the machine's own."""
        super().__init__(id=id)
        self._zone = zone
        self._shown: tuple[Cluster, float, float, Sequence[str], Sequence[Span], Sequence[str]]
        self._shown = (_EMPTY, 0.0, 0.0, (), (), ())
        self._spans: list[Span] = []

    def show(
        self,
        cluster: Cluster,
        now: float,
        mono: float,
        modes: Sequence[str] = (),
        others: Sequence[Span] = (),
        trail: Sequence[str] = (),
    ) -> None:
        """`now` is the wall clock, `mono` the clock of the readings, `modes` are words like DEMO and READ-ONLY,
        `others` the spans about other clusters, `trail` the screens that lead to this one.
        """
        if isinstance(self.app, QuietApp) and self.app.slow_line:
            modes = [*modes, "SLOW LINE"]
            since = now % _SLOW_STEP_S
            now, mono = now - since, mono - since
        self._shown = (cluster, now, mono, tuple(modes), tuple(others), tuple(trail))
        if self.is_mounted and self._compose_spans() != self._spans:
            self.refresh()

    def update_hidden(self, cluster: Cluster) -> None:
        """Take a newer Cluster while hidden; paint nothing."""
        self._shown = (cluster, *self._shown[1:])

    def _compose_spans(self) -> list[Span]:
        cluster, now, mono, modes, others, trail = self._shown
        return top_spans(cluster, now, mono, modes, self.size.width, self._zone, others, trail)

    def render_line(self, y: int) -> Strip:
        """The line."""
        self._spans = self._compose_spans()
        paint = role_styles(self)
        return Strip(
            [segment for text, role in self._spans for segment in paint.strip(((text, role),), on=_ground(role))],
            self.size.width,
        ).simplify()


def _ground(role: str) -> str:
    """The background role: chips and modes have their own, everything else the bar's."""
    return role if role.startswith(("mode-", "chip-fault")) else "bar"

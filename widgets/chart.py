"""Chart: values over time; how it looks is in `chart_layout`."""

from __future__ import annotations

from datetime import tzinfo

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from .chart_layout import ChartContent, chart_lines
from .role_styles import RoleStyles, role_styles


class Chart(Widget):
    """A chart of the whole of its widget."""

    DEFAULT_CSS = """
    Chart { width: 1fr; height: 1fr; background: $background; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, zone: tzinfo | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._zone = zone
        self.content = ChartContent()
        self._painted: tuple[ChartContent, tuple[int, int], RoleStyles, list[Strip]] | None = None

    def show(self, content: ChartContent) -> None:
        """Show this in place of what is shown."""
        if content != self.content:
            self.content = content
            self.refresh(Region(0, 0, self.size.width, self.size.height))

    def render_lines(self, crop: Region) -> list[Strip]:
        """All lines at once: the chart is computed once for each content, size and theme."""
        paint, size = role_styles(self), (self.size.width, self.size.height)
        painted = self._painted
        if painted is None or painted[0] is not self.content or painted[1] != size or painted[2] is not paint:
            lines = chart_lines(self.content, *size, self._zone)
            painted = self._painted = self.content, size, paint, [paint.line(line, size[0]) for line in lines]
        return [strip.crop(crop.x, crop.right) for strip in painted[3][crop.y : crop.bottom]]

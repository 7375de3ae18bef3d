"""An app with one widget, and a machine to show in it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget

import themes
from collectors.model import Cluster, Load, Source
from tests.support import make
from widgets.terminal.quiet_app import QuietApp


class Bench(QuietApp[None]):
    """One widget, alone on the screen, and what it said."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget
        self.told: list[Message] = []
        themes.register(self)

    def compose(self) -> ComposeResult:
        yield self.widget

    @property
    def lines(self) -> list[str]:
        return [self.widget.render_line(y).text for y in range(self.widget.size.height)]

    def watch_refreshes(self) -> list[Region]:
        regions: list[Region] = []
        refresh = self.widget.refresh

        def record(*asked: Region, **options: bool) -> Widget:
            regions.extend(asked or [self.widget.size.region])
            return refresh(*asked, **options)

        self.widget.refresh = record  # type: ignore[method-assign]
        return regions

    def _tell(self, message: Message) -> None:
        self.told.append(message)

    on_pane_opened = on_pane_moved = on_node_map_opened = on_node_map_moved = _tell
    on_node_map_rack_opened = on_node_map_rack_left = _tell
    on_key_bar_pressed = on_prompt_submitted = on_prompt_edited = on_prompt_cancelled = _tell

    def last(self, kind: type[Message]) -> Message:
        return [message for message in self.told if isinstance(message, kind)][-1]


def machine(racks: int = 4, each: int = 8, states: Sequence[str] = ("ALLOCATED",)) -> Cluster:
    places = [(f"gpu{rack:02d}{i:02d}", f"R{rack:02d}", i) for rack in range(racks) for i in range(each)]
    nodes = [make.node(name, states[i % len(states)], rack=rack) for name, rack, i in places]
    loads = [Load(node=name, gpu_util_pct=10.0 * i, temp_c=60.0) for name, _, i in places]
    source = Source(name="slurm.nodes", ok=True, tried=True, read_mono=-4.0)
    return make.cluster(nodes=nodes, loads=loads, sources=[source])

"""Help: every key and command, from the tables they come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.widget import Widget

from collectors.model import Cluster, Diff
from console.actions import ACTIONS, NAVIGATION
from console.commands import helps
from console.screens.base import WachtScreen
from widgets.keybar import Key
from widgets.pane import Line, Pane, line


class HelpScreen(WachtScreen):
    """Pushed by `?`. `why` holds, for the screen beneath, why an action is refused just now."""

    crumb = "help"

    def __init__(self, why: dict[str, str | None]) -> None:
        super().__init__()
        self._why = why
        self.text = Pane("Help", scroll=True, id="main")

    def body(self) -> Iterable[Widget]:
        """One long pane."""
        yield self.text

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """The text does not depend on the cluster."""
        if diff is None:
            self.text.set_lines(self._lines())

    def _lines(self) -> list[Line]:
        lines = [line(("Acting on the machine (always asks first)", "title"))]
        for action in ACTIONS:
            why = self._why.get(action.id)
            kills = "  kills running work" if action.danger == "kills" else ""
            lines.append(
                Line(
                    [
                        (f"  {action.key:<8}", "key" if why is None else "key-off"),
                        (f"{action.label:<18}", "text-strong"),
                        (f"{action.kind:<6}", "text-dim"),
                        (action.help, ""),
                        (kills, "bad"),
                    ]
                )
            )
            if why:
                lines.append(Line([(" " * 34, ""), (f"not now: {why}", "warn")]))
        lines += [line(""), line(("Finding one's way", "title"))]
        lines += [Line([(f"  {key.shown:<8}", "key"), (key.help, "")]) for key in NAVIGATION]
        lines += [line(""), line(("Commands, after a colon", "title"))]
        lines += [Line([(f"  {name:<32}", "text-strong"), (text, "")]) for name, text in helps()]
        lines += [line(""), line(("Filters, after a slash", "title"))]
        lines += [
            Line([(f"  {text:<32}", "text-strong"), (meaning, "")])
            for text, meaning in (
                ("state=drained & rack=R07", "both"),
                ("user=alice | user=bob", "either"),
                ("gpu>0", "compare numbers, sizes, times"),
                ("!idle", "not"),
                ("gpu[0001-0018]", "a node set"),
                ("nhc", "any text"),
                ("age>2h  left<30m  wait>1d", "durations"),
            )
        ]
        return lines

    def keys(self) -> Sequence[Key]:
        """How to leave."""
        return (Key("↑↓", "scroll"), Key("Esc", "back"))

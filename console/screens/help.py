"""The help screen: every key and command, from the tables that define them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from textual.widget import Widget

from collectors.model import Cluster, Diff
from console.actions.registry import ACTIONS, NAVIGATION
from console.config.commands import command_help
from widgets.cells import Span, spans_width
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine, pane_line

from .layout.screen import WachtScreen

#: Width (cells) of the label of an action, and of its key with the indent.
_LABEL, _KEY = 2 + max(len(action.label) for action in ACTIONS), 9
FILTERS = (
    ("state=drained & rack=R07", "both"),
    ("user=alice | user=bob", "either"),
    ("gpu>0  power>6kW  temp>80", "compare numbers, with the units of the columns"),
    ("!idle", "not"),
    ("gpu[0001-0018]", "a node set"),
    ("@rack:R[07-10]  @loop:cdu-2", "the nodes of racks, of cooling loops, or the jobs there"),
    ("nhc", "any text"),
    ("age>2h  left<30m  wait>1d", "durations"),
    ("@NAME", "a saved filter; :save NAME saves the one that is on"),
    (":drain rack=R07 & state=idle WHY", "targets of an action too, up to the first word that nothing joins"),
    (":cancel 'user=alice train' WHY", "in quotes where the reason would be taken for a part of it"),
)


def _hanging_lines(head: Sequence[Span], text: str, role: str, room: int) -> list[PaneLine]:
    """A head and a text after it, on as many lines as needed."""
    before = spans_width(head)
    pieces = textwrap.wrap(text, max(20, room - before)) or [""]
    first = PaneLine([*head, (pieces[0], role)])
    return [first, *(PaneLine([(" " * before, ""), (piece, role)]) for piece in pieces[1:])]


class HelpScreen(WachtScreen):
    """Pushed by `?`. `why` maps an action to why it is refused on the screen below."""

    crumb = "help"

    def __init__(self, why: dict[str, str | None]) -> None:
        super().__init__()
        self._refusals = why
        self.text = Pane("Help", scroll=True, id="main")

    def body(self) -> Iterable[Widget]:
        """One long pane."""
        yield self.text

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """The text does not depend on the cluster."""
        if diff is None:
            self.text.set_lines(self._lines())

    def on_resize(self) -> None:
        """Lay out the lines for the new width."""
        self.text.set_lines(self._lines())

    def _lines(self) -> list[PaneLine]:
        room, keys = max(20, self.size.width - 6), self.app.input.keymap
        wide = 2 + max(len(keys.shown(way.id)) for way in NAVIGATION)
        lines = [pane_line(("Acting on the machine (always asks first)", "title"))]
        for action in sorted(ACTIONS, key=lambda one: self._refusals.get(one.id) is not None):
            why = self._refusals.get(action.id)
            key, label = (
                (f"  {keys.shown(action.id):<7}", "key" if why is None else "key-off"),
                (f"{action.label:<{_LABEL}}", "text-strong"),
            )
            said = f"{action.kind}: {action.help}" + (" (kills running work)" if action.danger == "kills" else "")
            lines += _hanging_lines([key, label], said, "", room)
            if why:
                lines += _hanging_lines([(" " * (_KEY + _LABEL), "")], f"not now: {why}", "warn", room)
        lines += [pane_line(""), pane_line(("Finding one's way", "title"))]
        for way in NAVIGATION:
            if shown := keys.shown(way.id):
                lines += _hanging_lines([(f"  {shown:<{wide}}", "key")], way.help, "", room)
        lines += [pane_line(""), pane_line(("Commands, after a colon", "title"))]
        for name, text in command_help():
            # Many names take more width, but the space before the explanation stays.
            lines += _hanging_lines([(f"  {name:<28}  ", "text-strong")], text, "", room)
        lines += [pane_line(""), pane_line(("Filters, after a slash", "title"))]
        for name, text in FILTERS:
            lines += _hanging_lines([(f"  {name:<30}", "text-strong")], text, "", room)
        return lines

    def keys(self) -> Sequence[KeyHint]:
        """The keys that close the help."""
        return (KeyHint("↑↓", "scroll"), KeyHint("Esc", "back"))

"""The command palette: a query, and below it the matches. Enter runs one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.worker import get_current_worker

from collectors.clean import clean
from console.clusters.fleet import Fleet
from widgets.cells import Span, cut, width
from widgets.pane import Pane, PaneLine
from widgets.terminal.quiet_app import QuietModal

from .palette import NamedRow, PaletteEntry, found, named

_MAX_QUERY = 200


class PaletteScreen(QuietModal[PaletteEntry | None]):
    """Returns the chosen entry, or None. It runs nothing itself."""

    DEFAULT_CSS = """
    PaletteScreen { align: center top; background: $background 60%; }
    PaletteScreen > Vertical { width: 100%; max-width: 110; height: 80%; margin: 1 0; background: $background; }
    """
    AUTO_FOCUS = "#found"

    def __init__(
        self,
        fleet: Fleet,
        entries: Sequence[PaletteEntry],
        recent: Sequence[str],
        name_entry: Callable[[NamedRow], PaletteEntry],
    ) -> None:
        """`name_entry` makes the entry of a node, rack or job."""
        super().__init__()
        self._fleet, self._name_entry = fleet, name_entry
        self._entries = entries
        self._recent = recent
        self._query = ""
        self._named: list[NamedRow] = []
        self._shown: Sequence[PaletteEntry] = ()
        self._pane = Pane(select=True, empty_text="nothing is called that", id="found")

    def compose(self) -> ComposeResult:
        """One pane; its title is the query."""
        with Vertical():
            yield self._pane

    def on_mount(self) -> None:
        """Show all entries until something is typed."""
        self._paint()

    def on_resize(self) -> None:
        """Paint again for the new width."""
        self.call_after_refresh(self._paint)

    def _paint(self, keep: bool = False) -> None:
        """Show the matches. The cursor goes to the first one; with `keep` it stays where the person put it."""
        at = int(self._pane.cursor_key or 0)
        stays = self._shown[at] if keep and 0 < at < len(self._shown) else None
        self._shown = [*found(self._entries, self._query, self._recent), *map(self._name_entry, self._named)]
        typed: list[Span] = [
            ("› ", "key"),
            (self._query or "type a name", "text-strong" if self._query else "text-dim"),
        ]
        self._pane.set_title([*typed, ("▏", "accent")], [(f"{len(self._shown)}", "text-dim")] if self._query else "")
        if self._query:
            # An exact match of a name is listed first.
            self._shown = sorted(self._shown, key=lambda one: one.name.partition(" ")[2] != self._query)
        room = max(20, self._pane.size.width - 6)
        self._pane.set_lines([self._line(at, one, room) for at, one in enumerate(self._shown)])
        if stays is not None:
            self._pane.select_key(str(next(n for n, one in enumerate(self._shown) if one.name == stays.name)))
        elif self._shown:
            self._pane.select_key("0")
            self._pane.scroll_top(0)

    def _line(self, at: int, one: PaletteEntry, room: int) -> PaneLine:
        name = cut(one.name, room)
        description = cut(one.description, max(0, room - max(34, width(name) + 2) - len(one.key) - 1))
        pad = " " * max(2, 34 - width(name))
        role = "key-off" if one.refused else "text-strong"
        return PaneLine(
            ((name, role), (pad, ""), (description, "warn" if one.refused else "text-dim")),
            ((one.key, "key"),),
            str(at),
        )

    # Input.

    def on_key(self, event: events.Key) -> None:
        """Letters go to the query; other keys move the cursor, choose or close."""
        match event.key:
            case "escape" | "ctrl+p":
                self.dismiss(None)
            case "enter" | "up" | "down" | "pageup" | "pagedown" | "home" | "end":
                return
            case "backspace" | "ctrl+h":
                self._type(self._query[:-1])
            case "ctrl+u":
                self._type("")
            case "ctrl+w":
                self._type(self._query.rstrip().rpartition(" ")[0])
            case _ if event.is_printable and event.character:
                self._type(self._query + event.character)
            case _:
                return
        event.stop()
        event.prevent_default()

    def on_paste(self, event: events.Paste) -> None:
        """Add the first line to the query; choose nothing."""
        event.stop()
        lines = event.text.splitlines()
        self._type(self._query + (clean(lines[0]) if lines else ""))

    def _type(self, text: str) -> None:
        self._query = text[:_MAX_QUERY]
        low = self._query.strip().lower()
        self._named = [one for one in self._named if low and low in one[1].lower()]
        self._paint()
        self.run_worker(self._search, thread=True, group="names", exclusive=True, exit_on_error=False)

    def _search(self) -> None:
        """Search the cluster by name. Runs in a thread: there may be 100,000 jobs."""
        worker, query = get_current_worker(), self._query
        names = named(self._fleet.cluster, query)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._names_found, query, names)

    def _names_found(self, query: str, names: list[NamedRow]) -> None:
        if query == self._query and names != self._named and self.is_mounted:
            self._named = names
            self._paint(keep=True)

    @on(Pane.Opened)
    def _chosen(self, event: Pane.Opened) -> None:
        event.stop()
        at = int(event.key)
        self.dismiss(self._shown[at] if at < len(self._shown) else None)

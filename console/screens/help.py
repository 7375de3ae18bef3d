"""The help: the keys of the screen below, navigation first, then its actions. `/` searches all keys, actions, commands
and filters. Everything is read from the tables that define it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from console.actions.action import Action
from console.actions.registry import ACTIONS, NAVIGATION, ActionKey, keys_for
from console.config.commands import SITE_COMMANDS, entries
from console.config.keymap import Keymap
from widgets.cells import Span, spans_width
from widgets.key_bar import KeyHint
from widgets.node_map import NodeMap
from widgets.pane import Pane, PaneLine, pane_line
from widgets.prompt import Prompt
from widgets.table import VirtualTable
from widgets.units import plural

from .layout.filtered_screen import FilteredScreen
from .layout.list_screen import ListScreen
from .layout.screen import WachtScreen

#: Most cells by which a column of keys or names moves the texts of the others to the right.
_HEAD = 30
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


class HelpRow(Struct, frozen=True):
    """One line of the help: a key, a name, and what it does."""

    key: str
    name: str
    text: str
    words: str = ""
    """Other words that a search finds it by."""
    refused: bool = False

    def matches(self, query: str) -> bool:
        """Whether it has every word of the query."""
        has = f"{self.key} {self.name} {self.text} {self.words}".lower()
        return all(word in has for word in query.lower().split())


class HelpSection(Struct, frozen=True):
    """A title and its rows."""

    title: str
    rows: Sequence[HelpRow]
    role: str = "title"


class HelpScreen(WachtScreen):
    """Pushed by `?`. `refusals` maps an action to why it is refused on the screen below."""

    crumb = "help"
    takes_keys = frozenset({"quit", "help", "command", "palette", "redraw", "suspend_process"})

    def __init__(self, about: WachtScreen, refusals: Mapping[str, str | None]) -> None:
        super().__init__()
        self._refusals = refusals
        self._about = about.breadcrumb
        self._places = places(about)
        self._kinds = about.kinds_acted_on
        self._query = ""
        self.text = Pane(f"Help: {self._about}", scroll=True, id="main")

    def body(self) -> Iterable[Widget]:
        """One pane."""
        yield self.text

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """The text does not depend on the cluster."""
        if diff is None:
            self._paint()

    def on_resize(self) -> None:
        """Lay out the lines for the new width."""
        self._paint()

    def _paint(self) -> None:
        keys, query = self.app.input.keymap, self._query
        sections = list(self._everything(keys) if query else self._of_screen(keys))
        if query:
            sections = [
                HelpSection(one.title, rows, one.role)
                for one in sections
                if (rows := [row for row in one.rows if row.matches(query)])
            ]
            count = sum(len(one.rows) for one in sections)
            self.text.set_title(
                [("Help", ""), ("   / ", "text-dim"), (query, "accent")], plural(count, "match", "matches")
            )
        else:
            self.text.set_title(f"Help: {self._about}", f"{keys.first('filter')} searches everything")
        self.text.set_empty_text(f"nothing in the help matches {query}  (Esc shows all)")
        room = max(20, self.size.width - 6)
        lines = [line for one in sections for line in (pane_line(""), *_section_lines(one, room))]
        self.text.set_lines(lines[1:])

    def _of_screen(self, keys: Keymap) -> Iterator[HelpSection]:
        """What works on the screen below: moving, its keys, the other screens, then its actions."""
        yield HelpSection("Navigation", [*_moves(keys), *_ways(keys, lambda way: way.where in self._places)])
        if SITE_COMMANDS:
            yield HelpSection("Commands of this site", _site_commands(keys))
        yield HelpSection("Screens", _ways(keys, lambda way: way.where == "screen"))
        for kind in self._kinds:
            yield from _action_sections(keys, f"Actions on {kind}s (preview first)", keys_for(kind), self._refusals)
        if "filtered list" in self._places:
            yield _filters()

    def _everything(self, keys: Keymap) -> Iterator[HelpSection]:
        """All that there is, for a search."""
        yield HelpSection("Navigation", _ways(keys, lambda way: way.where != "screen"))
        yield HelpSection("Screens", _ways(keys, lambda way: way.where == "screen"))
        for kind in dict.fromkeys(action.kind for action in ACTIONS):
            refusals = self._refusals if kind in self._kinds else {}
            yield from _action_sections(keys, f"Actions on {kind}s", keys_for(kind), refusals)
        rows = [HelpRow("", f":{one.signature}", one.help, " ".join(one.synonyms)) for one in entries().values()]
        yield HelpSection("Commands", rows)
        yield _filters()

    # Search.

    def action_filter(self) -> None:
        """Search while typing."""
        self.prompt.open("/", self._query)

    def action_back(self) -> None:
        """Esc ends the search, then closes the help."""
        if self._query:
            self._search("")
        else:
            super().action_back()

    def _search(self, query: str) -> None:
        self._query = query.strip()
        self._paint()
        self.text.scroll_top(0)

    @on(Prompt.Edited)
    def _edited(self, event: Prompt.Edited) -> None:
        if event.kind == "/":
            self._search(event.value)

    @on(Prompt.Cancelled)
    def _cancelled(self, event: Prompt.Cancelled) -> None:
        if event.kind == "/":
            self._search("")

    @on(Prompt.Submitted)
    def _submitted(self, event: Prompt.Submitted) -> None:
        if event.kind == "/":
            event.prompt.close()
            self._search(event.value)

    def keys(self) -> Sequence[KeyHint]:
        """The keys that close and search the help."""
        return (KeyHint("Esc", "back"), KeyHint("/", "search"), KeyHint("↑↓", "scroll"))


def places(screen: WachtScreen) -> frozenset[str]:
    """The `where` of the keys that work on a screen."""
    found = {""} | {kind for kind in screen.kinds_acted_on if kind in {"node", "job"}}
    found |= {"table"} if any(True for _ in screen.query(VirtualTable)) else set()
    found |= {"map"} if any(True for _ in screen.query(NodeMap)) else set()
    found |= {"list"} if isinstance(screen, ListScreen) else set()
    found |= {"filtered list"} if isinstance(screen, FilteredScreen) else set()
    found |= {"journal"} if screen.crumb == "journal" else set()
    found |= {"clusters"} if len(screen.app.fleet.available) > 1 else set()
    found |= {"recording"} if screen.app.fleet.replaying else set()
    return frozenset(found)


def _moves(keys: Keymap) -> list[HelpRow]:
    """The keys of the cursor in one row: the first of each direction, then all others."""
    each = [keys.shown(way.id).split() for way in NAVIGATION if way.where == "cursor"]
    more = [key for shown in each[:4] for key in shown[1:]] + [key for shown in each[4:] for key in shown]
    return [HelpRow(" ".join(shown[0] for shown in each[:4] if shown), "", f"move; also {' '.join(more)}")]


def _ways(keys: Keymap, fits: Callable[[ActionKey], bool]) -> list[HelpRow]:
    """The navigation keys that fit and have a key."""
    return [HelpRow(shown, "", way.help, " ".join(way.synonyms)) for way in NAVIGATION
            if fits(way) and (shown := keys.shown(way.id))]  # fmt: skip


def _action_sections(
    keys: Keymap, title: str, actions: Sequence[Action], refusals: Mapping[str, str | None]
) -> Iterator[HelpSection]:
    """The actions that are possible, then the others below each reason why not."""
    by_reason: dict[str, list[HelpRow]] = {"": []}
    for action in actions:
        why = refusals.get(action.id) or ""
        said = action.help + (" (kills running work)" if action.danger == "kills" else "")
        key, words = keys.shown(action.id), f"{action.id} {action.label} {' '.join(action.synonyms)}"
        row = HelpRow(key or ":", action.label if key else action.id, said, words, bool(why))
        by_reason.setdefault(why, []).append(row)
    yield HelpSection(title, sorted(by_reason.pop(""), key=lambda row: row.key == ":"))
    for why, rows in by_reason.items():
        yield HelpSection(f"not now: {why}", rows, "warn")


def _site_commands(keys: Keymap) -> list[HelpRow]:
    """The site's own commands that only read; those that change something are actions."""
    return [HelpRow(keys.first(name) or ":", name, row.help) for name, row in SITE_COMMANDS.items()]


def _filters() -> HelpSection:
    return HelpSection("Filters, after a slash", [HelpRow("", name, text) for name, text in FILTERS])


def _section_lines(section: HelpSection, room: int) -> list[PaneLine]:
    """The title, and each row on as many lines as needed; keys, names and texts stand below each other."""
    heads = [(f"  {row.key}  " if row.key else "  ", f"{row.name}  " if row.name else "") for row in section.rows]
    wide = [max((min(len(head[at]), _HEAD) for head in heads), default=0) for at in (0, 1)]
    lines = [pane_line((section.title, section.role))]
    for row, (key, name) in zip(section.rows, heads, strict=True):
        spans = ((key.ljust(wide[0]), "key-off" if row.refused else "key"), (name.ljust(wide[1]), "text-strong"))
        lines += _hanging_lines(spans, row.text, room)
    return lines


def _hanging_lines(head: Sequence[Span], text: str, room: int) -> list[PaneLine]:
    """A head and a text after it, on as many lines as needed."""
    before = spans_width(head)
    pieces = textwrap.wrap(text, max(20, room - before)) or [""]
    first = PaneLine([*head, (pieces[0], "")])
    return [first, *(PaneLine([(" " * before, ""), (piece, "")]) for piece in pieces[1:])]

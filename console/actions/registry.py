"""The table of all actions that change the real machine, and the table of navigation keys.

Footer, help, palette, `:` commands, `wacht keys`, read-only mode and the dialogs derive from these two tables. What
Slurm accepts and ignores is taken from its source (`_valid_node_state_change` in node_mgr.c, 22.05 to 26.05) and from
live 24.11 and 26.05 controllers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from . import (
    alert_actions,
    incident,
    job_actions,
    node_actions,
    partition_actions,
    reservation_actions,
    user_actions,
)
from .action import Action, Kind
from .screen_rows import SCREEN_ROWS

ACTIONS: list[Action] = [
    *node_actions.ROWS,
    *job_actions.ROWS,
    *alert_actions.ROWS,
    *partition_actions.ROWS,
    *reservation_actions.ROWS,
    *user_actions.ROWS,
    *incident.ROWS,
]
BY_ID = {action.id: action for action in ACTIONS}


def keys_for(kind: Kind) -> tuple[Action, ...]:
    """The actions on targets of this kind, in the order of the table."""
    return tuple(action for action in ACTIONS if action.kind == kind)


#: Where a key works: everywhere, or on a screen with one of these; `cursor` and `screen` are everywhere too.
Where = Literal["", "cursor", "screen", "table", "list", "filtered list", "map", "node", "job", "clusters", "journal",
                "recording"]  # fmt: skip


class ActionKey(Struct, frozen=True, kw_only=True):
    """A key that changes nothing outside the console. `keys` are Textual's names, `shown` is the text for people."""

    id: str
    keys: tuple[str, ...]
    shown: str
    help: str
    synonyms: tuple[str, ...] = ()
    """Other words for it, in lower case: Slurm's commands and common words. `:` and the palette find it by them."""
    where: Where = ""


NAVIGATION: tuple[ActionKey, ...] = (
    ActionKey(id="quit", keys=("q",), shown="q", help="quit", synonyms=("exit", "leave")),
    ActionKey(
        id="help",
        keys=("question_mark",),
        shown="?",
        help="all keys, and why one is refused",
        synonyms=("keys", "manual", "man"),
    ),
    ActionKey(
        id="filter",
        keys=("slash",),
        shown="/",
        help="filter the rows",
        where="filtered list",
        synonyms=("search", "find", "grep"),
    ),
    ActionKey(id="command", keys=("colon",), shown=":", help="type a command"),
    ActionKey(id="palette", keys=("ctrl+p",), shown="Ctrl+P", help="the palette: everything by name"),
    ActionKey(id="open", keys=("enter",), shown="Enter", help="open what the cursor is on"),
    ActionKey(id="back", keys=("escape",), shown="Esc", help="go back"),
    ActionKey(
        id="previous",
        keys=("minus",),
        shown="-",
        help="to the view before this one, and back again; on an unfolded array of jobs: fold it",
    ),
    ActionKey(id="unfold", keys=("plus",), shown="+", help="jobs: unfold an array, one task a line", where="table"),
    ActionKey(
        id="mark", keys=("space",), shown="Space", help="mark a row; an action takes all marked rows", where="table"
    ),
    ActionKey(id="mark_all", keys=("asterisk",), shown="*", help="mark all rows shown, or none", where="table"),
    ActionKey(id="cursor_left", keys=("left", "h"), shown="← h", help="left", where="cursor"),
    ActionKey(id="cursor_down", keys=("down", "j"), shown="↓ j", help="down", where="cursor"),
    ActionKey(id="cursor_up", keys=("up", "k"), shown="↑ k", help="up", where="cursor"),
    ActionKey(id="cursor_right", keys=("right", "l"), shown="→ l", help="right", where="cursor"),
    ActionKey(id="page_down", keys=("pagedown",), shown="PgDn", help="a page down", where="cursor"),
    ActionKey(id="page_up", keys=("pageup",), shown="PgUp", help="a page up", where="cursor"),
    ActionKey(id="first", keys=("home",), shown="Home", help="to the first row", where="cursor"),
    ActionKey(id="last", keys=("end",), shown="End", help="to the last row", where="cursor"),
    ActionKey(id="next_pane", keys=("tab",), shown="Tab", help="to the next table or pane"),
    ActionKey(
        id="order",
        keys=("o",),
        shown="o",
        help="sort by a column: pick it by its letter; o again reverses",
        where="table",
    ),
    ActionKey(id="reverse", keys=("O",), shown="O", help="reverse the sort", where="table"),
    ActionKey(
        id="copy", keys=("y",), shown="y", help="copy the command or query behind it", synonyms=("clipboard", "yank")
    ),
    ActionKey(
        id="copy_rows",
        keys=("Y",),
        shown="Y",
        help="copy the names of the marked rows, else of that of the cursor",
        where="table",
    ),
    ActionKey(
        id="beside",
        keys=("w",),
        shown="w",
        help="lists: what the cursor is on, beside it; and away again",
        where="list",
    ),
    ActionKey(
        id="refresh",
        keys=("ctrl+r",),
        shown="Ctrl+R",
        help="read every source again now",
        synonyms=("reload", "read again"),
    ),
    ActionKey(id="redraw", keys=("ctrl+l",), shown="Ctrl+L", help="draw the screen again"),
    ActionKey(
        id="suspend_process",
        keys=("ctrl+z",),
        shown="Ctrl+Z",
        help="to the shell; its fg comes back",
        synonyms=("background",),
    ),
    ActionKey(
        id="measure",
        keys=("m",),
        shown="m",
        help="what the map shows: state, utilisation, memory, temperature, power",
        where="map",
    ),
    ActionKey(
        id="ssh",
        keys=("x",),
        shown="x",
        help="ssh to the node, and back",
        where="node",
        synonyms=("console", "shell", "dmesg", "login", "terminal", "journalctl"),
    ),
    ActionKey(
        id="log",
        keys=("J",),
        shown="J",
        help="the end of what a job wrote, where you may read it",
        where="job",
        synonyms=("output", "stdout", "stderr", "tail"),
    ),
    ActionKey(id="zoom", keys=("z",), shown="z", help="into a rack of the map, and out again", where="map"),
    ActionKey(
        id="charts",
        keys=("g",),
        shown="g",
        help="charts of a node: 1 h, 6 h, 24 h, 7 days",
        where="node",
        synonyms=("graph", "history", "trend"),
    ),
    *(
        ActionKey(id=row.id, keys=(row.key,), shown=row.key, help=row.help, where="screen", synonyms=row.synonyms)
        for row in SCREEN_ROWS
        if row.key
    ),
    ActionKey(id="common", keys=("equals_sign",), shown="=", help="what the marked nodes have in common", where="node"),
    ActionKey(
        id="vendor", keys=("e",), shown="e", help="a vendor's ticket of the node, to the clipboard", where="node"
    ),
    ActionKey(
        id="next_cluster",
        keys=("C",),
        shown="C",
        help="show the next cluster, where several are configured",
        where="clusters",
    ),
    ActionKey(
        id="read_back",
        keys=("v",),
        shown="v",
        help="journal: see what came of an action without a result",
        where="journal",
    ),
    ActionKey(
        id="look_back",
        keys=("T",),
        shown="T",
        help="look back at what was recorded, and back to the present",
        synonyms=("replay", "recording", "time travel"),
    ),
    ActionKey(id="play", keys=("p",), shown="p", help="recording: play, pause", where="recording"),
    ActionKey(
        id="slower",
        keys=("left_square_bracket",),
        shown="[",
        help="recording: slower (×1, ×10, ×60, ×600)",
        where="recording",
    ),
    ActionKey(id="faster", keys=("right_square_bracket",), shown="]", help="recording: faster", where="recording"),
    ActionKey(id="earlier", keys=("comma",), shown=",", help="recording: the moment before", where="recording"),
    ActionKey(id="later", keys=("full_stop",), shown=".", help="recording: the next moment", where="recording"),
    ActionKey(
        id="far_back", keys=("less_than_sign",), shown="<", help="recording: ten minutes back", where="recording"
    ),
    ActionKey(id="far_on", keys=("greater_than_sign",), shown=">", help="recording: ten minutes on", where="recording"),
    ActionKey(
        id="next_mark", keys=("n",), shown="n", help="recording: the next alert, action or failure", where="recording"
    ),
    ActionKey(
        id="last_mark", keys=("N",), shown="N", help="recording: the alert, action or failure before", where="recording"
    ),
    ActionKey(id="go_to", keys=("t",), shown="t", help="recording: go to a moment (03:12, -15m)", where="recording"),
    ActionKey(
        id="undo",
        keys=("Z",),
        shown="Z",
        help="undo what the cursor is on in the journal, else your last action",
        synonyms=("revert", "take back"),
    ),
)


def key_table(shown: Mapping[str, str] | None = None) -> str:
    """Both tables in Markdown, as printed by `wacht keys` and the documentation. `shown` maps ids to remapped keys."""
    keys = {**{one.id: one.key for one in ACTIONS}, **{one.id: one.shown for one in NAVIGATION}, **(shown or {})}
    lines = ["| key | name | action | on | asks for | what it does |", "|---|---|---|---|---|---|"]
    for action in ACTIONS:
        count = action.danger == "kills" or action.count_confirmed
        asks = [f"a {action.value.noun}"] if action.value is not None else []
        asks += [word for word, needed in (("a reason", action.needs_reason), ("the count", count)) if needed]
        # Without a key it is typed: `:NAME`, `wacht act NAME`.
        said = f"`{action.id}` | {action.label} | {action.kind} | {', '.join(asks) or 'y'} | {action.help}"
        lines.append(f"| {_code(keys[action.id])} | {said} |")
    lines += ["", "| key | what it does |", "|---|---|"]
    lines += [f"| {_code(keys[key.id])} | {key.help} |" for key in NAVIGATION]
    return "\n".join(lines) + "\n"


def aligned(table: str) -> str:
    """Markdown tables as plain text in columns, for a terminal."""
    out: list[str] = []
    for block in table.strip().split("\n\n"):
        rows = [_cells(row) for row in block.splitlines() if not row.startswith("|---")]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        out += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        out.append("")
    return "\n".join(out[:-1]) + "\n"


def _cells(row: str) -> list[str]:
    """The cells of a Markdown row. A key that is itself `|` is in backticks."""
    found = re.findall(r"\| ((?:`[^`]*`|[^|`])*?) (?=\|)", row)
    return [cell.replace("`", "") if cell != "```" else "`" for cell in found]


def _code(key: str) -> str:
    return f"`{key}`" if key else "—"

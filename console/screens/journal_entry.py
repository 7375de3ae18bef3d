"""One journal entry in full, and the actions on an entry, shared with the list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from collectors.model import Cluster, Diff
from console.actions.registry import NAVIGATION
from console.fields.common_cells import Ctx
from console.journal.entries import JournalEntry
from console.journal.reader import JournalSnapshot
from console.journal.undo import undo_of, undone_by
from console.tables.journal_columns import JournalCtx, commands, detail, result
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine

from .layout.screen import WachtScreen

_ROOMY = 120


class JournalActions(WachtScreen):
    """The actions on an entry, for the list and the detail screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(",".join(key.keys), key.id, key.help, show=False)
        for key in NAVIGATION
        if key.id in {"read_back", "undo"}
    ]
    tick_s = 1.0

    def entry(self) -> JournalEntry | None:
        """The entry that the keys act on."""
        return None

    @property
    def journal(self) -> JournalSnapshot:
        """The last snapshot of the journal."""
        raise NotImplementedError

    def read_new_entries(self) -> None:
        """Read new entries of the journal."""
        raise NotImplementedError

    def journal_ctx(self) -> JournalCtx:
        """The context for cells."""
        journal, now = self.journal, self.app.clock.now()
        return JournalCtx(now - now % 60, journal.under_way, journal.users, journal.undone)

    def read_back_refusal(self) -> str:
        """Why the entry cannot be read back; "" when it can."""
        entry = self.entry()
        if entry is None or entry.gap:
            return "the cursor is on no action"
        if not entry.orphan:
            return "what came of it was written down"
        return f"it is under way, in process {entry.pid} on {entry.host}" if entry.key in self.journal.under_way else ""

    def undo_refusal(self) -> str:
        """Why the entry cannot be undone; "" when it can."""
        entry = self.entry()
        if entry is None:
            return "the cursor is on no action"
        if self.app.session.locked:
            return self.app.session.gate.read_only_reason
        found = undo_of(entry, self.journal.entries, self.cluster, self.app.clock.now())
        return found if isinstance(found, str) else ""

    def action_read_back(self) -> None:
        """Key `v`: read the targets of an action without a result, and write the result to the journal."""
        entry, why = self.entry(), self.read_back_refusal()
        if entry is None or why:
            self.app.show_message(f"nothing to read back: {why}", "warning")
        else:
            self.app.undoing.read_back(entry.key)

    def action_undo(self) -> None:
        """Key `Z`: propose the action that undoes the entry."""
        entry = self.entry()
        if entry is not None:
            self.app.undoing.undo(entry.key)

    def copy_text(self) -> str | None:
        """The commands that were sent."""
        entry = self.entry()
        return (commands(entry) or None) if entry is not None else None

    def entry_keys(self) -> list[KeyHint]:
        """The keys v and Z, each with the reason if it is refused."""
        back, undo = self.read_back_refusal(), self.undo_refusal()
        keys = [
            KeyHint("v", "read back", enabled=not back, refusal=back),
            KeyHint("Z", "undo", enabled=not undo, refusal=undo),
        ]
        return keys if self.size.width >= _ROOMY else [key for key in keys if key.enabled]


class EntryScreen(JournalActions):
    """One journal entry in full."""

    crumb = "journal entry"

    def __init__(self, journal: JournalActions, key: str) -> None:
        super().__init__()
        self._journal = journal
        self.key = key
        self.text = Pane("Entry", scroll=True, id="main")

    def body(self) -> Iterable[Widget]:
        """One long pane."""
        yield self.text

    @property
    def journal(self) -> JournalSnapshot:
        """The last snapshot of the journal."""
        return self._journal.journal

    def read_new_entries(self) -> None:
        """Read new entries of the journal."""
        self._journal.read_new_entries()

    def entry(self) -> JournalEntry | None:
        """The entry that is shown."""
        return self.journal.entries.get(self.key)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Nothing: the text depends only on the journal."""
        if diff is None:
            self._paint()

    def tick(self, ctx: Ctx) -> None:
        """Update the outcome, which may have been written meanwhile."""
        self.read_new_entries()
        self._paint()

    def on_resize(self) -> None:
        """Lay out the lines for the new width."""
        self._paint()

    def _paint(self) -> None:
        entry = self.entry()
        if entry is None:
            self.text.set_lines([PaneLine([("it is not in the journal any more: the file was changed", "bad")])])
            return
        journal, ctx = self.journal, self.journal_ctx()
        first = (
            next((one for one in journal.entries.values() if one.plan == entry.undoes), None) if entry.undoes else None
        )
        back = undone_by(entry, journal.by) if entry.plan in journal.by else {}
        self.text.set_title([(f"{entry.action} ", "title"), (entry.plan, "text-dim")], [result(entry, ctx)])
        self.text.set_lines(detail(entry, ctx, max(30, self.size.width - 5), back, first))
        self.refresh_keys()

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("↑↓", "scroll"), *self.entry_keys(), KeyHint("y", "copy"), KeyHint("Esc", "back"))

"""The journal screen: who changed what, when, why, and with what result; entries can be read back and undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from console.fields.common_cells import Ctx
from console.journal.chain import JournalFault, Verdict, verify
from console.journal.entries import JournalEntry
from console.journal.reader import JournalSnapshot
from console.tables.journal_columns import JOURNAL, result
from widgets.cells import Span
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys

from .journal_entry import EntryScreen, JournalActions
from .layout.filtered_screen import FilteredScreen

#: Seconds after which reading the file counts as hung.
_UNRESPONSIVE_S = 5.0
_ROOMY = 120


class JournalScreen(JournalActions, FilteredScreen):
    """The journal, one action in each row, newest first."""

    DEFAULT_CSS = """
    JournalScreen #crumbs { height: 1; }
    """
    crumb = "journal"

    def __init__(self) -> None:
        super().__init__()
        self.table: VirtualTable[JournalEntry] = VirtualTable(JOURNAL, sort="at", reverse=True, id="main")
        self.crumbs = Pane(border=False, id="crumbs")
        self.filter = ""
        self._snapshot = JournalSnapshot()
        self._read_once = False
        self._read_fault = ""
        self._verdict: Verdict | None = None
        self._verify_fault = ""
        self._reading_since: float | None = None
        self._verifying = self._verify_again = False

    def body(self) -> Iterable[Widget]:
        """The crumbs and the table."""
        yield self.crumbs
        yield self.table

    def on_screen_resume(self) -> None:
        """Continue reading where it stopped."""
        super().on_screen_resume()
        self.read_new_entries()

    @property
    def journal(self) -> JournalSnapshot:
        """The last snapshot of the journal."""
        return self._snapshot

    def entry(self) -> JournalEntry | None:
        """The entry under the cursor."""
        key = self.table.cursor_key
        return None if key is None else self._snapshot.entries.get(key)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Nothing: the journal is not part of the cluster."""
        if diff is None:
            self._paint()

    def tick(self, ctx: Ctx) -> None:
        """Read new entries."""
        self.read_new_entries()
        self._paint_crumbs()

    # The file is read off the event loop, since its disk may hang.

    def read_new_entries(self) -> None:
        """Read new lines, unless a read is still in progress."""
        if self._reading_since is None:
            self._reading_since = self.app.clock.mono()
            self.fetch(self._read, self._entries_read, "journal")

    def _read(self) -> JournalSnapshot | str:
        try:
            return self.at.journal.read(self.at.clock.now())
        except JournalFault as error:
            return str(error)

    def _entries_read(self, answer: Any) -> None:
        self._reading_since = None
        before, self._read_fault = self._snapshot, "" if isinstance(answer, JournalSnapshot) else str(answer)
        changed = isinstance(answer, JournalSnapshot) and (answer.entries is not before.entries or not self._read_once)
        if isinstance(answer, JournalSnapshot):
            self._snapshot, self._read_once = answer, True
        if changed and self._snapshot.entries and not self.app.session.journal.kept:
            self._start_verify()
        if self._snapshot is not before:
            self._paint()
        self._paint_crumbs()

    def _start_verify(self) -> None:
        if self._verifying:
            self._verify_again = True
            return
        self._verifying = True
        self.fetch(self._verify_chain, self._chain_verified, "verify")

    def _verify_chain(self) -> Verdict | str:
        try:
            return verify(self.at.journal_path)
        except JournalFault as error:
            return str(error)

    def _chain_verified(self, answer: Any) -> None:
        self._verifying = False
        self._verdict = answer if isinstance(answer, Verdict) else None
        self._verify_fault = "" if isinstance(answer, Verdict) else str(answer)
        if self._verify_again:
            self._verify_again = False
            self._start_verify()
        self._paint_crumbs()

    # Painting.

    def _paint(self) -> None:
        entries, ctx, wanted = self._snapshot.entries, self.journal_ctx(), self.filter.lower().split()
        if wanted:
            entries = {
                key: one for key, one in entries.items()
                if all(word in one.text or word in result(one, ctx)[0] for word in wanted)
            }  # fmt: skip
        self.table.set_rows(entries, ctx=ctx, alive=self._snapshot.entries)
        self._paint_crumbs()
        self.refresh_keys()

    def _paint_crumbs(self) -> None:
        every = len(self._snapshot.entries)
        spans: list[Span] = [(" Journal ", "title"), (f" {every:,}" if self._read_once else " …", "text-strong")]
        if self.filter:
            spans[1] = (f" {len(self.table.keys):,} of {every:,}", "text-strong")
            spans += [("   / ", "text-dim"), (self.filter, "accent")]
        if self.size.width >= _ROOMY:
            spans.append((f"   {self.app.session.journal_path}", "text-dim"))
        self.crumbs.set_lines([PaneLine(spans, self._chain_spans())])
        if self._read_fault:
            self.table.empty_text = f"unknown: {self._read_fault}"
        elif not self._read_once:
            self.table.empty_text = "reading the journal …"
        elif self.filter and every:
            self.table.empty_text = f"nothing in the journal has {self.filter}  (Esc shows all)"
        else:
            self.table.empty_text = "nothing was ever done from here"
        self.table.dimmed = bool(self._read_fault) or self._file_hung()

    def _file_hung(self) -> bool:
        return self._reading_since is not None and self.app.clock.mono() - self._reading_since > _UNRESPONSIVE_S

    def _chain_spans(self) -> list[Span]:
        """Whether the hash chain is intact, or why that is unknown."""
        if self._file_hung():
            return [("the journal's file system does not answer ", "bad")]
        if self.app.session.journal.kept:
            return [(f"{self.app.session.journal.kept} ", "text-dim")]
        if self._read_fault or self._verify_fault:
            return [(f"{self._read_fault or self._verify_fault} ", "bad")]
        found = self._verdict
        if found is None:
            return [("checking the chain … ", "text-dim")] if self._snapshot.entries else []
        lines = f"{found.lines:,} line{'' if found.lines == 1 else 's'}"
        if not found.ok:
            return [(f"BROKEN at line {found.broken}: {found.why} ", "bad")]
        missed = sum(lines for _, lines in found.gaps)
        late = [(f"{missed:,} written late  ", "warn")] if missed else []
        return [*late, (f"chain whole ({lines}) ", "good")]

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("Enter", "open"), *self.entry_keys(), KeyHint("/", "filter"), KeyHint("y", "copy"), KeyHint("o",
                "order"))  # fmt: skip

    # Filter: plain words, all of which must occur in the entry.

    @property
    def filter_text(self) -> str:
        """The words of the filter."""
        return self.filter

    def set_filter(self, text: str) -> None:
        """Show only entries that contain all these words; "" shows all."""
        self.filter = text.strip()
        if self.is_mounted:
            self._paint()

    @on(TableKeys.Moved)
    def _moved(self) -> None:
        self.refresh_keys()

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        self.app.push_screen(EntryScreen(self, event.key))

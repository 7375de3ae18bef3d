"""Queries of the journal off the event loop: nodes that were resumed, partitions and users that were closed, and the
history of one node or job."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from collectors.model import SourceFault
from console.actions.action import Kind
from console.clusters.cluster_session import Here, Opened
from console.journal.leftovers import Left, left, still
from widgets.pane import PaneLine, line

if TYPE_CHECKING:
    from textual.app import App

    _Base = App[None]
else:
    _Base = object


class JournalQueries(_Base):
    """The part of the app that reads the journal for the screens."""

    here: Opened
    resumed = Here[Mapping[str, float]]()
    left = Here[Left]()

    def read_journal_facts(self) -> None:
        """Read which nodes people resumed (older XIDs are settled), and what they closed."""
        self._read_journal_facts(self.here)

    def _read_journal_facts(self, at: Opened) -> None:
        def work() -> None:
            from console.journal import past_actions, writer

            book, transport = at.book, at.transport
            with contextlib.suppress(OSError, writer.JournalFault):
                lines = book.lines()
                shut = left(lines)
                if shut.users:
                    # A user may have been unblocked by hand. Where Slurm cannot say, the journal counts.
                    with contextlib.suppress(SourceFault):
                        rows = transport.read_users(tuple(shut.users))
                        shut = still(shut, {name for name in shut.users if name not in rows or rows[name].blocked})
                if at.book is book:
                    at.resumed, at.left, at.ticketed = past_actions.resumed(lines), shut, past_actions.ticketed(lines)

        self.run_worker(work, thread=True, group=f"resumed {at.name}", exclusive=True, exit_on_error=False)

    def action_history(self, at: Opened, kind: Kind, key: str) -> list[PaneLine]:
        """What was done to a node or job before, from the journal. Blocks: call it off the event loop."""
        from console.journal import past_actions, writer
        from console.tables import inspection_lines

        try:
            # No journal file means that no action was recorded.
            records = at.book.lines()
        except (OSError, writer.JournalFault) as error:
            return [line((f"the journal cannot be read: {error}", "warn"))]
        now = at.clock.now()
        acts = past_actions.of(key, records, kind, 12)
        return inspection_lines.history_lines(
            acts, past_actions.drains(key, records, now) if kind == "node" else None, now
        )

"""Queries of the journal off the event loop: nodes that were resumed, partitions and users that were closed, and the
history of one node or job."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from collectors.model import SourceFault
from console.actions.action import Kind
from console.clusters.cluster_session import ClusterSession, FromSession
from console.journal.leftovers import Leftovers, leftovers, still_blocked
from widgets.pane import PaneLine, pane_line

if TYPE_CHECKING:
    from textual.app import App

    _Base = App[None]
else:
    _Base = object


class JournalQueries(_Base):
    """The part of the app that reads the journal for the screens."""

    resumed = FromSession[Mapping[str, float]]()
    leftovers = FromSession[Leftovers]()

    def read_journal_facts(self) -> None:
        """Read which nodes people resumed (older XIDs are settled), and what they closed."""
        self._read_journal_facts(self.session)

    def _read_journal_facts(self, session: ClusterSession) -> None:
        def work() -> None:
            from console.journal import past_actions, writer

            journal, transport = session.journal, session.transport
            with contextlib.suppress(OSError, writer.JournalFault):
                lines = journal.lines()
                shut = leftovers(lines)
                if shut.users:
                    # A user may have been unblocked by hand. Where Slurm cannot say, the journal counts.
                    with contextlib.suppress(SourceFault):
                        rows = transport.read_users(tuple(shut.users))
                        shut = still_blocked(
                            shut, {name for name in shut.users if name not in rows or rows[name].blocked}
                        )
                if session.journal is journal:
                    session.resumed, session.leftovers, session.ticketed = (
                        past_actions.resumed(lines),
                        shut,
                        past_actions.ticketed(lines),
                    )

        self.run_worker(work, thread=True, group=f"resumed {session.name}", exclusive=True, exit_on_error=False)

    def action_history(self, session: ClusterSession, kind: Kind, key: str) -> list[PaneLine]:
        """What was done to a node or job before, from the journal. Blocks: call it off the event loop."""
        from console.journal import past_actions, writer
        from console.tables import inspection_lines

        try:
            # No journal file means that no action was recorded.
            records = session.journal.lines()
        except (OSError, writer.JournalFault) as error:
            return [pane_line((f"the journal cannot be read: {error}", "warn"))]
        now = session.clock.now()
        acts = past_actions.on_target(key, records, kind, 12)
        return inspection_lines.history_lines(
            acts, past_actions.drains(key, records, now) if kind == "node" else None, now
        )

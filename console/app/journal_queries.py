"""The journal off the event loop: nodes that were resumed, partitions and users that were closed, the history of one
node or job."""

from __future__ import annotations

import contextlib

from collectors.model import SourceFault
from console.actions.action import Kind
from console.clusters.cluster_session import ClusterSession
from console.journal.still_closed import still_blocked, still_closed
from widgets.pane import PaneLine, pane_line

from .ports import Threads


class JournalQueries:
    """Reads the journal for the screens."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    def read_facts(self, session: ClusterSession) -> None:
        """Read which nodes people resumed (older XIDs are settled), and what they closed, into the session."""

        def work() -> None:
            from console.journal import past_actions, writer

            with contextlib.suppress(OSError, writer.JournalFault):
                lines = session.journal.lines()
                shut = still_closed(lines)
                if shut.users:
                    # A user may have been unblocked by hand. Where Slurm cannot say, the journal counts.
                    with contextlib.suppress(SourceFault):
                        rows = session.transport.read_users(tuple(shut.users))
                        shut = still_blocked(
                            shut, {name for name in shut.users if name not in rows or rows[name].blocked}
                        )
                session.resumed, session.still_closed, session.ticketed = (
                    past_actions.resumed(lines),
                    shut,
                    past_actions.ticketed(lines),
                )

        self._threads.run_in_thread(work, f"resumed {session.name}", exclusive=True)

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

    def action_times(
        self, session: ClusterSession, since: float, kind: Kind | None = None, key: str | None = None
    ) -> tuple[float, ...]:
        """When something was changed since then, or one target was, for the marks of a chart; none where the journal
        cannot be read. Blocks: call it off the event loop.
        """
        from console.journal import past_actions, writer

        try:
            return past_actions.action_times(session.journal.lines(), since, kind, key)
        except (OSError, writer.JournalFault):
            return ()

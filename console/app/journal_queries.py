"""What the journal says of before, asked for off the event loop: which nodes were put back, what was shut, and the past
of one node or job."""

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


class Recalling(_Base):
    """The part of the app that remembers what was done from here."""

    session: ClusterSession
    resumed = FromSession[Mapping[str, float]]()
    leftovers = FromSession[Leftovers]()

    def read_resumed(self) -> None:
        """Ask the journal which nodes people put back (an XID from before that is settled), and what they shut."""
        self._read_resumed(self.session)

    def _read_resumed(self, session: ClusterSession) -> None:
        def work() -> None:
            from console.journal import past_actions, writer

            journal, transport = session.journal, session.transport
            with contextlib.suppress(OSError, writer.JournalFault):
                lines = journal.lines()
                shut = leftovers(lines)
                if shut.users:
                    # Somebody may have let them in again by hand; where Slurm does not say, the journal stands.
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

    def past_of(self, session: ClusterSession, kind: Kind, key: str) -> list[PaneLine]:
        """What was done to a node or a job before, from the journal. Blocks: call it off the event loop."""
        from console.journal import past_actions, writer
        from console.tables import inspection_lines

        try:
            # No journal: nothing was ever done from here.
            records = session.journal.lines()
        except (OSError, writer.JournalFault) as error:
            return [pane_line((f"the journal cannot be read: {error}", "warn"))]
        now = session.clock.now()
        acts = past_actions.on_target(key, records, kind, 12)
        return inspection_lines.past_lines(
            acts, past_actions.drains(key, records, now) if kind == "node" else None, now
        )

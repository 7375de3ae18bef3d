"""Undo of the last action or of a journal entry, and read-back of entries without a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from collectors.model import SourceFault
from console.clusters.cluster_session import ClusterSession
from console.runtime.operator_identity import login_name

from .action_dispatch import ActionDispatch

if TYPE_CHECKING:
    from console.journal.entries import JournalEntry


class UndoActions(ActionDispatch):
    """The part of the app that reads the journal to undo an action. It sends nothing: it requests an action like a key
    does."""

    def action_undo(self) -> None:
        """Key `Z`: undo the last action of this person."""
        self.undo(None)

    def undo(self, key: str | None, only: Sequence[str] | None = None) -> None:
        """Propose the inverse of a journal entry, or of this person's last action; `only` limits the targets."""
        if self.session.locked:
            self.show_message(f"undo refused: {self.session.locked}", "warning")
            return

        from console.journal.entries import targets_text
        from console.journal.undo import Undo, last_undoable, undo_of

        screen: Any = getattr(self, "screen", None)
        session = self.session

        def found(entries: Mapping[str, JournalEntry]) -> None:
            if self.user_moved_on(screen, "undo"):
                return
            entry = last_undoable(entries, login_name()) if key is None else entries.get(key)
            if entry is None:
                self.show_message(
                    "there is nothing of yours to undo" if key is None else "that is not in the journal", "warning"
                )
                return
            proposed = undo_of(entry, entries, self.cluster, self.clock.now(), only)
            if isinstance(proposed, Undo):
                self.request_action(
                    proposed.action, proposed.targets, proposed.reason, proposed.options, notes=proposed.notes
                )
            else:
                self.show_message(f"undo of {entry.action} {targets_text(entry)}: {proposed}", "warning")

        self._read_entries(session, found)

    def read_back(self, key: str) -> None:
        """Read the targets of an action without a recorded result, and write the result to the journal."""
        from console.journal import writer
        from console.journal.entries import counts_text, targets_text

        at, gate = self.session, self.gate

        def work() -> None:
            try:
                entry = writer.entries_of(at.journal_path)[key]
                if writer.may_still_end(entry, at.clock.now()):
                    told, severity = f"{entry.action} {targets_text(entry)}: it is under way still", "warning"
                else:
                    results, warning = gate.settle_orphan(entry)
                    states = [one["state"] for one in results.values()]
                    told = f"{entry.action} {targets_text(entry)}, read back: {counts_text(states)}" + (
                        f"; {warning}" if warning else ""
                    )
                    severity = "warning" if set(states) - {"done"} else "information"
            except KeyError:
                told, severity = "that is not in the journal", "warning"
            except SourceFault as error:
                told, severity = f"it cannot be read back: {error.fault}", "error"
            except (OSError, writer.JournalFault) as error:
                told, severity = f"it cannot be read back: {error}", "error"
            except Exception as error:
                told, severity = f"it cannot be read back: {type(error).__name__}: {error}"[:300], "error"
            self.call_from_thread(self.show_message_for, at, told, severity)

        self.run_worker(work, thread=True, group="journal", exit_on_error=False)

    def report_orphans(self, session: ClusterSession) -> None:
        """When a cluster is opened, report actions that have no recorded result because their console died."""

        def work() -> None:
            from console.journal import writer
            from console.journal.chain import there
            from console.journal.entries import orphans_text

            try:
                told = orphans_text(writer.orphans(session.journal_path)) if there(session.journal_path) else ""
            except (OSError, writer.JournalFault) as error:
                told = f"the journal cannot be read: {error}"
            if told:
                self.call_from_thread(self.show_message_for, session, told, "warning")

        self.run_worker(work, thread=True, group="orphans", exit_on_error=False)

    def _read_entries(self, session: ClusterSession, then: Callable[[Mapping[str, JournalEntry]], None]) -> None:
        from console.journal import writer

        def work() -> None:
            try:
                entries: Any = writer.entries_of(session.journal_path)
            except (OSError, writer.JournalFault) as error:
                self.call_from_thread(self.show_message_for, session, f"the journal cannot be read: {error}", "error")
                return
            self.call_from_thread(then, entries)

        self.run_worker(work, thread=True, group="undo", exclusive=True, exit_on_error=False)

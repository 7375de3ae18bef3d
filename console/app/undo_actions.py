"""Undo of the last action or of a journal entry, and read-back of entries without a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from collectors.model import SourceFault
from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.runtime.operator_identity import login_name

from .acting import Acting
from .notifications import Notifications
from .ports import Screens

if TYPE_CHECKING:
    from console.journal.entries import JournalEntry


class UndoActions:
    """Reads the journal to undo an action. It sends nothing: it asks for an action like a key does."""

    def __init__(self, fleet: Fleet, notifications: Notifications, acting: Acting, port: Screens) -> None:
        self._fleet, self._notify, self._acting, self._port = fleet, notifications, acting, port

    def undo(self, key: str | None = None, only: Sequence[str] | None = None) -> None:
        """Propose the inverse of a journal entry, or of this person's last action; `only` limits the targets."""
        session = self._fleet.session
        if session.locked:
            self._notify.show(f"undo refused: {session.locked}", "warning")
            return

        from console.journal.entries import targets_text
        from console.journal.undo import Undo, last_undoable, undo_of

        screen = self._port.screen

        def found(entries: Mapping[str, JournalEntry]) -> None:
            if self._notify.user_moved_on(screen, "undo"):
                return
            entry = last_undoable(entries, login_name()) if key is None else entries.get(key)
            if entry is None:
                self._notify.show(
                    "there is nothing of yours to undo" if key is None else "that is not in the journal", "warning"
                )
                return
            proposed = undo_of(entry, entries, self._fleet.cluster, self._fleet.session.clock.now(), only)
            if isinstance(proposed, Undo):
                self._acting.ask(
                    proposed.action, proposed.targets, proposed.reason, proposed.options, notes=proposed.notes
                )
            else:
                self._notify.show(f"undo of {entry.action} {targets_text(entry)}: {proposed}", "warning")

        self._read_entries(session, found)

    def read_back(self, key: str) -> None:
        """Read the targets of an action without a recorded result, and write the result to the journal."""
        from console.journal import writer
        from console.journal.entries import counts_text, targets_text

        at = self._fleet.session
        gate = at.gate
        if at.site.recorded:
            self._notify.show(gate.read_only_reason, "warning")
            return

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
            self._port.call_from_thread(self._notify.show_for, at, told, severity)

        self._port.run_in_thread(work, "journal")

    def report_orphans(self, session: ClusterSession) -> None:
        """When a cluster is opened, report actions that have no recorded result because their console died.
        A recording reports none."""
        if session.site.recorded:
            return

        def work() -> None:
            from console.journal import writer
            from console.journal.chain import there
            from console.journal.entries import orphans_text

            try:
                told = orphans_text(writer.orphans(session.journal_path)) if there(session.journal_path) else ""
            except (OSError, writer.JournalFault) as error:
                told = f"the journal cannot be read: {error}"
            if told:
                self._port.call_from_thread(self._notify.show_for, session, told, "warning")

        self._port.run_in_thread(work, "orphans")

    def _read_entries(self, session: ClusterSession, then: Callable[[Mapping[str, JournalEntry]], None]) -> None:
        from console.journal import writer

        def work() -> None:
            try:
                entries: Any = writer.entries_of(session.journal_path)
            except (OSError, writer.JournalFault) as error:
                self._port.call_from_thread(
                    self._notify.show_for, session, f"the journal cannot be read: {error}", "error"
                )
                return
            self._port.call_from_thread(then, entries)

        self._port.run_in_thread(work, "undo", exclusive=True)

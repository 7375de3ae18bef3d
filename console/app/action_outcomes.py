"""What came of the actions that were sent: messages, further readings, and their verification by later readings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from collectors.model import Cluster
from console.actions.action import Action, Kind
from console.actions.plan import display_names
from console.actions.registry import BY_ID
from console.actions.verification import Settled, done_word
from console.clusters.cluster_session import ClusterSession
from console.screens.layout.screen import WachtScreen

from .journal_queries import JournalQueries
from .notifications import Notifications
from .ports import Screens

if TYPE_CHECKING:
    from console.gate.outcome import Outcome

#: Different results of one action that are shown as messages of their own.
_MAX_MESSAGES = 3
#: Seconds between two extra readings while a sent change is not yet verified.
VERIFY_READ_S = 2.0
_SOURCES = {
    "node": "slurm.nodes", "job": "slurm.jobs", "alert": "alerts.alerts", "silence": "alerts.alerts",
    "partition": "slurm.partitions", "reservation": "slurm.reservations",
}  # fmt: skip


class OutcomeReports:
    """Reports the outcome of each send, and reads until its targets are verified."""

    def __init__(
        self, notifications: Notifications, journal: JournalQueries, port: Screens, undo_key: Callable[[], str]
    ) -> None:
        """`undo_key` is the key of undo as displayed; "" for none."""
        self._notify, self._journal, self._port, self._undo_key = notifications, journal, port, undo_key
        self._undoable = ""
        """Id of the plan that undo would take back: the last one, if it has an inverse and is no undo itself."""

    def show(self, session: ClusterSession, outcome: Outcome) -> None:
        """Show the outcome of a send, and have its targets verified."""
        plan = outcome.plan
        again = outcome.reconfirm
        if outcome.results:
            self._undoable = plan.id if plan.action.inverse and not plan.options.undoes else ""
        if outcome.refused and not again:
            self._notify.show_for(session, f"{plan.action.label}: {outcome.refused}", "error")
        for state in ("failed", "dropped", "unknown"):
            of_it = {target: result.why for target, result in outcome.results.items()
                     if result.state == state and target not in again}  # fmt: skip
            if of_it and (again or not outcome.refused):
                why = next(iter(of_it.values()))
                # A dropped target is unchanged: a warning, not a failure.
                severity = "warning" if state == "dropped" else "error"
                which = display_names(session.newest, tuple(of_it), plan.action.kind)
                self._notify.show_for(session, f"{plan.action.label} {state}: {which}: {why}", severity)
        if blind := tuple(target for target, result in outcome.results.items() if result.state == "sent"):
            which = display_names(session.newest, blind, plan.action.kind)
            self._notify.show_for(
                session, f"{plan.action.label} sent: {which}: exit status 0; no reading shows what it did"
            )
        if done := tuple(target for target, result in outcome.results.items() if result.state == "done"):
            self._show_done(
                session, session.newest, plan.action, {one: (outcome.results[one].shown_state, "") for one in done},
                plan.id,
            )  # fmt: skip
            self._journal.read_facts(session)
        if outcome.aside:
            why = next(iter(outcome.aside.values()))
            which = display_names(session.newest, tuple(outcome.aside), plan.action.kind)
            self._notify.show_for(
                session, f"{plan.action.label}: {len(outcome.aside):,} set aside: {which}: {why}", "warning"
            )
        if outcome.warning:
            self._notify.show_for(session, outcome.warning, "error")
        session.sent_watch, over = session.sent_watch.add(outcome.waiting)
        if over:
            self.show_settled(session, session.newest, over)
        session.looked = session.clock.mono()
        self._refresh_now(session, {plan.action.result_kind})
        self.repaint()

    def verify(self, session: ClusterSession, cluster: Cluster) -> None:
        """Compare what was sent with a newer Cluster; read again while something is not yet verified."""
        if not session.sent_watch.waiting:
            return
        mono = session.clock.mono()
        session.sent_watch, settled = session.sent_watch.check(cluster, mono)
        if settled:
            self.show_settled(session, cluster, settled)
        if session.sent_watch.waiting and mono - session.looked >= VERIFY_READ_S:
            session.looked = mono
            self._refresh_now(session, {BY_ID[one.action].result_kind for one in session.sent_watch.waiting})

    def show_settled(self, session: ClusterSession, cluster: Cluster, settled: Sequence[Settled]) -> None:
        """Report targets that are verified or given up, and note them in the journal."""
        for action_id in dict.fromkeys(one.action for one in settled):
            action = BY_ID[action_id]
            done = [one for one in settled if one.action == action_id and one.state == "done"]
            for plan in dict.fromkeys(one.plan for one in done):
                seen = {one.target: (one.shown_state, one.why) for one in done if one.plan == plan}
                self._show_done(session, cluster, action, seen, plan)
            unknown: dict[str, list[str]] = {}
            for one in settled:
                if one.action == action_id and one.state == "unknown":
                    unknown.setdefault(one.why, []).append(one.target)
            for reason, those in list(unknown.items())[:_MAX_MESSAGES]:
                what = f"{action.label} {display_names(cluster, those, action.kind)}"
                self._notify.show_for(session, f"{what}: {reason}; look at it in {_system_of(action.kind)}", "error")
            if len(unknown) > _MAX_MESSAGES:
                self._notify.show_for(
                    session, f"{action.label}: {len(unknown) - _MAX_MESSAGES} more reasons, in :journal", "error"
                )
        gate = session.gate

        def work() -> None:
            warning = gate.note(settled)
            self._port.call_from_thread(self._journal.read_facts, session)
            if warning:
                self._port.call_from_thread(self._notify.show_for, session, warning, "error")

        self._port.run_in_thread(work, "journal")
        self.repaint()

    def _show_done(
        self, session: ClusterSession, cluster: Cluster, action: Action, done: Mapping[str, tuple[str, str]], plan: str
    ) -> None:
        """Report done targets of a plan, one message for each word, and offer to undo it. `done` maps a target to its
        seen state and a further explanation."""
        key = self._undo_key() if plan == self._undoable else ""
        offer = f" · {key} undo" if key else ""
        by_word: dict[str, list[str]] = {}
        for target, (seen, _) in done.items():
            by_word.setdefault(done_word(action, seen), []).append(target)
        for word, targets in by_word.items():
            why, states = {done[one][1] for one in targets}, {done[one][0] for one in targets}
            gone = action.kind == "job" and states == {""}
            where = f"{'no longer listed' if gone else 'seen'} in {_system_of(action.kind)}"
            now = f"now {', '.join(sorted(states))}, " if states - {"", word} and len(states) <= _MAX_MESSAGES else ""
            how = why.pop() if len(why) == 1 and "" not in why else f"{now}{where}"
            self._notify.show_for(session, f"{word}: {display_names(cluster, targets, action.kind)} ({how}){offer}")

    def _refresh_now(self, session: ClusterSession, kinds: Iterable[Kind]) -> None:
        """Read the kinds that were just changed again now."""
        session.poller.refresh_now({_SOURCES[kind] for kind in kinds if kind in _SOURCES})

    def repaint(self) -> None:
        """Update the pending words of the current screen."""
        if self._port.screen_stack and isinstance(self._port.screen, WachtScreen):
            self._port.screen.update_cluster(self._port.screen.at.cluster, None)


def _system_of(kind: Kind) -> str:
    return "Alertmanager" if kind in {"alert", "silence"} else "Slurm"

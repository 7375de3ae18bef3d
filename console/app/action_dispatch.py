"""From a key or a command to the gate, and from each new reading to the state of what was sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from textual.app import SuspendNotSupported

from collectors import process
from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import AccountingReader, Cluster, SourceFault, Telemetry, Transport
from collectors.nodeset import fold
from console.actions import incident
from console.actions.action import Action, Kind, rows_of
from console.actions.options import Options
from console.actions.plan import Refusal, display_names, target_list
from console.actions.registry import BY_ID
from console.actions.verification import Settled, Verification, done_word
from console.clusters.cluster_session import ClusterSession, FromSession
from console.config.commands import CommandError
from console.preflight.checks import PreflightReads
from console.queue.queue_reads import QueueCache
from console.screens.layout.screen import WachtScreen, stepped

from .journal_queries import JournalQueries
from .rollout_dialogs import RolloutDialogs, return_preflight_reader

if TYPE_CHECKING:
    from console.config.saved_filters import SavedFilters
    from console.gate.gate import Gate
    from console.gate.outcome import Outcome, Progress
    from console.ingest.poller import Poller
    from console.journal.reader import JournalReader
    from console.recording.player import Player

    from .confirm_dialog import Answer

#: Characters that the prompt may hold when it opens.
_MAX_PROMPT_CHARS = 3000
#: Different results of one action that are shown as messages of their own.
_MAX_MESSAGES = 3
#: Seconds between two extra readings while a sent change is not yet verified.
VERIFY_READ_S = 2.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SOURCES = {
    "node": "slurm.nodes", "job": "slurm.jobs", "alert": "alerts.alerts", "silence": "alerts.alerts",
    "partition": "slurm.partitions", "reservation": "slurm.reservations",
}  # fmt: skip


class ActionDispatch(RolloutDialogs, JournalQueries):
    """The part of the app that may call the gate. It has no access to a writer."""

    session: ClusterSession
    """The cluster on the screen."""
    sessions: dict[str, ClusterSession]
    """Every cluster that is open, by name."""
    gate: FromSession[Gate] = FromSession()
    clock = FromSession[Clock]()
    transport = FromSession[Transport]()
    telemetry = FromSession[Telemetry]()
    ledger = FromSession[AccountingReader]()
    queueing = FromSession[QueueCache]()
    poller: FromSession[Poller | Player] = FromSession()
    journal_path = FromSession[Path]()
    journal: FromSession[JournalReader] = FromSession()
    sent_watch = FromSession[Verification]()
    sending: FromSession[set[Progress]] = FromSession()
    filters: SavedFilters
    """The saved filters."""
    _preflight_of = ""
    """Targets whose pre-flight reads are in progress, as text; "" when none are."""

    @property
    def cluster(self) -> Cluster:
        """The cluster on the screen."""
        raise NotImplementedError

    def show_message(self, text: str, severity: str = "information") -> None:
        """Show a message (toast) about the cluster on the screen."""
        raise NotImplementedError

    def show_message_for(self, session: ClusterSession, text: str, severity: str = "information") -> None:
        """Show a message (toast) about cluster `session`, whichever cluster is on the screen by now."""
        raise NotImplementedError

    def pending_words(self, kind: Kind) -> Mapping[str, str]:
        """Target to the word that its row shows until a reading verifies the change."""
        return self.sent_watch.row_texts(kind)

    def refusal(self, action_id: str) -> str | None:
        """Why an action is refused on the current screen; None when it is possible."""
        # The palette covers the screen that it refers to.
        screen = next((one for one in reversed(self.screen_stack) if isinstance(one, WachtScreen)), None)
        return "not on this screen" if screen is None else screen.refusal(action_id)

    def action_act(self, action_id: str) -> None:
        """Start an action on the marked rows, or on the row under the cursor."""
        screen: Any = self.screen
        if not isinstance(screen, WachtScreen):
            return
        action = BY_ID[action_id]
        if action.kind == "user" and not self.gate.read_only:
            # The cursor is on a job: open the prompt so that the user name is seen before it is blocked.
            jobs = (self.cluster.jobs.get(one) for one in screen.targets("job"))
            self._prompt_for_value(action, tuple(dict.fromkeys(job.user for job in jobs if job is not None)))
            return
        names = screen.targets(action.kind)
        if not names and not self.gate.read_only:
            self.show_message(f"{action.label}: no {action.kind} is chosen here: put the cursor on one", "warning")
            return
        if (action.value is not None or action.prefill) and not self.gate.read_only:
            self._prompt_for_value(action, names)
            return
        self.request_action(action_id, names, hint=screen.suggested_reason(action_id) or "")

    def run_action_command(self, action_id: str, words: Sequence[str]) -> None:
        """Run a `:` command such as `drain gpu[001-004] bad DIMM`. Raises CommandError."""
        from console.actions import targets
        from console.actions.option_parsing import split_options, with_value

        action = BY_ID[action_id]
        try:
            options, rest = split_options(words)
        except ValueError as error:
            raise CommandError(str(error)) from None
        if action.kind in {"alert", "silence"}:
            # Alert fingerprints cannot be typed: the words are the reason, and the targets come from the screen.
            screen: Any = self.screen
            names = screen.targets(action.kind) if isinstance(screen, WachtScreen) else ()
            if not names:
                raise CommandError(f"{action.label}: go to the {action.kind} first (:alerts)")
            self.request_action(action_id, names, " ".join(rest) or None, options)
            return
        if action.creates is incident.CREATION:
            try:
                asked = incident.parse_request(rest, self.cluster, self.clock.now())
            except ValueError as error:
                raise CommandError(str(error)) from None
            options = msgspec.structs.replace(options, settings={**asked.settings, **options.settings})
            self.request_action(asked.action, asked.targets, asked.title or None, options)
            return
        if not rest:
            # Wait until the prompt has closed: the action may open it again with the targets in it.
            self.call_next(self.action_act, action_id)
            return
        line, which = " ".join(rest), rest
        try:
            which, said = targets.split_line(action.kind, line)
            which = self.filters.targets(action.kind, which)
            names = targets.resolve(action.kind, which, self.cluster, stepped(self.clock.now()))
            if line[0] not in "\"'":
                targets.check_no_targets_in(action, which[0], said.split(), self.cluster)
            options = with_value(action, options, said or None)
        except ValueError as error:
            raise CommandError(f"{' '.join(which)}: {error}") from None
        rows = rows_of(action, self.cluster)
        unknown = [name for name in names if name not in rows and action.kind != "user"]
        if unknown:
            raise CommandError(f"unknown {action.kind} {unknown[0]}")
        if action.value is not None and action.value.draft and options.value is None and not self.gate.read_only:
            self.call_next(self._prompt_for_value, action, names)
            return
        reason = None if action.value else said or None
        if reason is not None:
            from console.filters.language import filter_in_reason  # not needed for the first frame

            if why := filter_in_reason(reason):
                raise CommandError(why)
        self.request_action(action_id, names, reason, options)

    def _prompt_for_value(self, action: Action, names: Sequence[str]) -> None:
        """Open the prompt with the action and its targets; the user types the new value behind them."""
        which = fold(names) if action.kind == "node" else ",".join(names)
        text = f"{action.id} {which} ".replace("  ", " ") + action.prefill
        if action.value is not None and action.value.draft is not None:
            text += action.value.draft(self.cluster, names)
        if len(text) > _MAX_PROMPT_CHARS:
            self.show_message(
                f"{action.label}: too many to name in a line; say whose they are: :{action.id} user=…", "warning"
            )
        elif isinstance(self.screen, WachtScreen):
            self.screen.prompt.open(":", text)

    def request_action(
        self,
        action_id: str,
        targets: Sequence[str],
        reason: str | None = None,
        options: Options | None = None,
        hint: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        """Plan an action and show its preview. Pre-flight reads, where it needs any, run off the event loop."""
        from console.gate import preflight_reads

        action, cluster = BY_ID[action_id], self.cluster
        rows = rows_of(action, cluster)
        acts = action.kind == "user" or any(
            target in rows and action.refuse(cluster, rows[target]) is None for target in targets
        )
        if self.gate.read_only or not acts or not preflight_reads.needs_reads(action):
            extra = PreflightReads(resumed=self.resumed)
            self._open_confirmation(action_id, targets, reason, options or Options(), extra, hint, notes)
            return
        if self._preflight_of:
            self.show_message(f"still looking at {self._preflight_of}", "warning")
            return
        self._preflight_of = target_list(tuple(targets), action.kind)
        self.show_message(f"looking at {self._preflight_of} first")
        screen, at = self.screen, self.session

        def work() -> None:
            try:
                extra = preflight_reads.read_for(action, targets, cluster, at.transport, at.telemetry, at.resumed)
            except Exception as error:
                extra = PreflightReads(faults=(clean(f"the look broke: {type(error).__name__}: {error}"[:300]),))
            self.call_from_thread(looked, extra)

        def looked(extra: PreflightReads) -> None:
            about, self._preflight_of = self._preflight_of, ""
            if not self.user_moved_on(screen, f"{action.label} of {about}"):
                self._open_confirmation(action_id, targets, reason, options or Options(), extra, hint, notes)

        self.run_worker(work, thread=True, group="look", exit_on_error=False)

    def user_moved_on(self, screen: object, what: str) -> bool:
        """Whether the user has left `screen` or is typing on it; shows a message if so.

        A dialog that opened then would take keys that were meant for something else."""
        if self._still_on(screen):
            return False
        self.show_message(f"{what}: you went on meanwhile; ask for it again", "warning")
        return True

    def _still_on(self, screen: object) -> bool:
        """Whether this screen is still on top and its prompt is closed."""
        now = self.screen
        return now is screen and not (isinstance(now, WachtScreen) and now.prompt.is_open)

    def _open_confirmation(
        self,
        action_id: str,
        targets: Sequence[str],
        reason: str | None,
        options: Options,
        extra: PreflightReads,
        hint: str,
        notes: Sequence[str],
    ) -> None:
        plan = self.gate.plan(action_id, targets, reason, self.cluster, options, extra)
        if isinstance(plan, Refusal) and plan.can_break_glass:
            # Only a failed check blocks it: the dialog shows it and asks for the break-glass confirmation.
            glass = msgspec.structs.replace(options, break_glass=True)
            plan = self.gate.plan(action_id, targets, reason, self.cluster, glass, extra)
        if isinstance(plan, Refusal):
            self.show_message(f"{BY_ID[action_id].label} refused: {plan.why}", "warning")
            return
        from .confirm_dialog import ConfirmDialog

        self.push_screen(ConfirmDialog(self.gate, plan, hint, notes), self._confirmed)

    def _confirmed(self, answer: Answer | None) -> None:
        if answer is None:
            self.show_message("cancelled: nothing was sent")
            return
        from console.gate.outcome import Progress

        plan, typed = answer
        progress = Progress(len(plan.change.targets))
        at, gate = self.session, self.gate
        progress.on_hold = lambda: self.call_from_thread(self.report_paused, at, plan, progress)
        progress.on_unfit = lambda: self.call_from_thread(self.report_unfit, at, plan, progress)
        gate.reread = return_preflight_reader(at)

        def work() -> None:
            try:
                outcome = gate.send(plan, typed, progress)
                if plan.action.read_by_name and outcome.waiting:
                    # No reading of the queue shows these targets: read them by name until they settle.
                    outcome = gate.follow(outcome)
            except Exception as error:
                # An exception in a worker would go unnoticed, and the action would look sent.
                what = "what was sent is unknown" if progress.intent else "nothing was sent"
                why = f"{what}: {type(error).__name__}: {error}"[:300]
                self.call_from_thread(self.show_message_for, at, f"{plan.action.label}: {why}", "error")
                return
            finally:
                at.sending.discard(progress)
            self.call_from_thread(self._show_outcome, at, outcome, screen)

        at.sending.add(progress)
        if isinstance(self.screen, WachtScreen):
            # The marks are spent: the next action must not use them again.
            self.screen.clear_marks()
        if plan.waves is not None or ((plan.kills or plan.action.batched) and progress.total > self.gate.guard.batch):
            self.show_progress(plan, progress)
        screen = self.screen
        self.run_worker(work, thread=True, group="gate", exit_on_error=False)
        self.show_message(f"{plan.action.doing} {self.target_text(plan.change.targets, plan.action.kind)}")

    def stop_sending(self) -> None:
        """Drop the batches that are not sent yet: after quitting no one could watch or stop them."""
        for progress in [one for at in self.sessions.values() for one in tuple(at.sending)]:
            progress.stop()

    def _show_outcome(self, session: ClusterSession, outcome: Outcome, screen: object = None) -> None:
        """Show the outcome of a send. `screen` is where it was confirmed: targets that changed are confirmed again
        there."""
        plan = outcome.plan
        again = outcome.reconfirm
        if again:
            self._confirm_changed(session, outcome, screen)
        elif outcome.refused:
            self.show_message_for(session, f"{plan.action.label}: {outcome.refused}", "error")
        for state in ("failed", "dropped", "unknown"):
            of_it = {target: result.why for target, result in outcome.results.items()
                     if result.state == state and target not in again}  # fmt: skip
            if of_it and (again or not outcome.refused):
                why = next(iter(of_it.values()))
                # A dropped target is unchanged: a warning, not a failure.
                severity = "warning" if state == "dropped" else "error"
                which = display_names(session.newest, tuple(of_it), plan.action.kind)
                self.show_message_for(session, f"{plan.action.label} {state}: {which}: {why}", severity)
        if blind := tuple(target for target, result in outcome.results.items() if result.state == "sent"):
            which = display_names(session.newest, blind, plan.action.kind)
            self.show_message_for(
                session, f"{plan.action.label} sent: {which}: exit status 0; no reading shows what it did"
            )
        if done := tuple(target for target, result in outcome.results.items() if result.state == "done"):
            self._show_done(
                session, session.newest, plan.action, {one: (outcome.results[one].shown_state, "") for one in done}
            )
            self._read_journal_facts(session)
        if outcome.aside:
            why = next(iter(outcome.aside.values()))
            which = display_names(session.newest, tuple(outcome.aside), plan.action.kind)
            self.show_message_for(
                session, f"{plan.action.label}: {len(outcome.aside):,} set aside: {which}: {why}", "warning"
            )
        if outcome.warning:
            self.show_message_for(session, outcome.warning, "error")
        session.sent_watch, over = session.sent_watch.add(outcome.waiting)
        if over:
            self._show_settled(session, session.newest, over)
        session.looked = session.clock.mono()
        self._refresh_now(session, {plan.action.result_kind})
        self._repaint()

    def _confirm_changed(self, session: ClusterSession, outcome: Outcome, screen: object) -> None:
        """Ask again for the targets that were left out because they changed; report them if the user has moved on."""
        plan = outcome.plan
        if session is not self.session or not self._still_on(screen):
            which = display_names(session.newest, tuple(outcome.reconfirm), plan.action.kind)
            why = next(iter(outcome.reconfirm.values())).why
            self.show_message_for(
                session, f"{plan.action.label}: not sent to {which}: {why}; ask for it again", "error"
            )
            return
        fresh = self.gate.replan(outcome, session.newest)
        if isinstance(fresh, Refusal):
            self.show_message_for(session, f"{plan.action.label} refused: {fresh.why}", "warning")
            return
        from .confirm_dialog import ConfirmDialog

        self.push_screen(ConfirmDialog(self.gate, fresh), self._confirmed)

    def ssh(self, name: str) -> None:
        """Hand the terminal to ssh on a node, and take it back when ssh ends."""
        node = self.cluster.nodes.get(name)
        if node is None or not _NAME.fullmatch(name):
            self.show_message(f"{name} is no node that ssh could go to", "warning")
            return
        if self.cluster.demo:
            self.show_message("the simulated cluster has no nodes to ssh to")
            return
        try:
            with self.suspend():
                # Use Slurm's node name: the screen must not choose an address.
                code = process.run_in_foreground(["ssh", "--", name])
        except SuspendNotSupported:
            self.show_message(f"ssh {name}: there is no terminal here that it could have", "warning")
            return
        except SourceFault as error:
            self.show_message(f"ssh {name}: {error}", "error")
            return
        self.show_message(f"back from {name}" + (f": ssh ended with {code}" if code else ""))

    def verify(self, session: ClusterSession, cluster: Cluster) -> None:
        """Compare what was sent with a newer Cluster; read again while something is not yet verified."""
        if not session.sent_watch.waiting:
            return
        mono = session.clock.mono()
        session.sent_watch, settled = session.sent_watch.check(cluster, mono)
        if settled:
            self._show_settled(session, cluster, settled)
        if session.sent_watch.waiting and mono - session.looked >= VERIFY_READ_S:
            session.looked = mono
            self._refresh_now(session, {BY_ID[one.action].result_kind for one in session.sent_watch.waiting})

    def _show_settled(self, session: ClusterSession, cluster: Cluster, settled: Sequence[Settled]) -> None:
        for action_id in dict.fromkeys(one.action for one in settled):
            action = BY_ID[action_id]
            done = [one for one in settled if one.action == action_id and one.state == "done"]
            self._show_done(session, cluster, action, {one.target: (one.shown_state, one.why) for one in done})
            unknown: dict[str, list[str]] = {}
            for one in settled:
                if one.action == action_id and one.state == "unknown":
                    unknown.setdefault(one.why, []).append(one.target)
            for reason, those in list(unknown.items())[:_MAX_MESSAGES]:
                what = f"{action.label} {display_names(cluster, those, action.kind)}"
                self.show_message_for(
                    session, f"{what}: {reason}; look at it in {self._system_of(action.kind)}", "error"
                )
            if len(unknown) > _MAX_MESSAGES:
                self.show_message_for(
                    session, f"{action.label}: {len(unknown) - _MAX_MESSAGES} more reasons, in :journal", "error"
                )
        gate = session.gate

        def work() -> None:
            warning = gate.note(settled)
            self.call_from_thread(self._read_journal_facts, session)
            if warning:
                self.call_from_thread(self.show_message_for, session, warning, "error")

        self.run_worker(work, thread=True, group="journal", exit_on_error=False)
        self._repaint()

    def _show_done(
        self, session: ClusterSession, cluster: Cluster, action: Action, done: Mapping[str, tuple[str, str]]
    ) -> None:
        """Report done targets, one message for each word. `done` maps a target to its seen state and a further
        explanation."""
        by_word: dict[str, list[str]] = {}
        for target, (seen, _) in done.items():
            by_word.setdefault(done_word(action, seen), []).append(target)
        for word, targets in by_word.items():
            why, states = {done[one][1] for one in targets}, {done[one][0] for one in targets}
            gone = action.kind == "job" and states == {""}
            where = f"{'no longer listed' if gone else 'seen'} in {self._system_of(action.kind)}"
            now = f"now {', '.join(sorted(states))}, " if states - {"", word} and len(states) <= _MAX_MESSAGES else ""
            how = why.pop() if len(why) == 1 and "" not in why else f"{now}{where}"
            self.show_message_for(session, f"{word}: {display_names(cluster, targets, action.kind)} ({how})")

    def target_text(self, targets: Sequence[str], kind: Kind) -> str:
        """Targets as people know them: alerts and silences by their subject, not by id."""
        return display_names(self.cluster, targets, kind)

    @staticmethod
    def _system_of(kind: Kind) -> str:
        return "Alertmanager" if kind in {"alert", "silence"} else "Slurm"

    def _refresh_now(self, session: ClusterSession, kinds: Iterable[Kind]) -> None:
        """Read the kinds that were just changed again now."""
        session.poller.refresh_now({_SOURCES[kind] for kind in kinds if kind in _SOURCES})

    def _repaint(self) -> None:
        """Update the pending words of the current screen."""
        if self.screen_stack and isinstance(self.screen, WachtScreen):
            self.screen.update_cluster(self.cluster, None)

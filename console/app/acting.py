"""From a key or a command to the gate: an action is planned, asked about, sent, and its outcome reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from collectors.clean import clean
from collectors.nodeset import fold
from console.actions import incident
from console.actions.action import Action, Kind, rows_of
from console.actions.options import Options
from console.actions.plan import Refusal, display_names, target_list
from console.actions.registry import BY_ID
from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.config.commands import CommandError, hint
from console.preflight.checks import PreflightReads
from console.screens.layout.screen import WachtScreen, stepped

from .action_outcomes import OutcomeReports
from .journal_queries import JournalQueries
from .notifications import Notifications
from .ports import Screens
from .rollout_dialogs import RolloutDialogs, return_preflight_reader

if TYPE_CHECKING:
    from console.gate.outcome import Outcome

    from .confirm_dialog import Answer

#: Characters that the prompt may hold when it opens.
_MAX_PROMPT_CHARS = 3000


class Acting:
    """Calls the gate of the cluster on the screen. It has no access to a writer."""

    def __init__(
        self, fleet: Fleet, notifications: Notifications, journal: JournalQueries, port: Screens,
        expand: Callable[[Kind, Sequence[str]], list[str]], undo_key: Callable[[], str],
    ) -> None:  # fmt: skip
        """`expand` replaces the saved filters in typed targets; `undo_key` is the key of undo as displayed."""
        self._fleet, self._notify, self._port, self._expand = fleet, notifications, port, expand
        self.outcomes = OutcomeReports(notifications, journal, port, undo_key)
        self.rollout = RolloutDialogs(fleet, notifications, port, self.ask)
        self.preflight_of = ""
        """Targets whose pre-flight reads are in progress, as text; "" when none are."""

    def refusal(self, action_id: str) -> str | None:
        """Why an action is refused on the current screen; None when it is possible."""
        # The palette covers the screen that it refers to.
        screen = next((one for one in reversed(self._port.screen_stack) if isinstance(one, WachtScreen)), None)
        return "not on this screen" if screen is None else screen.refusal(action_id)

    def act(self, action_id: str) -> None:
        """Start an action on the marked rows, or on the row under the cursor."""
        screen: Any = self._port.screen
        if not isinstance(screen, WachtScreen):
            return
        action = BY_ID[action_id]
        if action.kind == "user" and not self._fleet.session.gate.read_only:
            # The cursor is on a job: open the prompt so that the user name is seen before it is blocked.
            jobs = (self._fleet.cluster.jobs.get(one) for one in screen.targets("job"))
            self._prompt_for_value(action, tuple(dict.fromkeys(job.user for job in jobs if job is not None)))
            return
        names = screen.targets(action.kind)
        if not names and not self._fleet.session.gate.read_only:
            self._notify.show(f"{action.label}: no {action.kind} is chosen here: put the cursor on one", "warning")
            return
        if (action.value is not None or action.prefill) and not self._fleet.session.gate.read_only:
            self._prompt_for_value(action, names)
            return
        self.ask(action_id, names, hint=screen.suggested_reason(action_id) or "")

    def run_command(self, action_id: str, words: Sequence[str]) -> None:
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
            screen: Any = self._port.screen
            names = screen.targets(action.kind) if isinstance(screen, WachtScreen) else ()
            if not names:
                raise CommandError(f"{action.label}: go to the {action.kind} first (:alerts)")
            self.ask(action_id, names, " ".join(rest) or None, options)
            return
        if action.creates is incident.CREATION:
            try:
                asked = incident.parse_request(rest, self._fleet.cluster, self._fleet.session.clock.now())
            except ValueError as error:
                raise CommandError(str(error)) from None
            options = msgspec.structs.replace(options, settings={**asked.settings, **options.settings})
            self.ask(asked.action, asked.targets, asked.title or None, options)
            return
        if not rest:
            # Wait until the prompt has closed: the action may open it again with the targets in it.
            self._port.call_next(self.act, action_id)
            return
        line, which = " ".join(rest), rest
        try:
            which, said = targets.split_line(action.kind, line)
            which = self._expand(action.kind, which)
            names = targets.resolve(action.kind, which, self._fleet.cluster, stepped(self._fleet.session.clock.now()))
            if line[0] not in "\"'":
                targets.check_no_targets_in(action, which[0], said.split(), self._fleet.cluster)
            options = with_value(action, options, said or None)
        except ValueError as error:
            raise CommandError(f"{' '.join(which)}: {error}") from None
        rows = rows_of(action, self._fleet.cluster)
        unknown = [name for name in names if name not in rows and action.kind != "user"]
        if unknown:
            raise CommandError(f"unknown {action.kind} {unknown[0]}")
        drafted = action.value is not None and action.value.draft is not None
        if drafted and options.value is None and not self._fleet.session.gate.read_only:
            self._port.call_next(self._prompt_for_value, action, names)
            return
        reason = None if action.value else said or None
        if reason is not None:
            from console.filters.language import filter_in_reason  # not needed for the first frame

            if why := filter_in_reason(reason):
                raise CommandError(why)
        self.ask(action_id, names, reason, options)

    def _prompt_for_value(self, action: Action, names: Sequence[str]) -> None:
        """Open the prompt with the action and its targets; the user types the new value behind them."""
        which = fold(names) if action.kind == "node" else ",".join(names)
        text = f"{action.id} {which} ".replace("  ", " ") + action.prefill
        if action.value is not None and action.value.draft is not None:
            text += action.value.draft(self._fleet.cluster, names)
        if len(text) > _MAX_PROMPT_CHARS:
            self._notify.show(
                f"{action.label}: too many to name in a line; say whose they are: :{action.id} user=…", "warning"
            )
        elif isinstance(self._port.screen, WachtScreen):
            self._port.screen.prompt.open(":", text, None, hint)

    def ask(
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

        action, cluster = BY_ID[action_id], self._fleet.cluster
        rows = rows_of(action, cluster)
        acts = action.kind == "user" or any(
            target in rows and action.refuse(cluster, rows[target]) is None for target in targets
        )
        if self._fleet.session.gate.read_only or not acts or not preflight_reads.needs_reads(action):
            extra = PreflightReads(resumed=self._fleet.session.resumed)
            self._open_confirmation(action_id, targets, reason, options or Options(), extra, hint, notes)
            return
        if self.preflight_of:
            self._notify.show(f"still looking at {self.preflight_of}", "warning")
            return
        self.preflight_of = target_list(tuple(targets), action.kind)
        self._notify.show(f"looking at {self.preflight_of} first")
        screen, at = self._port.screen, self._fleet.session

        def work() -> None:
            try:
                extra = preflight_reads.read_for(action, targets, cluster, at.transport, at.telemetry, at.resumed)
            except Exception as error:
                extra = PreflightReads(faults=(clean(f"the look broke: {type(error).__name__}: {error}"[:300]),))
            self._port.call_from_thread(looked, extra)

        def looked(extra: PreflightReads) -> None:
            about, self.preflight_of = self.preflight_of, ""
            if not self._notify.user_moved_on(screen, f"{action.label} of {about}"):
                self._open_confirmation(action_id, targets, reason, options or Options(), extra, hint, notes)

        self._port.run_in_thread(work, "look")

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
        plan = self._fleet.session.gate.plan(action_id, targets, reason, self._fleet.cluster, options, extra)
        if isinstance(plan, Refusal) and plan.can_break_glass:
            # Only a failed check stands in the way: the dialog shows it and asks for the break-glass confirmation.
            glass = msgspec.structs.replace(options, break_glass=True)
            plan = self._fleet.session.gate.plan(action_id, targets, reason, self._fleet.cluster, glass, extra)
        if isinstance(plan, Refusal):
            self._notify.show(f"{BY_ID[action_id].label} refused: {plan.why}", "warning")
            return
        from .confirm_dialog import ConfirmDialog

        self._port.push_screen(ConfirmDialog(self._fleet.session.gate, plan, hint, notes), self._confirmed)

    def _confirmed(self, answer: Answer | None) -> None:
        if answer is None:
            self._notify.show("cancelled: nothing was sent")
            return
        from console.gate.outcome import Progress

        plan, typed = answer
        progress = Progress(len(plan.change.targets))
        at, gate = self._fleet.session, self._fleet.session.gate
        progress.on_hold = lambda: self._port.call_from_thread(self.rollout.report_paused, at, plan, progress)
        progress.on_unfit = lambda: self._port.call_from_thread(self.rollout.report_unfit, at, plan, progress)
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
                self._port.call_from_thread(self._notify.show_for, at, f"{plan.action.label}: {why}", "error")
                return
            finally:
                at.sending.discard(progress)
            self._port.call_from_thread(self._sent, at, outcome, screen)

        at.sending.add(progress)
        if isinstance(self._port.screen, WachtScreen):
            # The marks are spent: the next action must not use them again.
            self._port.screen.clear_marks()
        if plan.waves is not None or (
            (plan.kills or plan.action.batched) and progress.total > self._fleet.session.gate.guard.batch
        ):
            self.rollout.open(plan, progress)
        screen = self._port.screen
        self._port.run_in_thread(work, "gate")
        self._notify.show(
            f"{plan.action.doing} {display_names(self._fleet.cluster, plan.change.targets, plan.action.kind)}"
        )

    def stop_sending(self) -> None:
        """Drop the batches that are not sent yet: after quitting no one could watch or stop them."""
        for progress in [one for at in self._fleet.sessions.values() for one in tuple(at.sending)]:
            progress.stop()

    def _sent(self, session: ClusterSession, outcome: Outcome, screen: object) -> None:
        """Take the outcome of a send. `screen` is where it was confirmed: targets that changed are confirmed again
        there."""
        if outcome.reconfirm:
            self._confirm_changed(session, outcome, screen)
        self.outcomes.show(session, outcome)
        if any(one.out for one in outcome.sent) and self._notify.still_on(screen):
            from console.screens.command_output import CommandOutputScreen

            self._port.push_screen(CommandOutputScreen(outcome.plan.action.label, (), 0.0, outcome.sent))

    def _confirm_changed(self, session: ClusterSession, outcome: Outcome, screen: object) -> None:
        """Ask again for the targets that were left out because they changed; report them if the user has moved on."""
        plan = outcome.plan
        if session is not self._fleet.session or not self._notify.still_on(screen):
            which = display_names(session.newest, tuple(outcome.reconfirm), plan.action.kind)
            why = next(iter(outcome.reconfirm.values())).why
            self._notify.show_for(
                session, f"{plan.action.label}: not sent to {which}: {why}; ask for it again", "error"
            )
            return
        fresh = self._fleet.session.gate.replan(outcome, session.newest)
        if isinstance(fresh, Refusal):
            self._notify.show_for(session, f"{plan.action.label} refused: {fresh.why}", "warning")
            return
        from .confirm_dialog import ConfirmDialog

        self._port.push_screen(ConfirmDialog(self._fleet.session.gate, fresh), self._confirmed)

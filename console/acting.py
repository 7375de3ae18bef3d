"""Acting from the console: from a key to the gate, and from each new reading to what became of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from textual.app import SuspendNotSupported

from collectors import process
from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import Cluster, SourceFault, Telemetry, Transport
from console import gather, inspect, journal, past
from console.actions import BY_ID, Kind
from console.commands import CommandError
from console.config import Config
from console.dialogs import Answer, ConfirmDialog
from console.gate import Gate
from console.outcome import Outcome, Progress
from console.plan import Extra, Options, Refusal, listed, named
from console.planning import rows_of
from console.poller import Poller
from console.progress import ProgressDialog
from console.screens.base import WachtScreen
from console.site import Site
from console.site_gate import journal_path, open_gate
from console.verify import Settled, Watch
from console.words import nodes_of, option, split
from widgets.pane import Line, line

if TYPE_CHECKING:
    from textual.app import App

    _Base = App[None]
else:
    _Base = object

#: So many different ends of one action are told one by one.
_TOLD = 3
#: Seconds between two extra readings while something that was sent is not yet seen.
LOOK_AGAIN_S = 2.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SOURCES = {"node": "slurm.nodes", "job": "slurm.jobs", "alert": "alerts.alerts", "silence": "alerts.alerts"}


class Acting(_Base):
    """The part of the app that may ask the gate. It holds no writer and knows none."""

    gate: Gate
    clock: Clock
    transport: Transport
    telemetry: Telemetry
    poller: Poller

    @property
    def cluster(self) -> Cluster:
        """The cluster on the screen."""
        raise NotImplementedError

    def tell(self, text: str, severity: str = "information") -> None:
        """A word in the corner."""
        raise NotImplementedError

    def open_gate(self, site: Site, config: Config) -> None:
        """Make the gate ready. Nothing is opened until something is sent."""
        self.gate = open_gate(site, config, self.transport, self.clock)
        self.journal_path = journal_path(site.name, config)
        self.resumed: Mapping[str, float] = {}
        """When each node was put back to work the last time, as far as the journal knows."""
        self.sent_watch = Watch()
        self.sending: set[Progress] = set()
        """What is on its way to Slurm."""
        self._looked = 0.0
        self._looking = ""
        """The targets of an action whose pre-flight is being read."""

    def pending_words(self, kind: Kind) -> Mapping[str, str]:
        """Target to the word that its row shows until a reading proves the change."""
        return self.sent_watch.words(kind)

    def why_not(self, action_id: str) -> str | None:
        """Why an action is refused on this screen just now."""
        # The palette lies on top of the screen that it speaks of.
        screen = next((one for one in reversed(self.screen_stack) if isinstance(one, WachtScreen)), None)
        return "not on this screen" if screen is None else screen.why_not(action_id)

    def action_act(self, action_id: str) -> None:
        """A key: on the marked rows, or the one under the cursor."""
        screen: Any = self.screen
        if not isinstance(screen, WachtScreen):
            return
        action = BY_ID[action_id]
        targets = screen.targets(action.kind)
        if not targets and not self.gate.read_only:
            self.tell(f"{action.label}: no {action.kind} is under the cursor here", "warning")
            return
        if action_id == "priority" and not self.gate.read_only:
            screen.prompt.open(":", f"priority {','.join(targets)} ")
            return
        self.ask(action_id, targets, hint=screen.reason_for(action_id) or "")

    def act_on_words(self, action_id: str, words: Sequence[str]) -> None:
        """A `:` command: `drain gpu[001-004] bad DIMM`. Raises CommandError."""
        action = BY_ID[action_id]
        try:
            options, rest = split(words)
        except ValueError as error:
            raise CommandError(str(error)) from None
        if action.kind in {"alert", "silence"}:
            # Nobody can type a fingerprint: the words are the reason, the targets are those on the screen.
            screen: Any = self.screen
            targets = screen.targets(action.kind) if isinstance(screen, WachtScreen) else ()
            if not targets:
                raise CommandError(f"{action.label}: go to the {action.kind} first (6)")
            self.ask(action_id, targets, " ".join(rest) or None, options)
            return
        if not rest:
            self.action_act(action_id)
            return
        rows: Mapping[str, Any] = self.cluster.nodes if action.kind == "node" else self.cluster.jobs
        try:
            targets = nodes_of(rest[0], self.cluster) if action.kind == "node" else tuple(rest[0].split(","))
            if action_id == "priority" and len(rest) > 1:
                options = msgspec.structs.replace(options, **option("priority", rest[1]))
        except ValueError as error:
            raise CommandError(f"{rest[0]}: {error}") from None
        unknown = [name for name in targets if name not in rows]
        if unknown:
            raise CommandError(f"unknown {action.kind} {unknown[0]}")
        reason = " ".join(rest[1:]) or None
        self.ask(action_id, targets, None if action_id == "priority" else reason, options)

    def ask(
        self,
        action_id: str,
        targets: Sequence[str],
        reason: str | None = None,
        options: Options | None = None,
        hint: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        """Plan it and show what it will do. Where that takes a look at the nodes or jobs first, off the event loop."""
        action, cluster = BY_ID[action_id], self.cluster
        rows = rows_of(action, cluster)
        acts = any(target in rows and action.refuse(cluster, rows[target]) is None for target in targets)
        if self.gate.read_only or not acts or not gather.needed(action):
            extra = Extra(resumed=self.resumed)
            self._show(action_id, targets, reason, options or Options(), extra, hint, notes)
            return
        if self._looking:
            self.tell(f"still looking at {self._looking}", "warning")
            return
        self._looking = listed(tuple(targets), action.kind)
        self.tell(f"looking at {self._looking} first")
        screen = self.screen

        def work() -> None:
            try:
                extra = gather.gather(action, targets, cluster, self.transport, self.telemetry, self.resumed)
            except Exception as error:
                extra = Extra(faults=(clean(f"the look broke: {type(error).__name__}: {error}"[:300]),))
            self.call_from_thread(looked, extra)

        def looked(extra: Extra) -> None:
            about, self._looking = self._looking, ""
            if not self.went_on(screen, f"{action.label} of {about}"):
                self._show(action_id, targets, reason, options or Options(), extra, hint, notes)

        self.run_worker(work, thread=True, group="look", exit_on_error=False)

    def went_on(self, screen: object, what: str) -> bool:
        """True, and said, where the person does something else by now than on this screen.

        A question that comes up under somebody's hands is answered by what they type for another.
        """
        now = self.screen
        if now is screen and not (isinstance(now, WachtScreen) and now.prompt.is_open):
            return False
        self.tell(f"{what}: you went on meanwhile; ask for it again", "warning")
        return True

    def _show(
        self,
        action_id: str,
        targets: Sequence[str],
        reason: str | None,
        options: Options,
        extra: Extra,
        hint: str,
        notes: Sequence[str],
    ) -> None:
        plan = self.gate.plan(action_id, targets, reason, self.cluster, options, extra)
        if isinstance(plan, Refusal) and plan.glass:
            # Only a failed check is in the way: the dialog shows it, and asks for a word that nobody types by habit.
            glass = msgspec.structs.replace(options, break_glass=True)
            plan = self.gate.plan(action_id, targets, reason, self.cluster, glass, extra)
        if isinstance(plan, Refusal):
            self.tell(f"{BY_ID[action_id].label} refused: {plan.why}", "warning")
            return
        self.push_screen(ConfirmDialog(self.gate, plan, hint, notes), self._answered)

    def _answered(self, answer: Answer | None) -> None:
        if answer is None:
            self.tell("cancelled: nothing was sent")
            return
        plan, typed = answer

        progress = Progress(len(plan.change.targets))

        def work() -> None:
            try:
                outcome = self.gate.send(plan, typed, progress)
            except Exception as error:
                # What breaks off the event loop would break in silence, and be taken for done.
                why = f"{type(error).__name__}: {error}"[:300]
                self.call_from_thread(self.tell, f"{plan.action.label}: what was sent is unknown: {why}", "error")
                return
            finally:
                self.sending.discard(progress)
            self.call_from_thread(self._came_back, outcome)

        self.sending.add(progress)
        self.run_worker(work, thread=True, group="gate", exit_on_error=False)
        if isinstance(self.screen, WachtScreen):
            # The next key must not take along what was marked for this one.
            self.screen.clear_marks()
        if plan.kills and progress.total > self.gate.guard.batch:
            self.push_screen(ProgressDialog(plan, progress))
        self.tell(f"{plan.action.doing} {self.named(plan.change.targets, plan.action.kind)}")

    def stop_sending(self) -> None:
        """Whoever leaves can neither see nor stop the batches that are left: they are not sent."""
        for progress in tuple(self.sending):
            progress.stop()

    def _came_back(self, outcome: Outcome) -> None:
        plan = outcome.plan
        if outcome.refused:
            self.tell(f"{plan.action.label}: {outcome.refused}", "error")
        for state in ("failed", "dropped", "unknown"):
            of_it = {target: result.why for target, result in outcome.results.items() if result.state == state}
            if of_it and not outcome.refused:
                why = next(iter(of_it.values()))
                # What was left out is as it was: that is worth knowing, and no failure.
                severity = "warning" if state == "dropped" else "error"
                self.tell(f"{plan.action.label} {state}: {self.named(tuple(of_it), plan.action.kind)}: {why}", severity)
        if outcome.warning:
            self.tell(outcome.warning, "error")
        self.sent_watch = self.sent_watch.add(outcome.waiting)
        self._looked = self.clock.mono()
        self._poke({plan.action.kind})
        self._repaint()

    def read_resumed(self) -> None:
        """Ask the journal which nodes people put back: an XID from before that is settled."""

        def work() -> None:
            with contextlib.suppress(OSError, journal.JournalFault):
                if self.journal_path.exists():
                    self.resumed = past.resumed(journal.read(self.journal_path, journal.LOOKBACK))

        self.run_worker(work, thread=True, group="resumed", exclusive=True, exit_on_error=False)

    def past_of(self, kind: Kind, key: str) -> list[Line]:
        """What was done to a node or a job before, from the journal. Blocks: call it off the event loop."""
        try:
            # No journal: nothing was ever done from here.
            records = journal.read(self.journal_path, journal.LOOKBACK) if self.journal_path.exists() else []
        except (OSError, journal.JournalFault) as error:
            return [line((f"the journal cannot be read: {error}", "warn"))]
        now = self.clock.now()
        acts = past.of(key, records, kind, 12)
        return inspect.past_lines(acts, past.drains(key, records, now) if kind == "node" else None, now)

    def ssh(self, name: str) -> None:
        """Give the terminal to ssh on a node, and take it back when that ends."""
        node = self.cluster.nodes.get(name)
        if node is None or not _NAME.fullmatch(name):
            self.tell(f"{name} is no node that ssh could go to", "warning")
            return
        if self.cluster.demo:
            self.tell("the embedded machine has no nodes to ssh to")
            return
        try:
            with self.suspend():
                # Slurm's own name for the node: what an address leads to is not for a screen to decide.
                code = process.hand_over(["ssh", "--", name])
        except (SourceFault, SuspendNotSupported) as error:
            self.tell(f"ssh {name}: {error}", "error")
            return
        self.tell(f"back from {name}" + (f": ssh ended with {code}" if code else ""))

    def verify(self, cluster: Cluster) -> None:
        """Hold what was sent against a newer Cluster; look again while something is not yet seen."""
        if not self.sent_watch.waiting:
            return
        mono = self.clock.mono()
        self.sent_watch, settled = self.sent_watch.check(cluster, mono)
        if settled:
            self._settled(settled)
        if self.sent_watch.waiting and mono - self._looked >= LOOK_AGAIN_S:
            self._looked = mono
            self._poke({one.kind for one in self.sent_watch.waiting})

    def _settled(self, settled: Sequence[Settled]) -> None:
        for action_id in dict.fromkeys(one.action for one in settled):
            action = BY_ID[action_id]
            done = tuple(one.target for one in settled if one.action == action_id and one.state == "done")
            if done:
                why = {one.why for one in settled if one.action == action_id and one.state == "done"}
                how = why.pop() if len(why) == 1 and "" not in why else f"seen in {self._where(action.kind)}"
                self.tell(f"{action.done}: {self.named(done, action.kind)} ({how})")
            unknown: dict[str, list[str]] = {}
            for one in settled:
                if one.action == action_id and one.state == "unknown":
                    unknown.setdefault(one.why, []).append(one.target)
            for reason, those in list(unknown.items())[:_TOLD]:
                what = f"{action.label} {self.named(those, action.kind)}"
                self.tell(f"{what}: {reason}; look at it in {self._where(action.kind)}", "error")
            if len(unknown) > _TOLD:
                self.tell(f"{action.label}: {len(unknown) - _TOLD} more reasons, in the journal (8)", "error")

        def work() -> None:
            warning = self.gate.note(settled)
            self.call_from_thread(self.read_resumed)
            if warning:
                self.call_from_thread(self.tell, warning, "error")

        self.run_worker(work, thread=True, group="journal", exit_on_error=False)
        self._repaint()

    def named(self, targets: Sequence[str], kind: Kind) -> str:
        """Targets as people know them: alerts and silences by what they are about, never by their ids."""
        return named(self.cluster, targets, kind)

    @staticmethod
    def _where(kind: Kind) -> str:
        return "Slurm" if kind in {"node", "job"} else "Alertmanager"

    def _poke(self, kinds: Iterable[Kind]) -> None:
        """Read again now what was just changed."""
        self.poller.poke({_SOURCES[kind] for kind in kinds})

    def _repaint(self) -> None:
        """The pending words of the screen on top."""
        if self.screen_stack and isinstance(self.screen, WachtScreen):
            self.screen.take(self.cluster, None)

"""What lies between the steps of a mass return: the look before each, the waiting until a wave has registered and been
looked at, and the ramp.

Only the gate uses it, in the thread that sends. It sends nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from collectors.clock import Clock
from collectors.model import Change, Cluster, Node, SourceFault
from collectors.nodeset import fold
from console.actions.plan import Check, Options, Plan, PreflightReads, Refusal, Waves
from console.actions.verification import (
    PATIENCE_OF_S,
    PATIENCE_S,
    PendingTarget,
    Settled,
    Verification,
    rewritten,
    state_of,
)
from console.actions.waves import may_begin
from console.health import drain_reasons
from console.health.inconsistencies import fresh_facts
from console.health.xid_policy import Policy

from . import preflight
from .outcome import Outcome, Progress, SendResult
from .preflight_reads import RETURN_SOURCES
from .target_reads import Readers

#: Seconds that the telemetry of nodes which came back is waited for; after that it is unknown, and that is said.
LOOK_S = 120.0
#: Seconds that the facts about a step which is to go out may take to be read anew; then they are judged as they are.
NEWER_S = 5.0
#: Between two looks at the nodes, and at their telemetry.
GLANCE_S, AGAIN_S = 1.0, 5.0
#: An XID may be told of so much later than it happened: what came shortly before the preview counts too.
_LATE_S = 180.0
#: Reads what the pre-flight of these nodes needs, as new as can be had. Blocks. Raises SourceFault.
Look = Callable[[Sequence[str]], tuple[Cluster, PreflightReads]]


class RolloutGate(Protocol):
    """What a roll-out asks of the gate that started it."""

    @property
    def look(self) -> Callable[..., Any] | None:
        """Reads what the pre-flight needs anew, between two waves."""

    def note(self, settled: Sequence[Settled], **more: str) -> str:
        """Write what was settled into the journal. Returns a warning, "" when all is well."""

    def plan(
        self, action_id: str, targets: Sequence[str], reason: str | None, cluster: Cluster, options: Options | None
    ) -> Plan | Refusal:
        """Freeze an action on explicit targets, or say why it cannot be."""

    def send(self, plan: Plan, answer: str) -> Outcome:
        """Do it, once."""

    def follow(self, outcome: Outcome) -> Outcome:
        """Read back until every target is settled."""

    def ask_again(self, outcome: Outcome, cluster: Cluster) -> Plan | Refusal:
        """The same action on the targets that a send left out because they changed."""


class Waving:
    """One mass return on its way."""

    def __init__(
        self,
        plan: Plan,
        waves: Waves,
        progress: Progress,
        gate: RolloutGate,
        readers: Readers,
        clock: Clock,
        policy: Policy,
    ) -> None:
        """`readers`, `clock` and `policy` are those of the gate."""
        self._plan, self._waves, self._progress, self._gate = plan, waves, progress, gate
        self._readers, self._clock, self._policy = readers, clock, policy
        self._of = {node: at for at, wave in enumerate(waves.waves) for node in wave.nodes}
        self._at = 0
        progress.wave = self._head
        self._failed: dict[str, str] = {}
        """Nodes of the wave that Slurm would not take back."""
        self._count = 0
        """Nodes of the wave that were sent."""
        self._looked: dict[str, str] = {}
        """Of the step that is to go out: nodes that are not fit, and why."""
        self._unsent: dict[str, str] = {}
        """The same of the whole wave, once its steps are out."""
        self._sent: tuple[PendingTarget, ...] = ()
        """Nodes of the wave that are waited for."""
        self._behind: tuple[PendingTarget, ...] = ()
        """Nodes of earlier waves that did not register in time: they may come yet."""
        self._blind = ""
        """Why a step went out without having been looked at."""
        self._steps: list[tuple[float, float]] = []
        self._not_before = float("-inf")
        self._since = clock.now() - max(0.0, clock.mono() - plan.made) - _LATE_S
        """From when on XIDs count, where it is known what came before: that was looked at when it was planned."""
        good = fresh_facts(plan.cluster, clock.now(), plan.made)
        self._knew_xids = good.nodes and good.xids
        self._confirmed = {check.trouble for check in plan.checks if check.level == "bad"}
        """What spoke against a node in the preview: the glass was broken for it."""
        self.warning = ""
        """What could not be written down or taken out again."""

    @property
    def waiting(self) -> tuple[PendingTarget, ...]:
        """What was sent and is not yet settled."""
        return self._sent + self._behind

    def before(self, step: Change, results: dict[str, SendResult]) -> None:
        """Wait until this step may be sent, or all was stopped. Notes in `results` what came of the wave before."""
        wave = self._of[step.targets[0]]
        if wave != self._at:
            count, unfit = self._count + len(self._unsent), self.close(results)
            if count and 100 * unfit > self._waves.most_failed_pct * count and not self._stopped():
                name = self._waves.waves[self._at].name
                self._progress.hold(f"{name}: {unfit:,} of {count:,} nodes did not come back fit")
            self._at = wave
        self._keep_ramp(step.targets)
        self._progress.wave = f"{self._head}: {len(step.targets):,} nodes go out"

    def look(self, names: Sequence[str]) -> dict[str, SendResult]:
        """Look at the nodes of a step once more, as for somebody who puts them back by hand just now: since the preview
        minutes have passed. Returns those that are not fit; they are set aside. What cannot be read refuses nothing.
        """
        self._looked, look, began = {}, self._gate.look, self._clock.mono()
        if look is None:
            return {}
        self._progress.wave = f"{self._head}: looks at {len(names):,} nodes before they go out"
        try:
            while True:
                cluster, extra = look(names)
                waited = self._clock.mono() - began
                if _newer(cluster, began) or waited >= NEWER_S or self._progress.rest(GLANCE_S):
                    break
            rows = self._rows(names)
        except SourceFault as error:
            self._blind = str(error.fault)
            return {}
        bad = _by_node(self._checks(rows, cluster, extra))
        for name, row in rows.items():
            if why := self._meanwhile(name, row):
                bad.setdefault(name, []).insert(0, why)
        self._looked = {name: "; ".join(whys) for name, whys in bad.items()}
        return {
            name: SendResult("dropped", f"not sent, set aside: {why}", aside=True) for name, why in self._looked.items()
        }

    def sent(self, step: Change, found: Mapping[str, SendResult], waiting: Sequence[PendingTarget]) -> None:
        """A step was sent, or all of it set aside: it is waited for, and counts on the ramp."""
        self._unsent |= self._looked
        self._progress.aside |= self._looked
        self._looked = {}
        if not step.targets:
            return
        mono = self._clock.mono()
        self._sent += tuple(waiting)
        self._count += len(step.targets)
        self._failed |= {target: result.why for target, result in found.items() if result.state == "failed"}
        self._steps.append((mono, self._waves.kw(step.targets)))
        if not self._waves.ramp_kw_min or any(node not in self._waves.node_kw for node in step.targets):
            self._not_before = mono + self._waves.pause_s

    def close(self, results: dict[str, SendResult]) -> int:
        """Wait for what was sent of this wave, look whether it is fit, write it down. Returns how many are not."""
        settled, left = self._watched(self._sent, self._waves.wait_s, self._head)
        if self._stopped() or not (self._count or self._unsent):
            # Stopped: what is under way goes on without us, and is followed as after any other action.
            return 0
        late, behind = self._watched(self._behind, 0.0, self._head)
        unfit, blind = self._unfit(settled + late)
        if self._stopped():
            return 0
        waited = f"left behind: not registered within {self._waves.wait_s:g} s"
        results |= {one.target: SendResult("pending", waited) for one in left}
        aside = {**self._unsent, **self._failed, **_lost(settled), **{one.target: waited for one in left}}
        aside |= {one.target: unfit[one.target] for one in settled if one.target in unfit}
        fit = sum(one.state == "done" and one.target not in unfit for one in settled)
        wave = self._waves.waves[self._at].name
        self._note(settled, unfit, results, wave)
        self._tell(wave, fit, aside, blind, len(left))
        self._come_late(late, unfit, results)
        self._sent, self._behind = (), behind + left
        self._failed, self._unsent, self._count = {}, {}, 0
        self._progress.behind = len(self._behind)
        return len(aside)

    def finish(self, results: dict[str, SendResult]) -> None:
        """The last wave is out. Nothing is held up by those left behind any more: they get all their time."""
        self.close(results)
        if not self._behind or self._stopped():
            return
        patience = PATIENCE_OF_S.get(self._plan.action.id, PATIENCE_S)
        late, behind = self._watched(self._behind, patience, "left behind")
        unfit, _ = self._unfit(late)
        if self._stopped():
            return
        self._come_late(late, unfit, results)
        self._behind = behind
        self._progress.behind = len(behind)

    # -- what is told and written ------------------------------------------------------------------------------------

    def _come_late(self, late: Sequence[Settled], unfit: Mapping[str, str], results: dict[str, SendResult]) -> None:
        """What became of nodes that had been left behind."""
        if not late:
            return
        fit = [one.target for one in late if one.state == "done" and one.target not in unfit]
        for name in fit:
            self._progress.aside.pop(name, None)
        self._note(late, unfit, results, "left behind")
        aside = {**_lost(late), **{one.target: unfit[one.target] for one in late if one.target in unfit}}
        self._tell("left behind before", len(fit), aside, 0, 0)

    def _note(
        self, settled: Sequence[Settled], unfit: Mapping[str, str], results: dict[str, SendResult], wave: str
    ) -> None:
        told = tuple(
            msgspec.structs.replace(one, why=f"{one.why}; set aside: {unfit[one.target]}", aside=True)
            if one.target in unfit else one for one in settled
        )  # fmt: skip
        results |= {one.target: SendResult(one.state, one.why, one.aside, one.seen) for one in told}
        self._progress.results |= results
        self.warning = self.warning or self._gate.note(told, wave=wave)

    def _tell(self, wave: str, fit: int, aside: Mapping[str, str], blind: int, left: int) -> None:
        words = [f"{wave}: {fit:,} back"]
        if len(aside) > left:
            words.append(f"{len(aside) - left:,} set aside")
        if left:
            words.append(f"{left:,} left behind")
        if blind:
            words.append(f"whether {blind:,} are fit is not known")
        if self._blind:
            words.append(f"before it went out it could not be looked at: {self._blind}")
            self._blind = ""
        self._progress.tell(", ".join(words), aside)

    def _stopped(self) -> bool:
        return self._progress.stopped

    @property
    def _head(self) -> str:
        return f"wave {self._at + 1} of {len(self._waves.waves)}, {self._waves.waves[self._at].name}"

    # -- what is looked at -------------------------------------------------------------------------------------------

    def _watched(
        self, waiting: tuple[PendingTarget, ...], wait_s: float, head: str
    ) -> tuple[tuple[Settled, ...], tuple[PendingTarget, ...]]:
        """What became of these, as Slurm shows it, and those that do not show it so many seconds after they were sent;
        or as far as it came when it was stopped."""
        watch, every = Verification(waiting), list[Settled]()
        while watch.waiting:
            seen = self._readers.glance(self._plan.cluster.name, self._plan.action, watch.waiting)
            mono = self._clock.mono()
            watch, settled = watch.check(seen, mono)
            every += settled
            left = max((wait_s - (mono - one.since) for one in watch.waiting), default=0.0)
            if left <= 0:
                break
            names = fold(one.target for one in watch.waiting)
            of_it = f"{len(watch.waiting):,} of {len(waiting):,} to register"
            self._progress.wave = f"{head}: waits for {of_it}, {left:.0f} s more at most: {names}"
            if self._progress.rest(GLANCE_S):
                break
        return tuple(every), watch.waiting

    def _rows(self, names: Sequence[str]) -> dict[str, Node]:
        read = self._readers.read("node", names)
        return {name: row for name, row in read.items() if isinstance(row, Node)}

    def _checks(self, rows: Mapping[str, Node], cluster: Cluster, extra: PreflightReads) -> tuple[Check, ...]:
        """What the pre-flight says of these now, without what was confirmed with its eyes open."""
        if self._knew_xids:
            resumed = {**extra.resumed, **dict.fromkeys(rows, self._since)}
        else:
            # The journal may tell of this very return by now: that settles nothing.
            resumed = {name: at for name, at in extra.resumed.items() if at < self._since}
        extra = msgspec.structs.replace(extra, resumed=resumed)
        cluster = msgspec.structs.replace(cluster, nodes={**cluster.nodes, **rows})
        found = preflight.checks(self._plan.action, cluster, rows, extra, self._clock.now(), self._policy,
                                 mono=self._clock.mono())  # fmt: skip
        return tuple(check for check in found if check.trouble not in self._confirmed)

    def _meanwhile(self, name: str, row: Node) -> str:
        """What a program did to a node since it was confirmed: what a person did, the gate finds by itself."""
        was = self._plan.seen[name]
        if not isinstance(was, Node) or not rewritten(self._plan.action, was, row):
            return ""
        return (
            f"{state_of(row)} meanwhile: {row.reason}" if drain_reasons.is_automation(row.reason_by, row.reason) else ""
        )

    def _unfit(self, settled: Sequence[Settled]) -> tuple[dict[str, str], int]:
        """Of these nodes those that came back and are not fit, and why; of how many that is not known."""
        names = [one.target for one in settled if one.state == "done"]
        cluster, since, ends = self._plan.cluster, int(self._clock.now()), self._clock.mono() + LOOK_S
        look = self._gate.look
        if not names or look is None:
            return {}, len(names)
        rows: dict[str, Node] = {}
        extra = PreflightReads()
        while True:
            self._progress.wave = f"{self._head}: looks whether {len(names):,} nodes are fit"
            try:
                cluster, extra = look(names)
                rows = self._rows(names)
                loads = [cluster.loads[name] for name in names if name in cluster.loads]
                new = all(load.sampled_at is not None and load.sampled_at >= since for load in loads)
            except SourceFault as error:
                extra, new = PreflightReads(faults=(str(error.fault),)), False
            if new or self._clock.mono() >= ends or self._progress.rest(AGAIN_S):
                break
        if self._stopped():
            return {}, 0
        checks = self._checks(rows, cluster, extra)
        bad = {name: [why] for name in names if (why := self._out(rows.get(name)))}
        for name, texts in _by_node(checks).items():
            bad.setdefault(name, []).extend(texts)
        unknown = {check.target for check in checks if check.level == "unknown"}
        fine = {check.target for check in checks if check.level == "ok"}
        # Much is never known of a node; here that nothing is.
        blind = sum(name not in fine and (name in unknown or "" in unknown or name not in rows) for name in names)
        unfit = {name: "; ".join(whys) for name, whys in bad.items()}
        works = {name: why for name, why in unfit.items() if name in rows and "DRAIN" not in rows[name].flags}
        self._progress.unfit |= works
        if self._waves.drains and works:
            told = self._drain_again(works, msgspec.structs.replace(cluster, nodes={**cluster.nodes, **rows}))
            unfit |= {name: f"{unfit[name]}; {told}" for name in works}
        return unfit, blind

    def _drain_again(self, nodes: Mapping[str, str], cluster: Cluster) -> str:
        """Ask whether what came back unfit is taken out again, and do it where somebody says yes. What came of it."""
        reasons_of = {name: f"came back unfit: {why}" for name, why in nodes.items()}
        plan = self._gate.plan("drain", tuple(nodes), "came back unfit", cluster, Options(reasons=reasons_of))
        bad = ""
        while not isinstance(plan, Refusal):
            if not (answer := self._progress.answer(plan)):
                return "not drained again: not confirmed"
            outcome = self._gate.send(plan, answer)
            if outcome.refused is None:
                outcome = self._gate.follow(outcome)
            whys = [
                one.why for name, one in outcome.results.items() if one.state != "done" and name not in outcome.again
            ]
            bad = bad or next(iter(whys), "") or ("" if outcome.again else outcome.refused or "")
            self.warning = self.warning or outcome.warning
            for name, result in outcome.results.items():
                if result.state == "done":
                    self._progress.unfit.pop(name, None)
            if not outcome.again:
                break
            # Nodes that have just come back flap: those that changed are asked again.
            plan = self._gate.ask_again(outcome, cluster)
        else:
            bad = plan.why
        if bad:
            self.warning = self.warning or f"not drained again: {bad}"
        return f"not drained again: {bad}" if bad else "drained again"

    def _out(self, row: Node | None) -> str:
        """Why a node that came back is out again: somebody or NHC drained it, or it fell."""
        if row is None:
            return ""
        fell = row.state == "DOWN" and self._plan.action.id == "resume"
        because = f": {row.reason}" if row.reason else ""
        return f"{state_of(row)} again{because}" if fell or "DRAIN" in row.flags else ""

    def _keep_ramp(self, nodes: Sequence[str]) -> None:
        """Wait until these may draw their power."""
        kw, ramp = self._waves.kw(nodes), self._waves.ramp_kw_min
        at = max(self._not_before, may_begin(self._steps, kw, ramp) if ramp else float("-inf"))
        while (left := at - self._clock.mono()) > 0:
            power = f" (about {kw:,.0f} kW)" if ramp and kw else ""
            self._progress.wave = f"{self._head}: the next {len(nodes):,} nodes{power} in {left:.0f} s"
            if self._progress.rest(min(left, 1.0)):
                return


def _newer(cluster: Cluster, began: float) -> bool:
    """Whether all that a pre-flight is judged by was read since, as far as it can be read."""
    sources = (cluster.sources.get(name) for name in RETURN_SOURCES)
    return all(one is None or not one.ok or (one.read_mono or 0.0) >= began for one in sources)


def _by_node(checks: Iterable[Check]) -> dict[str, list[str]]:
    """Node to what speaks against it."""
    found: dict[str, list[str]] = {}
    for check in checks:
        if check.target and check.level in {"bad", "refused"}:
            found.setdefault(check.target, []).append(check.text)
    return found


def _lost(settled: Iterable[Settled]) -> dict[str, str]:
    return {one.target: one.why for one in settled if one.state == "unknown"}

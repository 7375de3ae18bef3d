"""A roll-out: nodes return to service in waves. Checks nodes before each step, waits until a wave has registered,
checks it, and keeps the power ramp.

Only the gate uses it, in the sending thread. It sends nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from collectors.clock import Clock
from collectors.model import Change, Cluster, Node, SourceFault
from collectors.nodeset import fold
from console.actions.drift import reason_replaced
from console.actions.options import Options
from console.actions.plan import Plan, Refusal, Waves
from console.actions.verification import PendingTarget, Settled, Verification, state_text
from console.actions.waves import earliest_start
from console.health import drain_reasons
from console.health.inconsistencies import fresh_facts
from console.health.xid_policy import Policy
from console.preflight.checks import Check, PreflightReads

from .outcome import Outcome, Progress, SendResult
from .preflight_reads import RETURN_SOURCES, run_checks
from .target_reads import TargetReaders

#: Longest wait (seconds) for telemetry of returned nodes; after that their fitness is reported as unknown.
TELEMETRY_WAIT_S = 120.0
#: Longest wait (seconds) for new readings before a step; then the readings at hand are used.
REREAD_WAIT_S = 5.0
#: Seconds between two readings of the nodes, and of their telemetry.
POLL_S, TELEMETRY_POLL_S = 1.0, 5.0
#: Seconds by which an XID may be reported late: XIDs shortly before the preview count too.
_LATE_S = 180.0
#: Reads what the pre-flight of these nodes needs, as recent as possible. Blocks. Raises SourceFault.
Reread = Callable[[Sequence[str]], tuple[Cluster, PreflightReads]]


class RolloutGate(Protocol):
    """What a roll-out uses of the gate that started it."""

    @property
    def reread(self) -> Callable[..., Any] | None:
        """Reads again what the pre-flight needs, between two waves."""

    def note(self, settled: Sequence[Settled], **more: str) -> str:
        """Write what was settled into the journal. Returns a warning, "" when all is well."""

    def plan(
        self, action_id: str, targets: Sequence[str], reason: str | None, cluster: Cluster, options: Options | None
    ) -> Plan | Refusal:
        """Freeze an action on explicit targets, or say why it cannot be."""

    def send(self, plan: Plan, answer: str) -> Outcome:
        """Send the plan, once."""

    def follow(self, outcome: Outcome) -> Outcome:
        """Read back until every target is settled."""

    def replan(self, outcome: Outcome, cluster: Cluster) -> Plan | Refusal:
        """The same action on the targets that a send left out because they changed."""


class Rollout:
    """One roll-out in progress."""

    def __init__(
        self,
        plan: Plan,
        waves: Waves,
        progress: Progress,
        gate: RolloutGate,
        readers: TargetReaders,
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
        """Nodes of the wave that Slurm refused, and why."""
        self._count = 0
        """Number of nodes of the wave that were sent."""
        self._looked: dict[str, str] = {}
        """Nodes of the next step that failed the pre-flight, and why."""
        self._unsent: dict[str, str] = {}
        """The same for the steps of this wave that were sent."""
        self._sent: tuple[PendingTarget, ...] = ()
        """Nodes of the wave that have not registered yet."""
        self._behind: tuple[PendingTarget, ...] = ()
        """Nodes of earlier waves that did not register in time and may still do so."""
        self._blind = ""
        """Why a step was sent without a check."""
        self._steps: list[tuple[float, float]] = []
        self._not_before = float("-inf")
        self._since = clock.now() - max(0.0, clock.mono() - plan.made) - _LATE_S
        """XIDs count from this time (epoch); earlier ones were checked at planning, if they were known."""
        good = fresh_facts(plan.cluster, clock.now(), plan.made)
        self._knew_xids = good.nodes and good.xids
        self._confirmed = {check.identity for check in plan.checks if check.level == "bad"}
        """Findings of the preview that were overridden by breaking the glass."""
        self.warning = ""
        """A fault to show: something was not journalled, or not drained again."""

    @property
    def waiting(self) -> tuple[PendingTarget, ...]:
        """What was sent and is not yet settled."""
        return self._sent + self._behind

    def before(self, step: Change, results: dict[str, SendResult]) -> None:
        """Wait until this step may be sent, or the send was stopped. Adds the previous wave to `results`."""
        wave = self._of[step.targets[0]]
        if wave != self._at:
            count, unfit = self._count + len(self._unsent), self.close(results)
            if count and 100 * unfit > self._waves.max_failed_pct * count and not self._stopped():
                name = self._waves.waves[self._at].name
                self._progress.hold(f"{name}: {unfit:,} of {count:,} nodes did not come back fit")
            self._at = wave
        self._keep_ramp(step.targets)
        self._progress.wave = f"{self._head}: {len(step.targets):,} nodes go out"

    def look(self, names: Sequence[str]) -> dict[str, SendResult]:
        """Run the pre-flight again for the nodes of a step, since minutes have passed since the preview.

        Returns the nodes that fail; they are set aside. What cannot be read refuses nothing.
        """
        self._looked, look, began = {}, self._gate.reread, self._clock.mono()
        if look is None:
            return {}
        self._progress.wave = f"{self._head}: looks at {len(names):,} nodes before they go out"
        try:
            while True:
                cluster, extra = look(names)
                waited = self._clock.mono() - began
                if _newer(cluster, began) or waited >= REREAD_WAIT_S or self._progress.wait(POLL_S):
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
        """Record a step that was sent or wholly set aside: its nodes are awaited and count on the ramp."""
        self._unsent |= self._looked
        self._progress.aside |= self._looked
        self._looked = {}
        if not step.targets:
            return
        mono = self._clock.mono()
        self._sent += tuple(waiting)
        self._count += len(step.targets)
        self._failed |= {target: result.why for target, result in found.items() if result.state == "failed"}
        self._steps.append((mono, self._waves.power_kw(step.targets)))
        if not self._waves.ramp_kw_min or any(node not in self._waves.node_kw for node in step.targets):
            self._not_before = mono + self._waves.pause_s

    def close(self, results: dict[str, SendResult]) -> int:
        """Wait for the nodes of this wave, check them, journal them. Returns the number of nodes that are not fit."""
        settled, left = self._watched(self._sent, self._waves.wait_s, self._head)
        if self._stopped() or not (self._count or self._unsent):
            # Stopped: nodes already sent are verified as after any other action.
            return 0
        late, behind = self._watched(self._behind, 0.0, self._head)
        unfit, blind = self._unfit(settled + late)
        if self._stopped():
            return 0
        waited = f"late: not registered within {self._waves.wait_s:g} s"
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
        self._progress.late_count = len(self._behind)
        return len(aside)

    def finish(self, results: dict[str, SendResult]) -> None:
        """Close the last wave. Late nodes get their full timeout now, since no wave waits for them."""
        self.close(results)
        if not self._behind or self._stopped():
            return
        patience = self._plan.action.verify_s
        late, behind = self._watched(self._behind, patience, "late")
        unfit, _ = self._unfit(late)
        if self._stopped():
            return
        self._come_late(late, unfit, results)
        self._behind = behind
        self._progress.late_count = len(behind)

    # -- report and journal ------------------------------------------------------------------------------------

    def _come_late(self, late: Sequence[Settled], unfit: Mapping[str, str], results: dict[str, SendResult]) -> None:
        """Record nodes that were late and have registered since."""
        if not late:
            return
        fit = [one.target for one in late if one.state == "done" and one.target not in unfit]
        for name in fit:
            self._progress.aside.pop(name, None)
        self._note(late, unfit, results, "late")
        aside = {**_lost(late), **{one.target: unfit[one.target] for one in late if one.target in unfit}}
        self._tell("late", len(fit), aside, 0, 0)

    def _note(
        self, settled: Sequence[Settled], unfit: Mapping[str, str], results: dict[str, SendResult], wave: str
    ) -> None:
        told = tuple(
            msgspec.structs.replace(one, why=f"{one.why}; set aside: {unfit[one.target]}", aside=True)
            if one.target in unfit else one for one in settled
        )  # fmt: skip
        results |= {one.target: SendResult(one.state, one.why, one.aside, one.shown_state) for one in told}
        self._progress.results |= results
        self.warning = self.warning or self._gate.note(told, wave=wave)

    def _tell(self, wave: str, fit: int, aside: Mapping[str, str], blind: int, left: int) -> None:
        words = [f"{wave}: {fit:,} back"]
        if len(aside) > left:
            words.append(f"{len(aside) - left:,} set aside")
        if left:
            words.append(f"{left:,} late")
        if blind:
            words.append(f"whether {blind:,} are fit is not known")
        if self._blind:
            words.append(f"before it went out it could not be looked at: {self._blind}")
            self._blind = ""
        self._progress.log_wave(", ".join(words), aside)

    def _stopped(self) -> bool:
        return self._progress.stopped

    @property
    def _head(self) -> str:
        return f"wave {self._at + 1} of {len(self._waves.waves)}, {self._waves.waves[self._at].name}"

    # -- readings and checks -------------------------------------------------------------------------------------------

    def _watched(
        self, waiting: tuple[PendingTarget, ...], wait_s: float, head: str
    ) -> tuple[tuple[Settled, ...], tuple[PendingTarget, ...]]:
        """Poll these until each is settled or `wait_s` seconds old, or the send is stopped. Returns settled ones and
        the rest."""
        watch, every = Verification(waiting), list[Settled]()
        while watch.waiting:
            seen = self._readers.poll(self._plan.cluster.name, self._plan.action, watch.waiting)
            mono = self._clock.mono()
            watch, settled = watch.check(seen, mono)
            every += settled
            left = max((wait_s - (mono - one.since) for one in watch.waiting), default=0.0)
            if left <= 0:
                break
            names = fold(one.target for one in watch.waiting)
            of_it = f"{len(watch.waiting):,} of {len(waiting):,} to register"
            self._progress.wave = f"{head}: waits for {of_it}, {left:.0f} s more at most: {names}"
            if self._progress.wait(POLL_S):
                break
        return tuple(every), watch.waiting

    def _rows(self, names: Sequence[str]) -> dict[str, Node]:
        read = self._readers.read("node", names)
        return {name: row for name, row in read.items() if isinstance(row, Node)}

    def _checks(self, rows: Mapping[str, Node], cluster: Cluster, extra: PreflightReads) -> tuple[Check, ...]:
        """Run the pre-flight for these now, without the findings that were overridden in the preview."""
        if self._knew_xids:
            resumed = {**extra.resumed, **dict.fromkeys(rows, self._since)}
        else:
            # The journal may contain this very return by now: it does not clear XIDs.
            resumed = {name: at for name, at in extra.resumed.items() if at < self._since}
        extra = msgspec.structs.replace(extra, resumed=resumed)
        cluster = msgspec.structs.replace(cluster, nodes={**cluster.nodes, **rows})
        found = run_checks(self._plan.action, cluster, rows, extra, self._clock.now(), self._policy,
                                 mono=self._clock.mono())  # fmt: skip
        return tuple(check for check in found if check.identity not in self._confirmed)

    def _meanwhile(self, name: str, row: Node) -> str:
        """What a program did to a node since the preview; the gate itself finds what a person did. "" for nothing."""
        was = self._plan.rows[name]
        if not isinstance(was, Node) or not reason_replaced(self._plan.action, was, row):
            return ""
        by_program = drain_reasons.is_automation(row.reason_by, row.reason)
        return f"{state_text(row)} meanwhile: {row.reason}" if by_program else ""

    def _unfit(self, settled: Sequence[Settled]) -> tuple[dict[str, str], int]:
        """The returned nodes that are not fit, with reasons, and the number of nodes whose fitness is unknown."""
        names = [one.target for one in settled if one.state == "done"]
        cluster, since, ends = self._plan.cluster, int(self._clock.now()), self._clock.mono() + TELEMETRY_WAIT_S
        look = self._gate.reread
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
            if new or self._clock.mono() >= ends or self._progress.wait(TELEMETRY_POLL_S):
                break
        if self._stopped():
            return {}, 0
        checks = self._checks(rows, cluster, extra)
        bad = {name: [why] for name in names if (why := self._out(rows.get(name)))}
        for name, texts in _by_node(checks).items():
            bad.setdefault(name, []).extend(texts)
        unknown = {check.target for check in checks if check.level == "unknown"}
        fine = {check.target for check in checks if check.level == "ok"}
        # Some facts of a node are always unknown; count nodes of which nothing is known.
        blind = sum(name not in fine and (name in unknown or "" in unknown or name not in rows) for name in names)
        unfit = {name: "; ".join(whys) for name, whys in bad.items()}
        works = {name: why for name, why in unfit.items() if name in rows and "DRAIN" not in rows[name].flags}
        self._progress.unfit |= works
        if self._waves.redrain and works:
            told = self._drain_again(works, msgspec.structs.replace(cluster, nodes={**cluster.nodes, **rows}))
            unfit |= {name: f"{unfit[name]}; {told}" for name in works}
        return unfit, blind

    def _drain_again(self, nodes: Mapping[str, str], cluster: Cluster) -> str:
        """Ask whether unfit nodes are drained again, and drain them if confirmed. Returns the outcome as text."""
        reasons_of = {name: f"came back unfit: {why}" for name, why in nodes.items()}
        plan = self._gate.plan(
            self._plan.action.inverse or "", tuple(nodes), "came back unfit", cluster, Options(reasons=reasons_of)
        )
        bad = ""
        while not isinstance(plan, Refusal):
            if not (answer := self._progress.answer(plan)):
                return "not drained again: not confirmed"
            outcome = self._gate.send(plan, answer)
            if outcome.refused is None:
                outcome = self._gate.follow(outcome)
            whys = [
                one.why
                for name, one in outcome.results.items()
                if one.state != "done" and name not in outcome.reconfirm
            ]
            bad = bad or next(iter(whys), "") or ("" if outcome.reconfirm else outcome.refused or "")
            self.warning = self.warning or outcome.warning
            for name, result in outcome.results.items():
                if result.state == "done":
                    self._progress.unfit.pop(name, None)
            if not outcome.reconfirm:
                break
            # Nodes that have just returned may flap: those that changed are confirmed again.
            plan = self._gate.replan(outcome, cluster)
        else:
            bad = plan.why
        if bad:
            self.warning = self.warning or f"not drained again: {bad}"
        return f"not drained again: {bad}" if bad else "drained again"

    def _out(self, row: Node | None) -> str:
        """Why a returned node is out again (drained by a person or NHC, or down); "" if it is not."""
        if row is None:
            return ""
        fell = row.state == "DOWN" and self._plan.action.must_register
        because = f": {row.reason}" if row.reason else ""
        return f"{state_text(row)} again{because}" if fell or "DRAIN" in row.flags else ""

    def _keep_ramp(self, nodes: Sequence[str]) -> None:
        """Wait until the power ramp allows these nodes."""
        kw, ramp = self._waves.power_kw(nodes), self._waves.ramp_kw_min
        at = max(self._not_before, earliest_start(self._steps, kw, ramp) if ramp else float("-inf"))
        while (left := at - self._clock.mono()) > 0:
            power = f" (about {kw:,.0f} kW)" if ramp and kw else ""
            self._progress.wave = f"{self._head}: the next {len(nodes):,} nodes{power} in {left:.0f} s"
            if self._progress.wait(min(left, 1.0)):
                return


def _newer(cluster: Cluster, began: float) -> bool:
    """Whether all sources of the pre-flight that answer were read since `began`."""
    sources = (cluster.sources.get(name) for name in RETURN_SOURCES)
    return all(one is None or not one.ok or (one.read_mono or 0.0) >= began for one in sources)


def _by_node(checks: Iterable[Check]) -> dict[str, list[str]]:
    """Node to its findings that are bad or refused."""
    found: dict[str, list[str]] = {}
    for check in checks:
        if check.target and check.level in {"bad", "refused"}:
            found.setdefault(check.target, []).append(check.text)
    return found


def _lost(settled: Iterable[Settled]) -> dict[str, str]:
    return {one.target: one.why for one in settled if one.state == "unknown"}

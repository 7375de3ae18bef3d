"""`wacht act`: the gate on the command line, with the same preview, guard, journal and verification as on the
screen.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from collectors.clean import clean
from collectors.model import Cluster
from collectors.nodeset import expand
from console.actions import plan as plans
from console.actions import targets
from console.actions.option_parsing import with_value
from console.actions.options import Options
from console.actions.plan import Plan, Refusal, Skip
from console.actions.registry import BY_ID
from console.actions.verification import done_word
from console.gate import preview
from console.gate.gate import Gate
from console.gate.outcome import Outcome, SendResult
from console.gate.preflight_reads import RETURN_SOURCES
from console.journal.undo import Undo, last_undoable, undo_of
from console.journal.writer import entries_of
from console.preflight.checks import PreflightReads
from console.runtime.errors import FilterError
from console.runtime.operator_identity import login_name

from .rollout_text import stoppable

DONE, INCOMPLETE, REFUSED = 0, 1, 2


def run_act(
    gate: Gate,
    cluster: Cluster,
    action: str,
    words: Sequence[str],
    *,
    reason: str | None = None,
    dry_run: bool = False,
    yes: bool = False,
    count: int | None = None,
    as_json: bool = False,
    ask: Callable[[str], str] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
    deadline_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    options: Options | None = None,
    look: Callable[[Sequence[str]], PreflightReads] | None = None,
) -> int:
    """Plan, show, confirm, send and verify. Returns the exit status: 0 all done and verified, 1 not all, 2 refused.

    `ask` shows a question and returns the line typed; None without a terminal. `deadline_s` limits the verification;
    None: the action's own timeout. `look` reads what the pre-flight checks need. Raises nothing for errors of Slurm.
    """
    options = options or Options()
    output = _ActOutput(cluster.name, action, dry_run, as_json, out or sys.stdout, err or sys.stderr)
    try:
        try:
            names = resolved_targets(cluster, action, words)
        except FilterError as error:
            return output.refused(f"{' '.join(words)}: {error}")
        options = with_value(BY_ID[action], options) if action in BY_ID else options
    except ValueError as error:
        return output.refused(str(error))
    extra = look(names) if look is not None and not gate.read_only else None
    plan = gate.plan(action, names, reason, cluster, options, extra)
    if isinstance(plan, Refusal):
        return output.refused(f"{plan.why}; --break-glass goes on all the same" if plan.can_break_glass else plan.why)
    output.preview(plan)
    if plan.missing_reason:
        return output.refused("a reason is required", plan)
    confirm = plan.confirmation
    if confirm.kind == "break" and not options.break_glass:
        return output.refused(f"{confirm.why}: --break-glass and --count {confirm.count} are required", plan)
    answer = "y" if yes and confirm.kind == "plain" else None
    if count is not None:
        if count != confirm.count:
            return output.refused(f"--count {count}: it would act on {confirm.count}", plan)
        answer = confirm.prompt if confirm.kind == "break" else str(count)
    if dry_run:
        return output.ended(plan, {}, DONE)
    ahead = answer is not None
    if answer is None:
        if ask is None:
            option = "--yes" if confirm.kind == "plain" else f"--count {confirm.count}"
            return output.refused(f"not confirmed: there is no terminal to ask at; {option} would answer", plan)
        answer = _asked(ask, output, plan)
    outcomes: list[Outcome] = []
    now, refused = plan, ""
    while True:
        with stoppable(ask, output.wave, yes) as progress:
            outcomes.append(outcome := gate.send(now, answer, progress))
        refused = outcome.refused or ""
        if not outcome.reconfirm or progress.stopped:
            break
        fresh = gate.replan(outcome, cluster)
        if isinstance(fresh, Refusal):
            refused = fresh.why
            break
        output.preview(fresh)
        late = ahead and (len(outcomes) > 1 or not confirm.covers(fresh.confirmation))
        if late or (fresh.confirmation.kind == "break" and not options.break_glass):
            refused = not_covered(fresh)
            break
        answer = fresh.confirmation.prompt if ahead else _asked(ask, output, fresh)
        now = fresh
    if refused and all(outcome.refused is not None for outcome in outcomes):
        return output.refused(refused, plan, outcomes[0])
    results: dict[str, SendResult] = {}
    for one in outcomes:
        ended = one if one.refused is not None else gate.follow(one, deadline_s, sleep)
        results |= ended.results
        if ended.warning:
            output.warn(ended.warning)
    if refused:
        output.warn(refused)
    aside = any(outcome.aside for outcome in outcomes)
    done = not aside and all(result.state in {"done", "sent"} for result in results.values())
    return output.ended(plan, results, DONE if done else INCOMPLETE)


def _asked(ask: Callable[[str], str] | None, output: _ActOutput, plan: Plan) -> str:
    """The answer to this plan's confirmation; "" without a person."""
    if ask is None or plan.missing_reason:
        return ""
    output.preview(plan, asking=True)
    try:
        return ask(question(plan)).strip()
    except EOFError:
        return ""


def not_covered(plan: Plan) -> str:
    """Why an answer given in advance is not enough for a plan that asks again, and how to continue."""
    what = plans.by_reason([Skip(target, why) for target, why in plan.changed.items()], plan.action.kind)
    given = {"plain": "--yes", "count": f"--count {plan.confirmation.count}"}
    option = given.get(plan.confirmation.kind, f"--break-glass --count {plan.confirmation.count}")
    which = plans.display_names(plan.cluster, plan.change.targets, plan.action.kind)
    return f"not sent, changed since the preview: {what}; to go on, {plan.action.id} {which} with {option}"


def resolved_targets(cluster: Cluster, action: str, words: Sequence[str]) -> tuple[str, ...]:
    """The full names of the typed targets. Raises ValueError."""
    return targets.resolve(BY_ID[action].kind if action in BY_ID else "node", words, cluster)


def undoing(path: Path, words: Sequence[str], cluster: Cluster, now: float) -> tuple[Undo, Sequence[str]]:
    """`undo [ID [TARGET...]]`: the undo of this action in the journal, or of this person's last one.

    Raises ValueError when there is none, JournalFault when the journal cannot be read.
    """
    entries = entries_of(path)
    entry = entries.get(words[0]) if words else last_undoable(entries, login_name())
    if entry is None:
        raise ValueError(f"no action {clean(words[0])[:40]} in the journal" if words else "there is nothing to undo")
    only = [name for word in words[1:] for name in expand(word)] or None
    found = undo_of(entry, entries, cluster, now, only)
    if isinstance(found, str):
        raise ValueError(f"undo of {entry.action} {entry.plan}: {found}")
    return found, found.notes


def sources_of(action: str, words: Sequence[str] = ()) -> frozenset[str]:
    """The sources needed by the gate to judge an action, and those that hold its targets; no others are read."""
    row = BY_ID.get(action)
    kind = row.kind if row is not None else "node"
    if kind in {"alert", "silence"}:
        return frozenset({"alerts.alerts"})
    found = {"slurm.nodes", "slurm.jobs", "slurm.rights"}
    if row is None:  # an undo: any action may follow
        found |= {"alerts.alerts", "slurm.partitions", "slurm.reservations", *RETURN_SOURCES}
    else:
        if kind in {"partition", "reservation"}:
            found |= {"slurm.partitions", "slurm.reservations"}
        found |= {*row.sources, *(RETURN_SOURCES if row.preflight_read == "gpus" else ())}
    return frozenset(found).union(*(_READS.get(facts, ()) for facts in targets.needed_facts(kind, words)))


#: Fields of a filter to the sources they need; those of nodes and jobs are read anyway.
_READS = {
    "loads": ("prom.loads", "prom.power"), "cooling": ("prom.cooling",), "checkups": ("prom.checkups",),
}  # fmt: skip


def question(plan: Plan) -> str:
    """The confirmation's question at the terminal."""
    if plan.confirmation.kind == "plain":
        names = plans.display_names(plan.cluster, plan.change.targets, plan.action.kind)
        return f"{plan.action.label} {names}? type y to go on: "
    return f"type {plan.confirmation.prompt} to go on: "


class _ActOutput:
    """Prints everything, as text or as one JSON object."""

    def __init__(self, cluster: str, action: str, dry_run: bool, as_json: bool, out: TextIO, err: TextIO) -> None:
        self._head = {"version": 1, "cluster": cluster, "action": action}
        self._dry_run = dry_run
        self._json = as_json
        self._out = out
        self._err = err

    def preview(self, plan: Plan, asking: bool = False) -> None:
        # With --json the object owns stdout; the text for the person who confirms goes to stderr.
        if asking == self._json:
            out = self._err if self._json else self._out
            # A question after thousands of lines would not be seen, so the preview is shortened; --dry-run shows every
            # line.
            cells = None if self._dry_run or not (out and out.isatty()) else shutil.get_terminal_size().columns
            print("\n".join(preview.text(plan, cells)), file=out, flush=True)

    def wave(self, text: str) -> None:
        """Print a wave's outcome as soon as it ends."""
        print(clean(text), file=self._err if self._json else self._out, flush=True)

    def warn(self, text: str) -> None:
        print(f"wacht: {clean(text)}", file=self._err)

    def refused(self, why: str, plan: Plan | None = None, outcome: Outcome | None = None) -> int:
        self.warn(why)
        self._object(plan, outcome.results if outcome is not None else {}, REFUSED, refused=why)
        return REFUSED

    def ended(self, plan: Plan, results: Any, status: int) -> int:
        self._object(plan, results, status)
        if self._json:
            return status
        if self._dry_run:
            print("dry run: nothing was sent", file=self._out)
            return status
        by_result: dict[tuple[str, str], list[str]] = {}
        for target, result in results.items():
            word = done_word(plan.action, result.shown_state) if result.state == "done" else result.state
            by_result.setdefault((word, result.why), []).append(target)
        for (word, reason), names in by_result.items():
            why = f": {reason}" if reason else ""
            print(
                f"{word}  {len(names):,}  {plans.display_names(plan.cluster, names, plan.action.kind)}{why}",
                file=self._out,
            )
        return status

    def _object(self, plan: Plan | None, results: Any, status: int, **more: Any) -> None:
        if not self._json:
            return
        document = {target: {"outcome": result.state, "why": result.why or None} for target, result in results.items()}
        if plan is not None:
            if self._dry_run and not status:
                document |= {target: {"outcome": "planned", "why": None} for target in plan.change.targets}
            document |= {skip.target: {"outcome": "skipped", "why": skip.why} for skip in plan.skipped}
        body = {
            **self._head, "targets": list(plan.change.targets) if plan is not None else [], "outcomes": document,
            "reason": plan.reason if plan is not None else None,
            "commands": [list(command) for command in plan.commands] if plan is not None else [],
            "dry_run": self._dry_run, "exit": status, **more,
        }  # fmt: skip
        # Plain ASCII: valid JSON in any locale.
        print(json.dumps(body), file=self._out)

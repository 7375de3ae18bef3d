"""Lines from the accounting: last jobs and events of a node, the record of a job. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from collectors.model import Fault, JobAccount, NodeEvent, PastJob, Step
from console.queue import job_accounting as words
from themes.roles import job_look
from widgets.cells import Span, pad
from widgets.pane import PaneLine, pane_line
from widgets.units import UNKNOWN, clock_span, count, duration, memory, when

from .inspection_lines import fact

_ENDED = "ended/"


def ended_job(key: str) -> str | None:
    """The ended job behind the key of a line, None for other lines. A job of that id may run again elsewhere, so no
    action may use the id from such a line."""
    return key.rpartition("/")[2] if key.startswith(_ENDED) else None


def state_spans(run: PastJob) -> list[Span]:
    """Glyph and word of how a run ended."""
    glyph, role = job_look(run.state)
    return [(f"{glyph} {run.state.lower().replace('_', ' ')}", role)]


def fault_lines(about: str, fault: Fault) -> list[PaneLine]:
    """Why there is nothing to show: quiet where the site lacks the source, loud where it failed."""
    return [pane_line((f"{about}: {fault}", "text-dim" if fault.kind == "missing" else "warn"))]


def last_job_lines(runs: Sequence[PastJob], days: int, now: float) -> list[PaneLine]:
    """The jobs that ended on a node, newest first; each can be opened."""
    if not runs:
        return [pane_line((f"last jobs: the accounting shows none in {days} days", "text-dim"))]
    lines = [pane_line((f"{'last jobs':<10} {'ended':<16} {'ago':>6} user", "text-dim"))]
    for number, run in enumerate(runs):
        code = words.code_text(run.exit_code, run.signal)
        ((word, role),) = state_spans(run)
        ago = UNKNOWN if run.ended is None else duration(now - run.ended)
        spans = [
            (f"{run.id:<10} ", "text-strong"),
            (f"{word if code == '0:0' else f'{word} {code}':<16} ", role),
            (f"{ago:>6} ", ""),
            (f"{pad(run.user or UNKNOWN, 10)} ", ""),
            (f"{count(run.gpus):>4} GPUs, ran {duration(run.ran_s):>6}  {run.name}", "text-dim"),
        ]
        lines.append(PaneLine(spans, (), f"{_ENDED}{number}/{run.id}"))
    return lines


def event_lines(events: Sequence[NodeEvent], now: float, with_node: bool = False) -> list[PaneLine]:
    """The outages of a node, newest first."""
    lines = []
    for event in events:
        lasted = "goes on" if event.ended is None else f"for {duration(event.ended - event.began)}"
        role = "bad" if "DOWN" in event.state or "FAIL" in event.state else "warn"
        by = f" by {event.by}" if event.by else ""
        reason = f'  "{event.reason}"' if event.reason else ""
        lines.append(
            PaneLine(
                [
                    (f"{when(event.began, None, now)} ", ""),
                    (f"{event.node} " if with_node else "", "text-strong"),
                    (event.state.lower(), role),
                    (f" {lasted}", "warn" if event.ended is None else "text-dim"),
                    (by, "text-dim"),
                    (reason, ""),
                ]
            )
        )
    return lines


def account_lines(account: JobAccount, now: float, telemetry: str | None = None) -> list[PaneLine]:
    """The accounting record of a job. `telemetry` is what telemetry shows of its GPUs."""
    run = account.run
    well = run.state in words.SUCCESS_STATES or run.state in words.UNFINISHED_STATES
    codes = f"exit code {words.code_text(run.exit_code, run.signal)}"
    derived = words.code_text(run.derived_code, run.derived_signal)
    said = words.end_reason(account, now)
    limit = "no limit" if run.time_limit_s is None else f"of {clock_span(run.time_limit_s)}"
    started = UNKNOWN if run.started is None else when(run.started, None, now)
    ended = UNKNOWN if run.ended is None else f"{when(run.ended, None, now)}  ({duration(now - run.ended)} ago)"
    lines = [
        fact("state", *state_spans(run), (f"   {run.state}   {codes}   derived {derived}", "text-dim")),
        fact("why", (said, "" if well else "bad")),
        fact("name", run.name),
        fact("user", run.user or UNKNOWN,
             (f"   account {run.account or UNKNOWN}   QOS {run.qos or UNKNOWN}", "text-dim")),
        fact("size", "   ".join((_some(run.node_count, "node"), _some(run.gpus, "GPU"), _some(run.cpus, "CPU"))),
             (f"   partition {run.partition or UNKNOWN}", "text-dim")),
        fact("ran", f"{clock_span(run.ran_s)} ", (f"{limit}", "text-dim"), f"   {started} to {ended}"),
    ]  # fmt: skip
    if run.started is not None:
        lines += [
            fact("GPU use", words.gpu_text(account, telemetry)),
            fact("CPU use", words.cpu_text(account)),
            fact("memory", words.memory_text(account)),
        ]
    lines.append(fact("submitted", when(run.submitted, None, now)))
    if account.stdout:
        hint = "" if account.stdout == "/dev/null" else "   :log shows its end"
        lines.append(fact("output", account.stdout, (hint, "text-dim")))
    if account.working_dir:
        lines.append(fact("work dir", account.working_dir))
    return lines


def context_lines(account: JobAccount, now: float) -> list[PaneLine]:
    """The context of a job: steps, outages of its nodes meanwhile, earlier runs, and what is unknown."""
    lines = step_lines(account.steps)
    if account.events:
        lines += [pane_line(("on its nodes meanwhile", "text-dim")), *event_lines(account.events, now, with_node=True)]
    elif account.events is not None and account.run.started is not None:
        lines.append(pane_line(("no outage of its nodes meanwhile, as sacctmgr shows", "text-dim")))
    lines += earlier_run_lines(account, account.earlier, now)
    return [*lines, *(pane_line((note, "warn")) for note in account.notes)]


def earlier_run_lines(account: JobAccount, runs: Sequence[PastJob], now: float) -> list[PaneLine]:
    """Earlier runs of a requeued job, and why each ended; empty where there were none."""
    lines = [pane_line(("queued again after", "text-dim"))] if runs else []
    for run in runs:
        on = f" on {run.nodes}" if run.nodes else ""
        said = words.end_reason(replace(account, run=run, steps=()), now)
        lines.append(
            PaneLine([*state_spans(run), (f"  {when(run.started, None, now)} to {when(run.ended, None, now)}{on}", "")])
        )
        lines.append(PaneLine([(f"  {said}", "bad")]))
    return lines


def step_lines(steps: Sequence[Step]) -> list[PaneLine]:
    """The table of its steps; memory is the highest of any task."""
    if not steps:
        return [pane_line(("no step of it was started", "text-dim"))]
    head = f"{'step':<8} {'state':<15} {'exit':>6} {'took':>8} {'memory':>8}  name, nodes"
    lines = [pane_line((head, "text-dim"))]
    for step in steps:
        took = None if step.started is None or step.ended is None else step.ended - step.started
        glyph, role = job_look(step.state)
        where = f" on {step.memory_node}" if step.memory_node and step.memory_mb else ""
        lines.append(
            PaneLine(
                [
                    (f"{pad(step.id, 8)} ", "text-strong"),
                    (f"{pad(f'{glyph} {step.state.lower()}', 15)} ", role),
                    (f"{words.code_text(step.exit_code, step.signal):>6} ", ""),
                    (f"{duration(took):>8} {memory(step.memory_mb or None):>8}  ", ""),
                    (f"{step.name}  ", ""),
                    (f"{step.nodes or UNKNOWN}{where}", "text-dim"),
                ]
            )
        )
    return lines


def _some(number: int | None, word: str) -> str:
    return f"{count(number)} {word}{'' if number == 1 else 's'}"

"""The state of Slurm's daemons, as lines of figures. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.model import Cluster, Control, Diag
from console.health.unknown_reasons import why_unknown
from console.ingest import controller_cost
from console.triage.attention_control import DBD_QUEUE
from widgets.cells import Span
from widgets.pane import PaneLine
from widgets.units import UNKNOWN, count, duration, when

from .control_columns import duration_us

#: Most threads of slurmctld.
THREADS = 256


def lines(cluster: Cluster, now: float) -> list[PaneLine]:
    """The lines above the tables of `:control`."""
    return [PaneLine([(f"{label:<10}", "text-dim"), *spans]) for label, spans in _lines(cluster, now)]


def _lines(cluster: Cluster, now: float) -> Iterator[tuple[str, list[Span]]]:
    control, diag = cluster.control, cluster.diag
    state = cluster.sources.get("slurm.control")
    if state is not None and state.fault is not None:
        yield "now", [(str(state.fault), "bad")]
    if control is not None:
        yield from _daemons(control)
    else:
        why = "this transport has no ping" if state is None else "nothing was read yet"
        yield "daemons", [(f"unknown: {why}", "text-dim")]
    if diag is not None:
        yield from _figures(diag, cluster)
    else:
        yield "sdiag", [(why_unknown(cluster, "diag"), "text-dim")]
    if control is not None:
        yield "jobs", _ends(control, now)


def _daemons(control: Control) -> Iterator[tuple[str, list[Span]]]:
    serves = next((one for one in control.controllers if one.up), None)
    for at, one in enumerate(control.controllers):
        if not one.up:
            word: Span = ("✖ does not answer", "bad")
        elif one is serves:
            word = ("● in control", "good") if at == 0 else ("● in control: it has taken over", "warn")
        else:
            word = ("○ standby", "")
        yield "slurmctld" if at == 0 else "", [(f"{one.host} ", "text-strong"), (f"{one.role}  ", "text-dim"), word]
    if control.dbd is not None:
        said: Span = ("—", "text-dim")
        if control.dbd_up is not None:
            said = ("● answers", "good") if control.dbd_up else ("✖ does not answer", "bad")
        yield "slurmdbd", [(f"{control.dbd} ", "text-strong"), said]


def _figures(diag: Diag, cluster: Cluster) -> Iterator[tuple[str, list[Span]]]:
    def figure(label: str, value: int | None, much: int, of: str = "") -> list[Span]:
        role = "warn" if value is not None and value >= much else "text-strong"
        return [(f"{label} ", "text-dim"), (f"{count(value)}{of}  ", role)]

    yield (
        "load",
        [
            *figure("threads", diag.server_threads, controller_cost.THREADS, f" of {THREADS}"),
            *figure("agent queue", diag.agent_queue, controller_cost.AGENT_QUEUE),
            *figure("DBD queue", diag.dbd_queue, DBD_QUEUE),
        ],
    )
    slow = diag.main_cycle_last_us is not None and diag.main_cycle_last_us >= controller_cost.CYCLE_US
    yield (
        "cycles",
        [
            ("main ", "text-dim"),
            (duration_us(diag.main_cycle_last_us), "warn" if slow else "text-strong"),
            (f", mean {duration_us(diag.main_cycle_mean_us)}  ", "text-dim"),
            ("backfill ", "text-dim"),
            (duration_us(diag.backfill_cycle_last_us), "text-strong"),
        ],
    )
    mine = cluster.cost
    if mine is not None:
        said = f"{mine.calls_min:,.0f} calls, {mine.ms_min:,.0f} ms a minute: all that {mine.user} runs"
        yield "you", [(said, "warn" if mine.user != "root" and mine.ms_min > controller_cost.SHARE_MS else "")]


def _ends(control: Control, now: float) -> list[Span]:
    limit = UNKNOWN if control.unkillable_s is None else f"{control.unkillable_s} s"
    spans: list[Span] = [("a step may take ", "text-dim"), (limit, "text-strong"), (" to die  ", "text-dim")]
    if control.dbd is None and control.runaway is None:
        return spans
    if control.runaway is None:
        return [*spans, ("runaway jobs not known", "text-dim")]
    found = f"{len(control.runaway)} runaway" if control.runaway else "none runaway"
    at = "" if control.runaway_at is None else f" at {when(control.runaway_at, None, now)}"
    ago = "" if control.runaway_at is None else f", {duration(now - control.runaway_at)} ago"
    return [*spans, (found, "bad" if control.runaway else ""), (f"{at}{ago}", "text-dim")]

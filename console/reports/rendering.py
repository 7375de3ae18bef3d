"""Renders a report as Markdown that is readable as plain text, and as JSON. Pure.

Every external text is passed through `escaped`: no job name, reason or alert becomes markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from collectors.clock import rfc3339
from console.export.markdown import WIDTH, escaped, item, table
from console.journal.reminders import empty_text
from widgets.units import count, duration, percent, power, when
from widgets.units import stamp as full

from .report import OpenNodes, ReportedAction, ReportedOutage, ShiftReport

VERSION = 1
#: Title of the section of reminders; the hand-over screen replaces it with lines that open things.
UNRESOLVED = "Unresolved"
#: Most items of one list; the rest is a number. Lists start with the most important or the first items.
_MOST = 60
_LONG = 160
_POINT = "- "
#: Fields that are times.
_MOMENTS = frozenset({"since", "until", "made", "at", "ends", "back_at"})


def as_json(report: ShiftReport) -> bytes:
    """One JSON object with a newline at the end: times in UTC, unknown is null."""
    document = {"version": VERSION, **_tamed(msgspec.to_builtins(report))}
    return msgspec.json.encode(document) + b"\n"


def _tamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rfc3339(one) if key in _MOMENTS and not isinstance(one, str) else _tamed(one)
                for key, one in value.items()}  # fmt: skip
    return [_tamed(one) for one in value] if isinstance(value, list | tuple) else value


def as_markdown(report: ShiftReport, width: int = WIDTH) -> str:
    """The report, with list items wrapped at this width."""
    lines = [
        f"# Shift report: {escaped(report.cluster)}{' (DEMO)' if report.demo else ''}", "",
        f"{full(report.since)} to {full(report.until)}, {duration(report.until - report.since)}  ",
        f"made {full(report.made)}" + (f" by {escaped(report.by)}" if report.by else ""),
    ]  # fmt: skip
    if report.limits:
        lines += ["", "What this report does not know:", "", *_items(map(escaped, report.limits))]
    for title, section in (
        ("In short", _short(report)),
        (UNRESOLVED, _reminders(report)),
        ("Still open", _open(report)),
        ("What broke", _broke(report, person=False)),
        ("Taken out of service by people", _broke(report, person=True)),
        ("What was done", _done(report)),
        ("GPU-hours lost", _lost(report)),
        ("Power", _items([_peak(report)])),
        ("XIDs", _xids(report)),
        ("Jobs", _jobs(report)),
        ("Alerts that began", _alerts(report)),
        ("Sources that did not answer", _items(f"{escaped(name)}: for {duration(s)}" for name, s in report.silent)),
    ):
        if section:
            lines += ["", f"## {title}", "", *section]
    return "\n".join(item(one[2:], width=width) if one.startswith(_POINT) else one for one in lines) + "\n"


def _items(texts: Iterable[str], most: int = _MOST) -> list[str]:
    """List items, not yet wrapped."""
    every = list(texts)
    lines = [_POINT + one for one in every[:most]]
    return [*lines, f"{_POINT}and {len(every) - most:,} more"] if len(every) > most else lines


def _cut(text: str | None) -> str:
    """An external text, shortened and escaped."""
    text = text or ""
    return escaped(text if len(text) <= _LONG else f"{text[: _LONG - 1]}…")


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _short(report: ShiftReport) -> list[str]:
    def said(events: Sequence[ReportedOutage] | None, what: str) -> str:
        if events is None:
            return "what broke is unknown: the nodes were never read"
        nodes, back = sum(one.count for one in events), sum(one.back for one in events)
        came = "none is back" if not back else "all are back" if back == nodes else f"{back:,} of them are back"
        return (f"{_plural(nodes, 'node')} {what} in {_plural(len(events), 'event')}, {came}"
                if events else f"no node {what}" if report.watched else f"no node is known to have {what}")  # fmt: skip

    broke = None if report.broke is None else [one for one in report.broke if not one.person]
    lines = [said(broke, "failed")]
    if report.actions is None:
        lines.append("what was done is unknown: the journal cannot be read")
    else:
        people = sorted({one.who for one in report.actions})
        names = ", ".join(people[:5]) + (f" and {len(people) - 5} more" if len(people) > 5 else "")
        lines.append(
            f"{_plural(len(report.actions), 'action')} by {escaped(names)}" if people else "nothing was done from here"
        )
        if unclear := sum(one.open for one in report.actions):
            lines.append(f"{_plural(unclear, 'action')} with unknown outcome")
    if report.open_nodes is not None:
        lines.append(f"{_plural(sum(one.count for one in report.open_nodes), 'node')} out of service at the end")
    if report.losses is not None:
        lines.append(_total(report))
    return _items([*lines, _peak(report)])


def _total(report: ShiftReport) -> str:
    total = sum(one.gpu_hours for one in report.losses or ())
    if not total:
        return "no GPU-hours are known to be lost" if not report.losses_whole else "no GPU-hours were lost"
    return f"{'' if report.losses_whole else 'at least '}{_hours(total)} GPU-hours lost"


def _hours(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _peak(report: ShiftReport) -> str:
    peak = report.peak
    if peak is None:
        return "power peak: unknown"
    of = f", {percent(100 * peak.watts / report.budget_w)} of {power(report.budget_w)}" if report.budget_w else ""
    return f"power peak {power(peak.watts)} at {when(peak.at, now=report.until)} ({escaped(peak.source)}{of})"


def _open(report: ShiftReport) -> list[str]:
    lines: list[str] = []
    if report.open_nodes is None:
        lines.append("nodes: unknown")
    else:
        lines += [_out(one, report.until) for one in report.open_nodes[:_MOST]]
        if (more := sum(one.count for one in report.open_nodes[_MOST:])) > 0:
            lines.append(f"and {_plural(more, 'node')} more (inbox, i)")
    if report.actions is not None:
        lines += [f"no end seen: {_action_text(one, report.until)}" for one in report.actions if one.open]
    if report.open_alerts is None:
        lines.append("alerts: unknown")
    else:
        lines += [
            f"{one.severity} alert not acked: {_cut(one.title)}"
            + (f" ({one.alerts:,} alerts)" if one.alerts > 1 else "") + f", since {when(one.since, now=report.until)}"
            for one in report.open_alerts[:_MOST]
        ]  # fmt: skip
        if len(report.open_alerts) > _MOST:
            lines.append(f"and {len(report.open_alerts) - _MOST:,} more alerts (:alerts)")
    # One ack makes several silences with the same comment.
    lines += dict.fromkeys(
        f"silence ends {when(one.ends, now=report.until)}, in {duration(one.ends - report.until)}: "
        f"{_cut(one.comment)}, by {_cut(one.by) or 'unknown'}"
        for one in report.silences_ending or ()
    )
    if report.silences_ending is None:
        lines.append("silences: unknown")
    if report.jobs_held is None:
        lines.append("held jobs: unknown")
    elif report.jobs_held:
        lines.append(f"{_plural(report.jobs_held, 'job')} held")
    lines += [f"no answer from {escaped(one)}" for one in report.failing]
    return _items(lines or ["nothing"], len(lines) + 1)


def _reminders(report: ShiftReport) -> list[str]:
    if report.left is None:
        return _items(["unknown: the journal or the facts are missing"])
    return _items(map(_cut, report.left or (empty_text(report.left_unknown),)))


def _out(one: OpenNodes, end: float) -> str:
    age = f" for {duration(end - one.since)}" if one.since is not None else ""
    by = f" by {_cut(one.by)}" if one.by else ""
    automation = " (automation)" if one.by and one.who == "automation" else ""
    why = f': "{_cut(one.reason)}"' if one.reason else ": no reason given"
    jobs = f"; {_plural(one.jobs, 'job')} still there" if one.jobs else ""
    many = f" ({one.count:,})" if one.count > 1 else ""
    return f"{escaped(one.nodes)}{many} {', '.join(one.states)}{age}{by}{automation}{why}{jobs}"


def _broke(report: ShiftReport, person: bool) -> list[str]:
    if report.broke is None:
        return [] if person else _items(["unknown: the nodes were never read"])
    lines = [_event(one, report.until) for one in report.broke if one.person is person]
    if not person and report.returned is not None and report.returned[1]:
        names, number = report.returned
        lines.append(f"back in service, out since before: {_cut(names)}" + (f" ({number:,})" if number > 1 else ""))
    if not person and not lines:
        lines.append("nothing that was seen" if report.watched else "unknown: nothing was recorded")
    return _items(lines)


def _event(one: ReportedOutage, end: float) -> str:
    rack = f" in {escaped(one.rack)}" if one.rack and one.count > 1 else ""
    many = f" ({one.count:,})" if one.count > 1 else ""
    by = f" by {_cut(one.by)}" if one.by else ""
    why = f': "{_cut(one.reason)}"' if one.reason else ": no reason given"
    if not one.back:
        came = "still out"
    elif one.back == one.count:
        came = f"back {when(one.back_at, now=end)}"
    else:
        came = f"{one.back:,} back, the last {when(one.back_at, now=end)}; {one.count - one.back:,} still out"
    return f"{when(one.since, now=end)} {escaped(one.nodes)}{many}{rack} {one.state}{by}{why} ({one.kind}); {came}"


def _done(report: ShiftReport) -> list[str]:
    if report.actions is None:
        return _items(["unknown: the journal cannot be read"])
    return _items([_action_text(one, report.until) for one in report.actions] or ["nothing from here"], 200)


def _action_text(one: ReportedAction, end: float) -> str:
    why = f' "{_cut(one.reason)}"' if one.reason else ""
    undone = f" ({one.undone})" if one.undone else ""
    what = f"{_cut(one.who)}: {_cut(one.action)} {_cut(one.targets)}{why}"
    return f"{when(one.at, now=end)} {what}: {_cut(one.result)}{undone}"


def _lost(report: ShiftReport) -> list[str]:
    if report.losses is None:
        return _items(["unknown: the nodes were never read"])
    lines = [_total(report)]
    if report.uncounted:
        lines.append(f"not counted, their GPUs are not known: {_cut(report.uncounted)}")
    rows = [(one.kind, _hours(one.gpu_hours), count(one.nodes)) for one in report.losses]
    return _items(lines) + ["", *table(("cause", "GPU-hours", "nodes"), (False, True, True), rows)] * bool(rows)


def _xids(report: ShiftReport) -> list[str]:
    if report.xids is None:
        return _items(["unknown: no source reports XIDs"])
    return _items(
        f"XID {code} on {_plural(gpus, 'GPU')}: {_cut(nodes)}" + (f"; {_cut(advice)}" if advice else "")
        for code, nodes, gpus, advice in report.xids
    ) or _items(["none seen"])  # fmt: skip


def _jobs(report: ShiftReport) -> list[str]:
    if not report.jobs_known:
        return _items(["unknown: the queue was never read"])
    lines = []
    if (wait := report.wait) is not None:
        gpus = f", {_plural(wait.gpus, 'GPU')}" if wait.gpus is not None else ""
        end = "then it started" if wait.started else "and it waits still"
        lines.append(f"longest wait: {duration(wait.seconds)}, {end}: {_cut(wait.job)} of {_cut(wait.user)}{gpus}")
    if report.lost:
        ways: dict[str, int] = {}
        for one in report.lost:
            ways[one.end] = ways.get(one.end, 0) + 1
        each = ", ".join(f"{number:,} {word}" for word, number in sorted(ways.items()))
        lines.append(f"{_plural(len(report.lost), 'job')} lost a node: {each}")
        lines += [f"{when(one.at, now=report.until)} {_cut(one.job)} of {_cut(one.user)} on {_cut(one.node)}: {one.end}"
                 for one in report.lost]  # fmt: skip
    elif report.watched:
        lines.append("no job was seen to lose a node")
    else:
        lines.append("jobs that lost a node: unknown, nothing was recorded")
    return _items(lines, 30)


def _alerts(report: ShiftReport) -> list[str]:
    if report.alerts is None or not report.watched:
        return _items(["unknown: " + ("no alerts were read" if report.watched else "nothing was recorded")])
    return _items(
        (f"{_cut(name)}" + (f" ×{number:,}" if number > 1 else "") + f", first {when(first, now=report.until)}"
         for name, number, first in report.alerts), 20,
    )  # fmt: skip

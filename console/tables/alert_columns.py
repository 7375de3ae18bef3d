"""Columns of the alerts screen (groups and silences), and lines of the pane between them, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from collectors.jobstate import job_word
from collectors.model import Cluster, Silence
from collectors.nodeset import fold, natural_key
from collectors.nodestate import UNAVAILABLE
from console.alerts.groups import AlertGroup, recommended_action, sort_key
from console.fields.common_cells import Ctx
from console.fields.field import attribute, moment
from console.health.unknown_reasons import why_unknown
from themes.roles import state_look
from widgets.cells import Cell, Span
from widgets.pane import PaneLine
from widgets.table_column import Column, ExportField
from widgets.units import UNKNOWN, count, duration, plural, when

SEVERITY_LOOK = {
    "critical": ("✖ critical", "bad"),
    "warning": ("▲ warning", "warn"),
    "unset": ("? no level", "warn"),
    "info": ("· info", "text-dim"),
}
STATE_LOOK = {
    "taken": ("◐ taken", "good"),
    "silenced": ("‖ silenced", "text-dim"),
    "inhibited": ("- inhibited", "text-dim"),
}
#: Most names that are folded: more take a tenth of a second and are unreadable.
_FOLD_CAP = 2000
_JOBS_SHOWN = 3
_DAY_S = 86400


class SilenceRow(Struct, frozen=True):
    """One silence, and the number of alerts that it suppresses now."""

    silence: Silence
    alerts: int


def folded(names: Sequence[str]) -> str:
    """The names as a node set; only their number where they are too many."""
    return fold(names) if len(names) <= _FOLD_CAP else f"{plural(len(names), 'node')}"


def who(group: AlertGroup) -> str:
    """Who took it, and how much of it where some alerts of it still fire."""
    names = ", ".join(group.acked_by)
    return f"{names} ({group.suppressed} of {len(group.alerts)})" if names and group.state == "active" else names


def _state(group: AlertGroup, _: Ctx) -> Cell:
    return SEVERITY_LOOK[group.severity] if group.state == "active" else STATE_LOOK[group.state]


def _title(group: AlertGroup, _: Ctx) -> Cell:
    return (group.title, "text-strong" if group.state == "active" else "text-dim")


def _since(group: AlertGroup, ctx: Ctx) -> Cell:
    return duration(None if group.since is None else ctx.now - group.since)


def _hit(group: AlertGroup, number: int | None) -> Cell:
    """A figure of its impact: empty where it concerns no node, a dash where unknown."""
    if not group.nodes:
        return ""
    return (UNKNOWN, "text-dim") if number is None else count(number)


def _users(group: AlertGroup, _: Ctx) -> Cell:
    if not group.nodes or group.users is None:
        return _hit(group, None)
    more = f" +{len(group.users) - 2}" if len(group.users) > 2 else ""
    return ", ".join(group.users[:2]) + more


def _said(group: AlertGroup) -> str:
    return f"one of them: {group.summary}" if group.example and group.summary else group.summary


def _length(names: Sequence[str] | None) -> int | None:
    return None if names is None else len(names)


GROUPS: tuple[Column, ...] = (
    Column("state", "state", 11, _state, sort_key, export=(attribute("state"), attribute("severity"))),
    Column("what", "what", 27, _title, lambda g: natural_key(g.title), grow=3, max_width=46,
           identity=lambda g: len(g.nodes) == 1, export=(attribute("what", "title"),)),
    Column("nodes", "nodes", 5, lambda g, _: _hit(g, len(g.nodes)), lambda g: len(g.nodes), align="right",
           descending=True, export=(attribute("nodes"), attribute("unknown_hosts", "unknown"))),
    Column("jobs", "jobs", 4, lambda g, _: _hit(g, _length(g.jobs)), lambda g: _length(g.jobs), align="right",
           priority=1, descending=True, export=(attribute("jobs"),)),
    Column("users", "users", 12, _users, lambda g: _length(g.users), priority=5, grow=1, max_width=22,
           descending=True, export=(attribute("users"),)),
    Column("gpus", "GPUs", 5, lambda g, _: _hit(g, g.gpus), lambda g: g.gpus, align="right", priority=6,
           descending=True, export=(attribute("gpus"),)),
    Column("racks", "racks", 7, lambda g, _: folded(g.racks), lambda g: g.racks, priority=7, grow=1, max_width=16,
           export=(attribute("racks"),)),
    Column("since", "since", 7, _since, lambda g: g.since, align="right", volatile=True, export=(moment("since"),)),
    Column("who", "who has it", 10, lambda g, _: (who(g), "good"), lambda g: g.acked_by, grow=1, max_width=24,
           export=(attribute("taken_by", "acked_by"),)),
    Column("alerts", "alerts", 6, lambda g, _: count(len(g.alerts)), lambda g: len(g.alerts), align="right",
           priority=4, descending=True,
           export=(ExportField("alerts", lambda g, _: len(g.alerts)), attribute("quiet", "suppressed"))),
    Column("summary", "summary", 24, lambda g, _: _said(g), lambda g: g.summary, priority=8, grow=5,
           export=(attribute("summary"),)),
)  # fmt: skip


def _ends(silence: Silence, now: float) -> str:
    if silence.ends is None:
        return UNKNOWN
    # Within a day the time of day is unambiguous.
    day = silence.ends if silence.ends - now < _DAY_S else now
    return f"{duration(silence.ends - now)}, {when(silence.ends, now=day)}"


def _left(one: SilenceRow, ctx: Ctx) -> Cell:
    silence = one.silence
    if silence.state == "pending":
        begins = None if silence.starts is None else silence.starts - ctx.now
        return (f"begins in {duration(begins)}", "text-dim")
    return _ends(silence, ctx.now)


SILENCES: tuple[Column, ...] = (
    Column("state", "state", 9, lambda s, _: ("◐ taken" if s.silence.taken else f"‖ {s.silence.state}", ""),
           export=(attribute("id", "silence.id"), attribute("state", "silence.state"),
               attribute("taken", "silence.taken"))),
    Column("left", "ends in", 13, _left, lambda s: s.silence.ends, volatile=True, grow=1, max_width=24,
           export=(moment("starts", "silence.starts"), moment("ends", "silence.ends"))),
    Column("by", "by", 8, lambda s, _: s.silence.by, lambda s: s.silence.by, grow=1, max_width=16),
    Column("alerts", "keeps quiet", 11, lambda s, _: count(s.alerts), lambda s: s.alerts, align="right", priority=2,
           descending=True, export=(attribute("alerts"),)),
    Column("comment", "comment", 14, lambda s, _: s.silence.comment, lambda s: s.silence.comment, grow=3),
    Column("matchers", "matchers", 14, lambda s, _: " ".join(map(str, s.silence.matchers)), priority=1, grow=4,
           export=(ExportField("matchers", lambda q, _: tuple(map(str, q.silence.matchers))),)),
)  # fmt: skip


def detail(group: AlertGroup, ctx: Ctx, lines: int, links: bool) -> list[PaneLine]:
    """At most `lines` lines about a group, the most important first; nodes are listed in the remaining lines."""
    cluster = ctx.cluster
    made = [PaneLine(((_said(group) or group.title, "text-strong"),))]
    if group.nodes or group.unknown:
        made.append(_field("nodes", _nodes(group, cluster)))
    if group.nodes:
        made.append(_field("jobs", _jobs(group, ctx)))
        made.append(_field("safe", [(recommended_action(group), "")]))
    # One "I'm on it" creates several silences with the same text.
    over = Counter(tuple(_silence(cluster.silences[one], ctx)) for one in group.silences)
    told = [_field("silence", [*spans, (f"  ×{n:,}" if n > 1 else "", "text-dim")]) for spans, n in over.items()]
    made += told if len(told) <= 2 else [told[0], _field("", [(f"and {len(told) - 1:,} others", "text-dim")])]
    made.append(
        _field("runbook", [(group.runbook or "none is given", "accent" if group.runbook else "text-dim")],
               group.runbook if links and group.runbook else None)
    )  # fmt: skip
    names = ", ".join(f"{name} ×{number:,}" if number > 1 else name for name, number in group.names)
    quiet = f"; {group.suppressed:,} of {len(group.alerts):,} kept quiet" if group.suppressed else ""
    made.append(_field("alerts", [(names, ""), (quiet, "text-dim")]))
    room = lines - len(made)
    if room > 2:
        made += _rows(group, ctx, room)
    room = lines - len(made) - 1
    if room > 2:
        made += [PaneLine(()), *_each(group, ctx, room)]
    return made


def _each(group: AlertGroup, ctx: Ctx, room: int) -> list[PaneLine]:
    """One line for each alert, unsilenced first: start, summary, and the labels that differ within the group."""
    alerts = [one for key in group.alerts if (one := ctx.cluster.alerts.get(key)) is not None]
    alerts.sort(key=lambda one: (one.state == "suppressed", one.starts or 0, one.name, one.node or ""))
    alike = set.intersection(*({*one.labels.items()} for one in alerts)) if len(alerts) > 1 else set()
    shown = alerts if len(alerts) <= room else alerts[: room - 1]
    made = []
    for one in shown:
        labels = "  ".join(
            f"{name}={value}" for name, value in one.labels.items()
            if name not in {"alertname", "severity"} and (name, value) not in alike
        )  # fmt: skip
        quiet = "text-dim" if one.state == "suppressed" else ""
        since = UNKNOWN if one.starts is None else when(one.starts, now=ctx.now)
        spans = [(f"{one.name:<20} ", quiet or "text-strong"), (f"{since:<16}", "text-dim")]
        made.append(_field("", [*spans, (f"{one.summary or ''}  ", quiet), (labels, "text-dim")]))
    if len(shown) < len(alerts):
        made.append(_field("", [(f"and {len(alerts) - len(shown):,} more", "text-dim")]))
    return made


def _rows(group: AlertGroup, ctx: Ctx, room: int) -> list[PaneLine]:
    """One line for each node: its state, and Slurm's reason."""
    shown = group.nodes if len(group.nodes) <= room else group.nodes[: room - 1]
    made = []
    for name in shown:
        node = ctx.cluster.nodes.get(name)
        if node is None:
            continue
        glyph, role = state_look(node.display)
        age = "" if node.reason_at is None else f"{duration(ctx.now - node.reason_at)} ago"
        by = " ".join(part for part in ("by" if node.reason_by else "", node.reason_by or "", age) if part)
        told = f"  {node.reason}" + (f"  {by}" if by else "") if node.reason else ""
        made.append(_field("", [(f"{name:<12} ", "text-strong"), (f"{glyph} {node.display:<12}", role), (told, "")]))
    if len(shown) < len(group.nodes):
        made.append(_field("", [(f"and {len(group.nodes) - len(shown):,} more (Enter)", "text-dim")]))
    return made


def _field(label: str, spans: Sequence[Span], link: str | None = None) -> PaneLine:
    return PaneLine(((f"{label:<8} ", "text-dim"), *spans), link=link)


def _nodes(group: AlertGroup, cluster: Cluster) -> list[Span]:
    displays: dict[str, int] = {}
    for name in group.nodes:
        if name in cluster.nodes:
            word = cluster.nodes[name].display
            displays[word] = displays.get(word, 0) + 1
    states = ", ".join(f"{number:,} {word}" for word, number in sorted(displays.items(), key=lambda one: -one[1]))
    spans: list[Span] = []
    if group.nodes:
        size = group.place_size
        of = f" of {size:,}" if size is not None and size > len(group.nodes) else ""
        ill = any(word in UNAVAILABLE for word in displays)
        spans = [(f"{len(group.nodes):,}{of}  ", "text-strong"), (states, "warn" if ill else "")]
        spans.append((f"  {folded(group.nodes)}", "accent"))
        racks = folded(group.racks)
        spans.append((f"  {'rack' if len(group.racks) == 1 else 'racks'} {racks}" if racks else "", "text-dim"))
    if group.unknown:
        why = why_unknown(cluster, "nodes") if "nodes" not in cluster.known else ""
        said = f"{folded(group.unknown)}  {why}" if why else f"Slurm does not know {folded(group.unknown)}"
        spans.append((f"{'  ' if spans else ''}{said}", "warn"))
    return spans


def _jobs(group: AlertGroup, ctx: Ctx) -> list[Span]:
    if group.jobs is None or group.users is None:
        return [("unknown: jobs were never read", "warn")]
    if not group.jobs:
        down = any((node := ctx.cluster.nodes.get(name)) is not None and node.state == "DOWN" for name in group.nodes)
        gone = "; what ran on a node that is down, Slurm has ended or requeued" if down else ""
        return [(f"none there now{gone}", "text-dim")]
    users, jobs = len(group.users), len(group.jobs)
    head = f"{jobs:,} of {group.users[0] if users == 1 else f'{users:,} users'}: "
    rows = [ctx.cluster.jobs[job] for job in group.jobs if job in ctx.cluster.jobs]
    rows.sort(key=lambda job: -(job.gpus or 0))
    told = [
        f"{job.id} {job.user} {job.name} {UNKNOWN if job.gpus is None else f'{job.gpus:,}'} GPUs, "
        + (f"{duration(job.elapsed_s(ctx.now))} done" if job.started is not None else job_word(job))
        for job in rows[:_JOBS_SHOWN]
    ]
    more = f" and {jobs - _JOBS_SHOWN:,} more" if jobs > _JOBS_SHOWN else ""
    return [(head, "text-strong"), ("; ".join(told) + more, "")]


def _silence(silence: Silence, ctx: Ctx) -> list[Span]:
    ends = _ends(silence, ctx.now)
    return [(f"by {silence.by or 'somebody'}, ends in {ends}: ", ""), (silence.comment, "text-strong")]

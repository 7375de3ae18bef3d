"""A vendor ticket for one node in Markdown, with the details that support asks for first. Pure.

Every external text is passed through `escaped`: no reason or job name becomes markup.
"""

from __future__ import annotations

from msgspec import Struct

from collectors.model import Cluster, Gpu, NodeEvent, PastJob, Xid
from console.health import tickets
from console.health.version_drift import drifts
from console.health.xid_policy import Policy
from console.journal.past_actions import PastAction
from widgets.units import UNKNOWN
from widgets.units import stamp as full

from .markdown import escaped, item, table

#: Most lines of a list.
_MOST = 30


class Case(Struct, frozen=True, kw_only=True):
    """The facts about the node."""

    node: str
    cluster: Cluster
    now: float
    policy: Policy
    gpus: tuple[Gpu, ...] = ()
    acts: tuple[PastAction, ...] = ()
    """Past actions on it, newest first."""
    events: tuple[NodeEvent, ...] = ()
    jobs: tuple[PastJob, ...] = ()
    lacks: tuple[str, ...] = ()
    """Facts that could not be read, and why."""


def as_markdown(case: Case) -> str:
    """The ticket."""
    node = case.cluster.nodes.get(case.node)
    checkup = case.cluster.checkups.get(case.node)
    lines = [f"# {escaped(case.node)}: {escaped(_subject(case))}", ""]
    facts = [("cluster", case.cluster.name), ("node", case.node), ("serial number", checkup and checkup.serial),
             ("rack", node and node.rack), ("ticket here", node and _ticket(case)),
             ("state", node and node.display), ("reason", node and node.reason),
             ("since", node and stamp(node.reason_at)),
             ("booted", node and stamp(node.boot_at))]  # fmt: skip
    versions = {} if checkup is None else dict(checkup.versions)
    if node is not None and node.version:
        versions.setdefault("slurmd", node.version)
    facts += [(name, f"{value}{_drift(case, name)}") for name, value in versions.items()]
    if checkup is not None:
        facts += [("NHC", checkup.nhc), ("dcgmi diag", checkup.diag), ("dcgmi health", checkup.health)]
    lines += [item(f"{name}: {escaped(str(value) if value else UNKNOWN)}") for name, value in facts]
    lines += ["", "## GPUs", "", *_gpus(case), "", "## XIDs", "", *_xids(case), "", "## What happened", ""]
    lines += _timeline(case)
    lines += ["", "## Jobs that ended there last", "", *_jobs(case)]
    if case.lacks:
        lines += ["", "## Not known", "", *(item(escaped(one)) for one in case.lacks)]
    return "\n".join([*lines, "", f"written {stamp(case.now)} by wacht"]) + "\n"


def stamp(at: float | None) -> str:
    """A time; unknown when out of a calendar's range."""
    try:
        return UNKNOWN if at is None else full(at)
    except (OverflowError, ValueError, OSError):
        return UNKNOWN


def _subject(case: Case) -> str:
    codes = sorted({one.code for one in _of_node(case)})
    lost = [gpu.index for gpu in case.gpus if gpu.lost]
    parts = [f"XID {', '.join(map(str, codes))}"] if codes else []
    parts += [f"GPU {', '.join(map(str, lost))} lost"] if lost else []
    node = case.cluster.nodes.get(case.node)
    return "; ".join(parts) or (node.reason if node is not None and node.reason else "for inspection")


def _ticket(case: Case) -> str | None:
    node = case.cluster.nodes[case.node]
    found = tickets.ticket_of(node)
    return None if found is None else found.text_at(case.now, tickets.known_since(node, found))


def _drift(case: Case, name: str) -> str:
    usual = next((one for one in drifts(case.cluster) if one.what == name and case.node in one.nodes), None)
    return (
        f" ({usual.majority_count} of {usual.total} of {usual.place} run {usual.majority})" if usual is not None else ""
    )


def _of_node(case: Case) -> list[Xid]:
    found = [one for one in case.cluster.xids.values() if one.node == case.node]
    return sorted(found, key=lambda one: -(one.last_at or 0))


def _gpus(case: Case) -> list[str]:
    if not case.gpus:
        return [item("unknown: no source reports them")]
    rows = [
        (str(gpu.index), gpu.uuid or UNKNOWN, gpu.model or UNKNOWN,
         gpu.lost or _both(gpu.ecc_uncorrected, gpu.ecc_corrected),
         _both(gpu.remapped_uncorrected, gpu.remapped_corrected), str(gpu.xid or "") or UNKNOWN,
         gpu.recovery or UNKNOWN)
        for gpu in case.gpus
    ]  # fmt: skip
    heads = ("slot", "UUID", "model", "ECC u/c", "remapped u/c", "last XID", "driver asks for")
    return table(heads, (True, *[False] * 6), rows)


def _both(first: int | None, second: int | None) -> str:
    return f"{UNKNOWN if first is None else first}/{UNKNOWN if second is None else second}"


def _xids(case: Case) -> list[str]:
    if "xids" not in case.cluster.known:
        return [item("unknown: no source reports them")]
    lines = []
    for one in _of_node(case)[:_MOST]:
        advice = case.policy.step(one.code, one.severity)
        gpu = UNKNOWN if one.gpu is None else str(one.gpu)
        often = "once" if one.count == 1 else f"{one.count or UNKNOWN} times"
        seen = f"first {stamp(one.first_at)}, last {stamp(one.last_at)}, {often}"
        lines.append(item(f"XID {one.code} on GPU {gpu}: {seen}" + (f"; {escaped(advice)}" if advice else "")))
    return lines or [item("none is known")]


def _timeline(case: Case) -> list[str]:
    found: list[tuple[float, str]] = []
    for event in case.events:
        why = f': "{escaped(event.reason)}"' if event.reason else ""
        until = f" until {stamp(event.ended)}" if event.ended else ", and still"
        found.append((event.began, f"Slurm: {escaped(event.state)}{why}{until}"))
    for act in case.acts:
        if act.at is not None and act.took_place:
            why = f': "{escaped(act.reason)}"' if act.reason else ""
            found.append((act.at, f"{escaped(act.who)}: {escaped(act.action)}{why}"))
    found.sort(key=lambda one: -one[0])
    lines = [item(f"{stamp(at)} {text}") for at, text in found[:_MOST]]
    return lines or [item("nothing is known")]


def _jobs(case: Case) -> list[str]:
    rows = [
        (one.id, one.user or UNKNOWN, one.state, _both(one.exit_code, one.signal).replace("/", ":"),
         stamp(one.ended))
        for one in case.jobs[:_MOST]
    ]  # fmt: skip
    if not rows:
        return [item("none is known")]
    return table(("job", "user", "state", "exit", "ended"), (False,) * 5, rows)

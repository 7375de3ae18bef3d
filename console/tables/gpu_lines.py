"""The lists of the GPU screen and the grid of one rack, as lines. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.model import HOT_C, Cluster, Gpu, Load, Xid
from collectors.nodeset import fold
from console.health.inconsistencies import xids_by_node
from console.health.xid_policy import Policy, preceding_xid
from console.plant.gpus import IdleJob
from themes.roles import heat_role, state_look
from widgets.cells import Span
from widgets.map_health import MapHealth
from widgets.map_measures import COLD_C
from widgets.pane import PaneLine
from widgets.units import UNKNOWN, degrees, duration, percent, plural, power

#: Ends of the scale of each measure: idle and full, cool and too hot. A GPU's own memory size and power limit replace
#: those of an H100 given here.
_SCALES: dict[str, tuple[str, float, float]] = {
    "util": ("util_pct", 0.0, 100.0),
    "memory": ("memory_used_mb", 0.0, 81_559.0),
    "temp": ("temp_c", COLD_C, HOT_C),
    "power": ("power_w", 50.0, 700.0),
}
#: Reasons for reduced clocks that are a fault of cooling or power. A power cap is not: a busy GPU draws what it may.
_SLOWED = frozenset({"thermal, hardware", "thermal, software", "power brake", "hardware slowdown"})


def xid_lines(found: Sequence[Xid], cluster: Cluster, policy: Policy, now: float) -> list[PaneLine]:
    """XIDs, newest first: node, GPU, count, what the policy says, and whether the node is out already."""
    lines = []
    by_node = xids_by_node(cluster)
    for xid in found:
        node = cluster.nodes.get(xid.node)
        advice = policy.advice_for(xid.code, xid.severity)
        glyph, role = state_look(node.display) if node is not None else ("?", "state-unknown")
        word = advice.action if advice is not None else "no advice"
        before = preceding_xid(xid, by_node.get(xid.node, ()))
        often = f" ×{xid.count}" if xid.count and xid.count > 1 else ""
        since = () if xid.last_at is None else ((duration(now - xid.last_at), "text-dim"),)
        gpu = "" if xid.gpu is None else f" GPU {xid.gpu}"
        lines.append(
            PaneLine(
                [
                    (f"{glyph} ", role),
                    (f"{xid.node}{gpu} ", ""),
                    (f"XID {xid.code}{often}", "bad"),
                    (f" after {before.code}" if before is not None else "", "bad"),
                    (f" {xid.severity}" if xid.severity is not None else "", "text-strong"),
                    (f"  {word}", "text-dim"),
                ],
                since,
                xid.key,
            )
        )
    return lines


def _where(one: IdleJob) -> str:
    """Folding is slow; where the whole job idles, Slurm has already folded its nodes."""
    return one.job.nodes if one.job.nodes and len(one.nodes) == one.job.node_count else fold(one.nodes)


def idle_lines(found: Sequence[IdleJob], now: float) -> list[PaneLine]:
    """Jobs that hold idle GPUs, with their users."""
    return [
        PaneLine(
            [
                (f"{one.job.id} ", "text-strong"),
                (f"{one.job.user} {one.job.name}  ", ""),
                (f"{one.idle} of {one.held} idle", "warn"),
                (f"  {_where(one)}", "text-dim"),
            ],
            ((duration(one.job.elapsed_s(now)), "text-dim"),),
            one.job.id,
        )
        for one in found
    ]


def hottest_lines(found: Sequence[Load]) -> list[PaneLine]:
    """Nodes ordered by their hottest GPU."""
    return [
        PaneLine(
            [(f"{load.node}  ", ""), (degrees(load.temp_c), "bad" if (load.temp_c or 0) > HOT_C else "text-strong")],
            ((power(load.gpu_power_w if load.gpu_power_w is not None else load.power_w), "text-dim"),),
            load.node,
        )
        for load in found
    ]


def top_power_lines(found: Sequence[Load]) -> list[PaneLine]:
    """Nodes ordered by power."""
    return [
        PaneLine(
            [
                (f"{load.node}  ", ""),
                (power(load.gpu_power_w if load.gpu_power_w is not None else load.power_w), "text-strong"),
                (" GPUs" if load.gpu_power_w is not None else "", "text-dim"),
            ],
            ((percent(load.gpu_util_pct, 0), "text-dim"),),
            load.node,
        )
        for load in found
    ]


def map_cursor_line(cluster: Cluster, name: str | None) -> PaneLine:
    """The node under the map's cursor, as text."""
    node = cluster.nodes.get(name or "")
    if node is None:
        return PaneLine(())
    glyph, role = state_look(node.display)
    load = cluster.loads.get(node.name)
    spans: list[Span] = [(f" {node.name}  ", "text-strong"), (f"{glyph} {node.display}", role)]
    spans.append((f"  {node.rack}" if node.rack else "", "text-dim"))
    held = UNKNOWN if node.gpus_alloc is None else str(node.gpus_alloc)
    spans.append((f"  {held}/{UNKNOWN if node.gpus is None else node.gpus} GPUs", ""))
    if load is not None:
        spans.append((f"  {percent(load.gpu_util_pct, 0)}  {degrees(load.temp_c)}  {power(load.power_w)}", ""))
    users = sorted({job.user for ref in cluster.jobs_on.get(node.name, ()) if (job := cluster.jobs.get(ref))})
    spans.append((f"  {', '.join(users)}" if users else "", ""))
    spans.append((f"  {node.reason}" if node.reason else "", "text-dim"))
    return PaneLine(spans)


def map_rack_line(name: str, health: MapHealth) -> PaneLine:
    """The rack under the cursor of a map of racks, as text."""
    rack, load = health.racks.get(name), health.loads.get(name)
    spans: list[Span] = [(f" {name or 'no rack'}  ", "text-strong")]
    if rack is not None:
        glyph, role = state_look(rack.display)
        if rack.faults:
            spans.append((f"{plural(rack.faults, 'node')} at fault  ", rack.level or ""))
        elif rack.level is not None:
            spans.append(("faulty as a whole  ", rack.level))
        if not rack.hidden:
            spans.append((f"{glyph} {rack.display}", role))
    if load is not None:
        spans.append((f"  mean {percent(load.gpu_util_pct, 0)}  {power(load.power_w)} a node", ""))
        spans.append((f"  hottest {degrees(load.temp_c)}", "warn" if (load.temp_c or 0) > HOT_C else ""))
    return PaneLine(spans)


def rack_lines(names: Sequence[str], cluster: Cluster) -> list[PaneLine]:
    """One line for each node with its node-level values, where no source has its GPUs."""
    return [map_cursor_line(cluster, name)._replace(key=name) for name in names if name in cluster.nodes]


def gpu_grid(
    names: Sequence[str], found: Mapping[str, tuple[Gpu, ...]], cluster: Cluster, measure: str
) -> list[PaneLine]:
    """One line for each node, one cell for each GPU, with the value in ten steps of one hue; missing values are a dash,
    never 0. ▲ marks a GPU that throttles, and where temperature is shown one that is too hot."""
    field, low, most = _SCALES.get(measure, _SCALES["util"])
    lines = []
    for name in names:
        node = cluster.nodes.get(name)
        glyph, role = state_look(node.display) if node is not None else ("?", "state-unknown")
        spans: list[Span] = [(f"{glyph} ", role), (f"{name}  ", "text-strong")]
        for gpu in found.get(name, ()):
            value = getattr(gpu, field)
            if gpu.xid is not None or gpu.lost:
                spans.append((f"{'✖' + str(gpu.xid or ''):>4} ", "bad"))
            elif value is None:
                spans.append((f"{UNKNOWN:>4} ", "text-dim"))
            else:
                high = _most(gpu, measure) or most
                step = int(max(0.0, min(9.0, (value - low) / (high - low) * 10)))
                shown = f"{value / 1024:>3.0f}G" if measure == "memory" else f"{value:>4.0f}"
                limited = not _SLOWED.isdisjoint(gpu.throttle or ()) or (measure == "temp" and value > HOT_C)
                spans.append((shown, "warn" if limited else heat_role(step)))
                spans.append(("▲" if limited else " ", "warn"))
        if not found.get(name):
            spans.append(("no sample", "text-dim"))
        users = sorted({job.user for ref in cluster.jobs_on.get(name, ()) if (job := cluster.jobs.get(ref))})
        spans.append((f" {', '.join(users)}", "text-dim"))
        lines.append(PaneLine(spans, (), name))
    return lines


def _most(gpu: Gpu, measure: str) -> float | None:
    """The upper end of a GPU's own scale, if known: its memory, its power limit."""
    if measure == "memory":
        return gpu.memory_mb
    return gpu.power_limit_w if measure == "power" else None

"""The plan of a roll-out: which nodes return in which wave and step, and when the next step may start. Pure.

First a canary rack, then a tenth, then the rest, a quarter at a time. A step of a wave holds as many nodes as the power
ramp allows. `console.gate.rollout` waits between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from collectors.model import Cluster, Node
from console.actions.options import Guard, Options
from console.health.inconsistencies import SAMPLE_S, fresh_facts

from .action import Action
from .plan import Wave, Waves

#: Percent of all nodes in the wave after the canary, and in each later wave.
SECOND_PCT, REST_PCT = 10, 25
#: Quantile of the power of busy nodes of a kind, used as the power of one node.
_MOST = 0.9
MINUTE = 60.0

Kind = tuple[str | None, int | None, int | None]


def plan_waves(
    action: Action,
    acting: Mapping[str, Node],
    cluster: Cluster,
    options: Options,
    guard: Guard,
    now: float,
    mono: float,
) -> Waves | None:
    """The waves of this action on these nodes, None where it goes in one. Raises ValueError for a canary of none."""
    asked = options.waves or options.canary is not None or options.redrain
    if not action.returns or not (asked or len(acting) >= guard.wave_from):
        return None
    canary, first = _canary(acting, options.canary)
    node_kw, source = node_power(acting, cluster, guard.node_kw, now, mono)
    named = [(canary, first)]
    chosen = frozenset(first)
    rest = [name for name in acting if name not in chosen]
    second = rest[: _share(len(acting), SECOND_PCT)]
    rest = rest[len(second) :]
    step = _share(len(acting), REST_PCT)
    if second:
        named.append((f"{SECOND_PCT} %", second))
    parts = [rest[start : start + step] for start in range(0, len(rest), step)]
    named += [("the rest" if len(parts) == 1 else f"the rest {at} of {len(parts)}", part)
              for at, part in enumerate(parts, 1)]  # fmt: skip
    return Waves(
        waves=tuple(Wave(name=name, steps=steps(nodes, node_kw, guard.ramp_kw_min)) for name, nodes in named),
        node_kw=node_kw, source=source, ramp_kw_min=guard.ramp_kw_min, pause_s=guard.wave_pause_s,
        max_failed_pct=guard.wave_failed_pct, wait_s=guard.wave_wait_s, redrain=options.redrain,
    )  # fmt: skip


def _share(count: int, pct: int) -> int:
    """`pct` percent of `count`, rounded up, at least 1."""
    return max(1, -(-count * pct // 100))


def _canary(acting: Mapping[str, Node], rack: str | None) -> tuple[str, list[str]]:
    """The first wave: the named rack, else the rack of the first node; a tenth where that rack holds all nodes or is
    unknown."""
    first = next(iter(acting.values()))
    chosen = rack or first.rack
    nodes = [name for name, node in acting.items() if node.rack == chosen] if chosen else []
    if rack is not None and not nodes:
        raise ValueError(f"the canary: none of the nodes is in rack {rack}")
    if chosen and len(nodes) < len(acting):
        return f"canary {chosen}", nodes
    return "canary", list(acting)[: _share(len(acting), SECOND_PCT)]


def node_power(
    acting: Mapping[str, Node], cluster: Cluster, node_kw: float, now: float, mono: float
) -> tuple[dict[str, float], str]:
    """Node to its power (kW) under load, and the source: the configured figure, else busy nodes of its kind."""
    if node_kw:
        return dict.fromkeys(acting, node_kw), "node_kw"
    busy: dict[Kind, list[float]] = {}
    for name, load in cluster.loads.items() if fresh_facts(cluster, now, mono).loads else ():
        node = cluster.nodes.get(name)
        late = load.sampled_at is None or abs(now - load.sampled_at) > SAMPLE_S
        if node is not None and not late and load.power_w is not None and cluster.jobs_on.get(name):
            busy.setdefault(_kind(node), []).append(load.power_w)
    usual = {kind: sorted(watts)[int(_MOST * (len(watts) - 1))] / 1000 for kind, watts in busy.items()}
    found = {name: kw for name, node in acting.items() if (kw := usual.get(_kind(node), 0.0)) > 0}
    meter = cluster.power.source if cluster.power is not None else "telemetry"
    return found, f"{meter}: what busy nodes of their kind draw"


def _kind(node: Node) -> Kind:
    return node.gpu_type, node.gpus, node.cpus


def steps(nodes: Sequence[str], node_kw: Mapping[str, float], ramp: float) -> tuple[tuple[str, ...], ...]:
    """Nodes in as few steps as the ramp allows, in order. A node above the ramp is a step of its own."""
    if not ramp:
        return (tuple(nodes),)
    made: list[list[str]] = []
    drawn = inf
    for node in nodes:
        kw = node_kw.get(node, 0.0)
        if drawn + kw > ramp:
            made.append([])
            drawn = 0.0
        made[-1].append(node)
        drawn += kw
    return tuple(tuple(step) for step in made)


def earliest_start(sent: Sequence[tuple[float, float]], kw: float, ramp: float) -> float:
    """The earliest time for a step of `kw` after the steps `sent`, pairs of time and kW.

    A step counts for a minute; a step above the ramp counts for as long as the ramp needs for it.
    """
    ends = sorted((at + MINUTE * max(1.0, drawn / ramp), drawn) for at, drawn in sent)
    if sum(drawn for _, drawn in ends) + kw <= ramp or not ends:
        return -inf
    for at, (end, _) in enumerate(ends):
        if sum(drawn for _, drawn in ends[at + 1 :]) + kw <= ramp:
            return end
    return ends[-1][0]

"""A mass return in waves: which nodes come back in which wave, what is sent in one go, when the next may begin. Pure.

First one rack, the canary; then a tenth; then the rest, a quarter at a time. Within a wave so many nodes go in one step
as the power ramp allows. `console.gate.rollout` waits between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from collectors.model import Cluster, Node
from console.health.inconsistencies import SAMPLE_S, fresh_facts

from .plan import Guard, Options, Wave, Waves

#: Actions that put nodes to work again: what can come in waves.
RETURNS = frozenset({"resume", "undrain"})
#: Percent of all that come after the canary, and each time after that.
SECOND_PCT, REST_PCT = 10, 25
#: What a busy node of a kind draws is what nine tenths of those stay below.
_MOST = 0.9
MINUTE = 60.0

Kind = tuple[str | None, int | None, int | None]


def planned(
    action: str, acting: Mapping[str, Node], cluster: Cluster, options: Options, guard: Guard, now: float, mono: float
) -> Waves | None:
    """The waves of this action on these nodes, None where it goes in one. Raises ValueError for a canary of none."""
    asked = options.waves or options.canary is not None or options.redrain
    if action not in RETURNS or not (asked or len(acting) >= guard.wave_from):
        return None
    canary, first = _canary(acting, options.canary)
    node_kw, source = draws(acting, cluster, guard.node_kw, now, mono)
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
        most_failed_pct=guard.wave_failed_pct, wait_s=guard.wave_wait_s, drains=options.redrain,
    )  # fmt: skip


def _share(count: int, pct: int) -> int:
    """So many of them, never none."""
    return max(1, -(-count * pct // 100))


def _canary(acting: Mapping[str, Node], rack: str | None) -> tuple[str, list[str]]:
    """The first wave: the named rack, else that of the first node; a tenth where that is all of it, or has no rack."""
    first = next(iter(acting.values()))
    chosen = rack or first.rack
    nodes = [name for name, node in acting.items() if node.rack == chosen] if chosen else []
    if rack is not None and not nodes:
        raise ValueError(f"the canary: none of the nodes is in rack {rack}")
    if chosen and len(nodes) < len(acting):
        return f"canary {chosen}", nodes
    return "canary", list(acting)[: _share(len(acting), SECOND_PCT)]


def draws(
    acting: Mapping[str, Node], cluster: Cluster, node_kw: float, now: float, mono: float
) -> tuple[dict[str, float], str]:
    """Node to the kW that it may draw when it works, and where that is from: the configured figure, else what nodes of
    its kind draw that are busy now."""
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
    """These in as few steps as the ramp allows, in order; one that alone is more than that goes alone."""
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


def may_begin(sent: Sequence[tuple[float, float]], kw: float, ramp: float) -> float:
    """The moment from which a step of so many kW may be sent after those `sent`, pairs of moment and kW.

    What was sent counts for a minute; what was more than the ramp by itself, for as long as the ramp takes for it.
    """
    ends = sorted((at + MINUTE * max(1.0, drawn / ramp), drawn) for at, drawn in sent)
    if sum(drawn for _, drawn in ends) + kw <= ramp or not ends:
        return -inf
    for at, (end, _) in enumerate(ends):
        if sum(drawn for _, drawn in ends[at + 1 :]) + kw <= ramp:
            return end
    return ends[-1][0]

"""Ports and file systems of a node, as lines of its inspection: one for each adapter, one for all mounts. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.model import Attached, Cluster, Port
from console.plant import fabric
from widgets.cells import Span
from widgets.pane import PaneLine
from widgets.units import duration, plural

from .fabric_columns import wrong_spans
from .inspection_lines import fact


def lines(attached: Attached | None, cluster: Cluster, node: str, now: float) -> list[PaneLine]:
    """From the node's own readings; until these arrive, from the sums of the machine. [] where neither has any."""
    ports = (attached.ports if attached is not None else ()) or tuple(fabric.ports_by_node(cluster).get(node, ()))
    # Faults are first: on a small screen the rest is below the edge.
    ordered = sorted(ports, key=lambda port: not port.wrong)
    mounts = _mounts(attached, cluster, node)
    return [
        *([fact("mounts", *mounts)] if mounts else []),
        *(_port(port, "Fabric" if at == 0 else "", now) for at, port in enumerate(ordered)),
    ]


def _port(port: Port, label: str, now: float) -> PaneLine:
    """`mlx5_0  InfiniBand  400 Gb/s  ● well   down 2× in 1 h   leaf-R03 12`."""
    spans: list[Span] = [(f"{fabric.device(port):<9} ", "text-strong"), (f"{port.link or '':<11} ", "text-dim")]
    spans += [(f"{fabric.speed(port.speed_gbps):>8}  ", ""), *wrong_spans(port)]
    if port.state and not port.up:
        spans.append((f" ({port.state})", "text-dim"))
    if port.usual_gbps is not None and "slow" in port.wrong:
        spans.append((f"   usual {fabric.speed(port.usual_gbps)}", "warn"))
    if port.downed:
        spans.append((f"   down {port.downed}× in 1 h", ""))
    if port.errors:
        spans.append((f"   {plural(port.errors, 'error')} in 1 h", "warn" if "errors" in port.wrong else "text-dim"))
    if port.switch:
        spans.append((f"   {port.switch} {port.switch_port or ''}".rstrip(), "text-dim"))
    if port.up is None and port.sampled_at is not None:
        spans.append((f"   last sample {duration(now - port.sampled_at)} ago", "warn"))
    return fact(label, *spans)


def _mounts(attached: Attached | None, cluster: Cluster, node: str) -> list[Span]:
    """`● /home   ✖ /scratch hangs   ▼ /apps missing`."""
    told: Mapping[str, bool] = attached.mounts if attached is not None else {}
    hung = {one.name for one in cluster.storage.values() if node in one.hung}
    missing = {one.name for one in cluster.storage.values() if node in one.missing} - told.keys()
    spans: list[Span] = []
    for name in sorted({*told, *hung, *missing}):
        spans += [("   ", "")] if spans else []
        if name in missing:
            spans.append((f"▼ {name} missing", "warn"))
        elif not told.get(name, False):
            spans.append((f"✖ {name} hangs", "bad"))
        else:
            spans.append((f"● {name}", "good"))
    return spans

"""What is said of a node's NVLink domain on its screen, as lines. Pure."""

from __future__ import annotations

from collectors.model import Cluster, Tray
from console.plant import nvlink_domains
from widgets.cells import Span
from widgets.pane import PaneLine
from widgets.units import plural

_ROLES = {"healthy": "good", "up": "good", "degraded": "warn", None: "text-dim"}


def word(text: str | None) -> Span:
    """A word of the fabric or of IMEX, painted by how bad it is; a dash for one that nobody tells."""
    return ("—" if text is None else text, _ROLES.get(text, "bad"))


def node_lines(name: str, cluster: Cluster) -> list[PaneLine]:
    """`Domain R07 clique 3: 15 of 18 trays usable, fabric healthy, IMEX up`, and a line for what is wrong with this
    tray; none for a node that is in no domain."""
    one = nvlink_domains.state_of_node(name, cluster)
    tray = cluster.trays.get(name)
    if one is None:
        return [] if tray is None else [PaneLine([("domain         ", "text-dim"), *_tray(tray)])]
    clique = f" clique {tray.clique}" if tray is not None and tray.clique is not None else ""
    spans: list[Span] = [
        ("domain         ", "text-dim"),
        (f"{one.name}{clique}", "text-strong"),
        (f": {len(one.usable)} of {plural(len(one.nodes), 'tray')} usable", ""),
        (", fabric ", "text-dim"),
        word(one.fabric),
        (", IMEX ", "text-dim"),
        word(one.imex),
    ]
    lines = [PaneLine(spans)]
    if one.split:
        lines.append(
            PaneLine([("", ""), (f"               it fell apart: trays {nvlink_domains.cliques_text(one)}", "bad")])
        )
    if tray is not None and (tray.fabric not in {None, "healthy"} or tray.imex not in {None, "up"}):
        lines.append(PaneLine([("               this tray: ", "text-dim"), *_tray(tray)]))
    return lines


def _tray(tray: Tray) -> list[Span]:
    why = f" ({', '.join(tray.wrong)})" if tray.wrong else ""
    return [("fabric ", "text-dim"), word(tray.fabric), (why, ""), (", IMEX ", "text-dim"), word(tray.imex)]

"""Columns of switches and of faulty ports, as data."""

from __future__ import annotations

from collectors.model import Port
from collectors.nodeset import fold, natural_key
from console.fields.common_cells import Ctx, state_cell
from console.fields.field import attribute
from console.plant.fabric import PORT_PROBLEMS, SwitchRow, device, place_of_port, speed
from widgets.cells import Cell, Span
from widgets.table_column import Column, ExportField, always_identity
from widgets.units import UNKNOWN, count


def _name(row: SwitchRow, _: Ctx) -> Cell:
    return row.name or "no rack" if row.kind == "switch" else f"rack {row.name}" if row.name else "no rack"


def _state(row: SwitchRow, _: Ctx) -> Cell:
    worst = next((word for word in PORT_PROBLEMS if row.count(word)), None)
    if worst is None:
        return ("● well", "good")
    glyph, role = PORT_PROBLEMS[worst]
    return (f"{glyph} {worst}", role)


def _number(word: str) -> Column:
    def cell(row: SwitchRow, _: Ctx) -> Cell:
        number = row.count(word)
        return (count(number), PORT_PROBLEMS[word][1] if number else "text-dim")

    return Column(word, word, max(4, len(word)), cell, lambda row: row.count(word), align="right", descending=True,
                  priority=("down", "slow", "flapping", "errors").index(word),
                  export=(ExportField(word, lambda row, _: row.count(word)),))  # fmt: skip


SWITCHES: tuple[Column, ...] = (
    Column("name", "switch", 12, _name, lambda row: natural_key(row.name), grow=1, max_width=28,
           identity=always_identity, export=(attribute("switch", "name"), attribute("kind"))),
    Column("state", "state", 10, _state, lambda row: -len(row.unhealthy),
           export=(ExportField("ports_not_well", lambda row, _: len(row.unhealthy)),)),
    Column("ports", "ports", 6, lambda row, _: count(row.ports), lambda row: row.ports, align="right", priority=6,
           descending=True, export=(attribute("ports"),)),
    _number("down"),
    _number("slow"),
    _number("flapping"),
    _number("errors"),
    Column("nodes", "nodes hit", 9, lambda row, _: count(len(row.nodes)), lambda row: len(row.nodes), align="right",
           priority=2, descending=True, export=(ExportField("nodes_hit", lambda row, _: len(row.nodes)),)),
    Column("jobs", "jobs hit", 8, lambda row, _: count(row.jobs), lambda row: row.jobs, align="right", priority=3,
           descending=True, export=(attribute("jobs_hit", "jobs"),)),
    Column("where", "nodes", 14, lambda row, _: fold(row.nodes), priority=5, grow=2, max_width=60,
           export=(attribute("nodes"),)),
)  # fmt: skip


def wrong_spans(port: Port) -> list[Span]:
    """The faults of a port, each a glyph and a word; "well" where there is none."""
    if not port.wrong:
        return [("● well", "good")] if port.up else [("? unknown", "text-dim")]
    spans: list[Span] = []
    for word in port.wrong:
        glyph, role = PORT_PROBLEMS.get(word, ("▲", "warn"))
        spans += [("  ", "")] if spans else []
        spans.append((f"{glyph} {word}", role))
    return spans


def _node_state(port: Port, ctx: Ctx) -> Cell:
    node = ctx.cluster.nodes.get(port.node)
    return (UNKNOWN, "text-dim") if node is None else state_cell(node)


def _jobs(port: Port, ctx: Ctx) -> Cell:
    ids = ctx.cluster.jobs_on.get(port.node, ())
    users = dict.fromkeys(ctx.cluster.jobs[job].user for job in ids if job in ctx.cluster.jobs)
    return f"{len(ids)} {', '.join(users)}".rstrip() if ids else ""


def _where(port: Port, ctx: Ctx) -> Cell:
    name = place_of_port(port, ctx.cluster)[1]
    return f"{name} {port.switch_port}" if port.switch_port else name or UNKNOWN


PORTS: tuple[Column, ...] = (
    Column("node", "node", 10, lambda port, _: port.node, lambda port: natural_key(port.node), grow=1, max_width=24,
           identity=always_identity),
    Column("device", "port", 8, lambda port, _: device(port), lambda port: natural_key(port.device), grow=1,
           max_width=18, identity=always_identity, export=(attribute("device"), attribute("port"), attribute("link"))),
    Column("wrong", "state", 20, lambda port, _: wrong_spans(port), lambda port: port.wrong, grow=1, max_width=32,
           export=(attribute("wrong"), attribute("up"))),
    Column("speed", "speed", 9, lambda port, _: speed(port.speed_gbps), lambda port: port.speed_gbps, align="right",
           priority=2, export=(attribute("speed_gbps"),)),
    Column("usual", "usual", 9, lambda port, _: speed(port.usual_gbps), lambda port: port.usual_gbps, align="right",
           priority=4, export=(attribute("usual_gbps"),)),
    Column("downed", "down in 1 h", 11, lambda port, _: count(port.downed), lambda port: port.downed, align="right",
           priority=5, descending=True, export=(attribute("downed"),)),
    Column("errors", "errors", 8, lambda port, _: count(port.errors), lambda port: port.errors, align="right",
           priority=7, descending=True, export=(attribute("errors"),)),
    Column("word", "it says", 14, lambda port, _: port.state or "", lambda port: port.state, priority=6, grow=1,
           max_width=24, export=(attribute("state"),)),
    Column("switch", "switch", 10, _where, priority=8, grow=1, max_width=24,
           export=(attribute("switch"), attribute("switch_port"))),
    Column("slurm", "node is", 13, _node_state, priority=3),
    Column("jobs", "jobs", 12, _jobs, priority=1, grow=2, max_width=40, volatile=True),
)  # fmt: skip

"""The columns of NVLink domains, as data."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.model import Cluster, Tray
from collectors.nodeset import fold, natural_key
from console.fields.common_cells import Ctx, state_cell
from console.fields.field import attribute
from console.plant import nvlink_domains
from console.plant.nvlink_domains import DomainState, cliques_text
from widgets.bars import gauge
from widgets.cells import Cell, Span, pad, spans_of
from widgets.pane import PaneLine
from widgets.table_column import Column, ExportField, always_identity
from widgets.units import UNKNOWN, count, plural

_BAR = 6
_ROLES = {"healthy": "good", "up": "good", "degraded": "warn", None: "text-dim"}


def word(text: str | None) -> Span:
    """A state of the fabric or of IMEX, coloured by severity; a dash where unknown."""
    return ("—" if text is None else text, _ROLES.get(text, "bad"))


def _name(one: DomainState, _: Ctx) -> Cell:
    sign = ("✖ ", "bad") if one.split or one.fabric == "unhealthy" else ("▲ ", "warn") if one.broken else ("  ", "")
    return [sign, (one.name, "text-strong")]


def _usable(one: DomainState, _: Ctx) -> Cell:
    part = len(one.usable) / len(one.nodes) if one.nodes else None
    return [(f"{len(one.usable):>2}/{len(one.nodes)} ", ""), *gauge(part, _BAR)]


def _ready(one: DomainState, _: Ctx) -> Cell:
    few = one.gpus_ready is not None and one.gpus is not None and one.gpus_ready < one.gpus
    return (f"{count(one.gpus_ready)}/{count(one.gpus)}", "warn" if few else "")


def _clique(one: DomainState, _: Ctx) -> Cell:
    """`3`, or `split 14+4`; the details below the table list the trays."""
    if len(one.cliques) < 2:
        return (cliques_text(one) or UNKNOWN, "" if one.cliques else "text-dim")
    sizes = "+".join(str(len(part.nodes)) for part in one.cliques)
    return (f"split {sizes}", "bad") if one.split else (f"{one.cliques[0].id} ({sizes})", "warn")


def jobs_on(one: DomainState, ctx: Ctx) -> int | None:
    """Number of jobs that hold one of its trays; None where jobs are unknown."""
    if "jobs" not in ctx.cluster.known:
        return None
    held = ctx.cluster.jobs_on
    return len({job for node in one.nodes for job in held.get(node, ())})


DOMAINS: tuple[Column, ...] = (
    Column("name", "domain", 8, _name, lambda d: natural_key(d.name), grow=1, max_width=24, identity=always_identity),
    Column("usable", "usable", 12, _usable, lambda d: len(d.usable),
           export=(ExportField("usable", lambda d, _: len(d.usable)), ExportField("trays", lambda d, _: len(d.nodes)))),
    Column("free", "free", 4, lambda d, _: count(len(d.free)), lambda d: len(d.free), align="right", priority=2,
           descending=True, export=(ExportField("free", lambda d, _: len(d.free)),)),
    Column("largest_job", "fits", 4, lambda d, _: count(d.largest_job), lambda d: d.largest_job, align="right",
           priority=3, descending=True,
           export=(attribute("fits", "largest_job"), attribute("fits_now", "largest_job_now"))),
    Column("ready", "GPUs", 7, _ready, lambda d: d.gpus_ready, align="right", priority=4,
           export=(attribute("gpus_ready"), attribute("gpus"))),
    Column("clique", "clique", 10, _clique, lambda d: -len(d.cliques), priority=1, grow=1, max_width=20,
           export=(ExportField("cliques", lambda d, _: [part.id for part in d.cliques]), attribute("split"))),
    Column("fabric", "fabric", 9, lambda d, _: word(d.fabric), lambda d: d.fabric, priority=1,
           export=(attribute("fabric"), attribute("wrong", "problems"), attribute("ill", "unhealthy"))),
    Column("imex", "IMEX", 8, lambda d, _: word(d.imex), lambda d: d.imex, priority=2,
           export=(attribute("imex"), attribute("imex_ill", "imex_down"))),
    Column("jobs", "jobs", 4, lambda d, c: count(jobs_on(d, c)), align="right", priority=5, volatile=True,
           export=(ExportField("jobs", jobs_on),)),
    Column("rack", "rack", 6, lambda d, _: d.rack or UNKNOWN, lambda d: d.rack, priority=8, max_width=12, grow=1,
           export=(attribute("rack"),)),
    Column("where", "trays", 14, lambda d, _: fold(d.nodes), priority=6, grow=2, max_width=40,
           export=(attribute("nodes"),)),
    Column("by", "said by", 14, lambda d, _: (d.said_by, "text-dim"), lambda d: d.said_by, priority=9,
           export=(attribute("said_by"),)),
)  # fmt: skip


def node_domain_lines(name: str, cluster: Cluster) -> list[PaneLine]:
    """`Domain R07 clique 3: 15 of 18 trays usable, fabric healthy, IMEX up`, and a line for each fault of this tray;
    empty for a node in no domain."""
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


def tray_lines(cluster: Cluster, one: DomainState) -> Iterator[PaneLine]:
    """Each tray of a domain: its state, clique, fabric, IMEX and jobs."""
    yield PaneLine([("", "")])
    yield PaneLine([("trays", "title")])
    wide = max(map(len, one.nodes), default=0)
    for name in one.nodes:
        node, tray = cluster.nodes.get(name), cluster.trays.get(name)
        state = spans_of(state_cell(node)) if node is not None else [("unknown to Slurm", "bad")]
        spans: list[Span] = [(f"{name:<{wide}}  ", "text-strong"), (pad(state[0][0], 12), state[0][1])]
        if tray is not None:
            spans += [(f" {pad(tray.clique or UNKNOWN, 3)} ", ""), *_tray_faults(tray)]
        if jobs := cluster.jobs_on.get(name):
            spans.append((f" {plural(len(jobs), 'job')}", "text-dim"))
        yield PaneLine(spans)


def _tray_faults(tray: Tray) -> list[Span]:
    """What is wrong with the fabric or IMEX of a tray."""
    said = [("fabric", tray.fabric)] if tray.fabric not in {None, "healthy"} else []
    said += [("IMEX", tray.imex)] if tray.imex not in {None, "up"} else []
    return [(f" {what} {state}", word(state)[1]) for what, state in said]

"""The columns of partitions and reservations, as data."""

from __future__ import annotations

from typing import Any

from collectors.model import Reservation
from console.plant.totals import PartitionUse
from console.tables.exports import attribute, moment
from widgets.cells import Cell
from widgets.table_column import Column, always_identity
from widgets.units import UNKNOWN, clock_span, count, duration, percent, when

from .table_columns import Ctx


def _partition_state(use: PartitionUse, _: Any) -> Cell:
    up = use.partition.state == "UP"
    return (f"{'●' if up else '✖'} {use.partition.state.lower()}", "good" if up else "bad")


def why_text(use: PartitionUse) -> str:
    """`Priority 61 %  Resources 30 %`."""
    return (
        "  ".join(f"{reason} {percent(100 * n / use.pending, 0)}" for reason, n in use.reasons) if use.pending else ""
    )


PARTITIONS: tuple[Column, ...] = (
    Column("name", "partition", 10, lambda u, _: u.partition.name + (" *" if u.partition.default else ""),
           lambda u: u.partition.name, grow=1, max_width=20, identity=always_identity,
           export=(attribute("name", "partition.name"), attribute("default", "partition.default"))),
    Column("state", "state", 10, _partition_state, lambda u: u.partition.state,
           export=(attribute("state", "partition.state"),)),
    Column("nodes", "nodes", 7, lambda u, _: count(u.partition.node_count), lambda u: u.partition.node_count,
           align="right", priority=5, descending=True, export=(attribute("node_count", "partition.node_count"),)),
    Column("out", "out", 5, lambda u, _: (count(u.nodes_out), "warn" if u.nodes_out else "text-dim"),
           lambda u: u.nodes_out, align="right", priority=4, descending=True, export=(attribute("nodes_out"),)),
    Column("gpus", "GPUs used", 13, lambda u, _: f"{count(u.gpus_alloc)}/{count(u.gpus)}", lambda u: u.gpus_alloc,
           align="right", priority=6, descending=True, export=(attribute("gpus_alloc"), attribute("gpus"))),
    Column("running", "running", 8, lambda u, _: count(u.running), lambda u: u.running, align="right", priority=1,
           descending=True, export=(attribute("running"),)),
    Column("pending", "pending", 8, lambda u, _: count(u.pending), lambda u: u.pending, align="right", priority=0,
           descending=True, export=(attribute("pending"),)),
    Column("asked", "GPUs asked", 10, lambda u, _: count(u.gpus_requested), lambda u: u.gpus_requested, align="right",
           priority=7, descending=True, export=(attribute("gpus_asked", "gpus_requested"),)),
    Column("wait", "longest wait", 12, lambda u,
           c: "" if u.oldest_submit is None else duration(c.now - u.oldest_submit),
           lambda u: None if u.oldest_submit is None else -u.oldest_submit, align="right", priority=3, volatile=True,
           export=(moment("oldest_submitted", "oldest_submit"),)),
    Column("limit", "time limit", 11, lambda u,
           _: "none" if u.partition.time_limit_s is None else clock_span(u.partition.time_limit_s),
           lambda u: u.partition.time_limit_s, align="right", priority=9,
           export=(attribute("time_limit_s", "partition.time_limit_s"),)),
    Column("tier", "tier", 5, lambda u, _: count(u.partition.priority_tier), lambda u: u.partition.priority_tier,
           align="right", priority=10, export=(attribute("priority_tier", "partition.priority_tier"),)),
    Column("why", "why they wait", 20, lambda u, _: why_text(u), priority=2, grow=3),
    Column("where", "nodes", 12, lambda u, _: u.partition.nodes or "", priority=8, grow=1, max_width=40,
           export=(attribute("nodes", "partition.nodes"),)),
)  # fmt: skip


def _reservation_state(one: Reservation, ctx: Ctx) -> Cell:
    if one.state == "ACTIVE":
        return ("◆ active", "state-maint")
    return ("◇ planned", "state-other") if one.starts is None or one.starts > ctx.now else ("◇ inactive", "text-dim")


def _in(epoch: int | None, ctx: Ctx) -> Cell:
    if epoch is None:
        return UNKNOWN
    away = epoch - ctx.now
    said = f"in {duration(away)}" if away > 0 else f"{duration(-away)} ago"
    return [(when(epoch, None, ctx.now), ""), (f"  {said}", "text-dim")]


RESERVATIONS: tuple[Column, ...] = (
    Column("name", "reservation", 12, lambda r, _: r.name, lambda r: r.name, grow=2, max_width=24,
           identity=always_identity),
    Column("state", "state", 11, _reservation_state, lambda r: r.state, volatile=True, export=(attribute("state"),)),
    Column("nodes_n", "nodes", 6, lambda r, _: count(r.node_count), lambda r: r.node_count, align="right", priority=3,
           export=(attribute("node_count"),)),
    # Both times must be visible on 80 columns.
    Column("starts", "starts", 24, lambda r, c: _in(r.starts, c), lambda r: r.starts, priority=1, volatile=True,
           min_width=16, grow=1, max_width=24, export=(moment("starts"),)),
    Column("ends", "ends", 24, lambda r, c: _in(r.ends, c), lambda r: r.ends, priority=2, volatile=True, min_width=16,
           grow=1, max_width=24, export=(moment("ends"),)),
    Column("who", "for", 10, lambda r, _: r.users or r.accounts or "", priority=4, grow=1, max_width=24,
           export=(attribute("users"), attribute("accounts"))),
    Column("flags", "flags", 14, lambda r, _: ",".join(r.flags), priority=6, grow=1, max_width=30,
           export=(attribute("flags"),)),
    Column("where", "nodes", 14, lambda r, _: r.nodes or "", priority=5, grow=2, export=(attribute("nodes"),)),
)  # fmt: skip

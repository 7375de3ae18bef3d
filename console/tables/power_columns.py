"""The columns of the power screen, as data."""

from __future__ import annotations

from collectors.nodeset import natural_key
from console.fields.common_cells import Ctx, dim
from console.fields.field import attribute
from console.plant.power import JobPower, RackPower
from widgets.bars import gauge
from widgets.cells import Cell
from widgets.table_column import Column, ExportField, always_identity
from widgets.units import UNKNOWN, count, duration, power


def _rack_bar(one: RackPower, ctx: Ctx) -> Cell:
    if one.power_w is None:
        return (UNKNOWN, "text-dim")
    # A full bar is a rack of nodes at 11 kW, the most that eight 700 W GPUs and their host draw (DGX H100: 10.2 kW).
    return gauge(one.power_w / (one.nodes * 11_000), 12)


RACKS: tuple[Column, ...] = (
    Column("rack", "rack", 6, lambda r, _: r.rack or "none", lambda r: natural_key(r.rack), grow=1, max_width=16,
           identity=always_identity, export=(attribute("rack"),)),
    Column("row", "row", 4, lambda r, _: dim(r.row), lambda r: r.row, priority=6, export=(attribute("row"),)),
    Column("power", "power", 9, lambda r, _: power(r.power_w), lambda r: r.power_w, align="right", descending=True,
           export=(attribute("power_w"),)),
    Column("bar", "of its most", 12, _rack_bar, priority=4, export=()),
    Column("reporting", "reporting", 9, lambda r,
           _: (f"{count(r.reporting)}/{r.nodes}", "warn" if r.reporting is not None and r.reporting < r.nodes else "",),
           lambda r: r.reporting, align="right", priority=3,
           export=(attribute("nodes_reporting", "reporting"), attribute("nodes"))),
    Column("jobs", "jobs", 5, lambda r, _: count(r.jobs), lambda r: r.jobs, align="right", priority=2,
           descending=True, export=(attribute("jobs"),)),
    Column("out", "out", 4, lambda r, _: (count(r.out), "warn" if r.out else "text-dim"), lambda r: r.out, priority=5,
           align="right", descending=True, export=(attribute("nodes_out", "out"),)),
    Column("back", "drained gives back", 18, lambda r, _: power(r.freed_w), lambda r: r.freed_w, align="right",
           priority=1, descending=True, export=(attribute("gives_back_w", "freed_w"),)),
)  # fmt: skip


def _job_power(one: JobPower, _: Ctx) -> Cell:
    return power(one.power_w) + ("" if one.complete or one.power_w is None else " +")


JOBS: tuple[Column, ...] = (
    Column("id", "job", 8, lambda j, _: j.job.id, lambda j: natural_key(j.job.id), grow=1, max_width=12,
           identity=always_identity),
    Column("power", "power", 9, _job_power, lambda j: j.power_w, align="right", descending=True,
           export=(attribute("power_w"), attribute("complete"))),
    Column("user", "user", 8, lambda j, _: j.job.user, lambda j: j.job.user, grow=1, max_width=14),
    Column("name", "name", 10, lambda j, _: j.job.name, lambda j: j.job.name, priority=2, grow=2, max_width=24),
    Column("account", "account", 9, lambda j, _: dim(j.job.account), lambda j: j.job.account, priority=4, grow=1,
           max_width=16, export=(attribute("account", "job.account"),)),
    Column("gpus", "GPUs", 5, lambda j, _: count(j.job.gpus_held), lambda j: j.job.gpus_held, align="right",
           priority=1, descending=True, export=(attribute("gpus_held", "job.gpus_held"),)),
    Column("left", "left", 7, lambda j, c: duration(j.job.left_s(c.now)), align="right", priority=3, volatile=True,
           export=(ExportField("left_s", lambda j, c: j.job.left_s(c.now)),)),
)  # fmt: skip

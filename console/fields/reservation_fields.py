"""The fields of a reservation, one row each. The snapshot has every attribute of `collectors.model.Reservation`."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from collectors.model import Cluster, Reservation
from widgets.table_column import always_identity
from widgets.units import UNKNOWN, count, duration, when

from .common_cells import Ctx
from .field import Field, Shown, columns_of, field, moment, split_commas, until

if TYPE_CHECKING:
    from widgets.cells import Cell


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


RESERVATION_FIELDS: tuple[Field, ...] = (
    field("name", "text", "name", "name", ("res", "reservation"),
          column=Shown("reservation", 12, lambda r, _: r.name, grow=2, max_width=24, identity=always_identity)),
    field("state", "text", "state", "ACTIVE or INACTIVE", column=Shown("state", 11, _reservation_state, volatile=True)),
    field("node", "holds", "nodes", "nodes in it; < and > count them", ("nodes",), count=lambda r, c, t: r.node_count,
          column=Shown("nodes", 6, lambda r, _: count(r.node_count), attrgetter("node_count"), key="nodes_n",
                       align="right", priority=3),
          export=("node_count",)),
    field("partition", "text", "partition", "partition", ("part",)),
    field("user", "words", lambda r, c, t: split_commas(r.users), "user who may use it", export=("users", "accounts"),
          column=Shown("for", 10, lambda r, _: r.users or r.accounts or "", key="who", priority=4, grow=1,
                       max_width=24)),
    field("account", "words", lambda r, c, t: split_commas(r.accounts), "account that may use it"),
    field("flag", "words", lambda r, c, t: r.flags, "flag", ("flags",), export=("flags",),
          column=Shown("flags", 14, lambda r, _: ",".join(r.flags), key="flags", priority=6, grow=1, max_width=30)),
    # Both times must be visible on 80 columns.
    field("starts", "duration", lambda r, c, t: until(r.starts, t), "time until it starts", export=(moment("starts"),),
          column=Shown("starts", 24, lambda r, c: _in(r.starts, c), attrgetter("starts"), align="left", priority=1,
                       volatile=True, min_width=16, grow=1, max_width=24)),
    field("left", "duration", lambda r, c, t: until(r.ends, t), "time until it ends", export=(moment("ends"),),
          column=Shown("ends", 24, lambda r, c: _in(r.ends, c), attrgetter("ends"), key="ends", align="left",
                       priority=2, volatile=True, min_width=16, grow=1, max_width=24)),
    field("comment", "text", "comment", "comment"),
    field("where", "text", lambda r, c, t: r.nodes, "nodes in it", filtered=False, export=("nodes",),
          column=Shown("nodes", 14, lambda r, _: r.nodes or "", priority=5, grow=2)),
)  # fmt: skip
#: The columns of the table of reservations, in this order.
RESERVATIONS = columns_of(RESERVATION_FIELDS, "name state nodes_n starts ends who flags where")


def reservation_text(one: Reservation, _: Cluster) -> str:
    """The text in which a plain word is searched, one part a line so that no match runs over two."""
    return "\n".join((
        one.name, one.state, one.nodes or "", one.partition or "", *one.flags, one.users or "", one.accounts or "",
        one.comment or "",
    ))  # fmt: skip

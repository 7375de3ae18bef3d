"""The columns of accounts and of their users, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collectors.model import Share
from console.fields.common_cells import dim
from console.fields.field import attribute
from console.queue.accounts import HeldResources, Holder
from console.queue.limit_hits import figures_text
from widgets.cells import Cell
from widgets.table_column import Column, ExportField, always_identity
from widgets.units import UNKNOWN, count, percent

#: Shares of a limit from which it is shown as a warning and as reached.
NEAR, FULL = 0.8, 1.0


def _limit(one: Holder, _: Any) -> Cell:
    limit = one.nearest
    if limit is None:
        return ("", "")
    share = limit.share or 0.0
    role = "bad" if share >= FULL else "warn" if share >= NEAR else "text-dim"
    # The figures are first: where the column is narrow, a cut number would be wrong.
    said = f", QOS {limit.qos}" if limit.qos is not None else ""
    name = f"{limit.tres} {limit.name}".lstrip()
    return (f"{percent(100 * share, 0):>5} {figures_text(limit)} {name}{said}", role)


def _figure(read: Callable[[HeldResources], int]) -> Callable[[Holder, Any], Cell]:
    def cell(one: Holder, ctx: Any) -> Cell:
        if "jobs" not in ctx.cluster.known:
            return (UNKNOWN, "text-dim")
        value = read(one.held)
        return (count(value), "" if value else "text-dim")

    return cell


def _shares(one: Holder, _: Any) -> Cell:
    share = one.share
    if share is None:
        return (UNKNOWN, "text-dim")
    if share.shares is None:
        return ("parent" if share.shares_norm is None or share.parent or share.user else UNKNOWN, "text-dim")
    norm = "" if share.shares_norm is None else f" {percent(100 * share.shares_norm)}"
    return [(f"{share.shares:,}", ""), (norm, "text-dim")]


def _factor(one: Holder, _: Any) -> Cell:
    value = one.share.factor if one.share is not None else None
    return UNKNOWN if value is None else f"{value:.3f}"


def _part(one: Holder, _: Any) -> Cell:
    value = one.share.usage_part if one.share is not None else None
    return UNKNOWN if value is None else percent(100 * value)


def _sort(read: Callable[[Share], float | None]) -> Callable[[Holder], Any]:
    return lambda one: None if one.share is None else read(one.share)


def _held(key: str, title: str, width: int, read: Callable[[HeldResources], int], priority: int) -> Column:
    return Column(
        key,
        title,
        width,
        _figure(read),
        lambda one: read(one.held),
        align="right",
        priority=priority,
        descending=True,
        export=(_held_export(_HELD.get(key, key), _ATTRIBUTE.get(key, key)),),
    )


def _share_export(name: str, of: str) -> ExportField:
    """A figure of the fair share of an account or user."""
    return ExportField(name, lambda h, _: None if h.share is None else getattr(h.share, of))


def _nearest_export(name: str, of: str) -> ExportField:
    """A figure of the limit that is nearest to being reached."""
    return ExportField(name, lambda h, _: None if h.nearest is None else getattr(h.nearest, of))


def _held_export(name: str, of: str) -> ExportField:
    """A figure of the jobs of an account or user; None where the jobs were never read."""
    return ExportField(name, lambda h, c: getattr(h.held, of) if "jobs" in c.cluster.known else None)


#: Figures whose export field has another name than the column.
_HELD = {"gpus": "gpus_held", "nodes": "nodes_held", "asked": "gpus_asked"}
_ATTRIBUTE = {"asked": "gpus_requested"}
_FIGURES: tuple[Column, ...] = (
    _held("gpus", "GPUs", 6, lambda held: held.gpus, 0),
    _held("running", "running", 7, lambda held: held.running, 1),
    _held("nodes", "nodes", 6, lambda held: held.nodes, 7),
    _held("pending", "pending", 7, lambda held: held.pending, 2),
    _held("asked", "GPUs asked", 10, lambda held: held.gpus_requested, 6),
    Column("shares", "shares", 12, _shares, _sort(lambda share: share.shares_norm), align="right", priority=4,
           export=(_share_export("shares", "shares"), _share_export("shares_norm", "shares_norm"))),
    Column("used", "use", 6, _part, _sort(lambda share: share.usage_part), align="right", priority=3, descending=True,
           export=(_share_export("usage", "usage"), _share_export("usage_part", "usage_part"))),
    Column("factor", "fair share", 10, _factor, _sort(lambda share: share.factor), align="right", priority=5,
           export=(_share_export("fair_share", "factor"),)),
    Column("limit", "nearest limit", 26, _limit, lambda one: one.nearest.share if one.nearest is not None else None,
           priority=1, grow=3, max_width=60, descending=True,
           export=tuple(_nearest_export(f"limit_{name}", name) for name in ("name", "tres", "qos", "used",
               "most"))),
)  # fmt: skip
ACCOUNTS: tuple[Column, ...] = (
    Column("account", "account", 12, lambda one, _: one.account, lambda one: one.account, grow=1, max_width=28,
           identity=always_identity),
    *_FIGURES[:3],
    Column("users", "users", 5, lambda one, _: count(one.users), lambda one: one.users, align="right", priority=8,
           descending=True, export=(attribute("users"),)),
    *_FIGURES[3:],
)  # fmt: skip
MEMBERS: tuple[Column, ...] = (
    Column("user", "user", 10, lambda one, _: one.user or "", lambda one: one.user, grow=1, max_width=24,
           identity=always_identity),
    Column("account", "account", 10, lambda one, _: dim(one.account), lambda one: one.account, priority=3, grow=1,
           max_width=24),
    *_FIGURES,
)  # fmt: skip

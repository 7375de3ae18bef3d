"""The columns of file systems, and of the nodes on which one hangs, as data."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.model import Cluster
from collectors.nodeset import fold, natural_key
from console.fields.common_cells import Ctx, state_cell
from console.fields.field import attribute
from console.plant.storage import StoreNode, StoreRow, state_span
from widgets.bars import gauge
from widgets.cells import Cell
from widgets.pane import PaneLine
from widgets.table_column import Column, always_identity
from widgets.units import UNKNOWN, count, percent, plural

_FULL, _NEARLY = 95.0, 85.0
_STATES = ("hangs", "missing", "ill", "unknown", "well")


def _used(row: StoreRow, _: Ctx) -> Cell:
    used = row.store.used_pct
    if used is None:
        return (UNKNOWN, "text-dim")
    role = "bad" if used >= _FULL else "warn" if used >= _NEARLY else ""
    return [*gauge(used / 100, 6), (f" {percent(used, 0):>5}", role)]


def _size(row: StoreRow, _: Ctx) -> Cell:
    size = row.store.size_tb
    if size is None:
        return (UNKNOWN, "text-dim")
    return f"{size / 1000:,.1f} PB" if size >= 1000 else f"{size:,.0f} TB" if size >= 10 else f"{size:,.1f} TB"


def _targets(row: StoreRow, _: Ctx) -> Cell:
    store = row.store
    if store.targets is None:
        return (UNKNOWN, "text-dim")
    short = store.targets_up is not None and store.targets_up < store.targets
    return (f"{count(store.targets_up)}/{count(store.targets)}", "bad" if short else "")


def _number(number: int | None, role: str) -> Cell:
    return (count(number), role if number else "text-dim")


def _where(row: StoreRow, _: Ctx) -> Cell:
    parts = [f"hangs on {fold(row.store.hung)}"] if row.store.hung else []
    parts += [f"missing on {fold(row.missing)}"] if row.missing else []
    return "; ".join([*row.store.wrong, *parts])


STORES: tuple[Column, ...] = (
    Column("name", "file system", 11, lambda row, _: row.store.name, lambda row: natural_key(row.store.name), grow=1,
           max_width=30, identity=always_identity, export=(attribute("name", "store.name"),)),
    Column("kind", "kind", 7, lambda row, _: row.store.kind or UNKNOWN, lambda row: row.store.kind, priority=4,
           export=(attribute("kind", "store.kind"),)),
    Column("state", "state", 9, lambda row, _: state_span(row.state), lambda row: _STATES.index(row.state),
           export=(attribute("state"),)),
    Column("used", "used", 12, _used, lambda row: row.store.used_pct, priority=3, descending=True,
           export=(attribute("used_pct", "store.used_pct"),)),
    Column("size", "size", 8, _size, lambda row: row.store.size_tb, align="right", priority=7, descending=True,
           export=(attribute("size_tb", "store.size_tb"),)),
    Column("targets", "up", 9, _targets, lambda row: row.store.targets_up, align="right", priority=5,
           export=(attribute("targets_up", "store.targets_up"), attribute("targets", "store.targets"))),
    Column("mounted", "mounted", 7, lambda row, _: count(row.store.mounted), lambda row: row.store.mounted,
           align="right", priority=6, descending=True, export=(attribute("mounted", "store.mounted"),)),
    Column("hung", "hung", 5, lambda row, _: _number(len(row.store.hung), "bad"), lambda row: len(row.store.hung),
           align="right", descending=True, export=(attribute("hung", "store.hung"),)),
    Column("missing", "lack it", 7, lambda row, _: _number(len(row.missing), "warn"), lambda row: len(row.missing),
           align="right", priority=1, descending=True, export=(attribute("missing"),)),
    Column("jobs", "jobs hit", 8, lambda row, _: count(None if row.jobs is None else len(row.jobs)),
           lambda row: None if row.jobs is None else len(row.jobs), align="right", descending=True,
           export=(attribute("jobs_hit", "jobs"), attribute("users"))),
    Column("where", "what is wrong", 20, _where, priority=2, grow=4, export=(attribute("wrong", "store.wrong"),)),
    Column("device", "what is mounted", 20, lambda row, _: (row.store.device, "text-dim"),
           lambda row: row.store.device, priority=8, grow=1, max_width=44,
           export=(attribute("device", "store.device"),)),
)  # fmt: skip


def _node_state(one: StoreNode, _: Ctx) -> Cell:
    return (UNKNOWN, "text-dim") if one.node is None else state_cell(one.node)


STORE_NODES: tuple[Column, ...] = (
    Column("node", "node", 10, lambda one, _: one.name, lambda one: natural_key(one.name), grow=1, max_width=24,
           identity=always_identity, export=(attribute("node", "name"), attribute("file_system", "mount"))),
    Column("how", "there it", 9, lambda one, _: state_span(one.how), lambda one: one.how),
    Column("state", "node is", 13, _node_state, lambda one: one.node.display if one.node is not None else ""),
    Column("stuck", "jobs cannot end", 16, lambda one, _: (one.stuck or "", "bad"), lambda one: one.stuck, priority=1,
           export=(attribute("stuck"),)),
    Column("jobs", "jobs", 14, lambda one, _: ", ".join(one.jobs), lambda one: len(one.jobs), priority=3, grow=1,
           max_width=30, descending=True, export=(attribute("jobs"),)),
    Column("users", "of", 12, lambda one, _: ", ".join(one.users), lambda one: one.users, priority=2, grow=2,
           max_width=40, export=(attribute("users"),)),
    Column("rack", "rack", 6, lambda one, _: (one.node.rack if one.node is not None else None) or UNKNOWN,
           lambda one: one.node.rack if one.node is not None else "", priority=4),
    Column("reason", "Slurm's reason", 16, lambda one, _: (one.node.reason if one.node is not None else None) or "",
           lambda one: one.node.reason if one.node is not None else "", priority=5, grow=3, max_width=50),
)  # fmt: skip
#: Jobs and users that the details of a file system name.
_NAMED = 12


def store_lines(row: StoreRow, cluster: Cluster) -> Iterator[PaneLine]:
    """All that is known of a file system: what is wrong, what it is, and the jobs hit, by user."""
    store = row.store
    yield PaneLine([state_span(row.state)])
    for text in store.wrong:
        yield PaneLine([(text, "bad" if row.bad else "warn")])

    def line(name: str, text: str, role: str = "") -> PaneLine:
        return PaneLine([(f"{name:<11}", "text-dim"), (text, role)])

    if store.hung:
        yield line("hangs on", f"{plural(len(store.hung), 'node')}: {fold(store.hung)}", "bad")
    if row.stuck:
        yield line("cannot end", f"jobs on {fold(row.stuck)}", "bad")
    if row.missing:
        yield line("missing on", f"{plural(len(row.missing), 'node')}: {fold(row.missing)}", "warn")
    if store.mounted is not None:
        yield line("mounted on", plural(store.mounted, "node"))
    if store.targets is not None:
        yield line("targets", f"{count(store.targets_up)} of {count(store.targets)} answer")
    if store.size_tb is not None:
        free = "" if store.used_pct is None else f", {store.size_tb * (1 - store.used_pct / 100):,.1f} TB free"
        yield line("size", f"{store.size_tb:,.1f} TB{free}")
    if store.device:
        yield line("mounts", f"{store.device} ({store.kind})" if store.kind else store.device)
    jobs: dict[str, list[str]] = {}
    for job in row.jobs or ():
        if (one := cluster.jobs.get(job)) is not None:
            jobs.setdefault(one.user, []).append(job)
    if jobs:
        yield PaneLine([("", "")])
        yield PaneLine([("jobs hit, by user", "title")])
    for user, ids in sorted(jobs.items(), key=lambda item: (-len(item[1]), item[0]))[:_NAMED]:
        yield PaneLine([(f"{user:<13} ", "text-strong"), (f"{len(ids):>3}  ", ""), (", ".join(ids), "text-dim")])
    if len(jobs) > _NAMED:
        yield PaneLine([(f"and {len(jobs) - _NAMED} more", "text-dim")])

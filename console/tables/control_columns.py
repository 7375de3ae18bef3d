"""Columns of the control screen, as data: RPC use by user, and jobs that do not end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from collectors.model import Cluster, Diag
from collectors.nodeset import natural_key
from console.fields.common_cells import Ctx, dim
from console.fields.field import attribute, moment
from console.triage.attention_control import is_stuck
from widgets.cells import Cell
from widgets.table_column import Column, always_identity
from widgets.units import UNKNOWN, count, duration, share


class RpcUser(Struct, frozen=True):
    """One user, and the cost of all their RPCs since the counters were reset."""

    user: str
    calls: int
    time_us: int | None
    of_us: int
    """Time (µs) taken by the RPCs of all users."""


class Hung(Struct, frozen=True):
    """One job that should have ended."""

    job: str
    user: str
    what: Literal["completing", "runaway"]
    since: int | None
    nodes: str | None
    late: bool
    """Whether it takes longer than it should."""


def rpc_users(diag: Diag | None) -> Mapping[str, RpcUser]:
    """Every user whose RPCs the controller has answered."""
    if diag is None:
        return {}
    total = sum(diag.user_time_us.values())
    return {user: RpcUser(user, calls, diag.user_time_us.get(user), total) for user, calls in diag.user_calls.items()}


def hung(cluster: Cluster, now: float) -> Mapping[str, Hung]:
    """Completing jobs, also those without a known start of completion, and runaway jobs."""
    control = cluster.control
    found: dict[str, Hung] = {}
    told = {one.job: one for one in control.completing or ()} if control is not None else {}
    for job in cluster.jobs.values():
        if job.state == "COMPLETING" and job.id not in told:
            found[job.id] = Hung(job.id, job.user, "completing", None, job.nodes, False)
    if control is None:
        return found
    for one in told.values():
        found[one.job] = Hung(one.job, one.user, "completing", one.since, one.nodes, is_stuck(one, control, now))
    for lost in control.runaway or ():
        found[f"runaway {lost.job}"] = Hung(lost.job, lost.user, "runaway", lost.since, lost.nodes, True)
    return found


def _what(one: Hung, _: Ctx) -> Cell:
    if one.what == "runaway":
        return ("✖ runaway", "bad")
    return ("✖ completing", "bad") if one.late else ("◌ completing", "")


def _time(one: RpcUser, _: Ctx) -> Cell:
    return duration_us(one.time_us)


def duration_us(us: int | None) -> str:
    """A duration: `430 µs`, `412 ms`, `31.2 s`, and longer ones as elsewhere."""
    if us is None:
        return UNKNOWN
    if us < 1_000:
        return f"{us} µs"
    if us < 1_000_000:
        return f"{us / 1e3:.0f} ms"
    return f"{us / 1e6:.1f} s" if us < 600_000_000 else duration(us / 1e6)


RPC_USERS: tuple[Column, ...] = (
    Column("user", "user", 10, lambda a, _: a.user, lambda a: a.user, grow=1, max_width=24, identity=always_identity),
    Column("calls", "calls", 9, lambda a, _: count(a.calls), lambda a: a.calls, align="right", descending=True),
    Column("time", "time", 9, _time, lambda a: a.time_us, align="right", descending=True,
           export=(attribute("time_us"),)),
    Column("mean", "a call", 9, lambda a, _: duration_us(a.time_us // a.calls if a.time_us and a.calls else None),
           lambda a: a.time_us / a.calls if a.time_us and a.calls else None, align="right", priority=2,
           descending=True, export=()),
    Column("share", "of all", 7, lambda a, _: share(a.time_us, a.of_us), lambda a: a.time_us, align="right",
           priority=1, descending=True, export=(attribute("all_us", "of_us"),)),
)  # fmt: skip

HUNG: tuple[Column, ...] = (
    Column("job", "job", 8, lambda h, _: h.job, lambda h: natural_key(h.job), grow=1, max_width=14,
           identity=always_identity),
    Column("what", "what", 12, _what, lambda h: (h.what, not h.late), export=(attribute("what"), attribute("late"))),
    Column("since", "for", 8, lambda h, ctx: duration(None if h.since is None else ctx.now - h.since),
           lambda h: h.since, align="right", volatile=True, export=(moment("since"),)),
    Column("user", "user", 8, lambda h, _: h.user, lambda h: h.user, priority=2, grow=1, max_width=16),
    Column("nodes", "nodes", 12, lambda h, _: dim(h.nodes), lambda h: natural_key(h.nodes or ""), grow=3),
)  # fmt: skip

"""Limits in words: `64 GPUs`, `GrpTRES gres/gpu 60 of 64`. Pure."""

from __future__ import annotations

from collectors.model import Limit
from widgets.units import UNKNOWN, count, memory

_ONE = {"gres/gpu": "GPU", "cpu": "CPU", "node": "node"}


def amount_text(limit: Limit, amount: int | None) -> str:
    """So much of what the limit counts, with its unit."""
    if amount is None:
        return UNKNOWN
    if limit.name in {"GrpWall", "MaxWallPJ"}:
        return f"{amount:,} min"
    if not limit.tres:
        return f"{amount:,} job{'' if amount == 1 else 's'}" + (" waiting or running" if "Submit" in limit.name else "")
    if "Mins" in limit.name:
        return f"{amount:,} {_ONE.get(limit.tres, limit.tres)}-minutes"
    if limit.tres == "mem":
        return f"{memory(amount)} of memory"
    one = _ONE.get(limit.tres)
    return f"{amount:,} {limit.tres}" if one is None else f"{amount:,} {one}{'' if amount == 1 else 's'}"


def most_text(limit: Limit) -> str:
    """`64 GPUs`."""
    return amount_text(limit, limit.most)


def used_text(limit: Limit) -> str:
    """`GrpTRES gres/gpu 60 of 64`: Slurm's own words, as sacctmgr takes them."""
    return f"{limit.name} {limit.tres}".rstrip() + f" {figures_text(limit)}"


def figures_text(limit: Limit) -> str:
    """`60 of 64`, or the limit alone where nobody tells how much is in use."""

    def figure(value: int | None) -> str:
        return memory(value) if limit.tres == "mem" and "Mins" not in limit.name else count(value)

    minutes = " min" if "Mins" in limit.name or "Wall" in limit.name else ""
    if limit.used is None:
        return f"{figure(limit.most)}{minutes}"
    return f"{figure(limit.used)} of {figure(limit.most)}{minutes}"


def limit_owner(limit: Limit) -> str:
    """Who sets it, and for whom it counts: `QOS normal`, `QOS normal, alice`, `account ml`, `alice in ml`."""
    if limit.qos is not None:
        who = limit.user or limit.account
        return f"QOS {limit.qos}, {who}" if who else f"QOS {limit.qos}"
    return f"{limit.user} in {limit.account}" if limit.user is not None else f"account {limit.account}"


def limit_text(limit: Limit) -> str:
    """All of it on one line."""
    return f"{limit_owner(limit)}: {used_text(limit)}"

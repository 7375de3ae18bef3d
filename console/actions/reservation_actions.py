"""What is done to reservations, and the one that makes them of nodes: rows of the table in `console.actions.registry`.

What is asked for a new one stands in `console.actions.reservations`.
"""

from __future__ import annotations

from typing import Any

from collectors.model import Cluster, Node, Reservation
from collectors.slurm import operations

from . import reservations
from .action import Action, Value


def _reserve(_: Cluster, node: Node) -> str | None:
    return "Slurm knows it as FUTURE: there is nothing to set aside" if node.state == "FUTURE" else None


def _stands(_: Cluster, __: Reservation) -> str | None:
    return None


def _extend(_: Cluster, row: Reservation) -> str | None:
    return "when it ends is not known" if row.ends is None else None


def _gone(_: Any, after: Reservation | None) -> bool | None:
    return after is None


ROWS: tuple[Action, ...] = (
    Action(
        id="reserve", operation=operations.RESERVE,
        key="", kind="node", label="reserve", doing="reserving…", done="reserved", refuse=_reserve,
        asks=("seconds",), together=reservations.TOGETHER, inverse="unreserve",
        typed="--name  --start now --for 4h --users ",
        help="set nodes aside: --name, --start, --for, --users or --accounts, --flags; all of them or none",
    ),
    Action(
        id="extend", operation=operations.EXTEND,
        key="", kind="reservation", label="extend", doing="changing…", done="changed", refuse=_extend,
        inverse="extend", help="let a reservation end later (4h), sooner (-1h) or at a moment (22:00)",
        value=Value(
            word="closing time", like="4h is so much later, -1h so much sooner, 22:00 or 2026-11-26T08:00 that moment",
            read=reservations.end_read, of=reservations.end_of, whole=reservations.end_of_row,
        ),
    ),
    Action(
        id="unreserve", operation=operations.UNRESERVE,
        key="", kind="reservation", label="unreserve", doing="deleting…", done="deleted",
        refuse=_stands, inverse="reserve", proof=_gone,
        help="delete a reservation: its nodes are everybody's again; Slurm refuses while a job asks for it",
    ),
)  # fmt: skip

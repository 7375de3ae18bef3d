"""Actions on reservations: rows of the table in `console.actions.registry`."""

from __future__ import annotations

from collectors.model import Cluster, Node, Reservation
from collectors.slurm import operations
from console.preflight import job_checks

from . import impact, proofs, reservations
from .action import Action, Value

_BOTH = ("slurm.partitions", "slurm.reservations")


def _reserve(_: Cluster, node: Node) -> str | None:
    return "Slurm knows it as FUTURE: there is nothing to set aside" if node.state == "FUTURE" else None


def _never_refused(_: Cluster, __: Reservation) -> str | None:
    return None


def _extend(_: Cluster, row: Reservation) -> str | None:
    return "when it ends is not known" if row.ends is None else None


ROWS: tuple[Action, ...] = (
    Action(
        id="reserve", operation=operations.RESERVE,
        synonyms=("reservation", "maintenance", "maintenance window", "scontrol create reservation"),
        key="", kind="node", label="reserve", doing="reserving…", done="reserved", refuse=_reserve,
        option_fields=("seconds",), creates=reservations.CREATION, inverse="unreserve",
        prefill="--name  --start now --for 4h --users ",
        help="set nodes aside: --name, --start, --for, --users or --accounts, --flags; all of them or none",
        impact=impact.reserved, complete=reservations.complete_change, withholds=reservations.all_withheld,
        sources=_BOTH,
        left_alone="all of it, where a node is FUTURE, where the name is taken, where a job runs past its start "
        "without `IGNORE_JOBS`, or where another reservation has a node then without `MAINT` or `OVERLAP`",
        sample="maint",
        sample_settings={
            "name": "maint", "start": "now", "for": "14400", "users": "root", "flags": "MAINT,IGNORE_JOBS",
        },
    ),
    Action(
        id="extend", operation=operations.EXTEND,
        synonyms=("reservation", "prolong", "extend reservation"),
        key="", kind="reservation", label="extend", doing="changing…", done="changed", refuse=_extend,
        inverse="extend", help="let a reservation end later (4h), sooner (-1h) or at a moment (22:00)",
        value=Value(
            noun="closing time", form="4h | -1h | 22:00 | tomorrow",
            example="4h later, -1h sooner, or at 22:00 or 2026-11-26T08:00",
            parse=reservations.parse_end, current=reservations.end_of, complete=reservations.new_end,
            not_restorable=reservations.not_restorable,
        ),
        impact=impact.extended, count_when=reservations.ends_sooner, withholds=reservations.later_withheld,
        sources=_BOTH,
        left_alone="an end that is over, or that it has already",
        sample="2026-11-18T16:00:00Z",
    ),
    Action(
        id="unreserve", operation=operations.UNRESERVE,
        synonyms=("reservation", "delete reservation", "scontrol delete reservation"),
        key="", kind="reservation", label="unreserve", doing="deleting…", done="deleted",
        refuse=_never_refused, inverse="reserve", proof=proofs.gone,
        help="delete a reservation: its nodes are everybody's again; Slurm refuses while a job asks for it",
        check=job_checks.unreserve, preflight_read="jobs of a reservation", impact=impact.deleted, sources=_BOTH,
        left_alone="a reservation that a job asks for, whether it runs or waits: Slurm would refuse",
    ),
)  # fmt: skip

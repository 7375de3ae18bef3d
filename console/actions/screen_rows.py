"""The screens that have a name: one row each, from which `:` commands, keys, help, palette, `--screen` and docs derive.

A row is light: the screen itself (`console.screens`) is imported when it is first shown.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

#: Screens on the plant: a module there is a screen without a row here too, called by the module's name.
PLANT = Path(__file__).parents[1] / "screens" / "plant"


class ScreenRow(Struct, frozen=True, kw_only=True):
    """One screen. `:`, `--screen` and the crumbs call it `id`; `names` are further names for `:`."""

    id: str
    names: tuple[str, ...] = ()
    key: str = ""
    """Its default key, "" for none."""
    help: str = ""
    """What the key does."""
    synonyms: tuple[str, ...] = ()
    """Other words for it in the palette and in help, lower case."""
    plant: bool = False
    """Whether its module is in `console.screens.plant`."""


_ROWS = (
    ScreenRow(
        id="overview",
        synonyms=("map", "status", "state of the machine"),
        names=("ov", "home"),
        key="1",
        help="Overview",
    ),
    ScreenRow(id="nodes", synonyms=("sinfo", "hosts", "list nodes"), names=("no",), key="2", help="Nodes"),
    ScreenRow(id="jobs", synonyms=("squeue", "queue"), names=("jo", "queue", "q"), key="3", help="Jobs"),
    ScreenRow(id="gpus", synonyms=("nvidia-smi", "dcgm", "xid"), names=("gpu",), key="4", help="GPUs"),
    ScreenRow(id="power", synonyms=("energy", "watt"), names=("po",), key="5", help="Power"),
    ScreenRow(
        id="inbox",
        synonyms=("who drained", "drained nodes", "drain reasons", "sinfo -r", "who drained a node"),
        names=("in", "drains"),
        key="i",
        help="the drain inbox, and facts that disagree",
    ),
    ScreenRow(
        id="alerts",
        synonyms=("alertmanager", "firing"),
        names=("al",),
        key="6",
        help="Alerts, folded by what failed together",
    ),
    ScreenRow(
        id="partitions",
        synonyms=("scontrol show partition", "scontrol show reservation", "reservations"),
        names=("parts", "pa", "reservations", "res"),
        key="7",
        help="Partitions and Reservations",
    ),
    ScreenRow(
        id="journal",
        synonyms=("audit", "who did what", "past actions"),
        names=("jou",),
        key="8",
        help="Journal: who did what, when, why, and what came of it",
    ),
    ScreenRow(id="control", names=("ctl", "daemons")),
    ScreenRow(
        id="domains",
        synonyms=("imex", "nvl72"),
        names=("dom", "nvlink"),
        key="V",
        plant=True,
        help="NVLink domains: trays, cliques, fabric, IMEX, and what fits",
    ),
    ScreenRow(
        id="cooling",
        synonyms=("water", "leak"),
        names=("cool", "cdu"),
        key="c",
        plant=True,
        help="Cooling: loops, their water and leaks, and what hangs on each",
    ),
    ScreenRow(
        id="accounts",
        synonyms=("sshare", "users", "fair share", "quota", "limits"),
        names=("acc", "shares"),
        key="A",
        help="Accounts: who holds what, shares, use and limits",
    ),
    ScreenRow(
        id="fabric",
        synonyms=("infiniband", "network", "nvswitch"),
        names=("fab", "ports", "switches"),
        key="F",
        plant=True,
        help="Fabric: ports that are down, slow or flap, folded by switch",
    ),
    ScreenRow(
        id="storage",
        synonyms=("lustre", "disk", "file systems"),
        names=("sto", "mounts", "fs"),
        key="S",
        plant=True,
        help="Storage: file systems that hang or are missing, and where",
    ),
    ScreenRow(id="clusters", names=("ctx",), key="9", help="Clusters: all that are known, one a line"),
    ScreenRow(
        id="handover",
        synonyms=("on-call", "shift report"),
        names=("ho", "shift"),
        key="B",
        help="Hand-over: since your last shift, and what is unresolved",
    ),
)


def _without_row() -> Iterator[ScreenRow]:
    listed = {row.id for row in _ROWS}
    for module in pkgutil.iter_modules([str(PLANT)]):
        if module.name not in listed:
            yield ScreenRow(id=module.name, plant=True)


SCREEN_ROWS: tuple[ScreenRow, ...] = (*_ROWS, *_without_row())

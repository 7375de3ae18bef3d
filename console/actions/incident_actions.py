"""The action that declares an incident of nodes: a row of the table in `console.actions.registry`. See
`console.actions.incident`."""

from __future__ import annotations

from collectors.alertmanager.requests import DECLARE_INCIDENT
from collectors.model import Cluster, Node

from .action import Action
from .incident import TOGETHER


def _never(_: Cluster, __: Node) -> str | None:
    return None


ROWS: tuple[Action, ...] = (
    Action(
        id="incident", operation=DECLARE_INCIDENT,
        key="", kind="node", label="declare an incident", doing="declaring…", done="declared",
        refuse=_never, needs_reason=True, asks=("seconds",), together=TOGETHER, inverse="lift",
        typed="--name ",
        help="shown to everybody for 30 minutes; on its nodes drain, partition-down and silence take one key",
    ),
)  # fmt: skip

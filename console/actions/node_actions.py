"""Actions that set values on nodes, power them, and cancel or force a reboot: rows of the table in
`console.actions.registry`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from collectors.model import Cluster, Node
from collectors.slurm import operations
from collectors.slurm.operations import FEATURES

from .action import POWERED, Action, Value, clean_reason, signed_reason
from .drift_rules import TAKES_OUT
from .job_actions import EMPTY_WORDS

_OFF = frozenset({"POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN"})
_REBOOTS = frozenset({"REBOOT_REQUESTED", "REBOOT_ISSUED"})
_TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#/-]{0,63}")
#: A ticket within a comment: `ticket=KubeGPU-1182 since=2026-11-25`.
_STANDS = re.compile(r"(?:^|(?<=\s))ticket=\S+(?:\s+since=\S+)?\s*")


def _any(_: Cluster, __: Node) -> str | None:
    return None


def reboot_refusal(_: Cluster, node: Node) -> str | None:
    """Why a reboot would have no effect; None where it has one."""
    if not _REBOOTS.isdisjoint(node.flags):
        return f"a reboot is under way{signed_reason(node)}"
    if not POWERED.isdisjoint(node.flags) and "POWERING_UP" not in node.flags:
        return f"powered off: {node.display}"
    return "Slurm knows it as FUTURE: there is nothing to reboot" if node.state == "FUTURE" else None


def _cancel_reboot(_: Cluster, node: Node) -> str | None:
    if "REBOOT_ISSUED" in node.flags:
        return "it is rebooting: too late"
    return None if "REBOOT_REQUESTED" in node.flags else f"no reboot is asked for: {node.display}"


def _powerdown(_: Cluster, node: Node) -> str | None:
    if not _OFF.isdisjoint(node.flags):
        return f"powered off, or on its way: {node.display}"
    return "Slurm knows it as FUTURE: it has no power to take" if node.state == "FUTURE" else None


def _powerup(_: Cluster, node: Node) -> str | None:
    if "POWERING_UP" in node.flags:
        return "it is powering up"
    return None if not _OFF.isdisjoint(node.flags) else f"it has power: {node.display}"


def _called_off(_: Node, after: Node | None) -> bool | None:
    if after is None or "REBOOT_ISSUED" in after.flags:
        return None
    return "REBOOT_REQUESTED" not in after.flags


def _goes_off(_: Node, after: Node | None) -> bool | None:
    return None if after is None else not _OFF.isdisjoint(after.flags)


def _comes_up(_: Node, after: Node | None) -> bool | None:
    return None if after is None else "POWERING_UP" in after.flags or _OFF.isdisjoint(after.flags)


# -- what is typed ----------------------------------------------------------------------------------------------------


def _comment(text: str) -> str:
    told = clean_reason(text)
    return "" if told.lower() in EMPTY_WORDS else told


def _ticket(text: str) -> str:
    name = text.strip()
    if name.lower() in EMPTY_WORDS:
        return ""
    if not _TICKET.fullmatch(name):
        raise ValueError(f"{text!r} is no name of a ticket; KubeGPU-1182 is one, none takes it away")
    return name


def with_ticket(node: Node, ticket: str, now: float) -> str:
    """The node's comment with this ticket added or replaced ("" removes it); the rest of the comment is kept."""
    stands = node.comment or ""
    if ticket and f"ticket={ticket}" in stands.split():
        return stands  # keep its date
    rest = _STANDS.sub("", stands).strip()
    new = f"ticket={ticket} since={datetime.fromtimestamp(now, UTC):%Y-%m-%d}" if ticket else ""
    return f"{new} {rest}".strip()


def _features(text: str) -> str:
    if text.strip().lower() in EMPTY_WORDS:
        return ""
    told = ",".join(sorted({one.strip() for one in text.split(",") if one.strip()}))
    if not FEATURES.fullmatch(told):
        raise ValueError(f"{text!r} is no list of features; h100,ib is one")
    return told


ROWS: tuple[Action, ...] = (
    Action(
        id="comment", operation=operations.NODE_COMMENT,
        key="", kind="node", label="comment", doing="writing…", done="written", refuse=_any,
        inverse="comment", help="write a node's comment, for everybody who looks at it; none takes it away",
        value=Value(noun="comment", example="a line, or none", parse=_comment, current=lambda node: node.comment or ""),
    ),
    Action(
        id="ticket", operation=operations.NODE_COMMENT,
        key="", kind="node", label="ticket", doing="writing…", done="written", refuse=_any,
        inverse="comment", help="keep a ticket in a node's comment, with the date, beside what stands there",
        value=Value(
            noun="ticket", example="KubeGPU-1182, or none", parse=_ticket, complete=with_ticket,
            current=lambda node: node.comment or "",
        ),
    ),
    Action(
        id="features", operation=operations.NODE_FEATURES,
        key="", kind="node", label="features", doing="changing…", done="changed", refuse=_any,
        inverse="features", help="say which of its features a node has just now, until its slurmd starts again",
        value=Value(
            noun="list of features", example="h100,ib", parse=_features,
            current=lambda node: ",".join(sorted(node.features)),
        ),
    ),
    Action(
        id="reboot-now", operation=operations.REBOOT_NOW,
        key="", kind="node", label="reboot now", doing="rebooting…", done="rebooted",
        refuse=reboot_refusal, needs_reason=True, takes_out=True, danger="kills", option_fields=("next_state",),
        drift=TAKES_OUT, help="set it down, which kills every job on it, and reboot it; a drained node comes back down",
    ),
    Action(
        id="cancel_reboot", operation=operations.CANCEL_REBOOT,
        key="", kind="node", label="cancel reboot", doing="calling off…", done="called off",
        refuse=_cancel_reboot, proof=_called_off,
        help="call a reboot off that waits for jobs to end; the drain that came with it goes too",
    ),
    Action(
        id="powerdown", operation=operations.POWER_DOWN,
        key="", kind="node", label="power down", doing="powering down…", done="on its way down",
        refuse=_powerdown, proof=_goes_off, takes_out=True, count_confirmed=True, batched=True, inverse="powerup",
        drift=TAKES_OUT, help="no new work, and power off once its jobs have ended, as Slurm's SuspendProgram does it",
    ),
    Action(
        id="powerup", operation=operations.POWER_UP,
        key="", kind="node", label="power up", doing="powering up…", done="on its way up",
        refuse=_powerup, proof=_comes_up, count_confirmed=True, batched=True, inverse="powerdown",
        help="power on, as Slurm's ResumeProgram does it",
    ),
)  # fmt: skip

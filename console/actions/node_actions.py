"""Actions on nodes: rows of the table in `console.actions.registry`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec

from collectors.model import Change, Cluster, Node, Row
from collectors.nodestate import UNAVAILABLE
from collectors.slurm import operations
from collectors.slurm.operations import FEATURES, REASON_CAP
from console.preflight import node_checks

from . import proofs
from .action import POWERED, Action, ChangeInputs, Value, clean_reason, signed_reason
from .drift_rules import DRAINS, PUTS_BACK, TAKES_OUT
from .job_actions import EMPTY_WORDS
from .options import Options

_OFF = frozenset({"POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN"})
_REBOOTS = frozenset({"REBOOT_REQUESTED", "REBOOT_ISSUED"})
_TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#/-]{0,63}")
#: A ticket within a comment: `ticket=KubeGPU-1182 since=2026-11-25`.
_STANDS = re.compile(r"(?:^|(?<=\s))ticket=\S+(?:\s+since=\S+)?\s*")


def _drain(_: Cluster, node: Node) -> str | None:
    # A second drain would overwrite the first reason, which may be the only record of the fault.
    return f"already {node.display}{signed_reason(node)}" if "DRAIN" in node.flags else None


def _undrain(_: Cluster, node: Node) -> str | None:
    if "INVALID_REG" in node.flags:
        return "registered wrongly (INVALID_REG): only slurmd on the node can mend that"
    return None if "DRAIN" in node.flags else f"nothing to undrain: {node.display}"


def _resume(_: Cluster, node: Node) -> str | None:
    if "INVALID_REG" in node.flags:
        return "registered wrongly (INVALID_REG): only slurmd on the node can mend that"
    if node.state in {"DOWN", "FUTURE"} or not {"DRAIN", "FAIL", "REBOOT_REQUESTED"}.isdisjoint(node.flags):
        return None
    return f"nothing to resume: {node.display}"


def _down(_: Cluster, node: Node) -> str | None:
    return f"already down{signed_reason(node)}" if node.state == "DOWN" else None


def _any(_: Cluster, __: Node) -> str | None:
    return None


def _reboot(_: Cluster, node: Node) -> str | None:
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


# -- what is sent -----------------------------------------------------------------------------------------------------


def _with_reasons(change: Change, given: ChangeInputs) -> Change:
    """With a reason of its own for each node whose old reason is kept."""
    kept = {
        target: text
        for target in change.targets
        if (text := _keep_old_reason(given.rows[target], change.reason or "", given.options))
    }
    return msgspec.structs.replace(change, reasons=kept)


def _with_drain(change: Change, given: ChangeInputs) -> Change:
    return msgspec.structs.replace(_with_reasons(change, given), resume_after_s=given.options.resume_after_s)


def _with_next_state(change: Change, given: ChangeInputs) -> Change:
    states = {target: state_after_reboot(given.rows[target], given.options) for target in change.targets}
    return msgspec.structs.replace(_with_reasons(change, given), next_state=states)


def _keep_old_reason(row: Row, reason: str, options: Options) -> str | None:
    """The reason for a node where it differs from the common one: it keeps the old reason of a node that is out."""
    assert isinstance(row, Node)
    own, old = options.reasons.get(row.name), row.reason
    reason = own or reason
    if not old or row.display not in UNAVAILABLE or reason in old:
        # A node in service may still carry the reason of its last drain (24.11 never clears it): ignore it.
        return old if old and row.display in UNAVAILABLE and reason and reason in old else own
    by = f" by {row.reason_by}" if row.reason_by else ""
    was = f" [was{by}: {old}]"
    # Half of the length is reserved for the old reason, however long the new one is.
    was = was if len(was) <= REASON_CAP // 2 else f"{was[: REASON_CAP // 2 - 2]}…]"
    return f"{reason[: REASON_CAP - len(was)]}{was}"


def state_after_reboot(row: Row, options: Options) -> str:
    """The state of a node after its reboot. DOWN keeps an existing drain and its reason; RESUME would clear them."""
    assert isinstance(row, Node)
    if options.next_state is not None:
        return options.next_state
    return "DOWN" if row.state == "DOWN" or not {"DRAIN", "FAIL"}.isdisjoint(row.flags) else "RESUME"


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
        id="drain", operation=operations.DRAIN,
        synonyms=("cordon", "maintenance", "out of service", "scontrol update"),
        key="d", kind="node", label="drain", doing="draining…", done="drained", refuse=_drain,
        needs_reason=True, takes_out=True, option_fields=("resume_after_s",), inverse="undrain",
        drift=DRAINS, help="no new work on the node; running jobs go on until they end",
        check=node_checks.drain, proof=proofs.drained, staged_proof=proofs.drained_until,
        complete=_with_drain, done_is_state=True, one_key_in_incident=True,
        samples=(("with “auto-resume after” 2 h", {"resume_after_s": 7200}),),
        left_alone="a node that has a drain already, since a second one would overwrite the first one's reason",
    ),
    Action(
        id="undrain", operation=operations.UNDRAIN,
        synonyms=("uncordon", "back in service"),
        key="u", kind="node", label="undrain", doing="undraining…", done="undrained", refuse=_undrain,
        option_fields=("waves", "canary", "redrain"), inverse="drain", drift=PUTS_BACK,
        help="take the drain off; a node that is down stays down",
        check=node_checks.undrain, preflight_read="gpus", proof=proofs.undrained,
        left_alone="a node without a drain; one that registered wrongly (INVALID_REG), which only its slurmd can "
        "mend",
    ),
    Action(
        id="resume", operation=operations.RESUME,
        synonyms=("return to service", "enable", "online"),
        key="r", kind="node", label="resume", doing="resuming…", done="resumed", refuse=_resume,
        option_fields=("waves", "canary", "redrain"), inverse="drain",
        drift=PUTS_BACK, help="back into service from down, drained or failed, once it looks fit",
        check=node_checks.resume, preflight_read="gpus", proof=proofs.resumed,
        staged_proof=proofs.resumed_in_stages, must_register=True, verify_s=300.0,
        left_alone="a node that is in service; one that registered wrongly (INVALID_REG); one that the pre-flight "
        "calls bad",
    ),
    Action(
        id="down", operation=operations.DOWN,
        synonyms=("offline", "disable"),
        key="D", kind="node", label="down", doing="setting down…", done="down", refuse=_down,
        needs_reason=True, takes_out=True, danger="kills",
        drift=TAKES_OUT, help="out of service at once: Slurm kills every job on the node",
        check=node_checks.down, check_together=node_checks.killed_jobs, proof=proofs.set_down, complete=_with_reasons,
        done_is_state=True,
        left_alone="a node that is down already",
        irreversible="down cannot be undone: its jobs were killed; :resume puts the node back into service",
    ),
    Action(
        id="reboot", operation=operations.REBOOT,
        synonyms=("power cycle", "restart", "scontrol reboot"),
        key="b", kind="node", label="reboot", doing="rebooting…", done="rebooted", refuse=_reboot,
        needs_reason=True, takes_out=True, count_confirmed=True, option_fields=("next_state",),
        drift=TAKES_OUT, help="reboot after its last job (ASAP); a drained node comes back down",
        check=node_checks.reboot, proof=proofs.reboot_accepted, staged_proof=proofs.rebooted_in_stages,
        verify_s=900.0, complete=_with_next_state, jobs_note="each node reboots after its last job; ",
        left_alone="a node whose reboot is under way, one that is powered off, one that is FUTURE",
        irreversible="reboot cannot be undone once it has begun; before that :resume takes the request back",
    ),
    Action(
        id="comment", operation=operations.NODE_COMMENT,
        synonyms=("note", "annotate"),
        key="", kind="node", label="comment", doing="writing…", done="written", refuse=_any,
        inverse="comment", help="write a node's comment, for everybody who looks at it; none takes it away",
        value=Value(noun="comment", form="TEXT | none", example="a line, or none", parse=_comment,
                    current=lambda node: node.comment or ""),
        left_alone="",
        sample="spare PSU",
    ),
    Action(
        id="ticket", operation=operations.NODE_COMMENT,
        synonyms=("case", "rma"),
        key="", kind="node", label="ticket", doing="writing…", done="written", refuse=_any,
        inverse="comment", help="keep a ticket in a node's comment, with the date, beside its present text",
        value=Value(
            noun="ticket", form="KubeGPU-1182 | none", example="KubeGPU-1182, or none", parse=_ticket,
            complete=with_ticket,
            current=lambda node: node.comment or "",
        ),
        left_alone="",
        sample="ticket=KubeGPU-1182 since=2026-11-25",
    ),
    Action(
        id="features", operation=operations.NODE_FEATURES,
        synonyms=("constraint",),
        key="", kind="node", label="features", doing="changing…", done="changed", refuse=_any,
        inverse="features", help="say which of its features a node has just now, until its slurmd starts again",
        value=Value(
            noun="list of features", form="h100,ib | none", example="h100,ib", parse=_features,
            current=lambda node: ",".join(sorted(node.features)),
        ),
        check=node_checks.features,
        left_alone="",
        sample="h100,ib",
    ),
    Action(
        id="reboot-now", operation=operations.REBOOT_NOW,
        synonyms=("power cycle now", "hard reset", "reset"),
        key="", kind="node", label="reboot now", doing="rebooting…", done="rebooted",
        refuse=_reboot, needs_reason=True, takes_out=True, danger="kills", option_fields=("next_state",),
        drift=TAKES_OUT, help="set it down, which kills every job on it, and reboot it; a drained node comes back down",
        check=node_checks.reboot, check_together=node_checks.killed_jobs, proof=proofs.reboot_accepted,
        staged_proof=proofs.rebooted_in_stages, verify_s=900.0, complete=_with_next_state,
        left_alone="as reboot",
        irreversible="reboot now cannot be undone: its jobs were killed; :resume puts the node back once it is up",
    ),
    Action(
        id="cancel_reboot", operation=operations.CANCEL_REBOOT,
        synonyms=("abort reboot",),
        key="", kind="node", label="cancel reboot", doing="calling off…", done="called off",
        refuse=_cancel_reboot, proof=proofs.reboot_cancelled,
        help="call a reboot off that waits for jobs to end; the drain that came with it goes too",
        check=node_checks.cancel_reboot, preflight_read="gpus",
        left_alone="a node of which no reboot is asked for, or that is rebooting; a drained one that the "
        "pre-flight calls bad",
        irreversible="cancel reboot cannot be undone: what it took back is asked for anew with :reboot",
    ),
    Action(
        id="powerdown", operation=operations.POWER_DOWN,
        synonyms=("power off", "poweroff", "power down", "shutdown", "switch off"),
        key="", kind="node", label="power down", doing="powering down…", done="on its way down",
        refuse=_powerdown, takes_out=True, count_confirmed=True, batched=True, inverse="powerup",
        drift=TAKES_OUT, help="no new work, and power off once its jobs have ended, as Slurm's SuspendProgram does it",
        check=node_checks.power_down, proof=proofs.powers_down, toggles=True,
        left_alone="a node that is powered off, or on its way",
    ),
    Action(
        id="powerup", operation=operations.POWER_UP,
        synonyms=("power on", "poweron", "power up", "switch on", "boot"),
        key="", kind="node", label="power up", doing="powering up…", done="on its way up",
        refuse=_powerup, proof=proofs.powers_up, count_confirmed=True, batched=True, inverse="powerdown",
        help="power on, as Slurm's ResumeProgram does it",
        toggles=True,
        left_alone="a node that has power",
    ),
)  # fmt: skip

"""The table of all actions that change the real machine, and the table of navigation keys.

Footer, help, palette, `:` commands, `wacht keys`, read-only mode and the dialogs derive from these two tables. What
Slurm accepts and ignores is taken from its source (`_valid_node_state_change` in node_mgr.c, 22.05 to 26.05) and from
live 24.11 and 26.05 controllers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from collectors.alertmanager.requests import CREATE_SILENCES, EXPIRE_SILENCES
from collectors.jobstate import WAITING, held
from collectors.model import Alert, Cluster, Job, Node, Silence
from collectors.slurm import operations

from . import (
    incident,
    job_actions,
    node_actions,
    partition_actions,
    reservations,
    user_actions,
)
from .action import Action, Kind, Value, ended_reason, signed_reason
from .drift_rules import DRAINS, EASES_HOLD, ENDS_JOB, PUTS_BACK, TAKES_OUT, WAITS
from .het_jobs import component_refusal
from .node_actions import reboot_refusal


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


def _priority(_: Cluster, job: Job) -> str | None:
    if job.state in WAITING:
        return "it is held: Slurm changes its priority only once it is released" if held(job) else None
    return ended_reason(job) or f"only a waiting job has a priority to change: {job.state}"


def _priority_text(text: str) -> str:
    low, high = operations.PRIORITIES
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is no priority; it is a whole number from 1 (hold is what keeps a job back)")
    return str(int(text))


def _priority_of(job: Job) -> str | None:
    return None if job.priority is None else str(job.priority)


def _quiet(cluster: Cluster, alert: Alert) -> str | None:
    """Why a silence of this alert would have no effect; None where it has one."""
    standing = [silence for one in alert.silenced_by if (silence := cluster.silences.get(one)) is not None]
    if not standing:
        return None
    one = max(standing, key=lambda silence: silence.ends or 0)
    return f"silenced already by {one.by}: {one.comment}"


def _take(cluster: Cluster, alert: Alert) -> str | None:
    return _quiet(cluster, alert)


def _silence(cluster: Cluster, alert: Alert) -> str | None:
    # A longer silence may follow an "I'm on it" of any user.
    taken = [one for one in alert.silenced_by if one in cluster.silences and cluster.silences[one].taken]
    return None if len(taken) == len(alert.silenced_by) else _quiet(cluster, alert)


def _lift(_: Cluster, silence: Silence) -> str | None:
    return None if silence.state in {"active", "pending"} else f"it is over: {silence.state}"


def _requeue(_: Cluster, job: Job) -> str | None:
    return component_refusal(job) or ("already pending" if job.state in WAITING else ended_reason(job))


def _hold(_: Cluster, job: Job) -> str | None:
    # A hold by the owner is replaced: the owner could release it.
    return _unheld(job) or (f"already held: {job.reason}" if held(job) and job.reason != "JobHeldUser" else None)


def _uhold(_: Cluster, job: Job) -> str | None:
    return _unheld(job) or (f"already held: {job.reason}" if held(job) and job.reason != "JobHeldAdmin" else None)


def _unheld(job: Job) -> str | None:
    if job.state in WAITING:
        return None
    # Slurm accepts it for a running job, but it takes effect only if the job is requeued later.
    return ended_reason(job) or f"only a waiting job can be held: {job.state}"


def _release(_: Cluster, job: Job) -> str | None:
    return ended_reason(job) or (None if held(job) else f"not held: {job.state}")


def _cancel(_: Cluster, job: Job) -> str | None:
    return ended_reason(job)


ACTIONS: list[Action] = [
    Action(
        id="drain", operation=operations.DRAIN,
        key="d", kind="node", label="drain", doing="draining…", done="drained", refuse=_drain,
        needs_reason=True, takes_out=True, option_fields=("resume_after_s",), inverse="undrain",
        drift=DRAINS, help="no new work on the node; running jobs go on until they end",
    ),
    Action(
        id="undrain", operation=operations.UNDRAIN,
        key="u", kind="node", label="undrain", doing="undraining…", done="undrained", refuse=_undrain,
        option_fields=("waves", "canary", "redrain"), inverse="drain", drift=PUTS_BACK,
        help="take the drain off; a node that is down stays down",
    ),
    Action(
        id="resume", operation=operations.RESUME,
        key="r", kind="node", label="resume", doing="resuming…", done="resumed", refuse=_resume,
        option_fields=("waves", "canary", "redrain"), inverse="drain",
        drift=PUTS_BACK, help="back into service from down, drained or failed, once it looks fit",
    ),
    Action(
        id="down", operation=operations.DOWN,
        key="D", kind="node", label="down", doing="setting down…", done="down", refuse=_down,
        needs_reason=True, takes_out=True, danger="kills",
        drift=TAKES_OUT, help="out of service at once: Slurm kills every job on the node",
    ),
    Action(
        id="reboot", operation=operations.REBOOT,
        key="b", kind="node", label="reboot", doing="rebooting…", done="rebooted", refuse=reboot_refusal,
        needs_reason=True, takes_out=True, count_confirmed=True, option_fields=("next_state",),
        drift=TAKES_OUT, help="reboot after its last job (ASAP); a drained node comes back down",
    ),
    Action(
        id="requeue", operation=operations.REQUEUE,
        key="Q", kind="job", label="requeue", doing="requeuing…", done="requeued", refuse=_requeue,
        danger="kills", drift=ENDS_JOB, help="kill the running work and put the job back in the queue",
    ),
    Action(
        id="requeuehold", operation=operations.REQUEUE_HOLD,
        key="W", kind="job", label="requeue and hold", doing="requeuing…", done="requeued and held",
        refuse=_requeue, danger="kills", drift=ENDS_JOB, help="requeue, and wait for a release before it runs again",
    ),
    Action(
        id="hold", operation=operations.HOLD,
        key="H", kind="job", label="hold", doing="holding…", done="held", refuse=_hold,
        inverse="release", drift=WAITS, help="keep a waiting job from starting; its owner cannot lift it",
    ),
    Action(
        id="uhold", operation=operations.USER_HOLD,
        key="U", kind="job", label="user hold", doing="holding…", done="held for its owner", refuse=_uhold,
        inverse="release", drift={**WAITS, **EASES_HOLD}, help="the polite hold: the owner can lift it",
    ),
    Action(
        id="release", operation=operations.RELEASE,
        key="R", kind="job", label="release", doing="releasing…", done="released", refuse=_release,
        inverse="hold", drift=EASES_HOLD, help="let a held job start",
    ),
    Action(
        id="priority", operation=operations.PRIORITY,
        key="P", kind="job", label="priority", doing="changing…", done="changed", refuse=_priority,
        inverse="priority", drift={**WAITS, "value": "goes"},  # Slurm raises it with age
        help="give a waiting job another priority; from then on it is fixed",
        value=Value(noun="priority", example="a whole number", parse=_priority_text, current=_priority_of,
                    undo_note="it had a priority that Slurm computed; the one put back is fixed"),
    ),
    Action(
        id="cancel", operation=operations.CANCEL,
        key="K", kind="job", label="cancel", doing="cancelling…", done="cancelled", refuse=_cancel,
        danger="kills", drift=ENDS_JOB, help="end the job; running work is lost",
    ),
    Action(
        id="take", operation=CREATE_SILENCES,
        key="a", kind="alert", label="take", doing="taking…", done="taken", refuse=_take, plain_confirmed=True,
        option_fields=("seconds",), inverse="lift", help="I'm on it: a short silence with your name, seen by everybody",
    ),
    Action(
        id="silence", operation=CREATE_SILENCES,
        key="s", kind="alert", label="silence", doing="silencing…", done="silenced", refuse=_silence,
        needs_reason=True, option_fields=("seconds",), inverse="lift", help="keep the alerts quiet for a while",
    ),
    Action(
        id="lift", operation=EXPIRE_SILENCES,
        key="L", kind="silence", label="lift", doing="lifting…", done="lifted", refuse=_lift,
        inverse="silence", help="end a silence: its alerts ring again",
    ),
    *job_actions.ROWS,
    *node_actions.ROWS,
    *partition_actions.ROWS,
    *reservations.ROWS,
    *user_actions.ROWS,
    *incident.ROWS,
]  # fmt: skip
BY_ID = {action.id: action for action in ACTIONS}


def keys_for(kind: Kind) -> tuple[Action, ...]:
    """The actions on targets of this kind, in the order of the table."""
    return tuple(action for action in ACTIONS if action.kind == kind)


class ActionKey(Struct, frozen=True, kw_only=True):
    """A key that changes nothing outside the console. `keys` are Textual's names, `shown` is the text for people."""

    id: str
    keys: tuple[str, ...]
    shown: str
    help: str


NAVIGATION: tuple[ActionKey, ...] = (
    ActionKey(id="quit", keys=("q",), shown="q", help="quit"),
    ActionKey(id="help", keys=("question_mark",), shown="?", help="all keys, and why one is refused"),
    ActionKey(id="filter", keys=("slash",), shown="/", help="filter the rows"),
    ActionKey(id="command", keys=("colon",), shown=":", help="type a command"),
    ActionKey(id="palette", keys=("ctrl+p",), shown="Ctrl+P", help="the palette: everything by name"),
    ActionKey(id="open", keys=("enter",), shown="Enter", help="open what the cursor is on"),
    ActionKey(id="back", keys=("escape",), shown="Esc", help="go back"),
    ActionKey(id="previous", keys=("minus",), shown="-", help="to the view before this one, and back again"),
    ActionKey(id="mark", keys=("space",), shown="Space", help="mark a row; an action takes all marked rows"),
    ActionKey(id="mark_all", keys=("asterisk",), shown="*", help="mark all rows shown, or none"),
    ActionKey(id="cursor_left", keys=("left", "h"), shown="← h", help="left"),
    ActionKey(id="cursor_down", keys=("down", "j"), shown="↓ j", help="down"),
    ActionKey(id="cursor_up", keys=("up", "k"), shown="↑ k", help="up"),
    ActionKey(id="cursor_right", keys=("right", "l"), shown="→ l", help="right"),
    ActionKey(id="page_down", keys=("pagedown",), shown="PgDn", help="a page down"),
    ActionKey(id="page_up", keys=("pageup",), shown="PgUp", help="a page up"),
    ActionKey(id="first", keys=("home",), shown="Home", help="to the first row"),
    ActionKey(id="last", keys=("end",), shown="End", help="to the last row"),
    ActionKey(id="next_pane", keys=("tab",), shown="Tab", help="to the next table or pane"),
    ActionKey(id="order", keys=("o",), shown="o", help="order by the next column"),
    ActionKey(id="reverse", keys=("O",), shown="O", help="turn the order round"),
    ActionKey(id="copy", keys=("y",), shown="y", help="copy the command or query behind it"),
    ActionKey(
        id="copy_rows", keys=("Y",), shown="Y", help="copy the names of the marked rows, else of that of the cursor"
    ),
    ActionKey(id="beside", keys=("w",), shown="w", help="lists: what the cursor is on, beside it; and away again"),
    ActionKey(id="refresh", keys=("ctrl+r",), shown="Ctrl+R", help="read every source again now"),
    ActionKey(id="redraw", keys=("ctrl+l",), shown="Ctrl+L", help="draw the screen again"),
    ActionKey(id="suspend_process", keys=("ctrl+z",), shown="Ctrl+Z", help="to the shell; its fg comes back"),
    ActionKey(
        id="measure", keys=("m",), shown="m", help="what the map shows: state, utilisation, memory, temperature, power"
    ),
    ActionKey(id="ssh", keys=("x",), shown="x", help="ssh to the node, and back"),
    ActionKey(id="log", keys=("J",), shown="J", help="the end of what a job wrote, where you may read it"),
    ActionKey(id="zoom", keys=("z",), shown="z", help="into a rack of the GPU map, and out again"),
    ActionKey(id="charts", keys=("g",), shown="g", help="charts of a node: 1 h, 6 h, 24 h, 7 days"),
    ActionKey(id="overview", keys=("1",), shown="1", help="Overview"),
    ActionKey(id="nodes", keys=("2",), shown="2", help="Nodes"),
    ActionKey(id="jobs", keys=("3",), shown="3", help="Jobs"),
    ActionKey(id="gpus", keys=("4",), shown="4", help="GPUs"),
    ActionKey(id="power", keys=("5",), shown="5", help="Power"),
    ActionKey(id="inbox", keys=("i",), shown="i", help="the drain inbox, and facts that disagree"),
    ActionKey(id="alerts", keys=("6",), shown="6", help="Alerts, folded by what failed together"),
    ActionKey(id="partitions", keys=("7",), shown="7", help="Partitions and Reservations"),
    ActionKey(id="journal", keys=("8",), shown="8", help="Journal: who did what, when, why, and what came of it"),
    ActionKey(id="domains", keys=("V",), shown="V", help="NVLink domains: trays, cliques, fabric, IMEX, and what fits"),
    ActionKey(
        id="cooling", keys=("c",), shown="c", help="Cooling: loops, their water and leaks, and what hangs on each"
    ),
    ActionKey(id="accounts", keys=("A",), shown="A", help="Accounts: who holds what, shares, use and limits"),
    ActionKey(id="fabric", keys=("F",), shown="F", help="Fabric: ports that are down, slow or flap, folded by switch"),
    ActionKey(id="storage", keys=("S",), shown="S", help="Storage: file systems that hang or are missing, and where"),
    ActionKey(id="clusters", keys=("9",), shown="9", help="Clusters: all that are known, one a line"),
    ActionKey(id="handover", keys=("B",), shown="B", help="Hand-over: since your last shift, and what was left behind"),
    ActionKey(id="common", keys=("equals_sign",), shown="=", help="what the marked nodes have in common"),
    ActionKey(id="vendor", keys=("e",), shown="e", help="a vendor's ticket of the node, to the clipboard"),
    ActionKey(id="next_cluster", keys=("C",), shown="C", help="show the next cluster, where several are configured"),
    ActionKey(id="read_back", keys=("v",), shown="v", help="journal: see what came of an action without a result"),
    ActionKey(id="look_back", keys=("T",), shown="T", help="look back at what was recorded, and back to the present"),
    ActionKey(id="play", keys=("p",), shown="p", help="recording: play, pause"),
    ActionKey(id="slower", keys=("left_square_bracket",), shown="[", help="recording: slower (×1, ×10, ×60, ×600)"),
    ActionKey(id="faster", keys=("right_square_bracket",), shown="]", help="recording: faster"),
    ActionKey(id="earlier", keys=("comma",), shown=",", help="recording: the moment before"),
    ActionKey(id="later", keys=("full_stop",), shown=".", help="recording: the next moment"),
    ActionKey(id="far_back", keys=("less_than_sign",), shown="<", help="recording: ten minutes back"),
    ActionKey(id="far_on", keys=("greater_than_sign",), shown=">", help="recording: ten minutes on"),
    ActionKey(id="next_mark", keys=("n",), shown="n", help="recording: the next alert, action or failure"),
    ActionKey(id="last_mark", keys=("N",), shown="N", help="recording: the alert, action or failure before"),
    ActionKey(id="go_to", keys=("t",), shown="t", help="recording: go to a moment (03:12, -15m)"),
    ActionKey(
        id="undo", keys=("Z",), shown="Z", help="undo what the cursor is on in the journal, else your last action"
    ),
)


def key_table(shown: Mapping[str, str] | None = None) -> str:
    """Both tables in Markdown, as printed by `wacht keys` and the documentation. `shown` maps ids to remapped keys."""
    keys = {**{one.id: one.key for one in ACTIONS}, **{one.id: one.shown for one in NAVIGATION}, **(shown or {})}
    lines = ["| key | name | action | on | asks for | what it does |", "|---|---|---|---|---|---|"]
    for action in ACTIONS:
        count = action.danger == "kills" or action.count_confirmed
        asks = [f"a {action.value.noun}"] if action.value is not None else []
        asks += [word for word, needed in (("a reason", action.needs_reason), ("the count", count)) if needed]
        # Without a key it is typed: `:NAME`, `wacht act NAME`.
        said = f"`{action.id}` | {action.label} | {action.kind} | {', '.join(asks) or 'y'} | {action.help}"
        lines.append(f"| {_code(keys[action.id])} | {said} |")
    lines += ["", "| key | what it does |", "|---|---|"]
    lines += [f"| {_code(keys[key.id])} | {key.help} |" for key in NAVIGATION]
    return "\n".join(lines) + "\n"


def aligned(table: str) -> str:
    """Markdown tables as plain text in columns, for a terminal."""
    out: list[str] = []
    for block in table.strip().split("\n\n"):
        rows = [_cells(row) for row in block.splitlines() if not row.startswith("|---")]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        out += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        out.append("")
    return "\n".join(out[:-1]) + "\n"


def _cells(row: str) -> list[str]:
    """The cells of a Markdown row. A key that is itself `|` is in backticks."""
    found = re.findall(r"\| ((?:`[^`]*`|[^|`])*?) (?=\|)", row)
    return [cell.replace("`", "") if cell != "```" else "`" for cell in found]


def _code(key: str) -> str:
    return f"`{key}`" if key else "—"

"""The table of everything that changes the real machine, and the small one of the keys that only move about.

Footer, help, palette, `:` commands, `wacht keys`, read-only and the dialogs all derive from these two tables: a key,
a word or a refusal stands here once. What Slurm accepts and ignores comes from its source (`_valid_node_state_change`
in node_mgr.c, 22.05 to 26.05) and from live 24.11 and 26.05 controllers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Alert, Cluster, Job, Node, Silence
from collectors.slurm.argv import REASON_CAP

Kind = Literal["node", "job", "alert", "silence"]
Danger = Literal["reversible", "kills"]
Row = Node | Job | Alert | Silence

#: Job states in which Slurm will never do anything with the job again.
ENDED = frozenset({"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE",
                   "OUT_OF_MEMORY", "LAUNCH_FAILED", "REVOKED"})  # fmt: skip
#: A job is held when Slurm gives one of these as the reason for its wait.
HELD_REASONS = frozenset({"JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue", "job requeued in held state",
                          "launch failed requeued held"})  # fmt: skip
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})
#: A node with one of these may hold jobs that Slurm kills when the node is drained.
_POWER = frozenset({"POWERED_DOWN", "POWERING_UP", "POWERING_DOWN"})


class Action(Struct, frozen=True, kw_only=True):
    """One change of the real machine: its key, its words, what it costs, and when it would be in vain."""

    id: str
    """As typed: `wacht act ID`, `:ID`, and the `action` of a Change."""
    key: str
    label: str
    doing: str
    """The word a row shows until a reading proves the change."""
    done: str
    help: str
    kind: Kind
    danger: Danger = "reversible"
    needs_reason: bool = False
    takes_out: bool = False
    """Takes nodes out of service: the share of each partition is told before it is confirmed."""
    counts: bool = False
    """The count is typed even for one: it kills nothing by itself, but nobody should do it by accident."""
    plain: bool = False
    """A plain y does for any number: it hides nothing for long and touches no work."""
    asks: tuple[str, ...] = ()
    """Fields of `console.plan.Options` that it knows: priority, resume_after_s, seconds, next_state."""
    inverse: str | None = None
    """The action that undoes it, None where nothing does."""
    refuse: Callable[[Cluster, Any], str | None]
    """Why this target would be left alone (it does nothing there, or Slurm would refuse), None when it acts."""

    @property
    def needs(self) -> str:
        """What Slurm asks of who does it; an Operator's actions everybody may do to their own jobs."""
        return {"node": "Administrator", "job": "Operator"}.get(self.kind, "")

    def danger_of(self, row: Row) -> Danger:
        """What it costs on this target: a drain kills the jobs of a node that is powered down or on its way."""
        if self.takes_out and isinstance(row, Node) and not _POWER.isdisjoint(row.flags):
            return "kills"
        return self.danger


def tidy(reason: str) -> str:
    """A reason as it will be sent: one line, nothing that steers a terminal, at most 1,000 characters.

    scontrol strips a quote at either end, so they go here, where the person sees it.
    """
    return clean(" ".join(reason.split()))[:REASON_CAP].strip('" ')


def held(job: Job) -> bool:
    """True for a job that will not start before it is released. A running one can be held too: when it is requeued."""
    return job.state in {"REQUEUE_HOLD", "SPECIAL_EXIT"} or job.reason in HELD_REASONS or job.priority == 0


def said(node: Node) -> str:
    """Who gave a node its reason, and the reason: `by nhc "NHC: check_gpu"`; empty when there is none."""
    by = f" by {node.reason_by}" if node.reason_by else ""
    return f'{by} "{node.reason}"' if node.reason else by


def _drain(_: Cluster, node: Node) -> str | None:
    # A second drain would overwrite the first one's reason, which may be the only trace of what is broken.
    return f"already {node.display}{said(node)}" if "DRAIN" in node.flags else None


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


def _over(job: Job) -> str | None:
    if job.state in ENDED:
        return f"it has ended: {job.state}"
    return "it is ending: COMPLETING" if job.state == "COMPLETING" else None


def _down(_: Cluster, node: Node) -> str | None:
    return f"already down{said(node)}" if node.state == "DOWN" else None


def _reboot(_: Cluster, node: Node) -> str | None:
    if not {"REBOOT_REQUESTED", "REBOOT_ISSUED"}.isdisjoint(node.flags):
        return f"a reboot is under way{said(node)}"
    if not _POWER.isdisjoint(node.flags) and "POWERING_UP" not in node.flags:
        return f"powered off: {node.display}"
    return "Slurm knows it as FUTURE: there is nothing to reboot" if node.state == "FUTURE" else None


def _priority(_: Cluster, job: Job) -> str | None:
    if job.state in WAITING:
        return "it is held: Slurm changes its priority only once it is released" if held(job) else None
    return _over(job) or f"only a waiting job has a priority to change: {job.state}"


def _quiet(cluster: Cluster, alert: Alert) -> str | None:
    """Why a silence of this alert would be in vain."""
    standing = [silence for one in alert.silenced_by if (silence := cluster.silences.get(one)) is not None]
    if not standing:
        return None
    one = max(standing, key=lambda silence: silence.ends or 0)
    return f"silenced already by {one.by}: {one.comment}"


def _take(cluster: Cluster, alert: Alert) -> str | None:
    return _quiet(cluster, alert)


def _silence(cluster: Cluster, alert: Alert) -> str | None:
    # Over somebody's "I'm on it" a longer silence is what comes next.
    taken = [one for one in alert.silenced_by if one in cluster.silences and cluster.silences[one].taken]
    return None if len(taken) == len(alert.silenced_by) else _quiet(cluster, alert)


def _lift(_: Cluster, silence: Silence) -> str | None:
    return None if silence.state in {"active", "pending"} else f"it is over: {silence.state}"


def _requeue(_: Cluster, job: Job) -> str | None:
    return "already pending" if job.state in WAITING else _over(job)


def _hold(_: Cluster, job: Job) -> str | None:
    # On a hold of the owner's it acts: the owner could lift that one.
    return _unheld(job) or (f"already held: {job.reason}" if held(job) and job.reason != "JobHeldUser" else None)


def _uhold(_: Cluster, job: Job) -> str | None:
    return _unheld(job) or (f"already held: {job.reason}" if held(job) and job.reason != "JobHeldAdmin" else None)


def _unheld(job: Job) -> str | None:
    if job.state in WAITING:
        return None
    # Legal while it runs, but it changes nothing there and surprises whoever requeues the job later.
    return _over(job) or f"only a waiting job can be held: {job.state}"


def _release(_: Cluster, job: Job) -> str | None:
    return _over(job) or (None if held(job) else f"not held: {job.state}")


def _cancel(_: Cluster, job: Job) -> str | None:
    return _over(job)


ACTIONS: tuple[Action, ...] = (
    Action(
        id="drain", key="d", kind="node", label="drain", doing="draining…", done="drained", refuse=_drain,
        needs_reason=True, takes_out=True, asks=("resume_after_s",), inverse="undrain",
        help="no new work on the node; running jobs go on until they end",
    ),
    Action(
        id="undrain", key="u", kind="node", label="undrain", doing="undraining…", done="undrained", refuse=_undrain,
        inverse="drain", help="take the drain off; a node that is down stays down",
    ),
    Action(
        id="resume", key="r", kind="node", label="resume", doing="resuming…", done="resumed", refuse=_resume,
        inverse="drain", help="back into service from down, drained or failed, once it looks fit",
    ),
    Action(
        id="down", key="D", kind="node", label="down", doing="setting down…", done="down", refuse=_down,
        needs_reason=True, takes_out=True, danger="kills",
        help="out of service at once: Slurm kills every job on the node",
    ),
    Action(
        id="reboot", key="b", kind="node", label="reboot", doing="rebooting…", done="rebooted", refuse=_reboot,
        needs_reason=True, takes_out=True, counts=True, asks=("next_state",),
        help="reboot after its last job (ASAP); a drained node comes back down",
    ),
    Action(
        id="requeue", key="Q", kind="job", label="requeue", doing="requeuing…", done="requeued", refuse=_requeue,
        danger="kills", help="kill the running work and put the job back in the queue",
    ),
    Action(
        id="requeuehold", key="W", kind="job", label="requeue and hold", doing="requeuing…", done="requeued and held",
        refuse=_requeue, danger="kills", help="requeue, and wait for a release before it runs again",
    ),
    Action(
        id="hold", key="H", kind="job", label="hold", doing="holding…", done="held", refuse=_hold,
        inverse="release", help="keep a waiting job from starting; its owner cannot lift it",
    ),
    Action(
        id="uhold", key="U", kind="job", label="user hold", doing="holding…", done="held for its owner", refuse=_uhold,
        inverse="release", help="the polite hold: the owner can lift it",
    ),
    Action(
        id="release", key="R", kind="job", label="release", doing="releasing…", done="released", refuse=_release,
        inverse="hold", help="let a held job start",
    ),
    Action(
        id="priority", key="P", kind="job", label="priority", doing="changing…", done="changed", refuse=_priority,
        asks=("priority",), inverse="priority", help="give a waiting job another priority; from then on it is fixed",
    ),
    Action(
        id="cancel", key="K", kind="job", label="cancel", doing="cancelling…", done="cancelled", refuse=_cancel,
        danger="kills", help="end the job; running work is lost",
    ),
    Action(
        id="take", key="a", kind="alert", label="take", doing="taking…", done="taken", refuse=_take, plain=True,
        asks=("seconds",), inverse="lift", help="I'm on it: a short silence with your name, seen by everybody",
    ),
    Action(
        id="silence", key="s", kind="alert", label="silence", doing="silencing…", done="silenced", refuse=_silence,
        needs_reason=True, asks=("seconds",), inverse="lift", help="keep the alerts quiet for a while",
    ),
    Action(
        id="lift", key="L", kind="silence", label="lift", doing="lifting…", done="lifted", refuse=_lift,
        inverse="silence", help="end a silence: its alerts ring again",
    ),
)  # fmt: skip
BY_ID = {action.id: action for action in ACTIONS}


def keys_for(kind: Kind) -> tuple[Action, ...]:
    """The actions on targets of this kind, in the table's order."""
    return tuple(action for action in ACTIONS if action.kind == kind)


class Key(Struct, frozen=True, kw_only=True):
    """A key that changes nothing outside the console. `keys` are Textual's names, `shown` is what people read."""

    id: str
    keys: tuple[str, ...]
    shown: str
    help: str


NAVIGATION: tuple[Key, ...] = (
    Key(id="quit", keys=("q",), shown="q", help="quit"),
    Key(id="help", keys=("question_mark",), shown="?", help="all keys, and why one is refused"),
    Key(id="filter", keys=("slash",), shown="/", help="filter the rows"),
    Key(id="command", keys=("colon",), shown=":", help="type a command"),
    Key(id="palette", keys=("ctrl+p",), shown="Ctrl+P", help="the palette: everything by name"),
    Key(id="open", keys=("enter",), shown="Enter", help="open what the cursor is on"),
    Key(id="back", keys=("escape",), shown="Esc", help="go back"),
    Key(id="mark", keys=("space",), shown="Space", help="mark a row; an action takes all marked rows"),
    Key(id="mark_all", keys=("asterisk",), shown="*", help="mark all rows shown, or none"),
    Key(id="left", keys=("left", "h"), shown="← h", help="left"),
    Key(id="down", keys=("down", "j"), shown="↓ j", help="down"),
    Key(id="up", keys=("up", "k"), shown="↑ k", help="up"),
    Key(id="right", keys=("right", "l"), shown="→ l", help="right"),
    Key(id="order", keys=("o",), shown="o", help="order by the next column"),
    Key(id="reverse", keys=("O",), shown="O", help="turn the order round"),
    Key(id="copy", keys=("y",), shown="y", help="copy the command or query behind it"),
    Key(id="redraw", keys=("ctrl+l",), shown="Ctrl+L", help="draw the screen again"),
    Key(
        id="measure", keys=("m",), shown="m", help="what the map shows: state, utilisation, memory, temperature, power"
    ),
    Key(id="ssh", keys=("x",), shown="x", help="ssh to the node, and back"),
    Key(id="zoom", keys=("z",), shown="z", help="into a rack of the GPU map, and out again"),
    Key(id="charts", keys=("g",), shown="g", help="charts of a node: 1 h, 6 h, 24 h, 7 days"),
    Key(id="overview", keys=("1",), shown="1", help="Overview"),
    Key(id="nodes", keys=("2",), shown="2", help="Nodes"),
    Key(id="jobs", keys=("3",), shown="3", help="Jobs"),
    Key(id="gpus", keys=("4",), shown="4", help="GPUs"),
    Key(id="power", keys=("5",), shown="5", help="Power"),
    Key(id="inbox", keys=("i",), shown="i", help="the drain inbox, and facts that disagree"),
    Key(id="alerts", keys=("6",), shown="6", help="Alerts, folded by what failed together"),
    Key(id="partitions", keys=("7",), shown="7", help="Partitions and Reservations"),
    Key(id="journal", keys=("8",), shown="8", help="Journal: who did what, when, why, and what came of it"),
    Key(id="read_back", keys=("v",), shown="v", help="journal: see what came of an action without a result"),
    Key(id="undo", keys=("Z",), shown="Z", help="undo what the cursor is on in the journal, else your last action"),
)


def key_table() -> str:
    """Both tables in Markdown, as `wacht keys` and the documentation print them."""
    lines = ["| key | action | on | asks for | what it does |", "|---|---|---|---|---|"]
    for action in ACTIONS:
        count = action.danger == "kills" or action.counts
        asks = [word for word, needed in (("a reason", action.needs_reason), ("the count", count)) if needed]
        lines.append(f"| `{action.key}` | {action.label} | {action.kind} | {', '.join(asks) or 'y'} | {action.help} |")
    lines += ["", "| key | what it does |", "|---|---|"]
    lines += [f"| `{key.shown}` | {key.help} |" for key in NAVIGATION]
    return "\n".join(lines) + "\n"

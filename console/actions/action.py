"""The type of an action: one change of the real machine with its texts, its danger, when it is refused, and how it is
verified. The rows are in `console.actions.registry`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from collectors.clean import clean
from collectors.jobstate import ENDED
from collectors.model import Alert, Change, Cluster, Job, Node, Operation, Partition, Reservation, Silence, User
from collectors.slurm.operations import REASON_CAP

from .drift_rules import RULES, Drift, DriftRule

Kind = Literal["node", "job", "alert", "silence", "partition", "reservation", "user"]
Danger = Literal["reversible", "kills"]
Row = Node | Job | Alert | Silence | Partition | Reservation | User
#: Kind of target to the field of a Cluster that holds its rows.
ROWS: Mapping[Kind, str] = {
    "node": "nodes", "job": "jobs", "alert": "alerts", "silence": "silences", "partition": "partitions",
    "reservation": "reservations", "user": "users",
}  # fmt: skip

#: A node with one of these may hold jobs that Slurm kills when the node is drained.
POWERED = frozenset({"POWERED_DOWN", "POWERING_UP", "POWERING_DOWN"})


#: Kind of target to the AdminLevel that Slurm requires to change it.
_NEEDS = {"node": "Administrator", "partition": "Administrator", "job": "Operator", "reservation": "Operator",
          "user": "Operator"}  # fmt: skip


class Value(Struct, frozen=True, kw_only=True):
    """The value that an action sets on each target: a time limit, a partition, a comment."""

    noun: str
    """Its name for people: "time limit"."""
    example: str
    """Examples of what may be typed: "4h, 2-12:00:00 or unlimited"."""
    parse: Callable[[str], str]
    """Typed text to the value as it is sent and shown. Raises ValueError with examples."""
    current: Callable[[Any], str | None]
    """The current value of a row, in the form of `parse`; None is unknown. It verifies the change, and an undo restores
    it."""
    complete: Callable[[Any, str, float], str] | None = None
    """What a row is given, where that is more than was typed: from the row, that, and the time (epoch)."""
    undo_note: str = ""
    """What a person must know before an old value is put back."""
    on_demand: bool = False
    """Whether no poll reads the current value: it is read before the action is planned."""


class Creation(Struct, frozen=True, kw_only=True):
    """What an action creates from all its targets together (a reservation of nodes). It is done for all or none, and
    the created object verifies it."""

    kind: Kind
    """The kind of object that is created."""
    invalid: Callable[[Cluster, Sequence[str], Any, float], str | None]
    """From cluster, targets, `console.actions.plan.Options` and time (epoch): why it is refused, else None."""
    break_glass: Callable[[Cluster, Sequence[str], Any], tuple[str, str] | None]
    """From cluster, targets and Options: the word to type and why, where the glass must be broken; else None."""
    complete_change: Callable[[Change, Any, str | None], Change]
    """The complete Change, from the Change, the Options and the reason."""
    exists: Callable[[Cluster, str, str], bool]
    """Whether the created object exists and contains this target; by its name in `Change.values`."""


class Action(Struct, frozen=True, kw_only=True):
    """One change of the real machine: key, texts, danger, confirmation, refusals, verification."""

    id: str
    """Typed in `wacht act ID` and `:ID`; the `action` of a Change."""
    key: str
    label: str
    doing: str
    """The text that a row shows until a reading verifies the change."""
    done: str
    help: str
    kind: Kind
    operation: Operation | None = None
    """What its writer is asked to do; None for the command of a site's own action."""
    danger: Danger = "reversible"
    needs_reason: bool = False
    takes_out: bool = False
    """Takes nodes out of service: the preview shows the share of each partition."""
    count_confirmed: bool = False
    """The count must be typed even for one target, to prevent accidents, though it kills nothing."""
    batched: bool = False
    """Goes in batches although it kills nothing, to spare power and cooling."""
    unobservable: bool = False
    """No reading can show its effect: its result is the exit status of the command."""
    plain_confirmed: bool = False
    """A plain y confirms any number of targets: it affects no work."""
    option_fields: tuple[str, ...] = ()
    """Fields of `console.actions.plan.Options` that it accepts: priority, resume_after_s, seconds, next_state."""
    inverse: str | None = None
    """Id of the action that undoes it, None where none does."""
    refuse: Callable[[Cluster, Any], str | None]
    """Why this target is skipped (no effect, or Slurm would refuse); None where the action applies."""
    drift: Mapping[Drift, DriftRule] = field(default_factory=dict)
    """Exceptions to `drift_rules.RULES`: the rule for a target that changed between preview and confirmation."""
    value: Value | None = None
    """The value that it sets on each target: `--value`, or the word after the targets."""
    proof: Callable[[Any, Any], bool | None] | None = None
    """From the rows before and after: whether the change was done; None if that can no longer be known. Without it and
    without a value, `console.actions.verification.is_done` decides."""
    creates: Creation | None = None
    prefill: str = ""
    """Text that its key or the palette puts behind the targets in the command line, where more must be typed."""
    argv: tuple[str, ...] = ()
    """The command of a site's own action (console/config/plugins.py), run once for each target."""
    deadline_s: float = 30.0
    """Longest run time (seconds) of that command."""

    def rule(self, drift: Drift) -> DriftRule:
        """The rule for a target that changed in this way between preview and confirmation."""
        return self.drift.get(drift, RULES[drift])

    @property
    def result_kind(self) -> Kind:
        """The kind of row in which its effect is seen."""
        return self.kind if self.creates is None else self.creates.kind

    @property
    def binding(self) -> str:
        """Its key as bound in code. Without a key, a name that no terminal sends, for a site to map."""
        return self.key or f"act-{self.id}"

    @property
    def read_by_name(self) -> bool:
        """True where no poll reads what verifies it: targets must be read by name."""
        return self.kind == "user" or (self.value is not None and self.value.on_demand)

    @property
    def unverifiable(self) -> bool:
        """True where no reading can verify it."""
        return self.unobservable or bool(self.argv)

    @property
    def admin_level(self) -> str:
        """The AdminLevel that Slurm requires; users may do Operator actions on their own jobs."""
        return _NEEDS.get(self.result_kind, "")

    def danger_of(self, row: Row) -> Danger:
        """Its danger for this target: a drain kills the jobs of a node that is powered down, powering up or down."""
        if self.takes_out and isinstance(row, Node) and not POWERED.isdisjoint(row.flags):
            return "kills"
        return self.danger


def rows_of(action: Action, cluster: Cluster) -> Mapping[str, Row]:
    """All rows of the kind that an action is for."""
    rows: Mapping[str, Row] = getattr(cluster, ROWS[action.kind])
    return rows


def clean_reason(reason: str) -> str:
    """A reason as it will be sent: one line, no control characters, at most 1,000 characters.

    Quotes at either end are removed, since scontrol would strip them unseen.
    """
    return clean(" ".join(reason.split()))[:REASON_CAP].strip('" ')


def signed_reason(node: Node) -> str:
    """Author and text of a node's reason: `by nhc "NHC: check_gpu"`; "" without one."""
    by = f" by {node.reason_by}" if node.reason_by else ""
    return f'{by} "{node.reason}"' if node.reason else by


def ended_reason(job: Job) -> str | None:
    """Why a job can no longer be changed; None while it can."""
    if job.state in ENDED:
        return f"it has ended: {job.state}"
    return "it is ending: COMPLETING" if job.state == "COMPLETING" else None

"""What an action is: one change of the real machine, with its words, its cost, when it would be in vain, and how it is
spelt and proven where that is its own affair. The rows stand in `console.actions.registry`."""

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
#: Kind of targets to the field of a Cluster that holds their rows, the kinds whose facts are read over Slurm.
ROWS: Mapping[Kind, str] = {
    "node": "nodes", "job": "jobs", "alert": "alerts", "silence": "silences", "partition": "partitions",
    "reservation": "reservations", "user": "users",
}  # fmt: skip

#: Job states in which Slurm will never do anything with the job again.
#: A node with one of these may hold jobs that Slurm kills when the node is drained.
POWERED = frozenset({"POWERED_DOWN", "POWERING_UP", "POWERING_DOWN"})


#: Kind to the AdminLevel that Slurm asks of who changes it.
_NEEDS = {"node": "Administrator", "partition": "Administrator", "job": "Operator", "reservation": "Operator",
          "user": "Operator"}  # fmt: skip


class Value(Struct, frozen=True, kw_only=True):
    """What a target is given beside the action itself: a time limit, a partition, a comment."""

    noun: str
    """As people call it: "time limit"."""
    example: str
    """How it is typed: "4h, 2-12:00:00 or unlimited"."""
    parse: Callable[[str], str]
    """What was typed as it is sent and shown again. Raises ValueError with what would do."""
    current: Callable[[Any], str | None]
    """What a row has now, spelt as `read` gives it; None is not known. It proves the change, and it is what an undo
    puts back."""
    complete: Callable[[Any, str, float], str] | None = None
    """What a row is given, where that is more than was typed: from the row, that, and the time (epoch)."""
    undo_note: str = ""
    """What a person must know before an old value is put back."""
    on_demand: bool = False
    """Whether no poll holds what a row has now: it is read before the action is planned."""


class Creation(Struct, frozen=True, kw_only=True):
    """Of an action that makes one thing of all its targets (a reservation of nodes): it is done for all of them or for
    none, and what was made is the proof."""

    kind: Kind
    """Of what is made."""
    invalid: Callable[[Cluster, Sequence[str], Any, float], str | None]
    """From the targets, the `console.actions.plan.Options` and the time (epoch): why it would not be made as it was
    said."""
    break_glass: Callable[[Cluster, Sequence[str], Any], tuple[str, str] | None]
    """From the cluster, the targets and the Options: the word that must be typed, and why, where it takes breaking the
    glass."""
    complete_change: Callable[[Change, Any, str | None], Change]
    """The change with what was said beside the targets, from the Options and the reason."""
    exists: Callable[[Cluster, str, str], bool]
    """Whether what was made stands, and this target is in it; by the name that `spell` gave it in `Change.values`."""


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
    operation: Operation | None = None
    """What its writer is asked to do; None for the command of a site's own action."""
    danger: Danger = "reversible"
    needs_reason: bool = False
    takes_out: bool = False
    """Takes nodes out of service: the share of each partition is told before it is confirmed."""
    count_confirmed: bool = False
    """The count is typed even for one: it kills nothing by itself, but nobody should do it by accident."""
    batched: bool = False
    """Goes in batches although it kills nothing: power and cooling should not meet all of it at once."""
    unobservable: bool = False
    """Nothing that can be read shows what it did: it ends with what the command said."""
    plain_confirmed: bool = False
    """A plain y does for any number: it hides nothing for long and touches no work."""
    option_fields: tuple[str, ...] = ()
    """Fields of `console.actions.plan.Options` that it knows: priority, resume_after_s, seconds, next_state."""
    inverse: str | None = None
    """The action that undoes it, None where nothing does."""
    refuse: Callable[[Cluster, Any], str | None]
    """Why this target would be left alone (it does nothing there, or Slurm would refuse), None when it acts."""
    drift: Mapping[Drift, DriftRule] = field(default_factory=dict)
    """What is done about a target that changed between preview and answer, where `drift_rules.RULES` do not say it."""
    value: Value | None = None
    """What it sets on each target; `--value` and the word after the targets say it."""
    proof: Callable[[Any, Any], bool | None] | None = None
    """Of its own kind of proof: whether the row after shows, against the one before, that it was done; None is that it
    can no longer tell. Without it and without a value `console.actions.verification.is_done` knows."""
    creates: Creation | None = None
    prefill: str = ""
    """What stands behind the targets in the line that its key or the palette opens, where more must be said."""
    argv: tuple[str, ...] = ()
    """The command of a site's own action (console/config/plugins.py), run once for each target; no reading proves
    it."""
    deadline_s: float = 30.0
    """Of that command."""

    def rule(self, drift: Drift) -> DriftRule:
        """What is done about a target that changed in this way between preview and answer."""
        return self.drift.get(drift, RULES[drift])

    @property
    def result_kind(self) -> Kind:
        """The kind of rows in which what it did is seen."""
        return self.kind if self.creates is None else self.creates.kind

    @property
    def binding(self) -> str:
        """Its key as the code binds it; one that no terminal sends where it has none: a site may give it one."""
        return self.key or f"act-{self.id}"

    @property
    def read_by_name(self) -> bool:
        """True where no poll holds what shows that it was done: it must be read by name."""
        return self.kind == "user" or (self.value is not None and self.value.on_demand)

    @property
    def unverifiable(self) -> bool:
        """True where no reading can prove it."""
        return self.unobservable or bool(self.argv)

    @property
    def admin_level(self) -> str:
        """What Slurm asks of who does it; an Operator's actions everybody may do to their own jobs."""
        return _NEEDS.get(self.result_kind, "")

    def danger_of(self, row: Row) -> Danger:
        """What it costs on this target: a drain kills the jobs of a node that is powered down or on its way."""
        if self.takes_out and isinstance(row, Node) and not POWERED.isdisjoint(row.flags):
            return "kills"
        return self.danger


def rows_of(action: Action, cluster: Cluster) -> Mapping[str, Row]:
    """All rows of the kind that an action is for."""
    rows: Mapping[str, Row] = getattr(cluster, ROWS[action.kind])
    return rows


def clean_reason(reason: str) -> str:
    """A reason as it will be sent: one line, nothing that steers a terminal, at most 1,000 characters.

    scontrol strips a quote at either end, so they go here, where the person sees it.
    """
    return clean(" ".join(reason.split()))[:REASON_CAP].strip('" ')


def signed_reason(node: Node) -> str:
    """Who gave a node its reason, and the reason: `by nhc "NHC: check_gpu"`; empty when there is none."""
    by = f" by {node.reason_by}" if node.reason_by else ""
    return f'{by} "{node.reason}"' if node.reason else by


def ended_reason(job: Job) -> str | None:
    """Why nothing can be done with a job any more, None while it lives."""
    if job.state in ENDED:
        return f"it has ended: {job.state}"
    return "it is ending: COMPLETING" if job.state == "COMPLETING" else None

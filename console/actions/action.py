"""The type of an action: one change of the real machine with its texts, its danger, when it is refused, and how it is
verified. The rows are in `console.actions.registry`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from collectors.clean import clean
from collectors.jobstate import ENDED
from collectors.model import Change, Cluster, Job, Node, Operation, Row
from collectors.slurm.operations import REASON_CAP
from console.preflight.checks import Check, PreflightContext, RowCheck

from .drift_rules import RULES, Drift, DriftRule
from .options import Guard, Options

Kind = Literal["node", "job", "alert", "silence", "partition", "reservation", "user"]
Danger = Literal["reversible", "kills"]
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
    form: str = "VALUE"
    """What may be typed, in short, for the signature in the command line: "4h | +2h | UNLIMITED"."""
    example: str
    """Examples of what may be typed: "4h, 2-12:00:00 or unlimited"."""
    parse: Callable[[str], str]
    """Typed text to the value as it is sent and shown. Raises ValueError with examples."""
    current: Callable[[Any], str | None]
    """The current value of a row, in the form of `parse`; None is unknown. It verifies the change, and an undo restores
    it."""
    complete: Callable[[Any, str, float], str] | None = None
    """From the row, the typed value and the time (epoch): the complete value, if more than what was typed is set."""
    undo_note: str = ""
    """What a person must know before an old value is put back."""
    on_demand: bool = False
    """Whether no poll reads the current value: it is read before the action is planned."""
    not_restorable: Callable[[str, float], str | None] | None = None
    """From an old value and the time (epoch): why an undo cannot put it back; None where it can."""
    draft: Callable[[Cluster, Sequence[str]], str] | None = None
    """From cluster and targets: the text to start from where none was typed."""
    addressed: bool = False
    """Whether it is sent to the user of the job, so that the preview names the user."""


class Creation(Struct, frozen=True, kw_only=True):
    """What an action creates from all its targets together (a reservation of nodes). It is done for all or none, and
    the created object verifies it."""

    kind: Kind
    """The kind of object that is created."""
    invalid: Callable[[Cluster, Sequence[str], Options, float], str | None]
    """From cluster, targets, options and time (epoch): why it is refused, else None."""
    break_glass: Callable[[Cluster, Sequence[str], Options], tuple[str, str] | None]
    """From cluster, targets and options: the word to type and why, for a break-glass confirmation; else None."""
    exists: Callable[[Cluster, str, str], bool]
    """Whether the created object exists and contains this target; by its name in `Change.values`."""


class ChangeInputs(Struct, frozen=True, kw_only=True):
    """What completes a Change besides its targets and values."""

    rows: Mapping[str, Row]
    """Target to its row."""
    cluster: Cluster
    options: Options
    guard: Guard
    reason: str | None
    """The reason as it is sent; `…` in a preview without one, None where the action has none."""
    typed_reason: str | None
    """The reason as the person typed it."""
    person: str


class Expected(Struct, frozen=True, kw_only=True):
    """What was sent for one target, as a reading must show it."""

    reason: str | None = None
    resume_after_s: int | None = None
    value: str | None = None


def expected(change: Change, target: str) -> Expected:
    """What a reading must show of this target."""
    return Expected(
        reason=change.reasons.get(target, change.reason),
        resume_after_s=change.resume_after_s,
        value=change.values.get(target),
    )


#: From the rows before and after (None: no longer listed) and what was sent: whether the change was done; None if that
#: can no longer be known.
Proof = Callable[[Any, Any, Expected], bool | None]
#: The same in stages, from the last stage too: whether it was done, the next stage, and a note once it is done.
StagedProof = Callable[[Any, Any, Expected, str], tuple[bool | None, str, str]]
#: What is read on demand before planning: the GPUs of nodes, the details of jobs, the jobs that ask for a reservation.
PreflightRead = Literal["", "gpus", "job details", "jobs of a reservation"]


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
    synonyms: tuple[str, ...] = ()
    """Other words for it, in lower case: Slurm's commands and common words. `:` and the palette find it by them."""
    operation: Operation | None = None
    """The operation of the writer; None for the command of a site's own action."""
    danger: Danger = "reversible"
    needs_reason: bool = False
    takes_out: bool = False
    """Takes nodes out of service: the preview shows the share of each partition."""
    count_confirmed: bool = False
    """The count must be typed even for one target, to prevent accidents, though it kills nothing."""
    batched: bool = False
    """Sent in batches although it kills nothing, to limit the load on power and cooling."""
    unobservable: bool = False
    """No reading can show its effect: its result is the exit status of the command."""
    plain_confirmed: bool = False
    """A plain y confirms any number of targets: it affects no work."""
    option_fields: tuple[str, ...] = ()
    """Fields of `Options` that it accepts: resume_after_s, seconds, next_state, waves, canary, redrain."""
    inverse: str | None = None
    """Id of the action that undoes it, None where none does."""
    refuse: Callable[[Cluster, Any], str | None]
    """Why this target is skipped (no effect, or Slurm would refuse); None where the action applies."""
    drift: Mapping[Drift, DriftRule] = field(default_factory=dict)
    """Exceptions to `drift_rules.RULES`: the rule for a target that changed between preview and confirmation."""
    left_alone: str = ""
    """The targets that `refuse` and the pre-flight skip, for docs/actions.md."""

    # What it sends
    value: Value | None = None
    """The value that it sets on each target: `--value`, or the word after the targets."""
    creates: Creation | None = None
    complete: Callable[[Change, ChangeInputs], Change] | None = None
    """Completes the Change; None where targets, values and reason are complete. Raises ValueError."""
    adjust: Callable[[dict[str, Row], Options, Cluster], tuple[dict[str, Row], Options, dict[str, str]]] | None = None
    """From the rows acted on, options and cluster: the rows and options to go on with, and why others are skipped."""
    marks_taken: bool = False
    """Its silence says that a person takes the alert ("I'm on it")."""
    target_state: str = ""
    """The state, or Slurm's reason for a held job, that it sets: `DOWN`, `JobHeldAdmin`."""
    argv: tuple[str, ...] = ()
    """The command of a site's own action (console/config/plugins.py), run once for each target."""
    deadline_s: float = 30.0
    """Longest run time (seconds) of that command."""

    # Pre-flight, preview and confirmation
    check: RowCheck | None = None
    """The pre-flight check of one target."""
    check_together: Callable[[Mapping[str, Row], PreflightContext], Iterable[Check]] | None = None
    """The pre-flight check of all targets together."""
    preflight_read: PreflightRead = ""
    sources: tuple[str, ...] = ()
    """Further sources that its checks need besides nodes, jobs and rights; `wacht act` reads only these."""
    count_when: Callable[[Any, str], bool] | None = None
    """From a row and its new value: whether the count must be typed."""
    name_confirmed: bool = False
    """The name of a partition that holds much of the machine must be typed."""
    one_key_in_incident: bool = False
    """One key confirms it on the nodes of a declared incident."""
    admin_only: Callable[[Any], bool] | None = None
    """Whether the owner of a job may not do it, only an administrator."""
    withholds: Callable[[Mapping[str, Row], Mapping[str, str], Cluster], tuple[str, ...]] | None = None
    """From rows and new values: the nodes that it withholds from other users."""
    impact: Callable[[Any, bool], Iterable[tuple[str, str, str]]] | None = None
    """From a Plan, and whether all is shown: label, text and role of what changes for users (`impact`)."""
    jobs_note: str = ""
    """Text in the preview about the jobs on its nodes."""

    # Verification and undo
    proof: Proof | None = None
    """Proves that it was done; None where the value of the row does, or nothing can."""
    staged_proof: StagedProof | None = None
    """The same if it has stages; `proof` then says what a reading shows at once."""
    verify_s: float = 60.0
    """Seconds after which a change that no reading shows is unknown."""
    must_register: bool = False
    """A node must register before it is done."""
    done_is_state: bool = False
    """`done` is the name of a state; otherwise it names the event."""
    irreversible: str = ""
    """Why it cannot be undone, with the closest alternative; "" where it can."""
    toggles: bool = False
    """Its inverse undoes it, whatever the state before."""
    prefill: str = ""
    """Text that its key or the palette adds after the targets in the command line, if more must be typed."""
    sample: str = ""
    """An example of its value, for docs/actions.md."""
    sample_settings: Mapping[str, str] = field(default_factory=dict)
    """Example settings, for docs/actions.md."""
    samples: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Further examples for docs/actions.md: a title, and fields of `Change`."""

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
    def returns(self) -> bool:
        """Whether it returns nodes to service, and can do so in waves."""
        return "waves" in self.option_fields

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

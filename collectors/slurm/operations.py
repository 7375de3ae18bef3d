"""The changes that Slurm supports: one operation each, with its parameters besides the targets, and its commands.

An action of the console names its operation; the transports and the simulated Slurm dispatch on it. `checked` is the
last check before anything is sent, for every transport; `calls` spells the commands of scontrol, scancel and sacctmgr.
Pure.

Seen on live 24.11.5 and 26.05.5 controllers: `ResumeAfter` is in seconds and at most what fits an epoch; a priority of
0 is a hold, and the two highest numbers are Slurm's own; `reboot` takes its options before the nodes, `nextstate` only
as RESUME or DOWN, and a reason with any sign in it as one word; an update takes many job ids, joined by commas;
scancel signals the steps of a job and not its batch script, or (`--batch`) the script alone; a partition that is down
accepts jobs, which wait.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import ClassVar

from collectors.clean import clean
from collectors.model import Change, Operation
from collectors.nodeset import expand, fold_for_slurm

REASON_CAP = 1000
#: Job ids in one call: the controller processes them one by one, and an operator may want to stop in between.
BATCH = 500
#: Lowest priority that does not hold the job, and the highest that Slurm accepts.
PRIORITIES = (1, 0xFFFFFFFD)
#: Shortest and longest time in seconds until Slurm resumes a node by itself: below a minute no reading shows it
#: drained.
RESUME_AFTER_S = (60, 365 * 86_400)
#: Shortest and longest reservation, in seconds.
RESERVATION_S = (60, 366 * 86_400)
#: The highest nice value that Slurm accepts; higher numbers have special meanings.
NICE_MOST = 2_147_483_645
#: Slurm's word for no time limit, for running and waiting jobs.
UNLIMITED = "UNLIMITED"
SIGNALS = ("USR1", "USR2", "TERM", "INT", "HUP", "QUIT", "KILL", "STOP", "CONT")
RESERVATION_FLAGS = ("MAINT", "IGNORE_JOBS", "OVERLAP", "FLEX", "MAGNETIC", "DAILY", "WEEKLY", "WEEKDAY", "WEEKEND")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ID = re.compile(r"[0-9]{1,10}(?:_[0-9]{1,10}|\+[0-9]{1,5})?")
#: The login of a user; slurmdbd keeps it in lower case.
LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
#: Kind of target to the pattern that its names must match.
FORMS: Mapping[str, re.Pattern[str]] = {
    "node": NAME, "job": ID, "partition": NAME, "reservation": NAME, "user": LOGIN,
}  # fmt: skip

TEXT = re.compile(rf"[^\x00-\x1f\x7f]{{0,{REASON_CAP}}}")
FEATURES = re.compile(r"[A-Za-z0-9_.=:-]+(?:,[A-Za-z0-9_.=:-]+)*|")
#: A time limit as Slurm prints it: whole minutes, at most ten years; or none.
TIME_LIMIT_FORM = re.compile(rf"(?:[0-9]{{1,4}}-)?[0-9]{{1,2}}:[0-9]{{2}}:00|{UNLIMITED}")
#: Names of partitions, QOS and the like; a pending job may request several partitions.
NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:,[A-Za-z0-9][A-Za-z0-9._-]*)*")
NICE_FORM = re.compile(r"-?[0-9]{1,10}")
PRIORITY_FORM = re.compile(r"[1-9][0-9]{0,9}")
#: A node set; "" removes it.
NODES = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._,\[\]-]{0,99999})?")
#: scontrol would read a message that begins with a dash as an option.
MESSAGE = re.compile(r"(?!-)[^\x00-\x1f\x7f]{1,1000}")
SIGNAL_FORM = re.compile(f"(?:B:)?(?:{'|'.join(SIGNALS)})")
EPOCH = re.compile(r"[0-9]{9,11}")
#: A time as it is shown and written to the journal: UTC, to the second.
MOMENT = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z")
#: Account to its restored limit: `ml=-1,physics=20`; -1 is no limit of its own.
LIMITS_FORM = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._-]*=(?:-1|[0-9]{1,9})(?:,[A-Za-z0-9_][A-Za-z0-9._-]*=(?:-1|[0-9]{1,9}))*"
)
_OWNERS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:,[A-Za-z0-9_][A-Za-z0-9._-]*)*")
RESERVATION_OWNERS = _OWNERS
_FLAG = "|".join(RESERVATION_FLAGS)
_RESERVATION: Mapping[str, re.Pattern[str]] = {
    "name": NAME, "start": re.compile(r"now|[0-9]{9,11}"), "for": re.compile(r"[0-9]{2,8}"), "users": _OWNERS,
    "accounts": _OWNERS, "flags": re.compile(rf"(?:{_FLAG})(?:,(?:{_FLAG}))*"),
}  # fmt: skip

Words = tuple[str, ...]
#: One command with its arguments, and the targets that it is for.
Call = tuple[Words, tuple[str, ...]]


class SlurmOperation(Operation, frozen=True, kw_only=True):
    """One kind of request to Slurm. The same operation is the same value, so it serves as a key."""

    kind: ClassVar[str] = "job"
    """What its targets are."""
    takes_reason: ClassVar[bool] = False
    """Whether it needs a reason; each target may have its own."""
    takes_arrays: ClassVar[bool] = False
    """Whether the id of an array (`Change.arrays`) stands for its tasks, and leaves those alone that have ended."""

    @property
    def value_form(self) -> re.Pattern[str] | None:
        """Pattern of a target's value; None if the operation takes no values."""
        return None

    @property
    def setting_form(self) -> re.Pattern[str] | None:
        """Pattern of a setting; None if the operation takes none."""
        return None

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """The commands for these targets, which were checked before. Raises ValueError if something is missing."""
        raise NotImplementedError


class NodeState(SlurmOperation, frozen=True, kw_only=True):
    """Set the state of nodes; DRAIN and DOWN need a reason, DRAIN may end by itself (`Change.resume_after_s`)."""

    state: str
    kind: ClassVar[str] = "node"

    @property
    def takes_reason(self) -> bool:  # type: ignore[override]
        """True for states out of service: Slurm requires a reason for them."""
        return self.state in {"DRAIN", "DOWN"}

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command for all nodes that get the same reason."""
        return [(_node_state(self.state, some, told), some) for told, some in node_groups(change, names)]


class Reboot(SlurmOperation, frozen=True, kw_only=True):
    """Reboot nodes once their jobs have ended; with `now` they are set down first, which kills the jobs."""

    now: bool = False
    kind: ClassVar[str] = "node"
    takes_reason: ClassVar[bool] = True

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """For each group of nodes with the same reason and next state: down if requested, then reboot."""
        found: list[Call] = []
        for (state, reason), some in node_groups(change, names):
            if self.now:
                found.append((_node_state("DOWN", some, (reason,)), some))
            words = ("scontrol", "reboot", "ASAP", f"nextstate={state}", f"reason={reason}", folded(some))
            found.append((words, some))
        return found


class CancelReboot(SlurmOperation, frozen=True, kw_only=True):
    """Cancel a reboot that waits for jobs to end."""

    kind: ClassVar[str] = "node"

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command."""
        return [(("scontrol", "cancel_reboot", folded(names)), names)]


class PowerNode(SlurmOperation, frozen=True, kw_only=True):
    """Power nodes up or down. POWER_DOWN_ASAP drains and waits for jobs; POWER_DOWN waits and drains nothing (24.11.5,
    26.05.5): new jobs still start there."""

    state: str
    kind: ClassVar[str] = "node"

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command."""
        return [(("scontrol", "update", f"NodeName={folded(names)}", f"State={self.state}"), names)]


class UpdateNode(SlurmOperation, frozen=True, kw_only=True):
    """Set one field of nodes, by the name that scontrol has for it."""

    field: str
    form: re.Pattern[str]
    kind: ClassVar[str] = "node"

    @property
    def value_form(self) -> re.Pattern[str]:
        """The form of the field."""
        return self.form

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command for each value."""
        return [
            (("scontrol", "update", f"NodeName={folded(those)}", f"{self.field}={value}"), those)
            for value, those in by_value(change, names)
        ]


class UpdateJob(SlurmOperation, frozen=True, kw_only=True):
    """Set one field of jobs, by the name that scontrol has for it."""

    field: str
    form: re.Pattern[str]

    @property
    def value_form(self) -> re.Pattern[str]:
        """The form of the field."""
        return self.form

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command for each value and batch."""
        return [
            (("scontrol", "update", f"JobId={','.join(some)}", f"{self.field}={value}"), some)
            for value, those in by_value(change, names)
            for some in batches(those)
        ]


class JobCommand(SlurmOperation, frozen=True, kw_only=True):
    """A command for jobs without further parameters."""

    words: Words
    joined: bool = True
    """Whether the ids are one word, joined by commas."""

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command a batch."""
        return [
            ((*self.words, ",".join(some)) if self.joined else (*self.words, *some), some) for some in batches(names)
        ]


class CancelJob(SlurmOperation, frozen=True, kw_only=True):
    """Cancel jobs; an array whose tasks are all targets by its own id."""

    takes_arrays: ClassVar[bool] = True

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command a batch of ids."""
        array_of = {task: array for array, tasks in change.arrays.items() for task in tasks}
        ids: dict[str, tuple[str, ...]] = {}
        for name in names:
            array = array_of.get(name)
            if array is None:
                ids[name] = (name,)
            elif array not in ids:
                ids[array] = change.arrays[array]
        return [
            (("scancel", *some), tuple(target for one in some for target in ids[one])) for some in batches(tuple(ids))
        ]


class SignalJob(SlurmOperation, frozen=True, kw_only=True):
    """Send a signal to the steps of jobs, or (`B:NAME`) to the batch script alone."""

    @property
    def value_form(self) -> re.Pattern[str]:
        """The names of signals."""
        return SIGNAL_FORM

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command for each signal and batch."""
        found: list[Call] = []
        for value, those in by_value(change, names):
            batch, _, name = value.rpartition(":")
            head: Words = ("scancel", *(("--batch",) if batch else ()), f"--signal={name}")
            found += [((*head, *some), some) for some in batches(those)]
        return found


class NotifyJob(SlurmOperation, frozen=True, kw_only=True):
    """Write a message to the output of jobs."""

    @property
    def value_form(self) -> re.Pattern[str]:
        """One printable line."""
        return MESSAGE

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command a job."""
        return [(("scontrol", "notify", name, change.values[name]), (name,)) for name in names]


class PartitionState(SlurmOperation, frozen=True, kw_only=True):
    """Set the state of partitions: UP or DOWN. Running jobs continue."""

    state: str
    kind: ClassVar[str] = "partition"

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command a partition."""
        return [(("scontrol", "update", f"PartitionName={name}", f"State={self.state}"), (name,)) for name in names]


class CreateReservation(SlurmOperation, frozen=True, kw_only=True):
    """Make one reservation of all target nodes, from `Change.settings`: name, start, for (seconds), users, accounts,
    flags. Times are sent as seconds since the epoch (`uts…`), so no time zone can change them."""

    kind: ClassVar[str] = "node"

    @property
    def value_form(self) -> re.Pattern[str]:
        """Each node's value is the name of the reservation."""
        return NAME

    @property
    def setting_form(self) -> re.Pattern[str]:
        """Checked one by one in `calls`."""
        return re.compile(r"[^\s]{1,100000}")

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command. Raises ValueError if a setting is unknown, missing or malformed."""
        said = change.settings
        for key, text in said.items():
            form = _RESERVATION.get(key)
            if form is None or not form.fullmatch(text):
                raise ValueError(f"a reservation's {key} cannot be sent: {text[:60]!r}")
        if missing := [key for key in ("name", "start", "for") if key not in said]:
            raise ValueError(f"a reservation needs {', '.join(missing)}")
        if "users" not in said and "accounts" not in said:
            raise ValueError("a reservation is for users or accounts")
        seconds, (low, high) = int(said["for"]), RESERVATION_S
        if not low <= seconds <= high or said["name"].upper() == "ALL":
            raise ValueError("a reservation lasts from a minute to a year, and none is called ALL")
        words = ["scontrol", "create", "reservation", f"ReservationName={said['name']}",
                 f"StartTime={said['start'] if said['start'] == 'now' else _uts(said['start'])}",
                 f"Duration={-(-seconds // 60)}", f"Nodes={folded(names)}"]  # fmt: skip
        words += [f"{field}={said[key]}" for key, field in
                  (("users", "Users"), ("accounts", "Accounts"), ("flags", "Flags")) if key in said]  # fmt: skip
        if change.reason:
            words.append(f"Comment={_reason('reservation', change.reason)}")
        return [(tuple(words), names)]


class EndReservation(SlurmOperation, frozen=True, kw_only=True):
    """Give reservations another end (a `MOMENT` each)."""

    kind: ClassVar[str] = "reservation"

    @property
    def value_form(self) -> re.Pattern[str]:
        """UTC, to the second."""
        return MOMENT

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command a reservation."""
        ends = {name: _uts(epoch_of(change.values[name])) for name in names}
        return [(("scontrol", "update", f"ReservationName={name}", f"EndTime={ends[name]}"), (name,)) for name in names]


class DeleteReservation(SlurmOperation, frozen=True, kw_only=True):
    """Delete reservations."""

    kind: ClassVar[str] = "reservation"

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command a reservation."""
        return [(("scontrol", "delete", f"ReservationName={name}"), (name,)) for name in names]


class LimitUser(SlurmOperation, frozen=True, kw_only=True):
    """Stop users from submitting (MaxSubmitJobs=0), or restore the previous limits of their associations.

    `-i` skips sacctmgr's confirmation, since the gate has asked for one. The cluster is always named: without it the
    change would apply to every cluster that slurmdbd keeps.
    """

    restore: bool
    kind: ClassVar[str] = "user"

    @property
    def value_form(self) -> re.Pattern[str] | None:
        """Pattern of the limits to restore."""
        return LIMITS_FORM if self.restore else None

    @property
    def setting_form(self) -> re.Pattern[str]:
        """Pattern of the cluster's name."""
        return NAME

    def calls(self, change: Change, names: tuple[str, ...]) -> list[Call]:
        """One command a user, or one for each limit of a user."""
        cluster = change.settings.get("cluster")
        if not cluster:
            raise ValueError("the cluster of the user is not known")
        found: list[Call] = []
        for name in names:
            head = ("sacctmgr", "-i", "modify", "user", "where", f"name={name}", f"cluster={cluster}")
            if not self.restore:
                found.append(((*head, "set", "MaxSubmitJobs=0"), (name,)))
                continue
            accounts: dict[str, list[str]] = {}
            for one in change.values[name].split(","):
                account, _, limit = one.partition("=")
                accounts.setdefault(limit, []).append(account)
            found += [
                ((*head, f"account={','.join(some)}", "set", f"MaxSubmitJobs={limit}"), (name,))
                for limit, some in accounts.items()
            ]
        return found


DRAIN = NodeState(state="DRAIN")
UNDRAIN = NodeState(state="UNDRAIN")
RESUME = NodeState(state="RESUME")
DOWN = NodeState(state="DOWN")
REBOOT = Reboot()
REBOOT_NOW = Reboot(now=True)
CANCEL_REBOOT = CancelReboot()
POWER_DOWN = PowerNode(state="POWER_DOWN_ASAP")
POWER_UP = PowerNode(state="POWER_UP")
NODE_COMMENT = UpdateNode(field="Comment", form=TEXT)
NODE_FEATURES = UpdateNode(field="ActiveFeatures", form=FEATURES)
#: Without `Incomplete` a requeue also reruns jobs that have ended, even successfully.
REQUEUE = JobCommand(words=("scontrol", "requeue", "Incomplete"))
REQUEUE_HOLD = JobCommand(words=("scontrol", "requeuehold", "Incomplete"))
HOLD = JobCommand(words=("scontrol", "hold"), joined=False)
USER_HOLD = JobCommand(words=("scontrol", "uhold"), joined=False)
RELEASE = JobCommand(words=("scontrol", "release"), joined=False)
CANCEL = CancelJob()
SUSPEND = JobCommand(words=("scontrol", "suspend"))
UNSUSPEND = JobCommand(words=("scontrol", "resume"))
PRIORITY = UpdateJob(field="Priority", form=PRIORITY_FORM)
TIME_LIMIT = UpdateJob(field="TimeLimit", form=TIME_LIMIT_FORM)
JOB_PARTITION = UpdateJob(field="Partition", form=NAMES)
JOB_QOS = UpdateJob(field="QOS", form=NAMES)
NICE = UpdateJob(field="Nice", form=NICE_FORM)
EXCLUDE_NODES = UpdateJob(field="ExcNodeList", form=NODES)
SIGNAL = SignalJob()
NOTIFY = NotifyJob()
PARTITION_DOWN = PartitionState(state="DOWN")
PARTITION_UP = PartitionState(state="UP")
RESERVE = CreateReservation()
EXTEND = EndReservation()
UNRESERVE = DeleteReservation()
BLOCK_USER = LimitUser(restore=False)
UNBLOCK_USER = LimitUser(restore=True)


def operation_of(change: Change) -> SlurmOperation:
    """The operation of a change of Slurm. Raises ValueError for any other change."""
    if not isinstance(change.operation, SlurmOperation) or change.operation.kind != change.kind:
        raise ValueError(f"{change.action} of a {change.kind} is not an action of Slurm's")
    return change.operation


def calls(change: Change) -> list[Call]:
    """Each command with its targets, in order and as few as possible; programs have their plain names.

    Everything is checked before the first one is returned. Raises ValueError if the Change contains anything that is
    not a plain name or id, or if something is missing, duplicated or out of range.
    """
    return operation_of(change).calls(change, checked(change))


def checked(change: Change) -> tuple[str, ...]:
    """The targets, or ValueError. The gate has checked them against the inventory."""
    operation = operation_of(change)
    if not change.targets:
        raise ValueError("no targets: nothing is sent")
    pattern = FORMS[change.kind]
    for name in change.targets:
        if not pattern.fullmatch(name) or name.upper() == "ALL":
            raise ValueError(f"{clean(name)[:60]!r} is no {change.kind} that can be named to Slurm")
    if len(set(change.targets)) != len(change.targets):
        raise ValueError("a target is named twice")
    if change.arrays and not operation.takes_arrays:
        raise ValueError(f"{change.action} takes no arrays")
    targets = frozenset(change.targets)
    for array, tasks in change.arrays.items():
        if not array.isdecimal() or not tasks or not targets.issuperset(tasks):
            raise ValueError(f"not all tasks of array {clean(array)[:20]} are targets")
        if any(task.partition("_")[0] != array for task in tasks):
            raise ValueError(f"a task of another array is given for {array}")
    _check_fields(change, operation)
    return change.targets


def _check_fields(change: Change, operation: SlurmOperation) -> None:
    """Check the other fields: each only with an operation that takes it, complete and within its range. Raises
    ValueError."""
    action, targets = change.action, frozenset(change.targets)
    fields: tuple[tuple[str, Mapping[str, object], bool, bool], ...] = (
        ("value", change.values, operation.value_form is not None, True),
        ("reason of its own", change.reasons, operation.takes_reason, False),
        ("next state", change.next_state, isinstance(operation, Reboot), True),
    )
    for what, given, fits, whole in fields:
        if given and not fits:
            raise ValueError(f"{action} takes no {what}")
        if not given.keys() <= targets:
            raise ValueError(f"a {what} is given for what is no target")
        if fits and whole and given.keys() != targets:
            raise ValueError(f"{action}: a target has no {what}")
    if change.settings and operation.setting_form is None:
        raise ValueError(f"{action} takes no settings")
    for form, sent in ((operation.value_form, change.values), (operation.setting_form, change.settings)):
        if form is not None and (bad := [text for text in sent.values() if not form.fullmatch(text)]):
            raise ValueError(f"{action}: {clean(bad[0])[:60]!r} is nothing that can be sent")
    if not set(change.next_state.values()) <= {"RESUME", "DOWN"}:
        raise ValueError("a node comes back from a reboot with RESUME or DOWN")
    low, high = PRIORITIES
    if operation == PRIORITY and not all(low <= int(one) <= high for one in change.values.values()):
        raise ValueError(f"a priority is a whole number from {low} to {high} (0 would be a hold)")
    after = change.resume_after_s
    low, high = RESUME_AFTER_S
    if after is not None and (operation != DRAIN or type(after) is not int or not low <= after <= high):
        raise ValueError(f"only a drain ends by itself, after {low} s to {high // 86_400} days")


def node_groups(change: Change, names: tuple[str, ...]) -> Iterator[tuple[Words, tuple[str, ...]]]:
    """Groups of nodes with the same arguments beside the state (next state, reason, seconds), after these arguments."""
    operation = operation_of(change)
    groups: dict[Words, list[str]] = {}
    for name in names:
        told: Words = ()
        if operation.takes_reason:
            told = (_reason(change.action, change.reasons.get(name, change.reason)),)
        if isinstance(operation, Reboot):
            told = (change.next_state[name], *told)
        elif change.resume_after_s is not None:
            told = (*told, str(change.resume_after_s))
        groups.setdefault(told, []).append(name)
    return ((told, tuple(some)) for told, some in groups.items())


def _node_state(state: str, names: tuple[str, ...], told: Words) -> Words:
    rest = (f"{key}={value}" for key, value in zip(("Reason", "ResumeAfter"), told, strict=False))
    return ("scontrol", "update", f"NodeName={folded(names)}", f"State={state}", *rest)


def by_value(change: Change, names: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each value once, with the targets that it is for."""
    of = change.values
    for value in dict.fromkeys(of[name] for name in names):
        yield value, tuple(name for name in names if of[name] == value)


def _reason(action: str, text: str | None) -> str:
    """One line, no control characters, capped: it becomes one argument of a command."""
    reason = clean(" ".join((text or "").split()))[:REASON_CAP]
    if not reason:
        raise ValueError(f"a {action} needs a reason")
    return reason


def folded(names: tuple[str, ...]) -> str:
    """The names as one node set, proven to mean exactly these names."""
    text = fold_for_slurm(names)
    if frozenset(expand(text, cap=len(names))) != frozenset(names):
        return ",".join(names)
    return text


def batches(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """At most `BATCH` at a time."""
    for start in range(0, len(names), BATCH):
        yield names[start : start + BATCH]


def _uts(epoch: str | int) -> str:
    return f"uts{epoch}"


def moment_of(epoch: int) -> str:
    """A time (epoch) as the values of `EXTEND` have it."""
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%dT%H:%M:%SZ}"


def epoch_of(moment: str) -> int:
    """The epoch of such a time. Raises ValueError."""
    return int(datetime.fromisoformat(moment).timestamp())

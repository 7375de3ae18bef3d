"""From a frozen Change to the arguments of `write_worker`. Pure."""

from __future__ import annotations

from collectors.model import Change
from collectors.slurm import operations
from collectors.slurm.operations import Call, Words


def calls(change: Change, names: tuple[str, ...]) -> list[Call]:
    """The arguments of `write_worker` for each call, with its targets. Raises ValueError for an operation that pyslurm
    lacks."""
    if isinstance(change.operation, operations.NodeState):
        return [
            ((change.operation.state, *_reason(told), operations.folded(some)), some)
            for told, some in operations.node_groups(change, names)
        ]
    if change.operation == operations.PRIORITY:
        return [
            ((verb(change), f"--priority={value}", *words), some)
            for value, those in operations.by_value(change, names)
            for words, some in _jobs(those)
        ]
    return [((verb(change), *words), some) for words, some in _jobs(names)]


def verb(change: Change) -> str:
    """The name of the change for `write_worker`: the word of scontrol or scancel, or the field that is set."""
    operation = change.operation
    if isinstance(operation, operations.CancelJob):
        return "scancel"
    if isinstance(operation, operations.JobCommand):
        return next((word for word in operation.words if word != "scontrol"), "")
    return operation.field if isinstance(operation, operations.UpdateJob) else ""


def _jobs(names: tuple[str, ...]) -> list[Call]:
    """Jobs split into calls of limited size; the tasks of one array always share a call, `write_worker` groups them."""
    arrays: dict[str, list[str]] = {}
    for name in names:
        if "_" in name:
            arrays.setdefault(name.partition("_")[0], []).append(name)
    plain = tuple(name for name in names if "_" not in name)
    calls: list[Call] = [((",".join(some),), some) for some in operations.batches(plain)]
    return calls + [((operations.folded(tuple(tasks)),), tuple(tasks)) for tasks in arrays.values()]


def _reason(told: Words) -> Words:
    """The argument for a node's reason. Raises ValueError for a drain with an end, which pyslurm does not support."""
    if len(told) > 1:
        raise ValueError("pyslurm cannot drain for a time")
    return tuple(f"--reason={one}" for one in told)

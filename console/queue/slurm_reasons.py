"""Slurm's reasons for a wait in plain words, with this cluster's facts about each. Pure.

The words are those of job_state_reason_string in Slurm (24.11 to 26.05); limits of QOS and associations are in
`limit_hits`. A reason unknown here is shown unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from collectors.model import Cluster, Job, JobDetail, Node
from collectors.nodeset import fold
from widgets.units import clock_span, count, duration, plural, when

from .queue_position import accepts_work, is_maintenance, node_names, partitions_of

_UNAVAILABLE = re.compile(r"UnavailableNodes:(\S+)")
_DEPENDENCY = re.compile(r"([a-z]+):([0-9]+(?:_(?:[0-9]+|\*))?)(?:\+[0-9]+)?\(([a-z]+)\)")
_MAX_NAMED = 3
_NEVER_STARTS = "it will not start as it is"
#: What each kind of dependency waits for.
_DEPENDENCY_TEXT = {
    "after": "to begin", "afterany": "to end", "afterok": "to end well", "afternotok": "to fail",
    "aftercorr": "to end well, task by task", "afterburstbuffer": "to stage out its data",
}  # fmt: skip


class ReasonContext(NamedTuple):
    """The facts that a sentence may use."""

    job: Job
    cluster: Cluster
    now: float
    detail: JobDetail | None

    @property
    def partition(self) -> str:
        """Its partitions, as text."""
        names = partitions_of(self.job)
        return f"partition {names[0]}" if len(names) == 1 else f"partitions {', '.join(names)}" if names else "it"

    def detail_field(self, field: str) -> str | None:
        """A field of the details; None where they are unknown or it is empty."""
        return self.detail.fields.get(field) or None if self.detail is not None else None


def reason_sentence(job: Job, cluster: Cluster, now: float, detail: JobDetail | None) -> str:
    """One sentence for any reason."""
    word = (job.reason or "None").partition(",")[0]
    of = ReasonContext(job, cluster, now, detail)
    if word in _WITH_FACTS:
        return _WITH_FACTS[word](of)
    if word in _FIXED:
        return _FIXED[word]
    if word.startswith("QOSMin"):
        least = f"the least that {f'QOS {job.qos}' if job.qos else 'its QOS'} takes"
        return f"It asks for less than {least} (Slurm says {word}): {_NEVER_STARTS}."
    if word in _ENDED:
        return f"Its last run ended ({word}), and it waits to run again."
    if word.startswith(("BurstBuffer", "burst_buffer")):
        return f"Its burst buffer is not ready (Slurm says {job.reason})."
    return f"Slurm says {job.reason}; wacht knows no more of that."


# -- held, or not yet eligible -----------------------------------------------------------------------------------------


def _none(of: ReasonContext) -> str:
    return "Slurm has not said yet why it waits: its scheduler has not looked at it."


def _begin(of: ReasonContext) -> str:
    at = of.job.expected
    if at is None or at <= of.now:
        return "It may not begin yet: its owner, or its requeue, gave it a time to begin, which Slurm does not report."
    return f"It may not begin before {when(at, None, of.now)}, in {duration(at - of.now)}: so it was asked for."


def _dependency(of: ReasonContext) -> str:
    text = of.detail.dependency if of.detail is not None else None
    if text is None:
        return "It waits for another job, as its owner asked; which one is not known yet."
    said = []
    for kind, job, state in _DEPENDENCY.findall(text):
        if state != "fulfilled":
            said.append(f"job {job} {_DEPENDENCY_TEXT.get(kind, kind)}{_how(of, job)}")
    if "singleton" in text and "singleton(fulfilled)" not in text:
        said.append(f"every other job of {of.job.user} called {of.job.name} to end")
    if not said:
        return f"It waits for another job: {text}."
    more = f" and {count(len(said) - _MAX_NAMED)} others" if len(said) > _MAX_NAMED else ""
    return f"It waits for {(' or ' if '?' in text else ' and ').join(said[:_MAX_NAMED])}{more}."


def _how(of: ReasonContext, job: str) -> str:
    """The state of another job, as text."""
    base = job.removesuffix("_*")
    one = of.cluster.jobs.get(base)
    if one is None:
        tasks = [task for key, task in of.cluster.jobs.items() if key.startswith(f"{base}_")]
        if tasks:
            return f" ({plural(len(tasks), 'task')} of it are in the queue)"
        return " (which is not in the queue any more)" if "jobs" in of.cluster.known else ""
    if one.nodes is None:
        return f" (which waits itself: {one.reason or 'no reason yet'})"
    left = one.left_s(of.now)
    return " (which runs)" if left is None else f" (which runs, {duration(left)} left at most)"


def _never(of: ReasonContext) -> str:
    text = of.detail.dependency if of.detail is not None else None
    on = f" ({text})" if text else ""
    return f"It waits for something of another job that can never happen any more{on}: it will not start."


def _array(of: ReasonContext) -> str:
    base = of.job.id.partition("_")[0]
    run = sum(1 for key, one in of.cluster.jobs.items() if one.nodes is not None and key.startswith(f"{base}_"))
    return f"Array {base} lets only so many of its tasks run at once, and {count(run)} of them run now."


# -- nodes ----------------------------------------------------------------------------------------------------------


def _not_available(of: ReasonContext) -> str:
    reason = of.job.reason or ""
    named = _UNAVAILABLE.search(reason)
    # Nodes that the job requires are more informative than those that Slurm lists, which may be any nodes of the
    # partition.
    names = node_names(of.detail_field("required_nodes")) or (node_names(named[1]) if named else frozenset())
    bad = [
        node for name in sorted(names) if (node := of.cluster.nodes.get(name)) is not None and not accepts_work(node)
    ]
    if bad:
        which = "It insists on" if of.detail_field("required_nodes") else "Slurm keeps it waiting for"
        return f"{which} {_states(of, bad)}."
    kept = _reserved(of, names)
    if kept:
        return kept
    if names:
        return f"Nodes that it needs are not free for it: {fold(sorted(names))} (Slurm says {reason})."
    if "reserved" in reason.lower():
        kept = "a reservation or for a job ahead of it"
        return f"Nodes that it needs may be kept for other work, by {kept} (Slurm says {reason})."
    return f"Nodes that it needs are down, drained or reserved; Slurm does not say which ({reason})."


def _states(of: ReasonContext, nodes: Sequence[Node]) -> str:
    """`gpu0010, which is drained ("bad DIMM", by root, 3h ago)`."""
    if len(nodes) == 1:
        node = nodes[0]
        about = []
        if node.reason:
            about.append(f'"{node.reason}"')
            about += [f"by {node.reason_by}"] if node.reason_by else []
            about += [f"{duration(of.now - node.reason_at)} ago"] if node.reason_at is not None else []
        return f"{node.name}, which is {node.display}" + (f" ({', '.join(about)})" if about else "")
    kinds: dict[str, list[str]] = {}
    for node in nodes:
        kinds.setdefault(node.display, []).append(node.name)
    return ", ".join(f"{fold(names)} ({display})" for display, names in kinds.items())


def _reserved(of: ReasonContext, names: frozenset[str]) -> str:
    """The active reservation on nodes that the job needs."""
    for one in of.cluster.reservations.values():
        on = one.starts is not None and one.starts <= of.now and (one.ends or 0) > of.now
        if on and names & node_names(one.nodes):
            kind = "maintenance" if is_maintenance(one) else "reservation"
            return f"Nodes that it needs are held by {kind} {one.name} until {when(one.ends, None, of.now)}."
    return ""


def _node_down(of: ReasonContext) -> str:
    names = node_names(of.detail_field("required_nodes"))
    bad = [
        node for name in sorted(names) if (node := of.cluster.nodes.get(name)) is not None and not accepts_work(node)
    ]
    return f"It insists on {_states(of, bad)}." if bad else "A node that it needs is down."


def _reservation(of: ReasonContext) -> str:
    name = of.detail_field("resv_name")
    one = of.cluster.reservations.get(name) if name else None
    if one is None:
        said = f"reservation {name}" if name else "its reservation"
        return f"It runs inside {said} alone, and waits for it."
    if one.starts is not None and one.starts > of.now:
        return (f"It runs inside reservation {one.name} alone, which begins at {when(one.starts, None, of.now)}, "
                f"in {duration(one.starts - of.now)}.")  # fmt: skip
    return f"It runs inside reservation {one.name} alone, and waits for room in it."


def _constraints(of: ReasonContext) -> str:
    asks = of.detail.features if of.detail is not None else None
    return "No node can give what it asks for" + (f" (features {asks})" if asks else "") + f": {_NEVER_STARTS}."


# -- the partition --------------------------------------------------------------------------------------------------


def _down(of: ReasonContext) -> str:
    """PartitionDown: jobs may be queued. PartitionInactive: they may not."""
    rows = [row for name in partitions_of(of.job) if (row := of.cluster.partitions.get(name)) is not None]
    states = " and ".join(f"{row.name} is {row.state}" for row in rows if row.state != "UP")
    if not states:
        word = (of.job.reason or "").removeprefix("Partition").lower()
        return f"Slurm calls its partition {word}: nothing starts in it."
    return f"Partition {states}: nothing starts in it until it is set UP."


def _partition_nodes(of: ReasonContext) -> str:
    rows = [row for name in partitions_of(of.job) if (row := of.cluster.partitions.get(name)) is not None]
    has = ", ".join(f"{row.name} has {count(row.node_count)}" for row in rows)
    wants = f"It asks for {plural(of.job.node_count, 'node')}"
    return f"{wants}, which is not what {of.partition} allows" + (f" ({has})." if has else ".")


def _partition_time(of: ReasonContext) -> str:
    rows = [row for name in partitions_of(of.job) if (row := of.cluster.partitions.get(name)) is not None]
    known = [(row.name, row.time_limit_s) for row in rows if row.time_limit_s is not None]
    limits = ", ".join(f"{name} allows {clock_span(seconds)}" for name, seconds in known)
    asks = "more time" if of.job.time_limit_s is None else clock_span(of.job.time_limit_s)
    if not limits:
        return f"It asks for {asks}, more than {of.partition} allows: {_NEVER_STARTS}."
    return f"It asks for {asks} and partition {limits}: {_NEVER_STARTS}."


def _licences(of: ReasonContext) -> str:
    asks = of.detail_field("licenses")
    return f"It waits for licences that others hold{f': it asks for {asks}' if asks else ''}."


_WITH_FACTS: dict[str, Callable[[ReasonContext], str]] = {
    "None": _none,
    "BeginTime": _begin,
    "Dependency": _dependency,
    "DependencyNeverSatisfied": _never,
    "JobArrayTaskLimit": _array,
    "ReqNodeNotAvail": _not_available,
    "NodeDown": _node_down,
    "Reservation": _reservation,
    "BadConstraints": _constraints,
    "PartitionDown": _down,
    "PartitionInactive": _down,
    "PartitionNodeLimit": _partition_nodes,
    "PartitionTimeLimit": _partition_time,
    "Licenses": _licences,
}
#: Reasons of a run that has ended: a requeued job keeps one for a while.
_ENDED = frozenset({"NonZeroExitCode", "RaisedSignal", "OutOfMemory", "TimeLimit", "InactiveLimit"})
_FIXED = {
    "JobHeldUser": "It is held, as its owner may hold and release it: it waits until they do.",
    "JobHeldAdmin": "An administrator holds it: it waits until an operator releases it; its owner cannot.",
    "JobHoldMaxRequeue": "It was requeued too often, so Slurm holds it until it is released.",
    "job requeued in held state": "It was requeued and is held: it waits until it is released.",
    "launch failed requeued held": "It failed to start on its nodes: Slurm requeued it and holds it until its release.",
    "Prolog": "Its prolog still runs on the nodes that it got.",
    "PrologSlurmctld": "The controller's own prolog for it still runs.",
    "Cleaning": "It was requeued, and its last run is still being cleaned up on its nodes.",
    "InvalidAccount": f"Its account is not known to Slurm any more: {_NEVER_STARTS}.",
    "InvalidQOS": f"Its QOS is not known to Slurm any more: {_NEVER_STARTS}.",
    "AccountNotAllowed": f"Its account may not use its partition: {_NEVER_STARTS}.",
    "QOSNotAllowed": f"Its QOS may not be used there, by its account or in its partition: {_NEVER_STARTS}.",
    "QOSUsageThreshold": "What its account or user has used is over the threshold of its QOS.",
    "PartitionConfig": f"It asks for something that its partition's configuration refuses: {_NEVER_STARTS}.",
    "MaxMemPerLimit": f"It asks for more memory on a CPU or node than is allowed: {_NEVER_STARTS}.",
    "MaxPoweredUpNodes": "As many nodes are powered up as are allowed at once, and it needs more.",
    "ReservationDeleted": f"The reservation that it asked for was deleted: {_NEVER_STARTS}.",
    "ReservationInvalid": f"The reservation that it asked for is not one that it may use: {_NEVER_STARTS}.",
    **dict.fromkeys(("AssociationJobLimit", "QOSJobLimit"), "As many jobs run as its account or QOS allows."),
    **dict.fromkeys(("AssociationResourceLimit", "QOSResourceLimit"),
                    "Its account or QOS holds as much as it is allowed; Slurm does not say of what."),
    **dict.fromkeys(("AssociationTimeLimit", "QOSTimeLimit"),
                    f"It asks for more time than its account or QOS allows: {_NEVER_STARTS}."),
    "NvidiaImexChannels": "It waits for an IMEX channel, which other jobs across NVLink domains hold.",
    "SchedDefer": "The scheduler is set to put off all jobs (SchedulerParameters), and looks at it later.",
    "FrontEndDown": "No front end is up to start it.",
    "AccountingPolicy": "A limit of its account or QOS keeps it waiting; Slurm does not say which.",
    "DeadLine": "It cannot end before the deadline that it was given any more.",
    "FedJobLock": "It waits for another cluster of the federation to let go of it.",
    "SystemFailure": "Slurm failed when it tried to start it (SystemFailure): the controller's log says more.",
    "JobLaunchFailure": "It could not be started on its nodes and is tried again: the controller's log says more.",
}  # fmt: skip

"""Runs the pre-flight checks that an action's row names, and reads what they need before planning (the GPUs of nodes to
return, the details of jobs to requeue). Reading blocks and never raises; run it off the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from collectors.clean import clean
from collectors.model import Cluster, Gpu, Job, JobDetail, Node, Row, SourceFault, Telemetry, Transport, Xid
from console.actions.action import Action
from console.health.inconsistencies import fresh_facts
from console.health.xid_policy import Policy
from console.preflight.checks import Check, PreflightContext, PreflightReads
from console.runtime.null_sources import NoTelemetry

#: Most nodes whose GPUs, and jobs whose details, are read one by one. The rest is reported as not checked.
NODES_MOST = 64
JOBS_MOST = 32
#: Nodes in one query, so that the deadline can stop the reading in between.
CHUNK = 32
DEADLINE_S = 4.0
#: Faults after which the next query would fail too.
_HOPELESS = frozenset({"timeout", "refused", "auth", "backoff"})
_FAULTS_SHOWN = 3
T = TypeVar("T")


def needs_reads(action: Action) -> bool:
    """True where something is read before this action is planned."""
    again = action.value is not None and action.value.on_demand
    return again or action.kind == "user" or bool(action.preflight_read)


def read_for(
    action: Action,
    targets: Sequence[str],
    cluster: Cluster,
    transport: Transport,
    telemetry: Telemetry,
    resumed: Mapping[str, float],
    deadline_s: float = DEADLINE_S,
    mono: Callable[[], float] = time.monotonic,
) -> PreflightReads:
    """Read what the pre-flight of this action needs of those of the targets on which it would act.

    No query starts after `deadline_s` seconds; a running one ends at its own timeout. `resumed` is when each node
    was last returned to service (`console.journal.past_actions.resumed`).
    """
    ends = mono() + deadline_s
    faults: list[str] = []
    if action.kind == "user":
        return _users(targets, transport)
    if action.preflight_read == "jobs of a reservation":
        return _bound(targets, transport, ends, mono)
    if action.preflight_read == "gpus":
        nodes = [node for target in targets if (node := _acts(action, cluster, cluster.nodes, target)) is not None]
        known = {node.name: resumed[node.name] for node in nodes if node.name in resumed}
        return PreflightReads(gpus=_gpus(nodes, telemetry, ends, mono, faults), faults=tuple(faults), resumed=known)
    if action.preflight_read == "job details":
        jobs = [job.id for target in targets if (job := _acts(action, cluster, cluster.jobs, target)) is not None]
        return PreflightReads(details=_details(jobs, transport, ends, mono, faults), faults=_few(faults))
    if action.value is not None and action.value.on_demand:
        jobs = [job.id for target in targets if (job := _acts(action, cluster, cluster.jobs, target)) is not None]
        try:
            return PreflightReads(rows=transport.read_jobs(jobs) if jobs else {})
        except SourceFault as error:
            return PreflightReads(faults=(f"what they have now was not read: {error.fault}",))
    return PreflightReads()


#: Sources, besides Slurm, that the pre-flight of returning nodes uses.
RETURN_SOURCES = frozenset({"prom.loads", "prom.trays", "prom.cooling", "prom.fabric", "prom.storage", "prom.checkups"})


def read_returned(
    names: Sequence[str], cluster: Cluster, telemetry: Telemetry, resumed: Mapping[str, float]
) -> PreflightReads:
    """Read what the pre-flight of nodes that have just returned needs."""
    faults: list[str] = []
    nodes = [cluster.nodes[name] for name in names if name in cluster.nodes]
    gpus = _gpus(nodes, telemetry, time.monotonic() + DEADLINE_S, time.monotonic, faults)
    return PreflightReads(
        gpus=gpus, faults=tuple(faults), resumed={name: resumed[name] for name in names if name in resumed}
    )


def _users(names: Sequence[str], transport: Transport) -> PreflightReads:
    """The users of these names."""
    try:
        return PreflightReads(rows=transport.read_users(names))
    except SourceFault as error:
        return PreflightReads(faults=(str(error.fault),))


def _bound(names: Sequence[str], transport: Transport, ends: float, mono: Callable[[], float]) -> PreflightReads:
    """The jobs that asked for each of these reservations."""
    found: dict[str, tuple[Job, ...]] = {}
    faults: list[str] = []
    for name in names[:JOBS_MOST]:
        if mono() >= ends:
            break
        try:
            found[name] = tuple(transport.read_jobs_in(name).values())
        except SourceFault as error:
            faults.append(str(error.fault))
    return PreflightReads(reservation_jobs=found, faults=_few(faults))


def _acts(action: Action, cluster: Cluster, rows: Mapping[str, T], target: str) -> T | None:
    """The row of a target, None where the action would leave it alone."""
    row = rows.get(target)
    return None if row is None or action.refuse(cluster, row) is not None else row


def _gpus(
    nodes: Sequence[Node], telemetry: Telemetry, ends: float, mono: Callable[[], float], faults: list[str]
) -> dict[str, tuple[Gpu, ...]] | None:
    """Node to its GPUs; None where nothing could be read."""
    wanted = [node.name for node in nodes if node.gpus != 0]
    if not wanted or isinstance(telemetry, NoTelemetry):
        return None
    found: dict[str, tuple[Gpu, ...]] = {}
    looked = answered = 0
    for at in range(0, min(len(wanted), NODES_MOST), CHUNK):
        if mono() >= ends:
            faults.append("the telemetry is slow")
            break
        some = wanted[at : min(at + CHUNK, NODES_MOST)]
        looked += len(some)
        try:
            found |= telemetry.gpus(some)
            answered += len(some)
        except SourceFault as error:
            faults.append(str(error.fault))
            break
        except Exception as error:
            faults.append(clean(f"the GPUs could not be read: {type(error).__name__}: {error}"[:300]))
            break
    if answered and looked < len(wanted):
        faults.append(f"the GPUs of {len(wanted) - looked:,} of {len(wanted):,} nodes were not looked at one by one")
    return found if answered else None


def _details(
    jobs: Sequence[str], transport: Transport, ends: float, mono: Callable[[], float], faults: list[str]
) -> dict[str, JobDetail]:
    """Job to its detail, of those that could be read in time."""
    found: dict[str, JobDetail] = {}
    looked = 0
    for job in jobs[:JOBS_MOST]:
        if mono() >= ends:
            break
        looked += 1
        try:
            found[job] = transport.job_detail(job)
        except SourceFault as error:
            faults.append(str(error.fault))
            # A job that is gone does not stop the reading of the others.
            if error.fault.kind in _HOPELESS:
                break
        except Exception as error:
            faults.append(clean(f"job {job} could not be read: {type(error).__name__}: {error}"[:300]))
    if looked < len(jobs):
        faults.insert(0, f"{len(jobs) - looked:,} of {len(jobs):,} jobs were not looked at one by one")
    return found


def _few(faults: Sequence[str]) -> tuple[str, ...]:
    """Each fault once, at most `_FAULTS_SHOWN` of them and a count of the rest."""
    each = list(dict.fromkeys(faults))
    more = [f"and {len(each) - _FAULTS_SHOWN:,} faults more"] if len(each) > _FAULTS_SHOWN else []
    return (*each[:_FAULTS_SHOWN], *more)


def run_checks(
    action: Action,
    cluster: Cluster,
    rows: Mapping[str, Row],
    extra: PreflightReads,
    now: float,
    policy: Policy,
    *,
    mono: float | None = None,
    values: Mapping[str, str] | None = None,
) -> tuple[Check, ...]:
    """All findings of these targets, in their order. A finding of all targets has "" for its target.

    `mono` is the monotonic time for ages; without it ages count from the newest reading. `values` is the new value of
    each target.
    """
    if action.check is None:
        return ()
    xids: dict[str, list[Xid]] = {}
    good = fresh_facts(cluster, now, mono)
    for xid in cluster.xids.values() if good.xids else ():
        if xid.node in rows:
            xids.setdefault(xid.node, []).append(xid)
    known = PreflightContext(cluster, extra, now, policy, good, xids, values or {})
    found = [Check("", "unknown", "not-read", (fault,)) for fault in extra.faults]
    if action.kind == "node" and not good.nodes:
        found.append(Check("", "unknown", "nodes-old"))
    if action.check_together is not None:
        found += action.check_together(rows, known)
    for row in rows.values():
        action.check(row, known, found)
    return tuple(found)

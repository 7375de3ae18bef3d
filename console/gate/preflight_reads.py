"""What is read on demand before an action is planned: the GPUs of nodes to come back, the details of jobs to requeue.

It blocks, so it runs off the event loop; it never raises. For any other action nothing is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct, field

from collectors.clean import clean
from collectors.model import Cluster, Gpu, Job, JobDetail, Node, SourceFault, Telemetry, Transport, Xid
from console.actions.action import Action
from console.actions.plan import PreflightReads
from console.health.inconsistencies import Fresh
from console.health.xid_policy import Policy
from console.runtime.null_sources import NoTelemetry

#: Nodes whose GPUs, and jobs whose details, are read one by one; the rest is not looked at, and that is said.
NODES_MOST = 64
JOBS_MOST = 32
#: Nodes in one question, so that the deadline can come in between.
CHUNK = 32
DEADLINE_S = 4.0
#: After one of these the next question would fare alike.
_HOPELESS = frozenset({"timeout", "refused", "auth", "backoff"})
_FAULTS_SHOWN = 3
#: Actions after which a node takes work again: all of them are judged by the same facts.
BACK = frozenset({"resume", "undrain", "cancel_reboot"})
T = TypeVar("T")


class PreflightContext(Struct, frozen=True):
    """What the looks need besides the target."""

    cluster: Cluster
    extra: PreflightReads
    now: float
    policy: Policy
    good: Fresh
    xids: Mapping[str, list[Xid]]
    """Node to its rows, of the nodes that are looked at; empty where XIDs are not known."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Target to what it is to be given."""

    @property
    def me(self) -> str | None:
        """Who the commands run as, None where that is not known."""
        return None if self.cluster.rights is None else self.cluster.rights.user


def needed(action: Action) -> bool:
    """True where something is read before this action is planned."""
    again = action.value is not None and action.value.read_again
    return again or action.kind == "user" or action.id in BACK | {"unreserve", "requeue", "requeuehold"}


def gather(
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

    No question begins after `deadline_s` seconds; one that is under way then ends at its own deadline. `resumed` is
    when each node was put back the last time (`console.journal.past_actions.resumed`).
    """
    ends = mono() + deadline_s
    faults: list[str] = []
    if action.kind == "user":
        return _users(targets, transport)
    if action.id == "unreserve":
        return _bound(targets, transport, ends, mono)
    if action.id in BACK:
        nodes = [node for target in targets if (node := _acts(action, cluster, cluster.nodes, target)) is not None]
        known = {node.name: resumed[node.name] for node in nodes if node.name in resumed}
        return PreflightReads(gpus=_gpus(nodes, telemetry, ends, mono, faults), faults=tuple(faults), resumed=known)
    if action.id in {"requeue", "requeuehold"}:
        jobs = [job.id for target in targets if (job := _acts(action, cluster, cluster.jobs, target)) is not None]
        return PreflightReads(details=_details(jobs, transport, ends, mono, faults), faults=_few(faults))
    if action.value is not None and action.value.read_again:
        jobs = [job.id for target in targets if (job := _acts(action, cluster, cluster.jobs, target)) is not None]
        try:
            return PreflightReads(rows=transport.read_jobs(jobs) if jobs else {})
        except SourceFault as error:
            return PreflightReads(faults=(f"what they have now was not read: {error.fault}",))
    return PreflightReads()


#: What a pre-flight of nodes that come back is judged by, beside what Slurm says.
RETURN_SOURCES = frozenset({"prom.loads", "prom.trays", "prom.cooling", "prom.fabric", "prom.storage", "prom.checkups"})


def returned(
    names: Sequence[str], cluster: Cluster, telemetry: Telemetry, resumed: Mapping[str, float]
) -> PreflightReads:
    """What the pre-flight of nodes needs that have come back just now."""
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
    return PreflightReads(bound=found, faults=_few(faults))


def _acts(action: Action, cluster: Cluster, rows: Mapping[str, T], target: str) -> T | None:
    """The row of a target on which the action does something."""
    row = rows.get(target)
    return None if row is None or action.refuse(cluster, row) is not None else row


def _gpus(
    nodes: Sequence[Node], telemetry: Telemetry, ends: float, mono: Callable[[], float], faults: list[str]
) -> dict[str, tuple[Gpu, ...]] | None:
    """Node to its GPUs; None where nothing could be read at all."""
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
            # A job that is gone is that one job's affair.
            if error.fault.kind in _HOPELESS:
                break
        except Exception as error:
            faults.append(clean(f"job {job} could not be read: {type(error).__name__}: {error}"[:300]))
    if looked < len(jobs):
        faults.insert(0, f"{len(jobs) - looked:,} of {len(jobs):,} jobs were not looked at one by one")
    return found


def _few(faults: Sequence[str]) -> tuple[str, ...]:
    """Each fault once, and not more than can be read."""
    each = list(dict.fromkeys(faults))
    more = [f"and {len(each) - _FAULTS_SHOWN:,} faults more"] if len(each) > _FAULTS_SHOWN else []
    return (*each[:_FAULTS_SHOWN], *more)

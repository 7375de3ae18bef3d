"""Which limit a reason of Slurm's means (`QOSMaxGRESPerUser`, `AssocGrpCpuLimit` …), and its known use. Pure.

The words are those of job_state_reason_string in Slurm (24.11 to 26.05). A reason names a scope (QOS or association), a
kind of limit and a resource; which limit is meant follows from the job.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from collectors.model import Cluster, Job, Limit, Limits
from widgets.units import UNKNOWN, count, memory

_GRP = re.compile(r"(QOS|Assoc)Grp(\w+?)(Minutes|RunMinutes)?(?:Limit)?")
_MAX = re.compile(r"(QOS|Assoc)Max(\w+?)(Minutes)?Per(Job|Node|User|Account)(?:Limit)?")
_NODE = re.compile(r"Max(\w+?)(RunMins)?Per(Account|User)")
_JOBS = {
    "QOSMaxJobsPerUserLimit": ("QOS", "MaxJobsPU"),
    "QOSMaxSubmitJobPerUserLimit": ("QOS", "MaxSubmitJobsPU"),
    "MaxJobsPerAccount": ("QOS", "MaxJobsPA"),
    "MaxSubmitJobsPerAccount": ("QOS", "MaxSubmitJobsPA"),
    "AssocMaxJobsLimit": ("Assoc", "MaxJobs"),
    "AssocMaxSubmitJobLimit": ("Assoc", "MaxSubmitJobs"),
    "QOSMaxWallDurationPerJobLimit": ("QOS", "MaxWallPJ"),
    "AssocMaxWallDurationPerJobLimit": ("Assoc", "MaxWallPJ"),
    "QOSGrpJobsLimit": ("QOS", "GrpJobs"),
    "QOSGrpSubmitJobsLimit": ("QOS", "GrpSubmitJobs"),
    "QOSGrpWallLimit": ("QOS", "GrpWall"),
    "AssocGrpJobsLimit": ("Assoc", "GrpJobs"),
    "AssocGrpSubmitJobsLimit": ("Assoc", "GrpSubmitJobs"),
    "AssocGrpWallLimit": ("Assoc", "GrpWall"),
}
_PER = {"Job": "PJ", "Node": "PN", "User": "PU", "Account": "PA"}
#: Slurm's word for a resource in a reason, and the prefix of the TRES name; "" is unknown.
_TRES = {"cpu": "cpu", "mem": "mem", "memory": "mem", "node": "node", "gres": "gres/", "license": "license/",
         "bb": "bb/", "billing": "billing", "energy": "energy", "unknown": ""}  # fmt: skip


class LimitHit(Struct, frozen=True):
    """The limit that a reason is about."""

    scope: str
    """QOS or Assoc."""
    name: str
    """The name as in Limit: GrpTRES, MaxTRESPU, MaxJobs."""
    tres: str | None = None
    """Prefix of the TRES name; None where it is no limit of a TRES, "" where the reason does not name the TRES."""

    @property
    def shared(self) -> bool:
        """Whether it limits several jobs together and so clears as they end; a limit per job or node never does."""
        return not self.name.endswith(("PJ", "PN"))


def limit_hit(reason: str) -> LimitHit | None:
    """The limit that this reason is about; None where it is about none."""
    if reason in _JOBS:
        return LimitHit(*_JOBS[reason])
    if match := _MAX.fullmatch(reason):
        scope, what, minutes, per = match.groups()
        name = f"MaxTRES{'Mins' if minutes else ''}{_PER[per]}"
    elif match := _GRP.fullmatch(reason):
        scope, what, minutes = match.groups()
        name = {None: "GrpTRES", "Minutes": "GrpTRESMins", "RunMinutes": "GrpTRESRunMins"}[minutes]
    elif match := _NODE.fullmatch(reason):
        what, minutes, per = match.groups()
        scope, name = "QOS", f"MaxTRES{'RunMins' if minutes else ''}{_PER[per]}"
    else:
        return None
    word = what.lower()
    return LimitHit(scope, name, _TRES[word]) if word in _TRES else None


def requested_amount(job: Job, limit: Limit) -> int | None:
    """How much of the limited resource this job requests; None where that is unknown."""
    if limit.tres == "gres/gpu":
        return job.gpus
    if limit.tres in {"cpu", "node"}:
        return job.cpus if limit.tres == "cpu" else job.node_count
    return 1 if not limit.tres and "Jobs" in limit.name else None


def limits_for(job: Job, limits: Limits, qos: Sequence[str] = ()) -> list[Limit]:
    """The limits that apply to this job: of its QOS and its partitions' QOS (`qos`), of its account, of the accounts
    above and of its user in the account.
    """
    accounts = (job.account, *accounts_above(job.account, limits)) if job.account else ()
    own = {name for name in (job.qos, *qos) if name}
    found = []
    for one in limits.limits:
        if one.qos is not None:
            if one.qos in own and one.user in (None, job.user) and one.account in (None, job.account):
                found.append(one)
        elif one.partition is not None and one.partition not in (job.partition or "").split(","):
            continue
        elif one.account in accounts and (one.user is None or (one.user == job.user and one.account == job.account)):
            found.append(one)
    return found


def limit_of_hit(job: Job, what: LimitHit, limits: Sequence[Limit]) -> Limit | None:
    """The limit that the job meets: one that its request exceeds, else the one with the least room left. None where no
    limit of that kind is known to be set.
    """
    fitting = [
        one for one in limits
        if one.name == what.name and (one.qos is not None) == (what.scope == "QOS")
        and (one.tres.startswith(what.tres) if what.tres is not None else not one.tres)
    ]  # fmt: skip

    def room(one: Limit) -> float:
        return one.most - (one.used or 0) - (requested_amount(job, one) or 0)

    return min(fitting, key=lambda one: (room(one) >= 0, room(one) / max(1, one.most)), default=None)


def holders(job: Job, limit: Limit, cluster: Cluster, below: Sequence[str]) -> list[tuple[str, int]]:
    """Who holds what counts against this limit: user and GPUs, or running jobs where it counts those; most first.
    `below` are the accounts whose use counts too. Empty where the queue does not show it.
    """
    if limit.tres not in {"", "gres/gpu", "cpu", "node"} or limit.name not in {
        "GrpTRES", "MaxTRESPU", "MaxTRESPA", "GrpJobs", "MaxJobs", "MaxJobsPU", "MaxJobsPA",
    }:  # fmt: skip
        return []
    held: Counter[str] = Counter()
    for one in cluster.jobs.values():
        if one.nodes is None or one.state == "PENDING":
            continue
        if limit.qos is not None and one.qos != limit.qos:
            continue
        if limit.user is not None and one.user != limit.user:
            continue
        if limit.account is not None and one.account not in below:
            continue
        amount = {"": 1, "gres/gpu": one.gpus_held, "cpu": one.cpus, "node": one.node_count}[limit.tres]
        held[one.user] += amount or 0
    return [(user, count) for user, count in held.most_common() if count]


def accounts_below(account: str | None, limits: Limits) -> tuple[str, ...]:
    """An account and all accounts under it."""
    if account is None:
        return ()
    found = [account]
    for name in found:
        found += [one for one, parent in limits.parents.items() if parent == name and one not in found]
    return tuple(found)


def accounts_above(account: str, limits: Limits) -> tuple[str, ...]:
    """The accounts above one, its parent first."""
    found: list[str] = []
    at = account
    while (parent := limits.parents.get(at)) and parent not in (account, *found):
        found.append(parent)
        at = parent
    return tuple(found)


# -- limits as text ---------------------------------------------------------------------------------------------------

_UNIT_NAMES = {"gres/gpu": "GPU", "cpu": "CPU", "node": "node"}


def amount_text(limit: Limit, amount: int | None) -> str:
    """An amount of the limited resource, with its unit."""
    if amount is None:
        return UNKNOWN
    if limit.name in {"GrpWall", "MaxWallPJ"}:
        return f"{amount:,} min"
    if not limit.tres:
        return f"{amount:,} job{'' if amount == 1 else 's'}" + (" waiting or running" if "Submit" in limit.name else "")
    if "Mins" in limit.name:
        return f"{amount:,} {_UNIT_NAMES.get(limit.tres, limit.tres)}-minutes"
    if limit.tres == "mem":
        return f"{memory(amount)} of memory"
    one = _UNIT_NAMES.get(limit.tres)
    return f"{amount:,} {limit.tres}" if one is None else f"{amount:,} {one}{'' if amount == 1 else 's'}"


def most_text(limit: Limit) -> str:
    """The limit's amount: `64 GPUs`."""
    return amount_text(limit, limit.most)


def used_text(limit: Limit) -> str:
    """`GrpTRES gres/gpu 60 of 64`: in Slurm's own words, as sacctmgr takes them."""
    return f"{limit.name} {limit.tres}".rstrip() + f" {figures_text(limit)}"


def figures_text(limit: Limit) -> str:
    """`60 of 64`, or the limit alone where the amount in use is unknown."""

    def figure(value: int | None) -> str:
        return memory(value) if limit.tres == "mem" and "Mins" not in limit.name else count(value)

    minutes = " min" if "Mins" in limit.name or "Wall" in limit.name else ""
    if limit.used is None:
        return f"{figure(limit.most)}{minutes}"
    return f"{figure(limit.used)} of {figure(limit.most)}{minutes}"


def limit_owner(limit: Limit) -> str:
    """The owner of a limit: `QOS normal`, `QOS normal, alice`, `account ml`, `alice in ml`."""
    if limit.qos is not None:
        who = limit.user or limit.account
        return f"QOS {limit.qos}, {who}" if who else f"QOS {limit.qos}"
    return f"{limit.user} in {limit.account}" if limit.user is not None else f"account {limit.account}"


def limit_text(limit: Limit) -> str:
    """The limit, its owner and its use on one line."""
    return f"{limit_owner(limit)}: {used_text(limit)}"

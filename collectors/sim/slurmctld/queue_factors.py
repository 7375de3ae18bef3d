"""Priority factors, fair shares and limits of the simulated cluster: the figures that its scheduler uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from collectors.model import Factors, Job, Limit, Limits, Share, SourceFault
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from collectors.sim.sources import Now, SlowController, _now

from .workload import USERS

#: Partition points of every job, so that the age points stay positive for weeks.
_PARTITION = 90_000
_LARGE = 2000
_NODE, _NODES_MOST = 40, 40
#: Share of all GPUs that an account may hold: more than its users reach under their own limits.
_ACCOUNT_PART = 0.75
_SUBMIT = 20_000


class SimQueueing:
    """Answers like sprio, sshare and scontrol."""

    def __init__(self, now: Now, delay: SlowController) -> None:
        self._now = now
        self._delay = delay

    def factors(self, job: str) -> Factors:
        """The priority factors of a pending job. Raises SourceFault for any other job."""
        machine = self._machine("sprio")
        row = machine.jobs().get(job)
        if row is None or row.state != "PENDING" or not row.priority:
            raise SourceFault("missing", f"Slurm weighs no job that is held or may not begin yet, as job {job}")
        return Factors(job=job, priority=row.priority, points=_points(row))

    def shares(self) -> Sequence[Share]:
        """The shares: equal for all accounts; usage follows from what the users submit."""
        self._machine("sshare")
        accounts: dict[str, list[tuple[str, int, int]]] = {}
        for user, account, part, fair in USERS:
            accounts.setdefault(account, []).append((user, part, fair))
        whole = sum(part for _, _, part, _ in USERS)
        found = [Share(account="root", shares=None, shares_norm=1.0, usage=whole * _USED, usage_part=1.0)]
        for account, users in sorted(accounts.items()):
            used = sum(part for _, part, _ in users)
            norm = 1 / len(accounts)
            found.append(Share(account=account, parent="root", shares=100, shares_norm=norm, usage=used * _USED,
                               usage_part=used / whole))  # fmt: skip
            found += [
                Share(account=account, user=user, shares=1, shares_norm=1 / len(users), usage=part * _USED,
                      usage_part=part / used, factor=fair / 10_000)
                for user, part, fair in users
            ]  # fmt: skip
        return found

    def limits(self) -> Limits:
        """The limits: GPUs per user in QOS normal, which makes jobs wait, and wider ones for accounts and users."""
        machine = self._machine("scontrol show assoc_mgr")
        held: Counter[str] = Counter()
        by_account: Counter[str] = Counter()
        alive: Counter[str] = Counter()
        for job in machine.jobs().values():
            alive[job.user] += 1
            if job.gpus_held:
                by_account[job.account or ""] += job.gpus_held
                held[job.user] += job.gpus_held if job.qos == "normal" else 0
        cap = machine.queue.gpu_cap
        most = max(1, int(_ACCOUNT_PART * machine.settings.nodes * machine.site.gpus))
        gpu = "gres/gpu"
        found = [Limit(name="MaxTRESPU", tres=gpu, most=cap, used=held[user], qos="normal", user=user)
                 for user, *_ in USERS]  # fmt: skip
        for account in sorted({account for _, account, *_ in USERS}):
            found.append(Limit(name="GrpTRES", tres=gpu, most=most, used=by_account[account], account=account))
        found += [Limit(name="MaxSubmitJobs", most=_SUBMIT, used=alive[user], account=account, user=user)
                  for user, account, *_ in USERS]  # fmt: skip
        return Limits(limits=tuple(found), parents={account: "root" for _, account, *_ in USERS})

    def _machine(self, command: str) -> Machine:
        machine = self._now()
        self._delay.wait_for(machine, command)
        return machine


#: TRES-seconds per unit of a user's share of the submissions: some weeks of usage.
_USED = 41_000_000
_FAIR: Mapping[str, int] = {user: fair for user, _, _, fair in USERS}


def _points(job: Job) -> dict[str, int]:
    """The points that `Workload.draw` adds up; a priority set by an operator counts as site factor."""
    points = {
        "partition": _PARTITION,
        "fair share": _FAIR.get(job.user, 0) // 4,
        "size": _NODE * min(job.node_count or 1, _NODES_MOST),
        "QOS": _LARGE if job.qos == "large" else 0,
    }
    given = job.priority or 0
    points["age"] = given - sum(points.values())
    return {name: value for name, value in points.items() if value} if points["age"] > 0 else {"site": given}


def open_queueing(cluster: str, settings: SimSettings) -> SimQueueing:
    """Queue factors of the cluster that the sources read."""
    return SimQueueing(partial(_now, cluster, settings), SlowController(settings.seed, "queueing"))

"""Why real jobs wait: on a Slurm with accounts, limits and weighed priorities, one job for each reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from collectors.clock import SystemClock
from collectors.model import Cluster, SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.queue_factors import open_queueing
from collectors.slurm.sources import open_sources, open_transport
from console.queue.accounts import account_holders, account_users
from console.queue.pending_reason import PendingFacts, PendingReason, pending_reason
from console.queue.queue_reads import QueueCache
from console.session.snapshot import take

from .place import wait_for
from .roots import SUITES
from .running import running
from .slurm import RESERVATION, Lab

pytestmark = pytest.mark.lab

CONF = """\
AccountingStorageEnforce=associations,limits,qos
PriorityType=priority/multifactor
PriorityWeightAge=1000
PriorityWeightFairshare=10000
PriorityWeightJobSize=1000
PriorityWeightQOS=2000
PriorityWeightTRES=gres/gpu=500
SchedulerParameters=bf_interval=1,default_queue_depth=1000
"""
#: Job by its name to the reason for which it shall wait.
REASONS = {
    "next": "Resources", "behind": "Priority", "capped": "QOSMaxGRESPerUser", "small": "AssocGrpGRES",
    "after": "Dependency", "meets-maintenance": "ReqNodeNotAvail", "in-down": "PartitionDown", "held": "JobHeldUser",
    "few-jobs": "QOSMaxJobsPerUserLimit",
}  # fmt: skip


class Scene:
    """The lab, and what wacht reads of it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.jobs: dict[str, str] = {}
        self.cluster = Cluster(name="")

    def look(self) -> None:
        """Read all of it."""
        self.cluster = take("lab", open_sources("lab", SlurmSettings()), SystemClock())

    def why(self, name: str) -> PendingReason:
        """The answer for a job, with all that can be asked."""
        job, queueing = self.cluster.jobs[self.jobs[name]], open_queueing("lab", SlurmSettings())
        detail = open_transport("lab", SlurmSettings()).job_detail(job.id)
        asked = QueueCache(queueing, SystemClock())
        known = PendingFacts(detail, asked.factors(job.id).value, asked.limits().value, asked.shares().value)
        return pending_reason(job, self.cluster, SystemClock().now(), known)


def furnish(lab: Lab) -> dict[str, str]:
    """Accounts with limits, and a job for each reason; returns their ids by name."""
    manage = ("sacctmgr", "-i", "-Q")
    lab.check([*manage, "add", "qos", "capped", "MaxTRESPerUser=gres/gpu=8", "MaxJobsPerUser=4"])
    lab.check([*manage, "add", "qos", "few", "MaxJobsPerUser=1", "GrpTRES=gres/gpu=100"])
    lab.check([*manage, "add", "account", "small", f"Cluster={lab.cluster}", "Parent=ml", "Description=x",
               "Organization=x", "GrpTRES=gres/gpu=8", "Fairshare=7"])  # fmt: skip
    lab.check([*manage, "add", "user", "carol", "Account=small", f"Cluster={lab.cluster}"])
    lab.check([*manage, "modify", "user", "alice,bob", "set", "qos+=capped,few"])
    jobs = {}

    def submit(name: str, user: str, *extra: str, account: str = "ml", **more: object) -> str:
        jobs[name] = lab.submit(user=user, name=name, account=account, extra=extra, **more)[0]  # type: ignore[arg-type]
        return jobs[name]

    def begins() -> str:
        try:
            submit("fill", "alice", nodes=11, time_limit="1:00:00")
        except Exception as error:  # the controller hears of new QOS and accounts a moment later
            return str(error)
        return ""

    wait_for(begins, 60)
    submit("capped-runs", "bob", "--qos=capped", time_limit="1:00:00")
    submit("small-runs", "carol", account="small", time_limit="1:00:00")
    submit("few-runs", "bob", "--qos=few", time_limit="1:00:00")
    lab.wait_jobs("RUNNING", [jobs["fill"], jobs["capped-runs"], jobs["small-runs"], jobs["few-runs"]])
    submit("next", "alice", nodes=3, time_limit="1:00:00")
    submit("behind", "bob", "--nice=20000", nodes=2, time_limit="1:00:00")
    submit("capped", "bob", "--qos=capped", time_limit="1:00:00")
    submit("few-jobs", "bob", "--qos=few", time_limit="1:00:00")
    submit("small", "carol", account="small", time_limit="1:00:00")
    submit("after", "alice", dependency=f"afterok:{jobs['fill']}")
    submit("meets-maintenance", "alice", nodelist="gpu0016", partition="long", time_limit="2-00:00:00")
    submit("held", "alice", hold=True)
    lab.check(["scontrol", "update", "PartitionName=debug", "State=DOWN"])
    submit("in-down", "alice", partition="debug", time_limit="10:00")
    return jobs


@pytest.fixture(scope="module", params=SUITES)
def furnished(request: pytest.FixtureRequest) -> Iterator[tuple[Lab, dict[str, str]]]:
    for made in running(request.param, nodes=16, accounting=True, extra=CONF):
        yield made, furnish(made)


@pytest.fixture
def scene(furnished: tuple[Lab, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Scene:
    lab, jobs = furnished
    monkeypatch.setenv("PATH", f"{lab.bin_dir}:/usr/bin:/bin")
    made = Scene(lab)
    made.jobs = jobs

    def missing() -> str:
        made.look()
        seen = {name: (made.cluster.jobs[jobs[name]].reason or "None").partition(",")[0] for name in REASONS}
        return str({name: reason for name, reason in seen.items() if reason != REASONS[name]} or "")

    wait_for(missing, 60)
    return made


def test_each_reason_is_told_with_what_stands_behind_it(scene: Scene) -> None:
    text = {name: scene.why(name).sentence for name in REASONS}
    assert text["next"].startswith(
        "It is next in line in partition gpu and waits until 3 nodes with 24 GPUs in all are"
    )
    assert ": 0 of 14 nodes in service have 8 GPUs free" in text["next"]
    assert "1 job with a higher priority waits ahead of it in partition gpu and asks for 24 GPUs" in text["behind"]
    assert text["capped"] == "QOS capped allows bob 8 GPUs at a time: 8 GPUs are in use, and it asks for 8 GPUs more."
    assert text["few-jobs"] == "QOS few allows bob 1 job at a time: 1 runs."
    assert text["small"] == (
        "Account small allows 8 GPUs at a time: 8 GPUs are in use (carol 8), and it asks for 8 GPUs more."
    )
    assert text["after"].startswith(f"It waits for job {scene.jobs['fill']} to end well (which runs, ")
    assert text["meets-maintenance"].startswith(f"It asks for 48 h and maintenance {RESERVATION} begins in ")
    assert (
        " and leaves it 0 of the 1 node that it needs: it cannot start before that ends at "
        in text["meets-maintenance"]
    )
    assert text["in-down"] == "Partition debug is DOWN: nothing starts in it until it is set UP."
    assert text["held"].startswith("It is held")
    assert "held or may not begin yet" in dict(scene.why("held").figures)["priority"]


def test_figures_are_slurms_own(scene: Scene) -> None:
    job = scene.jobs["next"]
    figures = dict(scene.why("next").figures)
    points = open_queueing("lab", SlurmSettings()).factors(job)
    assert points.priority == scene.cluster.jobs[job].priority
    assert sum(points.points.values()) == pytest.approx(points.priority, abs=3), points
    assert {"fair share", "size", "TRES"} <= points.points.keys() and "fair share " in figures["priority"]
    nice = open_queueing("lab", SlurmSettings()).factors(scene.jobs["behind"])
    assert nice.points["nice"] == -20000
    assert figures["fair share"].startswith("alice in ml: factor ")


def test_accounts_and_who_holds_what(scene: Scene) -> None:
    queueing = open_queueing("lab", SlurmSettings())
    shares, limits = queueing.shares(), queueing.limits()
    rows = account_holders(scene.cluster, shares, limits)
    assert (rows["ml"].held.gpus, rows["small"].held.gpus, rows["root"].held.gpus) == (112, 8, 112)
    small = rows["small"]
    assert small.share is not None and (small.share.shares, small.share.parent) == (7, "ml")
    assert small.nearest is not None
    assert (small.nearest.name, small.nearest.tres, small.nearest.used, small.nearest.most) == (
        "GrpTRES", "gres/gpu", 8, 8,
    )  # fmt: skip
    members = account_users("ml", scene.cluster, shares, limits)
    assert next(iter(members)) == "ml/alice" and "small/carol" in members and members["ml/alice"].held.gpus == 88
    bob = members["ml/bob"]
    assert bob.share is not None and bob.share.factor is not None and 0 <= bob.share.factor <= 1
    assert bob.nearest is not None and (bob.nearest.share, bob.nearest.qos) in {(1.0, "capped"), (1.0, "few")}


def test_a_slurm_without_accounts_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{lab.bin_dir}:/usr/bin:/bin")
    queueing = open_queueing("lab", SlurmSettings())
    with pytest.raises(SourceFault, match="without priority/multifactor") as error:
        queueing.factors("1")
    assert error.value.fault.kind == "missing"
    with pytest.raises(SourceFault, match="gives out no shares"):
        queueing.shares()
    with pytest.raises(SourceFault, match="keeps no accounts"):
        queueing.limits()

"""Why a job is pending: one sentence for each reason, that says what is known and no more."""

from __future__ import annotations

import re

import pytest

from collectors.model import Factors, Fault, Job, JobDetail, Limit, Limits, Partition, Reservation, Share
from console.queue.limit_hits import limit_hit
from console.queue.pending_reason import PendingFacts, pending_reason
from tests.support import make
from tests.support.make import NOW, cluster, node
from tests.support.paths import DATA

RECORDED = DATA / "queueing"
HOUR = 3600
LIMITS = Limits(
    limits=(
        Limit(name="MaxTRESPU", tres="gres/gpu", most=64, used=60, qos="normal", user="alice"),
        Limit(name="MaxTRESPU", tres="gres/gpu", most=64, used=64, qos="normal", user="bob"),
        Limit(name="GrpTRES", tres="gres/gpu", most=100, used=96, qos="large"),
        Limit(name="GrpTRES", tres="gres/gpu", most=72, used=68, account="rug"),
        Limit(name="GrpTRES", tres="cpu", most=4000, used=900, account="ml"),
        Limit(name="MaxJobs", most=2, used=2, account="ml", user="alice"),
        Limit(name="MaxWallPJ", most=60, qos="normal"),
        Limit(name="GrpJobs", most=9, used=1, account="other"),
    ),
    parents={"ml": "rug", "rug": "root"},
)


def waits(reason: str | None, **more) -> Job:
    given = {"id": "500", "state": "PENDING", "reason": reason, "account": "ml", "qos": "normal", "node_count": 1,
             "priority": 100, "time_limit_s": 24 * HOUR}  # fmt: skip
    return make.job(**(given | more))


def runs(name: str, **more) -> Job:
    given = {"account": "ml", "qos": "normal", "nodes": "gpu0001", "node_count": 1, "started": int(NOW) - HOUR,
             "time_limit_s": 3 * HOUR}  # fmt: skip
    return make.job(name, **(given | more))


def machine(*jobs: Job, **more):
    nodes = [
        node("gpu0001", "ALLOCATED", gpus_alloc=8),
        node("gpu0002", "IDLE"),
        node("gpu0003", "IDLE+DRAIN", reason="bad DIMM", reason_by="jdv", reason_at=int(NOW) - 3 * HOUR),
        node("gpu0004", "MIXED", gpus_alloc=5),
    ]  # fmt: skip
    parts = [Partition(name="gpu", state="UP", nodes="gpu[0001-0004]", node_count=4, time_limit_s=48 * HOUR)]
    given = {"nodes": nodes, "jobs": list(jobs), "partitions": parts, "reservations": []} | more
    return cluster(**given)


def said(one: Job, *others: Job, known: PendingFacts = PendingFacts(), **more) -> str:  # noqa: B008
    return pending_reason(one, machine(one, *others, **more), NOW, known).sentence


def figures(one: Job, *others: Job, known: PendingFacts = PendingFacts(), **more) -> dict[str, str]:  # noqa: B008
    return dict(pending_reason(one, machine(one, *others, **more), NOW, known).figures)


def detail(**more) -> PendingFacts:
    return PendingFacts(detail=JobDetail(id="500", **more))


# -- turn -----------------------------------------------------------------------------------------------------------


def test_next_in_line_waits_for_nodes():
    one = waits("Resources", node_count=2, gpus=16, expected=int(NOW) + 2 * HOUR)
    assert said(one) == (
        "It is next in line in partition gpu and waits until 2 nodes with 16 GPUs in all are free: "
        "1 of 3 nodes in service have 8 GPUs free; Slurm expects it to start in 2h 00m."
    )


def test_who_is_ahead_is_counted_with_what_they_ask():
    ahead = [waits("Priority", id="100", priority=200, gpus=16), waits("Resources", id="101", priority=101, gpus=8)]
    behind = [
        waits("Priority", id="102", priority=99),
        waits("Dependency", id="103", priority=900),
        waits("Priority", id="104", priority=900, partition="debug"),
        waits("Priority", id="501", priority=100),
        waits("Priority", id="500_7", priority=100),
        runs("105", priority=900),
    ]
    others = [*ahead, *behind, waits("Priority", id="499", priority=100, gpus=4)]
    assert said(waits("Priority"), *others) == (
        "3 jobs with a higher priority wait ahead of it in partition gpu and ask for 28 GPUs, with 11 GPUs free now; "
        "Slurm does not say yet when it will start."
    )
    assert figures(waits("Priority"), *others)["ahead"] == "3 jobs that wait for their turn, 28 GPUs"


def test_what_somebody_ahead_asks_may_be_unknown():
    ahead = waits("Priority", id="1", priority=200, gpus=None)
    assert "ask" in said(waits("Priority"), ahead) and "at least 0 GPUs" in said(waits("Priority"), ahead)
    assert figures(waits("Priority"), ahead)["ahead"].endswith("or more")


def test_what_slurm_said_may_be_over():
    assert said(waits("Priority")).startswith("Slurm said last that others go first; now no job with a higher priority")


def test_without_a_priority_nobody_is_counted():
    assert said(waits("Priority", priority=None)).startswith("Jobs with a higher priority wait ahead of it")
    assert "ahead" not in figures(waits("Priority", priority=None))


def test_a_partition_of_a_higher_tier_goes_first():
    parts = [Partition(name="gpu", state="UP", priority_tier=1), Partition(name="debug", state="UP", priority_tier=10)]
    nodes = [node("gpu0001", "IDLE", partitions=("gpu", "debug"))]
    assert figures(waits("Priority"), partitions=parts, nodes=nodes)["goes first"].startswith("partition debug")


# -- reservations -----------------------------------------------------------------------------------------------------


def booked(name="maint-fw", begins=6, lasts=4, nodes="gpu[0001-0004]", flags=("MAINT", "SPEC_NODES"), **more):
    starts = int(NOW) + begins * HOUR
    return Reservation(name=name, state="INACTIVE", starts=starts, ends=starts + lasts * HOUR, nodes=nodes,
                       node_count=4, flags=flags, **more)  # fmt: skip


@pytest.mark.parametrize("reason", ["Resources", "Priority", "ReqNodeNotAvail, May be reserved for other job", None])
def test_it_asks_for_more_time_than_there_is_before_maintenance(reason):
    text = said(waits(reason), reservations=[booked()])
    assert text.startswith("It asks for 24 h and maintenance maint-fw begins in 6h 00m and leaves it 0 of the 1 node")
    assert "it cannot start before that ends at " in text and text.endswith(", unless it asks for less time.")


def test_a_shorter_job_has_room_before_it():
    assert "maint-fw" not in said(waits("Priority", time_limit_s=5 * HOUR), reservations=[booked()])


def test_a_reservation_that_leaves_enough_is_a_figure_alone():
    one = waits("Priority")
    few = [booked(nodes="gpu0001")]
    assert "maint-fw" not in said(one, reservations=few)
    assert figures(one, reservations=few)["maintenance"].startswith("maint-fw begins in 6h 00m, takes")


def test_what_is_out_of_service_is_told_with_it():
    assert "(1 more is out of service)" in said(
        waits("Priority"), reservations=[booked(nodes="gpu[0001-0002,0004]")]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ({"flags": ("MAGNETIC",), "users": "bob,alice"}, PendingFacts()),
        ({"flags": ()}, detail(fields={"resv_name": "maint-fw"})),
    ],
)
def test_a_reservation_that_is_open_to_it_is_not_in_its_way(more, known):
    assert "maint-fw" not in said(waits("Priority"), reservations=[booked(**more)], known=known)


def test_a_job_that_may_be_shortened_has_room_before_it():
    known = detail(time_min_s=5 * HOUR)
    assert "maint-fw" not in said(waits("Priority"), reservations=[booked()], known=known)
    assert "maint-fw" in said(waits("Priority"), reservations=[booked()], known=detail(time_min_s=7 * HOUR))


def test_nodes_that_it_excludes_are_none_of_its_own():
    few, known = [booked(nodes="gpu[0001-0002]")], detail(fields={"excluded_nodes": "gpu0004"})
    assert "maint-fw" not in said(waits("Priority"), reservations=few)
    assert "maint-fw begins" in said(waits("Priority"), reservations=few, known=known)


def test_without_a_time_limit_nothing_is_claimed():
    assert "maint-fw" not in said(waits("Priority", time_limit_s=None), reservations=[booked()])


def test_a_job_that_could_not_run_without_the_reservation_either_waits_for_something_else():
    assert "maint-fw" not in said(waits("Resources", node_count=4), reservations=[booked()])


def test_the_last_of_several_counts():
    two = [booked("first", 6, 4), booked("second", 12, 20, "gpu[0002,0004]")]
    assert "reservation" not in said(waits("Priority"), reservations=two)
    assert "maintenance first" in said(waits("Priority"), reservations=two)
    assert "maintenance second" in said(waits("Priority", node_count=3, gpus=24), reservations=two)


def test_held_is_held_whatever_is_reserved():
    assert said(waits("JobHeldUser"), reservations=[booked()]).startswith("It is held")


# -- limits ---------------------------------------------------------------------------------------------------------


def test_what_one_user_may_hold():
    text = said(waits("QOSMaxGRESPerUser"), runs("1", user="alice"), known=PendingFacts(limits=LIMITS))
    assert text == "QOS normal allows alice 64 GPUs at a time: 60 GPUs are in use, and it asks for 8 GPUs more."


def test_what_a_qos_may_hold_together_and_who_has_it():
    busy = [runs("1", user="bob", qos="large", gpus_held=64), runs("2", user="carol", qos="large", gpus_held=32),
            runs("3", user="dave", qos="normal")]  # fmt: skip
    text = said(waits("QOSGrpGRES", qos="large"), *busy, known=PendingFacts(limits=LIMITS))
    assert text == (
        "QOS large allows 100 GPUs at a time: 96 GPUs are in use (bob 64, carol 32), and it asks for 8 GPUs more."
    )  # fmt: skip


def test_a_limit_of_the_account_above_counts():
    text = said(waits("AssocGrpGRES"), runs("1", user="bob", gpus_held=60), known=PendingFacts(limits=LIMITS))
    assert text == "Account rug allows 72 GPUs at a time: 68 GPUs are in use (bob 60), and it asks for 8 GPUs more."


def test_running_jobs_are_counted_too():
    text = said(waits("AssocMaxJobsLimit"), known=PendingFacts(limits=LIMITS))
    assert text == "Account ml allows alice 2 jobs at a time: 2 run."


def test_a_job_that_is_too_long_for_its_qos_never_starts():
    text = said(waits("QOSMaxWallDurationPerJobLimit"), known=PendingFacts(limits=LIMITS))
    assert text == "QOS normal allows one job at most 60 min and it asks for 24 h: it will not start as it is."


def test_a_limit_that_is_not_known_is_not_made_up():
    fault = Fault("missing", "Slurm keeps no accounts (no slurmdbd), so it sets no limits")
    for told in (None, fault):
        text = said(waits("QOSMaxCpuPerUserLimit"), known=PendingFacts(limits=told))
        assert "(Slurm says QOSMaxCpuPerUserLimit); how much is in use is not known" in text
    assert "no slurmdbd" in text
    assert "which Slurm does not report" in said(waits("QOSMaxCpuPerUserLimit"), known=PendingFacts(limits=LIMITS))


def test_every_reason_that_slurm_has_is_told_in_words():
    """And a limit's reason is read as one, whatever the resource."""
    reasons = [line for line in (RECORDED / "reasons.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(reasons) > 200
    for reason in reasons:
        text = said(waits(reason), known=PendingFacts(limits=LIMITS))
        assert "wacht knows no more" not in text and text.endswith("."), reason
        limited = re.match(r"QOS(Grp|Max)|Assoc(Grp|Max)|Max\w+Per(User|Account)", reason) is not None
        assert (limit_hit(reason) is not None) is limited, reason


def test_a_reason_about_a_limit_names_it():
    for reason, name, tres in (
        ("QOSMaxGRESPerUser", "MaxTRESPU", "gres/"), ("AssocGrpCPURunMinutesLimit", "GrpTRESRunMins", "cpu"),
        ("MaxGRESRunMinsPerUser", "MaxTRESRunMinsPU", "gres/"), ("QOSGrpMemoryMinutes", "GrpTRESMins", "mem"),
        ("AssocGrpJobsLimit", "GrpJobs", None), ("QOSMaxGRESMinutesPerJob", "MaxTRESMinsPJ", "gres/"),
    ):  # fmt: skip
        found = limit_hit(reason)
        assert found is not None and (found.name, found.tres) == (name, tres), reason
    assert limit_hit("Resources") is limit_hit("MaxMemPerLimit") is limit_hit("MaxPoweredUpNodes") is None


# -- everything else --------------------------------------------------------------------------------------------------

OTHERS = [
    ("JobHeldUser", {}, "It is held, as its owner may hold and release it"),
    ("JobHeldAdmin", {"priority": 0}, "An administrator holds it"),
    ("job requeued in held state", {"priority": 0}, "It was requeued and is held"),
    ("BeginTime", {"expected": int(NOW) + 6 * HOUR}, "It may not begin before "),
    ("BeginTime", {}, "which Slurm does not report"),
    ("PartitionTimeLimit", {"time_limit_s": 72 * HOUR}, "asks for 3-00:00:00 and partition gpu allows 2-00:00:00"),
    (
        "PartitionNodeLimit",
        {"node_count": 9},
        "It asks for 9 nodes, which is not what partition gpu allows (gpu has 4)",
    ),
    ("BadConstraints", {}, "No node can give what it asks for: it will not start"),
    ("Licenses", {}, "It waits for licences that others hold."),
    ("NodeDown", {}, "A node that it needs is down."),
    ("Prolog", {}, "Its prolog still runs"),
    ("Reservation", {}, "It runs inside its reservation alone"),
    ("Dependency", {}, "It waits for another job, as its owner asked"),
    ("ReqNodeNotAvail, May be reserved for other job", {}, "may be kept for other work"),
    ("QOSMinGRES", {}, "It asks for less than the least that QOS normal takes"),
    (None, {}, "Slurm has not said yet why it waits"),
    ("SomethingNew", {}, "Slurm says SomethingNew; wacht knows no more of that."),
]


@pytest.mark.parametrize(("reason", "more", "words"), OTHERS, ids=[str(one[0]) for one in OTHERS])
def test_other_reasons(reason, more, words):
    text = said(waits(reason, **more))
    assert words in text and text.endswith(".") and "\n" not in text and "None" not in text


def test_a_job_array_tells_how_many_of_it_run():
    tasks = [runs(f"77_{at}") for at in range(3)]
    assert (
        said(waits("JobArrayTaskLimit", id="77_9"), *tasks, runs("770_1"))
        == "Array 77 lets only so many of its tasks run at once, and 3 of them run now."
    )


def test_a_partition_that_is_down():
    down = [Partition(name="gpu", state="DOWN")]
    assert said(waits("PartitionDown"), partitions=down).startswith("Partition gpu is DOWN: nothing starts in it")
    assert "calls its partition inactive" in said(waits("PartitionInactive"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("afterok:1(unfulfilled)", "It waits for job 1 to end well (which runs, 2h 00m left at most)."),
        ("afterany:2(unfulfilled)", "job 2 to end (which waits itself: Priority)"),
        ("after:9(unfulfilled)", "job 9 to begin (which is not in the queue any more)"),
        ("afterok:1(unfulfilled),afterany:2(unfulfilled)", " left at most) and job 2 to end"),
        ("afterok:1(unfulfilled)?afterany:2(unfulfilled)", " left at most) or job 2 to end"),
        ("afterok:1(fulfilled),afternotok:2(unfulfilled)", "It waits for job 2 to fail"),
        ("singleton(unfulfilled)", "every other job of alice called"),
        ("aftercorr:7_*(unfulfilled)", "job 7_* to end well, task by task (2 tasks of it are in the queue)"),
        ("something odd", "It waits for another job: something odd."),
    ],
)
def test_dependencies(text, words):
    others = [runs("1"), waits("Priority", id="2"), runs("7_1"), runs("7_2")]
    assert words in said(waits("Dependency"), *others, known=detail(dependency=text))


def test_nodes_that_it_insists_on():
    text = said(
        waits("ReqNodeNotAvail, May be reserved for other job"), known=detail(fields={"required_nodes": "gpu0003"})
    )
    assert text == 'It insists on gpu0003, which is drained ("bad DIMM", by jdv, 3h 00m ago).'
    assert said(waits("ReqNodeNotAvail, UnavailableNodes:gpu[0001,0003]")).startswith(
        "Slurm keeps it waiting for gpu0003, which is drained"
    )
    held = [booked(begins=-1, nodes="gpu0001")]
    text = said(waits("ReqNodeNotAvail, UnavailableNodes:gpu0001", time_limit_s=None), reservations=held)
    assert text.startswith("Nodes that it needs are held by maintenance maint-fw until ")


def test_a_reservation_of_its_own():
    known = detail(fields={"resv_name": "course"})
    one = booked("course", 2, flags=())
    assert "inside reservation course alone, which begins at" in said(
        waits("Reservation"), reservations=[one], known=known
    )
    on = booked("course", -2, flags=())
    assert "waits for room in it" in said(waits("Reservation"), reservations=[on], known=known)


# -- figures --------------------------------------------------------------------------------------------------------


def test_priority_and_share_and_limits_stand_under_it():
    known = PendingFacts(
        factors=Factors(job="500", priority=1300, points={"age": 100, "fair share": 1200, "nice": -50}),
        shares=[Share(account="ml", user="alice", shares=1, shares_norm=0.25, usage=10, usage_part=0.5, factor=0.25)],
        limits=LIMITS,
    )
    found = figures(waits("Priority"), known=known)
    assert found["priority"] == "1,300 = fair share 1,200, age 100, nice -50"
    assert found["fair share"] == "alice in ml: factor 0.250: 25 % of the shares, 50 % of the use"
    assert found["limit"].startswith(("QOS normal, alice: MaxTRESPU gres/gpu 60 of 64", "account rug", "alice in ml"))
    assert found["partition"] == "gpu: 3 of 4 nodes in service, 1 idle, 11 GPUs free"


def test_what_cannot_be_asked_is_said():
    fault = Fault("missing", "Slurm runs without priority/multifactor: jobs wait in the order they came")
    found = figures(waits("Priority"), known=PendingFacts(factors=fault, limits=fault, shares=fault))
    assert "without priority/multifactor" in found["priority"] and found["limits"].startswith("not known: ")


def test_facts_that_are_not_there_are_not_claimed():
    one = waits("Resources")
    text = pending_reason(one, cluster(jobs=[one]), NOW).sentence
    assert "in service" not in text and not re.search(r"\b0\b", text)

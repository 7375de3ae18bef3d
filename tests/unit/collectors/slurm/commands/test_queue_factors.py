"""What sprio, sshare and scontrol show assoc_mgr print (24.11.5 and 26.05.5, recorded in labs), read as facts."""

from __future__ import annotations

import pytest

from collectors.model import Limit, SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands import association_text
from collectors.slurm.commands.controller import detail
from collectors.slurm.commands.queue_factors import factors, open_queueing, shares
from tests.support.make import VERSIONS, Commands
from tests.support.paths import DATA

RECORDED = DATA / "queueing"


@pytest.fixture(params=VERSIONS)
def told(request):
    """The lines of a file as that version printed it."""
    return lambda name: (RECORDED / request.param / name).read_text().split("\n")[:-1]


def test_factors(told):
    found = factors("5", told("sprio_next.txt"))
    assert (found.priority, found.points) == (10201, {"fair share": 10000, "size": 95, "TRES": 107})
    nice = factors("6_7", told("sprio_behind.txt"))
    assert nice.priority == 1 and nice.points["nice"] == -20000
    with pytest.raises(SourceFault, match="as job 99"):
        factors("99", told("sprio_none.txt"))
    with pytest.raises(SourceFault, match=r"as job 1$"):
        factors("1", told("sprio_next.txt"))


def test_of_several_partitions_the_best_counts():
    head = "JOBID|PARTITION|PRIORITY|AGE|ASSOC|FAIRSHARE|JOBSIZE|PARTITION|QOS|SITE|NICE|TRES"
    found = factors(
        "7", [head, "7|a|10|0|0|0|0|10|0|0|0|", "7|b|90|0|0|0|0|90|0|0|0|", "7|c|30|0|0|0|0|30|0|0|0|", "7|x"]
    )
    assert (found.priority, found.points) == (90, {"partition": 90})


def test_shares(told):
    found = shares(told("sshare.txt"))
    by = {(one.account, one.user): one for one in found}
    assert len(found) == 9 and by["root", None].parent is None and by["root", None].shares is None
    assert (by["ml", None].parent, by["small", None].parent) == ("root", "ml")
    small = by["small", None]
    assert (small.shares, small.shares_norm, small.usage, small.factor) == (7, 0.636364, 0, None)
    assert by["small", "carol"].factor == 0.0 and by["ml", "alice"].factor == 1.0
    assert all(one.parent is None for one in found if one.user is not None)


def test_limits(told):
    found = association_text.limits(told("assoc_mgr.txt"))
    assert found is not None and found.parents == {"ml": "root", "small": "ml"}
    assert set(found.limits) == {
        Limit(name="GrpTRES", tres="gres/gpu", most=8, used=8, account="small"),
        Limit(name="MaxTRESPU", tres="gres/gpu", most=8, used=8, qos="capped", user="bob"),
        Limit(name="MaxJobsPU", most=4, used=1, qos="capped", user="bob"),
        Limit(name="MaxJobsPU", most=1, used=1, qos="few", user="bob"),
        Limit(name="GrpTRES", tres="gres/gpu", most=100, used=8, qos="few"),
    }


RECORD = (
    "ClusterName=c Account=ml UserName={} Partition={} ID=1 GrpJobs=N(1) "
    "GrpTRES=cpu=N(1),gres/gpu={} MaxJobs= Comment={}"
)


def test_a_comment_is_no_limit():
    found = association_text.limits([RECORD.format("", "", "N(3)", "GrpTRES=gres/gpu=1(0) GrpJobs=1(9)")])
    assert found is not None and found.limits == ()


def test_a_record_out_of_a_comment_counts_as_little_as_the_true_one():
    true, forged = RECORD.format("", "", "64(3)", "(null)"), RECORD.format("", "", "1(1)", "(null)")
    other = RECORD.format("alice(1)", "", "9(1)", "(null)")
    found = association_text.limits([true, forged, other])
    assert found is not None and [one.most for one in found.limits] == [9]


def test_names_that_cannot_be_read_are_nobodys():
    found = association_text.limits(
        [RECORD.format("a(b(1)", "", "64(3)", ""), RECORD.format("x\x1b[2J(1)", "", "5(1)", "")]
    )
    assert found is not None and [(one.user, one.most) for one in found.limits] == [("x\\e[2J", 5)]


def test_an_association_may_be_for_one_partition():
    found = association_text.limits([RECORD.format("alice(1)", "gpu", "64(3)", "")])
    assert found is not None and found.limits[0].partition == "gpu"


def test_no_record_is_no_answer():
    assert (
        association_text.limits(["Current Association Manager state", "", "No associations currently cached in Slurm."])
        is None
    )


@pytest.mark.parametrize(
    ("minutes", "seconds"),
    [({"set": True, "number": 300}, 18_000), ({"set": True, "number": 0}, None), ({"set": False, "number": 9}, None),
     (None, None), ({"set": True, "number": "5"}, None), (7, None)],
)  # fmt: skip
def test_the_least_time_with_which_a_job_does(minutes, seconds):
    found = detail("7", {"time_minimum": minutes, "resv_name": "course"})
    assert found.time_min_s == seconds and found.fields == {"resv_name": "course"}


# -- the commands ---------------------------------------------------------------------------------------------------


@pytest.fixture
def commands(tmp_path, monkeypatch):
    return Commands(tmp_path, monkeypatch)


def queueing(**settings):
    return open_queueing("lab", SlurmSettings(**settings))


def test_each_is_one_call(commands, told):
    text = "\n".join([*told("sprio_next.txt"), ""])
    commands.says("sprio", text)
    commands.says("sshare", "\n".join([*told("sshare.txt"), ""]))
    commands.says("scontrol", "\n".join([*told("assoc_mgr.txt"), ""]))
    assert queueing().factors("5_17").points and queueing().shares() and queueing().limits().limits
    assert [call.partition(" -o A")[0].partition(" -o %")[0] for call in commands.calls] == [
        "sprio --jobs=5", "sshare -a -P", "scontrol -o show assoc_mgr flags=assoc,qos",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("out", "kind"),
    [
        ("", "malformed"),
        ("You are not running a supported priority plugin\n", "malformed"),
        ("JOBID|PARTITION|PR", "cut"),
    ],
)
def test_what_is_no_answer_is_a_fault(commands, out, kind):
    commands.says("sprio", out)
    with pytest.raises(SourceFault) as error:
        queueing().factors("5")
    assert error.value.fault.kind == kind


@pytest.mark.parametrize("job", ["", "x5", "-h", "--help"])
def test_nothing_but_a_number_is_asked_for(commands, job):
    commands.says("sprio", "")
    with pytest.raises(SourceFault, match="is no number"):
        queueing().factors(job)
    assert commands.calls == []


def test_where_nobody_has_a_share_it_says_why(commands):
    commands.says("sshare", "Account|User|RawShares|NormShares|RawUsage|EffectvUsage|FairShare\n")
    with pytest.raises(SourceFault, match="gives out no shares"):
        queueing().shares()


def test_without_the_commands_it_says_what_to_do(commands):
    over = queueing(transport="rest", url="https://slurm.example")
    for ask in (over.shares, over.limits, lambda: over.factors("5")):
        with pytest.raises(SourceFault, match="commands alone") as error:
            ask()
        assert "fallback" in error.value.fault.mend
    assert commands.calls == []


def test_a_hang_and_a_refusal_are_told(commands):
    commands.script("sshare", "sleep 30")
    with pytest.raises(SourceFault, match="gave no answer in"):
        queueing(deadline_s=0.2).shares()
    commands.says("scontrol", "", err="scontrol: error: Access/permission denied\n", rc=1)
    with pytest.raises(SourceFault) as error:
        queueing().limits()
    assert error.value.fault.kind == "auth"

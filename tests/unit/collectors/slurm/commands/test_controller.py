"""The smaller reads: partitions, reservations, sdiag, and one job in full: never another's, never half of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import SourceFault
from collectors.slurm.commands import controller
from tests.support.make import VERSIONS, Commands, recorded

PARTITION = (
    "PartitionName=gpu AllowGroups=ALL AllowAccounts=ml,bio AllowQos=ALL Default=YES QoS=part-gpu MaxTime=2-00:00:00 "
    "Nodes=gpu[0001-0004] PriorityTier=7 State=UP TotalCPUs=448 TotalNodes=4 TRES=cpu=448,mem=1G,node=4,gres/gpu=32\n"
)
RESERVATION = (
    "ReservationName={} StartTime=100 EndTime=200 Duration=00:01:40 Nodes=gpu[0001-0002] NodeCnt=2 CoreCnt=2 "
    "Features=(null) PartitionName=gpu Flags=MAINT,SPEC_NODES TRES=cpu=2 Users=root,alice Groups=(null) Accounts=ml "
    "Licenses=(null) State=ACTIVE BurstBuffer=(null) MaxStartDelay=(null){}\n"
)
DEAD = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    return Commands(tmp_path, monkeypatch)


def fault_of(read, *args):
    with pytest.raises(SourceFault) as caught:
        read(*args, 20.0)
    return caught.value.fault


# -- partitions --------------------------------------------------------------------------------------------------------


def test_partitions(commands):
    bare = "PartitionName=old State=DOWN Default=NO QoS=N/A MaxTime=UNLIMITED Nodes=(null) TotalNodes=0 New=1\n"
    commands.says("scontrol", PARTITION + bare, to="-a show partition -o")
    found = controller.partitions(20)
    gpu, old = found["gpu"], found["old"]
    assert (gpu.state, gpu.default, gpu.nodes, gpu.node_count, gpu.cpus, gpu.gpus) == (
        "UP",
        True,
        "gpu[0001-0004]",
        4,
        448,
        32,
    )
    assert (gpu.time_limit_s, gpu.priority_tier, gpu.qos, gpu.allow_accounts) == (172_800, 7, "part-gpu", "ml,bio")
    assert (old.state, old.default, old.node_count) == ("DOWN", False, 0)
    assert old.nodes is old.gpus is old.time_limit_s is old.priority_tier is old.qos is old.allow_accounts is None


@pytest.mark.parametrize(
    ("out", "kind"), [("", "empty"), ("No partitions\n", "empty"), (PARTITION[:-5], "cut"), (PARTITION[:-1], "cut")]
)
def test_no_partitions_is_no_answer(commands, out, kind):
    commands.says("scontrol", out)
    assert fault_of(controller.partitions).kind == kind


# -- reservations ------------------------------------------------------------------------------------------------------


def test_reservations(commands):
    commands.says("scontrol", RESERVATION.format("maint", ""))
    one = controller.reservations(20)["maint"]
    assert (one.state, one.starts, one.ends, one.nodes, one.node_count) == ("ACTIVE", 100, 200, "gpu[0001-0002]", 2)
    assert (one.partition, one.flags, one.users, one.accounts) == ("gpu", ("MAINT", "SPEC_NODES"), "root,alice", "ml")
    assert one.comment is None and len(commands.calls) == 1


def test_none_is_said_in_words(commands):
    commands.says("scontrol", "No reservations in the system\n")
    assert controller.reservations(20) == {}


@pytest.mark.parametrize(("out", "kind"), [("", "empty"), ("\n", "empty"), (RESERVATION.format("x", "")[:-1], "cut")])
def test_no_reservations_are_not_guessed(commands, out, kind):
    commands.says("scontrol", out)
    assert fault_of(controller.reservations).kind == kind


def test_a_comment_forges_no_reservation(commands):
    forged = RESERVATION.format("forged", "")
    doubled = RESERVATION.format("other", "").replace("ACTIVE", "INACTIVE")
    maint = RESERVATION.format("maint", f" Comment=pump\n{forged}{doubled}")
    other = RESERVATION.format("other", " Comment=true\nstory")
    commands.says("scontrol", maint + other, to="-a show reservation -o")
    commands.says("scontrol", other, to="-a show reservation other -o")
    listing = "maint  ACTIVE 100 200 00:01:40 gpu[0001-0002]\nother  ACTIVE 100 200 00:01:40 gpu0003\n"
    commands.says("sinfo", listing, to="-a -T -h")
    found = controller.reservations(20)
    assert list(found) == ["maint", "other"]
    assert (
        found["maint"].comment == "pump"
        and found["other"].comment == "true\\nstory"
        and found["other"].state == "ACTIVE"
    )


def test_a_doubled_reservation_that_is_gone(commands):
    twice = RESERVATION.format("maint", " Comment=x") + RESERVATION.format("maint", "")
    commands.says("scontrol", twice, to="-a show reservation -o")
    commands.says("scontrol", "Reservation maint not found\n", rc=1, to="-a show reservation maint -o")
    commands.says("sinfo", "maint ACTIVE\n")
    assert controller.reservations(20) == {}


# -- sdiag -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
def test_a_cut_sdiag_tells_no_wrong_figure(version, data):
    whole = recorded(version, "sdiag.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controller, "ask", lambda *_, **__: whole)
        full = controller.diag(20)
        patch.setattr(controller, "ask", lambda *_, **__: whole[: data.draw(st.integers(0, len(whole) - 1))])
        try:
            part = controller.diag(20)
        except SourceFault as error:
            assert error.fault.kind in {"cut", "malformed"}
            return
    for name in full.__struct_fields__:
        told, true = getattr(part, name), getattr(full, name)
        assert told is None or told == true or (isinstance(told, dict) and told.items() <= true.items()), name


def test_figures_of_a_part_stay_in_it(commands):
    """Without a backfill cycle the main scheduler's last one is not taken for it, nor the other way round."""
    told = (
        "Server thread count:  3\nDBD Agent queue size: 9\n\nMain schedule statistics (microseconds):\n"
        "\tMean cycle:   7\n\nBackfilling stats\n\tLast cycle when: N/A\n\tLast cycle: 5\n\n"
        "some new part\n\tLast cycle: 8\n"
    )
    commands.says("sdiag", told)
    diag = controller.diag(20)
    assert (diag.server_threads, diag.dbd_queue, diag.agent_queue) == (3, 9, None)
    assert (diag.main_cycle_last_us, diag.main_cycle_mean_us, diag.backfill_cycle_last_us) == (None, 7, 5)
    assert diag.user_calls == {} and diag.jobs_running is None


@pytest.mark.parametrize(
    ("out", "kind"), [("", "malformed"), ("sdiag: something new\n", "malformed"), ("Jobs pending: 1", "cut")]
)
def test_no_figures_is_no_answer(commands, out, kind):
    commands.says("sdiag", out)
    assert fault_of(controller.diag).kind == kind


# -- one job in full ---------------------------------------------------------------------------------------------------


def record(id: int, **more) -> dict:
    return {
        "job_id": id,
        "job_state": ["RUNNING"],
        "nodes": f"gpu{id:04d}",
        "gres_detail": [f"gpu:h100:4(IDX:{id})"],
    } | more


def detail_of(commands, job: str, own: int, *records, out: bytes | None = None):
    """The detail of a job whose own number is `own`, from a JSON answer with these records."""
    commands.says("scontrol", f"JobId={own} ArrayJobId=17 JobName=x\nJobId=1 y\n", to=f"show job {job} -o")
    whole = json.dumps({"jobs": records, "errors": [], "meta": {}}).encode() if out is None else out
    commands.says("scontrol", whole, to=f"show job {own} --json=v0.0.42")
    return controller.job_detail(job, 20)


def test_an_array_task_is_not_its_neighbour(commands):
    """In JSON scontrol prints the whole array, the waiting rest first."""
    detail = detail_of(commands, "17_1", 25, record(17, nodes="", gres_detail=[]), record(24), record(25))
    assert detail.id == "17_1" and detail.gpu_indices == {"gpu0025": "25"}


def test_a_component_is_not_the_first_one(commands):
    assert detail_of(commands, "15+1", 16, record(15), record(16)).gpu_indices == {"gpu0016": "16"}


def test_indices_stand_by_their_nodes(commands):
    details = ["gpu:h100:2(IDX:0-1)", "gpu:(null):1(IDX:5)", "gpu:h100:0(IDX:N/A)"]
    detail = detail_of(commands, "7", 7, record(7, nodes="gpu[0008-0010]", gres_detail=details))
    assert detail.gpu_indices == {"gpu0008": "0-1", "gpu0009": "5"}


@pytest.mark.parametrize(
    "odd",
    [
        {"nodes": "gpu[0001-0003]"}, {"nodes": None}, {"nodes": 7}, {"nodes": "gpu[1"}, {"nodes": "@all"},
        {"gres_detail": None}, {"gres_detail": "gpu"}, {"gres_detail": [7]}, {"gres_detail": [None]},
        {"gres_detail": {}}, {"job_state": "RUNNING"}, {"job_state": None}, {"exit_code": 3},
        {"exit_code": {"return_code": 1}}, {"exit_code": {"return_code": {"set": True}}}, {"comment": ["x"]},
        {"batch_flag": "yes"}, {"requeue": None}, {"standard_output": {}},
    ],
)  # fmt: skip
def test_fields_of_another_type_are_unknown(commands, odd):
    detail = detail_of(commands, "7", 7, record(7, **odd))
    assert detail.id == "7" and detail.comment is detail.stdout is detail.batch is detail.requeueable is None
    assert detail.gpu_indices in ({}, {"gpu0007": "7"})
    assert detail.gpu_indices == {} or not {"nodes", "gres_detail"} & odd.keys()


def test_texts_are_clean(commands):
    detail = detail_of(
        commands, "7", 7, record(7, comment="a\x1b]52;c;x\x07", command="/x\ny", extra="\u202e", features="")
    )
    assert (detail.comment, detail.command, detail.fields["extra"]) == ("a\\e]52;c;x\\x07", "/x\\ny", "\\u202e")
    assert detail.features is None


def test_bytes_that_are_no_text_hide_nothing(commands):
    out = b'{"jobs": [{"job_id": 7, "name": "latin\xe9\xff", "comment": "latin\xe9\xff", "requeue": true}]}'
    detail = detail_of(commands, "7", 7, out=out)
    assert detail.comment == "latin\\udce9\\udcff" and detail.requeueable is True


@pytest.mark.parametrize(
    ("states", "code", "says"),
    [
        (["RUNNING"], 0, None), (["PENDING"], 0, None), (["SUSPENDED"], 0, None), (["RUNNING", "COMPLETING"], 0, None),
        (["COMPLETED"], 0, "0"), (["FAILED"], 3, "3"), (["CANCELLED", "COMPLETING"], 0, "0"),
    ],
)  # fmt: skip
def test_only_what_ended_has_an_exit_code(commands, states, code, says):
    exit_code = {"status": ["SUCCESS"], "return_code": {"set": True, "infinite": False, "number": code}}
    assert detail_of(commands, "7", 7, record(7, job_state=states, exit_code=exit_code)).exit_code == says


@pytest.mark.parametrize(
    "out",
    [b"", b"{", b'{"jobs": [{"job_id": 7', b'{"jobs": null}', b"[]", b'{"jobs": {}}', b'{"errors": []}', b"\xff\xfe",
     b'{"jobs": [1]}', b'{"jobs": [{"job_id": "x"}]}', b'{"jobs": [{"job_id": 7, "x": ' + b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_json_is_told_as_that(commands, out):
    with pytest.raises(SourceFault) as caught:
        detail_of(commands, "7", 7, out=out)
    assert caught.value.fault.kind == "malformed"


def test_a_job_that_ended_meanwhile(commands):
    with pytest.raises(SourceFault, match="Slurm shows no job 7"):
        detail_of(commands, "7", 7)


@pytest.mark.parametrize(
    ("job", "out", "err"),
    [
        ("999999", "", "slurm_load_jobs error: Invalid job id specified\n"),
        ("17_99", "Job 17_99 not found\n", ""),
        ("17_99", "", "Job 17_99 not found\n"),
        ("15+9", "", "Job 15+9 not found\n"),
    ],
)
def test_unknown_jobs(commands, job, out, err):
    """Task and component are told of on stdout by 24.11 and on stderr by 26.05."""
    commands.says("scontrol", out, err, 1)
    fault = fault_of(controller.job_detail, job)
    assert (fault.kind, fault.what) == ("missing", f"Slurm shows no job {job}") and f"sacct -j {job}" in fault.mend


def test_a_dead_controller_has_lost_no_job(commands):
    """`scontrol show job --json` ends with 0 and an empty list then."""
    commands.says("scontrol", '{"jobs": [], "errors": []}', to="show job 7 --json=v0.0.42")
    commands.says("scontrol", "", DEAD, 1)
    fault = fault_of(controller.job_detail, "7")
    assert fault.kind == "refused" and "Unable to contact" in fault.what


def test_text_without_a_number(commands):
    commands.says("scontrol", "something new\n")
    assert fault_of(controller.job_detail, "7").kind == "malformed"


def test_the_path_of_an_output_has_its_patterns_filled_in(commands):
    """As slurmrestd of 26.05 tells it; 24.11 tells the one field, filled in."""
    told = {"standard_output": "/h/%j.out", "stdout_expanded": "/h/7.out",
            "standard_error": "/h/%x", "stderr_expanded": "/h/train"}  # fmt: skip
    detail = detail_of(commands, "7", 7, record(7, **told))
    assert (detail.stdout, detail.fields["standard_error"]) == ("/h/7.out", "/h/train")
    detail = detail_of(commands, "8", 8, record(8, standard_output="/h/8.out", standard_error="/h/8.err"))
    assert (detail.stdout, detail.fields["standard_error"]) == ("/h/8.out", "/h/8.err")

"""Reading through pyslurm in its child process: the facts that the commands tell, of a 25.11.7 recorded at once."""

from __future__ import annotations

import msgspec
import pytest

from collectors.model import SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.commands_transport import CliTransport
from collectors.slurm.native import facts, jobs
from collectors.slurm.transport import KINDS
from tests.native.recorded import as_of_now, recorded_rows
from tests.support.make import Commands, play


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """The transport of the commands, over what they printed."""
    play(Commands(tmp_path, monkeypatch), "25.11")
    return CliTransport(SlurmSettings(share=False))


def both(standin, cli, kind):
    native = standin.transport().reader(kind).read()
    return getattr(native, kind), getattr(cli.reader(kind).read(), kind)


def test_every_job_is_the_same(standin, cli):
    native, told = both(standin, cli, "jobs")
    assert len(native) == 36 and native == told


def test_every_node_is_the_same_but_for_what_text_cannot_tell(standin, cli):
    native, told = both(standin, cli, "nodes")
    assert len(native) == 16
    # pyslurm says 0.0 for a load that is not known, and has the whole comment that scontrol's line is forged by.
    assert (
        native["gpu0013"].comment.startswith("first\\nNodeName=gpu0002")
        and native["gpu0013"].extra == "rack=7\\nslot=3"
    )
    unsaid = {"cpu_load": None, "comment": None, "extra": None, "weight": None}
    for name, one in native.items():
        assert one.cpu_load in {None, told[name].cpu_load}
        assert msgspec.structs.replace(one, **unsaid) == msgspec.structs.replace(told[name], **unsaid)


@pytest.mark.parametrize("kind", ["partitions", "reservations", "rights"])
def test_the_rest_is_the_same(standin, cli, kind):
    native, told = both(standin, cli, kind)
    assert native == (as_of_now(told) if kind == "reservations" else told)


def test_the_controllers_figures_but_for_what_moved_meanwhile(standin, cli):
    native, told = both(standin, cli, "diag")
    assert native.since == told.since and native.reader == told.reader
    assert set(native.user_calls) == set(told.user_calls) == {"root", "bob", "alice"}
    assert (native.jobs_pending, native.backfill_cycle_last_us) == (told.jobs_pending, told.backfill_cycle_last_us)


@pytest.mark.parametrize("job", ["2", "9"])
def test_a_job_in_full(standin, cli, job):
    native, told = standin.transport().job_detail(job), cli.job_detail(job)
    more = {"tres_req_str", "tres_alloc_str"}  # pyslurm takes these apart
    kept = {key: value for key, value in told.fields.items() if key not in more}
    assert {key: value for key, value in native.fields.items() if key in kept} == kept
    assert msgspec.structs.replace(native, fields={}) == msgspec.structs.replace(told, fields={})


def test_what_is_named(standin):
    transport = standin.transport()
    assert set(transport.read_jobs(["2", "5_0", "5_3", "999", "5"])) == {"2", "5_0", "5_3"}
    assert (
        set(transport.read_jobs_on(["gpu0001", "gpu0009"])) == {"3", "4", "5_0", "6"}
        and transport.read_jobs_on(["gpu0016"]) == {}
    )
    assert set(transport.read_nodes(["gpu0003", "gpu9999"])) == {"gpu0003"}
    with pytest.raises(SourceFault, match="Slurm shows no job 999"):
        transport.job_detail("999")
    assert transport.about().version == "25.11.7"


def test_a_row_that_did_not_change_is_the_same_object(standin):
    reader = standin.transport().reader("jobs")
    first = reader.read().jobs
    assert reader.read().jobs is first and reader.size > 5_000


def test_hostile_text_is_shown_not_obeyed(standin):
    names = {job.name for job in standin.transport().reader("jobs").read().jobs.values()}
    assert "clip\\e]52;c;ZXZpbA==\\x07board" in names and "latin\\udce9\\udcff" in names


def test_racks_by_pattern_and_topology_as_unknown(standin):
    from collectors.racks import RackRule
    from collectors.slurm.native.native_transport import NativeReader

    client = standin.transport()._client

    def read(rule):
        return NativeReader("nodes", SlurmSettings(transport="native", racks=rule), client, lambda: None).read()

    by_four = read(RackRule(pattern=r"gpu(?P<n>\d{4})", nodes_per_rack=4))
    assert by_four.nodes["gpu0005"].rack == by_four.nodes["gpu0008"].rack != by_four.nodes["gpu0009"].rack is not None
    lost = read(RackRule(topology=True))
    assert lost.nodes["gpu0005"].rack is None and "topology" in lost.warnings[0]


def test_no_node_is_a_fault_and_no_job_is_none(standin):
    standin.holds(nodes=[], jobs=[], partitions=[], reservations=[])
    transport = standin.transport()
    assert transport.reader("jobs").read().jobs == {} and transport.reader("reservations").read().reservations == {}
    for kind in ("nodes", "partitions"):
        with pytest.raises(SourceFault, match="lists not one"):
            transport.reader(kind).read()


def test_gpus_of_which_nobody_can_tell_are_unknown(standin):
    waiting = next(row for row in recorded_rows("jobs") if row["id"] == 9)
    asked_for_all = waiting | {"gres_per_node": {}}
    standin.holds(jobs=[asked_for_all])
    assert standin.transport().reader("jobs").read().jobs["9"].gpus is None
    standin.holds(jobs=[asked_for_all], config={"accounting_storage_tres": ["cpu", "gres/gpu"]})
    assert standin.transport().reader("jobs").read().jobs["9"].gpus == 0


def test_a_job_without_a_time_limit(standin):
    """pyslurm 25.11.2 on 25.11.7 gives None for it, and raises for what it cannot read."""
    rows = {row["id"]: row for row in recorded_rows("jobs")}
    plain = rows[2]
    standin.holds(
        jobs=[plain | {"time_limit": None}, rows[9], plain | {"id": 3, "time_limit": {"!raises": "ValueError"}}]
    )
    found = standin.transport().reader("jobs").read().jobs
    assert {one.id: (one.unlimited, one.time_limit_s) for one in found.values()} == {
        "2": (True, None), "9": (False, 3600), "3": (False, None),
    }  # fmt: skip


def test_gpus_per_task(standin):
    waiting = next(row for row in recorded_rows("jobs") if row["id"] == 9) | {"gres_per_node": {}, "ntasks": 3}
    standin.holds(jobs=[waiting | {"tres_per_task": {"!gres": {"gpu": 2}}}])
    assert standin.transport().reader("jobs").read().jobs["9"].gpus == 6


def test_gpus_that_pyslurm_cannot_read_are_unknown(standin):
    """As of `gpu:a100:no_consume:4`, for which pyslurm 25.11.2 raises."""
    node, other = recorded_rows("nodes")[:2]
    node |= {"configured_gres": {"!raises": "ValueError"}, "partitions": ["gpu"]}
    parts = [row | {"name": name} for row in recorded_rows("partitions")[:1] for name in ("gpu", "other")]
    tracked = {"accounting_storage_tres": ["cpu", "gres/gpu"], "private_data": None}
    standin.holds(nodes=[node, other | {"partitions": ["gpu", "other"]}], partitions=parts, config=tracked)
    transport = standin.transport()
    assert {one.gpus for one in transport.read_nodes([node["name"]]).values()} == {None}
    assert {one.name: one.gpus for one in transport.read_partitions(["gpu", "other"]).values()} == {
        "gpu": None,
        "other": 8,
    }


@pytest.mark.parametrize(
    ("allowed", "denied", "told"),
    [(["ALL"], ["ALL"], ("ALL", None)), (["ALL"], ["bio", "phys"], ("ALL", "bio,phys")),
     (["ml", "bio"], ["ALL"], ("ml,bio", None)), (["ml"], ["bio"], ("ml", None))],
)  # fmt: skip
def test_which_accounts_may_use_a_partition(standin, allowed, denied, told):
    row = recorded_rows("partitions")[0] | {"allowed_accounts": allowed, "denied_accounts": denied}
    standin.holds(partitions=[row])
    (found,) = standin.transport().reader("partitions").read().partitions.values()
    assert (found.allow_accounts, found.deny_accounts) == told


def test_hidden_jobs_leave_the_gpus_in_use_unknown(standin, monkeypatch):
    records = [Record(row) for row in recorded_rows("nodes")]
    assert {one.gpus_alloc for one in facts.nodes(records, None, {})} == {None}
    assert [(one.gpus_alloc, one.gpus_used) for one in facts.nodes(records[:1], {"gpu0001": (None, None)}, {})] == [
        (None, None)
    ]


class Record:
    """A recorded object whose values are plain."""

    def __init__(self, row):
        self.__dict__ |= row


@pytest.mark.parametrize(
    "fields, ids",
    [
        ({"id": 7}, ("7",)),
        ({"id": 7, "array_id": 3}, ("3_0",)),
        ({"id": 7, "array_id": 3, "array_task_id": 2}, ("3_2",)),
        (
            {"id": 3, "array_id": 3, "array_tasks_waiting": "1-2,5,10-20:5"},
            ("3_1", "3_2", "3_5", "3_10", "3_15", "3_20"),
        ),
        ({"id": 3, "array_id": 3, "array_tasks_waiting": "1-9,..."}, ()),
        ({"id": 3, "array_id": 3, "array_tasks_waiting": "1-9999999"}, ()),
        ({"id": 5, "heterogeneous_id": 5}, ("5+0",)),
        ({"id": 6, "heterogeneous_id": 5, "heterogeneous_offset": 1}, ("5+1",)),
        ({}, ()),
    ],
)
def test_the_ids_a_record_stands_for(fields, ids):
    assert jobs.ids_of(Record(fields)) == ids


def test_the_tasks_of_a_cut_list_are_unknown_not_gone(standin):
    """Task 5 of an array whose list of waiting tasks is cut may be there: nobody can say so of one of another."""
    plain = next(row for row in recorded_rows("jobs") if row["id"] == 2)
    cut = {**plain, "id": 101, "array_id": 101, "array_tasks_waiting": "1-3,7,9-11,15,...", "state": "PENDING"}
    standin.holds(jobs=[cut, {**plain, "id": 7}])
    transport = standin.transport()
    facts = transport.reader("jobs").read()
    assert list(facts.jobs) == ["7"] and facts.warnings == ("the tasks of job 101 could not be read",)
    assert facts.hidden == {"101", "101_*"}
    assert transport.read_jobs(["7", "8", "102_5"]).keys() == {"7"}
    with pytest.raises(SourceFault, match="pyslurm does not report all of job 101_5"):
        transport.read_jobs(["7", "101_5"])


def test_indices_of_several_jobs_on_a_node():
    def held(indices):
        gres = {"gpu:h100": {"count": 2, "indexes": indices}}
        record = Record({"state": "RUNNING"})
        record.get_resource_layout_per_node = lambda: {"gpu0001": {"gres": gres}}
        return record

    assert facts.gpus_in_use([held("3,7"), held("0-1"), held("2,4")]) == {"gpu0001": (6, "0-4,7")}


def test_every_kind_has_a_reader(standin):
    transport = standin.transport()
    mine = [kind for kind in KINDS if transport.unsupported(kind) is None]
    assert {type(transport.reader(kind)).__name__ for kind in mine} == {"NativeReader"} and len(mine) >= 6

"""What slurmrestd answered (24.11 and 26.05), read as wacht reads it, and how a large queue is spared."""

from __future__ import annotations

import json
from types import SimpleNamespace

import msgspec
import pytest

from collectors import process
from collectors.model import SourceFault
from collectors.slurm.rest import queue, rest_transport, stream
from collectors.slurm.rest.answers import Nodes
from collectors.slurm.rest.client import RestClient
from collectors.slurm.rest.jobs import JobRecord, Jobs, state_word, tasks_of
from collectors.slurm.rest.queue import RestQueue
from collectors.slurm.rest.rest_transport import RestTransport
from collectors.slurm.sources import open_sources
from tests.support.slurmrestd_server import VERSIONS, StandIn, number, record, recorded


@pytest.fixture(params=VERSIONS)
def restd(request, tmp_path):
    with StandIn(tmp_path, request.param) as started:
        yield started


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A queue of three jobs that counts as large, its reader, and a clock."""
    monkeypatch.setattr(queue, "SMALL", 0)
    with StandIn(tmp_path) as started:
        started.queue(record(1), record(2, "RUNNING", "gpu1"), record(3))
        now = [0.0]
        reader = RestQueue(RestClient(started.settings), lambda: now[0])
        reader.read()
        started.seen.clear()
        yield started, reader, now


def read(restd, kind):
    return getattr(RestTransport(restd.settings).reader(kind).read(), kind)


def test_nodes(restd):
    nodes = read(restd, "nodes")
    assert {name: one.display for name, one in nodes.items()} == {
        "gpu0001": "draining", "gpu0002": "allocated", "gpu0003": "mixed", "gpu0004": "down",
    }  # fmt: skip
    one = nodes["gpu0001"]
    assert (one.cpus, one.memory_mb, one.gpus, one.gpus_alloc, one.gpus_used, one.gpu_type) == (
        112, 2_000_000, 8, 8, "0-7", "h100",
    )  # fmt: skip
    assert one.reason == "evil State=IDLE\\nNodeName=gpu0001 Arch=x State=DOWN \\e[31m [/] x=y"
    assert one.reason_by == "root" and one.reason_at is not None and nodes["gpu0002"].reason_at is None


def test_jobs_and_tasks(restd):
    jobs = read(restd, "jobs")
    assert list(jobs) == ["1", "2_0", "2_1", "2_2", "2_3", "4", "5"]
    assert (jobs["1"].nodes, jobs["1"].gpus_held, jobs["1"].state, jobs["1"].time_limit_s) == (
        "gpu[0001-0002]", 16, "RUNNING", 3600,
    )  # fmt: skip
    assert (jobs["2_0"].state, jobs["2_1"].state, jobs["2_1"].gpus_held) == ("RUNNING", "PENDING", None)
    assert jobs["4"].name.startswith("evil\\n99999|RUNNING") and jobs["5"].name == "latin\\udce9\\udcff"
    assert jobs["4"].reason == "JobHeldUser" and jobs["4"].priority == 0


def test_the_smaller_kinds(restd, monkeypatch):
    monkeypatch.setattr(
        rest_transport, "time", SimpleNamespace(time=lambda: 1_795_600_000.0)
    )  # the reservation is to begin
    parts, kept, diag = read(restd, "partitions"), read(restd, "reservations"), read(restd, "diag")
    assert parts["gpu"].time_limit_s == 172_800 and parts["long"].state == "UP" and parts["gpu"].allow_accounts == "ALL"
    assert parts["gpu"].default is (restd.parser >= 45), "told from v0.0.45 on"
    assert kept["lab-maint"].nodes == "gpu0004" and kept["lab-maint"].state == "INACTIVE"
    assert diag.server_threads and diag.user_calls["root"] > 0 and diag.reader == "alice"


def test_what_is_named(restd):
    rest_transport = RestTransport(restd.settings)
    detail = rest_transport.job_detail("1")
    assert detail.gpu_indices == {"gpu0001": "0-7", "gpu0002": "0-7"} and detail.batch and detail.working_dir == "/tmp"
    assert list(rest_transport.read_nodes(["gpu0002", "gpu9"])) == ["gpu0002"]
    assert list(rest_transport.read_jobs_on(["gpu0003"])) == ["2_0"] and rest_transport.read_jobs_on(["gpu0004"]) == {}
    restd.odd["job/99999"] = lambda handler: handler.send(recorded("26.05", "job_gone"), 404)
    with pytest.raises(SourceFault, match="Slurm shows no job 99999"):
        rest_transport.job_detail("99999")
    with pytest.raises(SourceFault, match="Slurm shows no job"):
        rest_transport.job_detail("../nodes")
    assert rest_transport.read_jobs(["99999", "x/y"]) == {} and "x/y" not in str(restd.asked)


def test_the_newest_parser_is_found_and_found_anew(restd):
    rest_transport = RestTransport(restd.settings)
    about = rest_transport.about()
    assert about.parser == f"v0.0.{restd.parser}" and about.version and about.user == "alice"
    restd.parser = 41
    with pytest.raises(SourceFault):
        read(restd, "diag")
    assert read(restd, "diag").server_threads, "another version runs there now"


def test_rows_that_did_not_change_are_the_same_objects(restd):
    jobs, nodes = RestTransport(restd.settings).reader("jobs"), RestTransport(restd.settings).reader("nodes")
    assert jobs.read().jobs is jobs.read().jobs
    before, after = nodes.read().nodes, nodes.read().nodes
    assert all(after[name] is one for name, one in before.items())


def test_a_question_counts_as_a_command(restd):
    nodes = open_sources("lab", restd.settings)[0]
    before = process.count_started()
    nodes.collect()
    nodes.collect()
    first = process.count_started() - before
    assert first >= 2
    nodes.collect()
    assert process.count_started() - before == first + 1, "the budget of a source is one in calls"


# -- in pieces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_an_answer_in_pieces_is_the_answer(monkeypatch, indent, step):
    monkeypatch.setattr(stream, "PIECE", 150)
    evil = '},{"account":"x'
    rows = [record(id, name=evil if id % 2 else f"j{id}\n}},\n  {{") for id in range(1, 9)]
    raw = json.dumps(
        {"jobs": rows, "errors": [{"error": "late"}]}, indent=indent, separators=(",", ": " if indent else ":")
    ).encode()
    pieces = stream.Pieces("jobs", Jobs)
    found = list(pieces.take(raw[at : at + step] for at in range(0, len(raw), step)))
    assert [one.job_id for piece in found for one in piece.jobs] == list(range(1, 9))
    assert {one.name for piece in found for one in piece.jobs} >= {evil}
    assert pieces.size == len(raw) and [str(one) for one in found[-1].errors] == ["late"]
    assert (len(found) > 3) == (step < 100_000)


def test_what_is_not_utf8_is_shown():
    raw = b'{"nodes": [{"name": "gpu1", "reason": "caf\xe9 \\" x"}]}'
    (found,) = stream.Pieces("nodes", Nodes).take([raw])
    assert found.nodes[0].reason == 'caf\\udce9 " x'


@pytest.mark.parametrize(
    ("text", "tasks"),
    [("0-2%1", ["0", "1", "2"]), ("1,5", ["1", "5"]), ("1-7:3", ["1", "4", "7"]), ("1,3,...", None),
     ("0-99999999", None), ("", None)],
)  # fmt: skip
def test_tasks_in_the_text_of_an_array(text, tasks):
    own = msgspec.convert(record(9, array_job_id=number(9), array_task_string=text), JobRecord)
    assert tasks_of(own) == (None if tasks is None else tuple(f"9_{task}" for task in tasks))


@pytest.mark.parametrize(
    ("states", "word"),
    [(["RUNNING"], "RUNNING"), (["RUNNING", "COMPLETING"], "COMPLETING"), (["PENDING", "REQUEUED"], "REQUEUED"),
     (["RUNNING", "CONFIGURING", "NEW"], "CONFIGURING"), ([], "UNKNOWN")],
)  # fmt: skip
def test_one_word_stands_for_the_state(states, word):
    assert state_word(states) == word


# -- a large queue -----------------------------------------------------------------------------------------------------


def test_a_small_queue_is_read_whole(tmp_path):
    with StandIn(tmp_path) as restd:
        reader = RestQueue(RestClient(restd.settings))
        reader.read()
        reader.read()
        assert restd.asked == ["jobs/", "jobs/"]


def test_a_large_one_tells_its_states_and_how_old_the_rest_is(large):
    restd, reader, now = large
    now[0] = 12.0
    jobs, warnings = reader.read()
    assert restd.asked == ["jobs/state/"] and list(jobs) == ["1", "2", "3"]
    assert warnings == ("states are new; what else the rows of jobs say is up to 12 s old",)
    assert reader.read()[0] is jobs
    now[0] = queue.LEAST_S
    assert reader.read()[1] == () and restd.asked[-1] == "jobs/"


def test_what_is_new_started_or_gone_is_asked_for_alone(large):
    restd, reader, _ = large
    restd.queue(record(1, "RUNNING", "gpu7"), record(2, "COMPLETED"), record(3), record(8))
    jobs, _ = reader.read()
    assert {key: (one.state, one.nodes) for key, one in jobs.items()} == {
        "1": ("RUNNING", "gpu7"), "3": ("PENDING", None), "8": ("PENDING", None),
    }  # fmt: skip
    assert sorted(restd.asked) == ["job/1", "job/8", "jobs/state/"]


def test_too_many_changes_show_what_is_certain_until_the_whole_comes_sooner(large, monkeypatch):
    restd, reader, now = large
    monkeypatch.setattr(queue, "SINGLY", 1)
    restd.queue(record(1, "RUNNING", "gpu7"), record(2, state="PENDING"), record(3), record(8))
    jobs, warnings = reader.read()
    assert jobs["1"].nodes == "gpu7" and jobs["3"].reason == "Priority" and "8" not in jobs
    two = jobs["2"]
    assert (two.state, two.nodes, two.started, two.gpus_held, two.reason) == ("PENDING", None, None, None, None)
    assert two.name == "j2" and two.gpus == 8, "what a state does not change stays"
    assert warnings[1:] == ("1 new jobs are not shown yet: their records come with the next whole reading",
                            "1 jobs show a new state alone")  # fmt: skip
    now[0] = queue.LEAST_S / 3
    assert list(reader.read()[0]) == ["1", "2", "3", "8"] and restd.asked[-1] == "jobs/"


def test_what_is_not_shown_yet_is_not_gone(large, monkeypatch):
    """A task that starts gets a raw name of its own, of which nobody knows the array until its record is read."""
    monkeypatch.setattr(queue, "SINGLY", 0)
    restd, reader, now = large
    assert reader.hidden == frozenset()
    restd.queue(record(1), record(2), record(3), record(8))
    restd.answers["jobs/state/"]["jobs"] += [{"job_id": raw, "state": ["RUNNING"]} for raw in ("57_5", "61+1")]
    reader.read()
    assert reader.hidden == {"8", "*_5", "*+1"}
    now[0] = queue.LEAST_S
    reader.read()
    assert reader.hidden == frozenset()


def test_what_a_screen_shows_is_asked_for_each_time(large):
    restd, reader, _ = large
    reader.shown = frozenset({"3"})
    restd.answers["job/3"] = {"jobs": [record(3, state_reason="Resources")]}
    assert reader.read()[0]["3"].reason == "Resources" and restd.asked == ["jobs/state/", "job/3"]


@pytest.mark.parametrize("path", ["jobs/", "jobs/state/"])
def test_no_list_is_no_empty_queue(large, path):
    restd, reader, now = large
    restd.answers[path] = {"jobs": None, "errors": []}
    now[0] = queue.LEAST_S if path == "jobs/" else 1.0
    with pytest.raises(SourceFault) as caught:
        reader.read()
    assert caught.value.fault.kind == "empty"


def test_an_empty_queue_is_empty(tmp_path):
    with StandIn(tmp_path) as restd:
        restd.queue()
        assert RestQueue(RestClient(restd.settings)).read() == ({}, ())

"""The queue: any name comes back whole and forges nothing, a cut answer is never a shorter queue, GPUs are counted."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from collectors.clean import clean, decode
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.commands_transport import CliTransport
from collectors.slurm.commands.jobs import COLUMNS, NAMED, QueueReader, command, row
from collectors.slurm.commands.read_command import blocks, fence, fenced, value_or_none
from collectors.slurm.sources import open_sources
from tests.support import make
from tests.support.make import VERSIONS, Commands, recorded, recorded_jobs, squeue

MARK = "ASDFGHJKLQWERTYU"
#: What a name may be: any bytes but NUL, and what somebody would write who knows how wacht asks.
NAMES = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(str.encode),
    st.binary().map(lambda raw: raw.replace(b"\0", b"")),
    st.lists(
        st.sampled_from(
            [MARK[:8], MARK[8:], MARK[:-1], "QWERTYUIOPASDFGH\n", "\n", "|", "99|RUNNING|root", "\x1b[2J", "%", "\r\n"]
        )
    ).map(lambda parts: "".join(parts).encode()),
).filter(lambda name: MARK.encode() not in name)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    return Commands(tmp_path, monkeypatch)


def read(out: bytes, mark: str = MARK):
    """Jobs and warnings of an answer, through a new reader."""
    return QueueReader().take(blocks(["squeue"], mark, out, len(COLUMNS)))


def answer(*rows: bytes) -> bytes:
    return b"".join(one + MARK.encode() + b"\n" for one in ("|".join(COLUMNS).encode(), *rows))


def with_name(id: str, name: bytes, account: bytes = b"(null)") -> bytes:
    return make.row(JobArrayID=id, Account="@A", Name="@N").encode().replace(b"@A", account).replace(b"@N", name)


def collect(deadline_s: float = 20.0):
    source = next(one for one in open_sources("lab", SlurmSettings(deadline_s=deadline_s)) if one.name == "slurm.jobs")
    return source.collect()


# -- what a row says ---------------------------------------------------------------------------------------------------


def test_a_pending_job():
    job = row(make.row(StartTime="1795513056"))
    assert (job.id, job.state, job.user, job.name, job.reason) == ("101", "PENDING", "alice", "train", "Priority")
    assert job.account is job.qos is job.nodes is job.gpus_held is job.started is None
    assert (job.node_count, job.cpus, job.gpus, job.priority, job.restarts) == (2, 224, 16, 4_294_901_757, 0)
    assert (job.submitted, job.expected, job.time_limit_s) == (1_795_509_455, 1_795_513_056, 3600)
    assert row(make.row()).expected is None


def test_a_running_job():
    job = row(make.row(State="RUNNING", NodeList="gpu[0002-0003]", StartTime="1795509456", Reason="None", Account="ml"))
    assert (job.nodes, job.gpus, job.gpus_held, job.started, job.account) == (
        "gpu[0002-0003]",
        16,
        16,
        1_795_509_456,
        "ml",
    )
    assert job.expected is job.reason is None
    assert job.elapsed_s(1_795_509_466.5) == 10 and job.left_s(1_795_509_466) == 3590


@pytest.mark.parametrize(
    ("state", "nodes", "holds"),
    [
        ("PENDING", "", False), ("CONFIGURING", "gpu0001", True), ("COMPLETING", "gpu0001", True),
        ("SUSPENDED", "gpu0001", True), ("STOPPED", "gpu0001", True), ("SIGNALING", "gpu0001", True),
        ("RESIZING", "gpu0001", True), ("STAGE_OUT", "gpu0001", True), ("RESV_DEL_HOLD", "", False),
        ("REQUEUED", "gpu0001", False), ("REQUEUE_HOLD", "", False), ("REQUEUE_FED", "", False),
        ("SPECIAL_EXIT", "", False), ("EXPEDITING", "", False), ("REVOKED", "", False),
        ("A_NEW_WORD", "", False), ("A_NEW_WORD", "gpu0001", True), ("?", "", False),
    ],
)  # fmt: skip
def test_only_a_job_with_nodes_holds_gpus(state, nodes, holds):
    job = row(make.row(State=state, NodeList=nodes, StartTime="1795509456"))
    assert job.state == state
    assert (job.gpus, job.gpus_held) == (16, 16 if holds else None)
    assert (job.started, job.expected) == ((1_795_509_456, None) if holds else (None, 1_795_509_456))


@pytest.mark.parametrize(
    ("cells", "gpus"),
    [
        ({"tres_alloc": "cpu=4,gres/gpu=6,gres/gpu:h100=6"}, 6),
        ({"tres_per_node": "gres/gpu:h100:4", "NumNodes": "3"}, 12),
        ({"tres_per_node": "gres/gpu:4", "NumNodes": "3"}, 12),
        ({"tres_per_node": "gres/gpu:4", "NumNodes": "?"}, None),
        ({"tres_per_job": "gres/gpu:12", "NumNodes": "2"}, 12),
        ({"tres_per_job": "gres/gpu:12", "tres_per_node": "gres/gpu:8"}, 12),
        ({"tres_per_task": "gres/gpu:h100=2", "NumTasks": "3"}, 6),
        ({"tres_per_task": "cpu=4,gres/gpu=1", "NumTasks": "16", "NumNodes": "2"}, 16),
        ({"tres_per_task": "gres/gpu=1", "NumTasks": ""}, None),
        ({"tres_per_socket": "gres/gpu:1"}, None),
        ({}, 0),
        ({"tres_per_node": "gres/license:4"}, 0),
    ],
)
def test_gpus_however_they_were_asked_for(cells, gpus):
    """As 24.11 and 26.05 printed them for --gpus-per-node, --gpus, --gpus-per-task and --gpus-per-socket."""
    nothing = {"tres_per_node": "N/A", "tres_alloc": "cpu=4,mem=1G,node=2,billing=4"}
    assert row(make.row(**(nothing | cells))).gpus == gpus


@pytest.mark.parametrize("id", ["101", "101_3", "15+0", "15+1", "101_[2-4]"])
def test_ids_of_every_kind(id):
    assert row(make.row(JobArrayID=id)).id == id


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [("20:00", 1200), ("1-00:00:00", 86_400), ("UNLIMITED", None), ("Partition_Limit", None), ("NOT_SET", None)],
)
def test_limits(limit, seconds):
    assert row(make.row(TimeLimit=limit)).time_limit_s == seconds


@pytest.mark.parametrize(
    "raw", ["", "|" * (len(COLUMNS) - 2), "|" * (len(COLUMNS) - 1), make.row(State=""), make.row(JobArrayID="")]
)
def test_what_is_no_row(raw):
    assert row(raw) is None


def test_free_text_stands_last_so_that_it_reaches_no_other_column():
    assert COLUMNS[-2:] == ("Account", "Name")
    honest = row(make.row())
    for account in (
        "a|b\nc",
        "ml|gpu|x|1|1|1|gres/gpu=999|||||0|9|1|1|1:00|gpu0001|None|root|x",
        "|",
        "||||||||||||||||||||||||||",
    ):
        job = row(make.row(Account=account))
        for field in honest.__struct_fields__:
            if field not in {"account", "name"}:
                assert getattr(job, field) == getattr(honest, field), field


# -- fence and cut -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(NAMES, NAMES), max_size=5))
def test_any_name_comes_back_whole_and_forges_no_row(texts):
    jobs, warnings = read(answer(*(with_name(str(id), name, account) for id, (name, account) in enumerate(texts))))
    assert warnings == () and list(jobs) == [str(id) for id in range(len(texts))]
    for job, (name, account) in zip(jobs.values(), texts, strict=True):
        assert (job.user, job.state, job.nodes) == ("alice", "PENDING", None)
        first, _, rest = (account + b"|" + name).partition(b"|")
        assert (job.account or "", job.name) == (value_or_none(decode(first)) or "", clean(decode(rest)))


@settings(max_examples=20)
@given(st.lists(NAMES, max_size=3))
def test_cut_anywhere_is_a_fault_or_whole_rows(names):
    whole = answer(*(with_name(str(id), name) for id, name in enumerate(names)))
    jobs, _ = read(whole)
    ends = set()
    for at in range(len(whole)):
        try:
            fewer, warnings = read(whole[:at])
        except SourceFault as error:
            assert error.fault.kind in {"cut", "empty"}
            continue
        ends.add(at)
        assert warnings == () and list(fewer.items()) == list(jobs.items())[: len(fewer)]
    assert all(whole[:at].endswith(MARK.encode() + b"\n") for at in ends) and len(ends) == len(jobs)


def test_a_fence_is_fresh_and_made_of_letters():
    fences = {fence() for _ in range(100)}
    assert len(fences) == 100 and all(len(one) == 16 and one.isalpha() and one.isascii() for one in fences)


@pytest.mark.parametrize(
    ("out", "kind"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"JOBID|STATE", "cut"),
        (b"CLUSTER: other\nJOBID|STATE@F\n", "malformed"),
        (squeue().replace("@F", "|PRIORITY@F").encode(), "malformed"),
        (squeue().encode() + b"101|PENDING|al", "cut"),
        (squeue(make.row()).encode()[:-1], "cut"),
        (squeue("1|2|3", "4").encode(), "malformed"),
        (b"\x80\xff\xfe garbage", "cut"),
        (squeue("\udcff\udcfe garbage").encode("utf-8", "surrogateescape"), "malformed"),
    ],
)
def test_answers_that_are_none(out, kind):
    with pytest.raises(SourceFault) as caught:
        read(out.replace(b"@F", MARK.encode()))
    assert caught.value.fault.kind == kind and caught.value.fault.what.startswith("squeue")


def test_an_empty_queue_has_a_header():
    assert read(squeue().replace("@F", MARK).encode()) == ({}, ())


def test_a_bad_row_among_good_ones_is_told():
    jobs, warnings = read(squeue(make.row(), "nonsense", make.row(JobArrayID="102")).replace("@F", MARK).encode())
    assert list(jobs) == ["101", "102"] and warnings == ("1 rows of squeue could not be read",)


# -- unchanged rows ----------------------------------------------------------------------------------------------------


def test_unchanged_rows_stay_the_same_objects():
    reader = QueueReader()
    first, _ = reader.take([[make.row(JobArrayID=str(id)) for id in range(5)]])
    again, _ = reader.take([[make.row(JobArrayID=str(id)) for id in range(5)]])
    assert again is first
    rows = [make.row(JobArrayID=str(id), Reason="Resources" if id == 3 else "Priority") for id in range(1, 6)]
    moved, _ = reader.take([rows[:2], rows[2:]])
    assert list(moved) == ["1", "2", "3", "4", "5"]
    assert [id for id in moved if moved[id] is not first.get(id)] == ["3", "5"]
    assert moved["3"].reason == "Resources" and first["3"].reason == "Priority"
    none, _ = reader.take([])
    assert none == {} and reader.take([])[0] == {}


@given(st.lists(st.lists(st.integers(0, 6), max_size=8), max_size=5))
def test_a_reader_with_a_memory_reads_what_a_new_one_reads(readings):
    reader = QueueReader()
    for ids in readings:
        rows = [make.row(JobArrayID=str(id)) for id in ids]
        assert dict(reader.take([rows[:3], rows[3:]])[0]) == dict(QueueReader().take([rows])[0])


def test_a_fault_forgets_nothing():
    reader = QueueReader()
    first, _ = reader.take([[make.row()]])
    with pytest.raises(SourceFault):
        reader.take([["nonsense"]])
    assert reader.take([[make.row()]])[0]["101"] is first["101"]


# -- GPUs that are counted one by one, a few jobs a reading ------------------------------------------------------------


class Counting:
    """A reader of jobs that hold 8 GPUs of which their rows do not tell, and what it asked."""

    def __init__(self, monkeypatch, jobs, told=lambda job: replace(job, gpus=8, gpus_held=8)):
        self.rows = {id: self.row(id) for id in map(str, range(100, 100 + jobs))}
        self.asked, self.told = [], told
        self.reader = QueueReader()
        monkeypatch.setattr("collectors.slurm.commands.jobs.ask_blocks", lambda *_: [list(self.rows.values())])
        monkeypatch.setattr("collectors.slurm.commands.jobs.with_held", self.held)

    def row(self, id, **cells):
        unsaid = {"tres_alloc": "", "tres_per_node": "", "tres_per_socket": "gres/gpu:2"}
        return make.row(**unsaid | {"JobArrayID": id, "State": "RUNNING", "NodeList": "n1"} | cells)

    def held(self, job, _):
        self.asked.append(job.id)
        return self.told(job)

    def read(self):
        """The jobs, and whose GPUs were asked for in this reading."""
        before = len(self.asked)
        jobs, _ = self.reader.read(1.0)
        return jobs, self.asked[before:]


def test_the_gpus_of_all_jobs_are_counted_within_some_readings(monkeypatch):
    counting = Counting(monkeypatch, 20)
    known = []
    for _ in range(4):
        jobs, asked = counting.read()
        known.append((len(asked), sum(job.gpus_held == 8 for job in jobs.values()), len(jobs)))
    assert known == [(8, 8, 20), (8, 16, 20), (4, 20, 20), (0, 20, 20)]
    again, asked = counting.read()
    assert again is jobs and not asked, "a reading that brings nothing new keeps the same mapping"


def test_what_was_not_answered_is_asked_again_ever_more_seldom(monkeypatch):
    counting = Counting(monkeypatch, 1, told=lambda job: job)
    asked = [reading for reading in range(1, 300) if counting.read()[1]]
    assert asked == [1, 3, 7, 15, 31, 63, 127, 191, 255]
    counting.told = lambda job: replace(job, gpus=8, gpus_held=8)
    while not (found := counting.read())[1]:
        pass
    assert found[0]["100"].gpus_held == 8 and not any(counting.read()[1] for _ in range(100))


def test_what_cannot_be_told_is_asked_once_and_holds_up_no_other(monkeypatch):
    counting = Counting(monkeypatch, 20, told=lambda job: replace(job) if job.id < "110" else job)
    for _ in range(3):
        counting.read()
    assert sorted(counting.asked[:20]) == sorted(counting.rows), "each is asked for before any is asked for again"
    for _ in range(20):
        counting.read()
    assert all(counting.asked.count(id) == 1 for id in counting.rows if id < "110"), "Slurm told no GPUs of these"


def test_a_job_that_ended_or_waits_is_not_asked_for(monkeypatch):
    counting = Counting(monkeypatch, 20)
    counting.rows["100"] = counting.row("100", State="REQUEUED")
    assert "100" not in counting.read()[1]
    counting.rows = {"119": counting.rows["119"]}
    assert [counting.read()[1] for _ in range(2)] == [["119"], []]


# -- the command -------------------------------------------------------------------------------------------------------


def test_asks_for_all_jobs_of_all_partitions():
    argv = command(MARK)
    assert argv[:4] == ["squeue", "-a", "-r", "-O"]
    assert argv[4].startswith("JobArrayID:|,State:|,UserName:|") and argv[4].endswith(f",Account:|,Name:{MARK}")
    assert command(MARK, ["1", "2_3"])[3:5] == ["-j", "1,2_3"]


def test_through_the_command(commands):
    commands.says("squeue", squeue(make.row(Name="evil\n99|RUNNING|root"), make.row(JobArrayID="15+1")))
    facts = collect()
    assert list(facts.jobs) == ["101", "15+1"] and facts.jobs["101"].name == "evil\\n99|RUNNING|root"
    assert facts.nodes is None and facts.warnings == ()


@pytest.mark.parametrize(
    ("out", "err", "rc", "kind", "says"),
    [
        ("", "", 0, "empty", "not even its header"),
        (squeue()[:40], "", 0, "cut", "half a header"),
        ("", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", 1, "refused",
         "squeue: Unable to contact slurm controller (connect failure)"),
        ("", "slurm_load_jobs error: Socket timed out on send/recv operation\n", 1, "timeout", "Socket timed out"),
        ("", "squeue: error: Protocol authentication error\n", 1, "auth", "Protocol authentication"),
        ("", "squeue: fatal: Could not establish a configuration source\n", 1, "missing", "configuration source"),
        (squeue(), "slurm_load_jobs error: Rate limit exceeded\n", 0, "backoff", "Rate limit"),
        (squeue(make.row()), "", 3, "refused", "squeue ended with 3"),
        ("", "\x1b[31msome new \x07text\n", 1, "refused", "\\e[31msome new \\x07text"),
        ("what\x1b[2J", "", 1, "refused", "what\\e[2J"),
        ("", "", 127, "refused", "it said nothing"),
    ],
)  # fmt: skip
def test_failures_by_their_names(commands, out, err, rc, kind, says):
    commands.says("squeue", out, err, rc)
    with pytest.raises(SourceFault) as caught:
        collect()
    assert caught.value.fault.kind == kind and says in caught.value.fault.what
    assert caught.value.fault.mend and str(caught.value.fault).isprintable()


def test_a_warning_beside_a_good_answer_is_no_failure(commands):
    commands.says("squeue", squeue(make.row()), "squeue: error: Invalid user: nosuch\n")
    assert list(collect().jobs) == ["101"]


@pytest.mark.parametrize("script", ["sleep 60", "trap '' TERM; while :; do sleep 60; done", "exec >&- 2>&-; sleep 60"])
def test_a_hang_is_a_timeout(commands, script):
    commands.script("squeue", script)
    with pytest.raises(SourceFault) as caught:
        collect(0.2)
    assert str(caught.value.fault) == "squeue gave no answer in 0.2 s (is the controller busy? try: sdiag)"


def test_a_flood_is_no_answer(commands, monkeypatch):
    monkeypatch.setattr("collectors.slurm.commands.read_command.MAX_BYTES", 1 << 20)
    commands.script("squeue", "exec yes")
    with pytest.raises(SourceFault) as caught:
        collect()
    assert caught.value.fault.kind == "malformed" and "printed over 1 MB" in caught.value.fault.what


def test_no_squeue_at_all(commands):
    with pytest.raises(SourceFault, match="squeue is not on PATH"):
        collect()


# -- named jobs --------------------------------------------------------------------------------------------------------


def test_named_jobs(commands):
    rows = (make.named_row("-5", "gpu[0001-0002]", JobArrayID="101_3", Name="a|b"), make.named_row(JobArrayID="1"))
    commands.says("squeue", squeue(*rows, columns=NAMED), to="*-j 101_3,7 *")
    ((_, job),) = CliTransport(SlurmSettings()).read_jobs(["101_3", "7"]).items()
    assert (job.id, job.nice, job.excluded, job.name) == ("101_3", -5, "gpu[0001-0002]", "a|b")
    assert CliTransport(SlurmSettings()).read_jobs([]) == {} and len(commands.calls) == 1


def test_a_single_unknown_job_is_gone_and_a_dead_controller_is_not(commands):
    commands.says("squeue", b"", "slurm_load_jobs error: Invalid job id specified\n", 1, to="*-j 7 *")
    commands.says("squeue", b"", "slurm_load_jobs error: Unable to contact slurm controller\n", 1)
    assert CliTransport(SlurmSettings()).read_jobs(["7"]) == {}
    with pytest.raises(SourceFault, match="Unable to contact"):
        CliTransport(SlurmSettings()).read_jobs(["8"])


def test_very_many_named_jobs_fit_into_words(commands):
    commands.says("squeue", squeue(make.named_row(JobArrayID="4294967295_99999"), columns=NAMED))
    ids = [f"4294967295_{task}" for task in range(100_000)]
    assert list(CliTransport(SlurmSettings()).read_jobs(ids)) == ["4294967295_99999"]
    assert max(map(len, commands.calls)) < 128 << 10


# -- recordings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded(commands, version):
    commands.says("squeue", recorded_jobs(version))
    facts = collect()
    jobs = facts.jobs
    assert facts.warnings == () and len(jobs) == 36
    assert Counter(job.state for job in jobs.values()) == {"PENDING": 29, "RUNNING": 6, "COMPLETING": 1}
    assert Counter(job.user for job in jobs.values()) == {"bob": 23, "alice": 12, "root": 1}
    assert [id for id in jobs if "_" in id] == ["5_2", "5_3", "5_4", "5_5", "5_0", "5_1"]
    assert {job.qos for job in jobs.values()} == {None}
    assert {id for id, job in jobs.items() if job.account == "ml"} == {"2", "9", *(f"5_{task}" for task in range(6))}
    held = {id: (job.nodes, job.gpus_held) for id, job in jobs.items() if job.nodes is not None}
    assert held == {
        "1": ("gpu0013", 8), "2": ("gpu[0002-0003]", 16), "3": ("gpu0001", 1), "4": ("gpu0001", 2),
        "5_0": ("gpu0001", 4), "5_1": ("gpu0004", 4), "6": ("gpu0009", 8),
    }  # fmt: skip
    assert (jobs["9"].gpus, jobs["9"].node_count, jobs["9"].reason) == (56, 7, "Resources")
    assert jobs["9"].expected is not None and jobs["9"].started is jobs["13"].expected is None
    assert jobs["17"].reason == "ReqNodeNotAvail, May be reserved for other job"
    assert jobs["21"].restarts == 1 and jobs["21"].reason == "job requeued in held state" and jobs["21"].priority == 0
    assert jobs["1"].time_limit_s == 86_400 and jobs["3"].time_limit_s == 1200 and jobs["20"].time_limit_s == 36_000
    assert jobs["2"].started == jobs["2"].submitted + (1 if version == "24.11" else 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_names_are_clean_and_whole(commands, version):
    commands.says("squeue", recorded_jobs(version))
    names = {id: job.name for id, job in collect().jobs.items()}
    assert names["22"] == "evil\\n99999|RUNNING|root|x|gpu|x|1|1|x|x|x|0|1|0|0|1:00|None|gpu0001|forged"
    assert names["23"] == "halfQWERTYUI other ASDFGHJKLQWERTYU"
    assert names["24"] == "red\\e[31;5m\\e[2Jalarm\\x07"
    assert names["25"] == "clip\\e]52;c;ZXZpbA==\\x07board"
    assert names["26"] == "[bold red]x[/] [/] [@click=app.quit]y[/]"
    assert names["27"] == "abc\\u202egnp.exe\\u2066\\u200b\u0301\u0301"
    assert names["28"] == "over\\rwritten\\ttab"
    assert names["29"] == "latin\\udce9\\udcff"
    assert names["30"] == "long-" + "x" * 995
    assert names["31"] == "训练🚀 モデル" and names["32"] == "a|b|c||d" and names["33"] == ""
    assert "99999" not in names


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_emptiness(version):
    header = recorded(version, "jobs_none.txt").decode()
    columns = len(json.loads(recorded(version, "manifest.json"))["files"]["jobs_none.txt"]["argv"][-1].split(","))
    assert fenced(["squeue"], make.FENCE, header.encode(), columns) == []

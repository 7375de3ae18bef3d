"""The past out of the accounting: what sacct and sacctmgr print becomes values, whatever anybody wrote into a name."""

from __future__ import annotations

import json
import shlex

import pytest
from msgspec.structs import replace

from collectors.model import JobAccount, NodeEvent, PastJob, Series, SourceFault, Step
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.accounting import JOB_FIELDS, OPTIONAL_FIELDS, STEP_FIELDS, SlurmAccounting, rows_of
from collectors.slurm.commands.events import EVENT, event_rows, events_of
from console.cli.node import NodeReport, as_json_text, ended_on, render
from console.queue.job_accounting import cpu_text, end_reason, gpu_mean, gpu_text, memory_text
from console.tables.accounting_lines import account_lines, context_lines, ended_job, last_job_lines
from tests.support.make import NOW, Commands
from widgets.units import when

MARK = "QWERTYUIOPASDFGH"
CELLS = {
    "JobID": "88121", "UID": "1001", "User": "alice", "Account": "ml", "Partition": "gpu",
    "QOS": "normal", "State": "COMPLETED", "ExitCode": "0:0", "DerivedExitCode": "0:0", "Submit": str(NOW - 9000),
    "Start": str(NOW - 8000), "End": str(NOW - 4400), "TimelimitRaw": "120", "NNodes": "1", "AllocCPUS": "10",
    "AllocTRES": "billing=10,cpu=10,gres/gpu=2,mem=170000M,node=1", "NodeList": "gpu0001", "JobName": "train",
    "NTasks": "", "TotalCPU": "02:30:00", "MaxRSS": "", "MaxRSSNode": "", "TRESUsageInTot": "", "TRESUsageInAve": "",
    "WorkDir": "/home/alice", "FailedNode": "", "StdOut": "/home/alice/slurm-88121.out",
}  # fmt: skip
EVIL = f"x\n99999|99999|0|root|{'|' * 12}\x1b]52;c;eA==\x07{MARK[::-1]}|\n"


def told(*rows: dict[str, str], fields: tuple[str, ...] = (*JOB_FIELDS, *OPTIONAL_FIELDS), mark: str = "@F") -> str:
    """An answer of sacct: every field ends in the fence, every row in a line break."""
    lines = [fields, *([(CELLS | row)[field] for field in fields] for row in rows)]
    return "".join("".join(f"{cell}{mark}" for cell in line) + "\n" for line in lines)


def step(id: str, **cells: str) -> dict[str, str]:
    return {"JobID": f"88121.{id}", "JobName": id, "User": "", "TotalCPU": "00:01.500", "NTasks": "1"} | cells


@pytest.fixture
def commands(tmp_path, monkeypatch):
    return Commands(tmp_path, monkeypatch)


def sacct(commands: Commands, out: str, err: str = "", rc: int = 0, refuses: str = "") -> None:
    """A sacct that prints this with the fence that was asked for; it refuses a call with that word."""
    raw = commands.folder.parent / "sacct.out"
    raw.write_bytes(out.encode("utf-8", "surrogateescape"))
    refuse = f'case "$*" in *{refuses}*) echo \'sacct: error: Invalid field requested: "{refuses}"\' >&2; exit 1;; esac'
    commands.script(
        "sacct",
        'for a in "$@"; do case $a in --delimiter=*) mark=${a#--delimiter=};; esac; done\n'
        + (refuse if refuses else "")
        + f'\nsed "s/@F/$mark/g" {shlex.quote(str(raw))}; printf %s {shlex.quote(err)} >&2; exit {rc}',
    )


def sacctmgr(commands: Commands, *rows: tuple[str, ...], reasons: tuple[str, ...] = ()) -> None:
    """A sacctmgr that knows these events, with the reasons only where it is asked for them."""
    head = "NodeName|State|TimeStart|TimeEnd|User|"
    lines = ["|".join(row) + "|" for row in rows]
    full = [f"{head}Reason|", *(f"{one}{reason}|" for one, reason in zip(lines, reasons, strict=True))]
    commands.says("sacctmgr", "\n".join(full) + "\n", to="*Reason")
    commands.says("sacctmgr", "\n".join([head, *lines]) + "\n")


def accounts(**more) -> SlurmAccounting:
    return SlurmAccounting(SlurmSettings(**more))


# -- reading -----------------------------------------------------------------------------------------------------------


def test_the_last_jobs_of_a_node_newest_first_and_none_that_runs(commands):
    first, runs = {"JobID": "1", "End": str(NOW - 9)}, {"JobID": "2", "State": "RUNNING", "End": "Unknown"}
    failed = {"JobID": "3_7", "State": "NODE_FAIL", "ExitCode": "0:9", "FailedNode": "gpu0001",
              "End": str(NOW - 5)}  # fmt: skip
    sacct(commands, told(first, runs, failed))
    found = accounts().jobs_of_node("gpu0001", NOW - 86_400, 10)
    assert [(run.id, run.state, run.ended) for run in found] == [
        ("3_7", "NODE_FAIL", NOW - 5), ("1", "COMPLETED", NOW - 9),
    ]  # fmt: skip
    assert found[0] == PastJob(
        id="3_7", name="train", user="alice", account="ml", partition="gpu", qos="normal", state="NODE_FAIL",
        exit_code=0, signal=9, derived_code=0, derived_signal=0, submitted=NOW - 9000, started=NOW - 8000,
        ended=NOW - 5, time_limit_s=7200, nodes="gpu0001", node_count=1, cpus=10, gpus=2, failed_node="gpu0001",
    )  # fmt: skip
    (call,) = commands.calls
    assert f"-X -N gpu0001 -S uts{NOW - 86_400} -E now" in call and " -a -D " in call
    assert len(accounts().jobs_of_node("gpu0001", 0, 1)) == 1


def test_a_name_makes_no_row(commands):
    sacct(commands, told({"JobName": EVIL}, {"JobID": "5", "JobName": "a|b\r\nc"}))
    found = accounts().jobs_of_node("gpu0001", 0, 10)
    assert {run.id for run in found} == {"88121", "5"} and all(run.user == "alice" for run in found)
    assert all(run.name.isprintable() for run in found), "what steers a terminal is visible"
    assert found[0].name.startswith("x\\n99999|99999|0|root|")


def test_only_whole_answers_count():
    whole = told({"JobName": "a\nb"}, {"JobID": "5"}, mark=MARK)
    fields = (*JOB_FIELDS, *OPTIONAL_FIELDS)
    assert len(rows_of(whole, fields, MARK)) == 2
    for at in range(len(whole)):
        if whole[:at].endswith(f"{MARK}\n") and whole[:at].count(MARK) % len(fields) == 0:
            continue  # between two rows nothing shows that there would have been more
        with pytest.raises(SourceFault) as raised:
            rows_of(whole[:at], fields, MARK)
        assert raised.value.fault.kind in {"cut", "empty", "malformed"}, at
    with pytest.raises(SourceFault, match="other columns"):
        rows_of(whole, (*fields[1:], "Comment"), MARK)


def test_fields_that_an_older_slurm_does_not_know_are_asked_for_once(commands):
    sacct(commands, told({}, fields=JOB_FIELDS), refuses="FailedNode")
    asked = accounts()
    assert [run.failed_node for run in asked.jobs_of_node("gpu0001", 0, 9)] == [None]
    asked.jobs_of_node("gpu0001", 0, 9)
    assert ["FailedNode" in call for call in commands.calls] == [True, False, False]


FULL = (*JOB_FIELDS, *STEP_FIELDS, *OPTIONAL_FIELDS)


def test_the_account_of_a_job_with_steps_events_and_the_run_before(commands):
    before = {"State": "NODE_FAIL", "Submit": str(NOW - 20_000), "Start": str(NOW - 19_000), "End": str(NOW - 10_000),
              "NodeList": "gpu0002", "FailedNode": "gpu0002"}  # fmt: skip
    another = {"User": "mallory", "JobName": "old", "Submit": "1000"}
    own = {"State": "FAILED", "ExitCode": "3:0", "DerivedExitCode": "3:0"}
    sacct(commands, told(
        another, before, step("0", State="FAILED", ExitCode="9:0"), own,
        step("batch", State="FAILED", ExitCode="3:0", MaxRSS="2048K", TRESUsageInTot="cpu=1,mem=4096K"),
        step("0", State="FAILED", ExitCode="3:0", MaxRSS="1G", MaxRSSNode="gpu0001", NTasks="4",
             TRESUsageInTot="cpu=00:00:01,mem=3G", TRESUsageInAve="gres/gpumem=1,gres/gpuutil=87"),
        fields=FULL,
    ))  # fmt: skip
    sacctmgr(commands, ("gpu0002", "DOWN*", str(NOW - 10_100), str(NOW - 9000), "slurm(64030)"),
             reasons=("Not responding",))  # fmt: skip
    found = accounts().account_of_job("88121")
    assert (found.run.state, found.run.exit_code, found.run.derived_code) == ("FAILED", 3, 3)
    assert [(run.state, run.failed_node) for run in found.earlier] == [("NODE_FAIL", "gpu0002")]
    assert [(one.id, one.exit_code, one.memory_mb, one.cpu_s) for one in found.steps] == [
        ("batch", 3, 2.0, 1.5), ("0", 3, 1024.0, 1.5),
    ]  # fmt: skip
    assert (found.cpu_s, found.memory_mb, found.memory_alloc_mb, found.gpu_util_pct) == (9000, 4096, 170_000, 87)
    assert found.events == (
        NodeEvent(node="gpu0002", state="DOWN*", reason="Not responding", by="slurm", began=NOW - 10_100,
                  ended=NOW - 9000),
    )  # fmt: skip
    assert found.stdout == "/home/alice/slurm-88121.out"
    period = next(call for call in commands.calls if call.startswith("sacctmgr"))
    assert f"nodes=gpu[0001-0002] start=uts{NOW - 19_000} end=uts{NOW - 4400 + 120}" in period


def test_what_nobody_counted_is_not_nothing(commands):
    sacct(commands, told({"TotalCPU": "00:00:00"}, step("batch", TotalCPU="00:00:00", State="COMPLETED"), fields=FULL))
    commands.says("sacctmgr", err="sacctmgr: error: Access/permission denied", rc=1)
    found = accounts().account_of_job("88121")
    assert (found.cpu_s, found.memory_mb, found.gpu_util_pct) == (None, None, None)
    assert found.events is None and "Access/permission denied" in found.notes[0]
    assert cpu_text(found).startswith("—") and memory_text(found).startswith("—") and gpu_text(found, None)[0] == "—"


def test_an_array_and_a_number_that_nobody_has(commands):
    tasks = [{"JobID": f"50_{task}", "Start": "Unknown", "End": "Unknown", "State": "PENDING"} for task in (10, 2)]
    sacct(commands, told(*tasks, fields=FULL))
    with pytest.raises(SourceFault, match="2 jobs in one") as raised:
        accounts().account_of_job("50")
    assert "50_2" in raised.value.fault.mend
    assert accounts().account_of_job("50_10").run.id == "50_10"
    sacct(commands, told(tasks[1], fields=FULL))
    assert accounts().account_of_job("62").run.id == "50_2", "squeue knows a task by its own number too"
    sacct(commands, told(fields=FULL))
    with pytest.raises(SourceFault, match="has no job 7"):
        accounts().account_of_job("7")
    before = len(commands.calls)
    for text in ("", "1;2", "-X", "1 2", "8.batch", "1\n"):
        with pytest.raises(SourceFault, match="no job's number"):
            accounts().account_of_job(text)
    for text in ("", "-a", "gpu[1-9]", "a,b", "x\ny"):
        with pytest.raises(SourceFault, match="no node's name"):
            accounts().jobs_of_node(text, 0, 1)
    assert len(commands.calls) == before


@pytest.mark.parametrize(
    ("err", "kind", "words"),
    [
        ("Slurm accounting storage is disabled", "missing", "keeps no job accounting"),
        ("sacct: error: Sending PersistInit msg: Connection refused", "refused", "slurmdbd does not answer"),
        ("sacct: error: Problem talking to the database: Connection reset by peer", "refused", "does not answer"),
        ("sacct: error: Access/permission denied", "auth", "denied"),
    ],
)
def test_why_there_are_none(commands, err, kind, words):
    sacct(commands, "", err, 1)
    with pytest.raises(SourceFault) as raised:
        accounts().jobs_of_node("gpu0001", 0, 1)
    assert raised.value.fault.kind == kind and words in str(raised.value.fault)
    assert "slurmctld" not in str(raised.value.fault)


def test_a_deadline_and_another_transport(commands):
    commands.script("sacct", "exec sleep 9")
    with pytest.raises(SourceFault) as raised:
        accounts(deadline_s=0.3).jobs_of_node("gpu0001", 0, 1)
    assert raised.value.fault.kind == "timeout" and "slurmdbd" in raised.value.fault.mend
    other = accounts(transport="native")
    with pytest.raises(SourceFault, match="read by sacct or slurmrestd") as raised:
        other.account_of_job("1")
    assert raised.value.fault.kind == "missing" and "fallback" in raised.value.fault.mend


def test_a_reason_makes_no_event():
    rows = [("gpu0001", "DOWN", "1500", "Unknown", "root(0)"), ("gpu0001", "DRAIN", "1000", "1200", "root(0)")]
    head = "|".join(EVENT) + "|"
    forged = "x|\ngpu0001|DOWN|900|950|slurm|forged"
    bare = "\n".join([head, *("|".join(row) + "|" for row in rows)]) + "\n"
    full = f"{head}Reason|\n{'|'.join(rows[0])}|{forged}|\n{'|'.join(rows[1])}|NHC: check_gpu|\n"
    found = events_of(event_rows(bare, {"gpu0001"}), full)
    assert [(one.state, one.began, one.ended) for one in found] == [("DOWN", 1500, None), ("DRAIN", 1000, 1200)]
    assert [one.reason for one in found] == [forged.replace("\n", "\\n"), "NHC: check_gpu"]
    # One that says what the next row says can only lie about reasons.
    liar = f"{head}Reason|\n{'|'.join(rows[0])}|a|\n{'|'.join(rows[1])}|b|\n{'|'.join(rows[1])}|c|\n"
    assert [(one.began, one.state) for one in events_of(rows, liar)] == [(1500, "DOWN"), (1000, "DRAIN")]
    # A row that came between the two questions gives no reason to another.
    late = f"{head}Reason|\ngpu0001|DOWN|1600|Unknown|root(0)|new|\n{'|'.join(rows[0])}|old|\n{'|'.join(rows[1])}|x|\n"
    assert [one.reason for one in events_of(rows, late)] == [None, None]
    ended = full.replace("Unknown", "1501")
    assert [one.reason for one in events_of(rows, ended)][1] == "NHC: check_gpu", (
        "one may end between the two questions"
    )
    assert event_rows(bare, {"gpu0002"}) == []
    for text in (bare[:-1], bare[:5], ""):
        with pytest.raises(SourceFault):
            event_rows(text, {"gpu0001"})


def test_wacht_node_tells_the_last_jobs(commands):
    sacct(commands, told({"JobName": EVIL, "State": "FAILED", "ExitCode": "3:0"}))
    runs = ended_on("gpu0001", NOW)
    printed = render(NodeReport(node="gpu0001", at=NOW, here=False, ended=runs), 200)
    at = printed.index("Last jobs")
    assert "88121      alice        FAILED 3:0" in printed[at + 1] and printed[at + 1].isprintable()
    assert "Last jobs" not in render(NodeReport(node="gpu0001", at=NOW, here=False), 200)
    told_json = json.loads(as_json_text(NodeReport(node="gpu0001", at=NOW, here=False, ended=runs)))
    assert told_json["last_jobs"][0]["ended"].endswith("Z") and told_json["last_jobs"][0]["exit_code"] == 3
    assert json.loads(as_json_text(NodeReport(node="gpu0001", at=NOW, here=False)))["last_jobs"] is None


# -- words -------------------------------------------------------------------------------------------------------------


def account(state: str, code: int = 0, signal: int = 0, steps: tuple[Step, ...] = (), **more) -> JobAccount:
    run = PastJob(id="7", name="n", user="alice", state=state, exit_code=code, signal=signal, derived_code=0,
                  derived_signal=0, started=NOW - 900, ended=NOW - 300, nodes="gpu[0001-0002]", cpus=2)  # fmt: skip
    return JobAccount(run=replace(run, **more), steps=steps)


BATCH = Step(id="batch", name="batch", state="FAILED", exit_code=3, signal=0, nodes="gpu0001")
SRUN = Step(id="0", name="train.py", state="FAILED", exit_code=3, signal=0, nodes="gpu0002")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (account("COMPLETED"), "it completed"),
        (account("COMPLETED", derived_code=2), "it completed, though a step of it ended with exit code 2"),
        (account("FAILED", 3, steps=(BATCH,)), "its script ended with exit code 3"),
        (account("FAILED", 3, steps=(BATCH, SRUN)), "step 0 (train.py) on gpu0002 ended with exit code 3"),
        (account("FAILED", 5, steps=(BATCH, SRUN)), "its script ended with exit code 5"),
        (account("FAILED", 0, 9, steps=(BATCH,)), "its script was ended by signal 9 (SIGKILL)"),
        (account("FAILED", 139, steps=(BATCH,)),
         "its script ended with exit code 139: as a shell reports signal 11 (SIGSEGV)"),
        (account("FAILED", 127, steps=(BATCH,)), "its script ended with exit code 127: what it called was not found"),
        (account("FAILED", 1), "it ended with exit code 1"),
        (account("TIMEOUT", time_limit_s=7200), "it reached its time limit of 02:00:00"),
        (account("CANCELLED", cancelled_by="uid 1002"), "it was cancelled by uid 1002"),
        (account("CANCELLED", started=None), "it was cancelled before it started; by an unknown user"),
        (account("OUT_OF_MEMORY", 0, 125, steps=(replace(SRUN, state="OUT_OF_MEMORY"),)),
         "out of memory in step 0 on gpu0002"),
        (account("OUT_OF_MEMORY"), "out of memory"),
        (account("PREEMPTED"), "a job with more right to its nodes took them"),
        (account("LATE_STATE"), "it ended as LATE_STATE"),
        (account("RUNNING", ended=None), "the accounting has it running"),
        (account("PENDING", started=None, ended=None), "it waits"),
    ],
)  # fmt: skip
def test_why_it_ended_in_one_sentence(given, said):
    assert end_reason(given, NOW) == said


def test_a_failed_node_is_named_with_who_says_so():
    down = NodeEvent(node="gpu0002", state="DOWN", reason="Not responding", by="slurm", began=NOW - 310)
    other = NodeEvent(node="gpu0001", state="DRAIN", began=NOW - 305)
    old = NodeEvent(node="gpu0001", state="DOWN", began=NOW - 5000)
    failed = account("NODE_FAIL")
    assert end_reason(failed, NOW).startswith("killed by the failure of one of its nodes at ")
    said = end_reason(replace(failed, events=(other, down, old)), NOW)
    assert said.startswith("killed by the failure of gpu0002 at ")
    assert said.endswith('(set DOWN by slurm: "Not responding")')
    named = account("NODE_FAIL", failed_node="gpu0001")
    assert "gpu0001" in end_reason(replace(named, events=(down, old)), NOW), "Slurm names it: no other is accused"
    early = replace(down, began=NOW - 800)
    assert end_reason(replace(named, events=(early,)), NOW) == (
        f"killed by the failure of gpu0001 at {when(NOW - 300, None, NOW)}"
    ), "nor is its time another's"


def test_what_it_made_of_what_it_held():
    used = replace(account("COMPLETED", gpus=8), cpu_s=900.0, memory_mb=1024.0, memory_alloc_mb=4096.0)
    assert cpu_text(used).startswith("75 % of 2 CPUs")
    assert memory_text(used) == "1.0 GB of 4.0 GB  (25 %)"
    assert gpu_text(replace(used, gpu_util_pct=0.0), None).startswith("0 % of 8 GPUs"), "a nought that was counted"
    assert gpu_text(used, "87 % of all GPUs of gpu0001") == "87 % of all GPUs of gpu0001"
    assert gpu_text(account("COMPLETED", gpus=0), None) == "it had none"
    assert gpu_text(account("COMPLETED", gpus=None), None) == "—"


def test_the_mean_is_of_the_time_in_which_it_ran():
    run = account("COMPLETED").run
    points = ((NOW - 1000, 5.0), (NOW - 900, 80.0), (NOW - 600, None), (NOW - 500, 90.0), (NOW - 300, 100.0),
              (NOW - 200, 5.0))  # fmt: skip
    series = [Series(name="memory", unit="%"), Series(name="utilisation", unit="%", points=points)]
    assert gpu_mean(series, run) == 90
    assert gpu_mean([Series(name="utilisation", unit="%", points=points[:3])], run) is None
    assert gpu_mean([], run) is None and gpu_mean(series, replace(run, ended=None)) is None


def text(lines) -> list[str]:
    return ["".join(part for part, _ in one.spans) for one in lines]


def test_lines_of_the_last_jobs_each_open_their_own():
    run = account("NODE_FAIL", 0, 9).run
    lines = last_job_lines([run, run], 7, NOW)
    assert text(lines)[0].split() == ["last", "jobs", "ended", "ago", "user"]
    assert "node fail 0:9" in text(lines)[1]
    assert len({one.key for one in lines[1:]}) == 2, "the same job twice is two lines"
    assert [ended_job(one.key or "") for one in lines[1:]] == ["7", "7"] and ended_job("7") is None
    assert "accounting shows none in 7 days" in text(last_job_lines([], 7, NOW))[0]


def test_lines_of_an_account():
    given = account("FAILED", 3, steps=(BATCH, SRUN))
    said = "\n".join(text(account_lines(given, NOW)))
    assert "step 0 (train.py) on gpu0002 ended with exit code 3" in said and "exit code 3:0   derived 0:0" in said
    beside = "\n".join(text(context_lines(given, NOW)))
    assert "train.py  gpu0002" in beside and "meanwhile" not in beside, "what is not known is not said to be well"
    assert "no outage of its nodes meanwhile" in "\n".join(text(context_lines(replace(given, events=()), NOW)))
    again = replace(account("COMPLETED"), earlier=(account("NODE_FAIL", failed_node="gpu0002").run,))
    assert "killed by the failure of gpu0002 at " in "\n".join(text(context_lines(again, NOW)))
    assert "more of it" in "\n".join(text(context_lines(replace(given, notes=("more of it",)), NOW)))

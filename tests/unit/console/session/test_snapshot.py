"""`wacht snapshot`: the shape that scripts rely on, unknown as null, and an exit code that tells what was read."""

from __future__ import annotations

import json
import re
import threading
from types import NoneType

import msgspec
import pytest

from collectors import process
from collectors.clock import ManualClock, SystemClock, rfc3339
from collectors.model import (
    Facts,
    Fault,
    Load,
    Matcher,
    Partition,
    Reservation,
    Silence,
    Source,
    SourceFault,
)
from collectors.sim import SimSettings
from collectors.sim.sources import forget
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import open_sources
from console.session import cluster_sources
from console.session.snapshot import as_json, as_text, exit_code, take
from tests.support import make
from tests.support.make import VERSIONS, Commands, cluster, job, node, play

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Stamp:
    """Stands for a time as RFC 3339 in UTC."""


#: The contract, version 1: key to the types it may have. Adding keys is allowed; changing or dropping one is not.
TOP = {"version": int, "cluster": str, "at": Stamp, "sources": list, "nodes": list, "jobs": list, "partitions": list,
       "alerts": (list, NoneType), "totals": dict}  # fmt: skip
SOURCE = {"name": str, "ok": bool, "age_s": float, "took_s": float, "error": (str, NoneType)}
WORDS, COUNT, TEXT, MOMENT = list, (int, NoneType), (str, NoneType), (Stamp, NoneType)
NUMBER = (int, float, NoneType)
NODE = {
    "name": str, "state": str, "flags": WORDS, "display": str, "reason": TEXT, "reason_by": TEXT, "reason_at": MOMENT,
    "partitions": WORDS, "cpus": COUNT, "cpus_alloc": COUNT, "cpu_load": NUMBER, "memory_mb": COUNT,
    "free_memory_mb": COUNT, "gpus": COUNT, "gpus_alloc": COUNT, "rack": TEXT, "gpu_util_pct": NUMBER,
    "power_w": NUMBER,
}  # fmt: skip
JOB = {
    "id": str, "name": str, "user": str, "account": TEXT, "partition": TEXT, "state": str, "reason": TEXT,
    "nodes": TEXT, "node_count": COUNT, "cpus": COUNT, "gpus": COUNT, "submitted": MOMENT, "started": MOMENT,
    "time_limit_s": COUNT,
    "elapsed_s": COUNT, "priority": COUNT, "restarts": COUNT,
}  # fmt: skip


class Answers:
    """A source that answers at once."""

    floor_s = 10.0

    def __init__(self, name: str, answer: Facts | Exception) -> None:
        self.name = name
        self.answer = answer
        self.closed = 0

    def collect(self) -> Facts:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.closed += 1


def fits(value, allowed) -> bool:
    kinds = allowed if isinstance(allowed, tuple) else (allowed,)
    if Stamp in kinds and isinstance(value, str):
        return bool(TIME.fullmatch(value))
    return type(value) in kinds


def wrong(table: dict, shape: dict) -> list[str]:
    return [f"{key}: {table.get(key, 'is missing')!r}" for key, allowed in shape.items()
            if key not in table or not fits(table[key], allowed)]  # fmt: skip


def check_shape(document: dict) -> None:
    assert wrong(document, TOP) == []
    assert document["version"] == 1
    for rows, shape in (("sources", SOURCE), ("nodes", NODE), ("jobs", JOB)):
        assert document[rows], rows
        found = [problem for row in document[rows] for problem in wrong(row, shape)]
        assert found == [], rows
    assert all(isinstance(word, str) and word == word.upper() for row in document["nodes"] for word in row["flags"])


def told(of, clock=None) -> dict:
    out = as_json(of, clock or ManualClock())
    assert out.endswith(b"}\n") and out.count(b"\n") == 1
    return json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


# -- shape -------------------------------------------------------------------------------------------------------------


def test_the_demo_has_the_shape():
    try:
        chosen = cluster_sources.demo(SimSettings(nodes=48))
        taken = take(chosen.name, chosen.collectors(), SystemClock(), chosen.demo)
    finally:
        forget("demo")
    document = told(taken, SystemClock())
    check_shape(document)
    assert document["demo"] is True and document["cluster"] == "demo" and exit_code(taken) == 0
    assert len(document["nodes"]) == 48 and document["totals"]["gpus"] == 8 * 48
    assert any(row["power_w"] for row in document["nodes"]) and isinstance(document["alerts"], list)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_slurm_has_the_shape(tmp_path, monkeypatch, version):
    play(Commands(tmp_path, monkeypatch), version)
    # As the command does: who may change what is no fact of the cluster.
    sources = [one for one in open_sources("lab", SlurmSettings()) if one.name != "slurm.rights"]
    taken = take("lab", sources, SystemClock())
    document = told(taken, ManualClock(now=1_795_509_500, mono=SystemClock().mono()))
    check_shape(document)
    assert document["at"] == "2026-11-24T08:38:20Z" and "demo" not in document
    assert [row["name"] for row in document["sources"]] == [
        "slurm.nodes", "slurm.jobs", "slurm.partitions", "slurm.reservations", "slurm.diag", "slurm.topology",
        "slurm.control",
    ]  # fmt: skip
    assert all(row["ok"] and row["error"] is None for row in document["sources"])
    nodes = {row["name"]: row for row in document["nodes"]}
    drained = nodes["gpu0010"]
    assert (drained["state"], drained["flags"], drained["display"]) == ("IDLE", ["DRAIN"], "drained")
    assert (drained["reason"], drained["reason_by"]) == ("bad DIMM B2, ticket #4711", "root")
    assert drained["reason_at"] == ("2026-11-24T08:37:35Z" if version == "24.11" else "2026-11-24T08:37:38Z")
    assert drained["gpu_util_pct"] is drained["power_w"] is drained["rack"] is None
    jobs = {row["id"]: row for row in document["jobs"]}
    running, pending, task = jobs["2"], jobs["9"], jobs["5_3"]
    assert (running["nodes"], running["gpus"], running["account"]) == ("gpu[0002-0003]", 16, "ml")
    assert running["elapsed_s"] == (44 if version == "24.11" else 42) and running["time_limit_s"] == 3600
    assert (pending["state"], pending["started"], pending["elapsed_s"], pending["nodes"]) == (
        "PENDING",
        None,
        None,
        None,
    )
    assert task["reason"] == "JobArrayTaskLimit" and jobs["22"]["name"].startswith("evil\\n99999|RUNNING|root")
    assert document["alerts"] is None and {row["name"] for row in document["partitions"]} == {"gpu", "debug", "long"}


def test_unknown_is_null_and_none_is_empty():
    document = told(cluster())
    for kind in ("nodes", "jobs", "partitions", "reservations", "alerts"):
        assert document[kind] is None, kind
    assert {document["totals"][name] for name in ("nodes", "gpus", "gpus_alloc", "jobs", "power_w")} == {None}
    empty = told(cluster(nodes={}, jobs={}, partitions={}, alerts={}, reservations={}))
    assert empty["nodes"] == empty["jobs"] == empty["partitions"] == empty["alerts"] == empty["reservations"] == []
    assert empty["totals"]["nodes"] == empty["totals"]["jobs"] == 0 and empty["totals"]["power_w"] is None
    bare = told(cluster(nodes=[node(gpus=None, gpus_alloc=None)], jobs=[job(gpus=None)]))
    assert bare["nodes"][0]["gpus"] is bare["nodes"][0]["cpus"] is bare["jobs"][0]["gpus"] is None
    assert bare["totals"]["gpus"] is None


def test_loads_alerts_and_reservations_are_in_it():
    here = cluster(
        nodes=[node("gpu1"), node("gpu2")], loads=[Load(node="gpu1", gpu_util_pct=91.5, power_w=5000.0)],
        alerts=[make.alert(labels={"x": "y"}, starts=100, silenced_by=("s",))],
        silences=[Silence(id="s", state="active", matchers=(Matcher("x", "y"),), ends=100, by="jdv",
                          comment="taken: I'm on it")],
        reservations=[Reservation(name="maint", state="ACTIVE", starts=100, ends=10**15)],
        partitions=[Partition(name="gpu", state="UP")],
    )  # fmt: skip
    document = told(here)
    assert [(row["gpu_util_pct"], row["power_w"]) for row in document["nodes"]] == [(91.5, 5000.0), (None, None)]
    (alert,), (reservation,) = document["alerts"], document["reservations"]
    assert (alert["name"], alert["starts"], alert["labels"]) == (
        "NodeDown", "1970-01-01T00:01:40Z", {"alertname": "NodeDown", "x": "y"}
    )  # fmt: skip
    assert (reservation["starts"], reservation["ends"]) == ("1970-01-01T00:01:40Z", None), (
        "no calendar has year 31690708"
    )
    (silence,) = document["silences"]
    assert (silence["by"], silence["taken"], silence["ends"]) == ("jdv", True, "1970-01-01T00:01:40Z")
    assert alert["silenced_by"] == ["s"] and silence["matchers"][0]["name"] == "x"
    assert document["partitions"][0]["name"] == "gpu" and document["partitions"][0]["default"] is False


def test_sources_tell_their_age_and_their_fault():
    sources = [
        Source(name="slurm.nodes", ok=True, tried=True, read_mono=7.0, took_s=0.25, warnings=("2 lines were doubled",)),
        Source(
            name="slurm.jobs",
            tried=True,
            read_mono=3.0,
            took_s=30.0,
            fault=Fault("timeout", "squeue hangs", "try: sdiag"),
        ),
        Source(name="prom.loads"),
    ]
    nodes, jobs, loads = told(cluster(sources=sources), ManualClock(mono=10.0))["sources"]
    assert nodes == {"name": "slurm.nodes", "ok": True, "age_s": 3.0, "took_s": 0.25, "error": None,
                     "warnings": ["2 lines were doubled"]}  # fmt: skip
    assert (jobs["ok"], jobs["age_s"], jobs["error"]) == (False, 7.0, "squeue hangs (try: sdiag)")
    assert (loads["ok"], loads["age_s"], loads["took_s"], loads["error"]) == (False, None, None, None)


@pytest.mark.parametrize(
    ("epoch", "says"),
    [(None, None), (0, "1970-01-01T00:00:00Z"), (1_795_509_455.9, "2026-11-24T08:37:35Z"), (10**18, None),
     (-(10**18), None), (float("nan"), None), (float("inf"), None), (253_402_300_799, "9999-12-31T23:59:59Z")],
)  # fmt: skip
def test_times(epoch, says):
    assert rfc3339(epoch) == says


# -- taking ------------------------------------------------------------------------------------------------------------

GOOD, BAD = Facts(nodes={"gpu1": node("gpu1")}), SourceFault("timeout", "squeue hangs")


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ((GOOD,), 0),
        ((GOOD, Facts(jobs={})), 0),
        ((GOOD, BAD), 1),
        ((BAD, GOOD), 1),
        ((GOOD, KeyError("x")), 1),
        ((BAD, BAD), 2),
        ((), 2),
    ],
)
def test_exit_codes(answers, code):
    sources = [Answers(f"source.{at}", answer) for at, answer in enumerate(answers)]
    taken = take("lab", sources, ManualClock())
    assert exit_code(taken) == code
    assert [one.closed for one in sources] == [1] * len(sources)
    assert [one.tried for one in taken.sources.values()] == [True] * len(sources)


def test_sources_are_read_all_at_once():
    meeting = threading.Barrier(3, timeout=20)

    class Meets(Answers):
        def collect(self) -> Facts:
            meeting.wait()
            return self.answer

    assert exit_code(take("lab", [Meets(f"s.{at}", GOOD) for at in range(3)], ManualClock())) == 0


def test_an_interrupt_ends_what_runs(monkeypatch):
    stopped = []
    monkeypatch.setattr(process, "stop_all", lambda: stopped.append(True))
    source = Answers("slurm.nodes", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        take("lab", [source], ManualClock())
    assert stopped == [True] and source.closed == 1


# -- for people --------------------------------------------------------------------------------------------------------


def test_in_words():
    here = cluster(
        nodes=[node("gpu1", "MIXED", gpus_alloc=3), node("gpu2", "DOWN"), node("gpu3", "DOWN")],
        jobs=[job("1"), job("2", "PENDING")], loads=[Load(node="gpu1", power_w=5_600.0)],
    )  # fmt: skip
    here = msgspec.structs.replace(here, sources={
        "slurm.nodes": Source(name="slurm.nodes", ok=True, read_mono=7.0, warnings=("2 lines were doubled",)),
        "slurm.jobs": Source(name="slurm.jobs", read_mono=7.0, fault=Fault("timeout", "squeue hangs", "try: sdiag")),
    })  # fmt: skip
    assert as_text(here, ManualClock(now=1_795_509_455, mono=10.0)).split("\n") == [
        "lab  2026-11-24T08:37:35Z",
        "nodes  3: 2 down, 1 mixed",
        "GPUs   24: 3 allocated, 16 out of service",
        "jobs   2: 1 running, 1 pending",
        "GPU utilisation unknown",
        "power  6 kW",
        "alerts unknown: alerts.alerts is not configured",
        "slurm.nodes          3.0 s old",
        "                     2 lines were doubled",
        "slurm.jobs           failed: squeue hangs (try: sdiag)",
    ]


def test_in_words_a_fault_is_said_once():
    """A dead controller is one fault, whatever was asked of it."""
    dead, other = Fault("refused", "no controller", "scontrol ping"), Fault("missing", "no sacctmgr")
    faults = {"slurm.nodes": dead, "slurm.jobs": dead, "slurm.diag": other, "slurm.rights": dead}
    sources = {name: Source(name=name, read_mono=7.0, fault=fault) for name, fault in faults.items()}
    lines = as_text(msgspec.structs.replace(cluster(), sources=sources), ManualClock()).split("\n")
    assert [line.split(maxsplit=1)[1] for line in lines[-4:]] == [
        "failed: no controller (scontrol ping)", "failed: the same as slurm.nodes", "failed: no sacctmgr",
        "failed: the same as slurm.nodes",
    ]  # fmt: skip


def test_in_words_what_is_unknown_is_said():
    lines = as_text(cluster(), ManualClock()).split("\n")
    assert lines[1:] == [
        "nodes  unknown", "jobs   unknown", "GPU utilisation unknown: prom.loads is not configured", "power  unknown",
        "alerts unknown: alerts.alerts is not configured",
    ]  # fmt: skip
    assert "GPUs   8: unknown allocated, 0 out of service" in as_text(
        cluster(nodes=[node(gpus_alloc=None)]), ManualClock()
    )

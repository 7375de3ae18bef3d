"""The sentences of the pre-flight: each code has one, each is used, and it takes the values that the check gives."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from collectors.model import Cluster, Reservation
from console import preflight
from console.actions.registry import BY_ID
from console.gate import preflight_reads
from console.gate.preflight_reads import run_checks
from console.health.xid_policy import default_policy
from console.preflight.checks import Check, PreflightReads
from console.preflight.sentences import SENTENCES, Code
from tests.support import make
from tests.support.gpu_checks import NOW, eight, node, said, site


def test_each_code_has_one_sentence_and_is_found_somewhere():
    codes = set(get_args(Code))
    assert codes == SENTENCES.keys()
    finders = [file for file in Path(preflight.__path__[0]).glob("*.py") if file.name != "sentences.py"]
    made = {
        one.value
        for file in (*finders, Path(preflight_reads.__file__))
        for one in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(one, ast.Constant)
    }
    assert codes - made == set()


def test_the_sentence_is_made_of_code_details_and_params():
    assert Check("gpu0001", "warn", "gpus-extra", (9, 8)).text == "9 GPUs are seen, Slurm counts 8"
    lost = Check("gpu0001", "bad", "gpu-lost", (3,), {"lost": "fallen off the bus"})
    assert lost.text == "GPU 3 is lost: fallen off the bus"
    # Text from outside is a value, never a template.
    assert Check("", "unknown", "not-read", ("{0} {x}",)).text == "{0} {x}"


def texts(action: str, cluster: Cluster, value: str = "") -> list[tuple[str, str]]:
    rows: dict[str, Any] = dict(cluster.nodes if BY_ID[action].kind == "node" else cluster.jobs)
    found = run_checks(
        BY_ID[action], cluster, rows, PreflightReads(), NOW, default_policy(), values=dict.fromkeys(rows, value)
    )
    return [(one.level, one.text) for one in found]


def job(**more: Any) -> Cluster:
    return site(jobs=[make.job("7", **({"nodes": "gpu[0001-0002]", "node_count": 2} | more))])


@pytest.mark.parametrize(
    ("action", "cluster", "value", "expected"),
    [
        ("suspend", job(), "", [
            ("warn", "its CPUs are free for others, what it has in memory, of the GPUs too, stays there"),
            ("note", "its processes on several nodes may time out on each other meanwhile")]),
        ("unsuspend", job(state="SUSPENDED"), "", [("note", "it waits until no other job runs on its CPUs")]),
        ("signal", job(), "batch:KILL", [("warn", "it kills its batch script at once")]),
        ("signal", job(), "KILL", [("warn", "it kills the job at once")]),
        ("signal", job(), "STOP", [
            ("warn", "the processes of its steps, not its batch script stop, its time goes on; CONT lets them go on")]),
        ("signal", job(), "batch:CONT", [("note", "its batch script get it")]),
        ("signal", job(), "batch:USR1", [
            ("warn", "its batch script get it: one that does not handle USR1 dies of it")]),
        ("release", job(state="SPECIAL_EXIT"), "", [("note", "held by its own exit code (SPECIAL_EXIT)")]),
        ("features", site(node(state="IDLE")), "a", [
            ("note", "slurmctld says so until the next start of slurmd, or a reconfigure")]),
    ],
)  # fmt: skip
def test_sentences_of_an_action(action, cluster, value, expected):
    assert texts(action, cluster, value) == expected


def test_a_partition_that_was_not_read_is_unknown():
    unread = msgspec.structs.replace(job(state="PENDING"), known=frozenset({"jobs"}))
    assert texts("jobpartition", unread, "gpu") == [
        ("unknown", "whether there is such a partition: they were not read")
    ]


def test_a_limit_below_the_time_it_has_run_is_refused_whatever_is_broken():
    running = job(started=int(NOW - 3600), time_limit_s=86_400)
    assert texts("timelimit", running, "0:30:00") == [
        ("refused", "it has run 1h 00m: that would kill it at once; :cancel does")
    ]


def test_jobs_of_a_reservation_that_were_not_read_are_unknown():
    row, policy = Reservation(name="maint", state="ACTIVE"), default_policy()
    for bound, level in (({}, "unknown"), ({"maint": ()}, "ok")):
        reads = PreflightReads(reservation_jobs=bound)
        (one,) = run_checks(BY_ID["unreserve"], site(), {"maint": row}, reads, NOW, policy)
        assert one.level == level


def test_fewer_gpus_than_slices_need_is_bad():
    sliced = site(node(gpus=56, gpu_slices=56))
    found = said(sliced, gpus={"gpu0001": eight()[:7]})
    assert ("bad", "7 GPUs are seen, Slurm's GPUs and slices need 8 at least") in found

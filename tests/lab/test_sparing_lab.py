"""A live controller is spared: two consoles ask as often as one, one that dies is succeeded, the cost is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from collectors.model import Cluster
from collectors.slurm.commands import controller
from console.ingest.controller_cost import between
from tests.bench.command_log import CommandLog

from .poller import poller
from .slurm import Lab

TIMEOUT_S = 60.0
#: As the other console runs: it reads the queue once a second, and tells when each reading was begun.
OTHER = """
import sys, threading
from tests.lab.poller import poller
def told(cluster, _):
    print(cluster.sources["slurm.jobs"].read_mono, flush=True)
poller(told).start()
threading.Event().wait()
"""


class Console:
    """The one in this process: which readings it has had, and what its newest says."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.cluster = Cluster(name="lab")
        self._came = threading.Condition()
        self.poller = poller(self._published)

    def _published(self, cluster: Cluster, _: object) -> None:
        with self._came:
            self.cluster = cluster
            self.begun.append(cluster.sources["slurm.jobs"].read_mono or 0.0)
            self._came.notify()

    def has(self, true, what: str) -> None:
        """Wait until that is so."""
        with self._came:
            assert self._came.wait_for(true, TIMEOUT_S), f"never came: {what}; {self.cluster.sources}"


@pytest.fixture
def console() -> Iterator[Console]:
    made = Console()
    yield made
    made.poller.stop()


class Log(CommandLog):
    """Which commands were started, by which console."""

    def started(self, console: str, command: str = "squeue") -> int:
        return self.commands(console)[command]


@pytest.fixture
def log(lab: Lab, tmp_path, monkeypatch) -> Log:
    lab.reset()
    made = Log(lab, tmp_path)
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setenv("SLURM_CONSOLE", "here")
    return made


@pytest.fixture
def other(log: Log) -> Iterator[subprocess.Popen[str]]:
    """Another console of the same user, in a process of its own; it has read once."""
    child = subprocess.Popen(
        [sys.executable, "-c", OTHER], env={**os.environ, "SLURM_CONSOLE": "there"}, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert float(child.stdout.readline()) > 0
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def test_two_consoles_ask_as_often_as_one_and_the_survivor_goes_on(
    lab: Lab, log: Log, other: subprocess.Popen[str], console: Console
) -> None:
    began = time.monotonic()
    first = log.started("there")
    console.poller.start()
    console.has(lambda: len(console.begun) >= 8, "eight readings")
    lasted = time.monotonic() - began
    both = log.started("there") - first + log.started("here")
    print(f"{both} squeue for {len(console.begun)} readings in {lasted:.1f} s, {log.started('here')} of them here")
    assert both <= lasted / 0.9 + 2, "one console alone starts one a second, give or take the jitter"
    assert len(set(console.begun)) == len(console.begun), "every reading is a new one"

    (job,) = lab.submit(user="alice", nodes=1, name="seen by both")
    console.has(lambda: job in console.cluster.jobs, "the new job, whoever reads")

    os.kill(other.pid, signal.SIGKILL)
    told, _ = other.communicate()
    theirs = {float(line) for line in told.splitlines()}
    lent = [mono for mono in console.begun if mono in theirs]
    assert lent, "some readings were the other one's, as old here as there"

    mine, had = log.started("here"), len(console.begun)
    console.has(lambda: len(console.begun) >= had + 3, "three more readings")
    assert log.started("here") >= mine + 2, "the one that is left asks itself"
    assert console.cluster.sources["slurm.jobs"].ok


def test_what_this_user_costs_is_what_it_did(lab: Lab, log: Log) -> None:
    before = controller.diag(20.0)
    for _ in range(5):
        assert lab.run(["squeue", "-h"]).returncode == 0
    after = controller.diag(20.0)
    cost = between(before, after, 60.0)
    assert cost is not None and cost.user == "root" and cost.calls_min >= 6 and cost.ms_min > 0
    assert before.since is not None and before.since == after.since
    assert lab.run(["sdiag", "--reset"]).returncode == 0
    assert between(after, controller.diag(20.0), 60.0) is None, "counters that began anew"


def test_a_snapshot_never_takes_a_shared_reading(lab: Lab, log: Log, other: subprocess.Popen[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from console.cli.main import main; main()", "snapshot", "--json"],
        env={**os.environ, "SLURM_CONSOLE": "snapshot"}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert log.started("snapshot") == 2, "the queue, and what is completing"

"""Slurm's own daemons on a live Slurm with slurmdbd: who answers, which jobs hang, and runaway jobs that are read and
never mended."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator

import pytest

from collectors.model import Control
from collectors.slurm import SlurmSettings
from collectors.slurm.commands import daemons
from collectors.slurm.commands.commands_transport import CliTransport
from collectors.slurm.commands.daemons import DaemonReader
from console.config.settings import Config
from console.session import cluster_sources
from tests.support.operator import console_on

from . import accounting
from .place import wait_for
from .running import running
from .slurm import Lab

pytestmark = pytest.mark.lab
NAME = f"control-{os.getpid()}"


@pytest.fixture(scope="module")
def books() -> Iterator[Lab]:
    """A lab with slurmdbd whose epilog hangs for as long as a file is there."""
    for lab in running("forky", nodes=4, accounting=True, name=NAME, extra=f"Epilog=/lab/{NAME}/epilog\n"):
        script = lab.folder / "epilog"
        script.write_text(f"#!/bin/sh\nwhile [ -e /lab/{NAME}/hang ]; do sleep 0.1; done\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        yield lab


@pytest.fixture
def here(books: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("PATH", f"{books.bin_dir}:/usr/bin:/bin")
    return books


def read(lab: Lab) -> Control:
    """What a console reads of it, at once."""
    found = CliTransport(SlurmSettings(share=False), "lab").reader("control").read().control
    assert found is not None
    return found


def account(lab: Lab, job: str) -> str:
    """State and end of a job as slurmdbd has them."""
    return lab.check(["sacct", "-X", "-n", "-P", "-j", job, "-o", "State,End"]).strip()


def test_who_answers_and_what_a_step_may_take(here: Lab) -> None:
    found = read(here)
    assert [(one.host, one.role, one.up) for one in found.controllers] == [("labctl", "primary", True)]
    assert (found.dbd, found.dbd_up, found.unkillable_s) == ("labctl", True, 60)
    assert (found.completing, found.runaway) == ((), ())


async def test_the_screen_of_it(here: Lab) -> None:
    async with console_on(cluster_sources.choose(Config(), None)) as op:
        await op.arrive({"control"})
        await op.command("control")
        await op.comes("labctl primary  ● in control")
        op.sees("labctl ● answers", "a step may take 60 s to die", "none runaway", "root", "no job is completing")


def test_a_job_that_does_not_end_is_told_with_its_node_and_since_when(here: Lab) -> None:
    hang = here.folder / "hang"
    hang.touch()
    try:
        began = int(time.time())
        (job,) = here.submit(user="alice", nodes=1, nodelist="gpu0002", script="exit 0")
        wait_for(lambda: "" if here.job_states([job]).get(job) == "COMPLETING" else "it does not complete", 60)
        (one,) = read(here).completing or ()
        assert (one.job, one.user, one.nodes) == (job, "alice", "gpu0002")
        assert one.since is not None and began - 2 <= one.since <= time.time() + 1
    finally:
        hang.unlink()
    wait_for(lambda: "it still completes" if read(here).completing else "", 60)


def test_a_runaway_job_is_read_and_never_mended(here: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemons, "_SETTLED_S", 0)
    # A controller that comes back with the state of an hour ago: slurmdbd waits for the end of a job nobody knows.
    here.stop_controller()
    state = here.folder / "state/job_state"
    before = state.read_bytes()
    here.start_controller()
    (job,) = here.submit(user="alice", nodes=1, nodelist="gpu0003")
    wait_for(lambda: "" if account(here, job).startswith("RUNNING") else "slurmdbd has not heard of it", 60)
    assert DaemonReader().read(20.0).runaway == ()
    here.stop_controller()
    state.write_bytes(before)
    state.with_suffix(".old").unlink(missing_ok=True)
    here.start_controller()
    assert job not in here.check(["squeue", "-a", "-t", "all", "-h", "-o", "%A"]).split()
    reader = DaemonReader()
    assert reader.read(20.0).runaway == (), "one look accuses nobody"
    (one,) = reader.read(20.0).runaway or ()
    assert (one.job, one.user, one.nodes) == (job, "alice", "gpu0003") and one.since is not None
    assert account(here, job) == "RUNNING|Unknown", "it is as it was"
    # The site's own answer, by hand: then wacht sees that it is gone.
    here.check(["sacctmgr", "-i", "show", "runawayjobs"])
    assert account(here, job).startswith("COMPLETED|")
    assert DaemonReader().read(20.0).runaway == ()


def test_a_slurmdbd_that_is_gone_and_back(here: Lab) -> None:
    accounting.stop_slurmdbd(here)
    reader = DaemonReader()
    found = reader.read(20.0)
    assert (found.dbd_up, found.runaway) == (False, None) and found.completing == () and found.controllers[0].up
    accounting.start_slurmdbd(here)
    assert reader.read(20.0).dbd_up is True

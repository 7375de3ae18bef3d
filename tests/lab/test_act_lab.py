"""`wacht act` against a living Slurm of each version: what the fakes of the other tests believe, proven."""

from __future__ import annotations

import signal

import pytest

from collectors.slurm.commands.write import CliWriter
from console.actions.options import Options
from console.actions.plan import Plan
from console.gate.gate import Gate
from console.journal.writer import Journal, verify
from tests.faults import fault
from tests.lab.act_site import Site
from tests.lab.roots import SUITES
from tests.lab.running import running

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module", params=SUITES)
def lab(request):
    yield from running(request.param, nodes=4)


@pytest.fixture
def site(lab, tmp_path, monkeypatch):
    made = Site(lab, tmp_path, monkeypatch)
    yield made
    made.become("root")
    lab.cancel_all()
    for state in ("DRAIN Reason=x", "RESUME"):
        lab.run(["scontrol", "update", "NodeName=gpu[0001-0004]", *(f"State={state}").split()])
    lab.wait_nodes("IDLE", 30)
    assert not made.path.exists() or verify(made.path).ok


def test_nodes_out_and_back(site):
    reason = 'he said "x" é; $(id) | NodeName=ALL'
    broken = Options(break_glass=True)  # three of the four nodes are more than a fifth of the partition
    status, told = site.act("drain", "gpu[0001-0003]", reason=reason, count=3)
    assert status == 2 and "--break-glass and --count 3 are required" in told["refused"]
    assert site.act("drain", "gpu[0001-0003]", reason=reason, count=3, options=broken)[0] == 0
    assert site.cluster().nodes["gpu0002"].reason == reason
    status, told = site.act("drain", "gpu0001", reason="again", yes=True)
    assert status == 2 and "already drained by root" in told["refused"]
    assert site.act("undrain", "gpu0001", yes=True)[0] == 0
    status, told = site.act("resume", "gpu[0002-0004]", count=2)
    assert status == 0 and told["gpu0004"]["why"] == "nothing to resume: idle"


def test_jobs_through_their_life(site):
    first, second = site.submit(user="alice"), site.submit(user="bob")
    waiting = site.lab.submit(2, user="alice", gpus=8, nodes=3)
    assert site.act("hold", *waiting, count=2)[0] == 0
    assert site.act("uhold", waiting[0], yes=True)[0] == 0
    assert site.act("release", *waiting, count=2)[0] == 0
    assert site.act("requeue", first, count=1)[0] == 0
    assert site.act("requeuehold", second, count=1)[0] == 0
    assert site.act("release", second, yes=True)[0] == 0
    assert site.act("cancel", first, second, *waiting, count=4)[0] == 0
    assert not {first, second, *waiting} & site.cluster().jobs.keys()


def test_an_array_is_named_by_its_number(site):
    (array,) = site.lab.submit(1, gpus=8, array="0-9")
    assert site.act("hold", f"{array}_[8-9]", count=2)[0] == 0
    status, told = site.act("cancel", array, count=10)
    assert status == 0 and len(told) == 10


def test_without_rights_every_target_is_told(site):
    job = site.submit(user="alice")
    site.become("bob")
    status, told = site.act("drain", "gpu[0001-0002]", reason="x", count=2)
    assert status == 1 and {one["outcome"] for one in told.values()} == {"failed"}
    assert "Invalid user id" in told["gpu0001"]["why"]
    for action in ("requeue", "cancel"):
        status, told = site.act(action, job, count=1)
        assert status == 1 and told[job] == {"outcome": "failed", "why": "Access/permission denied"}
    assert site.running(job)


@fault("slurmctld", "frozen in the middle of a drain, then thawed", "unknown, then done once it is read back")
def test_a_frozen_controller_is_unknown_and_carries_it_out_later(site):
    known = site.cluster()

    class Remembered:
        """What a reading just before the freeze showed."""

        def read_nodes(self, names):
            return {name: known.nodes[name] for name in names}

    quick = Gate("lab", lambda kind: CliWriter(deadline_s=1), Remembered(),
                 lambda: Journal(site.path, "lab", site.clock), site.clock)  # fmt: skip
    plan = quick.plan("drain", ["gpu0001"], "frozen", known)
    assert isinstance(plan, Plan)
    site.lab.signal_controller(signal.SIGSTOP)
    try:
        outcome = quick.send(plan, "y")
    finally:
        site.lab.signal_controller(signal.SIGCONT)
    assert outcome.results["gpu0001"].state == "unknown"
    assert site.gate().follow(outcome, 20).results["gpu0001"].state == "done"

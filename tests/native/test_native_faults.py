"""A pyslurm that is missing, of another version, hung, crashing, without a controller: named, and the rest goes on."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from collectors import process
from collectors.clock import ManualClock
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.native import client
from collectors.slurm.native.client import NativeClient
from collectors.slurm.native.protocol import Question
from collectors.slurm.sources import open_sources
from console.session.snapshot import take
from tests.faults import fault


def fault_of(transport, kind="jobs"):
    with pytest.raises(SourceFault) as caught:
        transport.reader(kind).read()
    return caught.value.fault


@pytest.mark.parametrize(
    "faults, more, kind, what, mend",
    [
        ({"import": "missing"}, {}, "missing", "the Python package pyslurm is not installed", "pip install"),
        ({"import": "unfit"}, {}, "missing", "does not fit the Slurm that is installed", "build it"),
        ({}, {"version": "24.11.0"}, "missing", "this is pyslurm 24.11.0; wacht knows 25.11.x", "pip install"),
        ({"import": "exit"}, {}, "missing", "no slurm.conf that can be used", "set SLURM_CONF"),
        ({"jobs": [1800, "Unable to contact"]}, {}, "refused", "pyslurm: Unable to contact", "scontrol ping"),
        ({"jobs": [1005, "Incompatible versions"]}, {}, "refused", "Incompatible", "controller of 25.11 or later"),
        ({"jobs": [1007, "Protocol authentication error"]}, {}, "auth", "authentication", "older than 25.11"),
        ({"jobs": [1804, "RPC limit"]}, {}, "backoff", "RPC limit", "waits longer"),
        ({"jobs": [9999, "odd \x1b[31m"]}, {}, "refused", "odd \\e[31m", ""),
        ({"jobs": int(signal.SIGSEGV)}, {}, "cut", "that runs pyslurm was ended by signal 11", "starts anew"),
        ({"jobs": int(signal.SIGKILL)}, {}, "cut", "was ended by signal 9", "starts anew"),
        ({"jobs": "garbage"}, {}, "malformed", "answer cannot be read", ""),
    ],
)  # fmt: skip
def test_every_fault_has_a_name_and_a_way_on(standin, faults, more, kind, what, mend):
    standin.meets(faults, **more)
    transport = standin.transport()
    fault = fault_of(transport)
    assert (fault.kind, what in fault.what, mend in fault.mend) == (kind, True, True), fault
    transport._client._rests.clear()
    assert fault_of(transport) == fault, "it is no other the second time"


def test_a_slurm_conf_that_is_not_there_is_told_at_once(standin, monkeypatch):
    """libslurm would look for it for a minute."""
    real = client.environment
    monkeypatch.setattr(client, "environment", lambda: real() | {"SLURM_CONF": "/nowhere/slurm.conf"})
    assert fault_of(standin.transport()).what == "SLURM_CONF names /nowhere/slurm.conf, which is not there"


@fault("pyslurm", "hung call", "its child is killed at the deadline, the next reading is good")
def test_a_hung_call_is_killed_and_the_next_reading_is_good(standin):
    standin.meets({"jobs": "hang"})
    transport = standin.transport(deadline_s=1.0)
    transport._client._deadline_s = 20.0
    transport.reader("diag").read()  # the child is up
    child = transport._client._child
    transport._client._deadline_s = 0.2
    fault = fault_of(transport)
    assert fault.kind == "timeout" and "no answer from the controller in 0.2 s" in fault.what
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    standin.meets()
    transport._client._deadline_s = 20.0
    transport._client._rests.clear()
    assert len(transport.reader("jobs").read().jobs) == 36


def test_what_pyslurm_prints_harms_no_answer(standin):
    standin.meets({"jobs": "noise"})
    assert len(standin.transport().reader("jobs").read().jobs) == 36


def test_one_fault_rests_all_readers_and_starts_nothing(standin):
    """A dead controller costs 10 s a call: it is not asked for each kind anew."""
    standin.meets({"jobs": [1800, "Unable to contact slurm controller"]})
    transport, clock = standin.transport(), ManualClock()
    transport._client._clock = clock
    first = fault_of(transport)
    began = process.count_started()
    assert fault_of(transport, "diag") == first and process.count_started() == began
    clock.advance(1.01)
    assert transport.reader("diag").read().diag and process.count_started() == began + 1
    for wait in (1.0, 2.0, 4.0):  # that good reading began the count anew
        fault_of(transport)
        clock.advance(wait - 0.01)
        began = process.count_started()
        fault_of(transport, "diag")
        assert process.count_started() == began
        clock.advance(0.02)


def test_a_fault_of_one_job_rests_nobody(standin):
    transport = standin.transport()
    with pytest.raises(SourceFault, match="shows no job 999"):
        transport.job_detail("999")
    assert transport.job_detail("2").id == "2"


def test_readers_wait_for_each_other(standin):
    standin.meets()
    asked = standin.transport()._client
    found = []
    kinds = ["nodes", "jobs", "partitions", "reservations", "diag"] * 2
    threads = [threading.Thread(target=lambda kind=kind: found.append(asked.ask(Question(kind)))) for kind in kinds]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert len(found) == 10 and all(sum(getattr(one, kind) is not None for kind in kinds[:5]) == 1 for one in found)


def test_who_waits_too_long_for_another_question_is_told(standin):
    asked = NativeClient(0.05)
    with asked._turn, pytest.raises(SourceFault, match="no answer from the controller in"):
        asked.ask(Question("jobs"))


def test_a_dead_controller_is_one_fault_whatever_was_asked(standin):
    """Each source repeated "nodes: …", and whatever lists faults listed them all."""
    dead = [1800, "Unable to contact slurm controller (connect failure)"]
    standin.meets(dict.fromkeys(("nodes", "jobs", "partitions", "reservations", "statistics", "config"), dead))
    transport = standin.transport()
    found = set()
    for kind in ("nodes", "jobs", "partitions", "reservations", "diag", "rights"):
        transport._client._rests.clear()
        found.add(fault_of(transport, kind))
    assert len(found) == 1
    assert found.pop().what == "pyslurm: Unable to contact slurm controller (connect failure)"


def test_closing_the_last_reader_ends_the_child_and_a_question_under_way(standin):
    standin.meets({"jobs": "hang"})
    transport = standin.transport()
    readers = [transport.reader(kind) for kind in ("jobs", "diag")]
    readers[1].read()
    child, faults = transport._client._child, []

    def read():
        try:
            readers[0].read()
        except SourceFault as error:
            faults.append(error.fault.what)

    thread = threading.Thread(target=read)
    thread.start()
    readers[1].close()
    assert child.how() == "runs"
    readers[0].close()
    thread.join(10)
    assert faults == ["pyslurm: closed"] and child.how() != "runs"


def test_an_error_in_the_child_is_told_and_the_child_goes_on(standin):
    standin.holds(statistics=None)
    transport = standin.transport()
    fault = fault_of(transport, "diag")
    assert fault.kind == "malformed" and transport.reader("jobs").read().jobs


@fault("pyslurm", "crash", "its source is old; no other, and not the console")
def test_a_crash_is_a_stale_source_and_no_other(standin, monkeypatch):
    """What could not be read is marked and unknown, never none; the child is started anew for the others."""
    standin.meets({"reservations": int(signal.SIGSEGV)})
    sources = open_sources("lab", SlurmSettings(transport="native"))
    cluster = take("lab", sources, ManualClock())
    bad = {name: str(one.fault) for name, one in cluster.sources.items() if not one.ok}
    assert list(bad) == ["slurm.reservations"] and "was ended by signal 11" in bad["slurm.reservations"]
    assert "reservations" not in cluster.known and (len(cluster.nodes), len(cluster.jobs)) == (16, 36)
    for one in sources:
        one.close()

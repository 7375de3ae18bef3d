"""How Slurm's own daemons fare, through its commands: pinged, counted, held against the accounts, and never mended."""

from __future__ import annotations

import time

import msgspec
import pytest

from collectors.model import Completing, Controller, Runaway, SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands import daemons
from collectors.slurm.commands.daemons import DaemonReader, parse_ping
from collectors.slurm.sources import open_sources
from tests.support.make import VERSIONS, Commands, recorded
from tests.support.slurmrestd_server import StandIn

UP = "Slurmctld(primary) at ctl1 is UP\nSlurmctld(backup) at ctl2 is UP\n"
FAILED_OVER = "Slurmctld(primary) at ctl1 is DOWN\nSlurmctld(backup) at ctl2 is UP\n"
CONFIG = """Configuration data as of 2026-11-24T08:37:38
AccountingStorageHost   = dbd1
AccountingStorageType   = accounting_storage/slurmdbd
PrivateData             = {private}
SlurmUser               = slurm(64030)
UnkillableStepTimeout   = 180 sec
"""
LONG_AGO = int(time.time()) - 7200


class Slurm:
    """A Slurm of which only these commands are asked."""

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        self.now = 1000.0
        self.pings, self.completing, self.queue = UP, [], ["101", "102"]
        self.accounts: list[str] | None = [f"101|alice|{LONG_AGO}|gpu0001", f"102|bob|{LONG_AGO}|gpu0002"]
        self.private = "none"
        self.reader = DaemonReader(mono=lambda: self.now)

    def read(self, after: float = 0.0):
        """A reading so many seconds later."""
        self.now += after
        says = self.commands.says
        self.commands._cases.clear()
        says("scontrol", self.pings, to="ping", rc=0 if " UP" in self.pings else 1)
        says("scontrol", CONFIG.format(private=self.private), to="show config")
        head = "JOBID|USER|END_TIME|NODELIST"
        says("squeue", "".join(f"{one}@F\n" for one in (head, *self.completing)), to="-a -t CG*")
        says("squeue", "\n".join(["JOBID", *self.queue]) + "\n", to="-a -t all*")
        if self.accounts is None:
            says("sacct", err="sacct: error: slurm_persist_conn_open: Connection refused", rc=1)
        else:
            says("sacct", "\n".join(["JobIDRaw|User|Start|NodeList", *self.accounts]) + "\n")
        return self.reader.read(5.0)

    def asked(self, word: str) -> int:
        """How often a command with this in it was started."""
        return sum(word in call for call in self.commands.calls)


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Slurm:
    return Slurm(Commands(tmp_path, monkeypatch))


@pytest.mark.parametrize("version", ["22.05", *VERSIONS])
def test_what_ping_prints(version):
    up, down = (parse_ping(recorded(version, name).decode()) for name in ("ping.txt", "ping_down.txt"))
    assert up == (Controller(host="labctl", role="primary", up=True),)
    assert down == (Controller(host="labctl", role="primary", up=False),)


def test_two_controllers_and_a_slurmdbd(slurm):
    slurm.completing = [f"7_3|carol|{LONG_AGO}|gpu[0003-0004]", "8|carol|N/A|"]
    found = slurm.read()
    assert [(one.host, one.role, one.up) for one in found.controllers] == [
        ("ctl1", "primary", True), ("ctl2", "backup", True)
    ]  # fmt: skip
    assert (found.dbd, found.dbd_up, found.unkillable_s) == ("dbd1", True, 180)
    assert found.runaway == () and found.runaway_at == pytest.approx(time.time(), abs=5)
    assert found.completing == (
        Completing(job="7_3", user="carol", nodes="gpu[0003-0004]", since=LONG_AGO),
        Completing(job="8", user="carol"),
    )


def test_a_pair_is_pinged_each_time_a_lone_controller_seldom(slurm):
    for _ in range(3):
        slurm.read(120)
    assert slurm.asked("ping") == 3
    slurm.reader, slurm.pings = DaemonReader(mono=lambda: slurm.now), UP.splitlines(keepends=True)[0]
    for _ in range(9):
        slurm.read(120)
    assert slurm.asked("ping") == 3 + 2, "at first, and after 15 minutes"
    assert slurm.asked("show config") == 2, "once an hour, by each reader"


def test_a_fail_over_is_told(slurm):
    slurm.read()
    slurm.pings = FAILED_OVER
    found = slurm.read(120)
    assert [one.up for one in found.controllers] == [False, True] and found.completing == ()


def test_where_none_answers_nothing_else_is_asked(slurm):
    """As every other source then: a snapshot of a dead controller has no good source."""
    slurm.pings = FAILED_OVER.replace("UP", "DOWN")
    with pytest.raises(SourceFault, match=r"no controller answers: ctl1 \(primary\), ctl2 \(backup\)"):
        slurm.read()
    assert slurm.asked("squeue") == 0
    slurm.pings = UP
    assert slurm.read(120).controllers[0].up, "it is asked each time until one does"


def test_a_job_is_a_runaway_once_two_looks_have_found_it(slurm):
    slurm.queue = ["102"]
    assert slurm.read().runaway == (), "it may have ended a moment ago, and slurmdbd may not know yet"
    found = slurm.read(120)
    assert found.runaway == (Runaway(job="101", user="alice", since=LONG_AGO, nodes="gpu0001"),)
    assert slurm.read(120).runaway == found.runaway and slurm.asked("sacct") == 2, "and then every 15 minutes"
    assert slurm.read(900).runaway == found.runaway
    slurm.queue.append("101")
    assert slurm.read(900).runaway == ()


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("103|alice|JUST|gpu0001", "it started after the queue was read"),
        ("103|alice|Unknown|gpu0001", "nobody knows when it started"),
        (f"103.batch|alice|{LONG_AGO}|gpu0001", "a step is no job"),
        (f"103|a|b|{LONG_AGO}|gpu0001", "a row with too many cells may be forged"),
    ],
    ids=["just started", "no start", "a step", "too many cells"],  # the same in every process, whatever the time
)
def test_what_is_no_runaway(slurm, row, why):
    slurm.accounts = [row.replace("JUST", str(int(time.time()) - 5))]
    slurm.read()
    assert slurm.read(120).runaway == (), why


def test_names_from_the_accounts_are_cleaned(slurm):
    slurm.accounts = [f"103|al\x1b[31mice|{LONG_AGO}|gpu0001"]
    slurm.read()
    assert slurm.read(120).runaway[0].user == "al\\e[31mice"


def test_whoever_does_not_see_everybodys_jobs_accuses_nobody(slurm, monkeypatch):
    monkeypatch.setattr(daemons.os, "geteuid", lambda: 4711)
    slurm.private, slurm.queue = "accounts,jobs", []
    for _ in range(3):
        assert slurm.read(900).runaway is None
    assert slurm.asked("sacct") == 0


def test_a_slurmdbd_that_is_gone_costs_only_what_it_would_have_told(slurm):
    slurm.accounts = None
    found = slurm.read()
    assert (found.dbd_up, found.runaway) == (False, None) and found.controllers[0].up and found.completing == ()
    slurm.accounts = []
    found = slurm.read(120)
    assert (found.dbd_up, found.runaway) == (True, ()), "asked again at the next reading, not after 15 minutes"


def test_without_accounts_nobody_is_asked_for_them(slurm, monkeypatch):
    monkeypatch.setattr(
        "tests.unit.collectors.slurm.commands.test_daemons.CONFIG",
        CONFIG.replace("accounting_storage/slurmdbd", "(null)"),
    )
    found = slurm.read()
    assert (found.dbd, found.dbd_up, found.runaway) == (None, None, None) and slurm.asked("sacct") == 0


def test_nothing_is_ever_mended(slurm):
    slurm.queue = []
    for _ in range(3):
        slurm.read(900)
    assert slurm.asked("sacctmgr") == 0, "its list of runaway jobs mends before it asks"
    assert all(call.split()[0] in {"scontrol", "squeue", "sacct"} for call in slurm.commands.calls)


def test_an_answer_without_its_header_is_none(slurm):
    slurm.read()
    slurm.commands._cases.clear()
    slurm.commands.says("scontrol", "hm\n")
    with pytest.raises(SourceFault, match="names no controller"):
        slurm.reader.read(5.0)


# -- the other transports ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_slurmrestd_tells_who_answers(tmp_path, version):
    with StandIn(tmp_path, version) as restd:
        source = next(one for one in open_sources("lab", restd.settings) if one.name == "slurm.control")
        found = source.collect().control
        assert found.controllers == (Controller(host="labctl", role="primary", up=True),)
        assert found.runaway is found.completing is found.dbd_up is None, "it does not tell: unknown"
        restd.answers["ping/"] = restd.answers["ping/"] | {
            "pings": [{"hostname": "a", "responding": False, "primary": True},
                      {"hostname": "b", "responding": True, "primary": False}]
        }  # fmt: skip
        assert [(one.role, one.up) for one in source.collect().control.controllers] == [
            ("primary", False), ("backup", True)
        ]  # fmt: skip
        restd.answers["ping/"] = restd.answers["ping/"] | {"pings": [{"hostname": "a", "responding": False}]}
        with pytest.raises(SourceFault, match="no controller answers it"):
            source.collect()
        restd.answers["ping/"] = restd.answers["ping/"] | {"pings": []}
        with pytest.raises(SourceFault, match="without any controller"):
            source.collect()


def test_pyslurm_has_no_ping_and_shows_no_fault_for_it():
    names = [one.name for one in open_sources("lab", SlurmSettings(transport="native"))]
    assert "slurm.control" not in names and "slurm.diag" in names
    both = open_sources("lab", msgspec.structs.replace(SlurmSettings(transport="native"), fallback=("cli",)))
    assert "slurm.control" in [one.name for one in both]

"""The real controller hung, killed and failed over in the middle of an action, and the console killed in one: what was
sent is unknown until it is read back, nothing is sent twice, and the journal says what nobody saw the end of.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.slurm import SlurmSettings
from collectors.slurm.commands.write import CliWriter
from collectors.slurm.sources import open_sources, open_transport
from console.actions.plan import Plan
from console.config.settings import Config
from console.gate.gate import Gate
from console.gate.outcome import Outcome
from console.journal.writer import Journal, orphans, verify
from console.session import cluster_sources
from tests.faults import fault
from tests.faults.watch import NEVER_S, Watch
from tests.lab.act_site import SETTINGS, Site
from tests.support.operator import console_on

from .place import wait_for
from .running import running
from .slurm import Lab

#: A second controller on an address of its own, which takes over when the first has been silent for 2 s.
BACKUP = """
SlurmctldHost=labctl2(127.0.0.2)
CommunicationParameters=NoCtldInAddrAny
SlurmctldTimeout=2
MessageTimeout=2
"""


ENOUGH_S = 5.0
"""For a command that is to get through, or as far as the controller, on a machine that has other work; each test that
waits for the deadline takes as long. Slurm's own patience is longer, since its words for that are others."""


@pytest.fixture(scope="module")
def small() -> Iterator[Lab]:
    """A controller that may be killed."""
    yield from running("forky", nodes=4, extra=f"MessageTimeout={ENOUGH_S + 1:.0f}\n")


@pytest.fixture(scope="module", autouse=True)
def twin() -> Iterator[Lab]:
    """Two controllers, of which the first may be killed. Started first: the second takes its time."""
    for lab in running("forky", nodes=4, extra=BACKUP):
        start_backup(lab)
        yield lab


def start_backup(lab: Lab) -> None:
    """Start the second controller on a host name of its own."""
    assert lab.state.init is not None
    first = (lab.folder / "slurm.conf").read_text()
    second = first.replace("/run/slurmctld.pid", "/run/backup.pid").replace("/log/slurmctld.log", "/log/backup.log")
    (lab.folder / "backup.conf").write_text(second)
    hosts = lab.folder / "hosts"
    hosts.write_text("127.0.0.1 localhost labctl\n127.0.0.2 labctl2\n")
    inside = ["nsenter", f"--target={lab.state.init[0]}", "--mount"]
    subprocess.run([*inside, "mount", "--bind", str(hosts), str(lab.root / "etc/hosts")], check=True)
    start = f"hostname labctl2; exec /usr/sbin/slurmctld -f {lab.state.place}/backup.conf"
    lab._inside("/usr/bin/unshare", "--uts", "/bin/sh", "-c", start)


class Desk(Site):
    """The lab as `wacht act` sees it, with a note of each change that is sent, and what may happen to it."""

    def __init__(self, lab: Lab, folder: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(lab, folder, patch)
        self.log = folder / "sent"
        self.patience_s = 30.0
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.through('exec "$real" "$@"')
        patch.setenv("PATH", f"{self.bin}:{lab.bin_dir}:/usr/bin:/bin")

    def through(self, update: str) -> None:
        """What becomes of an update on its way to scontrol, in sh."""
        scontrol = self.bin / "scontrol"
        scontrol.write_text(
            f'#!/bin/sh\nreal={self.lab.bin_dir}/scontrol\nif [ "$1" != update ]; then exec "$real" "$@"; fi\n'
            f'echo "$*" >> {self.log}\n{update}\n'
        )
        scontrol.chmod(0o755)

    @property
    def sent(self) -> list[str]:
        """The changes that were sent, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def gate(self) -> Gate:
        """The gate of `wacht act`, whose commands have `patience_s`."""
        return Gate("lab", lambda kind: CliWriter(deadline_s=self.patience_s), open_transport("lab", SETTINGS),
                    lambda: Journal(self.path, "lab", self.clock), self.clock)  # fmt: skip

    def drain(self, name: str, deadline_s: float, killed: bool = False) -> Outcome:
        """Drain a node over a controller that hangs from then on, and is `killed` once the change is on its way."""
        known = self.cluster()

        class Remembered:
            """The reading that the gate takes just before it sends, which a hung controller would not give."""

            def read_nodes(self, names: list[str]) -> dict[str, object]:
                return {one: known.nodes[one] for one in names}

        gate = Gate("lab", lambda kind: CliWriter(deadline_s=deadline_s), Remembered(),  # type: ignore[arg-type]
                    lambda: Journal(self.path, "lab", self.clock), self.clock)  # fmt: skip
        plan = gate.plan("drain", [name], "spoilt", known)
        assert isinstance(plan, Plan)
        self.lab.signal_controller(signal.SIGSTOP)
        outcome: list[Outcome] = []
        sending = threading.Thread(target=lambda: outcome.append(gate.send(plan, "y")))
        sending.start()
        try:
            wait_for(lambda: "" if self.sent and connected(self.lab) else "nothing was sent", 60)
        except BaseException:
            self.lab.signal_controller(signal.SIGCONT)  # the tests after this one are not to hang as well
            raise
        if killed:
            self.lab.signal_controller(signal.SIGKILL)
        sending.join(60)
        return outcome[0]

    def events(self) -> list[str]:
        """What the journal tells, in order."""
        assert verify(self.path).ok
        return [json.loads(line)["event"] for line in self.path.read_text().splitlines()]


@pytest.fixture
def desk(small: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    yield Desk(small, tmp_path, monkeypatch)
    small.reset()


@fault("slurmctld", "hung in the middle of a drain, then killed and started again",
       "unknown, never failed; read back as not seen; sent once; the journal is whole")  # fmt: skip
def test_a_controller_that_hangs_and_dies(desk: Desk) -> None:
    outcome = desk.drain("gpu0001", deadline_s=ENOUGH_S)
    assert outcome.results["gpu0001"].state == "unknown"
    assert "it may have been done" in outcome.results["gpu0001"].why
    desk.lab.signal_controller(signal.SIGKILL)
    desk.lab.start_controller()
    outcome = desk.gate().follow(outcome, 0.0)
    assert outcome.results["gpu0001"].state == "unknown" and "not seen after" in outcome.results["gpu0001"].why
    assert len(desk.sent) == 1 and desk.events() == ["intent", "result", "verified"]
    assert "DRAIN" not in desk.lab.node_states()["gpu0001"]


@fault("slurmctld", "does what it is told, and its answer is lost", "unknown, then done once it is read back")
def test_an_answer_that_is_lost(desk: Desk) -> None:
    desk.through('"$real" "$@"; trap "" TERM; exec sleep 60')
    desk.patience_s = ENOUGH_S
    status, told = desk.act("drain", "gpu0001", reason="spoilt", yes=True)
    assert (status, told["gpu0001"]["outcome"]) == (0, "done")
    assert len(desk.sent) == 1
    result = json.loads(desk.path.read_text().splitlines()[1])
    assert result["event"] == "result" and result["outcome"]["gpu0001"]["state"] == "unknown"


@pytest.mark.parametrize(
    ("update", "came"),
    [
        pytest.param('"$real" "$@"; ', "1 done", marks=fault(
            "process", "SIGKILL of `wacht act` after slurmctld has done it, before the result is written",
            "the next console tells of it at its start and reads it back as done; nothing is sent again",
            case="SIGKILL between intent and result")),
        pytest.param("", "1 unknown", marks=fault(
            "process", "SIGKILL of `wacht act` before slurmctld has heard of it",
            "the next console tells of it at its start and reads it back as not seen; nothing is sent again",
            case="SIGKILL between intent and result")),
    ],
)  # fmt: skip
async def test_a_console_killed_in_the_middle(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              update: str, came: str) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    child = tmp_path / "child"
    desk.through(f'{update}trap "" TERM; echo $$ > {child}.new; mv {child}.new {child}; exec sleep 60')
    argv = [sys.executable, "-c", "from console.cli.main import main; main()"]
    wacht = subprocess.Popen([*argv, "act", "drain", "gpu0003", "--reason", "bad DIMM", "--yes"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
    try:
        wait_for(lambda: "" if child.exists() else "nothing was sent", 60)
    finally:
        wacht.kill()
        wacht.communicate()
    os.kill(int(child.read_text()), signal.SIGKILL)
    (entry,) = orphans(tmp_path / "wacht/journal/lab-forky.jsonl")
    assert (entry.action, entry.targets) == ("drain", ("gpu0003",))
    async with console_on(cluster_sources.choose(Config(), None)) as op:
        await op.comes("1 action has no result: drain gpu0003")
        await op.press("8")
        await op.comes("no result")
        await op.press("v")
        await op.comes(f"read back: {came}")
    assert len(desk.sent) == 1
    assert orphans(tmp_path / "wacht/journal/lab-forky.jsonl") == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        pytest.param(signal.SIGSTOP, "timeout", marks=fault(
            "slurmctld", "frozen: it takes connections and answers nothing",
            "a fault within the deadline; old facts stay; thawed, it is read again", case="hang after accept")),
        pytest.param(signal.SIGKILL, "refused", marks=fault(
            "slurmctld", "killed", "a fault; old facts stay; started again, it is read again",
            case="connection refused")),
    ],
)  # fmt: skip
def test_a_controller_that_is_silent(small: Lab, monkeypatch: pytest.MonkeyPatch, number: int, kind: str) -> None:
    monkeypatch.setenv("PATH", f"{small.bin_dir}:/usr/bin:/bin")
    settings = SlurmSettings(deadline_s=ENOUGH_S if kind == "timeout" else 30, interval_s=NEVER_S, share=False)
    nodes = next(one for one in open_sources("lab", settings) if one.name == "slurm.nodes")
    with Watch(nodes) as watch:
        facts = watch.cluster.nodes
        small.signal_controller(number)
        try:
            bad = watch.again()
        finally:
            if kind == "timeout":
                small.signal_controller(signal.SIGCONT)
            else:
                small.start_controller()
        assert watch.source.fault is not None and watch.source.fault.kind == kind, watch.source.fault
        assert bad.nodes is facts and bad.totals.nodes == 4
        assert watch.again().nodes.keys() == facts.keys() and watch.source.ok


@fault("slurmctld", "killed in the middle of a drain, its backup takes over",
       "unknown, read back from the backup; sent once; old facts stay until the backup answers",
       case="controller fail-over during an action")  # fmt: skip
def test_a_failover_in_the_middle(twin: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for(lambda: "no backup" if "DOWN" in twin.run(["scontrol", "ping"]).stdout else "", 60)
    desk = Desk(twin, tmp_path, monkeypatch)
    settings = SlurmSettings(deadline_s=1, interval_s=NEVER_S, share=False)
    nodes = next(one for one in open_sources("lab", settings) if one.name == "slurm.nodes")
    with Watch(nodes) as watch:
        facts = watch.cluster.nodes
        outcome = desk.drain("gpu0001", deadline_s=20, killed=True)
        assert outcome.results["gpu0001"].state == "unknown" and "Connection reset" in outcome.results["gpu0001"].why
        assert watch.again().nodes is facts and watch.source.fault is not None and len(facts) == 4
        wait_for(lambda: "" if answers(twin) else "the backup does not take over", 60)
        control = next(one for one in open_sources("lab", settings) if one.name == "slurm.control").collect().control
        assert control is not None
        assert [(one.host, one.role, one.up) for one in control.controllers] == [
            ("labctl", "primary", False), ("labctl2", "backup", True)
        ]  # fmt: skip
        outcome = desk.gate().follow(outcome, 0.0)
        assert outcome.results["gpu0001"].state == "unknown" and "not seen after" in outcome.results["gpu0001"].why
        assert len(desk.sent) == 1 and desk.events() == ["intent", "result", "verified"]
        assert watch.again().nodes.keys() == facts.keys() and watch.source.ok, watch.source.fault
    status, told = desk.act("drain", "gpu0001", reason="now over the backup", yes=True)
    assert (status, told["gpu0001"]["outcome"]) == (0, "done")


def connected(lab: Lab) -> bool:
    """Whether somebody has a connection to the first controller."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(line[2].endswith(f":{lab.state.port:04X}") and line[3] == "01" for line in lines)


def answers(lab: Lab) -> bool:
    """Whether some controller does."""
    return lab.run(["scontrol", "show", "node", "gpu0001"]).returncode == 0

"""Every action over slurmrestd of each version, done and refused as by command: the same tests, another transport.

What slurmrestd cannot do goes over the commands, as `fallback` says; without it, it is refused with the reason.
"""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.clock import SystemClock
from collectors.slurm import SlurmSettings
from collectors.slurm.rest.client import RestServer
from collectors.slurm.rest.write import RestWriter
from collectors.slurm.sources import open_sources, open_transport
from collectors.slurm.writers import open_writer
from console.actions.registry import BY_ID
from console.cli.act import run_act
from console.gate.gate import Gate
from console.ingest.poller import read
from console.ingest.reduce import begin, reduce
from console.journal.writer import Journal, verify
from tests.faults import fault
from tests.support.make import change_of

from . import rest
from .roots import SUITES
from .running import running
from .slurm import Lab
from .writer_cases import (  # noqa: F401 - the tests are collected here, with the desk of this module
    Act,
    Desk,
    test_a_drain_that_ends_by_itself,
    test_a_reboot_that_waits_is_called_off_by_a_resume,
    test_cancel_is_silent_about_what_is_gone,
    test_down_kills_the_jobs,
    test_drains_keep_work_and_reasons,
    test_holds_of_two_kinds,
    test_reboots_come_back_as_they_were_told,
    test_requeue_and_what_cannot_be,
    test_resume_is_followed_until_slurmd_registers,
    test_what_works_has_nothing_to_resume_and_is_named_when_alone,
    test_without_rights_everything_is_refused_by_name,
)


@pytest.fixture(scope="module", params=SUITES)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from running(request.param, nodes=8, restd=True, accounting=True)


class RestDesk(Desk):
    """Somebody who changes the lab over slurmrestd, with a token of their own."""

    def __init__(self, lab: Lab, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        super().__init__(lab, patch)

    def settings(self, *fallback: Any) -> SlurmSettings:
        token = self.folder / "token"
        return SlurmSettings(transport="rest", url=rest.url(self.lab), token_file=str(token), fallback=fallback)

    def become(self, user: str) -> None:
        super().become(user)
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(rest.token(self.lab, user))
        self._transport = open_transport("lab", self.settings())

    def without_commands(self) -> None:
        """Slurm's commands are not here."""
        self._patch.setenv("PATH", "/usr/bin:/bin")

    def does(self, action: str, *targets: str, reason: str | None = None, **more: Any) -> Act:
        kind = BY_ID[action].kind
        before = self._read(kind, targets)
        change = change_of(action=action, kind=kind, targets=targets, reason=reason, **more)
        writer = open_writer(self.settings("cli"))
        told = writer.commands(change)
        sent = writer.send(change)
        assert [one.argv for one in sent] == list(told)[: len(sent)]
        return Act(self, change, before, sent)


@pytest.fixture
def desk(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RestDesk]:
    yield RestDesk(lab, monkeypatch, tmp_path)
    monkeypatch.undo()
    RestServer.forget()
    lab.reset()


def test_priorities_one_by_one_and_those_of_tasks_by_command(desk: RestDesk) -> None:
    one, two, held, works = desk.waits(), desk.waits(), desk.waits(hold=True), desk.runs("gpu0001")
    (array,) = desk.lab.submit(1, gpus=1, array="0-3", begin="now+1hour")
    wanted = {one: 7, f"{array}_2": 7, works: 9, two: 0xFFFFFFFD, held: 7, "99999": 7}
    act = desk.does("priority", *wanted, values={job: str(to) for job, to in wanted.items()})
    assert [Path(sent.argv[0]).name for sent in act.sent] == ["POST"] * 5 + ["scontrol"]
    assert act.refused == {
        held: "Job is in held state, pending scheduler release", "99999": "Invalid job id specified",
    }  # fmt: skip
    assert act.ends() == dict.fromkeys((one, f"{array}_2", works, two), "")
    assert desk.job(f"{array}_1").priority not in {7, None} and desk.job(held).priority == 0


def test_what_rest_cannot_do_is_refused_with_the_reason(desk: RestDesk) -> None:
    (array,) = desk.lab.submit(1, gpus=1, array="0-3", begin="now+1hour")
    alone = open_writer(desk.settings())

    def refused(action: str, *targets: str, **more: Any) -> str:
        with pytest.raises(ValueError) as caught:
            alone.commands(change_of(action=action, kind=BY_ID[action].kind, targets=targets, **more))
        return str(caught.value)

    assert "no call that reboots" in refused("reboot", "gpu0001", reason="x", next_state={"gpu0001": "DOWN"})
    assert "its owner can lift" in refused("uhold", array)
    assert refused("hold", f"{array}_1").startswith("not over rest: slurmrestd refuses to change a task of an array")
    if desk.lab.suite == "trixie":
        assert "from v0.0.45 (26.05) on" in refused("requeue", array)
    (call,) = alone.commands(change_of(action="cancel", kind="job", targets=(f"{array}_1", f"{array}_3")))
    assert call[0] == "DELETE" and call[2] == f'{{"jobs":["{array}_1","{array}_3"]}}'


def test_the_whole_way_of_an_action(desk: RestDesk) -> None:
    """`wacht act`: plan, look again, send, read back, and the journal, without one command of Slurm."""
    desk.become("carol")
    desk.without_commands()
    clock, out = SystemClock(), io.StringIO()

    def act(action: str, *words: str, **options: Any) -> dict[str, Any]:
        known = begin("lab", [])
        for source in open_sources("lab", desk.settings())[:2]:
            known, _ = reduce(known, read("lab", source, clock))
        gate = Gate("lab", lambda kind: open_writer(desk.settings()), open_transport("lab", desk.settings()),
                    lambda: Journal(desk.folder / "lab.jsonl", "lab", clock), clock)  # fmt: skip
        out.truncate(out.seek(0))
        assert run_act(gate, known, action, words, as_json=True, out=out, err=out, **options) == 0, out.getvalue()
        found: dict[str, Any] = json.loads(out.getvalue())["outcomes"]
        return found

    (job,) = desk.lab.submit(1, gpus=1, begin="now+1hour")
    assert act("drain", "gpu0001", reason="bad DIMM", yes=True) == {"gpu0001": {"outcome": "done", "why": None}}
    assert (desk.node("gpu0001").reason, desk.node("gpu0001").reason_by) == ("bad DIMM", "carol")
    act("resume", "gpu0001", yes=True)
    act("hold", job, yes=True)
    act("release", job, yes=True)
    act("cancel", job, count=1)
    lines = (desk.folder / "lab.jsonl").read_text()
    assert verify(desk.folder / "lab.jsonl").ok and '"/slurm/v0.0.' in lines and "scontrol" not in lines
    assert (desk.folder / "token").read_text() not in lines


@fault("slurmrestd", "frozen while a change is sent; gone before it is", "in doubt; certainly not sent")
def test_a_daemon_that_hangs_leaves_it_in_doubt_and_one_that_is_gone_does_not(desk: RestDesk) -> None:
    change = change_of(action="drain", kind="node", targets=("gpu0001",), reason="x")
    writer = RestWriter(desk.settings(), deadline_s=1)
    assert len(writer.commands(change)) == 1
    rest.send(desk.lab, signal.SIGSTOP, "jwt")
    try:
        (sent,) = writer.send(change)
    finally:
        rest.send(desk.lab, signal.SIGCONT, "jwt")
    assert sent.rc is None and not sent.refused and "it may have been done" in sent.err
    gone = SlurmSettings(transport="rest", socket=f"{desk.folder}/none")
    RestServer.of(gone).server_info = RestServer.of(desk.settings()).server_info
    (sent,) = RestWriter(gone).send(change)
    assert sent.rc == 127 and sent.fatal and set(sent.refused) == {"gpu0001"}

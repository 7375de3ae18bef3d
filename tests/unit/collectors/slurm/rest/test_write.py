"""What is sent to slurmrestd, once, and what its answers mean; and which transport a change goes over."""

from __future__ import annotations

import json
import shlex
from typing import Any

import msgspec
import pytest

from collectors.model import Change, Sent
from collectors.slurm import operations, transport
from collectors.slurm.commands.write import CliWriter
from collectors.slurm.rest.requests import requests_of
from collectors.slurm.rest.write import RestWriter
from collectors.slurm.transport import LIMITS, ServerInfo, unsupported
from collectors.slurm.transport_choice import FallbackWriter
from collectors.slurm.writers import open_writer
from console.actions.registry import ACTIONS as ROWS
from console.actions.registry import BY_ID
from tests.support.make import Commands, change_of
from tests.support.prometheus_server import cut, hang, refusing
from tests.support.slurmrestd_server import StandIn, token


def change(action: str, *targets: str, **more: Any) -> Change:
    return change_of(action=action, kind=next(one.kind for one in ROWS if one.id == action), targets=targets, **more)


@pytest.fixture
def restd(tmp_path):
    with StandIn(tmp_path) as started:
        yield started


@pytest.fixture
def writer(restd):
    return RestWriter(restd.settings, deadline_s=20)


def answer(code: int = 200, **body: Any):
    return lambda handler: handler.send(json.dumps({"errors": [], "warnings": []} | body).encode(), code)


def error(number: int, text: str, described: str = "told") -> dict[str, Any]:
    return {"error": text, "error_number": number, "description": described}


ALL = {"gpu1": "DOWN", "gpu2": "RESUME"}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (change("drain", "gpu1", "gpu2", reason="  bad \n DIMM "),
         [("POST", "nodes/", {"name": ["gpu1", "gpu2"], "state": ["DRAIN"], "reason": "bad DIMM"})]),
        (change("drain", "gpu1", "gpu2", reason="a", reasons={"gpu2": "b"}, resume_after_s=600),
         [("POST", "nodes/", {"name": ["gpu1"], "state": ["DRAIN"], "reason": "a",
                              "resume_after": {"set": True, "number": 600}}),
          ("POST", "nodes/", {"name": ["gpu2"], "state": ["DRAIN"], "reason": "b",
                              "resume_after": {"set": True, "number": 600}})]),
        (change("undrain", "gpu1"), [("POST", "nodes/", {"name": ["gpu1"], "state": ["UNDRAIN"]})]),
        (change("resume", "gpu1"), [("POST", "nodes/", {"name": ["gpu1"], "state": ["RESUME"]})]),
        (change("down", "gpu1", reason="x"),
         [("POST", "nodes/", {"name": ["gpu1"], "state": ["DOWN"], "reason": "x"})]),
        (change("hold", "1", "2"), [("POST", "job/1", {"hold": True}), ("POST", "job/2", {"hold": True})]),
        (change("release", "1"), [("POST", "job/1", {"hold": False})]),
        (change("priority", "1", values={"1": "7"}),
         [("POST", "job/1", {"priority": {"set": True, "number": 7}})]),
        (change("cancel", "1", "2_3"), [("DELETE", "jobs/", {"jobs": ["1", "2_3"]})]),
        (change("requeue", "1", "2_3"), [("POST", "jobs/requeue", {"jobs": ["1", "2_3"], "flags": ["Incomplete"]})]),
        (change("requeuehold", "1"),
         [("POST", "jobs/requeue", {"jobs": ["1"], "flags": ["Incomplete", "Hold"]})]),
    ],
)  # fmt: skip
def test_what_is_sent(restd, writer, asked, sent):
    restd.odd["*"] = answer()
    done = writer.send(asked)
    assert [(one.rc, one.refused, one.fatal) for one in done] == [(0, {}, False)] * len(sent)
    assert [what for what, *_ in restd.seen] == [f"{method} {path}" for method, path, _ in sent]
    assert [body for _, body, _ in restd.seen] == [body for *_, body in sent]
    told = [(method, path, json.loads(body)) for method, path, body in writer.commands(asked)]
    assert told == [(method, f"/slurm/v0.0.45/{path}", body) for method, path, body in sent]
    assert [one.argv for one in done] == list(writer.commands(asked))
    assert restd.file.read_text() not in shlex.join(word for argv in writer.commands(asked) for word in argv)


@pytest.mark.parametrize(
    "asked",
    [change("drain", reason="x"), change("drain", "ALL", reason="x"), change("drain", "gpu1"),
     change("cancel", "1", "1"), change("cancel", "x/../y"), change("hold", "1_2"),
     change("reboot", "gpu1", reason="x", next_state={"gpu1": "DOWN"}), change("uhold", "1")],
)  # fmt: skip
def test_the_last_door(asked):
    with pytest.raises(ValueError):
        requests_of(asked)


@pytest.mark.parametrize(
    ("asked", "said", "rc", "refused", "fatal"),
    [
        (change("hold", "1"), answer(404, errors=[error(2017, "Invalid job id specified")]), 1,
         {"1": "Invalid job id specified"}, False),
        (change("hold", "1"), answer(200, errors=[error(2042, "held")]), 1, {"1": "held"}, False),
        (change("hold", "1"), answer(422, errors=[error(2010, "Invalid user id")]), 1,
         {"1": "Invalid user id"}, False),
        (change("priority", "1", values={"1": "7"}),
         answer(422, errors=[error(2157, "Changes to job priority are not persistent, change nice instead")]),
         0, {}, False),
        (change("resume", "gpu1", "gpu2"), answer(422, errors=[error(2180, "Invalid node state transition")]),
         1, {}, False),
        (change("drain", "gpu1", "gpu2", reason="x"), answer(422, errors=[error(2010, "Invalid user id")]), 1,
         {"gpu1": "Invalid user id", "gpu2": "Invalid user id"}, True),
        (change("requeue", "1", "2"),
         answer(422, errors=[error(2037, "disabled", "Requeue JobId=2 failed")]), 1, {"2": "disabled"}, False),
        (change("cancel", "1", "2", "3"),
         answer(status=[{"step_id": "2", "error": {"code": 2002, "string": "Access/permission denied"}},
                        {"step_id": "3", "error": {"code": 2021, "string": "Job/step already completing"}}]), 1,
         {"2": "Access/permission denied"}, False),
        (change("hold", "1", "2"), answer(500, errors=[error(5005, "Socket timed out on send/recv operation")]),
         None, {}, False),
        (change("hold", "1", "2"), refusing(500), None, {}, False),
        (change("hold", "1", "2"), refusing(504), None, {}, False),
        (change("hold", "1", "2"), lambda handler: handler.send(b"Authentication failure", 401), 1, {"1"}, True),
        (change("hold", "1", "2"), lambda handler: handler.send(b"not JSON"), None, {}, False),
        (change("hold", "1", "2"), hang, None, {}, False),
        (change("hold", "1", "2"), cut, None, {}, False),
    ],
)  # fmt: skip
def test_what_an_answer_means(restd, writer, asked, said, rc, refused, fatal):
    writer.commands(asked)
    restd.odd["*"] = said
    if said is hang:
        writer._deadline_s = 0.5
    done = writer.send(asked)
    assert (done[0].rc, done[0].fatal) == (rc, fatal), done[0].err
    assert done[0].refused == refused if isinstance(refused, dict) else set(done[0].refused) == refused
    stops = fatal or rc is None
    assert len(restd.seen) == len(done) == (1 if stops else len(requests_of(asked))), "never a second time"


def test_without_a_token_nothing_is_sent(restd, writer):
    writer.commands(change("hold", "1"))
    restd.file.write_text(token(seconds=-100))
    (sent,) = writer.send(change("hold", "1"))
    assert (sent.rc, sent.fatal, set(sent.refused), restd.seen) == (127, True, {"1"}, [])


# -- which transport ---------------------------------------------------------------------------------------------------


class Fake:
    """A transport's writer that cannot do something."""

    def __init__(self, name: str, unable: dict[str, str], rc: int | None = 0) -> None:
        self.name, self.unable, self.rc = name, unable, rc
        self.done: list[Change] = []

    def unsupported_targets(self, asked: Change) -> dict[str, str]:
        return {target: why for target, why in self.unable.items() if target in asked.targets}

    def commands(self, asked: Change) -> list[tuple[str, ...]]:
        return [(self.name, *asked.targets)]

    def send(self, asked: Change) -> list[Sent]:
        self.done.append(asked)
        return [Sent(argv=(self.name, *asked.targets), targets=asked.targets, rc=self.rc)]


def test_each_target_goes_over_the_first_transport_that_can():
    one, two = Fake("rest", {"2_1": "no tasks"}), Fake("cli", {})
    both = FallbackWriter((one, two))
    asked = change("priority", "1", "2_1", values={"1": "7", "2_1": "8"})
    assert both.commands(asked) == (("rest", "1"), ("cli", "2_1"))
    assert [sent.argv[0] for sent in both.send(asked)] == ["rest", "cli"]
    assert two.done[0].values == {"2_1": "8"} and one.done[0].values == {"1": "7"}


def test_after_a_failure_the_other_transport_is_left_alone():
    one, two = Fake("rest", {"2": "no"}, rc=None), Fake("cli", {})
    assert len(FallbackWriter((one, two)).send(change("hold", "1", "2"))) == 1 and two.done == []


def test_what_none_can_do_is_refused_whole_with_the_reason():
    one = Fake("rest", {"2_1": "no tasks"})
    with pytest.raises(ValueError, match=r"not over rest: 2_1: no tasks \(slurm = \{ …, fallback"):
        FallbackWriter((one,)).send(change("hold", "1", "2_1"))
    assert one.done == []


@pytest.mark.parametrize(("version", "what"), [("24.11", "requeue"), ("26.05", "reboot"), ("26.05", "uhold")])
def test_what_slurmrestd_cannot_do_goes_by_command(tmp_path, monkeypatch, version, what):
    Commands(tmp_path, monkeypatch).says("scontrol")
    more = {"reason": "x", "next_state": {"gpu1": "DOWN"}} if what == "reboot" else {}
    asked = change(what, "gpu1" if what == "reboot" else "7", **more)
    with StandIn(tmp_path, version) as restd:
        alone = open_writer(restd.settings)
        with pytest.raises(ValueError, match=next(one.why for one in LIMITS if one.what == BY_ID[what].operation)[:20]):
            alone.commands(asked)
        (argv,) = open_writer(msgspec.structs.replace(restd.settings, fallback=("cli",))).commands(asked)
        assert argv[0].endswith("/scontrol") and restd.seen == []


def test_no_cancel_where_a_refusal_would_hang_the_controller(tmp_path):
    with StandIn(tmp_path, slurmdbd=False) as restd:
        with pytest.raises(ValueError, match="hangs when it refuses"):
            open_writer(restd.settings).commands(change("cancel", "1"))
        assert restd.seen == []


def test_limits_are_of_what_there_is():
    slurms = {one.id: one.operation for one in ROWS if isinstance(one.operation, operations.SlurmOperation)}
    known = {*slurms.values(), *transport.KINDS, *transport.NAMED}
    assert {one.what for one in LIMITS if one.transport == "rest"} <= known and all(one.why for one in LIMITS)
    assert {one.id for one in ROWS if one.result_kind not in {"alert", "silence"}} == set(slurms)
    assert unsupported("rest", operations.REQUEUE) is None and unsupported("rest", operations.REBOOT) is not None
    assert unsupported("rest", operations.REQUEUE, ServerInfo(parser=44)) and not unsupported(
        "rest", operations.REQUEUE, ServerInfo(parser=45)
    )
    assert unsupported("rest", operations.CANCEL, ServerInfo(parser=45)) and not unsupported(
        "rest", operations.CANCEL, ServerInfo(slurmdbd=True)
    )
    assert not any(unsupported("cli", what, ServerInfo()) for what in known)


def test_the_commands_alone_need_no_choice(restd):
    assert isinstance(open_writer(msgspec.structs.replace(restd.settings, transport="cli", url=None,
                                                               token_file=None)), CliWriter)  # fmt: skip

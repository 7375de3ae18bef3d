"""What may go wrong with slurmrestd, and how it is told: never an empty machine, never a token in the open."""

from __future__ import annotations

import json
import os
import time

import msgspec
import pytest

from collectors.bearer_token import Secret
from collectors.clock import SystemClock
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.rest.client import RestServer
from collectors.slurm.rest.jwt import LIFESPAN_S, RENEW_S, Tokens, claims
from collectors.slurm.rest.rest_transport import RestTransport
from collectors.slurm.rest.write import RestWriter
from collectors.slurm.sources import open_sources
from console.ingest import poller
from tests.support.make import Commands, change_of
from tests.support.prometheus_server import cut, drip, hang, raw, refusing
from tests.support.slurmrestd_server import StandIn, token


@pytest.fixture
def restd(tmp_path):
    with StandIn(tmp_path) as started:
        RestTransport(started.settings).about()
        yield started


def fault(restd, kind="nodes", settings=None):
    """The fault of one reading, as the poller makes it."""
    source = next(one for one in open_sources("lab", settings or restd.settings) if one.name == f"slurm.{kind}")
    reading = poller.read("lab", source, SystemClock())
    assert reading.facts is None and reading.fault is not None
    assert restd.file.read_text() not in str(reading.fault)
    return reading.fault


def said(error: str, code: int, number: int = 0):
    body = {"nodes": None, "errors": [{"error": error, "error_number": number, "description": "told"}]}
    return lambda handler: handler.send(json.dumps(body).encode(), code)


@pytest.mark.parametrize("source", ["nodes", "jobs"])
@pytest.mark.parametrize(
    ("odd", "kind", "words"),
    [
        (hang, "timeout", "did not answer"),
        (drip, "timeout", "did not answer"),
        (cut, "cut", "hung up before its answer ended"),
        (raw(b""), "empty", "nothing at all"),
        (raw(b"{}"), "empty", ""),
        (raw(b"<html>"), "malformed", "is no JSON"),
        (raw(b'{"nodes": 7, "jobs": 7}'), "malformed", "is not what wacht knows"),
        (raw(b'{"nodes": [{"name": 7}], "jobs": [{"job_id": "x"}]}'), "malformed", "is not what wacht knows"),
        (raw(b"{}", Content_Encoding="gzip"), "malformed", "packed"),
        (refusing(500), "refused", "answered 500"),
        (refusing(503), "backoff", "answered 503"),
        (refusing(504), "timeout", "answered 504"),
        (refusing(404), "missing", "answered 404"),
        (refusing(301, Location="https://other/"), "refused", "sends to https://other/: not followed"),
        (lambda handler: handler.send(b"Authentication failure", 401), "auth", "Authentication failure"),
        (said("Protocol authentication error", 511, 1007), "auth", "refuses the token: it has expired, or the key of"),
        (said("Unable to contact slurm controller", 500, 1801), "refused", "Unable to contact"),
        (said("something", 200), "refused", "something: told"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_a_fault_is_named(restd, source, odd, kind, words):
    restd.odd["*"] = odd
    # Only what never answers is waited for in vain.
    found = fault(restd, source, msgspec.structs.replace(restd.settings, deadline_s=0.3 if odd in {hang, drip} else 20))
    assert (found.kind, words in found.what) == (kind, True), found


def test_not_one_node_is_a_fault(restd):
    restd.answers["nodes/"] = {"nodes": []}
    restd.answers["partitions/"] = {"partitions": []}
    assert fault(restd).kind == fault(restd, "partitions").kind == "empty"


def test_more_than_wacht_ever_reads(restd, monkeypatch):
    monkeypatch.setattr("collectors.slurm.rest.client.MAX_BYTES", 1000)
    assert "more to /slurm/v0.0.45/nodes/ than wacht ever reads" in fault(restd).what


def test_no_parser_that_wacht_knows(restd):
    RestServer.forget()
    restd.parser = 99
    assert "none of the data parsers v0.0.40 to v0.0.45" in fault(restd).what


def test_nobody_there(tmp_path, restd):
    gone = SlurmSettings(transport="rest", socket=str(tmp_path / "none"))
    assert fault(restd, settings=gone).what == f"there is no socket {tmp_path / 'none'}"
    closed = SlurmSettings(transport="rest", url="http://127.0.0.1:9", token_file=str(restd.file))
    assert fault(restd, settings=closed).kind == "refused"


def test_a_controller_that_does_not_answer_its_ping(restd):
    restd.answers["ping/"] = {"pings": [{"responding": False, "pinged": "DOWN"}]}
    with pytest.raises(SourceFault, match="is there, its controller is not"):
        RestTransport(restd.settings).about()


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_the_token_is_sent_and_shown_nowhere(restd):
    RestTransport(restd.settings).reader("nodes").read()
    headers = restd.seen[-1][2]
    assert headers["X-SLURM-USER-TOKEN"] == restd.file.read_text() and "X-SLURM-USER-NAME" not in headers


def test_an_expired_token_is_not_sent(restd):
    restd.file.write_text(token(seconds=-100))
    found = fault(restd)
    assert found.kind == "auth" and "ended 10" in found.what and not restd.seen


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_that_others_can_read_is_not_sent(restd, mode):
    restd.file.chmod(mode)
    found = fault(restd)
    assert found.kind == "auth" and "others can read" in found.what and not restd.seen


def test_a_renewed_file_is_read_anew(restd):
    transport = RestTransport(restd.settings).reader("nodes")
    transport.read()
    restd.file.write_text(token(user="bob"))
    transport.read()
    assert claims(Secret(restd.seen[-1][2]["X-SLURM-USER-TOKEN"])).sun == "bob"


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "a.!!.c", "a.e30.c"])
def test_what_is_no_token_claims_nothing(text):
    assert (claims(Secret(text)).exp, claims(Secret(text)).sun) == (None, None)


def test_a_token_of_our_own_is_made_once_and_renewed_before_it_ends(tmp_path, monkeypatch):
    commands, now = Commands(tmp_path, monkeypatch), [time.time()]
    commands.says("scontrol", f"SLURM_JWT={token(LIFESPAN_S)}\n", to="token lifespan=1800 username=alice")
    tokens = Tokens(None, "alice", lambda: now[0])
    first = tokens.get(5)
    now[0] += LIFESPAN_S - RENEW_S - 60
    assert tokens.get(5) is first and len(commands.calls) == 1
    now[0] += 120
    tokens.get(5)
    assert len(commands.calls) == 2 and os.environ.get("SLURM_JWT") is None


def test_only_the_token_in_use_is_made_anew(tmp_path, monkeypatch):
    """Two sources that were refused the same token make one new one."""
    commands = Commands(tmp_path, monkeypatch)
    commands.says("scontrol", f"SLURM_JWT={token(LIFESPAN_S)}\n")
    tokens = Tokens(None, None)
    first = tokens.get(5)
    tokens.refused(first)
    second = tokens.get(5)
    tokens.refused(first)
    assert tokens.get(5) is second and len(commands.calls) == 2


def test_scontrol_that_makes_no_token(tmp_path, monkeypatch):
    commands = Commands(tmp_path, monkeypatch)
    commands.says("scontrol", "SLURM_JWT=half a token", "scontrol: error: no jwt\n", 1)
    with pytest.raises(SourceFault, match="scontrol token made none: scontrol: error: no jwt") as caught:
        Tokens(None, None).get(5)
    assert "half" not in str(caught.value.fault)


#: As 26.05.5 answers a token that it does not take, of partitions too, and a request without any.
BAD_TOKEN = said("Protocol authentication error", 511, 1007)
BARE_BAD_TOKEN = lambda handler: handler.send(b'{"errors": []}', 511)  # noqa: E731
NO_TOKEN = lambda handler: handler.send(b"Authentication failure", 401)  # noqa: E731


def taken(restd, odd, good):
    """Let the stand-in take these tokens alone."""

    def answer(handler):
        what = handler.headers["X-SLURM-USER-TOKEN"]
        path = handler.path.partition(f"v0.0.{restd.parser}/")[2].partition("?")[0]
        return handler.send(restd.answers[path]) if what in good else odd(handler)

    restd.odd["*"] = answer


@pytest.mark.parametrize("odd", [BAD_TOKEN, BARE_BAD_TOKEN, NO_TOKEN])
@pytest.mark.parametrize("kind", ["nodes", "partitions"])
def test_a_token_that_is_refused_is_made_anew_at_once(restd, tmp_path, monkeypatch, odd, kind):
    commands = Commands(tmp_path, monkeypatch)
    bad, good = token(), token(4000)
    commands.script(
        "scontrol", f"[ -e {tmp_path}/asked ] && echo SLURM_JWT={good} || echo SLURM_JWT={bad}; >{tmp_path}/asked"
    )
    taken(restd, odd, {good})
    reader = RestTransport(SlurmSettings(transport="rest", url=restd.settings.url)).reader(kind)
    assert getattr(reader.read(), kind) and len(commands.calls) == 2
    assert getattr(reader.read(), kind) and len(commands.calls) == 2, "the good one is kept"


@pytest.mark.parametrize("odd", [BAD_TOKEN, BARE_BAD_TOKEN, NO_TOKEN])
def test_a_token_is_made_anew_only_once_a_question(restd, tmp_path, monkeypatch, odd):
    commands = Commands(tmp_path, monkeypatch)
    commands.script("scontrol", f"echo SLURM_JWT={token()}x$$")  # always another
    taken(restd, odd, ())
    found = fault(restd, settings=SlurmSettings(transport="rest", url=restd.settings.url))
    assert found.kind == "auth" and "`scontrol token` made it" in found.mend and len(commands.calls) == 2


def test_a_file_renewed_meanwhile_is_read_again_at_once(restd):
    """Between the reading of the file and the answer another program wrote a new token."""
    good = token(4000)

    def refuse_and_renew(handler):
        restd.file.write_text(good)
        BAD_TOKEN(handler)

    taken(restd, refuse_and_renew, {good})
    assert RestTransport(restd.settings).reader("nodes").read().nodes and len(restd.seen) == 2


def test_a_bad_token_is_named_with_what_to_do_and_munge_is_not_blamed(restd):
    restd.odd["*"] = BAD_TOKEN
    found = fault(restd)
    assert found.kind == "auth" and "another cluster" in found.what and "munge" not in str(found)
    assert f"write a new one to {restd.file}" in found.mend and len(restd.seen) == 1, "the same token is not sent again"
    assert fault(restd, "partitions") == found, "one fault, the same words for each source"


def test_a_ping_with_a_bad_token_is_no_dead_controller(restd, tmp_path, monkeypatch):
    """26.05.5 answers it with 200: no controller responds."""
    up = restd.answers["ping/"]
    restd.answers["ping/"] = {"pings": [{"responding": False}]}
    restd.odd["diag/"] = BAD_TOKEN
    for ask in (RestTransport(restd.settings).about, RestTransport(restd.settings).reader("control").read):
        with pytest.raises(SourceFault, match="refuses the token"):
            ask()
    bad, good = token(), token(4000)
    was = tmp_path / "asked"
    Commands(tmp_path, monkeypatch).script(
        "scontrol", f"[ -e {was} ] && echo SLURM_JWT={good} || echo SLURM_JWT={bad}; >{was}"
    )

    def answer(handler):
        known = handler.headers["X-SLURM-USER-TOKEN"] == good
        found = (up if known else restd.answers["ping/"]) if "ping" in handler.path else restd.answers["diag/"]
        if "diag" in handler.path and not known:
            return BAD_TOKEN(handler)
        return handler.send(found if isinstance(found, bytes) else json.dumps(found).encode())

    restd.odd |= {"ping/": answer, "diag/": answer}
    assert RestTransport(SlurmSettings(transport="rest", url=restd.settings.url)).about().version


def test_a_change_with_a_bad_token_was_certainly_not_done(restd):
    restd.odd["POST nodes/"] = BAD_TOKEN
    change = change_of(action="drain", kind="node", targets=("gpu0001",), reason="x")
    (sent,) = RestWriter(restd.settings).send(change)
    assert (sent.rc, sent.fatal) == (1, True) and "refuses the token" in sent.refused["gpu0001"]
    assert restd.asked == ["POST nodes/"], "a change is sent once"

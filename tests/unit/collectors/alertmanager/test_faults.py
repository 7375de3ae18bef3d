"""Whatever the server does ends as a named fault, in time, with the token told to nobody, and nothing sent twice."""

from __future__ import annotations

import gzip
import socket
import threading
import time

import pytest

from collectors.alertmanager import AlertmanagerSettings, client
from collectors.alertmanager.sources import open_alert_reader, open_sources
from collectors.model import SourceFault
from tests.faults import fault
from tests.support.alertmanager_server import StandIn, row
from tests.support.prometheus_server import cut, drip, drip_headers, hang, raw, refusing
from tests.support.tls import certificate, secured

TOKEN = "eyJhbGciOi.secret"


def raw_bytes(content: bytes):
    def send(handler):
        handler.wfile.write(content)
        handler.close_connection = True

    return send


def fault_of(settings: AlertmanagerSettings):
    with pytest.raises(SourceFault) as caught:
        open_sources("c", settings)[0].collect()
    return caught.value.fault


@pytest.mark.parametrize(
    ("odd", "kind", "told"),
    [
        (refusing(401), "auth", "answered 401"),
        (refusing(403), "auth", "it wants a token"),
        (refusing(404), "missing", "does url end where /api/v2 begins"),
        (refusing(429, Retry_After="30"), "backoff", "to wait 30 s"),
        (refusing(503), "backoff", "answered 503"),
        (refusing(500), "refused", "answered 500"),
        (refusing(302, Location="http://evil.example/\x9b[x"), "refused", "not followed"),
        (raw(b"<html>please log in</html>"), "malformed", "none of Alertmanager"),
        (raw(b""), "malformed", "none of Alertmanager"),
        (raw(b'[{"finger'), "malformed", "none of Alertmanager"),
        (raw(gzip.compress(b"[]"), Content_Encoding="gzip"), "malformed", "packed, unasked"),
        (cut, "cut", "hung up before its answer ended"),
        (refusing(302, Location="http://evil.example/\x1b["), "malformed", "speaks no HTTP"),
        (raw_bytes(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), "malformed", "speaks no HTTP"),
    ],
)
def test_a_bad_answer_is_a_named_fault(odd, kind, told):
    with StandIn() as server:
        server.odd["*"] = odd
        fault = fault_of(server.settings)
        assert fault.kind == kind and told in str(fault)
        assert str(fault).isprintable()
        assert len(server.asked) <= 2, "a connection that was not kept is not tried again"


def test_a_redirect_is_not_followed(token):
    with StandIn() as other, StandIn(token_file=str(token)) as server:
        server.odd["*"] = refusing(307, Location=f"http://127.0.0.1:{other.port}/api/v2/alerts")
        assert "not followed" in fault_of(server.settings).what
        assert other.seen == []


@pytest.mark.parametrize("odd", [hang, drip, drip_headers])
def test_a_server_that_is_slow_in_any_way_is_late(odd):
    with StandIn(timeout_s=0.3) as server:
        server.odd["*"] = odd
        began = time.monotonic()
        fault = fault_of(server.settings)
        assert fault.kind == "timeout" and "within 0.3 s" in fault.what
        assert time.monotonic() - began < 15


def test_an_answer_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(client, "MAX_BYTES", 1 << 16)
    with StandIn() as server:
        server.odd["*"] = raw(b"[" + b" " * (1 << 17))
        assert "more to /alerts than wacht ever reads" in fault_of(server.settings).what


def test_nobody_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        fault = fault_of(AlertmanagerSettings(url=f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert (fault.kind, fault.mend) == ("refused", "does Alertmanager run there? see url")


@fault("Alertmanager", "DNS failure", "a fault that names the host")
def test_a_name_that_nobody_knows(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert fault_of(AlertmanagerSettings(url="http://alertmanager.invalid")).kind == "missing"


def test_the_environment_is_not_looked_at(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with StandIn() as server:
        server.answers["/alerts"] = [row(1)]
        assert len(open_sources("c", server.settings)[0].collect().alerts) == 1


def test_a_connection_is_kept_and_mended():
    with StandIn() as server:
        source = open_sources("c", server.settings)[0]
        source.collect()
        port = source._asking.client._network.stream.get_extra_info("client_addr")[1]
        source.collect()
        assert source._asking.client._network.stream.get_extra_info("client_addr")[1] == port
        source._asking.client._network.cut()
        assert source.collect().alerts == {}


def test_closing_ends_a_question_that_waits():
    with StandIn(timeout_s=60) as server:
        reached = threading.Event()

        def stuck(handler):
            reached.set()
            hang(handler)

        server.odd["*"] = stuck
        source = open_sources("c", server.settings)[0]
        faults = []

        def ask():
            try:
                source.collect()
            except SourceFault as error:
                faults.append(error.fault)

        thread = threading.Thread(target=ask)
        thread.start()
        assert reached.wait(60)
        source.close()
        thread.join(60)
        assert not thread.is_alive() and faults[0].kind == "cut"
        with pytest.raises(SourceFault, match="was closed"):
            source.collect()


# -- token and certificates --------------------------------------------------------------------------------------------


@pytest.fixture
def token(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


def test_the_token_is_sent_and_told_to_nobody(token):
    with StandIn(token_file=str(token)) as server:
        open_sources("c", server.settings)[0].collect()
        assert server.seen[0][3]["Authorization"] == f"Bearer {TOKEN}"
        for odd in (refusing(401), refusing(302, Location="http://127.0.0.1:9/"), raw(b"nonsense"), cut):
            server.odd["*"] = odd
            assert TOKEN not in str(fault_of(server.settings))
        assert "expired" in str(fault_of_with(server, refusing(401)))


def fault_of_with(server, odd):
    server.odd["*"] = odd
    return fault_of(server.settings)


def test_a_token_that_others_can_read_is_not_used(token):
    token.chmod(0o644)
    with StandIn(token_file=str(token)) as server:
        fault = fault_of(server.settings)
        assert fault.kind == "auth" and "others can read" in fault.what
        assert server.asked == []


def test_certificates_are_verified(tmp_path):
    pem, key = certificate(tmp_path, "127.0.0.1")
    with StandIn() as server:
        secured(server.server, pem, key)
        url = f"https://127.0.0.1:{server.port}"
        fault = fault_of(AlertmanagerSettings(url=url))
        assert fault.kind == "auth" and "certificate" in fault.what
        trusted = AlertmanagerSettings(url=url, ca=str(pem))
        assert open_sources("c", trusted)[0].collect().alerts == {}
        wrong = AlertmanagerSettings(url=f"https://localhost:{server.port}", ca=str(pem))
        assert fault_of(wrong).kind == "auth"


def test_missing_and_broken_certificates_are_told(tmp_path):
    assert "there is no file" in fault_of(AlertmanagerSettings(url="https://x", ca=str(tmp_path / "none"))).what
    (tmp_path / "bad.pem").write_text("nonsense")
    assert "holds no certificates" in fault_of(AlertmanagerSettings(url="https://x", ca=str(tmp_path / "bad.pem"))).what


def test_the_desk_fails_the_same_way():
    with StandIn() as server:
        server.odd["*"] = refusing(503)
        desk = open_alert_reader("c", server.settings)
        for read in (desk.read_alerts, desk.read_silences):
            with pytest.raises(SourceFault, match="503"):
                read(["00000001-0000-4000-8000-000000000000"])

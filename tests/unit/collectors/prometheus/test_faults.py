"""Whatever the server does ends as a named fault, in time, with the token told to nobody."""

from __future__ import annotations

import pickle
import socket
import threading
import time

import msgspec
import pytest

from collectors.bearer_token import Secret, read_token
from collectors.clock import SystemClock
from collectors.model import SourceFault
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.client import PrometheusClient, QueryRefused
from collectors.prometheus.sources import Loads, open_telemetry
from tests.faults import fault
from tests.support.prometheus_server import StandIn, bomb, cut, drip, drip_headers, hang, huge, machine, raw, refusing
from tests.support.tls import certificate, secured

pytestmark = pytest.mark.slow

TOKEN = "eyJhbGciOi.secret"


def fault_of(server: StandIn, odd=None, **settings):
    if odd is not None:
        server.odd["*"] = odd
    with pytest.raises(SourceFault) as caught:
        Loads(msgspec.structs.replace(server.settings, **settings)).collect()
    assert str(caught.value.fault).isprintable()
    return caught.value.fault


@pytest.fixture
def quick():
    with StandIn(timeout_s=20) as server:
        server.rows = machine(2)
        yield server


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "prom.token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


# -- time and size -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [hang, drip, drip_headers])
def test_what_does_not_end_in_time_is_a_timeout(quick, odd):
    began = time.monotonic()
    fault = fault_of(quick, odd, timeout_s=0.4)
    assert fault.kind == "timeout" and "did not answer hosts within 0.4 s" in fault.what
    assert time.monotonic() - began < 15
    quick.odd.clear()
    assert Loads(quick.settings).collect().loads


def test_the_same_source_recovers_after_a_timeout(quick):
    source = Loads(msgspec.structs.replace(quick.settings, timeout_s=1.5))
    assert source.collect().loads
    quick.odd["gpus"] = drip
    with pytest.raises(SourceFault):
        source.collect()
    quick.odd.clear()
    assert source.collect().loads


@fault(
    "Prometheus",
    "an answer without end, and a few packed bytes that become 64 MB",
    "cut off at its bound; the other queries count",
)
@pytest.mark.parametrize("odd", [huge, bomb])
def test_what_is_too_large_is_cut_off(quick, odd):
    with StandIn(timeout_s=20) as server:
        server.rows = machine(2)
        began = time.monotonic()
        server.odd["memory"] = odd
        facts = Loads(server.settings).collect()
        assert time.monotonic() - began < 18
    assert any("more to memory than wacht ever reads" in text for text in facts.warnings)
    assert facts.loads["gpu00001"].gpu_memory_pct is None and facts.loads["gpu00001"].temp_c


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        (cut, "cut"),
        (raw(b"\x1f\x8b\x08\x00", Content_Encoding="gzip"), "cut"),
        (raw(b"no gzip", Content_Encoding="gzip"), "malformed"),
        (raw(b"x", Content_Encoding="br"), "malformed"),
        (raw(b"<html>\x1b[2J a proxy's own page"), "malformed"),
        (raw(b""), "malformed"),
        (raw(b"[]"), "malformed"),
        (raw(b'{"status":"success"}'), "malformed"),
        (raw(b'{"status":"success","data":{"resultType":"vector","result":[{"value":["x",1]}]}}'), "malformed"),
        (raw(b'{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}'), "malformed"),
        (raw(b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"node":7}}]}}'), "malformed"),
        (raw(b'{"status":"success","data":{"resultType":"vector","result":[' + b"[" * 5000), "malformed"),
        (raw(b"\xff\xfe{}"), "malformed"),
    ],
)
def test_what_is_no_answer_is_named(quick, odd, kind):
    assert fault_of(quick, odd).kind == kind


def test_close_ends_what_waits(quick):
    with StandIn(timeout_s=30) as server:
        server.odd["*"] = hang
        source = Loads(server.settings)
        ended: list[object] = []

        def collect() -> None:
            try:
                source.collect()
            except SourceFault as error:
                ended.append(error.fault)

        thread = threading.Thread(target=collect)
        thread.start()
        until = time.monotonic() + 20
        while not server.asked and time.monotonic() < until:
            time.sleep(0.01)
        source.close()
        thread.join(20)
        assert len(ended) == 1
        with pytest.raises(SourceFault, match="closed"):
            source.collect()


def test_telemetry_can_be_closed(quick):
    telemetry = open_telemetry("x", quick.settings)
    telemetry.gpus(["gpu1"])
    telemetry.close()
    with pytest.raises(SourceFault, match="closed"):
        telemetry.gpus(["gpu1"])


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odd", "kind", "told"),
    [
        (refusing(401), "auth", "it wants a token"),
        (refusing(403, "no\x1b[2J rights"), "auth", "no\\e[2J rights"),
        (refusing(404), "missing", "does url end where /api/v1 begins?"),
        (refusing(500, "boom"), "refused", "boom"),
        (refusing(502), "refused", "502"),
        (refusing(503, "overload", Retry_After="30"), "backoff", "30 s"),
        (refusing(429), "backoff", "429"),
        (refusing(418), "refused", "418"),
        (refusing(400, "parse error"), "empty", "parse error"),
        (raw(b'{"status":"error","errorType":"bad_data","error":"odd"}'), "empty", "bad_data odd"),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(quick, odd, kind, told):
    fault = fault_of(quick, odd)
    assert fault.kind == kind and told in str(fault)


def test_nobody_there_is_refused(quick):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SourceFault) as caught:
            Loads(PrometheusSettings(url=url)).collect()
    assert caught.value.fault.kind == "refused" and "refuses the connection" in caught.value.fault.what


@fault("Prometheus", "DNS failure", "a fault that names the host")
def test_an_unknown_name_is_missing():
    with pytest.raises(SourceFault) as caught:
        Loads(PrometheusSettings(url="http://no-such-host.invalid:9090", timeout_s=5)).collect()
    assert caught.value.fault.kind in {"missing", "timeout"}
    assert "no-such-host.invalid" in caught.value.fault.what and "object at" not in str(caught.value.fault)


def test_a_connection_that_was_dropped_between_readings_is_made_anew(quick):
    source = Loads(quick.settings)
    source.collect()

    def hang_up(handler) -> None:
        del quick.odd["*"]
        handler.close_connection = True

    quick.odd["*"] = hang_up
    assert source.collect().loads
    quick.odd["*"] = lambda handler: setattr(handler, "close_connection", True)
    with pytest.raises(SourceFault) as caught:
        source.collect()
    assert caught.value.fault.kind == "cut"


# -- where it goes, and what it tells ----------------------------------------------------------------------------------


@fault("network", "redirects to another server while a token is sent", "not followed; the token goes nowhere else")
def test_the_token_is_sent_and_nowhere_else(quick, token_file):
    with StandIn(token_file=str(token_file)) as server, StandIn() as other:
        server.rows = machine(1)
        Loads(server.settings).collect()
        assert {headers["Authorization"] for _, _, headers in server.seen} == {f"Bearer {TOKEN}"}
        for code in (301, 302, 303, 307, 308):
            server.odd["*"] = refusing(code, Location=f"http://127.0.0.1:{other.port}/x")
            fault = fault_of(server)
            assert fault.kind == "refused" and f"127.0.0.1:{other.port}/x" in fault.what
        assert other.connections == 0


@fault(
    "network",
    "a token that the server refuses",
    "a fault that says it has expired; a renewed file is read anew",
    case="expired token",
)
def test_a_token_that_changes_is_read_again(quick, token_file):
    with StandIn(token_file=str(token_file)) as server:
        server.rows = machine(1)
        source = Loads(server.settings)
        source.collect()
        token_file.write_text("other")
        source.collect()
        assert server.seen[-1][2]["Authorization"] == "Bearer other"
        server.odd["*"] = refusing(401)
        with pytest.raises(SourceFault) as caught:
            source.collect()
        assert "the token has expired or may not" in caught.value.fault.mend
        assert TOKEN not in str(caught.value.fault) and "other" not in str(caught.value.fault)


def test_proxies_and_netrc_of_the_environment_are_not_read(quick, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hush\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    Loads(quick.settings).collect()
    headers = quick.seen[0][2]
    assert "Authorization" not in headers and headers["Accept-Encoding"] == "gzip"


def test_cookies_are_not_kept(quick):
    client = PrometheusClient(quick.settings, SystemClock())
    body = quick.answer("clock", {})
    quick.odd["clock"] = raw(body, Set_Cookie="session=1; Path=/")
    client.ask("clock", "vector(1)")
    client.ask("clock", "vector(1)")
    assert all("Cookie" not in headers for _, _, headers in quick.seen)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_token_that_others_can_read_is_refused(token_file, mode):
    token_file.chmod(mode)
    with pytest.raises(SourceFault) as caught:
        read_token(str(token_file))
    assert caught.value.fault.kind == "auth" and f"chmod 600 {token_file}" in caught.value.fault.mend


def test_what_is_no_token_is_refused(tmp_path, token_file):
    for content in ("", "two words", "x\x00y", "é", "y" * 20_000, "a\nb"):
        token_file.write_text(content)
        with pytest.raises(SourceFault, match=r"holds no token|larger than 16 kB"):
            read_token(str(token_file))
    with pytest.raises(SourceFault, match="No such file"):
        read_token(str(tmp_path / "none"))
    with pytest.raises(SourceFault, match="Is a directory"):
        read_token(str(tmp_path))


def test_a_secret_shows_itself_to_nobody():
    secret = Secret(TOKEN)
    assert TOKEN not in f"{secret} {secret!r} {[secret]}" and secret.reveal() == TOKEN
    with pytest.raises(TypeError):
        pickle.dumps(secret)


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certified(tmp_path):
    """A server with a certificate of its own for another name than 127.0.0.1 or for it, and the file to trust."""
    servers = []

    def make(name: str) -> tuple[StandIn, str]:
        pem, key = certificate(tmp_path, name)
        server = StandIn()
        secured(server.server, pem, key)
        servers.append(server.__enter__())
        return server, str(pem)

    yield make
    for server in servers:
        server.__exit__()


@fault("network", "bad certificate", "a fault of TLS; nothing is asked")
def test_certificates_are_verified(certified):
    server, pem = certified("127.0.0.1")
    server.rows = machine(1)
    url = f"https://127.0.0.1:{server.port}"
    assert Loads(PrometheusSettings(url=url, ca=pem)).collect().loads
    with pytest.raises(SourceFault) as caught:
        Loads(PrometheusSettings(url=url)).collect()
    assert caught.value.fault.kind == "auth" and "certificate verify failed" in caught.value.fault.what
    with pytest.raises(SourceFault, match="there is no file"):
        Loads(PrometheusSettings(url=url, ca="/nowhere.pem")).collect()


@fault("network", "certificate of another host", "a fault of TLS; nothing is asked")
def test_a_certificate_for_another_name_is_refused(certified):
    server, pem = certified("elsewhere.example")
    with pytest.raises(SourceFault) as caught:
        Loads(PrometheusSettings(url=f"https://127.0.0.1:{server.port}", ca=pem)).collect()
    assert caught.value.fault.kind == "auth" and "127.0.0.1" in caught.value.fault.what


def test_plain_http_where_tls_is_expected_is_told(quick):
    with pytest.raises(SourceFault) as caught:
        Loads(PrometheusSettings(url=f"https://127.0.0.1:{quick.port}", timeout_s=2)).collect()
    assert caught.value.fault.kind == "auth" and "no TLS" in caught.value.fault.what


def test_a_tls_server_that_hangs_ends_in_time(certified):
    server, pem = certified("127.0.0.1")
    server.odd["*"] = drip
    began = time.monotonic()
    with pytest.raises(SourceFault) as caught:
        Loads(PrometheusSettings(url=f"https://127.0.0.1:{server.port}", ca=pem, timeout_s=0.5)).collect()
    assert caught.value.fault.kind == "timeout" and time.monotonic() - began < 15


@fault("Prometheus", "422", "a fault of that query, not of the server")
def test_a_refused_query_is_another_kind_than_a_refusing_server(quick):
    client = PrometheusClient(quick.settings, SystemClock())
    quick.odd["*"] = refusing(422, "no")
    with pytest.raises(QueryRefused):
        client.ask("util", "x")
    quick.odd["*"] = refusing(500, "no")
    with pytest.raises(SourceFault) as caught:
        client.ask("util", "x")
    assert not isinstance(caught.value, QueryRefused)

"""Every way in which an HTTP server can fail is one named fault, in time, and nothing is sent twice."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.http.client import HttpClient, open_web_client
from collectors.http.http_faults import HttpRefusal, HttpServer, HttpTooLarge, HttpUnreadable, HttpUnsent, error_text
from collectors.model import SourceFault
from collectors.web import WebSettings
from tests.support.http_server import Handler, Served
from tests.support.prometheus_server import Odd, bomb, cut, drip, drip_headers, hang, huge, raw, refusing
from tests.support.tls import certificate, secured

SERVER = HttpServer(
    name="Thing",
    unauthorized="see token_file",
    not_found="does url end well?",
    overloaded="is it busy?",
    too_large="ask for less",
)


class Site(Served):
    """Answers every request as `odd` does."""

    def __init__(self, odd: Odd) -> None:
        super().__init__(_Handler)
        self.odd = odd
        self.url = f"http://127.0.0.1:{self.port}"
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.reached = threading.Event()


class _Handler(Handler):
    def answer(self) -> None:
        site: Site = self.stand_in
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        site.seen.append((self.command, self.path, dict(self.headers), body))
        site.reached.set()
        site.odd(self)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names that http.server looks for


@contextlib.contextmanager
def peer(
    talk: Callable[[socket.socket], None], family: int = socket.AF_INET, at: object = ("127.0.0.1", 0)
) -> Iterator[socket.socket]:
    """A server without HTTP: what it does with each connection is given."""
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            try:
                one, _ = listening.accept()
            except OSError:
                return
            with one, contextlib.suppress(OSError):
                talk(one)

    with socket.socket(family) as listening:
        listening.bind(at)
        listening.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening
        ending.set()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join(20)


def opened(url: str, timeout_s: float = 20.0, **more: object) -> HttpClient:
    return HttpClient(SERVER, url, timeout_s=timeout_s, **more)  # type: ignore[arg-type]


def failed(client: HttpClient, method: str = "GET", **more: object) -> SourceFault:
    with contextlib.closing(client), pytest.raises(SourceFault) as caught:
        client.ask(method, "/facts", **more)  # type: ignore[arg-type]
    assert str(caught.value.fault).isprintable()
    return caught.value


# -- statuses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "said", "headers", "kind", "what", "mend", "rest_s"),
    [
        (400, "odd query", {}, "refused", "answered 400 to /facts: odd query", "see its log", 0),
        (401, "", {}, "auth", "answered 401 to /facts", "see token_file", 0),
        (403, "no\x1b[2J rights", {}, "auth", r"answered 403 to /facts: no\e[2J rights", "see token_file", 0),
        (404, "", {}, "missing", "answered 404 to /facts", "does url end well?", 0),
        (418, "", {}, "refused", "answered 418 to /facts", "see its log", 0),
        (429, "", {}, "backoff", "answered 429 to /facts", "wacht waits longer", 0),
        (503, "x", {"Retry_After": "30"}, "backoff", "answered 503 to /facts: x", "it asks to wait 30 s", 30),
        (500, "", {}, "refused", "answered 500 to /facts", "see its log", 0),
        (502, "", {}, "refused", "answered 502 to /facts", "see its log", 0),
        *(
            (code, "", {"Location": "http://evil.example/\x9b[x"}, "refused",
             r"sends to http://evil.example/\x9b[x: not followed", "write that as url", 0)
            for code in (301, 302, 303, 307, 308)
        ),
    ],
)  # fmt: skip
def test_a_status(code, said, headers, kind, what, mend, rest_s):
    with Site(refusing(code, said, **headers)) as site:
        error = failed(opened(site.url))
    assert isinstance(error, HttpRefusal) and error.code == code
    assert error.fault.what == f"{site.url.partition('//')[2]} {what}"
    assert (error.fault.kind, error.fault.mend, error.fault.rest_s) == (kind, mend, rest_s)
    assert len(site.seen) == 1


@pytest.mark.parametrize("code", [502, 504])
def test_a_gateway_that_waited_in_vain(code):
    gateway = HttpServer(name="Thing", unauthorized="", not_found="", gateway="is what is behind it up?")
    with Site(refusing(code)) as site:
        error = failed(HttpClient(gateway, site.url, timeout_s=20))
    assert (error.fault.kind, error.fault.mend) == ("timeout", "is what is behind it up?")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"error": "of Prometheus"}', "of Prometheus"),
        (b'{"code": 601, "message": "of Alertmanager"}', "of Alertmanager"),
        (b'"a sentence"', "a sentence"),
        (b"plain\nand more", "plain"),
        (b'{"error": ""}', '{"error": ""}'),
        (b"[" * 60_000, "[" * 300),
        (b"\xff\xfe\x1b[2J", "\ufffd\ufffd\\e[2J"),
        (b"", ""),
    ],
)
def test_the_words_of_a_server(content, said):
    assert error_text(content) == said


def test_an_error_page_that_is_packed_or_endless_is_its_status():
    for odd in (lambda handler: handler.send(gzip.compress(b"x"), 503, {"Content-Encoding": "gzip"}),
                lambda handler: handler.send(b" " * (9 << 20), 503)):  # fmt: skip
        with Site(odd) as site:
            error = failed(opened(site.url))
        assert isinstance(error, HttpRefusal) and (error.code, error.content) == (503, b"")


def test_any_status_is_an_answer_of_an_exchange():
    with Site(refusing(418, "tea", X_Kind="pot")) as site, contextlib.closing(opened(site.url)) as client:
        answer = client.exchange("GET", "/facts")
    assert (answer.code, answer.headers["x-kind"]) == (418, "pot") and b"tea" in answer.content


# -- no answer ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("odd", [hang, drip, drip_headers])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_does_not_end_in_time(odd, method):
    with Site(odd) as site:
        began = time.monotonic()
        error = failed(opened(site.url, 0.3), method)
    assert error.fault.kind == "timeout" and type(error) is SourceFault, "it may have been done"
    assert error.fault.what == f"{site.url.partition('//')[2]} did not answer /facts within 0.3 s"
    assert error.fault.mend == "is it busy?" and time.monotonic() - began < 15 and len(site.seen) == 1


def test_a_tls_handshake_without_end():
    def talk(one: socket.socket) -> None:
        one.recv(4096)
        for _ in range(100):
            one.sendall(b"\x16")
            time.sleep(0.05)

    with peer(talk) as listening:
        began = time.monotonic()
        error = failed(opened(f"https://127.0.0.1:{listening.getsockname()[1]}", 0.4))
    assert isinstance(error, HttpUnsent) and time.monotonic() - began < 15


def test_nobody_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        error = failed(opened(f"http://{where}"))
    assert isinstance(error, HttpUnsent)
    assert str(error.fault) == f"{where} refuses the connection (does Thing run there? see url)"


@pytest.mark.parametrize("url", [f"http://{'a' * 70}.example", "http://.example", "http://x.invalid", "http://a\x7fb/"])
def test_a_name_that_is_not_known(monkeypatch, url):
    real = socket.getaddrinfo

    def lookup(host, *words, **named):
        if host == "x.invalid":
            raise socket.gaierror(-2, "Name or service not known")
        return real(host, *words, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    error = failed(opened(url))
    assert isinstance(error, HttpUnsent) and error.fault.kind == "missing"
    assert "is not known: " in error.fault.what and error.fault.mend == "see url"


def test_a_network_that_is_down(monkeypatch):
    def unreachable(*_, **__):
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    error = failed(opened("http://127.0.0.1:9"))
    assert isinstance(error, HttpUnsent)
    assert str(error.fault) == "127.0.0.1:9 cannot be reached: [Errno 113] No route to host (see url)"
    assert error.fault.kind == "cut"


@pytest.mark.parametrize(
    ("talk", "kind", "what"),
    [
        (lambda one: one.recv(4096), "cut", "hung up before its answer ended"),
        (lambda one: (one.recv(4096), one.sendall(b"HTTP/1.1 200 OK\r\nContent-Len")), "cut", "hung up before"),
        (lambda one: (one.recv(4096), one.sendall(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")), "malformed", "speaks no HTTP"),
        (lambda one: (one.recv(4096), one.sendall(b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n")), "malformed", "no HTTP"),
        (lambda one: (one.recv(4096), one.sendall(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000)), "malformed", "no HTTP"),
    ],
)  # fmt: skip
def test_what_is_no_answer(talk, kind, what):
    with peer(talk) as listening:
        error = failed(opened(f"http://127.0.0.1:{listening.getsockname()[1]}"))
    assert (error.fault.kind, type(error)) == (kind, SourceFault) and what in error.fault.what


def test_half_an_answer():
    with Site(cut) as site:
        error = failed(opened(site.url))
    assert error.fault.kind == "cut" and "hung up before its answer ended" in error.fault.what and len(site.seen) == 1


# -- unix sockets ------------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_a_unix_socket(tmp_path: Path):
    path = str(tmp_path / "s")
    gone = failed(opened("http://localhost", socket_path=path))
    assert isinstance(gone, HttpUnsent) and gone.fault.kind == "missing"
    assert str(gone.fault) == f"there is no socket {path} (does Thing run? see socket)"
    with peer(lambda one: (one.recv(4096), one.sendall(OK)), socket.AF_UNIX, path):
        with contextlib.closing(opened("http://localhost", socket_path=path)) as client:
            assert client.ask("GET", "/").content == b"{}"
        if os.geteuid() != 0:
            Path(path).chmod(0)
            closed = failed(opened("http://localhost", socket_path=path))
            assert (closed.fault.kind, closed.fault.mend) == ("auth", "see its mode and owner")
    dead = failed(opened("http://localhost", socket_path=path))
    assert (dead.fault.kind, dead.fault.mend) == ("refused", "does Thing run there? see socket")


def test_a_unix_socket_of_another_user(monkeypatch):
    def closed(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", closed)
    error = failed(opened("http://localhost", socket_path="/run/s"))
    assert isinstance(error, HttpUnsent) and error.fault.what == "the socket /run/s is closed to you"


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_certificates_are_verified(tmp_path):
    pem, key = certificate(tmp_path, "127.0.0.1")
    with Site(raw(b"{}")) as site:
        secured(site.server, pem, key)
        url = f"https://127.0.0.1:{site.port}"
        with contextlib.closing(opened(url, ca=str(pem))) as client:
            assert client.ask("GET", "/").content == client.ask("GET", "/").content == b"{}"
        for wrong in (opened(url), opened(f"https://localhost:{site.port}", ca=str(pem))):
            error = failed(wrong)
            assert isinstance(error, HttpUnsent) and error.fault.kind == "auth"
            assert "no TLS with" in error.fault.what and "certificate verify failed" in error.fault.what
        assert len(site.seen) == 2


def test_http_where_tls_is_expected_and_the_reverse(tmp_path):
    with Site(raw(b"{}")) as site:
        error = failed(opened(f"https://127.0.0.1:{site.port}"))
        assert isinstance(error, HttpUnsent) and error.fault.kind == "auth" and "no TLS with" in error.fault.what
    pem, key = certificate(tmp_path, "127.0.0.1")
    with Site(raw(b"{}")) as site:
        secured(site.server, pem, key)
        assert failed(opened(site.url)).fault.kind in {"cut", "malformed"}


def test_certificates_that_are_missing_or_none(tmp_path):
    with pytest.raises(SourceFault, match="there is no file"):
        opened("https://x", ca=str(tmp_path / "none"))
    (tmp_path / "bad.pem").write_text("nonsense")
    with pytest.raises(SourceFault, match="holds no certificates"):
        opened("https://x", ca=str(tmp_path / "bad.pem"))


# -- size and packing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("odd", "packed"), [(raw(b" " * 2000), False), (huge, False), (bomb, True)])
def test_what_is_too_large(odd, packed):
    with (
        Site(odd) as site,
        contextlib.closing(opened(site.url, gzip=packed, max_bytes=1000, max_received=1 << 20)) as it,
    ):
        with pytest.raises(HttpTooLarge) as caught:
            it.ask("GET", "/facts")
        assert str(caught.value.fault) == f"{it.where} gave more to /facts than wacht ever reads (ask for less)"
        site.odd = raw(b" " * 1000)
        assert len(it.ask("GET", "/facts").content) == 1000, "the next request has a new connection"


def test_the_packed_size_has_a_limit_too():
    content = gzip.compress(os.urandom(5000))
    with Site(raw(content, Content_Encoding="gzip")) as site:
        assert isinstance(failed(opened(site.url, gzip=True, max_bytes=9000, max_received=4000)), HttpTooLarge)


def test_a_packed_answer():
    content = os.urandom(200_000)
    with Site(raw(gzip.compress(content), Content_Encoding="gzip")) as site:
        with contextlib.closing(opened(site.url, gzip=True)) as client:
            assert client.ask("GET", "/").content == content and client.received > len(content)
            site.odd = raw(b"plain")
            assert client.ask("GET", "/").content == b"plain"
        assert {headers["Accept-Encoding"] for _, _, headers, _ in site.seen} == {"gzip"}
        site.odd = raw(gzip.compress(content), Content_Encoding="gzip")
        error = failed(opened(site.url))
        assert isinstance(error, HttpUnreadable) and "is packed, unasked" in error.fault.what
        assert site.seen[-1][2]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("content", "coding", "kind", "what"),
    [
        (b"no gzip", "gzip", "malformed", "cannot be unpacked"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "gzip", "cut", "ends in the middle"),
        (b"\x1f\x8b\x08\x00", "gzip", "cut", "ends in the middle"),
        (b"x", "br", "malformed", "packed, unasked"),
        (b"x", "gzip, gzip", "malformed", "packed, unasked"),
    ],
)
def test_what_cannot_be_unpacked(content, coding, kind, what):
    with Site(raw(content, Content_Encoding=coding)) as site:
        error = failed(opened(site.url, gzip=True))
    assert error.fault.kind == kind and what in error.fault.what


# -- one request at a time, once ---------------------------------------------------------------------------------------


def test_a_kept_connection_that_the_server_closed_is_made_anew_for_a_read():
    with Site(raw(b"{}")) as site, contextlib.closing(opened(site.url)) as client:
        client.ask("GET", "/")

        def hang_up(handler: Handler) -> None:
            site.odd = raw(b"[]")
            handler.close_connection = True

        site.odd = hang_up
        assert client.ask("GET", "/").content == b"[]" and len(site.seen) == 3
        site.odd = lambda handler: setattr(handler, "close_connection", True)
        with pytest.raises(SourceFault, match="hung up"):
            client.ask("GET", "/")
        assert len(site.seen) == 5, "once more, and no more"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_change_is_sent_once(method):
    with Site(raw(b"{}")) as site, contextlib.closing(opened(site.url)) as client:
        client.ask("GET", "/")
        site.odd = lambda handler: setattr(handler, "close_connection", True)
        with pytest.raises(SourceFault) as caught:
            client.ask(method, "/", body=b"change")
    assert type(caught.value) is SourceFault, "it may have been done"
    assert [seen[::3] for seen in site.seen[1:]] == [(method, b"change")]


@pytest.mark.slow
def test_a_read_that_is_repeated_has_no_more_time():
    with Site(raw(b"{}")) as site, contextlib.closing(opened(site.url, 1.5)) as client:
        client.ask("GET", "/")

        def slowly(handler: Handler) -> None:
            site.odd = hang
            site.wait(1.0)
            handler.close_connection = True

        site.odd = slowly
        began = time.monotonic()
        with pytest.raises(SourceFault, match=r"did not answer / within 1\.5 s"):
            client.ask("GET", "/")
        assert time.monotonic() - began < 2.3


def test_a_connection_is_kept():
    with Site(raw(b"{}")) as site, contextlib.closing(opened(site.url)) as client:
        ports = set()
        site.odd = lambda handler: (ports.add(handler.client_address[1]), handler.send(b"{}"))
        for _ in range(3):
            client.ask("GET", "/")
        assert len(ports) == 1 and client.received == 6


def test_close_ends_a_request_in_another_thread():
    with Site(hang) as site:
        client, ended = opened(site.url, 60), []

        def ask() -> None:
            try:
                client.ask("GET", "/")
            except SourceFault as error:
                ended.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert site.reached.wait(20)
        client.close()
        thread.join(20)
        assert not thread.is_alive() and ended[0].fault.kind == "cut" and "was closed" in ended[0].fault.what
        with pytest.raises(HttpUnsent, match="the source was closed"):
            client.ask("GET", "/")
        client.close()
        assert len(site.seen) == 1


def test_close_between_connecting_and_sending(monkeypatch):
    with Site(raw(b"{}")) as site:
        client = opened(site.url)
        real = socket.create_connection

        def connect(*words: object, **named: object) -> socket.socket:
            made = real(*words, **named)  # type: ignore[arg-type]
            client.close()
            return made

        monkeypatch.setattr(socket, "create_connection", connect)
        with pytest.raises(SourceFault, match="was closed"):
            client.ask("POST", "/", body=b"change")
        assert not site.seen


# -- streaming ---------------------------------------------------------------------------------------------------------


def test_pieces_arrive_one_by_one():
    more = threading.Event()

    def two(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "6")
        handler.end_headers()
        handler.wfile.write(b"one")
        more.wait(20)
        handler.wfile.write(b"two")

    with Site(two) as site, contextlib.closing(opened(site.url)) as client:
        with client.stream("GET", "/") as chunks:
            first = next(chunks)
            more.set()
            assert (first, b"".join(chunks)) == (b"one", b"two")
        site.odd = cut
        with pytest.raises(SourceFault, match="hung up"), client.stream("GET", "/") as chunks:
            list(chunks)
        site.odd = raw(b" " * 100)
        with pytest.raises(HttpTooLarge), client.stream("GET", "/", max_bytes=99) as chunks:
            list(chunks)
        site.odd = refusing(503, "later")
        with pytest.raises(HttpRefusal, match="later"), client.stream("GET", "/") as chunks:
            raise AssertionError("never reached")
        site.odd = raw(b"{}")
        with pytest.raises(ValueError, match="of the caller"), client.stream("GET", "/") as chunks:
            raise UnicodeDecodeError("utf-8", b"", 0, 1, "of the caller")
        assert client.ask("GET", "/").content == b"{}"


@pytest.mark.slow
def test_patience_is_times_the_deadline():
    def late(handler: Handler) -> None:
        handler.stand_in.wait(0.5)
        handler.send(b"{}")

    with Site(late) as site, contextlib.closing(opened(site.url, 0.2)) as client:
        with client.stream("GET", "/", patience=50) as chunks:
            assert b"".join(chunks) == b"{}"
        with pytest.raises(SourceFault, match=r"within 0\.4 s"), client.stream("GET", "/", patience=2):
            raise AssertionError("never reached")


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_headers_that_cannot_be_made_send_nothing():
    def headers() -> dict[str, str]:
        raise SourceFault("auth", "no token", "write one")

    with Site(raw(b"{}")) as site:
        error = failed(opened(site.url, headers=headers), "POST")
        assert isinstance(error, HttpUnsent) and str(error.fault) == "no token (write one)" and not site.seen


def test_what_is_sent(monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hush\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Site(raw(b"{}", Set_Cookie="session=1; Path=/")) as site, contextlib.closing(opened(f"{site.url}/api/")) as it:
        it.ask("GET", "/a?b=c")
        it.ask("GET", "/a", params=[("q", 'up{a="é &"}'), ("q", "2")])
        it.ask("POST", "/a", body=b"[]")
    paths = [path for _, path, _, _ in site.seen]
    assert paths[0] == "/api/a?b=c" and paths[2] == "/api/a"
    assert paths[1] == "/api/a?q=up%7Ba%3D%22%C3%A9+%26%22%7D&q=2"
    for _, _, headers, _ in site.seen:
        assert (headers["User-Agent"], headers["Accept"]) == ("wacht", "application/json")
        assert not {"Authorization", "Cookie"} & headers.keys()
    assert site.seen[2][2]["Content-Type"] == "application/json" and "Content-Type" not in site.seen[0][2]


def test_a_token_is_read_for_each_request(tmp_path):
    token = tmp_path / "token"
    token.write_text("one-token")
    token.chmod(0o600)
    with Site(raw(b"{}")) as site, Site(raw(b"{}")) as other:
        settings = WebSettings(url=site.url, token_file=str(token))
        with contextlib.closing(open_web_client(settings, "Thing", "/api")) as client:
            client.ask("GET", "/x")
            token.write_text("other-token")
            site.odd = refusing(307, Location=f"{other.url}/x")
            with pytest.raises(HttpRefusal, match="not followed"):
                client.ask("GET", "/x")
            site.odd = refusing(401)
            with pytest.raises(HttpRefusal) as caught:
                client.ask("GET", "/x")
        assert caught.value.fault.mend == "the token has expired or may not: see token_file" and not other.seen
        sent = [headers["Authorization"] for _, _, headers, _ in site.seen]
        assert sent == ["Bearer one-token", "Bearer other-token", "Bearer other-token"]
        without = open_web_client(WebSettings(url=site.url), "Thing", "/api")
        assert failed(without).fault.mend == "it wants a token: see token_file"

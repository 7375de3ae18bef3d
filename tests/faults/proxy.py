"""A proxy that stands before a real server over HTTP and spoils what it answers, as long as it is told to.

    with Proxy(monitor.url) as proxy:
        settings = PrometheusSettings(url=proxy.url)
        proxy.spoils("hang after accept")
        ...
        proxy.heals()

A fault gets the server's own answer, so that half of it is really half of it, and a wrong type stands among right ones.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.http_server import Handler, Served, Server
from tests.support.prometheus_server import hang, refusing

#: Bytes of a reply that nobody can want.
FLOOD = 500_000_000
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "accept-encoding", "host"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


Fault = Callable[["_Handler", Answer], None]


class Proxy(Served):
    """Passes everything on to `upstream`, an address without a path, until it is told to spoil it."""

    def __init__(self, upstream: str) -> None:
        super().__init__(_Handler)
        self.upstream = urlsplit(upstream).netloc
        self.asked: list[str] = []
        """Method and path of each request that has come, in order."""
        self.at_once = self.most_at_once = 0
        """Requests that are being answered: now, and the most so far."""
        self._fault: Fault | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it is, as a site would configure it."""
        return f"http://127.0.0.1:{self.port}"

    def spoils(self, name: str) -> None:
        """From now on that fault of `FAULTS` is what comes; on "connection refused" nobody listens any more."""
        if name == "connection refused":
            self.server.shutdown()
            self._thread.join()
            self.server.server_close()
            self.hang_up()
        else:
            self._fault = FAULTS[name]

    def heals(self) -> None:
        """From now on everything is passed on again."""
        self._fault = None
        if not self._thread.is_alive():
            self.server = Server(("127.0.0.1", self.port), _Handler)
            self.server.stand_in = self
            self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
            self._thread.start()

    def hang_up(self) -> None:
        """End every connection that stands."""
        with self._lock:
            for one in tuple(self._open):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def count(self, more: int) -> None:
        """So many more requests are being answered."""
        with self._lock:
            self.at_once += more
            self.most_at_once = max(self.most_at_once, self.at_once)


class _Handler(Handler):
    """Passes a request on, and the answer back, or what is left of it."""

    def setup(self) -> None:
        super().setup()
        self.stand_in._open.add(self.connection)

    def finish(self) -> None:
        self.stand_in._open.discard(self.connection)
        super().finish()

    def answer(self) -> None:
        here: Proxy = self.stand_in
        here.asked.append(f"{self.command} {self.path}")
        here.count(1)
        try:
            answer = self._upstream(here.upstream)
            if here._fault is not None:
                here._fault(self, answer)
            else:
                self.send(answer.body, answer.status, answer.headers)
        except OSError:
            self.close_connection = True  # whoever asked has had enough
        finally:
            here.count(-1)

    def _upstream(self, where: str) -> Answer:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kept = {key: value for key, value in self.headers.items() if key.lower() not in _HOP}
        line = http.client.HTTPConnection(where, timeout=30)
        try:
            line.request(self.command, self.path, body or None, kept)
            answer = line.getresponse()
            told = {key: value for key, value in answer.getheaders() if key.lower() not in _HOP}
            return Answer(answer.status, told, answer.read())
        finally:
            line.close()

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names that http.server looks for


# -- what may go wrong -------------------------------------------------------------------------------------------------


def _begin(handler: _Handler, answer: Answer, length: int) -> None:
    handler.send_response(answer.status)
    for key, value in {**answer.headers, "Content-Length": str(length)}.items():
        handler.send_header(key, value)
    handler.end_headers()


def _trickle(handler: _Handler, answer: Answer) -> None:
    """1 byte a second of the real answer."""
    _begin(handler, answer, len(answer.body))
    for byte in answer.body:
        handler.wfile.write(bytes([byte]))
        handler.stand_in.wait(1.0)


def _cut(handler: _Handler, answer: Answer) -> None:
    """Half of the real answer, then the end of the connection."""
    _begin(handler, answer, len(answer.body))
    handler.wfile.write(answer.body[: len(answer.body) // 2])
    handler.close_connection = True


def _half(handler: _Handler, answer: Answer) -> None:
    """Half of the real answer, told as the whole of it: only the JSON shows that it is none."""
    handler.send(answer.body[: len(answer.body) // 2], answer.status, answer.headers)


def _flood(handler: _Handler, answer: Answer) -> None:
    """500 MB: the real answer behind white space, which is JSON all the same."""
    _begin(handler, answer, FLOOD + len(answer.body))
    block = b" " * (1 << 20)
    for at in range(0, FLOOD, len(block)):
        handler.wfile.write(block[: FLOOD - at])
    handler.wfile.write(answer.body)


def _late(handler: _Handler, answer: Answer) -> None:
    """The real answer, a fifth of a second late."""
    handler.stand_in.wait(0.2)
    handler.send(answer.body, answer.status, answer.headers)


def _empty(handler: _Handler, answer: Answer) -> None:
    handler.send(b"", 200, answer.headers)


def _errors(handler: _Handler, answer: Answer) -> None:
    """200, and an error inside, as each of the three tells it."""
    told = {"status": "error", "errorType": "internal", "error": "spoilt", "errors": [{"error": "spoilt"}]}
    handler.send(json.dumps(told).encode(), 200, {"Content-Type": "application/json"})


def _changed(change: Callable[[Any], Any]) -> Fault:
    """The real answer with each of its leaves changed, at any depth."""

    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoil(inner) for key, inner in value.items()}
        return [spoil(inner) for inner in value] if isinstance(value, list) else change(value)

    return lambda handler, answer: handler.send(
        json.dumps(spoil(json.loads(answer.body))).encode(), answer.status, answer.headers
    )


def _without(handler: _Handler, answer: Answer) -> None:
    """The real answer with no field in any of its rows."""

    def spoil(value: Any, depth: int = 0) -> Any:
        if isinstance(value, dict):
            return {} if depth > 0 else {key: spoil(inner, depth) for key, inner in value.items()}
        return [spoil(inner, depth + 1) for inner in value] if isinstance(value, list) else value

    handler.send(json.dumps(spoil(json.loads(answer.body))).encode(), answer.status, answer.headers)


def _other_type(value: Any) -> Any:
    return {"wrong": [value]} if isinstance(value, str) else str(value)


def _aged(value: Any) -> Any:
    """Prometheus' times of samples, ten minutes earlier; everything else as it is."""
    old = isinstance(value, str) and value[:1].isdigit() and float(value) > 1e9
    return f"{float(value) - 600:.3f}" if old else value


def _alone(odd: Callable[[Any], None]) -> Fault:
    """A fault that needs nothing of the real answer."""
    return lambda handler, _: odd(handler)


FAULTS: dict[str, Fault] = {
    "hang after accept": _alone(hang),
    "1 byte a second": _trickle,
    "cut in the middle": _cut,
    "truncated JSON": _half,
    "500 MB reply": _flood,
    "slower than the interval": _late,
    "429": _alone(refusing(429, Retry_After="30")),
    "503 with Retry-After": _alone(refusing(503, Retry_After="30")),
    "empty answer": _empty,
    "errors[] with 200": _errors,
    "fields missing": _without,
    "fields null": _changed(lambda _: None),
    "fields of the other type": _changed(_other_type),
    "samples 10 minutes old": _changed(_aged),
    "redirect to http": _alone(refusing(302, Location="http://evil.example/")),
}
"""Name to what is done with the real answer; beside them there is "connection refused"."""

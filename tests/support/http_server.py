"""An HTTP server in the test's own process that answers as well or as badly as it is told: prometheus_server.py and
alertmanager_server.py share it. What may go wrong (`hang`, `drip`, `cut`, `refusing` …) is in prometheus_server.py.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Server(ThreadingHTTPServer):
    """Knows whom it stands in for."""

    daemon_threads = True
    block_on_close = False
    stand_in: Any

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is meant to."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def stand_in(self) -> Any:
        return self.server.stand_in

    def send(self, body: bytes, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer."""
        self.send_response(code)
        sent = {"Content-Type": "application/json", "Content-Length": str(len(body))} | dict(headers or {})
        for key, value in sent.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Served:
    """A stand-in that serves for the length of a `with`."""

    def __init__(self, handler: type[Handler]) -> None:
        self.server = Server(("127.0.0.1", 0), handler)
        self.server.stand_in = self
        self.port = self.server.server_address[1]
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def wait(self, seconds: float) -> None:
        """Let time pass, but no longer than the test lasts."""
        self._ending.wait(seconds)

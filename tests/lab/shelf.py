"""An HTTP server in a process of its own that answers with what its owner puts there: the exporters of a whole machine.

Scraped a hundred times a second inside a test's own process, exporters would keep it busy, and Textual's pilot waits
for an idle process. It ends when its standard input closes, so also when the owner is killed.

usage: shelf.py   (prints its port, then reads one JSON object a line and answers each with `ok`)
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HANG = "\0hang"
"""In place of a text: whoever asks gets no answer until something else is put there."""


class Shelf:
    """The owner's side."""

    def __init__(self) -> None:
        self.port = 0
        self._texts: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> int:
        """Serve on a free port of 127.0.0.1, and return it."""
        self._texts = {}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        return self.port

    def put(self, texts: Mapping[str, str | None]) -> bool:
        """Answer with these texts from now on, and with nothing else; None is 404, HANG no answer at all.

        Returns whether anything differs from before.
        """
        new = {path: text for path, text in texts.items() if text is not None}
        changed: dict[str, str | None] = {path: text for path, text in new.items() if self._texts.get(path) != text}
        changed |= dict.fromkeys(self._texts.keys() - new.keys())
        self._texts = new
        if changed:
            assert self._process and self._process.stdin and self._process.stdout
            self._process.stdin.write(json.dumps(changed) + "\n")
            self._process.stdin.flush()
            self._process.stdout.readline()
        return bool(changed)

    def asked(self) -> Counter[str]:
        """Path to how often it was asked for, answered or not."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/asked", timeout=10) as answer:
            return Counter(json.load(answer))

    def stop(self) -> None:
        """Serve no longer. Harmless when it does not."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin and process.stdout
            process.stdin.close()
            process.wait()
            process.stdout.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.texts: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.changed = threading.Condition()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up early is nobody's error."""

    def put(self, changes: Mapping[str, str | None]) -> None:
        with self.changed:
            for path, text in changes.items():
                if text is None:
                    self.texts.pop(path, None)
                else:
                    self.texts[path] = text.encode()
            self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        server = self.server
        if self.path == "/asked":
            self._answer(json.dumps(server.asked).encode())
            return
        server.asked[self.path] += 1
        with server.changed:
            server.changed.wait_for(lambda: server.texts.get(self.path) != HANG.encode())
            body = server.texts.get(self.path)
        self._answer(body)

    def _answer(self, body: bytes | None) -> None:
        kind = "application/json" if self.path.startswith(("/targets", "/asked")) else "text/plain; version=0.0.4"
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until standard input ends."""
    server = _Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    for line in sys.stdin:
        server.put(json.loads(line))
        print("ok", flush=True)


if __name__ == "__main__":
    main()

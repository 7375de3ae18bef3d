"""A stand-in for Alertmanager over HTTP, in this process: it answers as well or as badly as told.

What may go wrong (`hang`, `drip`, `cut`, `refusing` …) is in tests/support/prometheus_server.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from collectors.alertmanager import AlertmanagerSettings
from tests.support import prometheus_server
from tests.support.http_server import Handler, Served

MADE = "11111111-2222-4333-8444-555555555555"


def row(number: int = 1, state: str = "active", by: tuple[str, ...] = (), **labels: str) -> dict[str, Any]:
    """An alert as the API gives it."""
    return {
        "fingerprint": f"{number:016x}",
        "labels": {"alertname": "NodeDown", "instance": f"gpu{number:04d}:9400"} | labels,
        "annotations": {"summary": "it does not answer"},
        "startsAt": "2026-11-24T03:00:00.123456789Z",
        "endsAt": "2026-11-24T04:00:00Z",
        "updatedAt": "2026-11-24T03:10:00Z",
        "generatorURL": "http://prometheus/graph",
        "receivers": [{"name": "nobody"}],
        "status": {"state": state, "silencedBy": list(by), "inhibitedBy": [], "mutedBy": []},
    }


def silence_row(number: int = 1, state: str = "active", **more: Any) -> dict[str, Any]:
    """A silence as the API gives it."""
    return {
        "id": f"{number:08x}-0000-4000-8000-000000000000",
        "status": {"state": state},
        "matchers": [{"name": "alertname", "value": "NodeDown", "isRegex": False, "isEqual": True}],
        "startsAt": "2026-11-24T03:00:00Z", "endsAt": "2026-11-24T05:00:00Z", "updatedAt": "2026-11-24T03:00:00Z",
        "createdBy": "jdv", "comment": "taken: I'm on it",
    } | more  # fmt: skip


class StandIn(Served):
    """`answers` holds the body of each path, `odd` what is done instead, by path; "*" stands for every path."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(_Handler)
        self.answers: dict[str, Any] = {"/alerts": [], "/silences": [], "POST /silences": {"silenceID": MADE}}
        self.odd: dict[str, prometheus_server.Odd] = {}
        self.seen: list[tuple[str, list[tuple[str, str]], Any, Mapping[str, str]]] = []
        """Method and path, parameters, body and headers of every request."""
        self.settings = AlertmanagerSettings(url=f"http://127.0.0.1:{self.port}", **({"timeout_s": 5.0} | settings))

    @property
    def asked(self) -> list[str]:
        """Method and path of every request, in order."""
        return [what for what, *_ in self.seen]


class _Handler(Handler):
    """Answers a request of the API."""

    def answer(self) -> None:
        here, parts = self.stand_in, urlsplit(self.path)
        path = parts.path.removeprefix("/api/v2")
        what = path if self.command == "GET" else f"{self.command} {path}"
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        here.seen.append((what, parse_qsl(parts.query), body, dict(self.headers)))
        odd = here.odd.get(what) or here.odd.get("*")
        if odd is not None:
            odd(self)
        elif what in here.answers:
            self.send(json.dumps(here.answers[what]).encode())
        elif self.command == "DELETE":
            self.send(b"")
        else:
            self.send(b"", 404)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names that http.server looks for

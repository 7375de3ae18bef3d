"""A stand-in for Prometheus over HTTP, in this process: it answers by the query's name, as well or as badly as told."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from collectors.prometheus import PrometheusSettings
from collectors.prometheus.query_table import TABLE
from collectors.prometheus.site_queries import SiteQueries
from tests.support.http_server import Handler, Served

Labels = Mapping[str, str]
_AROUND = re.compile(r"^max( by \([^)]*\))? \(")
_HOSTS = re.compile(r"\b(Hostname|hostname|nodename|instance|node)\b,? ?")
Samples = Iterable[tuple[Labels, str | float]]
Odd = Callable[[Handler], None]


def node(name: str) -> dict[str, str]:
    return {"node": name}


def gpu(name: str, index: int, **more: str) -> dict[str, str]:
    return {"node": name, "gpu": str(index), "UUID": f"GPU-{name}-{index}", **more}


class StandIn(Served):
    """`rows` holds what each query gives, `odd` what is done instead, by name; "*" stands for every query.

    A query that is in neither gives nothing, as Prometheus does for series that are not there.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(_Handler)
        self.rows: dict[str, Samples] = {}
        self.ranges: dict[str, Callable[[int, int, int], list[tuple[Labels, list[tuple[float, str]]]]]] = {}
        self.odd: dict[str, Odd] = {}
        self.warnings: dict[str, list[str]] = {}
        self.flags: dict[str, str] | None = None
        """What /api/v1/status/flags tells; None tells nothing, as VictoriaMetrics."""
        self.ahead_s = 0.0
        self.asked: list[str] = []
        """Names of the queries, in order."""
        self.seen: list[tuple[str, dict[str, str], dict[str, str]]] = []
        """Path, parameters and headers of every request."""
        self.connections = 0
        self._packed: dict[str, bytes] = {}
        self.settings = PrometheusSettings(url=f"http://127.0.0.1:{self.port}", **({"timeout_s": 5.0} | settings))

    @property
    def now(self) -> float:
        """Its clock."""
        return time.time() + self.ahead_s

    def pack(self) -> None:
        """Make all answers now, gzipped: what is measured then is the client."""
        self._packed = {name: gzip.compress(self.answer(name, {}), 1) for name in self.rows}

    def name_of(self, query: str) -> str:
        """Which query of the table that is, by how it begins."""
        book = SiteQueries(self.settings)
        for one in TABLE:
            whole = book.whole(one.name)
            if query == whole:
                return one.name
        asked = _bare(query)
        best = max(TABLE, key=lambda one: _alike(_bare(book.shown(one.name)), asked))
        return best.name

    def answer(self, name: str, params: Mapping[str, str]) -> bytes:
        """The body for a query."""
        now = self.now
        if "step" in params:
            start, end, step = (int(float(params[word])) for word in ("start", "end", "step"))
            made = self.ranges.get(name, lambda *_: [])(start, end, step)
            result: list[Any] = [{"metric": dict(labels), "values": points} for labels, points in made]
            kind = "matrix"
        else:
            kind = "vector"
            rows = [({}, "1")] if name == "clock" else self.rows.get(name, ())
            result = [{"metric": dict(labels), "value": [now, str(value)]} for labels, value in rows]
        body: dict[str, Any] = {"status": "success", "data": {"resultType": kind, "result": result}}
        if name in self.warnings:
            body["warnings"] = self.warnings[name]
        return json.dumps(body).encode()


def _bare(query: str) -> str:
    """A query without what stands around it, and without the host labels that were chosen for it."""
    return _HOSTS.sub("", _AROUND.sub("", query))


def _alike(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class _Handler(Handler):
    """Answers a query."""

    def setup(self) -> None:
        super().setup()
        self.stand_in.connections += 1

    def do_GET(self) -> None:
        here, parts = self.stand_in, urlsplit(self.path)
        params = {key: values[0] for key, values in parse_qs(parts.query).items()}
        here.seen.append((parts.path, params, dict(self.headers)))
        if parts.path.endswith("/status/flags"):
            self.send(json.dumps({"status": "success", "data": here.flags}).encode(), 200 if here.flags else 404)
            return
        name = here.name_of(params.get("query", ""))
        here.asked.append(name)
        odd = here.odd.get(name) or here.odd.get("*")
        if odd is not None:
            odd(self)
        elif name in here._packed and "step" not in params:
            self.send(here._packed[name], headers={"Content-Encoding": "gzip"})
        else:
            self.send(here.answer(name, params))


# -- what may go wrong -------------------------------------------------------------------------------------------------


def refusing(code: int, said: str = "", **headers: str) -> Handler:
    """Another status than 200, with Prometheus' own words or none."""
    body = json.dumps({"status": "error", "errorType": "x", "error": said}).encode() if said else b""
    names = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda handler: handler.send(body, code, names)


def raw(body: bytes, **headers: str) -> Handler:
    """200 and these bytes."""
    names = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda handler: handler.send(body, 200, names)


def hang(handler: _Handler) -> None:
    """Accept, and never answer."""
    handler.stand_in.wait(30)
    handler.close_connection = True


def drip(handler: _Handler) -> None:
    """Ten bytes a second, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(300):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        handler.stand_in.wait(0.1)


def drip_headers(handler: _Handler) -> None:
    """A header that never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(300):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        handler.stand_in.wait(0.1)


def cut(handler: _Handler) -> None:
    """Half of what was promised."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"status": "success", ')
    handler.close_connection = True


def huge(handler: _Handler) -> None:
    """Bytes without end."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 30))
    handler.end_headers()
    block = b" " * (1 << 20)
    for _ in range(1 << 10):
        handler.wfile.write(block)


def bomb(handler: _Handler) -> None:
    """A few bytes that become many."""
    handler.send(gzip.compress(b" " * (64 << 20)), headers={"Content-Encoding": "gzip"})


def machine(count: int, now: float | None = None) -> dict[str, Samples]:
    """What a well machine of so many nodes answers to a reading of the loads."""
    now = time.time() if now is None else now
    names = [f"gpu{n:05d}" for n in range(1, count + 1)]
    return {
        "util": [(node(name), 40 + 7 * n % 60 + n % 8 / 8) for n, name in enumerate(names)],
        "memory": [(node(name), 100 * (n % 8000) / 8156.1) for n, name in enumerate(names)],
        "temperature": [(node(name), 40 + n % 40) for n, name in enumerate(names)],
        "gpu_power": [(node(name), 2000 + 13.25 * (n % 200)) for n, name in enumerate(names)],
        "gpus": [(node(name), 8) for name in names],
        "idle": [(node(name), n % 9) for n, name in enumerate(names)],
        "util_gpus": [(node(name), 8) for name in names],
        "sampled": [(node(name), round(now - n % 30 - 0.123, 3)) for n, name in enumerate(names)],
        "node_power": [(node(name), 3400 + 13.25 * (n % 200)) for n, name in enumerate(names)],
        "xids": [(gpu(name, 3), 31) for name in names[:: max(1, count // 20)]],
    }

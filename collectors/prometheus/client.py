"""Sends queries to Prometheus, and turns errors into named faults.

prometheus_api_client builds the requests and decides on the answers. They go over `collectors.http`: the library's own
session has a time-out that restarts with each byte, follows redirects with the token and accepts an answer of any size.

One client for each thread. Heavy libraries are imported when the first one is created, in the calling thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

from collectors.clean import clean
from collectors.clock import Clock
from collectors.http.http_faults import HttpAnswer, HttpTooLarge
from collectors.model import SourceFault

from . import PrometheusSettings
from .answers import MalformedResponse, PrometheusResponse, Row

if TYPE_CHECKING:
    from collectors.http.client import HttpClient

    from .values import Notes

#: Most bytes of one answer, on the wire and decompressed: wacht's largest is about 2 MB decompressed.
MAX_WIRE_BYTES, MAX_BYTES = 8 << 20, 32 << 20
#: Clocks may differ by this much before sample times are moved to this computer's clock.
SKEW_S = 5.0
_API = "/api/v1"
_IMPORTING = threading.Lock()
_SPARE = "wacht-rules.yml and recorded = true spare it"


class QueryRefused(SourceFault):
    """The server works but refuses this query: a gap in the facts, not the end of the reading."""


class Rows(Struct, frozen=True):
    """The result of one query: its series, the server's warnings, and the server's time."""

    rows: Sequence[Row]
    warnings: tuple[str, ...] = ()
    at: float | None = None


class PrometheusClient:
    """One connection to one Prometheus."""

    def __init__(self, settings: PrometheusSettings, clock: Clock) -> None:
        """Connects to nothing yet. Raises SourceFault if the site's certificates are missing or invalid."""
        # Several sources start at once, each in its thread: when two threads import modules that import each other,
        # Python may give one of them a half-initialised module.
        with _IMPORTING:
            from prometheus_api_client import PrometheusConnect

            from collectors.http.client import open_web_client

        self._settings = settings
        self._clock = clock
        self._where = urlsplit(settings.url).netloc
        self._http = open_web_client(
            settings, "Prometheus", _API, overloaded=f"is it overloaded? {_SPARE}", too_large="see queries",
            gzip=True, max_bytes=MAX_BYTES, max_received=MAX_WIRE_BYTES,
        )  # fmt: skip
        url = settings.url.rstrip("/")
        self._session = _Session(self._http, url + _API)
        self.ahead_s: float | None = None
        """How far the server's clock is ahead of this computer's, as of the last answer."""
        self.answered: dict[str, int] = {}
        """Series in the last answer to each query of the table."""
        self._connect = PrometheusConnect(url=url, session=self._session)

    @property
    def on_wire(self) -> int:
        """Bytes of all answers, as they came."""
        return self._http.received

    def get(self, path: str) -> bytes:
        """The answer to another request of the API. Raises SourceFault."""
        return self._http.ask("GET", path).content

    def rows(self, name: str, query: str, notes: Notes) -> Sequence[Row]:
        """The rows of one query of several: a refused query is a named gap, as are its warnings. Raises SourceFault for
        any other error."""
        try:
            answer = self.ask(name, query)
        except QueryRefused as error:
            notes.say(str(error.fault))
            return ()
        notes.say(*answer.warnings)
        return answer.rows

    def ask(self, name: str, query: str) -> Rows:
        """The answer to a query as of now. Raises SourceFault; QueryRefused if only this query is at fault."""
        # VictoriaMetrics would answer from its cache, 30 s late; Prometheus ignores nocache.
        params = {"timeout": f"{self._settings.timeout_s:g}", "nocache": "1"}
        rows = self._send(name, lambda: self._connect.custom_query(query, params=params))
        self.answered[name] = len(rows)
        at = next((row.value[0] for row in rows if row.value is not None), None)
        if at is not None:
            self.ahead_s = at - self._clock.now()
        return Rows(rows, self._warnings(name), at)

    def ask_range(self, name: str, query: str, start: int, end: int, step: int) -> Rows:
        """The answer to a query at every step from start to end, in the server's time."""
        params = {"timeout": f"{self._settings.timeout_s:g}"}
        first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        rows = self._send(name, lambda: self._connect.custom_query_range(query, first, last, str(step), params=params))
        return Rows(rows, self._warnings(name))

    def server_now(self) -> float:
        """The server's time, by which it stores its samples."""
        if self.ahead_s is None:
            self.ask("clock", "vector(1)")
        return self._clock.now() + (self.ahead_s or 0.0)

    def close(self) -> None:
        """End a running request, from any thread, and accept no more."""
        self._http.close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _warnings(self, name: str) -> tuple[str, ...]:
        envelope = self._session.response.envelope
        if envelope is None:
            return ()
        said = [f"Prometheus warns of {name}: {clean(text[:300])}" for text in envelope.warnings[:3]]
        if envelope.isPartial:
            said.append(f"the answer to {name} is partial: the server could not read all it should")
        return tuple(said)

    def _send(self, name: str, question: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        from prometheus_api_client.exceptions import PrometheusApiClientException

        self._session.subject = name
        try:
            return question()
        except PrometheusApiClientException:
            raise self._refused(name) from None
        except HttpTooLarge as error:
            raise QueryRefused(error.fault.kind, error.fault.what, error.fault.mend) from None
        except MalformedResponse as error:
            said = clean(str(error)[:300])
            if said.startswith("status "):
                raise QueryRefused("malformed", f"{name}: {said}", f"see queries.{name}") from None
            what = f"the answer of {self._where} to {name} is none of Prometheus: {said}"
            raise SourceFault("malformed", what, f"does url end where {_API} begins?") from None

    def _refused(self, name: str) -> SourceFault:
        """The fault of an answer with another status than 200."""
        refusal = self._http.refusal(name, self._session.answer)
        if refusal.code in {400, 422}:
            mend = _SPARE if "too many samples" in refusal.said else f"see queries.{name}"
            return QueryRefused("malformed", refusal.fault.what, mend)
        return refusal


class _Session:
    """The session of PrometheusConnect: the part of requests.Session that it calls, over HttpClient.

    The library's other words for TLS, time-outs and retries are not heard: HttpClient has its own.
    """

    verify = True
    cert = None

    def __init__(self, http: HttpClient, api: str) -> None:
        self._http = http
        self._api = api
        self.subject = ""
        """What faults call the next request."""
        self.answer = HttpAnswer(0, {}, b"")
        self.response = PrometheusResponse(0, b"")

    def mount(self, prefix: str, adapter: object) -> None:
        """Ignored: the library's adapter repeats a refused request three times, with waits."""

    def request(self, method: str, url: str, params: Mapping[str, Any], **_: object) -> PrometheusResponse:
        """The answer to a request, whatever its status. Raises SourceFault."""
        self.response = PrometheusResponse(0, b"")
        words = [(key, str(value)) for key, value in params.items()]
        path = url.removeprefix(self._api)
        self.answer = self._http.exchange(method, path, params=words, subject=self.subject)
        self.response = PrometheusResponse(self.answer.code, self.answer.content)
        return self.response

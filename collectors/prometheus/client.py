"""Sends queries to Prometheus through prometheus_api_client, and turns errors into named faults.

One client for each thread. Heavy libraries are imported when the first one is created, in the calling thread.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from msgspec import Struct

from collectors.bearer_token import read_token
from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import SourceFault
from collectors.web import ca_file, parse_retry_after

from . import PrometheusSettings

if TYPE_CHECKING:
    from .http_transport import CompleteResponse, Row
    from .values import Notes


#: Clocks may differ by this much before sample times are moved to this computer's clock.
SKEW_S = 5.0
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
        # Several sources start at once, each in its thread, and import numpy and pandas: when two threads import
        # modules that import each other, Python may give one of them a half-initialised module.
        with _IMPORTING:
            from prometheus_api_client import PrometheusConnect

            from .http_transport import Adapter, Session

        self._settings = settings
        self._clock = clock
        self._where = urlsplit(settings.url).netloc
        self._adapter = Adapter(settings.timeout_s)
        self._session = Session(self._adapter, str(ca_file(settings.ca)) if settings.ca else None)
        self._session.hooks["response"].append(self._hear)
        self._heard: CompleteResponse | None = None
        self._closed = False
        self.ahead_s: float | None = None
        """How far the server's clock is ahead of this computer's, as of the last answer."""
        self.on_wire = 0
        """Bytes of all answers, as they came."""
        self.answered: dict[str, int] = {}
        """Series in the last answer to each query of the table."""
        self._connect = PrometheusConnect(url=settings.url.rstrip("/"), session=self._session)

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
        rows = self._send(name, lambda: self._connect.custom_query(query, params=params, timeout=self._limit))
        self.answered[name] = len(rows)
        at = next((row.value[0] for row in rows if row.value is not None), None)
        if at is not None:
            self.ahead_s = at - self._clock.now()
        return Rows(rows, self._warnings(name), at)

    def ask_range(self, name: str, query: str, start: int, end: int, step: int) -> Rows:
        """The answer to a query at every step from start to end, in the server's time."""
        params = {"timeout": f"{self._settings.timeout_s:g}"}
        first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        rows = self._send(
            name,
            lambda: self._connect.custom_query_range(query, first, last, str(step), params=params, timeout=self._limit),
        )
        return Rows(rows, self._warnings(name))

    def server_now(self) -> float:
        """The server's time, by which it stores its samples."""
        if self.ahead_s is None:
            self.ask("clock", "vector(1)")
        return self._clock.now() + (self.ahead_s or 0.0)

    def close(self) -> None:
        """End a running request, from any thread, and accept no more."""
        from .http_transport import shut_sockets

        self._closed = True
        shut_sockets(self._adapter.sockets)

    # -- inside --------------------------------------------------------------------------------------------------------

    @property
    def _limit(self) -> float:
        return self._settings.timeout_s

    def _hear(self, answer: Any, *_: Any, **__: Any) -> None:
        self._heard = answer
        self.on_wire += answer.on_wire

    def _warnings(self, name: str) -> tuple[str, ...]:
        envelope = self._heard.envelope if self._heard is not None else None
        if envelope is None:
            return ()
        said = [f"Prometheus warns of {name}: {clean(text[:300])}" for text in envelope.warnings[:3]]
        if envelope.isPartial:
            said.append(f"the answer to {name} is partial: the server could not read all it should")
        return tuple(said)

    def _send(self, name: str, question: Any) -> Sequence[Row]:
        """Send once; once more if the server had closed a kept connection."""
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from requests import exceptions

        from .http_transport import ConnectionCut, MalformedResponse, ResponseTimeout, TooLarge

        kept = self._heard is not None
        while True:
            if self._closed:
                raise SourceFault("missing", "the source was closed")
            if self._settings.token_file:
                token = read_token(self._settings.token_file)
                self._session.headers["Authorization"] = f"Bearer {token.reveal()}"
            self._heard = None
            began = self._clock.mono()
            try:
                rows: Sequence[Row] = question()
                return rows
            except PrometheusApiClientException:
                self._refused(name)
            except MalformedResponse as error:
                self._malformed(name, error)
            except TooLarge:
                raise QueryRefused(
                    "malformed", f"{self._where} gave more to {name} than wacht ever asks for", "see queries"
                ) from None
            except (ResponseTimeout, exceptions.Timeout):
                raise SourceFault(
                    "timeout", f"{self._where} did not answer {name} within {self._limit:g} s",
                    f"is it overloaded? {_SPARE}",
                ) from None  # fmt: skip
            except exceptions.SSLError as error:
                raise SourceFault("auth", f"no TLS with {self._where}: {_why(error)}", "see ca and url") from None
            except ConnectionCut as error:
                raise SourceFault("cut", f"the answer of {self._where} to {name} was cut: {_why(error)}") from None
            except exceptions.RequestException as error:
                if kept and not self._closed and self._clock.mono() - began < 1.0 and _was_hung_up(error):
                    kept = False
                    continue
                raise _unreachable(self._where, error) from None

    def _malformed(self, name: str, error: Exception) -> NoReturn:
        text = f"the answer of {self._where} to {name} is none of Prometheus: {_why(error)}"
        if str(error).startswith("status "):
            raise QueryRefused("malformed", f"{name}: {_why(error)}", f"see queries.{name}") from None
        raise SourceFault("malformed", text, "does url end where /api/v1 begins?") from None

    def _refused(self, name: str) -> NoReturn:
        """Raise the fault of an answer with another status than 200."""
        answer = self._heard
        assert answer is not None
        code, said = answer.status_code, clean(answer.refusal())
        told = f"{self._where} answered {code} to {name}" + (f": {said}" if said else "")
        if code in {301, 302, 303, 307, 308}:
            to = clean(answer.headers.get("Location", "nowhere")[:200])
            raise SourceFault("refused", f"{self._where} sends to {to}: not followed", "write that as url")
        if code in {401, 403}:
            what = "the token has expired or may not" if self._settings.token_file else "it wants a token"
            raise SourceFault("auth", told, f"{what}: see token_file")
        if code in {400, 422}:
            raise QueryRefused("malformed", told, _SPARE if "too many samples" in said else f"see queries.{name}")
        if code == 404:
            raise SourceFault("missing", told, "does url end where /api/v1 begins?")
        if code in {429, 503}:
            raise SourceFault("backoff", told, *parse_retry_after(answer.headers.get("Retry-After", "")))
        raise SourceFault("refused", told, "see its log")


def _why(error: BaseException) -> str:
    """The innermost text of an exception, which requests and urllib3 wrap in object addresses."""
    inner: Any = error
    for _ in range(8):
        deeper = getattr(inner, "reason", None)
        if not isinstance(deeper, BaseException):
            deeper = next((one for one in getattr(inner, "args", ()) if isinstance(one, BaseException)), None)
        if deeper is None:
            break
        inner = deeper
    return clean(str(inner).rpartition(">: ")[2][:300] or type(inner).__name__)


def _was_hung_up(error: BaseException) -> bool:
    return any(word in repr(error) for word in ("RemoteDisconnected", "ConnectionResetError", "BrokenPipeError"))


def _unreachable(where: str, error: BaseException) -> SourceFault:
    said = repr(error)
    if "NameResolutionError" in said or "Name or service not known" in said or "getaddrinfo" in said:
        return SourceFault("missing", f"the name of {where} is not known: {_why(error)}", "see url")
    if "Connection refused" in said:
        return SourceFault("refused", f"{where} refuses the connection", "does Prometheus run there? see url")
    if _was_hung_up(error):
        return SourceFault("cut", f"{where} hung up before it answered")
    return SourceFault("refused", f"{where} cannot be reached: {_why(error)}", "see url")

"""Sends requests to Alertmanager with httpx, and turns errors into named faults.

The whole answer has one deadline (`collectors.http_connection`) and a size limit, certificates are verified, redirects
are not followed, and the environment is ignored.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx
import msgspec

from collectors.bearer_token import read_token
from collectors.clean import clean
from collectors.http_connection import Wire, end_requests, transport_over, trusted_certificates
from collectors.model import SourceFault
from collectors.web import parse_retry_after

from . import AlertmanagerSettings

#: Most bytes of one answer: 10,000 alerts with long annotations are about 20 MB.
MAX_BYTES = 64 << 20
#: Only these errors mean that the server never saw the request.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)


class AlertmanagerUnsent(SourceFault):
    """The server did not see the request: no connection, or no token to send."""


class AlertmanagerRefusal(SourceFault):
    """The server refused. `code` is its HTTP status, `said` its error text."""

    def __init__(self, kind: str, what: str, mend: str, code: int, said: str, rest_s: float = 0.0) -> None:
        super().__init__(kind, what, mend, rest_s)
        self.code = code
        self.said = said


class AlertmanagerClient:
    """One Alertmanager, one request at a time; threads may share it, and any may close it."""

    def __init__(self, settings: AlertmanagerSettings) -> None:
        """Raises SourceFault if the site's certificates are missing or invalid."""
        self._settings = settings
        self._where = urlsplit(settings.url).netloc
        self._limit = settings.timeout_s
        self._closed = False
        self._one = threading.Lock()
        self._wire = Wire()
        transport = transport_over(self._wire, trusted_certificates(settings.ca))
        self._http = httpx.Client(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            # Uncompressed answers only: a few compressed bytes could become very many.
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "wacht"},
        )

    def get(self, path: str, params: Sequence[tuple[str, str]] = ()) -> bytes:
        """The answer to a request. Raises SourceFault, AlertmanagerRefusal if the server refuses."""
        return self._send("GET", path, params, None)

    def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Send a change once, whatever happens. Raises SourceFault, AlertmanagerUnsent if it certainly never
        arrived."""
        return self._send("POST", path, (), msgspec.json.encode(body))

    def delete(self, path: str) -> bytes:
        """Delete something; raises as `post`."""
        return self._send("DELETE", path, (), None)

    def close(self) -> None:
        """End a running request, from any thread, and accept no more."""
        self._closed = True
        end_requests(self._wire, self._one, self._http)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _send(self, method: str, path: str, params: Sequence[tuple[str, str]], body: bytes | None) -> bytes:
        with self._one:
            kept = self._wire.stream is not None and method == "GET"
            while True:
                if self._closed:
                    raise AlertmanagerUnsent("missing", "the source was closed")
                headers = {} if body is None else {"Content-Type": "application/json"}
                if self._settings.token_file:
                    headers["Authorization"] = f"Bearer {_token(self._settings.token_file)}"
                self._wire.until = time.monotonic() + self._limit
                try:
                    return self._exchange(method, path, params, body, headers)
                except (httpx.RemoteProtocolError, httpx.ReadError) as error:
                    # The server had closed the kept connection.
                    if not kept or self._closed:
                        raise self._broken(error) from None
                    kept = False
                except httpx.HTTPError as error:
                    self._failed(path, error)

    def _broken(self, error: httpx.HTTPError) -> SourceFault:
        said = _why(error)
        if isinstance(error, httpx.ReadError) or "disconnected" in said or "closed" in said:
            return SourceFault("cut", f"{self._where} hung up before its answer ended: {said}")
        return SourceFault("malformed", f"{self._where} speaks no HTTP: {said}", "see url")

    def _exchange(
        self, method: str, path: str, params: Sequence[tuple[str, str]], body: bytes | None, headers: dict[str, str]
    ) -> bytes:
        url = f"{self._settings.url.rstrip('/')}/api/v2{path}"
        with self._http.stream(method, url, params=list(params), content=body, headers=headers) as answer:
            content = self._read(path, answer.iter_raw())
            if answer.status_code != 200:
                self._refused(path, answer, content)
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise SourceFault("malformed", f"the answer of {self._where} to {path} is packed, unasked")
            return content

    def _read(self, path: str, chunks: Iterable[bytes]) -> bytes:
        parts, size = [], 0
        for chunk in chunks:
            size += len(chunk)
            if size > MAX_BYTES:
                raise SourceFault(
                    "malformed", f"{self._where} gave more to {path} than wacht ever reads", "see matchers"
                )
            parts.append(chunk)
        return b"".join(parts)

    def _failed(self, path: str, error: httpx.HTTPError) -> NoReturn:
        fault = AlertmanagerUnsent if isinstance(error, UNSENT) else SourceFault
        said = _why(error)
        if isinstance(error, httpx.TimeoutException):
            raise fault("timeout", f"{self._where} did not answer {path} within {self._limit:g} s",
                        "is it overloaded?") from None  # fmt: skip
        if "certificate" in said.lower() or "ssl" in said.lower():
            raise fault("auth", f"no TLS with {self._where}: {said}", "see ca and url") from None
        if any(word in said for word in ("Name or service not known", "getaddrinfo", "name resolution", "No address")):
            raise fault("missing", f"the name of {self._where} is not known: {said}", "see url") from None
        if "Connection refused" in said:
            raise fault("refused", f"{self._where} refuses the connection",
                        "does Alertmanager run there? see url") from None  # fmt: skip
        raise fault("cut", f"{self._where} cannot be spoken with: {said}", "see url") from None

    def _refused(self, path: str, answer: httpx.Response, content: bytes) -> NoReturn:
        """Raise the fault of an answer with another status than 200."""
        code, said = answer.status_code, words_of(content)
        told = f"{self._where} answered {code} to {path}" + (f": {said}" if said else "")
        kind, mend, rest_s = "refused", "see its log", 0.0
        if code in {301, 302, 303, 307, 308}:
            to = clean(answer.headers.get("Location", "nowhere")[:200])
            told, mend = f"{self._where} sends to {to}: not followed", "write that as url"
        elif code in {401, 403}:
            kind = "auth"
            mend = "the token has expired or may not" if self._settings.token_file else "it wants a token"
            mend += ": see token_file"
        elif code == 404:
            kind, mend = "missing", "does url end where /api/v2 begins?"
        elif code in {429, 503}:
            kind = "backoff"
            mend, rest_s = parse_retry_after(answer.headers.get("Retry-After", ""))
        raise AlertmanagerRefusal(kind, told, mend, code, said, rest_s)


def words_of(content: bytes) -> str:
    """The server's error text: Alertmanager's JSON sentence, else the first line of the answer."""
    try:
        said = msgspec.json.decode(content)
        text = said.get("message", "") if isinstance(said, dict) else said
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = content[:300].decode("utf-8", "replace").strip().partition("\n")[0]
    return clean(str(text)[:300])


def _token(path: str) -> str:
    try:
        return read_token(path).reveal()
    except SourceFault as error:
        raise AlertmanagerUnsent(error.fault.kind, error.fault.what, error.fault.mend) from None


def _why(error: BaseException) -> str:
    return clean(str(error)[:300]) or type(error).__name__

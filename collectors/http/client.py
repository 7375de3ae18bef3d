"""Asks one HTTP server with httpx, and turns errors into faults for people.

The whole answer has one deadline and a size limit, certificates are verified, redirects are not followed, cookies not
kept, and the environment (proxies, ~/.netrc) is ignored. A GET is sent again once if the server had closed the kept
connection; a change never is.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from collectors.bearer_token import read_token
from collectors.clean import clean
from collectors.model import SourceFault
from collectors.web import WebSettings

from .connection import DeadlineNetwork, transport_over, trusted_certificates
from .http_faults import HttpAnswer, HttpRefusal, HttpServer, HttpTooLarge, HttpUnreadable, HttpUnsent, refusal_of

#: Most bytes of an answer that a client reads unless it is made for more.
MAX_BYTES = 64 << 20
#: Most bytes of an answer with another status than 200.
MAX_ERROR_BYTES = 8 << 20
#: Only these errors mean that the server never saw the request.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)
#: The connection ended, or what came over it is no HTTP.
_ENDED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
Params = Sequence[tuple[str, str]]


class HttpClient:
    """One server over one connection, one request at a time; threads may share it, and any may close it."""

    def __init__(
        self,
        server: HttpServer,
        url: str,
        *,
        timeout_s: float,
        ca: str | None = None,
        socket_path: str | None = None,
        headers: Callable[[], Mapping[str, str]] = dict,
        gzip: bool = False,
        max_bytes: int = MAX_BYTES,
        max_received: int | None = None,
    ) -> None:
        """Connects to nothing yet. Raises SourceFault if the certificates are missing or invalid.

        `url` is what every path is appended to; `socket_path` replaces its host. `headers` is called for each request;
        if it raises SourceFault nothing is sent. With `gzip` answers may be compressed. `max_bytes` limits what is read
        of an answer, `max_received` the same before it is decompressed.
        """
        self.where = socket_path or urlsplit(url).netloc
        self.received = 0
        """Bytes of all answers so far, as they arrived."""
        self._server = server
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._unix = socket_path is not None
        self._headers = headers
        self._gzip = gzip
        self._max_bytes = max_bytes
        self._max_received = max_received
        self._closed = threading.Event()
        self._one_request = threading.Lock()
        self._network = DeadlineNetwork(str(Path(socket_path).expanduser()) if socket_path else None)
        # Loading certificates takes 20 ms, and is not needed without TLS.
        needed = ca is not None or url.startswith("https:")
        tls = trusted_certificates(ca) if needed else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._httpx = httpx.Client(
            transport=transport_over(self._network, tls),
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "gzip" if gzip else "identity",
                "User-Agent": "wacht",
            },
        )

    def ask(
        self, method: str, path: str, *, params: Params = (), body: bytes | None = None, max_bytes: int | None = None
    ) -> HttpAnswer:
        """The whole answer to a request. Raises SourceFault; HttpRefusal if the server refuses, HttpUnsent if it
        certainly never saw the request."""
        answer = self.exchange(method, path, params=params, body=body, max_bytes=max_bytes)
        if answer.code != 200:
            raise self.refusal(path, answer)
        return answer

    def exchange(
        self,
        method: str,
        path: str,
        *,
        params: Params = (),
        body: bytes | None = None,
        max_bytes: int | None = None,
        subject: str = "",
    ) -> HttpAnswer:
        """The whole answer to a request, whatever its status. Raises SourceFault, whose text calls the request
        `subject`, or its path."""
        subject = subject or path
        with self._sent(method, path, params, body, subject) as answer:
            return self._whole(answer, subject, max_bytes)

    @contextlib.contextmanager
    def stream(
        self, method: str, path: str, *, max_bytes: int | None = None, patience: float = 1.0
    ) -> Iterator[Iterator[bytes]]:
        """The answer to a request in pieces as they arrive. It may take `patience` times the deadline.

        Raises as `ask`; errors of its pieces as well.
        """
        with self._sent(method, path, (), None, path, patience) as answer:
            if answer.status_code != 200:
                raise self.refusal(path, self._whole(answer, path, None))
            yield self._chunks(answer, path, max_bytes or self._max_bytes)

    def refusal(self, subject: str, answer: HttpAnswer) -> HttpRefusal:
        """The fault of an answer with another status than 200."""
        return refusal_of(self._server, self.where, subject, answer)

    def close(self) -> None:
        """End a running request, from any thread, and accept no more."""
        self._closed.set()
        self._network.close()
        if self._one_request.acquire(blocking=False):
            try:
                self._httpx.close()
            finally:
                self._one_request.release()

    # -- inside --------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _sent(
        self, method: str, path: str, params: Params, body: bytes | None, subject: str, patience: float = 1.0
    ) -> Iterator[httpx.Response]:
        """An answer whose headers have arrived."""
        with self._one_request:
            if self._closed.is_set():
                raise HttpUnsent("missing", "the source was closed")
            headers = self._headers_of(body)
            within_s = patience * self._timeout_s
            self._network.deadline = time.monotonic() + within_s
            kept = self._network.stream is not None and method == "GET"
            began = False
            while True:
                try:
                    with self._httpx.stream(
                        method, self._url + path, params=list(params) or None, content=body, headers=headers
                    ) as answer:
                        began = True
                        yield answer
                    return
                except httpx.HTTPError as error:
                    if isinstance(error, _ENDED) and kept and not began and not self._closed.is_set():
                        kept = False  # the server had closed the kept connection
                        continue
                    raise self._fault(error, subject, within_s) from None
                except (httpx.InvalidURL, UnicodeError) as error:
                    if began:
                        raise
                    raise self._unknown_name(error) from None
                finally:
                    if self._closed.is_set():
                        self._httpx.close()

    def _headers_of(self, body: bytes | None) -> dict[str, str]:
        try:
            own = self._headers()
        except SourceFault as error:
            raise HttpUnsent(error.fault.kind, error.fault.what, error.fault.mend) from None
        return {**own} if body is None else {"Content-Type": "application/json", **own}

    def _whole(self, answer: httpx.Response, subject: str, max_bytes: int | None) -> HttpAnswer:
        refused = answer.status_code != 200
        try:
            content = b"".join(
                self._chunks(answer, subject, MAX_ERROR_BYTES if refused else max_bytes or self._max_bytes)
            )
        except HttpUnreadable:
            if not refused:
                raise
            content = b""  # the status is enough
        return HttpAnswer(answer.status_code, answer.headers, content)

    def _chunks(self, answer: httpx.Response, subject: str, max_bytes: int) -> Iterator[bytes]:
        """The body, decompressed. Raises HttpUnreadable, httpx.HTTPError."""
        coding = answer.headers.get("Content-Encoding", "identity").lower() or "identity"
        if coding != "identity" and not (self._gzip and coding == "gzip"):
            raise HttpUnreadable("malformed", f"the answer of {self.where} to {subject} is packed, unasked")
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if coding == "gzip" else None
        max_received = self._max_received or max_bytes
        size = received = 0
        for packed in answer.iter_raw():
            received += len(packed)
            self.received += len(packed)
            chunk = packed
            if unpack is not None:
                try:
                    chunk = unpack.decompress(packed, max_bytes + 1 - size)
                except zlib.error as error:
                    what = f"the answer of {self.where} to {subject} cannot be unpacked: {error}"
                    raise HttpUnreadable("malformed", what) from None
            size += len(chunk)
            if received > max_received or size > max_bytes:
                what = f"{self.where} gave more to {subject} than wacht ever reads"
                raise HttpTooLarge("malformed", what, self._server.too_large)
            yield chunk
        if unpack is not None and received and not unpack.eof:
            raise SourceFault("cut", f"the answer of {self.where} to {subject} was cut: it ends in the middle")

    def _fault(self, error: httpx.HTTPError, subject: str, within_s: float) -> SourceFault:
        """The fault of a request without a whole answer."""
        where, name = self.where, self._server.name
        fault = HttpUnsent if isinstance(error, _UNSENT) else SourceFault
        cause, said = _of_socket(error), _text(error)
        if self._closed.is_set():
            return fault("cut", f"{where} was not waited for: the source was closed")
        if isinstance(error, httpx.TimeoutException):
            return fault("timeout", f"{where} did not answer {subject} within {within_s:g} s", self._server.overloaded)
        # Without a proper end of TLS the connection was cut, unless it had not begun.
        if isinstance(cause, ssl.SSLError) and (fault is HttpUnsent or not isinstance(cause, ssl.SSLEOFError)):
            return fault("auth", f"no TLS with {where}: {said}", "see ca and url")
        if fault is SourceFault and _is_cut(error, said):
            return fault("cut", f"{where} hung up before its answer ended: {said}")
        if isinstance(error, httpx.RemoteProtocolError):
            return fault("malformed", f"{where} speaks no HTTP: {said}", "see url")
        if isinstance(cause, socket.gaierror):
            return self._unknown_name(error)
        see = "see socket" if self._unix else "see url"
        if isinstance(cause, ConnectionRefusedError):
            return fault("refused", f"{where} refuses the connection", f"does {name} run there? {see}")
        if isinstance(cause, FileNotFoundError) and self._unix:
            return fault("missing", f"there is no socket {where}", f"does {name} run? {see}")
        if isinstance(cause, PermissionError) and self._unix:
            return fault("auth", f"the socket {where} is closed to you", "see its mode and owner")
        return fault("cut", f"{where} cannot be reached: {said}", see)

    def _unknown_name(self, error: Exception) -> HttpUnsent:
        return HttpUnsent("missing", f"the name of {self.where} is not known: {_text(error)}", "see url")


def _is_cut(error: httpx.HTTPError, said: str) -> bool:
    if isinstance(error, httpx.RemoteProtocolError):  # h11 says so only in words
        return "disconnected" in said or "closed" in said
    return isinstance(error, _ENDED)


def _of_socket(error: BaseException) -> OSError | None:
    """The error of the socket, which httpx and httpcore replace by theirs."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, OSError):
        inner = inner.__cause__ or inner.__context__
    return inner


def _text(error: BaseException) -> str:
    return clean(str(error)[:300]) or type(error).__name__


def open_web_client(
    settings: WebSettings,
    name: str,
    api: str,
    *,
    overloaded: str = "is it overloaded?",
    too_large: str = "",
    gzip: bool = False,
    max_bytes: int = MAX_BYTES,
    max_received: int | None = None,
) -> HttpClient:
    """A client of the API under the path `api` of a server that takes a bearer token. Raises SourceFault as
    HttpClient."""
    token_file = settings.token_file

    def headers() -> dict[str, str]:
        return {"Authorization": f"Bearer {read_token(token_file).reveal()}"} if token_file else {}

    what = "the token has expired or may not" if token_file else "it wants a token"
    server = HttpServer(
        name=name,
        unauthorized=f"{what}: see token_file",
        not_found=f"does url end where {api} begins?",
        overloaded=overloaded,
        too_large=too_large,
    )
    return HttpClient(
        server, settings.url.rstrip("/") + api, timeout_s=settings.timeout_s, ca=settings.ca, headers=headers,
        gzip=gzip, max_bytes=max_bytes, max_received=max_received,
    )  # fmt: skip

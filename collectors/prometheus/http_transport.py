"""The HTTP layer under prometheus_api_client: answers have a deadline and a size limit, and are verified.

The library uses `requests`, whose time-out restarts with each byte, which follows redirects with the token, accepts an
answer of any size and reads credentials and proxies from the environment. The session here does not:

- a timer shuts the socket if an answer has not ended in time, even if the server drips;
- the body is read with a cap, both compressed and decompressed; the rest is cut off;
- redirects are not followed, cookies not kept, ~/.netrc and the proxy variables not read;
- `json()` gives typed rows, decoded by msgspec, so that 12,000 of them cost 5 ms.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import weakref
import zlib
from collections.abc import Mapping
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import msgspec
import requests
import urllib3
from msgspec import Struct
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from collectors.decoding import json_decoder

#: Most bytes of one answer, on the wire and decompressed: wacht's largest is about 2 MB decompressed.
MAX_WIRE_BYTES, MAX_BYTES = 8 << 20, 32 << 20
#: Longest time for connecting, within the deadline.
CONNECT_S = 5.0
_CHUNK = 1 << 16


class Row(Struct, frozen=True, gc=False):
    """One series of an answer: its labels, and its value or values with the server's time of each."""

    metric: dict[str, str] = {}
    value: tuple[float, str] | None = None
    values: tuple[tuple[float, str], ...] = ()


class _Data(Struct):
    resultType: str  # noqa: N815 - Prometheus' own name
    result: list[Row]


class Envelope(Struct):
    """The fields around the rows."""

    status: str
    data: _Data | None = None
    error: str = ""
    errorType: str = ""  # noqa: N815 - Prometheus' own name
    warnings: tuple[str, ...] = ()
    isPartial: bool = False  # noqa: N815 - VictoriaMetrics' own name


class _Refusal(Struct):
    error: str = ""


_ENVELOPE = json_decoder(Envelope)
_REFUSAL = json_decoder(_Refusal)


class MalformedResponse(Exception):
    """The answer is not from Prometheus; the text says what it is."""


class TooLarge(Exception):
    """An answer larger than any that wacht requests."""


class ConnectionCut(Exception):
    """The connection ended before the answer did."""


class ResponseTimeout(Exception):
    """An answer did not end in time."""


class CompleteResponse(requests.Response):
    """A response that was read whole."""

    envelope: Envelope | None = None
    on_wire: int = 0

    def json(self, **_: Any) -> Mapping[str, Any]:
        """The rows as the library expects them; the rest stays in `envelope`. Raises MalformedResponse."""
        try:
            self.envelope = envelope = _ENVELOPE.decode(self.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedResponse(f"{error}; it begins with {self.content[:60]!r}") from None
        if envelope.status != "success":
            raise MalformedResponse(f"status {envelope.status}: {envelope.errorType} {envelope.error}")
        if envelope.data is None:
            raise MalformedResponse("it holds no data")
        return {"data": {"result": envelope.data.result}}

    def refusal(self) -> str:
        """The server's error text; else the first line of the answer."""
        try:
            said = _REFUSAL.decode(self.content).error
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = ""
        return (said or self.content[:200].decode("utf-8", "replace").strip().partition("\n")[0])[:300]


class _Deadline:
    """Shuts a set of sockets when the time is up; `over` is True once it did."""

    def __init__(self, sockets: weakref.WeakSet[socket.socket], seconds: float) -> None:
        self.over = False
        self._sockets = sockets
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.name = "deadline of Prometheus"

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.over = True
        shut_sockets(self._sockets)


def shut_sockets(sockets: weakref.WeakSet[socket.socket]) -> None:
    """End reads from these sockets in any thread: a blocked read returns at once."""
    for one in list(sockets):
        with contextlib.suppress(OSError):  # already closed
            # Shut down the socket below TLS: a TLS close could block as well.
            socket.socket.shutdown(one, socket.SHUT_RDWR)


class Adapter(HTTPAdapter):
    """Sends one request at a time and reads its answer whole, within `limit_s` seconds."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self.poolmanager.pool_classes_by_scheme = _pools(self.sockets)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Raises what requests raises, or TooLarge, ConnectionCut, ResponseTimeout."""
        until = time.monotonic() + self.limit_s
        with _Deadline(self.sockets, self.limit_s) as deadline:
            try:
                wait = (min(CONNECT_S, self.limit_s), self.limit_s)
                response = super().send(request, stream=True, timeout=wait, verify=verify, cert=cert)
                body, on_wire = _read(response, until)
            except (TooLarge, ResponseTimeout):
                shut_sockets(self.sockets)  # the rest is not waited for
                raise
            except Exception as error:
                if deadline.over:
                    raise ResponseTimeout from None
                if isinstance(error, urllib3.exceptions.HTTPError | HTTPException | OSError) and not isinstance(
                    error, requests.RequestException
                ):
                    raise ConnectionCut(f"{type(error).__name__}: {error}") from error
                raise
            if deadline.over:
                raise ResponseTimeout
        answer = CompleteResponse()
        answer.__dict__.update(response.__dict__, _content=body, _content_consumed=True)
        answer.on_wire = on_wire
        return answer


def _read(response: requests.Response, until: float) -> tuple[bytes, int]:
    """The decompressed body and its size on the wire."""
    coding = response.headers.get("Content-Encoding", "identity").lower()
    if coding not in {"identity", "gzip", "deflate", ""}:
        raise MalformedResponse(f"it is packed with {coding!r}, which was not asked for")
    unpack = zlib.decompressobj(47) if coding in {"gzip", "deflate"} else None
    parts: list[bytes] = []
    size = on_wire = 0
    while chunk := response.raw.read(_CHUNK, decode_content=False):
        on_wire += len(chunk)
        if time.monotonic() > until:
            raise ResponseTimeout
        if unpack is not None:
            try:
                chunk = unpack.decompress(chunk, MAX_BYTES + 1 - size)
            except zlib.error as error:
                raise MalformedResponse(f"it cannot be unpacked: {error}") from None
        size += len(chunk)
        if on_wire > MAX_WIRE_BYTES or size > MAX_BYTES or (unpack is not None and unpack.unconsumed_tail):
            raise TooLarge
        parts.append(chunk)
    response.raw.release_conn()
    if unpack is not None and on_wire and not unpack.eof:
        raise ConnectionCut("it ends in the middle")
    return b"".join(parts), on_wire


def _pools(sockets: weakref.WeakSet[socket.socket]) -> dict[str, Any]:
    """Connection pools whose sockets another thread can shut."""

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            if self.sock is not None:
                sockets.add(self.sock)

    class Tls(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            if self.sock is not None:
                sockets.add(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


class Session(requests.Session):
    """A session that uses only the given address."""

    def __init__(self, adapter: Adapter, ca: str | None) -> None:
        super().__init__()
        self.only = adapter
        self.trust_env = False
        self.verify = ca or ssl.get_default_verify_paths().cafile or True
        self.headers.update({"Accept-Encoding": "gzip", "Accept": "application/json", "User-Agent": "wacht"})
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_adapter(self, url: str | bytes) -> BaseAdapter:
        """Always our adapter, whatever the library mounts: its own retries four times, with waits."""
        return self.only

    def request(self, method: str | bytes, url: str | bytes, *words: Any, **named: Any) -> requests.Response:
        """Never follows a redirect."""
        named["allow_redirects"] = False
        return super().request(method, url, *words, **named)

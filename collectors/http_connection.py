"""An HTTP connection with a deadline for the whole answer.

httpx's time-outs start again with every byte, so a slowly dripping server would never time out. Here the socket itself
has the deadline: every read and write waits only for the time that is left.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from .clean import clean
from .model import SourceFault
from .web import ca_file

#: Longest time for connecting, within the deadline.
CONNECT_S = 5.0


def transport_over(wire: Wire, context: ssl.SSLContext) -> httpx.HTTPTransport:
    """An httpx transport with one connection over this network; proxies in the environment are ignored."""
    transport = httpx.HTTPTransport(verify=context, trust_env=False)
    # httpx cannot take a network backend; httpcore, which it is built on, can.
    transport._pool = httpcore.ConnectionPool(
        ssl_context=context, max_connections=1, keepalive_expiry=60.0, network_backend=wire
    )
    return transport


def trusted_certificates(ca: str | None) -> ssl.SSLContext:
    """The trusted certificates: those of a file, or this computer's. Raises SourceFault."""
    file = ca_file(ca) if ca else None
    try:
        return ssl.create_default_context(cafile=file)
    except (ssl.SSLError, OSError) as error:
        raise SourceFault("auth", f"{file} holds no certificates: {clean(str(error))}", "see ca") from None


class Wire(httpcore.SyncBackend):
    """A network whose operations all end at `until` (monotonic), and whose one connection can be cut.

    With a `path` every connection goes to that unix socket, whatever the address.
    """

    def __init__(self, path: str | None = None) -> None:
        super().__init__()
        self._path = path
        self.until = 0.0
        self.stream: Stream | None = None

    def left(self, late: type[httpcore.TimeoutException]) -> float:
        """Seconds left. Raises `late` if there are none."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise late("the answer had not ended in time")
        return seconds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect within the time left, CONNECT_S at most."""
        limit = min(CONNECT_S, self.left(httpcore.ConnectTimeout))
        if self._path is not None:
            inner = super().connect_unix_socket(self._path, limit)
        else:
            inner = super().connect_tcp(host, port, limit, local_address, socket_options)
        self.stream = Stream(inner, self)
        return self.stream

    def cut(self) -> None:
        """End a read in any thread: a blocked read returns at once."""
        one = self.stream.get_extra_info("socket") if self.stream is not None else None
        if one is not None:
            with contextlib.suppress(OSError):  # already closed
                # Shut down the socket below TLS: a TLS close could block as well.
                socket.socket.shutdown(one, socket.SHUT_RDWR)


def end_requests(wire: Wire, asking: threading.Lock, http: httpx.Client) -> None:
    """End a client's requests, from any thread. A request in progress fails at the cut; nothing is closed twice."""
    wire.cut()
    if asking.acquire(blocking=False):
        try:
            http.close()
        finally:
            asking.release()


class Stream(httpcore.NetworkStream):
    """One connection; every wait is limited to the time left."""

    def __init__(self, inner: httpcore.NetworkStream, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._wire.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._wire.left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()
        self._wire.stream = None

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = min(CONNECT_S, self._wire.left(httpcore.ConnectTimeout))
        secured = Stream(self._inner.start_tls(ssl_context, server_hostname, limit), self._wire)
        self._wire.stream = secured
        return secured

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

"""An HTTP connection with a deadline for the whole answer.

httpx's time-outs start again with every byte, so a slowly dripping server would never time out. Here the socket itself
has the deadline: every read and write waits only for the time that is left.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpcore
import httpx

from collectors import files
from collectors.clean import clean
from collectors.model import SourceFault

#: Longest time for connecting, within the deadline.
CONNECT_S = 5.0


def transport_over(network: DeadlineNetwork, context: ssl.SSLContext) -> httpx.HTTPTransport:
    """An httpx transport with one connection over this network; proxies in the environment are ignored."""
    transport = httpx.HTTPTransport(verify=context, trust_env=False)
    # httpx cannot take a network backend; httpcore, which it is built on, can.
    transport._pool = httpcore.ConnectionPool(
        ssl_context=context, max_connections=1, keepalive_expiry=60.0, network_backend=network
    )
    return transport


def trusted_certificates(ca: str | None) -> ssl.SSLContext:
    """The trusted certificates: those of a file, or this computer's. Raises SourceFault."""
    file = ca_file(ca) if ca else None
    try:
        return ssl.create_default_context(cafile=file)
    except (ssl.SSLError, OSError) as error:
        raise SourceFault("auth", f"{file} holds no certificates: {clean(str(error))}", "see ca") from None


def ca_file(ca: str) -> Path:
    """The file with trusted certificates: anyone who can write it can impersonate the server. Raises SourceFault."""
    path = Path(ca).expanduser()
    mend = "name the site's certificates with ca"
    try:
        with files.open_to_read(path):
            return path
    except FileNotFoundError:
        raise SourceFault("missing", f"there is no file {path}", mend) from None
    except OSError as error:
        raise SourceFault("auth", f"cannot read the certificates {path}: {error.strerror}", mend) from None
    except files.UntrustedFile as error:
        raise SourceFault("auth", f"the certificates {path} are not used: {error}", mend) from None


class DeadlineNetwork(httpcore.SyncBackend):
    """A network whose operations all end at `deadline` (monotonic), and which any thread can close.

    With a `socket_path` every connection goes to that unix socket, whatever the address.
    """

    def __init__(self, socket_path: str | None = None) -> None:
        super().__init__()
        self._path = socket_path
        self._closed = False
        self.deadline = 0.0
        self.stream: DeadlineStream | None = None
        """The one connection, while it is open."""

    def remaining(self, late: type[httpcore.TimeoutException]) -> float:
        """Seconds left. Raises `late` if there are none, or after `close`."""
        seconds = self.deadline - time.monotonic()
        if seconds <= 0 or self._closed:
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
        limit = min(CONNECT_S, self.remaining(httpcore.ConnectTimeout))
        if self._path is not None:
            inner = super().connect_unix_socket(self._path, limit)
        else:
            inner = super().connect_tcp(host, port, limit, local_address, socket_options)
        self.stream = DeadlineStream(inner, self)
        return self.stream

    def close(self) -> None:
        """End a running operation of any thread, and allow no more."""
        self._closed = True
        self.cut()

    def cut(self) -> None:
        """Shut the connection: a blocked read of any thread returns at once."""
        one = self.stream.get_extra_info("socket") if self.stream is not None else None
        if one is not None:
            with contextlib.suppress(OSError):  # already closed
                # Shut down the socket below TLS: a TLS close could block as well.
                socket.socket.shutdown(one, socket.SHUT_RDWR)


class DeadlineStream(httpcore.NetworkStream):
    """One connection; every wait is limited to the time left."""

    def __init__(self, inner: httpcore.NetworkStream, network: DeadlineNetwork) -> None:
        self._inner = inner
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._network.remaining(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._network.remaining(httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()
        self._network.stream = None

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = min(CONNECT_S, self._network.remaining(httpcore.ConnectTimeout))
        secured = DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, limit), self._network)
        self._network.stream = secured
        return secured

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

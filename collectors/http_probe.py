"""One GET request to an HTTP server that is not a reading: its settings, its state, the time in its header.

For `wacht doctor`. It uses only GET, has one deadline and a small size limit and follows no redirects. The token is
read from its file as for readings, and sent to this address only.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import httpx
from msgspec import Struct

from .bearer_token import read_token
from .clean import clean
from .clock import ClockSkew, skew_of
from .http_connection import Wire, transport_over, trusted_certificates
from .model import SourceFault
from .web import WebSettings

#: Alertmanager's status holds its whole configuration.
MAX_BYTES = 4 << 20


class HttpProbe(Struct, frozen=True, kw_only=True):
    """The answer to one request."""

    status: int
    body: bytes
    moment: ClockSkew | None
    """The server's clock, if its header has a date (to the second)."""


def probe_http(settings: WebSettings, path: str, deadline_s: float) -> HttpProbe:
    """The answer to GET `path` (appended to the url), whatever its status. Raises SourceFault if there is none."""
    wire = Wire()
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "wacht"}
    if settings.token_file:
        headers["Authorization"] = f"Bearer {read_token(settings.token_file).reveal()}"
    wire.until = time.monotonic() + deadline_s
    transport = transport_over(wire, trusted_certificates(settings.ca))
    try:
        with httpx.Client(transport=transport, trust_env=False, follow_redirects=False, headers=headers) as http:
            sent = time.time()
            with http.stream("GET", settings.url.rstrip("/") + path) as answer:
                received = time.time()
                body = b""
                for chunk in answer.iter_raw():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise SourceFault("malformed", f"{path} gave more than wacht ever reads")
                return HttpProbe(
                    status=answer.status_code, body=body, moment=_moment(answer.headers.get("Date"), sent, received)
                )
    except httpx.TimeoutException:
        raise SourceFault("timeout", f"no answer to {path} within {deadline_s:g} s") from None
    except httpx.HTTPError as error:
        raise SourceFault("cut", f"no answer to {path}: {clean(str(error)[:200]) or type(error).__name__}") from None


def _moment(date: str | None, sent: float, received: float) -> ClockSkew | None:
    try:
        said = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
    return skew_of(said, 1.0, sent, received)

"""What can go wrong with an HTTP server, as faults for people. Imports no HTTP library."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from collectors.clean import clean
from collectors.model import SourceFault

REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Longest error answer that is decoded as JSON.
_MAX_JSON = 1 << 16


class HttpUnsent(SourceFault):
    """The server certainly did not see the request: no connection, or no token to send."""


class HttpUnreadable(SourceFault):
    """The answer arrived, but is not read: it is packed in a way that was not asked for."""


class HttpTooLarge(HttpUnreadable):
    """The answer is larger than any that is expected of this server."""


class HttpRefusal(SourceFault):
    """The server answered with another status than 200: `code`, with `content` as its body and `said` as its words."""

    def __init__(
        self, kind: str, what: str, mend: str, rest_s: float = 0.0, *, code: int, said: str, content: bytes
    ) -> None:
        super().__init__(kind, what, mend, rest_s)
        self.code = code
        self.said = said
        self.content = content


class HttpServer(Struct, frozen=True, kw_only=True):
    """A kind of server, and how to fix what goes wrong with it."""

    name: str
    unauthorized: str
    """For 401 and 403."""
    not_found: str
    """For 404."""
    overloaded: str = "is it overloaded?"
    """For no answer in time."""
    too_large: str = ""
    """For an answer that is too large."""
    gateway: str = ""
    """For 502 and 504 of a server that passes requests on to another: a timeout."""


class HttpAnswer(Struct, frozen=True):
    """A whole answer, whatever its status. The names of `headers` are in lower case."""

    code: int
    headers: Mapping[str, str]
    content: bytes


def refusal_of(server: HttpServer, where: str, subject: str, answer: HttpAnswer) -> HttpRefusal:
    """The fault of an answer with another status than 200. `subject` is what was asked for."""
    code, said = answer.code, error_text(answer.content)
    what = f"{where} answered {code} to {subject}" + (f": {said}" if said else "")
    kind, mend, rest_s = "refused", "see its log", 0.0
    if code in REDIRECTS:
        what = f"{where} sends to {clean(answer.headers.get('location', 'nowhere')[:200])}: not followed"
        mend = "write that as url"
    elif code in {401, 403}:
        kind, mend = "auth", server.unauthorized
    elif code == 404:
        kind, mend = "missing", server.not_found
    elif code in {429, 503}:
        mend, rest_s = parse_retry_after(answer.headers.get("retry-after", ""))
        kind, mend = "backoff", mend or "wacht waits longer"
    elif code in {502, 504} and server.gateway:
        kind, mend = "timeout", server.gateway
    return HttpRefusal(kind, what, mend, rest_s, code=code, said=said, content=answer.content)


def error_text(content: bytes) -> str:
    """The server's words in an error answer: `error` or `message` of JSON, a JSON string, else its first line."""
    try:
        said = msgspec.json.decode(content) if len(content) <= _MAX_JSON else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    if isinstance(said, dict):
        said = said.get("error") or said.get("message")
    text = said if isinstance(said, str) and said else content[:300].decode("utf-8", "replace").strip().split("\n")[0]
    return clean(text[:300])


def parse_retry_after(retry_after: str) -> tuple[str, float]:
    """A server's Retry-After in words and in seconds; "" and 0 if it has no number of seconds."""
    text = retry_after.strip()
    known = text.isascii() and text.isdecimal() and len(text) < 7
    return (f"it asks to wait {text} s", float(text)) if known else ("", 0.0)

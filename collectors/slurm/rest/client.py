"""Asks slurmrestd, and turns errors into named faults.

The body reports errors whatever the status: 24.11 answers 200 to much that it did not do, and status codes differ by
version.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from msgspec import MsgspecError, Struct, field

from collectors import process
from collectors.bearer_token import Secret
from collectors.clean import clean
from collectors.clock import ClockSkew, skew_of
from collectors.decoding import from_json
from collectors.http.client import HttpClient
from collectors.http.http_faults import HttpRefusal, HttpServer
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.transport import ServerInfo

from .jwt import Tokens
from .stream import Pieces

A = TypeVar("A", bound="RestEnvelope")

#: The data parsers that wacht knows, newest first: 24.11 has 40 to 42, 25.11 41 to 44, 26.05 42 to 45.
PARSERS = (45, 44, 43, 42, 41, 40)
#: Most bytes of one answer: 100,000 single jobs are 0.9 GB, and are decoded piece by piece.
MAX_BYTES = 2 << 30
#: Most bytes of an answer that is decoded whole: all tasks of an array of 10,000 are 80 MB.
_WHOLE = 256 << 20
#: Most bytes of the answer to a change.
_SMALL = 8 << 20
_NO_SUCH_URL = re.compile(rb"Unable (to )?find requested URL")

#: The controller's errors by number (slurm_errno.h): a kind, and how to fix it.
_NUMBERED = {
    1007: ("auth", "has slurmrestd munge with the cluster's key?"),
    2002: ("auth", "ask the site for the right to do this"),
    2010: ("auth", "ask the site for the right to do this"),
    1801: ("refused", "is slurmctld up?"),
    1802: ("refused", "is slurmctld up?"),
    1803: ("refused", "is slurmctld up?"),
    5005: ("timeout", "the controller is overloaded or hung"),
    2185: ("backoff", "the controller limits this user's calls; wacht waits longer"),
}


#: SLURM_PROTOCOL_AUTHENTICATION_ERROR: with HTTP 511, slurmctld's answer to a bad token (24.11, 26.05).
BAD_CREDENTIALS = 1007
#: Unauthorized, and Network Authentication Required: for partitions slurmrestd gives no more (26.05.5).
_WHO = frozenset({401, 511})


class Error(Struct, gc=False):
    """One of the errors in a body."""

    error: str | None = None
    error_number: int | None = None
    description: str | None = None

    def __str__(self) -> str:
        said = [clean(text) for text in (self.error, self.description) if text]
        return ": ".join(said)[:300] or f"error {self.error_number}"


class _Slurm(Struct, gc=False):
    release: str | None = None
    cluster: str | None = None


class _Plugin(Struct, gc=False):
    accounting_storage: str | None = None


class _Meta(Struct, gc=False):
    slurm: _Slurm | None = None
    plugin: _Plugin | None = None


class RestEnvelope(Struct):
    """The fields of every answer besides its facts."""

    errors: list[Error] | None = field(default_factory=list)
    meta: _Meta | None = None


class RestRefusal(SourceFault):
    """The server refused. `code` is its HTTP status, `errors` the errors in its answer."""

    def __init__(
        self, kind: str, what: str, mend: str, code: int, errors: Sequence[Error], rest_s: float = 0.0
    ) -> None:
        super().__init__(kind, what, mend, rest_s)
        self.code = code
        self.errors = tuple(errors)

    @property
    def of_token(self) -> bool:
        """Whether it refuses the caller: slurmrestd for a missing token, or slurmctld for an expired or wrongly signed
        one."""
        return self.code in _WHO or self.has(BAD_CREDENTIALS)

    def has(self, number: int) -> bool:
        """Whether one of its errors has this number (slurm_errno.h)."""
        return any(one.error_number == number for one in self.errors)


class Ping(Struct, gc=False):
    """One controller's answer. From v0.0.43 on there is no `pinged`, in v0.0.45 no `mode`."""

    hostname: str | None = None
    responding: bool | None = None
    pinged: str | None = None
    mode: str | None = None
    primary: bool | None = None

    @property
    def up(self) -> bool:
        """Whether it responds."""
        return self.responding is True or self.pinged == "UP"


class Pings(RestEnvelope):
    """GET /ping/."""

    pings: list[Ping] | None = None

    def up(self) -> bool:
        """Whether one of the controllers responds."""
        return any(one.up for one in self.pings or [])


class RestServer:
    """One slurmrestd, shared by all clients of this process: its data parser, whether it has slurmdbd, its tokens."""

    _known: dict[tuple[str | None, ...], RestServer] = {}  # noqa: RUF012 - the one memory of the process
    _lock = threading.Lock()

    def __init__(self, settings: SlurmSettings) -> None:
        self.server_info: ServerInfo | None = None
        self.tokens = Tokens(settings.token_file, settings.user) if settings.token_file or settings.url else None

    @classmethod
    def of(cls, settings: SlurmSettings) -> RestServer:
        """The shared instance for these settings."""
        key = (settings.url, settings.socket, settings.token_file, settings.user)
        with cls._lock:
            return cls._known.setdefault(key, cls(settings))

    @classmethod
    def forget(cls) -> None:
        """Forget everything, as a new process."""
        with cls._lock:
            cls._known.clear()


class RestClient:
    """Asks one slurmrestd, one request at a time; threads may share it, and any may close it."""

    def __init__(self, settings: SlurmSettings, deadline_s: float | None = None) -> None:
        """Raises SourceFault if the site's certificates are missing or invalid."""
        self._settings = settings
        self._limit = deadline_s or settings.deadline_s
        self._server = RestServer.of(settings)
        self._used: Secret | None = None
        """The token that was sent last."""
        server = HttpServer(
            name="slurmrestd",
            unauthorized=self._who(),
            not_found="is that slurmrestd, and of a version that wacht knows?",
            overloaded="is slurmctld or slurmrestd overloaded?",
            gateway="is slurmctld overloaded or hung?",
        )
        self._http = HttpClient(
            server, settings.url or "http://localhost", timeout_s=self._limit, ca=settings.ca,
            socket_path=settings.socket, headers=self._headers,
        )  # fmt: skip
        self.where = self._http.where

    @property
    def size(self) -> int:
        """Bytes of all answers so far."""
        return self._http.received

    # -- questions -----------------------------------------------------------------------------------------------------

    def server_info(self) -> ServerInfo:
        """The newest data parser that both sides know, and whether there is a slurmdbd. Asks once; raises
        SourceFault."""
        if self._server.server_info is None:
            self.ping()
        assert self._server.server_info is not None
        return self._server.server_info

    def ping(self) -> Pings:
        """Find the data parser again, and whether the controller responds. Raises SourceFault."""
        for number in PARSERS:
            try:
                answer = self._ask(f"/slurm/v0.0.{number}/ping/", Pings)
            except RestRefusal as error:
                if error.code != 404:
                    raise
                continue
            plugin = answer.meta.plugin if answer.meta is not None else None
            dbd = plugin is not None and "slurmdbd" in (plugin.accounting_storage or "")
            self._server.server_info = ServerInfo(parser=number, slurmdbd=dbd)
            return answer
        first, last = PARSERS[-1], PARSERS[0]
        raise SourceFault("missing", f"{self.where} has none of the data parsers v0.0.{first} to v0.0.{last}",
                          "is that slurmrestd, of Slurm 23.11 or later?")  # fmt: skip

    def controllers(self, answer: Pings) -> Pings:
        """The answer to a ping, repeated as another request if no controller responded: for a refused token /ping/ says
        only that, with status 200 (26.05.5). Raises SourceFault with the reason."""
        if answer.up():
            return answer
        self.get("diag/", RestEnvelope)
        return self.get("ping/", Pings)

    def get(self, path: str, kind: type[A], *, database: bool = False) -> A:
        """The whole answer to a request. `path` is the part after the version. Raises SourceFault."""
        return self._ask(self._path(path, database), kind)

    def pieces(self, path: str, key: str, kind: type[A], patience: float = 1.0) -> Iterator[A]:
        """The answer to a request, in pieces as they arrive; errors are raised with the last.

        It may take `patience` times the deadline. Raises SourceFault.
        """
        at = self._path(path)
        began = renewed = False
        while True:
            process.count_request()
            try:
                with self._http.stream("GET", at, max_bytes=MAX_BYTES, patience=patience) as chunks:
                    for piece in Pieces(key, kind).take(chunks):
                        self._check(at, piece)
                        began = True
                        yield piece
                return
            except (HttpRefusal, RestRefusal) as error:
                refusal = self._refusal_of(at, error)
                if began or renewed or not self._renewed(refusal):
                    raise refusal from None
                renewed = True

    def change(self, method: str, path: str, body: bytes | None, kind: type[A]) -> A:
        """Send a change once, whatever happens; the caller reads the errors in its answer.

        Raises SourceFault; RestRefusal if the server refuses, HttpUnsent if it certainly never arrived.
        """
        try:
            content = self._http.ask(method, path, body=body, max_bytes=_SMALL).content
        except HttpRefusal as error:
            refusal = self._refusal_of(path, error)
            self._renewed(refusal)
            raise refusal from None
        try:
            return from_json(content, kind)
        except (MsgspecError, UnicodeDecodeError, ValueError):
            raise SourceFault("malformed", f"{self.where} answered {path} with no JSON that wacht knows") from None

    def close(self) -> None:
        """End a running request, from any thread, and accept no more."""
        self._http.close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _path(self, rest: str, database: bool = False) -> str:
        return f"/slurm{'db' if database else ''}/v0.0.{self.server_info().parser}/{rest}"

    def _ask(self, path: str, kind: type[A]) -> A:
        renewed = False
        while True:
            process.count_request()
            try:
                answer = self._http.ask("GET", path, max_bytes=_WHOLE)
                (whole,) = Pieces("", kind, _WHOLE).take([answer.content])
                self._check(path, whole)
                return whole
            except (HttpRefusal, RestRefusal) as error:
                refusal = self._refusal_of(path, error)
                if renewed or not self._renewed(refusal):
                    raise refusal from None
                renewed = True

    def _renewed(self, error: RestRefusal) -> bool:
        """Whether the token was refused and a new one is available for a retry."""
        tokens, used = self._server.tokens, self._used
        if tokens is None or used is None or not error.of_token:
            return False
        tokens.refused(used)
        try:
            return tokens.get(self._limit).reveal() != used.reveal()
        except SourceFault:
            return False

    def _check(self, path: str, answer: RestEnvelope) -> None:
        if answer.errors:
            raise self._refusal(path, 200, answer.errors)

    def _headers(self) -> dict[str, str]:
        if self._server.tokens is None:
            return {}
        token = self._used = self._server.tokens.get(self._limit)
        user = {"X-SLURM-USER-NAME": self._settings.user} if self._settings.user else {}
        return {"X-SLURM-USER-TOKEN": token.reveal(), **user}

    def _refusal_of(self, path: str, error: HttpRefusal | RestRefusal) -> RestRefusal:
        """The refusal of an answer with another status than 200, with the errors in its body."""
        if isinstance(error, RestRefusal):
            return error
        code, fault = error.code, error.fault
        errors: list[Error] = []
        with contextlib.suppress(MsgspecError, ValueError, RecursionError):
            errors = from_json(error.content, RestEnvelope).errors or []
        if code == 404 and path.startswith("/slurm/") and _NO_SUCH_URL.search(error.content):
            self._server.server_info = None  # the server may have another version by now
        if errors or code == 511:
            return self._refusal(path, code, errors or [Error("Protocol authentication error", BAD_CREDENTIALS)])
        return RestRefusal(fault.kind, fault.what, fault.mend, code, errors, fault.rest_s)

    def _who(self) -> str:
        if self._settings.token_file:
            return f"write a new one to {self._settings.token_file}: scontrol token lifespan=43200, on that cluster"
        if self._server.tokens is not None:
            return "`scontrol token` made it: is the cluster of this computer's slurm.conf the one behind url?"
        return "on a socket slurmrestd knows only root and its own user, started with -a rest_auth/local; or token_file"

    def _refusal(self, path: str, code: int, errors: Sequence[Error]) -> RestRefusal:
        if self._server.tokens is not None and any(one.error_number == BAD_CREDENTIALS for one in errors):
            told = f"{self.where} refuses the token: it has expired, or the key of another cluster signed it"
            return RestRefusal("auth", told, self._who(), code, errors)
        numbered = (_NUMBERED[one.error_number] for one in errors if one.error_number in _NUMBERED)
        kind, mend = next(numbered, ("refused", "see the log of slurmrestd"))
        return RestRefusal(kind, f"{self.where} says to {path}: {errors[0]}", mend, code, errors)


def server_info_of(settings: SlurmSettings, deadline_s: float | None = None) -> ServerInfo:
    """What is known of this slurmrestd; read once per process. Raises SourceFault."""
    known = RestServer.of(settings).server_info
    if known is not None:
        return known
    client = RestClient(settings, deadline_s)
    try:
        return client.server_info()
    finally:
        client.close()


# -- for `wacht doctor` ------------------------------------------------------------------------------------------------


class _Number(Struct, gc=False):
    number: float | None = None


class _ClockStatistics(Struct, gc=False):
    req_time: _Number | None = None


class _Diagnostics(RestEnvelope):
    statistics: _ClockStatistics | None = None


def controller_clock(settings: SlurmSettings) -> ClockSkew:
    """The controller's clock, to the second, from its figures. Raises SourceFault."""
    client = RestClient(settings)
    try:
        client.server_info()  # the first request opens the connection, which takes time
        sent = time.time()
        found = client.get("diag/", _Diagnostics).statistics
        said = found.req_time.number if found is not None and found.req_time is not None else None
        if not said:
            raise SourceFault("malformed", "slurmrestd has no time in /diag/")
        return skew_of(said, 1.0, sent, time.time())
    finally:
        client.close()

"""The JSON Web Token for slurmrestd, from a file or from `scontrol token`, renewed before it expires, never shown."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from collectors import process
from collectors.bearer_token import Secret, read_token
from collectors.clean import clean, decode
from collectors.decoding import from_json
from collectors.model import SourceFault

#: Lifetime in seconds of a token made here, and how long before its end it is renewed.
LIFESPAN_S = 1800
RENEW_S = 300
#: A file's token is used up to its last second; two hosts' clocks may differ by this much.
_SKEW_S = 30


class _Claims(Struct):
    exp: float | None = None
    iat: float | None = None
    sun: str | None = None


def claims(token: Secret) -> _Claims:
    """The claims of a token: when it was made, its expiry, its user; empty if it is unreadable."""
    parts = token.reveal().split(".")
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return from_json(raw, _Claims)
    except (IndexError, ValueError, binascii.Error, msgspec.MsgspecError):
        return _Claims()


class Tokens:
    """The tokens of one slurmrestd. Threads may share it."""

    def __init__(self, file: str | None, user: str | None, now: Callable[[], float] = time.time) -> None:
        self._file = file
        self._user = user
        self._now = now
        self._lock = threading.Lock()
        self._made: tuple[Secret, float] | None = None

    def get(self, deadline_s: float) -> Secret:
        """A valid token. Raises SourceFault("auth") without one, or if it has expired."""
        if self._file is None:
            return self._own(deadline_s)
        token = read_token(self._file)
        ends = claims(token).exp
        if ends is not None and ends + _SKEW_S < self._now():
            raise SourceFault("auth", f"the token in {self._file} ended {self._now() - ends:.0f} s ago",
                              "write a new one there: scontrol token lifespan=43200")  # fmt: skip
        return token

    def refused(self, token: Secret) -> None:
        """Discard a token that the server refused: if it was made here, the next `get` makes a new one."""
        with self._lock:
            if self._made is not None and self._made[0] is token:
                self._made = None

    def _own(self, deadline_s: float) -> Secret:
        """The shared token from `scontrol token`, renewed if it is about to expire. Raises SourceFault."""
        with self._lock:
            if self._made is None or self._made[1] - RENEW_S < self._now():
                self._made = None
                token = made(self._user, deadline_s)
                ends = claims(token).exp
                self._made = token, self._now() + LIFESPAN_S if ends is None else ends
            return self._made[0]


def made(user: str | None, deadline_s: float) -> Secret:
    """A new token from `scontrol token`. Raises SourceFault."""
    words = ["token", f"lifespan={LIFESPAN_S}", *([f"username={user}"] if user else [])]
    ended = process.run([process.find("scontrol"), *words], deadline_s=deadline_s, cap_bytes=1 << 16)
    for line in decode(ended.out).splitlines():
        name, equal, text = line.partition("=")
        if equal and name == "SLURM_JWT" and text.isascii() and text.isprintable() and " " not in text:
            return Secret(text)
    # Its output is not repeated: it may contain part of a token.
    said = clean(ended.err.split("\\n")[0][:200]) or f"exit status {ended.rc}"
    raise SourceFault("auth", f"scontrol token made none: {said}", "name a token_file, or set AuthAltTypes=auth/jwt")

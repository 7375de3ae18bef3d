"""A bearer token: in a file that its owner alone can read, and in a value that no log shows."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from collectors.model import SourceFault

LARGEST = 16_384


class Secret:
    """A text that shows itself only when asked to."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down")


def read_token(path: str) -> Secret:
    """The token in a file. Raises SourceFault("auth") where others could read it, it is another's, or it is none."""
    where = Path(path).expanduser()
    try:
        # Not blocking: a FIFO would wait for ever for its other end.
        descriptor = os.open(where, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SourceFault("auth", f"cannot read the token file {where}: {error.strerror}", "see token_file") from None
    try:
        # Of what was opened, not of the name: that may be another file by now.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceFault("auth", f"the token file {where} is no plain file", "see token_file")
        if status.st_mode & 0o077:
            raise SourceFault("auth", f"others can read the token file {where}", f"try: chmod 600 {where}")
        if status.st_uid not in (os.geteuid(), 0):
            raise SourceFault("auth", f"the token file {where} belongs to uid {status.st_uid}", "make a copy")
        raw = os.read(descriptor, LARGEST + 1)
    finally:
        os.close(descriptor)
    token = raw.decode("ascii", "replace").strip()
    if not token or len(raw) > LARGEST or not token.isascii() or not token.isprintable() or " " in token:
        raise SourceFault("auth", f"the token file {where} holds no token: one word is what it takes", "see token_file")
    return Secret(token)

"""A bearer token in a file that its owner alone can read."""

from __future__ import annotations

from pathlib import Path

from . import files
from .model import SourceFault
from .redaction import Secret

__all__ = ["Secret", "read_token"]

MAX_BYTES = 16_384


def read_token(path: str) -> Secret:
    """The token in a file. Raises SourceFault("auth") if others could read it, another user owns it, or it is
    invalid."""
    where = Path(path).expanduser()
    try:
        raw = files.read(where, MAX_BYTES, files.SECRET)
    except OSError as error:
        raise SourceFault("auth", f"cannot read the token file {where}: {error.strerror}", "see token_file") from None
    except files.UntrustedFile as error:
        mend = f"try: {error.mend}" if error.mend else "see token_file"
        raise SourceFault("auth", f"the token file {where} is not used: {error.what}", mend) from None
    token = raw.decode("ascii", "replace").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SourceFault("auth", f"the token file {where} holds no token: one word is what it takes", "see token_file")
    return Secret(token)

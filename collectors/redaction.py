"""Keeps tokens out of logs, and removes them from texts that others send.

A server that refuses a token may repeat it in its answer, and a proxy may repeat whole headers; that answer is shown as
a fault.
"""

from __future__ import annotations

import re

#: A prefix of a token that already identifies it. A text shorter than `_LEAST` is no useful token, and may be a
#: part of ordinary words.
_HEAD, _LEAST = 12, 8
#: Tokens that are remembered. There are more only if they are renewed, and then the old ones have expired.
_MOST = 32
_known: dict[str, re.Pattern[str]] = {}


class Secret:
    """A text that is shown only by `reveal`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) >= _LEAST and text not in _known:
            while len(_known) >= _MOST:
                _known.pop(next(iter(_known)), None)
            _known[text] = re.compile(rf"{re.escape(text[:_HEAD])}[^\s\"']*" if len(text) > _HEAD else re.escape(text))

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down")


def redact(text: str) -> str:
    """The text with every secret of this process, and the beginning of one, removed."""
    for pattern in list(_known.values()):
        text = pattern.sub("(secret)", text)
    return text

"""Texts that are shown nowhere: a token in a value that no log shows, and its shadow in what others say.

A server that refuses a token may repeat it in its answer, and a proxy whole headers; that answer is shown as a fault.
"""

from __future__ import annotations

import re

#: Of a token that was cut somewhere this much gives it away. What is shorter than `_LEAST` is no token of any use, and
#: may be a part of ordinary words.
_HEAD, _LEAST = 12, 8
#: Tokens that are remembered; more there are only where they are renewed, and the old ones have ended.
_MOST = 32
_known: dict[str, re.Pattern[str]] = {}


class Secret:
    """A text that shows itself only when asked to."""

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
    """The text without any secret of this process, or the beginning of one."""
    for pattern in list(_known.values()):
        text = pattern.sub("(secret)", text)
    return text

"""The list of what may be written to a terminal: everything else in the bytes of a program is a fault.

It reads the bytes as a terminal does (ECMA-48, xterm's ctlseqs), not as the program meant them, so that text in which a
sequence hides is found by what it would do.
"""

from __future__ import annotations

import base64
import re
import shlex

from collectors.clean import clean

#: Modes that the console sets and takes back: wrap, cursor, mouse (1000, 1002, 1003, 1006, 1015, 1016), focus,
#: alternate screen, paste, frames in one piece, sizes in band.
_MODES = rb"(?:7|25|1000|1002|1003|1004|1006|1015|1016|1049|2004|2026|2048)"
_CSI = tuple(
    re.compile(rb"\x1b\[" + rest)
    for rest in (
        rb"\d{0,4};?\d{0,4}H",  # go to
        rb"(?:\d{1,3}(?:;\d{1,3})*)?m",  # colours
        rb"\?" + _MODES + rb"[hl]",
        rb"\?1l",  # cursor keys as they were
        rb"\?(?:2026|2048)\$p",  # does the terminal know this mode?
        rb"(?:>25|<)u",  # Kitty's keys on and off
    )
)
_ASK = re.compile(rb"\x1b7\x1b\[2;\d{1,2}H\x1b\[6n\x1b8")
"""Where is the cursor? Asked from a known place, and back."""
_POINTER = re.compile(rb"\x1b\]22;(?:default|pointer|text)\x07")
_LINK = re.compile(rb"\x1b\]8;(?:id=[0-9-]+)?;(?:https://[!-~]{1,492})?\x1b\\")
_COPY = re.compile(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")
_NOTE = re.compile(rb"\x1b\](?:9;|777;notify;)[^\x00-\x1f\x7f]{0,500}\x1b\\")
_TEXT = re.compile(rb"[^\x00-\x1f\x7f]+")
_KEYPAD = b"\x1b>"
"""The keypad as it was, at the end."""
_SYNC = b"\x18\x1b\\"
"""CAN and ST: whatever sequence the terminal was in the middle of ends."""


def faults(raw: bytes, *, links: bool = False, notes: bool = False, copies: int = 0) -> list[str]:
    """What is in these bytes that may not be. `copies`: how often `y` was pressed, which alone fills the clipboard."""
    found: list[str] = []
    at = 0
    while at < len(raw):
        if match := _TEXT.match(raw, at):
            found += _foul(match[0], at)
            at = match.end()
        elif match := next((match for one in (*_CSI, _ASK, _POINTER) if (match := one.match(raw, at))), None):
            at = match.end()
        elif raw.startswith((_SYNC, _KEYPAD), at):
            at += len(_SYNC if raw.startswith(_SYNC, at) else _KEYPAD)
        elif (links and (match := _LINK.match(raw, at))) or (notes and (match := _NOTE.match(raw, at))):
            found += _foul(match[0][2:-2], at)
            at = match.end()
        elif match := _COPY.match(raw, at):
            text = base64.b64decode(match[1]).decode("utf-8", "replace")
            copies -= 1
            if copies < 0 or not _reads(text):
                found.append(f"{at}: the clipboard was given {text[:200]!r}")
            at = match.end()
        elif raw[at : at + 1] == b"\x07" and notes:
            at += 1
        elif raw[at : at + 2] == b"\r\n":
            at += 2
        else:
            found.append(f"{at}: {raw[max(0, at - 20) : at]!r} and then {raw[at : at + 40]!r}")
            at += 1
    return found


def _reads(text: str) -> bool:
    """Whether a shell into which this is pasted waits for Enter, and then runs one reading command and no other."""
    try:
        words = shlex.split(text)
    except ValueError:
        return False
    return clean(text) == text and shlex.join(words) == text and tuple(words[:2]) in _READING


_READING = {("scontrol", "show"), ("amtool", "alert"), ("amtool", "silence"), ("squeue", "-a"), ("wacht", "journal"),
            ("sinfo", "-R")}  # fmt: skip


def plain_faults(raw: bytes) -> list[str]:
    """The same for what commands print: text and line ends alone."""
    found: list[str] = []
    for line in raw.split(b"\n"):
        found += _foul(line, 0)
    return found


def _foul(raw: bytes, at: int) -> list[str]:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return [f"{at}: no UTF-8: {raw[error.start - 20 : error.start + 20]!r}"]
    if clean(text) == text:
        return []
    bad = next((n for n, char in enumerate(text) if clean(char) != char), 0)
    return [f"{at}: steers or hides: {text[max(0, bad - 20) : bad + 20]!r}"]

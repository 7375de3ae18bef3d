"""The audit copy: every journal line also goes to syslog, where the end of a local file cannot be cut off.

A datagram to /dev/log, which journald, rsyslog and syslog-ng all read. The facility is authpriv, the one of sudo and
sshd: sites hide it from other users (the lines hold reasons and job owners) and already forward it off the host.
rsyslog accepts 8,192 bytes by default (`$MaxMessageSize`), journald whatever the socket accepts. A long line is
therefore shortened here, by rule, and marked as cut; its hash is the first field, where no later cut reaches it.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from collectors.nodeset import fold

#: The socket on which syslog listens.
SYSLOG = Path("/dev/log")
#: Bytes in a datagram: below rsyslog's 8,192, with room for a relay's header.
MOST = 8000
TIMEOUT_S = 0.5
#: authpriv (10), notice (5).
_PRIORITY = 10 * 8 + 5
_WORD = 200
_FIRST = ("sum", "event", "id", "action", "kind", "targets")


class Witness:
    """Sends lines to syslog. Opens the socket for each line: syslogd may have restarted."""

    def __init__(self, path: Path | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """`path` None: the machine's own syslog socket."""
        self._path = path
        self.timeout_s = timeout_s

    @property
    def path(self) -> Path:
        """The path of the socket."""
        return self._path or SYSLOG

    def tell(self, line: Mapping[str, Any], total: str) -> str:
        """Send a line with its hash. Returns "" on success, otherwise the error. Blocks for `timeout_s` at most."""
        data = f"<{_PRIORITY}>wacht[{os.getpid()}]: ".encode()
        data += shortened({"sum": total, **line}, MOST - len(data))
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.settimeout(self.timeout_s)
                to.connect(str(self.path))
                to.send(data)
        except TimeoutError:
            return f"{self.path} did not take it in {self.timeout_s:g} s"
        except OSError as error:
            return f"{self.path}: {error.strerror or error}"
        return ""

    def missing(self) -> str:
        """Why syslog cannot be reached, "" when it can. Sends nothing."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.settimeout(self.timeout_s)
                to.connect(str(self.path))
        except OSError as error:
            return f"{self.path}: {error.strerror or error}"
        return ""


def shortened(line: Mapping[str, Any], most: int) -> bytes:
    """The line as compact JSON of at most `most` bytes, shortened step by step and marked as `cut` until it fits.

    First targets are folded and their previous rows dropped, then long texts are cut, then only the head is kept. A
    line that fits keeps its order, so that its hash can be recomputed.
    """
    data = _packed(line)
    for step in (_folded, _clipped, _head):
        if len(data) <= most:
            break
        data = _packed({**step(line), "cut": True})
    return data


def _packed(line: Mapping[str, Any]) -> bytes:
    # ASCII only: safe with any relay's encoding, and without control characters.
    return json.dumps(line, separators=(",", ":")).encode()


def _folded(line: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: line[key] for key in _FIRST if key in line}
    targets = line.get("targets")
    if isinstance(targets, list | tuple):
        kept["targets"] = _names(line, targets)
    for key, value in line.items():
        if key == "outcome" and isinstance(value, dict):
            kept["outcome"] = _by_state(line, value)
        elif key not in kept and key != "seen":
            kept[key] = value
    return kept


def _clipped(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _clip(value) if key not in {"sum", "prev"} else value for key, value in _folded(line).items()}


def _head(line: Mapping[str, Any]) -> dict[str, Any]:
    """A form that always fits: no lists or mappings, and only the beginning of each text."""
    plain: Callable[[Any], bool] = lambda value: value is None or isinstance(value, str | int | float)  # noqa: E731
    clipped = {key: value for key, value in list(_clipped(line).items())[:25] if plain(value)}
    targets = line.get("targets")
    return {**clipped, "target_count": len(targets) if isinstance(targets, list | tuple) else None}


def _clip(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _WORD else f"{value[:_WORD]}…"
    if isinstance(value, list | tuple):
        return [_clip(one) for one in value[:12]]
    if isinstance(value, dict):
        return {str(key)[:_WORD]: _clip(one) for key, one in list(value.items())[:12]}
    return value


def _by_state(line: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, str]:
    """State to its targets."""
    found: dict[str, list[str]] = {}
    for target, outcome_of in outcome.items():
        state = outcome_of.get("state") if isinstance(outcome_of, dict) else None
        found.setdefault(str(state), []).append(target)
    return {state: _names(line, targets) for state, targets in found.items()}


def _names(line: Mapping[str, Any], targets: Any) -> str:
    names = [str(one) for one in targets]
    return fold(names) if line.get("kind") == "node" else ",".join(names)


#: The machine's own syslog.
LOCAL = Witness()

"""A child process of this very program: how it is started, and its own end of the pipes.

`process.Child` is the other end. A library that may hang, exit or crash lives in such a child: NVML, pyslurm.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import collectors

from . import process


def command(module: str, *words: str) -> list[str]:
    """How a module of ours is run. `-P`: what lies in its working directory is not imported."""
    return [sys.executable, "-P", "-m", module, *words]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What it inherits: as any command, where this program and a site's libraries are found, and `extra`."""
    more = {"PYTHONPATH": str(Path(collectors.__file__).resolve().parent.parent)}
    if "LD_LIBRARY_PATH" in os.environ:
        more["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return process.environment({**more, **(extra or {})})


def claim_stdout() -> int:
    """In the child: keep stdout for messages; what a library prints goes to stderr. Returns its number."""
    own = os.dup(1)
    os.dup2(2, 1)
    return own


def read_exactly(size: int) -> bytes:
    """In the child: so many bytes of stdin; fewer at its end."""
    found = b""
    while len(found) < size and (chunk := os.read(0, size - len(found))):
        found += chunk
    return found


def send_message(out: int, body: bytes) -> None:
    """In the child: send one message, whole."""
    frame = memoryview(len(body).to_bytes(4, "big") + body)
    while frame:
        frame = frame[os.write(out, frame) :]

"""A child process of this program: how it is started, and its own ends of the pipes.

`process.Child` is the parent's end. Libraries that may hang, exit or crash run in such a child: NVML, pyslurm.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import collectors

from . import process


def command(module: str, *words: str) -> list[str]:
    """The command that runs a module of ours. `-P`: nothing is imported from the working directory."""
    return [sys.executable, "-P", "-m", module, *words]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The child's environment: a command's, plus the paths of this program and a site's libraries, plus `extra`."""
    more = {"PYTHONPATH": str(Path(collectors.__file__).resolve().parent.parent)}
    if "LD_LIBRARY_PATH" in os.environ:
        more["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return process.environment({**more, **(extra or {})})


def claim_stdout() -> int:
    """In the child: keep stdout for messages and send what a library prints to stderr. Returns the descriptor for
    messages."""
    own = os.dup(1)
    os.dup2(2, 1)
    return own


def read_exactly(size: int) -> bytes:
    """In the child: read `size` bytes of stdin; fewer at its end."""
    found = b""
    while len(found) < size and (chunk := os.read(0, size - len(found))):
        found += chunk
    return found


def send_message(out: int, body: bytes) -> None:
    """In the child: send one whole message."""
    frame = memoryview(len(body).to_bytes(4, "big") + body)
    while frame:
        frame = frame[os.write(out, frame) :]

"""Large pieces of memory come from the system, each for itself, and go back to it."""

from __future__ import annotations

import contextlib
from functools import cache

#: Bytes from which on a piece is one that goes back: an answer of 100,000 jobs is 18 MB, a row some hundred bytes.
LARGE_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3


@cache
def return_large_blocks() -> None:
    """From now on, in this process.

    Left alone, glibc takes the first large piece that is freed for a sign that more will come, and puts the next ones
    of that size among the small ones, where they leave holes: at 12,000 nodes and 100,000 jobs a console grew to 262 MB
    in 90 s without this, and stayed at 172 MB with it (Slurm 26.05, 2 cores, glibc 2.36).
    """
    import ctypes  # late: whoever reads nothing needs none of it

    with contextlib.suppress(OSError, AttributeError):  # another C library: it has its own ways
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)

"""A console that tells of its own stalls: `python -m tests.bench.probe FILE SUBCOMMAND…` runs wacht and writes a line
to FILE for every turn of its event loop that came late.

A timer on the loop is due every BEAT_S; what it comes late is how long a key would have waited. Only from inside can
that be told from a program that had nothing to paint.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, TextIO

BEAT_S = 0.01
LATE_S = 0.01
"""Not worth a line below that."""


def stalls(path: Path, since: float = 0.0) -> list[float]:
    """Milliseconds of each stall that ended at that moment (monotonic) or later."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [float(ms) for at, ms in (line[:2] for line in lines) if float(at) >= since]


def beat(out: TextIO) -> None:
    """Watch the loop that runs, from now on."""
    loop = asyncio.get_running_loop()

    def due(at: float) -> None:
        now = time.monotonic()
        if now - at > LATE_S:
            print(f"{now:.3f} {(now - at) * 1000:.1f}", file=out, flush=True)
        loop.call_at(now + BEAT_S, due, now + BEAT_S)

    due(time.monotonic())


def _main() -> None:
    from console.app import WachtApp
    from console.cli import main

    with Path(sys.argv[1]).open("a", encoding="ascii") as out:
        mounted = WachtApp.on_mount

        def on_mount(app: WachtApp) -> Any:
            beat(out)
            return mounted(app)

        WachtApp.on_mount = on_mount  # type: ignore[method-assign]
        sys.argv = ["wacht", *sys.argv[2:]]
        main()


if __name__ == "__main__":
    _main()

"""A console that logs its own stalls: `python -m tests.bench.stall_watch FILE SUBCOMMAND…` runs wacht and writes a line
to FILE for every late turn of its event loop.

A timer on the loop is due every BEAT_S; its delay is how long a key would have waited. Only from inside can that be
told from a program that had nothing to paint. The log also holds how much of the delay the loop's thread was ready to
run without getting a core.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, TextIO

BEAT_S = 0.01
LATE_S = 0.01
"""Shorter delays are not logged."""


_RAN = Path("/proc/thread-self/schedstat")
"""Of a thread: nanoseconds on a core, and nanoseconds ready to run without one."""


class Stall(NamedTuple):
    """One late turn of the event loop."""

    ms: float
    waited_ms: float | None
    """The part that waited for a core; None where the kernel does not report it."""

    @property
    def own_ms(self) -> float:
        """Milliseconds caused by the console: its own work, its threads and garbage collection."""
        return self.ms - (self.waited_ms or 0.0)


def stalls(path: Path) -> list[Stall]:
    """The stalls logged so far."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [Stall(float(ms), None if waited == "-" else float(waited)) for _, ms, waited in lines]


def beat(out: TextIO) -> None:
    """Log the stalls of the running event loop from now on."""
    loop = asyncio.get_running_loop()

    def due(at: float, before: int | None) -> None:
        now, waited = time.monotonic(), _waited()
        if now - at > LATE_S:
            late = (now - at) * 1000
            # The thread may have waited for a core before the timer was due.
            of = "-" if before is None or waited is None else f"{min(late, (waited - before) / 1e6):.1f}"
            print(f"{now:.3f} {late:.1f} {of}", file=out, flush=True)
        loop.call_at(now + BEAT_S, due, now + BEAT_S, waited)

    due(time.monotonic(), None)


def _waited() -> int | None:
    try:
        ran, waited, _ = _RAN.read_text().split()
    except (OSError, ValueError):
        return None
    return int(waited) if int(ran) else None


def _main() -> None:
    from console.app.app import WachtApp
    from console.cli.main import main

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

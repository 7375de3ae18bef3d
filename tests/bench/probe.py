"""A console that tells of its own stalls: `python -m tests.bench.probe FILE SUBCOMMAND…` runs wacht and writes a line
to FILE for every turn of its event loop that came late.

A timer on the loop is due every BEAT_S; what it comes late is how long a key would have waited. Only from inside can
that be told from a program that had nothing to paint. Beside it stands how much of that the loop's thread was ready to
run and had no core: others held both.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, TextIO

BEAT_S = 0.01
LATE_S = 0.01
"""Not worth a line below that."""


_RAN = Path("/proc/thread-self/schedstat")
"""Of a thread: nanoseconds on a core, and nanoseconds ready to run without one."""


class Stall(NamedTuple):
    """One turn that came late."""

    ms: float
    waited_ms: float | None
    """Of it, waiting for a core; None where the kernel does not tell."""

    @property
    def own_ms(self) -> float:
        """What the console itself made of it: its own work, and what its threads and its garbage held up."""
        return self.ms - (self.waited_ms or 0.0)


def stalls(path: Path) -> list[Stall]:
    """What a console has told so far."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [Stall(float(ms), None if waited == "-" else float(waited)) for _, ms, waited in lines]


def beat(out: TextIO) -> None:
    """Watch the loop that runs, from now on."""
    loop = asyncio.get_running_loop()

    def due(at: float, before: int | None) -> None:
        now, waited = time.monotonic(), _waited()
        if now - at > LATE_S:
            late = (now - at) * 1000
            # It may have waited before its turn was due.
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

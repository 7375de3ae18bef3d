"""A console that repaints everything twenty times a second, whatever the terminal does; run by tests.pty.test_line.

    python -m tests.support.line_app REPORT [quiet]

It writes to REPORT, when it ends: the longest time in which its event loop stood still, and how its memory grew.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.strip import Strip
from textual.widget import Widget

from widgets.terminal.quiet_app import QuietApp, QuietModal

INKS = [Style.parse(f"rgb({90 + 7 * i},{200 - 5 * i},{60 + 3 * i}) on rgb({i},{2 * i},{3 * i})") for i in range(16)]


def rss_kb() -> int:
    return next(int(row.split()[1]) for row in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in row)


class Wall(Widget):
    """Every cell changes with every poll; line 1 says which poll, and how many keys came. Once all is settled the last
    cells say `still`."""

    def render_line(self, y: int) -> Strip:
        app = self.app
        if y == 0:
            slow = " SLOW LINE" if app.slow_line else ""
            told = f"poll={app.polls} keys={app.keys} armed={app.armed} yes={len(app.yes)}{slow}"
            return Strip([Segment(told.ljust(self.size.width))])
        text = "".join(chr(33 + (x * 7 + y * 13 + app.polls * 5) % 90) for x in range(self.size.width))
        if app.settled and y == self.size.height - 1:
            text = text[:-5] + "still"
        step = 8
        return Strip(
            [Segment(text[x : x + step], INKS[(x // step + y + app.polls) % 16]) for x in range(0, len(text), step)]
        )


class Ask(QuietModal):
    """A question that counts on the screen when it may be answered."""

    BINDINGS: ClassVar = [Binding("y", "yes", "yes")]
    DEFAULT_CSS = "Ask { background: $background 60%; } Ask Wall { width: 32; height: 3; }"

    def compose(self):
        yield Wall()

    def on_mount(self):
        self.call_when_shown(self._arm)

    def _arm(self):
        self.app.armed += 1
        self.query_one(Wall).refresh()

    def action_yes(self):
        self.app.yes.append(self.app.armed)
        self.query_one(Wall).refresh()


class Console(QuietApp):
    BINDINGS: ClassVar = [
        Binding("q", "quit", "quit"), Binding("k", "count", "count"), Binding("s", "settle", "settle"),
        Binding("r", "redraw", "redraw"), Binding("d", "ask", "ask"),
        Binding("x", "shell", "shell"),
    ]  # fmt: skip

    def __init__(self, quiet: bool) -> None:
        super().__init__()
        self.polls = self.keys = self.armed = 0
        self.longest = 0.0
        self.yes = []
        """For each y: how many questions had been seen on the terminal by then."""
        self.pasted = ""
        self.settled = quiet
        self.began_kb = 0
        self.wall = Wall()

    def compose(self):
        yield self.wall

    def on_mount(self):
        self.set_interval(0.05, self._poll)
        self.beats = asyncio.create_task(self._beat())

    def _poll(self):
        if not self.settled:
            self.polls += 1
            if self.polls == 20:
                self.began_kb = rss_kb()
            self.wall.refresh()

    async def _beat(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            if self.polls > 20:
                self.longest = max(self.longest, time.monotonic() - before - 0.005)

    def action_count(self):
        self.keys += 1
        self.wall.refresh()

    def action_settle(self):
        self.settled = True
        self.wall.refresh()

    def action_ask(self):
        self.push_screen(Ask())

    def action_shell(self):
        with self.suspend():
            subprocess.call(["sh", "-c", "echo inside; read answer; echo got $answer"])

    def on_paste(self, event):
        self.pasted += event.text

    def exit(self, *given, **options):
        self.beats.cancel()
        super().exit(*given, **options)


if __name__ == "__main__":
    app = Console("quiet" in sys.argv[2:])
    app.run()
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    told = {"longest_s": app.longest, "grew_kb": rss_kb() - app.began_kb if app.began_kb else 0, "polls": app.polls,
            "keys": app.keys, "yes": app.yes, "pasted": app.pasted, "cpu_s": cpu.ru_utime + cpu.ru_stime}  # fmt: skip
    Path(sys.argv[1]).write_text(json.dumps(told))
    sys.exit(app.return_code or 0)

"""The output of a command of the site's own: it is killed at its limit, or when its screen is left."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from textual.widget import Widget

from collectors import process
from collectors.model import Cluster, Diff, Sent
from collectors.process import ProcessResult
from collectors.site_command import error_lines, output_lines
from console.fields.common_cells import Ctx
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine, pane_line
from widgets.units import duration

from .layout.screen import WachtScreen

#: Most bytes of output; a command that writes more is ended.
MOST_BYTES = 256 << 10


class CommandOutputScreen(WachtScreen):
    """Runs one command once, or shows what others have written."""

    crumb = "output"
    tick_s = 1.0

    def __init__(self, label: str, argv: Sequence[str], timeout_s: float, sent: Sequence[Sent] = ()) -> None:
        """With `sent` nothing is run: it is what came of a change."""
        super().__init__()
        self.label, self._argv, self._timeout_s, self._sent = label, tuple(argv), timeout_s, sent
        self.text = Pane(label, scroll=True, empty_text="it wrote nothing", id="main")
        self._stop = threading.Event()
        self._began_mono = 0.0
        self.running = not sent

    @property
    def breadcrumb(self) -> str:
        """The command that is shown."""
        return self.label

    def body(self) -> Iterable[Widget]:
        """One long pane."""
        yield self.text

    def on_mount(self) -> None:
        """Start the command."""
        super().on_mount()
        if self._sent:
            self.text.set_title(self.label)
            self.text.set_lines([line for one in self._sent for line in _sent_lines(one)])
            return
        self._began_mono = self.app.clock.mono()
        argv, limit, stop = self._argv, self._timeout_s, self._stop
        self.fetch(lambda: process.run(argv, deadline_s=limit, cap_bytes=MOST_BYTES, stop=stop), self._ended, "command")
        self.tick(self.ctx())

    def on_unmount(self) -> None:
        """End a command whose output is no longer waited for."""
        self._stop.set()

    def _ended(self, answer: Any) -> None:
        self.running = False
        if not isinstance(answer, ProcessResult):
            self.text.set_title(shlex.join(self._argv))
            self.text.set_lines([pane_line((str(answer), "bad"))])
            return
        said, role = f"exit status {answer.rc}", "bad" if answer.rc else "good"
        if answer.timed_out:
            said, role = f"no end in {self._timeout_s:g} s: killed", "bad"
        elif answer.capped:
            said, role = f"more than {MOST_BYTES >> 10} KB: killed", "warn"
        self.text.set_title(shlex.join(self._argv), [(said, role), (f", {answer.took_s:.1f} s", "text-dim")])
        lines = [pane_line(line) for line in output_lines(answer.out)]
        lines += [pane_line((line, "warn")) for line in error_lines(answer.err)]
        self.text.set_lines(lines)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Nothing: the output is not polled."""

    def tick(self, ctx: Ctx) -> None:
        """Show how long it has been running."""
        if self.running:
            self.text.set_title(shlex.join(self._argv))
            since = duration(self.app.clock.mono() - self._began_mono)
            self.text.set_lines(
                [pane_line((f"running for {since}, {self._timeout_s:g} s at most; Esc ends it", "text-dim"))]
            )

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("↑↓", "scroll"), KeyHint("y", "copy"), KeyHint("Esc", "back"))

    def copy_text(self) -> str | None:
        """The command."""
        return shlex.join(self._argv) if self._argv else None


def _sent_lines(one: Sent) -> Iterable[PaneLine]:
    """What a change has written for a target."""
    ended, role = ("no answer", "bad") if one.rc is None else (f"exit status {one.rc}", "bad" if one.rc else "good")
    yield PaneLine([(f"{', '.join(one.targets)}: {shlex.join(one.argv)}", "title")], [(ended, role)])
    yield from (pane_line(line) for line in one.out)
    yield from (pane_line((line, "warn")) for line in error_lines(one.err))

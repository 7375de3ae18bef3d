"""A real console in a terminal that answers as a modern one does, what may go wrong in it, and what it leaves behind.

    python -m tests.support.pty_console [INJECTION] demo …

runs `wacht` with one thing broken (see `_INJECTIONS`); `Room` starts it, alone or under a shell with job control.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import shlex
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.far_terminal import FarTerminal

NAMES = {
    1: "application cursor keys", 1049: "alternate screen", 1000: "mouse 1000", 1002: "mouse 1002",
    1003: "mouse 1003", 1006: "mouse 1006", 1015: "mouse 1015", 1016: "mouse 1016", 2004: "bracketed paste",
    1004: "focus reporting", 2048: "in-band resize", 2026: "synchronised output",
}  # fmt: skip
_SEQUENCE = re.compile(
    rb"\x1b\[\?(?P<modes>[\d;]+)(?P<on>[hl])|\x1b\[(?P<keys>[<>])\d*u|\x1b\[(?P<sgr>[\d;]*)m|\x1b\]8;[^;]*;(?P<link>[^\x1b\x07]*)"
)
_QUESTION = re.compile(rb"\x1b\[\?(2026|2048)(\$p|h)")
TOKEN = "token-in-a-local-variable"


def left_on(out: bytes) -> list[str]:
    """What a terminal is left in after it has read all this, by name; nothing where all is as it was."""
    on = dict.fromkeys(NAMES, False) | {25: True, 7: True}
    keys, sgr, link = 0, b"0", b""
    for found in _SEQUENCE.finditer(out):
        if found["modes"]:
            on |= {int(number): found["on"] == b"h" for number in found["modes"].split(b";")}
        elif found["keys"]:
            keys = keys + 1 if found["keys"] == b">" else max(0, keys - 1)
        elif found["sgr"] is not None:
            sgr = found["sgr"]
        else:
            link = found["link"]
    left = [name for number, name in NAMES.items() if on[number]]
    left += [] if on[25] else ["hidden cursor"]
    left += [] if on[7] else ["no line wrap"]
    left += ["kitty keyboard"] if keys else []
    left += [f"SGR {sgr.decode()}"] if sgr.strip(b"0;") else []
    return left + (["a link"] if link else [])


def ever_on(out: bytes) -> set[int]:
    """The modes that were switched on at some time."""
    return {int(n) for found in _SEQUENCE.finditer(out) if found["on"] == b"h" for n in found["modes"].split(b";")}


class Room(FarTerminal):
    """`folder` holds its state, configuration and programs (PATH): `left_running` knows its processes by that."""

    def __init__(
        self,
        folder: Path,
        *words: str,
        inject: str = "",
        shell: bool = False,
        size: tuple[int, int] = (80, 24),
        ignore: tuple[int, ...] = (),
        env: dict[str, str] | None = None,
        modern: bool = True,
    ) -> None:
        self.folder = folder
        self.modern = modern
        """Whether it knows in-band resize and synchronised output, and says so."""
        (folder / "bin").mkdir(exist_ok=True)
        self.wacht = [sys.executable, "-m", "tests.support.pty_console", inject, *(words or ("demo", "--nodes", "32"))]
        own = {name: str(folder) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")}
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        argv = ["bash", "--norc", "--noprofile", "-b", "-i"] if shell else self.wacht
        self._read_to = 0
        super().__init__(
            argv, size=size, ignore=ignore, env={**own, "PATH": path, "PS1": "shell> ", "HISTFILE": "", **(env or {})}
        )

    def start(self, end: str = "; echo code=$?") -> None:
        """Type the command that starts it, under a shell."""
        self.comes(lambda: b"shell>" in self.out)
        self.type(shlex.join(self.wacht).encode() + end.encode() + b"\r")

    def _step(self, now: float, wait: float) -> None:
        super()._step(now, wait)
        while self.modern and (found := _QUESTION.search(self.out, self._read_to)):
            self._read_to = found.end()
            if found[2] == b"$p":
                self._outgoing.append((now, b"\x1b[?%s;2$y" % found[1]))
            elif found[1] == b"2048":
                self._report_size()

    def _report_size(self) -> None:
        columns, rows = self.size
        self._outgoing.append((time.monotonic(), b"\x1b[48;%d;%d;%d;%dt" % (rows, columns, rows * 16, columns * 8)))

    def resize(self, columns: int, rows: int) -> None:
        """As a terminal does that is dragged: the system is told, and the program where it asked for that."""
        self.size = (columns, rows)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)
        if "in-band resize" in left_on(self.out):
            self._report_size()

    def comes(self, until: Callable[[], object], seconds: float = 60.0, why: str = "") -> None:
        """Wait for something, reading on; fails with what the terminal shows."""
        self.pump(seconds, lambda: until() or self.ended())
        shown = "\n".join(self.rows)
        assert until(), f"{why}\nit shows:\n{shown}\nit wrote: {self.out[-600:]!r}"

    def says(self, text: str) -> Callable[[], bool]:
        return lambda: any(text in row for row in self.rows)

    def up(self) -> None:
        """The console is there, and has all that it asks of a terminal."""
        self.comes(self.says("Attention"), why="the console did not come")
        self.comes(lambda: b"\x1b[?2048h" in self.out or not self.modern)

    def ready(self) -> None:
        """It has facts too."""
        self.up()
        self.comes(lambda: re.search(r"slurm +\d", self.rows[0]), why="it has no facts")

    def end(self, seconds: float = 60.0) -> int:
        """Wait for the end of what was started, and read what it left. Returns the exit code."""
        self.comes(self.ended, seconds, "it never ended")
        self.drain()
        return self.child.returncode

    def drain(self) -> None:
        while select.select([self.master], [], [], 0.05)[0]:
            self.pump(0.02)

    @property
    def after(self) -> str:
        """What was written after the terminal was given back."""
        return self.out[self.out.rindex(b"\x1b[?25h") + 6 :].decode()

    def given_back(self) -> None:
        """The terminal is as it was before, in its settings and in its modes, and nothing of the console runs on."""
        assert {1049, 1000, 1003, 2004, 1004} <= ever_on(self.out), "it was never taken: this proves nothing"
        assert left_on(self.out) == []
        assert termios.tcgetattr(self.slave) == self.before
        self.comes(lambda: not self.left_running(), 30.0, f"still running: {self.left_running()}")

    def left_running(self) -> list[str]:
        """Processes of this room that have not ended, however they were started; not the shell."""
        found = []
        for one in Path("/proc").iterdir():
            try:
                if one.name.isdigit() and str(self.folder / "bin").encode() in (one / "environ").read_bytes():
                    found.append((int(one.name), (one / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
            except OSError:
                continue
        return [f"{pid} {command}" for pid, command in found if pid != self.child.pid]

    def pid_of(self, sign: str) -> int | None:
        """The process of this room whose command line holds this."""
        return next((int(one.split()[0]) for one in self.left_running() if sign in one), None)

    def stopped(self) -> bool:
        """Whether the console under a shell is."""
        pid = self.pid_of("tests.support.pty_console")
        return pid is not None and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def close(self) -> None:
        for one in self.left_running():
            os.kill(int(one.split()[0]), signal.SIGKILL)
        super().close()


@contextlib.contextmanager
def rooms(folder: Path) -> Iterator[Callable[..., Room]]:
    """Makes rooms, and ends what is left in them."""
    made: list[Room] = []

    def begin(*words: str, **options: Any) -> Room:
        made.append(Room(folder, *words, **options))
        return made[-1]

    yield begin
    for one in made:
        one.close()


# In the console's own process: what is broken.


def _breaks(*_: object, **__: object) -> None:
    token = TOKEN
    raise RuntimeError(f"broken on purpose, {len(token)}")


def _handler() -> None:
    from console.app.navigation import Navigation

    Navigation.open_help = _breaks


def _thread() -> None:
    from console.app.navigation import Navigation

    Navigation.open_help = lambda _: threading.Thread(target=_breaks).start()


def _publish() -> None:
    from console.app.cluster_updates import ClusterUpdates

    ClusterUpdates.publish = lambda updates, *_: (_written(updates._port._driver), _breaks())


def _goes_on() -> None:
    """A collector that raises and a worker that raises: neither ends the console."""
    from collectors.sim.sources import SimSource
    from console.journal import past_actions

    past_actions.resumed = _breaks
    own = SimSource.collect
    SimSource.collect = lambda source: _breaks() if "alert" in source.name else own(source)


def _frame() -> None:
    """From the third frame on."""
    from widgets.terminal.terminal_driver import TerminalDriver

    own, count = TerminalDriver.write_frame, iter(range(1_000_000))
    TerminalDriver.write_frame = lambda driver, data: own(driver, data) if next(count) < 2 else _breaks()


def _line() -> None:
    """The thread that writes, from its 21st piece on, which is in the first frames."""
    from widgets.terminal.tty_writer import TtyWriter

    own, count = TtyWriter._count_written, iter(range(1_000_000))
    TtyWriter._count_written = lambda line, size: own(line, size) if next(count) < 20 else _breaks()


def _input() -> None:
    from widgets.terminal.terminal_driver import TerminalDriver

    own = TerminalDriver.process_message
    TerminalDriver.process_message = lambda driver, it: _breaks() if getattr(it, "key", "") == "5" else own(driver, it)


def _taken() -> None:
    """What there was to read the shell has read, since poll told of it."""
    from types import SimpleNamespace

    from widgets.terminal import terminal_driver

    class Poll:
        def __init__(self) -> None:
            self._own = select.poll()
            self.register = self._own.register

        def poll(self, wait: int) -> object:
            return Path(os.environ["XDG_STATE_HOME"], "taken").exists() or self._own.poll(wait)

    terminal_driver.select = SimpleNamespace(poll=Poll, POLLIN=select.POLLIN, select=select.select)


def _start() -> None:
    """After the terminal was taken."""
    from textual.drivers.linux_driver import LinuxDriver

    own = LinuxDriver.start_application_mode
    LinuxDriver.start_application_mode = lambda driver: (own(driver), _written(driver), _breaks())


def _written(driver: Any) -> None:
    """Wait until the terminal has been told that it is taken: what waits in the line when it is given up is dropped."""
    while driver.line is None or driver.line.state().unsent_bytes:
        time.sleep(0.001)


def _stop() -> None:
    from textual.drivers.linux_driver import LinuxDriver

    LinuxDriver.disable_input = _breaks


def _hang() -> None:
    from console.app.navigation import Navigation

    def spin(_: object) -> None:
        Path(os.environ["XDG_STATE_HOME"], "hangs").touch()
        while True:
            pass

    Navigation.open_help = spin


def _ssh() -> None:
    """To the nodes of a demo, with whatever `ssh` is on the room's PATH."""
    from console.ingest import poller

    own = poller.begin
    poller.begin = lambda name, sources, demo: own(name, sources, False)


def _later() -> None:
    """Ten minutes have passed as soon as there is a file `later`."""
    from collectors.clock import SystemClock

    def shift() -> float:
        return 600.0 if Path(os.environ["XDG_STATE_HOME"], "later").exists() else 0.0

    mono, now = SystemClock.mono, SystemClock.now
    SystemClock.mono = lambda clock: mono(clock) + shift()
    SystemClock.now = lambda clock: now(clock) + shift()


_INJECTIONS: dict[str, Callable[[], None]] = {
    "handler": _handler, "thread": _thread, "publish": _publish, "goes on": _goes_on, "frame": _frame, "line": _line,
    "input": _input, "taken": _taken, "start": _start, "stop": _stop, "hang": _hang, "ssh": _ssh, "later": _later,
}  # fmt: skip

if __name__ == "__main__":
    from console.cli.main import main

    if (what := sys.argv.pop(1)) in _INJECTIONS:
        _INJECTIONS[what]()
    main()

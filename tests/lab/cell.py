"""Daemons in namespaces of their own under `init.py`: they end with the process that started them, even by SIGKILL."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from . import place
from .place import wait_for
from .roots import LabError
from .slurm import stop as stop_lab


class Cell:
    """A chroot of one suite with its own pid, mount and uts namespaces, a directory and two ports."""

    def __init__(self, suite: str, what: str) -> None:
        name = f"{what}-{os.getpid()}-{secrets.token_hex(2)}"
        self.state = place.claim(suite, name, cluster=what, nodes=0, slurmd=False, stays=False)
        self.folder = self.state.folder
        self.place = self.state.place
        self.port = self.state.port
        self._process: subprocess.Popen[str] | None = None
        for child in ("log", "run"):
            (self.folder / child).mkdir(mode=0o755)

    def start(self) -> None:
        """Start process 1. Raises LabError; `stop` is due then too."""
        script = Path(__file__).with_name("init.py")
        words = [sys.executable, "-I", "-S", str(script), str(self.state.root), self.place, "labmon", "owned"]
        with (self.folder / "log/init.log").open("w") as log:
            self._process = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout
        word, _, pid = self._process.stdout.readline().partition(" ")
        if word != "ready":
            raise LabError(f"process 1 of {self.state.name} did not start")
        self.state.init = place.identity(int(pid))
        self.state.save()

    def stop(self) -> None:
        """End all that runs inside and remove the directory."""
        process, self._process = self._process, None
        stop_lab(self.state)
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
            process.wait()

    # -- daemons ------------------------------------------------------------------------------------------------------

    def spawn(self, name: str, *argv: str) -> None:
        """Start a daemon inside and leave it there; it logs to `log/NAME.log`."""
        script = '"$@" >>"$0" 2>&1 </dev/null & echo $! >"$PID_FILE"'
        log, pid_file = f"{self.place}/log/{name}.log", f"{self.place}/run/{name}.pid"
        self.run("/bin/sh", "-c", script, log, *argv, PID_FILE=pid_file)

    def lives(self, name: str) -> bool:
        """Whether the daemon runs."""
        with contextlib.suppress(OSError, LabError):
            self.signal(name, 0)
            return True
        return False

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a daemon. Raises LabError where it is gone, OSError where it never was."""
        self.run("/bin/kill", f"-{int(number)}", (self.folder / f"run/{name}.pid").read_text().strip())

    def end(self, name: str, timeout: float = 60) -> None:
        """Let a daemon shut down in order, and wait for it. Nothing when it does not run."""
        if self.lives(name):
            self.signal(name, signal.SIGTERM)
            wait_for(lambda: f"{name} still runs" if self.lives(name) else "", timeout)

    def run(self, *argv: str, **environment: str) -> None:
        """Run a command as root inside. Raises LabError when it fails."""
        assert self.state.init is not None
        enter = ["nsenter", f"--target={self.state.init[0]}", "--mount", "--uts", "--pid"]
        with (self.folder / "log/inside.log").open("a+") as log:
            done = subprocess.run(
                [*enter, "chroot", str(self.state.root), *argv],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=120,
                check=False,
            )
        if done.returncode != 0:
            raise LabError(f"{Path(argv[0]).name} exits {done.returncode} in {self.state.name}")

    def last_words(self) -> str:
        """The ends of all logs, for an error."""
        words = []
        for log in sorted((self.folder / "log").glob("*.log")):
            with contextlib.suppress(OSError):
                words += [f"\n  {log.stem}: {line}" for line in log.read_text(errors="replace").splitlines()[-5:]]
        return "".join(words)


class Daemon:
    """A server of the lab in a cell of its own: what Monitor and Alertmanager share. It leaves nothing behind."""

    what: str
    """As it is called in an error."""
    _cell: Cell | None = None

    def start(self) -> Self:
        """Up and answering when it returns. Raises LabError, leaving nothing."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it and remove what it wrote. Harmless when it is not running."""
        atexit.unregister(self.stop)
        cell, self._cell = self._cell, None
        if cell is not None:
            cell.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def cell(self) -> Cell:
        """Where it runs. Raises LabError when it does not."""
        if self._cell is None:
            raise LabError(f"the {self.what} is not running")
        return self._cell

    @property
    def url(self) -> str:
        """Where it is, as a site would configure it."""
        return f"http://127.0.0.1:{self.cell.port}"

    @contextlib.contextmanager
    def _starting(self, cell: Cell) -> Iterator[None]:
        """Within it the daemon comes up; what goes wrong takes the cell down, and tells the last words of its logs."""
        self._cell = cell
        atexit.register(self.stop)
        try:
            yield
        except BaseException as error:
            words = cell.last_words()
            self.stop()
            if isinstance(error, LabError):
                raise LabError(f"{error}{words}") from error
            raise

"""Where labs lie and who is alive: the registry is the files themselves (`ROOT/lab/NAME/lab.json`), nothing else.

A lab whose process 1 is gone is a leftover and is removed by the next start of any lab.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from .roots import SUITES, LabError, cache_dir, locked

STATE = "lab.json"
_FIRST_PORT = 11_000


@dataclass(slots=True)
class State:
    """What another process has to know to use or stop a lab. Pids are the host's, each with its start time in ticks."""

    suite: str
    name: str
    cluster: str
    nodes: int
    slurmd: bool
    port: int
    ports: int
    owner: tuple[int, int]
    init: tuple[int, int] | None = None
    stays: bool = False

    @property
    def place(self) -> str:
        """The lab's directory as seen inside the chroot."""
        return f"/lab/{self.name}"

    @property
    def root(self) -> Path:
        return cache_dir() / self.suite

    @property
    def folder(self) -> Path:
        """The lab's directory as seen from the host."""
        return self.root / "lab" / self.name

    def alive(self) -> bool:
        """Running, or being started by an owner that lives."""
        return is_alive(self.init) if self.init else is_alive(self.owner)

    def save(self) -> None:
        fresh = self.folder / (STATE + ".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.rename(self.folder / STATE)


def identity(pid: int) -> tuple[int, int]:
    """A pid with its start time, which a reused pid does not share. Raises LabError when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise LabError(f"process {pid} is gone") from error
    return pid, int(fields[19])


def is_alive(who: tuple[int, int] | None) -> bool:
    try:
        return who is not None and identity(who[0]) == tuple(who)
    except LabError:
        return False


def all_labs() -> list[State]:
    """Every lab whose directory exists, alive or not."""
    found = []
    for suite in SUITES:
        for path in sorted((cache_dir() / suite / "lab").glob(f"*/{STATE}")):
            with contextlib.suppress(OSError, ValueError, TypeError):
                found.append(_load(path))
    return found


def find(name: str) -> State | None:
    """The living lab of that name, whatever its suite."""
    return next((lab for lab in all_labs() if lab.name == name and lab.alive()), None)


def _load(path: Path) -> State:
    raw = json.loads(path.read_text())
    raw["owner"] = tuple(raw["owner"])
    raw["init"] = tuple(raw["init"]) if raw["init"] else None
    return State(**raw)


def claim(suite: str, name: str, *, cluster: str, nodes: int, slurmd: bool, stays: bool, more_ports: int = 0) -> State:
    """Sweep dead labs, then allot a name and free ports and make the lab's directory. Raises LabError if taken.

    The controller has the first port, then come the nodes', last `more_ports`.
    """
    with locked("labs.lock"):
        sweep()
        if find(name):
            raise LabError(f"a lab called {name} is running already (python3 -m tests.lab status)")
        ports = 1 + (nodes if slurmd else 1) + more_ports
        state = State(
            suite=suite,
            name=name,
            cluster=cluster,
            nodes=nodes,
            slurmd=slurmd,
            port=_free_ports(ports),
            ports=ports,
            owner=identity(os.getpid()),
            stays=stays,
        )
        state.folder.mkdir(parents=True)
        state.save()
    return state


def sweep() -> None:
    """Remove what dead labs left. Call it with labs.lock held, so that nothing here is half made."""
    known = {lab.folder: lab for lab in all_labs()}
    for suite in SUITES:
        for folder in (cache_dir() / suite / "lab").glob("*"):
            lab = known.get(folder)
            if lab is None or not lab.alive():
                shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> int:
    """The first of `count` neighbouring free ports, below those that the kernel hands out by itself."""
    low, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    end = int(low) if int(low) > _FIRST_PORT + count else 32_768
    taken = [(lab.port, lab.port + lab.ports) for lab in all_labs() if lab.alive()]
    first = _FIRST_PORT
    while first + count <= end:
        clash = max((stop for start, stop in taken if start < first + count and first < stop), default=0)
        clash = clash or next((port + 1 for port in range(first, first + count) if not _can_bind(port)), 0)
        if not clash:
            return first
        first = clash
    raise LabError(f"no {count} neighbouring free ports between {_FIRST_PORT} and {end}")


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT will do for Slurm too
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def wait_for(missing: Callable[[], str], timeout: float) -> None:
    """Ask until `missing` returns nothing; raises LabError with its last words after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.01
    while words := missing():
        if time.monotonic() > deadline:
            raise LabError(f"{words} (after {timeout:.0f} s)")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)

"""Soak test with faults: the console while the cluster changes and every source fails in turn. Does it leak, does it
recover?

Two minutes of it are a test (tests/faults/test_soak.py), longer runs are started with `make soak`. Fake servers answer,
so that each fault occurs on time; tests/faults and tests/lab cover faults of real sources.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

from tests.support import alertmanager_server, make, prometheus_server

from . import procs, screens
from .report import Row, median
from .soak import slope
from .terminal import Terminal

NODES, JOBS = 256, 3000
_VERSIONS = 5
"""Number of states that the cluster cycles through: each has other node states, jobs and reasons."""
_FAULT_S = 3.0
_PAUSE_S = 3.0
"""Seconds between two faults, after a refresh of all sources."""
_KEYS = ("1", "2", "\x1b[B", "3", "\x1b[6~", "4", "5", "6", "\x1b[B", "7", "8", "?", "\x1b", "/gpu00001\r", "\x1b", "i")
_MEDIAN_OF = 5
"""Samples that the median is taken of: output that is just being read is no leak."""
MORE_MB = 25.0
"""MB that the last two thirds may add, besides 1 MB per minute: caches fill (10 MB seen in two minutes, 56 MB in an
hour). Before command output was read into one buffer, each flood added 200 to 500 MB."""
MORE_FILES = MORE_THREADS = 6
"""A running command has a thread and some pipes; three may run."""

_RECOVERED = re.compile(r"slurm \d+s prom \d+s alerts \d+s")
_RECOVERY_S = 90.0
"""Failed sources are retried with back-off, within the limit of calls per minute."""
_REFRESH_S = 10.0

_BAD = {
    "hangs": "exec sleep 600",
    "ignores SIGTERM": "trap '' TERM INT HUP\nwhile :; do sleep 600; done",
    "prints nothing and exits 0": "exit 0",
    "fails": "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2\nexit 1",
    "is cut": "printf 'JOBARRAYID|STA'\nexit 0",
    "prints what is no text": "head -c 300000 /dev/urandom\nexit 0",
    "floods": "exec head -c 400000000 /dev/zero",
}


class Site:
    """Fake Slurm commands, Prometheus and Alertmanager of a changing cluster; each can be made to fail."""

    def __init__(self, folder: Path) -> None:
        (folder / "bin").mkdir()
        self.path = f"{folder / 'bin'}:{os.defpath}"
        self._scripts = {program: folder / "bin" / program for program in ("squeue", "scontrol", "sinfo", "sdiag")}
        self._versions = [self._made(folder / str(number), number) for number in range(_VERSIONS)]
        self.prometheus, self.alerts = prometheus_server.StandIn(), alertmanager_server.StandIn()
        self.changes = 0
        self.change()

    def _made(self, folder: Path, number: int) -> Path:
        folder.mkdir()
        commands = make.Commands(folder, SimpleNamespace(setenv=lambda *_: None))
        states = ("IDLE", "MIXED", "ALLOCATED", "IDLE+DRAIN", "DOWN", "DOWN+NOT_RESPONDING")
        reason = f" Reason=fan {number} failed [root@2026-11-25T03:00:00]"
        names = [f"gpu{at:05d}" for at in range(1, NODES + 1)]
        lines = [
            make.line(name, states[(at * 7 + number * at) % len(states)], reason if at % 5 == number else "")
            for at, name in enumerate(names)
        ]
        jobs = [
            make.row(
                JobArrayID=str(1000 * number + at), State="RUNNING", NodeList=names[at % NODES], UserName="anna",
                StartTime="1795509455",
            ) if at % 3 == 0 else make.row(JobArrayID=str(1000 * number + at), UserName=f"user{at % 50}")
            for at in range(JOBS)
        ]  # fmt: skip
        commands.says("scontrol", "".join(lines), to="-a show node -d -o")
        commands.says("scontrol", "PartitionName=gpu Default=YES State=UP Nodes=gpu[00001-00256] TotalNodes=256\n",
                      to="-a show partition -o")  # fmt: skip
        commands.says("scontrol", "No reservations in the system\n", to="-a show reservation -o")
        commands.says("scontrol", "Slurmctld(primary) at ctl1 is UP\n", to="ping")
        commands.says("scontrol", "AccountingStorageType   = (null)\nUnkillableStepTimeout   = 60 sec\n",
                      to="show config")  # fmt: skip
        commands.says("scontrol", "", to="*")
        commands.says("sinfo", "".join(f"{name}\n" for name in names), to="-a -h -o %N")
        commands.says("sinfo", "NODELIST|USER|TIMESTAMP|REASON@F\n"
                      + "".join(f"{name}|root|1795507276|fan {number} failed@F\n" for name in names[number::5]),
                      to="-a -R *")  # fmt: skip
        commands.says("sinfo", "", to="*")
        commands.says("squeue", "JOBID|USER|END_TIME|NODELIST@F\n", to="-a -t CG*")
        commands.says("squeue", make.squeue(*jobs))
        commands.says("sdiag", make.recorded("26.05", "sdiag.txt"))
        return commands.folder

    def change(self) -> None:
        """Switch to the next state of the cluster and repair all sources."""
        self.changes += 1
        number = self.changes % _VERSIONS
        for program, path in self._scripts.items():
            _place(path, (self._versions[number] / program).read_text())
        self.prometheus.rows = prometheus_server.machine(NODES - number) | {
            "site_power": [({}, 900_000 + 1000 * number)], "power_sampled": [({}, time.time() - 5)],
        }  # fmt: skip
        self.alerts.answers["/alerts"] = [
            alertmanager_server.row(
                at, alertname=f"Alert{number}", instance=f"gpu{at:05d}", severity=("critical", "warning")[at % 2]
            )
            for at in range(1, 40 + number)
        ]
        self.prometheus.odd, self.alerts.odd = {}, {}

    def faults(self) -> list[tuple[str, Callable[[], None]]]:
        """All faults by name."""

        def command(program: str, body: str) -> Callable[[], None]:
            return lambda: _place(self._scripts[program], f"#!/bin/sh\n{body}\n")

        found = [(f"{one} {how}", command(one, body)) for one in ("squeue", "scontrol") for how, body in _BAD.items()]
        odd: dict[str, prometheus_server.Odd] = {
            "hangs": prometheus_server.hang,
            "drips": prometheus_server.drip,
            "is cut": prometheus_server.cut,
            "floods": prometheus_server.huge,
            "answers 503": prometheus_server.refusing(503, "no"),
            "answers no JSON": prometheus_server.raw(b"<html>"),
        }
        for name, where in (("Prometheus", self.prometheus), ("Alertmanager", self.alerts)):
            found += [(f"{name} {how}", lambda where=where, one=one: where.odd.update({"*": one}))  # type: ignore[misc]
                      for how, one in odd.items()]  # fmt: skip
        return found

    @contextlib.contextmanager
    def configured(self, folder: Path) -> Iterator[Path]:
        """The path of a configuration with these sources, while they are served."""
        path = folder / "config.toml"
        path.write_text(
            f'[cluster.lab]\nprometheus = {{ url = "{self.prometheus.settings.url}" }}\n'
            f'alertmanager = {{ url = "{self.alerts.settings.url}" }}\n'
        )
        path.chmod(0o600)
        with self.prometheus, self.alerts:
            yield path


def _place(path: Path, text: str) -> None:
    """Replace a script that may be running."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(path)


def measured(minutes: float) -> list[Row]:
    """The rows of the report. Raises RuntimeError if the console ends, or does not recover after the last fault."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="wacht-soak-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        site = Site(folder)
        settings = stack.enter_context(site.configured(folder))
        env = screens.environment(str(folder / "home"), {"PATH": site.path})
        argv = screens.wacht("--config", str(settings))
        terminal = stack.enter_context(Terminal(argv, env, (120, 30)))
        return _run(site, terminal, minutes)


def _run(site: Site, terminal: Terminal, minutes: float) -> list[Row]:
    _wait(terminal, re.compile("Nodes 256 "), "the console never showed the machine")
    began, pid, seconds = time.monotonic(), terminal.pid, minutes * 60
    samples: list[tuple[float, float]] = []
    open_files, threads, zombies, survived = [], [], [], 0
    keys = itertools.cycle(_KEYS)

    def press_and_sample(for_s: float) -> None:
        """Press a key every second and sample the process."""
        until = time.monotonic() + for_s
        while (left := until - time.monotonic()) > 0:
            terminal.send(next(keys))
            time.sleep(min(1.0, left))
            samples.append((time.monotonic() - began, procs.own_rss_mb(pid)))
            open_files.append(procs.descriptors(pid))
            threads.append(procs.threads(pid))
            zombies.append(procs.zombies(pid))

    for name, fails in itertools.cycle(site.faults()):
        if time.monotonic() - began >= seconds:
            break
        fails()
        terminal.send(":refresh\r")
        press_and_sample(_FAULT_S)
        if terminal.ended:
            raise RuntimeError(f"the console ended while {name}:\n{terminal.text()}")
        survived += 1
        site.change()
        terminal.send(":refresh\r")
        press_and_sample(_PAUSE_S)
    _wait(terminal, _RECOVERED, "not all sources came back", refresh=True)
    third = len(samples) // 3
    late = samples[third:]
    late_mb = [mb for _, mb in late]
    more_mb = median(late_mb[-_MEDIAN_OF:]) - median(late_mb[:_MEDIAN_OF])
    name = f"soak with faults, {NODES} nodes, {JOBS:,} jobs"
    return [
        Row(name, "faults survived", survived, "faults"),
        Row(name, "changes of the machine", site.changes, "changes"),
        Row(name, "memory at first", round(samples[0][1]), "MB"),
        Row(name, "memory at last", round(samples[-1][1]), "MB"),
        Row(name, "memory, slope over the last two thirds", round(slope(late) * 60, 2), "MB/min"),
        Row(name, "memory, most, while commands flood", round(max(late_mb)), "MB"),
        Row(name, "memory, more at last than at a third", round(more_mb, 1), "MB", "count", MORE_MB + minutes),
        Row(name, "descriptors more than at a third", open_files[-1] - open_files[third], "files", "count", MORE_FILES),
        Row(name, "threads more than at a third", threads[-1] - threads[third], "threads", "count", MORE_THREADS),
        # A process that has just ended may be seen as a zombie before it is waited for.
        Row(name, "zombies that stay", min(zombies[-_MEDIAN_OF:]), "processes", "count", 0),
    ]


def _wait(terminal: Terminal, shown: re.Pattern[str], why: str, *, refresh: bool = False) -> None:
    """Wait until the screen shows a pattern; with `refresh`, refresh all sources from time to time."""
    began = refreshed = time.monotonic()
    while shown.search(" ".join(terminal.text().split())) is None:
        now = time.monotonic()
        if terminal.ended or now - began > _RECOVERY_S:
            raise RuntimeError(f"{why}:\n{terminal.text()}")
        if refresh and now - refreshed >= _REFRESH_S:
            refreshed = now
            for key in ("\x1b", "1", ":refresh\r"):
                # Esc and a key in one read would be Alt and that key.
                terminal.wait_quiet(0.5)
                terminal.send(key)
        time.sleep(0.2)

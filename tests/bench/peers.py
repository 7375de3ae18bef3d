"""Other programs on the same Slurm, in the same terminal, with the same keys: turm and slurm-monitor-top.

They are installed from PyPI, pinned, into a virtual environment of their own, once.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.roots import cache_dir, locked

from . import keys, procs, targets
from .command_log import PROGRAM_VAR
from .report import Row
from .screens import FIRST, Case, environment
from .terminal import Terminal

TIMEOUT_S = 120.0
"""Seconds after which a program counts as not ready."""
_SETTLE_S = 3.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A program: its package, its command, and what its screen shows once it shows jobs."""

    name: str
    package: str
    command: str
    useful: re.Pattern[str]


_JOB = re.compile(r"\btrain\b|waits-f")
PEERS = (
    Peer("turm", "turm==0.17.0", "turm", _JOB),
    Peer("slurm-monitor-top", "slurm-monitor-top==0.6.3", "slurm-top", _JOB),
)


def folder() -> Path:
    """The folder of their commands. The first call creates the environment."""
    where: Path = cache_dir().parent / "peers"
    wanted = "\n".join(peer.package for peer in PEERS) + f"\n{sys.version}"
    stamp = where / "made-from"
    with locked("peers.lock"):
        if not stamp.exists() or stamp.read_text() != wanted:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(where)], check=True)
            install = [str(where / "bin/python"), "-m", "pip", "install", "-qq", *(peer.package for peer in PEERS)]
            subprocess.run(install, check=True, stdin=subprocess.DEVNULL)
            stamp.write_text(wanted)
    return where / "bin"


def measured(case: Case, keys_s: float, timeout_s: float = TIMEOUT_S) -> list[Row]:
    """Measure each program like the console: start, rest, cursor moves."""
    where = folder()
    return [row for peer in PEERS for row in _measured(case, peer, where / peer.command, keys_s, timeout_s)]


def _measured(case: Case, peer: Peer, command: Path, keys_s: float, timeout_s: float) -> list[Row]:
    def row(what: str, value: float, unit: str, kind: str = "wall") -> Row:
        return Row(case.name, what, value, unit, kind, program=peer.name)

    with tempfile.TemporaryDirectory(prefix="wacht-bench-", ignore_cleanup_errors=True) as home:
        env = environment(home, {**case.more, PROGRAM_VAR: peer.name, "USER": "alice"})
        with Terminal([str(command)], env) as terminal:
            first, useful = terminal.first([FIRST, peer.useful], timeout_s)
            if first is None or useful is None:
                seen = [row("first frame", round(first, 3), "s")] if first is not None else []
                return [*seen, row(f"not ready after {timeout_s:g} s", 1, "1: yes")]
            time.sleep(_SETTLE_S)
            rows = [row("first frame", round(first, 3), "s"), row("first useful frame", round(useful, 3), "s")]
            rows += _rest(case, peer, terminal, max(10.0, keys_s / 2))
            still, scrolling = keys.move(terminal, keys_s)
            moves = [*still, *scrolling]
            rows += keys.times(case.name, "cursor moves while polls arrive", moves, program=peer.name)
            rows += keys.sizes(case.name, "move in jobs", still, program=peer.name)
            rows += keys.sizes(case.name, "move that scrolls jobs", scrolling, program=peer.name)
            return [*rows, keys.unanswered(case.name, moves, None, peer.name)]


def _rest(case: Case, peer: Peer, terminal: Terminal, rest_s: float) -> list[Row]:
    assert case.command_log is not None
    asked, calls = case.command_log.commands(peer.name).total(), case.command_log.rpcs()
    written, cpu, began = terminal.written, procs.cpu_s(terminal.pid), time.monotonic()
    time.sleep(rest_s)
    took = time.monotonic() - began
    used, flow = (procs.cpu_s(terminal.pid) - cpu) / took * 100, (terminal.written - written) / took
    memory = procs.rss_mb(terminal.pid)
    started = (case.command_log.commands(peer.name).total() - asked) * 60 / took
    after = case.command_log.rpcs()
    figures: Sequence[tuple[str, float, str, str]] = (
        ("at rest: written", round(flow), "B/s", "count"),
        ("at rest: CPU of the process tree", round(used, 1), "%", "wall"),
        ("at rest: memory of the process tree", round(memory), "MB", "wall"),
        ("at rest: Slurm commands started", round(started, 1), "/min", "count"),
        ("at rest: RPCs of its user", round((after[0] - calls[0]) * 60 / took, 1), "/min", "count"),
        ("at rest: the controller's time for them", round((after[1] - calls[1]) * 60 / took, 1), "ms/min", "wall"),
    )
    return [Row(case.name, what, value, unit, kind, program=peer.name) for what, value, unit, kind in figures]


#: Figures that must not exceed turm's: row, name, and smallest number of nodes for which that holds.
_AGAINST = (
    ("cursor moves while polls arrive: key to screen, p95", "key to screen, p95", 0),
    ("at rest: CPU of the process tree", "CPU at rest", 0),
    ("at rest: memory of the process tree", "memory", targets.LARGE + 1),
)


def ratios(name: str, mine: Sequence[Row], theirs: Sequence[Row], nodes: int) -> list[Row]:
    """Ratios to turm of the figures that must not exceed it; none where turm has no figure."""
    rows = []
    for what, short, least_nodes in _AGAINST:
        ours = next((row.value for row in mine if row.what == what), None)
        turm = next((row.value for row in theirs if row.what == what and row.program == "turm"), None)
        if ours is not None and turm:
            aim = targets.PEER_RATIO if nodes >= least_nodes else None
            rows.append(Row(name, f"{short}: times turm's", round(ours / turm, 2), "x", "ratio", aim))
    return rows

"""Logs the Slurm commands that a program starts on a lab, through wrappers on PATH, and reads its RPCs from sdiag."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path

from tests.lab.slurm import COMMANDS, Lab

PROGRAM_VAR = "SLURM_CONSOLE"
"""Environment variable with the program's name for the log. Its name passes through collectors.process because it
starts with SLURM."""
#: "	alice   (  2001) count:12 ave_time:350 total_time:4200", times in microseconds
_USER = re.compile(r"^\s*(\w+)\s*\(\s*\d+\)\s*count:(\d+)\s+ave_time:\d+\s+total_time:(\d+)", re.M)


class CommandLog:
    """Wrappers of the lab's commands, each of which logs a line. Put `path` on PATH instead of the lab's folder."""

    def __init__(self, lab: Lab, folder: Path, user: str = "root") -> None:
        self.lab, self.user = lab, user
        self.bin = folder / "bin"
        self._log = folder / "started"
        self.bin.mkdir()
        own = lab.bin_dir if user == "root" else lab.bin_dir_as(user)
        for command in COMMANDS:
            path = self.bin / command
            path.write_text(
                f'#!/bin/sh\necho "${PROGRAM_VAR} {command}" >> {shlex.quote(str(self._log))}\n'
                f'exec {shlex.quote(str(own / command))} "$@"\n'
            )
            path.chmod(0o755)

    @property
    def path(self) -> str:
        """The value for PATH."""
        return f"{self.bin}:/usr/bin:/bin"

    def commands(self, who: str) -> Counter[str]:
        """Number of times that this program started each command."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return Counter(command for name, _, command in (line.partition(" ") for line in lines) if name == who)

    def rpcs(self) -> tuple[int, float]:
        """RPCs of the user so far, as slurmctld counts them, and the milliseconds it spent on them."""
        found = {name: (int(count), int(us) / 1e3) for name, count, us in _USER.findall(self.lab.check(["sdiag"]))}
        return found.get(self.user, (0, 0.0))

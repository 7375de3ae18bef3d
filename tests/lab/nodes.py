"""The nodes of a lab: what states they are in, start and kill their slurmd, heal them all."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from . import conf, place
from .namespaces import in_namespace_of
from .place import wait_for
from .roots import LabError

#: A reboot in a lab takes 2 s; one that a dead slurmd never began would take Slurm's ResumeTimeout (60 s).
_REBOOT_S = 4.0


class Nodes:
    """The node half of a Lab; it needs the other half."""

    nodes: int
    state: place.State
    conf: str
    run: Any
    check: Any
    cancel_all: Any
    _inside: Callable[..., None]

    @property
    def node_names(self) -> list[str]:
        return [conf.node_name(number) for number in range(1, self.nodes + 1)]

    def node_states(self) -> dict[str, str]:
        """Every node with its state as scontrol writes it (`IDLE+DRAIN`)."""
        text = self.check(["scontrol", "show", "node", "-o"])
        return dict(re.findall(r"^NodeName=(\S+) .*? State=(\S+) ", text, re.MULTILINE))

    def wait_nodes(self, state: str, timeout: float = 60.0, names: Collection[str] | None = None) -> None:
        """Until all nodes (or `names`) have that word in their state and respond. Raises LabError with who has not."""
        wanted = set(names) if names is not None else set(self.node_names)

        def missing() -> str:
            seen = self.node_states()
            bad = [f"{node}={now}" for node in sorted(wanted) if not is_in(now := seen.get(node, ""), state)]
            return f"{len(bad)} nodes are not {state}: {' '.join(bad[:8])}" if bad else ""

        wait_for(missing, timeout)

    def start_nodes(self, names: Sequence[str]) -> None:
        """Start the slurmd of each name; returns when all have gone to the background."""
        script = 'conf=$1; shift; for n; do mkdir -p "${0}/$n"; /usr/sbin/slurmd -f "$conf" -N "$n" & done; wait'
        self._inside("/bin/bash", "-c", script, f"{self.state.place}/spool", self.conf, *names)

    def stop_nodes(self, names: Sequence[str]) -> None:
        """Kill the slurmd of each name, as a crashed node would: the controller notices by itself."""
        run = f"{self.state.place}/run"
        self._inside("/bin/bash", "-c", 'cd "$0" && for n; do kill -9 "$(cat "$n.pid")"; done', run, *names)

    def reset(self, timeout: float = 60.0) -> None:
        """As fresh as after `start`: no jobs, every node idle without a comment (24.11 keeps the last reason)."""
        self.cancel_all(timeout)
        self._end_reboots()
        seen = self.node_states()
        for node in self.node_names:
            if seen.get(node) != "IDLE":
                self.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"])
        self.start_nodes(self._silent(seen))  # one that runs already only fails to bind its port
        self.check(["scontrol", "update", "NodeName=ALL", "Comment=", "Extra="])
        try:
            self.wait_nodes("IDLE", timeout / 3)
        except LabError:
            # One whose power Slurm switches is silent on purpose.
            now = self.node_states()
            self._restart_hung([node for node in self._silent(now) if "POWER" not in now.get(node, "")])
            self.wait_nodes("IDLE", timeout)

    def _silent(self, states: dict[str, str]) -> list[str]:
        return [node for node in self.node_names if not is_up(states.get(node, ""))]

    def _restart_hung(self, names: Sequence[str]) -> None:
        """Kill every slurmd of these nodes, whatever its pid file says, and start one anew: a slurmd that hangs keeps
        its port, and no other one can start beside it."""
        assert self.state.init
        for pid in in_namespace_of(self.state.init[0]):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
                if command[0].endswith("/slurmd") and set(command) & set(names):
                    print(f"the lab restarts {' '.join(command).strip()}: it does not answer its controller")
                    os.kill(pid, signal.SIGKILL)
        self.start_nodes(names)

    def _end_reboots(self) -> None:
        """Call off those that wait, and let those that were begun come to their end."""
        for node, now in self.node_states().items():
            if "REBOOT_REQUESTED" in now:
                self.run(["scontrol", "cancel_reboot", node])
        with contextlib.suppress(LabError):  # one without a slurmd never ends: the resume that follows ends it
            wait_for(lambda: "reboots" if "REBOOT_ISSUED" in str(self.node_states()) else "", _REBOOT_S)


def is_up(state: str) -> bool:
    """Whether a node's slurmd answers, as far as the controller knows."""
    return bool(state) and not {"DOWN", "NOT_RESPONDING", "UNKNOWN", "INVALID_REG"} & set(state.split("+"))


def is_in(state: str, word: str) -> bool:
    """`IDLE+DRAIN` and `IDLE+NOT_RESPONDING` are not IDLE; `IDLE+PLANNED` is, and `IDLE+DRAIN` is DRAIN."""
    words = set(state.split("+"))
    base = word in {"IDLE", "ALLOCATED", "MIXED"}
    return word in words and not (base and words & {"DRAIN", "FAIL", "NOT_RESPONDING", "COMPLETING"})

"""Sends from the command line: Ctrl-C stops a send with its result recorded; a roll-out reports each wave and asks
before it continues after failures.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from collectors.clock import Clock
from collectors.model import Cluster
from collectors.nodeset import fold
from console.actions.plan import Plan
from console.gate import preflight_reads, preview
from console.gate.outcome import Progress, nodes_by_reason
from console.gate.rollout import Reread
from console.ingest import node_naming
from console.preflight.checks import PreflightReads
from console.session import snapshot as shot
from console.session.cluster_sources import ClusterSources

#: Signals that end a program from outside: Ctrl-C, shutdown, a closed terminal.
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOPPING = "stopping: what was sent is sent, the rest is left out"


class _RolloutLines(Progress):
    """Prints the waves. When too many nodes are unfit it asks; without a terminal it stops."""

    def __init__(self, ask: Callable[[str], str] | None, say: Callable[[str], None], yes: bool) -> None:
        super().__init__()
        self._ask, self._say, self._yes = ask, say, yes
        self.asking = False
        """True while a question is open."""

    def log_wave(self, line: str, aside: Mapping[str, str]) -> None:
        """A wave ended; `aside` are the nodes set aside."""
        super().log_wave(line, aside)
        self._say(line)
        for why, nodes in nodes_by_reason(aside).items():
            self._say(f"  set aside  {fold(nodes)}: {why}")

    def hold(self, why: str) -> None:
        """Too many nodes are unfit."""
        self._say(f"paused: {why}")
        if self._asked("type y to go on all the same: ") != "y":
            self.stop()

    def answer(self, plan: Plan) -> str:
        """Show what would be drained again and ask; `--yes` has confirmed it already, except for breaking the glass."""
        for line in preview.text(plan):
            self._say(line)
        if self._yes and plan.confirmation.kind != "break":
            self._say("--yes: they are drained again")
            return plan.confirmation.prompt
        if self._ask is None:
            self._say("no terminal to ask on: nothing is drained again (--yes would say so beforehand)")
            return ""
        return self._asked(f"type {plan.confirmation.prompt} to drain them again: ")

    def _asked(self, question: str) -> str:
        """The line typed; "" without a terminal or when the person stops the roll-out."""
        if self._ask is None or self.stopped:
            return ""
        self.asking = True
        try:
            answer = self._ask(question).strip()
        except EOFError:
            return ""
        finally:
            self.asking = False
        return "" if self.stopped else answer


@contextmanager
def stoppable(ask: Callable[[str], str] | None, say: Callable[[str], None], yes: bool = False) -> Iterator[Progress]:
    """A context with the progress object that watches and stops a plan during its send. `yes` confirms drains of unfit
    nodes.

    Within it a terminating signal drops what was not sent yet: the current command completes, and the outcome is
    recorded. Before the intent is written the signal interrupts, and nothing is sent.
    """

    def told(line: str) -> None:
        try:
            say(line)
        except OSError:
            progress.stop()  # the reader is gone (`| head`): stop, as with Ctrl-C

    progress = _RolloutLines(ask, told, yes)
    if threading.current_thread() is not threading.main_thread():
        yield progress
        return

    def stop(*_: object) -> None:
        if not progress.intent and not progress.asking:
            raise KeyboardInterrupt
        words = "stopping still: the command at hand ends first" if progress.stopped else _STOPPING
        progress.stop()
        with suppress(RuntimeError):  # another print is under way
            told(words)
        if progress.asking:
            raise EOFError  # the question is over too

    # Signals that the shell or nohup ignores stay ignored.
    before = {one: now for one in _ENDS if (now := signal.getsignal(one)) not in {signal.SIG_IGN, None}}
    for one in before:
        signal.signal(one, stop)
    try:
        yield progress
    finally:
        for one, now in before.items():
            signal.signal(one, now)


def rereader(
    sources: ClusterSources, wanted: Collection[str], clock: Clock, resumed: Callable[[], Mapping[str, float]]
) -> Reread:
    """A function that re-reads these sources, for the checks of a roll-out. `resumed`: when each node was last returned
    to service.
    """

    def look(names: Sequence[str]) -> tuple[Cluster, PreflightReads]:
        read = [one for one in sources.collectors() if one.name in wanted]
        cluster = shot.take(sources.name, read, clock, sources.demo)
        telemetry = sources.telemetry()
        node_naming.share_names(telemetry, cluster.nodes)
        return cluster, preflight_reads.read_returned(names, cluster, telemetry, resumed())

    return look

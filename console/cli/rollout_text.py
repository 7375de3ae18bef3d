"""A send from the command line: Ctrl-C ends it with its result written down. A mass return says what came of each wave,
and asks before it goes on.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from collectors.clock import Clock
from collectors.model import Cluster
from collectors.nodeset import fold
from console.actions.plan import Plan, PreflightReads
from console.gate import preflight_reads, preview
from console.gate.outcome import Progress, by_reason
from console.gate.rollout import Look
from console.ingest import node_naming
from console.session import snapshot as shot
from console.session.site import Site

#: What ends a program from outside: Ctrl-C, whoever shuts the machine down, a terminal that has gone.
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOPPING = "stopping: what was sent is sent, the rest is left out"


class _RolloutLines(Progress):
    """Says its waves. Where too many come back unfit it asks whoever is there; where nobody is, it stops."""

    def __init__(self, ask: Callable[[str], str] | None, say: Callable[[str], None], yes: bool) -> None:
        super().__init__()
        self._ask, self._say, self._yes = ask, say, yes
        self.asking = False
        """While somebody is asked."""

    def tell(self, line: str, aside: Mapping[str, str]) -> None:
        """A wave has ended, and these of it are set aside."""
        super().tell(line, aside)
        self._say(line)
        for why, nodes in by_reason(aside).items():
            self._say(f"  set aside  {fold(nodes)}: {why}")

    def hold(self, why: str) -> None:
        """Too many are unfit."""
        self._say(f"paused: {why}")
        if self._asked("type y to go on all the same: ") != "y":
            self.stop()

    def answer(self, plan: Plan) -> str:
        """Shows what would be drained again and asks; `--yes` has said so before, but for breaking the glass."""
        for line in preview.text(plan):
            self._say(line)
        if self._yes and plan.confirm.kind != "break":
            self._say("--yes: they are drained again")
            return plan.confirm.words
        if self._ask is None:
            self._say("nobody is there to ask, and nothing is drained again (--yes would say so beforehand)")
            return ""
        return self._asked(f"type {plan.confirm.words} to drain them again: ")

    def _asked(self, question: str) -> str:
        """What somebody types; "" where nobody is there, or who is there stops it all."""
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
    """What a plan is watched and stopped by while it is sent. `yes` was given for whatever is to be drained again.

    Within it a signal that would end the program leaves out what was not sent: the command at hand comes to its end,
    and what came of it is written down. Before the intent is written it interrupts: nothing is sent then.
    """

    def told(line: str) -> None:
        try:
            say(line)
        except OSError:
            progress.stop()  # nobody reads on (`| head`): what goes on unseen is left out, as Ctrl-C leaves it out

    progress = _RolloutLines(ask, told, yes)
    if threading.current_thread() is not threading.main_thread():
        yield progress
        return

    def stop(*_: object) -> None:
        if not progress.intent and not progress.asking:
            raise KeyboardInterrupt
        words = "stopping still: the command at hand ends first" if progress.stopped else _STOPPING
        progress.stop()
        with suppress(RuntimeError):  # a word was being printed just then
            told(words)
        if progress.asking:
            raise EOFError  # the question is over too

    # What a shell or nohup has it ignore stays ignored.
    before = {one: now for one in _ENDS if (now := signal.getsignal(one)) not in {signal.SIG_IGN, None}}
    for one in before:
        signal.signal(one, stop)
    try:
        yield progress
    finally:
        for one, now in before.items():
            signal.signal(one, now)


def again(site: Site, wanted: Collection[str], clock: Clock, resumed: Callable[[], Mapping[str, float]]) -> Look:
    """Reads all that a return is judged by anew, at once: the sources of these names. `resumed` is when each node was
    put back before."""

    def look(names: Sequence[str]) -> tuple[Cluster, PreflightReads]:
        sources = [one for one in site.collectors() if one.name in wanted]
        cluster = shot.take(site.name, sources, clock, site.demo)
        telemetry = site.telemetry()
        node_naming.share_names(telemetry, cluster.nodes)
        return cluster, preflight_reads.returned(names, cluster, telemetry, resumed())

    return look

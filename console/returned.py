"""A mass return from the command line: it says what came of each wave, asks before it goes on, and ends with Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from collectors.clock import Clock
from collectors.model import Cluster
from collectors.nodeset import fold
from console import gather, preview
from console import snapshot as shot
from console.outcome import Progress, by_reason
from console.plan import Extra, Plan
from console.site import Site
from console.waving import Look


class _Told(Progress):
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
def in_waves(
    plan: Plan, ask: Callable[[str], str] | None, say: Callable[[str], None], yes: bool = False
) -> Iterator[Progress | None]:
    """What a plan in waves is watched and stopped by while it is sent; None for any other. `yes` was given for whatever
    is to be drained again."""
    if plan.waves is None:
        yield None
        return

    def told(line: str) -> None:
        try:
            say(line)
        except OSError:
            progress.stop()  # nobody reads on (`| head`): what goes on unseen is left out, as Ctrl-C leaves it out

    progress = _Told(ask, told, yes)
    if threading.current_thread() is not threading.main_thread():
        yield progress
        return

    def stop(*_: object) -> None:
        told("stopping: what was sent is sent, the rest is left out")
        progress.stop()
        if progress.asking:
            raise EOFError  # the question is over too

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield progress
    finally:
        signal.signal(signal.SIGINT, before)


def again(site: Site, wanted: Collection[str], clock: Clock) -> Look:
    """Reads all that a return is judged by anew, at once: the sources of these names."""

    def look(names: Sequence[str]) -> tuple[Cluster, Extra]:
        sources = [one for one in site.collectors() if one.name in wanted]
        cluster = shot.take(site.name, sources, clock, site.demo)
        return cluster, gather.returned(names, cluster, site.telemetry(), {})

    return look

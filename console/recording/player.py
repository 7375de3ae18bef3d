"""Plays a recording in a poller's place: publishes Clusters and owns the clock for their ages.

A thread reads and decodes; requests (play, step, seek) wait in a queue, and `tell` receives the messages for the user.
Nothing here can reach the machine.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from collectors.clean import clean
from collectors.model import Cluster, Diff
from console.ingest.reduce import merged

from .frame import joined, unjoined, unpack
from .row_codec import MalformedFrame
from .store import FrameTime, RecordingFault, RecordingReader

#: Playback speeds as multiples of real time.
SPEEDS = (1, 10, 60, 600)
#: Least seconds between two Clusters, as the screens have to draw each.
_LEAST_S = 0.1

#: Seconds after the first moment at which playback starts, even if some sources were not read yet.
_SETTLED_S = 60.0

Publish = Callable[[Cluster, Diff | None], None]
"""The difference is None after a seek, when anything may differ."""


class ReplayClock:
    """The clock of a recording. Goes back when the player seeks back."""

    def __init__(self, real: Callable[[], float] = time.monotonic) -> None:
        self._real = real
        self._state = (0.0, real(), 0.0, 0.0, math.inf)
        """One value, replaced as a whole: time, real time when set, speed, wall-clock offset, end."""

    def mono(self) -> float:
        """The recording's own time in seconds."""
        at, since, speed, _, end = self._state
        return min(at + (self._real() - since) * speed, end)

    def now(self) -> float:
        """The wall-clock time of that moment."""
        return self.mono() + self._state[3]

    def set(self, at: float, speed: float, ahead: float, end: float = math.inf) -> None:
        """Set the time and the speed; 0 is paused."""
        self._state = (at, self._real(), speed, ahead, max(end, at))


class Player:
    """Plays one recording from `start` to `stop`. Starts paused, at `begin` or at the beginning."""

    def __init__(
        self, recording: RecordingReader, clock: ReplayClock, publish: Publish, tell: Callable[[str], None],
        begin: Callable[[RecordingReader], float] | None = None,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.playing = False
        self.speed: int = SPEEDS[0]
        self.cluster = Cluster(name="")
        self._recording = recording
        self._publish = publish
        self._tell = tell
        self._begin = begin
        self._here: FrameTime | None = None
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    # The interface of a poller.

    def start(self) -> None:
        """Show the first moment."""
        self._asked.put(self._first)
        self._thread.start()

    def stop(self) -> None:
        """Stop the player."""
        self._stopping = True
        self._asked.put(lambda: None)
        if self._thread.is_alive():
            self._thread.join(1.0)

    def refresh_now(self, sources: Iterable[str] | None = None) -> None:
        """Does nothing: there is nothing newer than the recording."""

    def need(self, kinds: Iterable[str]) -> None:
        """Does nothing: all kinds are there."""

    def show(self, ids: frozenset[str]) -> None:
        """Does nothing: all jobs are there."""

    # The controls of a player. All return at once.

    def toggle(self) -> None:
        """Play or pause."""
        self._asked.put(partial(self._play, None))

    def pace(self, step: int) -> None:
        """Change the speed by this number of steps, faster or slower."""
        self._asked.put(partial(self._pace, step))

    def step(self, back: bool) -> None:
        """Go to the next recorded moment, or the one before; pauses."""
        self._asked.put(partial(self._step, back))

    def skip(self, seconds: float) -> None:
        """Go forward or back by this number of seconds."""
        self._asked.put(lambda: self._seek(self.clock.mono() + seconds))

    def go(self, find: Callable[[RecordingReader, float], float]) -> None:
        """Go to the time that `find` returns for the recording and the current place. `find` may raise
        RecordingFault.
        """
        self._asked.put(lambda: self._seek(find(self._recording, self.clock.mono())))

    def jump(self, back: bool, kind: str | None = None) -> None:
        """Go to the next bookmark, or the one before; pauses."""
        self._asked.put(partial(self._jump, back, kind))

    # In the player's thread.

    def _run(self) -> None:
        while not self._stopping:
            try:
                try:
                    ask = self._asked.get(timeout=self._due_s())
                except queue.Empty:
                    ask = self._advance
                ask()
            except (RecordingFault, MalformedFrame) as error:
                self._halt()
                self._tell(clean(f"this moment cannot be shown: {error}"))
            except Exception as error:  # or the player would stop without a message
                self._halt()
                self._tell(clean(f"the recording cannot be played: {type(error).__name__}: {error}"[:300]))

    def _first(self) -> None:
        first = self._recording.first()
        if first is None:
            raise RecordingFault("nothing was recorded yet")
        if self._begin is not None:
            self._seek(self._begin(self._recording))
            return
        self._seek(first.at)
        # A newly started console knows nothing yet: start where it had read every source once.
        while not all(source.tried for source in self.cluster.sources.values()) and self._here is not None:
            following = self._recording.after(self._here)
            if following is None or following.at - first.at > _SETTLED_S:
                break
            self._seek(following.at)

    def _due_s(self) -> float | None:
        """Seconds to the next moment; None to wait for a request."""
        if not self.playing or self._here is None:
            return None
        following = self._recording.after(self._here)
        if following is None:
            return _LEAST_S
        return max(_LEAST_S, (following.at - self.clock.mono()) / self.speed)

    def _advance(self) -> None:
        """Show what was recorded up to now; pause at the end."""
        assert self._here is not None
        there = self._recording.at(self.clock.mono())
        if there is not None and there.id > self._here.id:
            self._load(there)
        if self._recording.after(self._here) is None and self.clock.mono() >= self._here.at:
            self._halt(self._here.at)
            self._tell("the recording ends here")

    def _halt(self, at: float | None = None) -> None:
        self.playing = False
        self._set(self.clock.mono() if at is None else at)

    def _set(self, at: float) -> None:
        here = self._here
        ahead = here.wall - here.at if here is not None else 0.0
        self.clock.set(at, self.speed if self.playing else 0.0, ahead)

    def _play(self, _: None) -> None:
        self.playing = not self.playing and self._here is not None
        self._set(self.clock.mono())

    def _pace(self, step: int) -> None:
        at = self.clock.mono()
        self.speed = SPEEDS[min(len(SPEEDS) - 1, max(0, SPEEDS.index(self.speed) + step))]
        self._set(at)

    def _step(self, back: bool) -> None:
        self.playing = False
        if self._here is None:
            return
        there = self._recording.before(self._here) if back else self._recording.after(self._here)
        if there is None:
            self._halt()
            self._tell(f"the recording {'begins' if back else 'ends'} here")
        else:
            self._seek(there.at)

    def _jump(self, back: bool, kind: str | None) -> None:
        mark = self._recording.mark(self.clock.mono(), back, kind)
        if mark is None:
            self._tell(f"no {'earlier' if back else 'further'} {kind or 'alert, action or failure'} was recorded")
            return
        self.playing = False
        self._seek(mark.at)
        self._tell(f"{mark.kind}: {mark.what}")

    def _seek(self, at: float) -> None:
        first, last = self._recording.first(), self._recording.last()
        if first is None or last is None:
            raise RecordingFault("nothing was recorded yet")
        at = min(max(at, first.at), last.at)
        self._load(self._recording.at(at) or first, at)

    def _load(self, there: FrameTime, at: float | None = None) -> None:
        """Show a moment: from the current one if that is on the way, else from the last whole frame. `at` sets the
        clock; without it the clock continues.
        """
        whole = self._recording.whole_before(there)
        if whole is None:
            raise RecordingFault("what came before this moment is not there any more")
        here, cluster, diff = self._here, self.cluster, Diff()
        if here is None or not whole.id <= here.id <= there.id:
            here, cluster = whole, unpack(self._recording.frame(whole)[1] or b"", None)[0]
        start = cluster
        while here.id < there.id:
            following = self._recording.after(here)
            if following is None:
                break
            step, all_of_it = self._recording.frame(following)
            cluster, more = unjoined(step or all_of_it or b"", cluster if step is not None else None)
            here, diff = following, merged(diff, more)
        cluster = joined(start, cluster, diff)
        self._here, self.cluster = here, cluster
        if at is not None:
            self._set(at)
        self._publish(cluster, None if at is not None else diff)

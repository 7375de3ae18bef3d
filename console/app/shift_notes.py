"""Notes that say who is on shift, from which the next hand-over knows when it began."""

from __future__ import annotations

import contextlib

from console.clusters.fleet import Fleet
from console.journal.shifts import NOTE_EVERY_S, shift_line, shifts_file
from console.runtime.state_files import BackgroundWriter, StateFileFault


class ShiftNotes:
    """Notes every `NOTE_EVERY_S` seconds that this person is on shift, for the next hand-over."""

    def __init__(self, fleet: Fleet, writer: BackgroundWriter) -> None:
        self._fleet, self._writer = fleet, writer
        self._file = shifts_file()
        self._noted_mono: float | None = None

    def note(self) -> None:
        """Write a note, if the last one is old enough."""
        mono = self._fleet.live.clock.mono()
        if self._noted_mono is None or mono - self._noted_mono >= NOTE_EVERY_S:
            self._noted_mono = mono
            self._write()

    def end(self) -> None:
        """Write the last note of this shift, and give pending writes a moment to finish."""
        if self._noted_mono is not None:
            self._write()
        self._writer.leave()

    def _write(self) -> None:
        live = [one for one in self._fleet.sessions.values() if not one.site.recorded]
        lines = [shift_line(one.name, one.clock.now()) for one in live]

        def work() -> None:
            # Not reported here: the hand-over says that the last shift is unknown.
            with contextlib.suppress(StateFileFault):
                for line in lines:
                    self._file.add(line)

        self._writer.do(work)

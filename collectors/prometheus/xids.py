"""XIDs beyond the gauge: first and last time, and how often, remembered between readings.

DCGM's gauge holds a GPU's last XID and is never cleared. So a reading asks only for GPUs whose gauge is not 0 (few),
and once for the history of new ones: over the last day, and over a month if the day shows no change. Two XIDs of one
code in a row look like one, unless the exporter counts them (DCGM_EXP_XID_ERRORS_COUNT).

Some codes follow another (`model.FOLLOWERS`): the code before names the cause, but the gauge no longer shows it. So for
a new one of them the history also asks for codes that were there only briefly and for counted ones, and the code before
is remembered as long as the gauge shows the following one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.model import FOLLOWERS, Xid

DAY, MONTH = 86_400, 30 * 86_400
#: Points of all GPUs together in one history query, and GPUs in one.
POINTS, BATCH = 100_000, 40
#: Readings further apart than this may miss an XID: the history is read.
GAP_S = 120.0
#: The exporter's default window plus a scrape: what it counts after that long is new.
WINDOW_S = 360.0

Gpu = tuple[str, int | None, str]
"""Node, index, UUID."""


class _Event(Struct):
    """One code on one GPU."""

    first: int | None = None
    last: int | None = None
    count: int | None = None
    counted: float = 0.0
    """The exporter's count in its window at the last reading."""

    def again(self, at: int, times: int = 1) -> None:
        """Record an occurrence."""
        self.first = at if self.first is None else self.first
        self.last = at
        self.count = (self.count or 0) + times


class _Known(Struct):
    """One GPU: the code on its gauge, 0 for none, and all its known codes."""

    code: int
    events: dict[int, _Event]

    def before(self) -> int | None:
        """The code before the gauge's one if that follows another; None if unknown."""
        if self.code not in FOLLOWERS:
            return None
        codes = [code for code in self.events if code not in FOLLOWERS]
        return max(codes, key=lambda code: (self.events[code].last or 0, code), default=None)


class XidMemory:
    """The XIDs of one cluster."""

    def __init__(self) -> None:
        self._gpus: dict[Gpu, _Known] = {}
        self._last_at: float | None = None
        self._todo: dict[Gpu, bool] = {}
        """GPUs whose history is not known yet; True: the last day had no result."""

    def see(self, gauges: Mapping[Gpu, int], at: float) -> None:
        """Add the gauges' current codes, at the server's time."""
        fresh = self._last_at is not None and at - self._last_at <= GAP_S
        self._last_at = at
        for gpu, code in gauges.items():
            known = self._gpus.get(gpu)
            if known is None:
                known = self._gpus[gpu] = _Known(0, {})
            if known.code == code:
                continue
            event = known.events.setdefault(code, _Event())
            if fresh and known.code:
                event.again(int(at))
                if code in FOLLOWERS:  # another one may have occurred between two readings
                    self._todo[gpu] = False
            else:
                # From 0, from no sample, or after a pause: only the history can distinguish an XID from a restarted
                # exporter.
                if fresh and event.last is None:
                    event.again(int(at))
                self._todo[gpu] = False
            known.code = code
        for gpu, known in self._gpus.items():
            if gpu not in gauges:
                known.code = 0

    def count(self, counts: Mapping[tuple[Gpu, int], float], at: float) -> None:
        """Add the exporters' counts in their window: repeats of a code."""
        for (gpu, code), times in counts.items():
            event = self._gpus.setdefault(gpu, _Known(0, {})).events.setdefault(code, _Event())
            if event.last is None or (not event.counted and at - event.last > WINDOW_S):
                event.again(int(at), int(times))
            elif not event.counted:  # the gauge had reported it
                event.count = max(event.count or 0, int(times))
            elif times > event.counted:
                event.again(int(at), int(times - event.counted))
        for gpu, known in self._gpus.items():
            for code, event in known.events.items():
                event.counted = counts.get((gpu, code), 0.0)

    def wanted(self) -> tuple[tuple[Gpu, ...], int]:
        """GPUs whose history to read next, and how many seconds of it; () if all is known."""
        for long in (False, True):
            some = [gpu for gpu, looked in self._todo.items() if looked is long and gpu[2]][:BATCH]
            if some:
                return tuple(some), MONTH if long else DAY
        self._todo.clear()  # without a UUID there is no history query
        return (), DAY

    def follows(self, gpu: Gpu) -> bool:
        """Whether the code on its gauge follows another one."""
        known = self._gpus.get(gpu)
        return known is not None and known.code in FOLLOWERS

    def learn(
        self, gpu: Gpu, past: Sequence[tuple[int, float | None]], span: int, at: float,
        hidden: Sequence[tuple[int | None, int]] = (),
    ) -> None:  # fmt: skip
        """Add the history of one GPU: its gauge at every step, None without a sample; the present last.

        `hidden` are times and codes that no step shows; a time is None if the code is older than the history.
        """
        known = self._gpus.get(gpu)
        if known is None:
            self._todo.pop(gpu, None)
            return
        past = [*past, (int(at), float(known.code))]
        found: dict[int, _Event] = {}
        before: float | None = None
        hidden = list(hidden)
        for when, value in past:
            if value is None:
                continue
            if before is None and value:
                hidden.append((None, int(value)))
            # A code present at the first sample came before it; one after a gap may be old too.
            if value != before and value and before is not None:
                found.setdefault(int(value), _Event()).again(when)
            before = value
        older = self._reveal(known, found, hidden)
        for code, event in found.items():
            old = known.events.get(code)
            if span > DAY and old is not None and old.last is not None:
                continue  # known to the minute
            if old is not None and old.last is not None and old.counted:
                event.count = max(event.count or 0, old.count or 0)
                event.last = max(event.last or 0, old.last)
            event.counted = old.counted if old is not None else 0.0
            known.events[code] = event
        unexplained = known.code != 0 and known.code not in found
        has_past = any(value is not None for _, value in past[:-1])
        if unexplained and has_past and not known.events[known.code].counted:
            known.events[known.code] = _Event()
        if (unexplained or older) and span == DAY:
            self._todo[gpu] = True
        else:
            self._todo.pop(gpu, None)

    @staticmethod
    def _reveal(known: _Known, found: dict[int, _Event], hidden: Iterable[tuple[int | None, int]]) -> bool:
        """Add the code before one that follows another. True if the time of one is still unknown."""
        if known.code not in FOLLOWERS:
            return False
        new: dict[int, _Event] = {}
        for when, code in hidden:
            if code in found or code in FOLLOWERS:
                continue
            event = new.setdefault(code, _Event())
            if when is not None:
                event.again(when)
        for code, event in new.items():
            old = known.events.get(code)
            if old is None or old.last is None:
                known.events[code] = event
        return any(known.events[code].last is None for code in new)

    def rows(self, at: float) -> dict[str, Xid]:
        """The known XIDs: of the last day, and older ones that a gauge still shows."""
        rows: dict[str, Xid] = {}
        for gpu, known in list(self._gpus.items()):
            for code, event in list(known.events.items()):
                over = code not in {known.code, known.before()} and (event.last or 0) < at - DAY
                if over and gpu not in self._todo:
                    del known.events[code]
                    continue
                row = Xid(
                    node=gpu[0], gpu=gpu[1], uuid=gpu[2] or None, code=code,
                    first_at=event.first, last_at=event.last, count=event.count,
                )  # fmt: skip
                other = rows.get(row.key)
                if other is None or (other.last_at or 0) < (row.last_at or 0):
                    rows[row.key] = row
            if not known.events:
                del self._gpus[gpu]
        return rows


def step_of(span: int, gpus: int) -> int:
    """Seconds between two points of a history query: as fine as allowed."""
    if span > DAY:
        return 3600
    return max(60, -(-span * gpus // POINTS) // 60 * 60)


def last_of_node(rows: Iterable[Xid], shown: Mapping[Gpu, int]) -> dict[str, int]:
    """Node to the latest XID on its gauges; without times, that of the first GPU.

    A code that follows another is replaced by the one before it, if known.
    """
    newest: dict[str, tuple[int, int, int]] = {}
    when: dict[tuple[str, int | None, int], int] = {}
    before: dict[tuple[str, int | None], tuple[int, int]] = {}
    for row in rows:
        when[row.node, row.gpu, row.code] = row.last_at or 0
        if row.code not in FOLLOWERS:
            before[row.node, row.gpu] = max(before.get((row.node, row.gpu), (-1, 0)), (row.last_at or 0, row.code))
    for (node, gpu, _), last in shown.items():
        code = before.get((node, gpu), (0, last))[1] if last in FOLLOWERS else last
        rank = (when.get((node, gpu, code), 0), -(gpu if gpu is not None else 1 << 20), code)
        if node not in newest or rank > newest[node]:
            newest[node] = rank
    return {node: rank[2] for node, rank in newest.items()}

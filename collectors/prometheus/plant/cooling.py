"""The cooling loops: all points in one answer, and points that fell silent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from collectors.clean import clean
from collectors.model import Coolant, Facts, SourceFault
from collectors.nodeset import expand
from collectors.prometheus.client import SKEW_S, PrometheusClient
from collectors.prometheus.site_queries import SiteQueries
from collectors.prometheus.values import Notes

from .cooling_queries import POINTS, CoolingSettings

DAY_S = 86_400
#: Values outside are errors of a sensor or an exporter.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "supply": (-40.0, 150.0), "return": (-40.0, 150.0), "flow": (-1.0, 1e6), "pressure": (-1.5, 1000.0),
}  # fmt: skip
#: °C per hour, a faster rise is an error; and the largest valid sample time.
_MOST_RISE, _LAST = 10_000.0, 1e11
_PORT = re.compile(r":[0-9]{1,5}$")

Spot = tuple[str, str, str]
"""Loop, rack and place from the labels; "" without the label."""


class CoolingReader:
    """Reads the loops. Remembers for a day what it saw: a silent point is unknown, never gone."""

    def __init__(self, settings: CoolingSettings, book: SiteQueries, client: PrometheusClient) -> None:
        self._settings = settings
        self._book = book
        self._client = client
        self._named = {clean(loop): expand(racks) for loop, racks in settings.loops.items()}
        self._seen: dict[str, tuple[Coolant, float]] = {}

    def read(self) -> Facts:
        """One reading. Raises SourceFault."""
        notes = Notes()
        answer = self._client.ask("cooling", self._book.whole("cooling"))
        notes.say(*answer.warnings)
        found: dict[str, dict[Spot, float]] = {}
        for row in answer.rows:
            if row.value is not None:
                found.setdefault(row.metric.get("what", ""), {})[self._spot(row.metric)] = _float(row.value[1])
        if not any(found.get(what) for what in (*POINTS, "detectors")):
            series = ", ".join(series for _, series in self._settings.named())
            raise SourceFault("empty", f"no series {series[:200]}", "are they scraped? see cooling, docs/queries.md")
        now = self._client.server_now()
        rows = [*self._points(found, now, notes), *self._leaks(found, notes)]
        made = {row.key: row for row in self._with_racks(rows)}
        return Facts(cooling=self._with_silent(made, now), warnings=tuple(notes.said))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _spot(self, labels: Mapping[str, str]) -> Spot:
        own = self._settings
        loop, rack, place = (
            clean(labels.get(label, "")[:64]) for label in (own.loop_label, own.rack_label, own.place_label)
        )
        return _PORT.sub("", loop), rack, place if own.place_label not in {own.loop_label, own.rack_label} else ""

    def _points(self, found: Mapping[str, Mapping[Spot, float]], now: float, notes: Notes) -> Iterable[Coolant]:
        odd: list[str] = []
        old: list[str] = []
        limits, stale_s = self._settings.limits, self._book.settings.stale_s
        for what in POINTS:
            least, most = BOUNDS[what]
            low, high = limits.of(what) if limits is not None else (None, None)
            for spot, value in found.get(what, {}).items():
                loop, rack, place = spot
                at = found.get(f"{what}_at", {}).get(spot)
                rise = found.get(f"{what}_rise", {}).get(spot)
                known: float | None = value
                if at is not None and now - at > stale_s:
                    old.append(f"{loop} {what}: {now - at:.0f} s")
                    known = None
                elif not least <= value <= most:
                    odd.append(f"{loop} {what}")
                    known = None
                moving = known is not None and rise is not None and abs(rise) < _MOST_RISE
                yield Coolant(
                    loop=loop, what=what, at=" ".join(word for word in (rack, place) if word), low=low, high=high,
                    value=None if known is None else round(known, 2), sampled_at=self._ours(at),
                    trend_h=round(rise, 1) if moving and rise is not None else None,
                    racks=(rack,) if rack else (),
                )  # fmt: skip
        notes.some("point", "of cooling left out: NaN, infinite or out of bounds", odd)
        notes.some("point", f"of cooling with a sample older than {stale_s:g} s, which is left out", old)

    def _leaks(self, found: Mapping[str, Mapping[Spot, float]], notes: Notes) -> Iterable[Coolant]:
        """The detectors of each loop and rack: how many there are, and how many report."""
        blind: list[str] = []
        names: dict[tuple[str, str], list[str]] = {}
        for loop, rack, place in found.get("leak", {}):
            if place:
                names.setdefault((loop, rack), []).append(place)
        for spot, count in found.get("detectors", {}).items():
            loop, rack, _ = spot
            there = _count(count)
            wet, dry = (_count(found.get(word, {}).get(spot, 0.0)) for word in ("wet", "dry"))
            unknown = max(0, there - wet - dry)
            if unknown:
                blind.append(f"{loop} {rack}".strip())
            yield Coolant(
                loop=loop, what="leak", at=rack, value=None if unknown == there else float(wet), detectors=there,
                unknown=unknown, wet=tuple(sorted(names.get((loop, rack), ()))), racks=(rack,) if rack else (),
                sampled_at=self._ours(found.get("leak_at", {}).get(spot)),
            )  # fmt: skip
        notes.some("group", "of leak detectors with some that say neither dry nor wet", blind)

    def _ours(self, at: float | None) -> int | None:
        """A time of the server's on this computer's clock."""
        ahead = self._client.ahead_s or 0.0
        if at is None or not 0 <= at <= _LAST:
            return None
        return int(at - (ahead if abs(ahead) > SKEW_S else 0.0))

    def _with_racks(self, rows: Iterable[Coolant]) -> Iterable[Coolant]:
        """Add the configured racks, and a row for each configured loop without one."""
        told: set[str] = set()
        for row in rows:
            told.add(row.loop)
            named = self._named.get(row.loop)
            yield row if named is None else replace(row, racks=tuple(dict.fromkeys((*row.racks, *named))))
        for loop, racks in self._named.items():
            if loop not in told:
                for what, _ in self._settings.named():
                    yield Coolant(loop=loop, what=what, racks=racks)

    def _with_silent(self, made: dict[str, Coolant], now: float) -> Mapping[str, Coolant]:
        """Add points of the last day that are silent now."""
        for key, row in made.items():
            if row.value is not None or key not in self._seen:
                self._seen[key] = (row, now)
        for key, (row, last) in list(self._seen.items()):
            if now - last > DAY_S:
                del self._seen[key]
            elif key not in made:
                made[key] = replace(row, value=None, trend_h=None, wet=(), unknown=row.detectors or 0)
        return made


def _count(value: float) -> int:
    """A number of detectors; an invalid one counts as 0."""
    return int(value) if 0 <= value <= 1e6 else 0


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")

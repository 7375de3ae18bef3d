"""The power of the site: from racks if PDUs measure them, else nodes, else GPUs; its trend; its budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from collectors.clean import clean
from collectors.model import Facts, Power, SourceFault

from .client import PrometheusClient, QueryRefused
from .dcgm_names import WATTS
from .host_labels import HostFamilies
from .query_table import BY_NAME
from .site_queries import SOURCES, SiteQueries
from .values import Notes, by_label, points

HOUR = 3600
#: Seconds between two points of the trend, and between two reads of the last hour.
STEP_S = 300
#: Fewer points, or a shorter span, give no trend.
_FEWEST, _SHORTEST_S = 4, 900


class PowerReader:
    """Reads the site's power. Nodes are in `Load.power_w`, read with the loads."""

    def __init__(self, book: SiteQueries, client: PrometheusClient, mono: Callable[[], float]) -> None:
        self._book = book
        self._client = client
        node = book.power.node_series if book.source == "node" else None
        gpus = WATTS.series if book.source == "gpu" else ()
        if book.settings.recorded:
            record = BY_NAME["node_power" if node else "gpu_power"].record or ""
            self.hosts = HostFamilies(book, client, mono, recorded=("power", (record,) if node or gpus else ()))
        else:
            self.hosts = HostFamilies(
                book, client, mono, power=("power", (node,) if node else ()), host_labels=("power", gpus)
            )
        self._past: tuple[tuple[int, float | None], ...] = ()
        self._past_at = 0.0

    @property
    def source(self) -> str:
        """The source of the power, as shown."""
        power = self._book.power
        if power.source is not None:
            return clean(power.source)
        return SOURCES[self._book.source]

    def read(self) -> Facts:
        """One reading. Raises SourceFault."""
        notes = Notes()
        self.hosts.look(notes)
        racks: Mapping[str, float] = {}
        if self._book.source == "rack":
            answer = self._client.ask("rack_power", self._book.whole("rack_power"))
            notes.say(*answer.warnings)
            # A rack without a valid sum makes the site's sum incomplete as well.
            gaps = len(notes.said)
            found = {
                clean(rack): watts
                for rack, watts in by_label(answer.rows, "rack_power", self._book.power.rack_label, notes).items()
            }
            if not answer.rows:
                raise self._nothing()
            site: float | None = sum(found.values()) if len(notes.said) == gaps else None
            if "" in found:
                label = self._book.power.rack_label
                notes.say(f"{found.pop(''):.0f} W are of no rack: their series have no label {label}")
            racks = found
        else:
            answer = self._client.ask("site_power", self._book.whole("site_power"))
            notes.say(*answer.warnings)
            site = by_label(answer.rows, "site_power", "", notes).get("")
            if not answer.rows:
                raise self._nothing()
        if site is not None and self._is_stale(notes):
            site, racks = None, {}
        budget = self._book.power.budget_mw
        power = Power(
            source=self.source,
            site_w=site,
            rack_w=racks,
            trend_w_h=self._trend(site, notes),
            budget_w=None if budget is None else budget * 1e6,
        )
        return Facts(power=power, warnings=tuple(notes.said))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _nothing(self) -> SourceFault:
        needs = self._book.needs("rack_power" if self._book.source == "rack" else "site_power")[0]
        mend = "is it scraped? see power, docs/queries.md"
        if self._book.settings.recorded:
            mend = "has the server loaded wacht-rules.yml? see its /rules"
        return SourceFault("empty", f"no series {needs}", mend)

    def _is_stale(self, notes: Notes) -> bool:
        """Whether the newest sample is too old to be current; then a note is made."""
        if not self._book.tells_age:
            return False
        rows = self._client.rows("power_sampled", self._book.whole("power_sampled"), notes)
        taken = by_label(rows, "power_sampled", "", notes).get("")
        if taken is None:
            return False
        age = self._client.server_now() - taken
        if age <= self._book.settings.stale_s:
            return False
        notes.say(f"the newest sample of {self._book.needs('site_power')[0]} is {age:.0f} s old: power is unknown")
        return True

    def _trend(self, site: float | None, notes: Notes) -> float | None:
        """Change in watts per hour over the last hour, by linear regression."""
        now = self._client.server_now()
        if now - self._past_at >= STEP_S or now < self._past_at:
            end = int(now) // STEP_S * STEP_S
            start = end - HOUR
            try:
                answer = self._client.ask_range("site_power", self._book.whole("site_power"), start, end, STEP_S)
            except QueryRefused as error:
                notes.say(str(error.fault))
            else:
                notes.say(*answer.warnings)
                self._past = points(answer.rows, "site_power", start, end, STEP_S)
                self._past_at = now
        return slope_w_h([*self._past, (int(now), site)])


def slope_w_h(line: Sequence[tuple[int, float | None]]) -> float | None:
    """The slope of the best-fit line through these points (epoch, watts), in watts per hour."""
    known = [(at, watts) for at, watts in line if watts is not None]
    if len(known) < _FEWEST or known[-1][0] - known[0][0] < _SHORTEST_S:
        return None
    middle = sum(at for at, _ in known) / len(known)
    mean = sum(watts for _, watts in known) / len(known)
    across = sum((at - middle) ** 2 for at, _ in known)
    return round(sum((at - middle) * (watts - mean) for at, watts in known) / across * HOUR, 1)

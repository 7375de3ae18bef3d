"""Power as the PDUs of the racks measure it: more than the GPUs and the nodes report."""

from __future__ import annotations

from collections import deque

from collectors.model import Power, Series
from collectors.sim.host import Host
from collectors.sim.slurmctld.job_queue import SimQueue

from .gpu_telemetry import STEP_S, GpuLoads, levels_now, sample_step
from .sensor_history import SensorHistory
from .site_layout import HOUR

#: Watts of a node that is down: its BMC and some fans.
STANDBY_W = 190.0
#: What a PDU measures beyond its nodes: a share for losses, and watts for switches.
LOSS, EXTRA_W = 0.03, 240.0
#: Contracted power as a multiple of the power with all GPUs at their limit.
BUDGET = 1.15
#: Seconds between two records of the site's power, and number of nodes that the hour before the start is estimated
#: from.
_NOTE_S, _SAMPLE = 60, 512
#: Number of nodes that the charts of the site are estimated from.
_CHARTED = 64


class PowerMeters:
    """Reads all PDUs, and records an hour of the site's power."""

    def __init__(self, queue: SimQueue, telemetry: GpuLoads, history: SensorHistory) -> None:
        self._queue = queue
        self._site = queue.site
        self._telemetry = telemetry
        self._history = history
        self._notes: deque[tuple[float, float]] = deque(maxlen=HOUR // _NOTE_S + 1)

    def node_w(self, host: Host) -> float:
        """Watts of one node now; 0 if its PDU is dead."""
        if host.failure is not None and host.failure.kind == "power":
            return 0.0
        if host.down and host.silent:
            return STANDBY_W
        load = self._telemetry.load(host)
        if load is not None and load.power_w is not None:
            return load.power_w
        turn = sample_step(host, int(self._queue.timeline.now // STEP_S))
        known = [level[3] for level in levels_now(host, self._site.gpus, turn) if level is not None]
        return float(sum(known) + host.hardware.host_w)

    def node_w_at(self, host: Host, at: int) -> float:
        """Watts of a node at that time, if its exporter answered then."""
        return float(
            sum(level[3] for level in self._history.levels(host, at) if level is not None) + host.hardware.host_w
        )

    @staticmethod
    def at_pdu(watts: float) -> float:
        """Watts that a PDU measures for nodes that draw `watts`."""
        return float(round(watts * (1 + LOSS) + EXTRA_W)) if watts else 0.0

    def pdus(self) -> dict[tuple[str, str], float]:
        """Watts by rack and PDU, from the newest samples of the nodes."""
        found: dict[tuple[str, str], float] = {}
        for host in self._site.hosts:
            key = (host.rack, host.pdu)
            found[key] = found.get(key, 0.0) + self.node_w(host)
        return {key: self.at_pdu(watts) for key, watts in found.items()}

    def read(self) -> Power:
        """Power of the site by rack."""
        racks: dict[str, float] = {}
        for (rack, _), watts in self.pdus().items():
            racks[rack] = racks.get(rack, 0.0) + watts
        site = sum(racks.values())
        hardware = self._site.hardware
        nominal = len(self._site.hosts) * (hardware.host_w + self._site.gpus * hardware.limit_w)
        return Power(
            source="PDU", site_w=site, rack_w=racks, trend_w_h=self._trend(site), budget_w=round(BUDGET * nominal)
        )

    def history(self, seconds: int) -> tuple[Series, Series]:
        """Charts of the site: power and mean utilisation, estimated from some nodes; the last point is now."""
        now = int(self._queue.timeline.now)
        hosts = self._site.hosts[:: max(1, len(self._site.hosts) // _CHARTED)]
        site, host_w = sum(self.pdus().values()), self._site.hardware.host_w
        drawn: list[tuple[int, float]] = []
        used: list[tuple[int, float | None]] = []
        for at in self._history.times(seconds, now):
            found = [self._history.levels(host, at) for host in hosts]
            known = [level for levels in found for level in levels if level is not None]
            dark = sum(not levels for levels in found)
            drawn.append((at, sum(level[3] for level in known) + host_w * (len(hosts) - dark) + STANDBY_W * dark))
            used.append((at, round(sum(level[0] for level in known) / len(known), 1) if known else None))
        used[-1] = (used[-1][0], self._used_now())
        scale = site / drawn[-1][1]
        return (
            Series(name="power", unit="W", points=tuple((at, float(round(watts * scale))) for at, watts in drawn)),
            Series(name="utilisation", unit="%", points=tuple(used)),
        )

    def _used_now(self) -> float | None:
        """Mean utilisation of all GPUs that report, from the newest samples of the nodes."""
        loads = [load for host in self._site.hosts if (load := self._telemetry.load(host)) is not None]
        gpus = sum(load.util_gpus or 0 for load in loads)
        return (
            round(sum((load.gpu_util_pct or 0.0) * (load.util_gpus or 0) for load in loads) / gpus, 1) if gpus else None
        )

    def _trend(self, site: float) -> float:
        """Trend in watts per hour, over the last hour or as long as there are records."""
        now = self._queue.timeline.now
        if not self._notes:
            self._notes.append((now - HOUR, site - self._rise(int(now) - HOUR)))
        if now - self._notes[-1][0] >= _NOTE_S:
            self._notes.append((now, site))
        while now - self._notes[0][0] > HOUR + _NOTE_S:
            self._notes.popleft()
        then, watts = self._notes[0]
        return round((site - watts) * HOUR / max(_NOTE_S, now - then))

    def _rise(self, then: int) -> float:
        """Rise of the site's power since `then`, from nodes whose exporters answer now and did then."""
        hosts = self._site.hosts[:: max(1, len(self._site.hosts) // _SAMPLE)]
        rise = 0.0
        for host in hosts:
            load, before = self._telemetry.load(host), self._history.levels(host, then)
            if load is not None and load.power_w is not None and before:
                rise += load.power_w - host.hardware.host_w - sum(level[3] for level in before if level is not None)
        return rise * len(self._site.hosts) / len(hosts)

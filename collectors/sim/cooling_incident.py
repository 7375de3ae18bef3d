"""The incident `cooling`: the pump of a CDU stops, and the nodes that it cools overheat over a quarter of an hour."""

from __future__ import annotations

import random

from .alerts import AlertStore
from .failures import MINUTE, NodeFailures
from .host import Host, NodeFailure
from .plant.cooling import SUPPLY_HIGH, SimLoop
from .plant.gpu_telemetry import STEP_S, levels_now, sample_step
from .plant.site_layout import DAY, HOUR
from .slurmctld.job_queue import SimQueue
from .timeline import Timeline

#: Seconds until the pump is repaired by default, and from then until the water is cold again.
REPAIR_S, COLD_S = 4 * HOUR, HOUR / 2
#: °C of a GPU that raises an alert, and at which a node powers off.
HOT_C, OFF_C = 87, 93


class CoolingTrip:
    """One cooling loop without its pump, from `begin` to `repair`. Nodes without work stay cool enough."""

    def __init__(
        self,
        loop: SimLoop,
        rng: random.Random,
        queue: SimQueue,
        failures: NodeFailures,
        alerts: AlertStore,
        timeline: Timeline,
    ) -> None:
        self.loop = loop
        self.hosts = [host for host in queue.site.hosts if host.loop is loop]
        self._rng = rng
        self._gpus = queue.site.gpus
        self._failures = failures
        self._alerts = alerts
        self._timeline = timeline
        self._alert_ids: list[str] = []

    def begin(self) -> None:
        """Stop the pump."""
        loop, after = self.loop, self._timeline.after
        loop.tripped, loop.restarted = self._timeline.now, None
        after(
            45, self._raise_alert, "CduFlowLow", "critical", f"{loop.name} lost its flow: {len(loop.racks)} racks on it"
        )
        after(4 * MINUTE, self._raise_alert, "CduSupplyWarm", "warning", f"{loop.name} supply above {SUPPLY_HIGH:g} °C")
        after(REPAIR_S, self.repair)
        for host in self.hosts:
            after(self._rng.uniform(4, 6) * MINUTE, self._check_heat, host)
            after(self._rng.uniform(8, 16) * MINUTE, self._overheat, host)

    def repair(self) -> None:
        """Restart the pump. The water cools, and nodes that powered off are switched on again."""
        if self.loop.tripped is None or self.loop.restarted is not None:
            return
        self.loop.restarted = self._timeline.now
        self._timeline.after(COLD_S, self._cold)
        for host in self.hosts:
            if host.failure is not None and host.failure.kind == "heat":
                self._timeline.after(self._rng.uniform(20, 60) * MINUTE, self._failures.repair, host, host.failure)

    def _cold(self) -> None:
        self.loop.tripped = self.loop.restarted = None
        for alert in self._alert_ids:
            self._alerts.resolve(alert)

    def _raise_alert(self, name: str, severity: str, what: str) -> None:
        self._alert_ids.append(self._alerts.raise_(name, severity, what, self._timeline.now, {"cdu": self.loop.name}))

    def _check_heat(self, host: Host) -> None:
        """Raise or resolve the node's GpuHot alert, and check again in two minutes."""
        hottest = self._hottest(host)
        if hottest is not None and hottest >= HOT_C:
            what = f"{host.name}: its hottest GPU is above {HOT_C} °C"
            self._alerts.about(host, "GpuHot", "warning", what, self._timeline.now)
        else:
            self._alerts.resolve_for_host(host, "GpuHot")
        if self.loop.tripped is not None:
            self._timeline.after(2 * MINUTE, self._check_heat, host)

    def _overheat(self, host: Host) -> None:
        """Power the node off if its GPUs are too hot, else check again."""
        if self.loop.tripped is None or self.loop.restarted is not None:
            return
        self._timeline.after(self._rng.uniform(1, 3) * MINUTE, self._overheat, host)
        hottest = self._hottest(host)
        if host.failure is None and hottest is not None and hottest >= OFF_C:
            self._failures.set_failure(
                host, NodeFailure("heat", "Not responding", "slurm", True, self._timeline.now + DAY)
            )

    def _hottest(self, host: Host) -> int | None:
        """°C of the hottest GPU of a node; None if the node is off."""
        if host.silent:
            return None
        turn = sample_step(host, int(self._timeline.now // STEP_S))
        found = [level[2] for level in levels_now(host, self._gpus, turn) if level is not None]
        return max(found, default=None)

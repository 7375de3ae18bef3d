"""The fabric: for each node a port per GPU to the rack's leaf switch, one port to the storage, one of Ethernet.

A port is healthy unless a fault of its node (the health check names the port), an initial fault or an incident says
otherwise. So a cluster of 12,000 nodes stores some dozens of ports, not 108,000.
"""

from __future__ import annotations

import random
import re
import zlib
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from collectors.model import Fabric, Facts, Port
from collectors.sim.host import Host
from collectors.sim.timeline import Timeline

from .site_layout import HOUR, SimSite

#: Gb/s of a compute port, of a storage port, of Ethernet.
COMPUTE, STORAGE, MANAGEMENT = 400.0, 200.0, 25.0
ETHERNET, SPARE_ETHERNET = "eno1", "eno2"
#: Gb/s that a port reports while it is down (4X SDR).
DOWN_GBPS = 10.0
#: Scrape interval of node_exporter in seconds.
SAMPLE_S = 15
FLAPS, ERRORS = 2, 1000
_NAMED = re.compile(r"mlx5_(\d+) link down")
_FLAPPING = re.compile(r"cable flaps port (\d+)")


class PortFault(Struct):
    """A fault of one port, apart from the fault of its node."""

    gbps: float | None = None
    """Gb/s at which it runs, if not at its nominal speed."""
    downs: list[float] = field(default_factory=list)
    """Unix times when its link went down."""
    errors: int = 0
    """Symbol errors in the last hour."""


class Links:
    """All ports. Incidents and node faults make some of them unhealthy."""

    def __init__(self, rng: random.Random, site: SimSite, timeline: Timeline) -> None:
        self._site = site
        self._timeline = timeline
        self.faults: dict[tuple[int, str], PortFault] = {}
        count = len(site.hosts)
        if count >= 32:
            for host in rng.sample(site.hosts, max(1, count // 700)):
                self.faults[host.index, self._random_compute_port(rng)] = PortFault(gbps=COMPUTE / 2)
            for host in rng.sample(site.hosts, max(1, count // 1500)):
                downs = [timeline.now - rng.uniform(60, HOUR) for _ in range(rng.randrange(2, 6))]
                self.faults[host.index, self._random_compute_port(rng)] = PortFault(
                    downs=sorted(downs), errors=rng.randrange(50, 4000)
                )

    def _random_compute_port(self, rng: random.Random) -> str:
        return f"mlx5_{rng.randrange(self._site.gpus)}"

    # -- faults --------------------------------------------------------------------------------------------------------

    def flap(self, host: Host, device: str) -> None:
        """Record that the link went down now; it is up again at once."""
        self.faults.setdefault((host.index, device), PortFault()).downs.append(self._timeline.now)

    def slow(self, host: Host, device: str) -> None:
        """The link runs at half its speed from now on."""
        self.faults.setdefault((host.index, device), PortFault()).gbps = COMPUTE / 2

    def repair(self, hosts: list[Host]) -> None:
        """Repair all cables of these hosts; link failures of the last hour are still counted."""
        for host in hosts:
            for device in self.devices():
                fault = self.faults.get((host.index, device))
                if fault is not None:
                    fault.gbps = None

    # -- readings ------------------------------------------------------------------------------------------------------

    def devices(self) -> tuple[str, ...]:
        """The devices of a node that have a cable, in order."""
        return (*(f"mlx5_{n}" for n in range(self._site.gpus + 1)), ETHERNET)

    def ports(self, host: Host) -> tuple[Port, ...]:
        """All ports of a node that have a cable; empty if the node does not answer."""
        return () if host.silent else tuple(self.port(host, device) for device in self.devices())

    def sampled(self, host: Host) -> tuple[Port, ...]:
        """The same ports with the time of their sample."""
        at = int(self._timeline.now) // SAMPLE_S * SAMPLE_S
        return tuple(replace(port, sampled_at=at) for port in self.ports(host))

    def port(self, host: Host, device: str) -> Port:
        """The current state of one port."""
        now = self._timeline.now
        fault = self.faults.get((host.index, device)) or PortFault()
        reason = host.failure.reason if host.failure is not None else ""
        named, flapping = _NAMED.search(reason), _FLAPPING.search(reason)
        down = named is not None and device == f"mlx5_{named[1]}"
        recent = sum(now - HOUR <= at <= now for at in fault.downs) + int(down)
        if flapping is not None and device == f"mlx5_{flapping[1]}":
            recent += 4
        usual = self.usual(device)
        speed = None if down else fault.gbps or usual
        slow = speed is not None and speed < usual
        wrong = (
            *(("down",) if down else ()),
            *(("slow",) if slow else ()),
            *(("flapping",) if recent >= FLAPS else ()),
            *(("errors",) if fault.errors >= ERRORS else ()),
        )
        infiniband = device != ETHERNET
        return Port(
            node=host.name,
            device=device,
            link="InfiniBand" if infiniband else "Ethernet",
            up=not down,
            state=("Down, Polling" if down else "Active, LinkUp") if infiniband else "up",
            speed_gbps=speed,
            usual_gbps=usual,
            downed=recent,
            errors=fault.errors if infiniband else None,
            switch=host.switch if infiniband else None,
            switch_port=str(zlib.crc32(f"{host.name}/{device}".encode()) % 64 + 1) if infiniband else None,
            wrong=wrong,
        )

    def usual(self, device: str) -> float:
        """Nominal speed of a device in Gb/s."""
        if device == ETHERNET:
            return MANAGEMENT
        return STORAGE if device == f"mlx5_{self._site.gpus}" else COMPUTE

    def downs(self, host: Host, device: str) -> int:
        """Value of the link-downed counter since the node booted."""
        port = self.port(host, device)
        fault = self.faults.get((host.index, device))
        old = sum(at < self._timeline.now - HOUR for at in fault.downs) if fault is not None else 0
        return zlib.crc32(f"{device}/{host.name}".encode()) % 3 + old + (port.downed or 0)

    def unhealthy(self) -> dict[str, Port]:
        """The unhealthy ports of nodes that answer."""
        hosts = self._site.hosts
        affected = {index for index, _ in self.faults}
        affected.update(host.index for host in hosts if host.failure is not None)
        ports = (port for index in sorted(affected) for port in self.ports(hosts[index]))
        return {port.key: port for port in ports if port.wrong}

    def fabric(self, unhealthy: dict[str, Port]) -> Fabric:
        """Counts over all ports."""
        switches: dict[str, int] = {}
        answering = 0
        for host in self._site.hosts:
            if not host.silent:
                answering += 1
                switches[host.switch] = switches.get(host.switch, 0) + self._site.gpus + 1
        count = answering * len(self.devices())
        return Fabric(
            ports=count,
            up=count - sum(not port.up for port in unhealthy.values()),
            uncabled=2 * answering,
            switches=switches,
            source="node_exporter and the switches' own names",
        )


def _facts(machine: Any) -> Facts:
    with machine.locked():
        unhealthy = machine.links.unhealthy()
        return Facts(ports=unhealthy, fabric=machine.links.fabric(unhealthy))


SOURCE = "prom.fabric", 30.0, _facts

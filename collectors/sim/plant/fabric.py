"""The fabric of the simulated machine: a port a GPU to the rack's leaf switch, one to the storage, one of Ethernet.

A port is well unless something says otherwise: a fault of its node (the health check names the port), a fault that
was there from the start, or an incident. So a machine of 12,000 nodes holds some dozens of ports, not 108,000.
"""

from __future__ import annotations

import random
import re
import zlib

from msgspec import Struct, field
from msgspec.structs import replace

from collectors.model import Fabric, Port
from collectors.sim.timeline import Timeline

from .site_layout import HOUR, Host, SimSite

#: Gigabits a second of a compute port, of the storage's, of Ethernet's.
COMPUTE, STORAGE, MANAGEMENT = 400.0, 200.0, 25.0
ETHERNET, SPARE_ETHERNET = "eno1", "eno2"
#: What a port that is down says of its speed: 10 Gb/s (4X SDR).
DOWN_GBPS = 10.0
#: node_exporter is scraped as often.
SAMPLE_S = 15
FLAPS, ERRORS = 2, 1000
_NAMED = re.compile(r"mlx5_(\d+) link down")
_FLAPPING = re.compile(r"cable flaps port (\d+)")


class PortFault(Struct):
    """What is wrong with one port, beside what the fault of its node says."""

    gbps: float | None = None
    """It runs at this speed."""
    downs: list[float] = field(default_factory=list)
    """When its link went down."""
    errors: int = 0
    """Symbol errors of the last hour."""


class Links:
    """All ports. What is not well is made by the incidents and the troubles of nodes."""

    def __init__(self, rng: random.Random, site: SimSite, timeline: Timeline) -> None:
        self._site = site
        self._timeline = timeline
        self.faults: dict[tuple[int, str], PortFault] = {}
        count = len(site.hosts)
        if count >= 32:
            for host in rng.sample(site.hosts, max(1, count // 700)):
                self.faults[host.index, self._compute(rng)] = PortFault(gbps=COMPUTE / 2)
            for host in rng.sample(site.hosts, max(1, count // 1500)):
                downs = [timeline.now - rng.uniform(60, HOUR) for _ in range(rng.randrange(2, 6))]
                self.faults[host.index, self._compute(rng)] = PortFault(
                    downs=sorted(downs), errors=rng.randrange(50, 4000)
                )

    def _compute(self, rng: random.Random) -> str:
        return f"mlx5_{rng.randrange(self._site.gpus)}"

    # -- what goes wrong -----------------------------------------------------------------------------------------------

    def flap(self, host: Host, device: str) -> None:
        """The link goes down now and comes back."""
        self.faults.setdefault((host.index, device), PortFault()).downs.append(self._timeline.now)

    def slow(self, host: Host, device: str) -> None:
        """From now on it trains at half its speed."""
        self.faults.setdefault((host.index, device), PortFault()).gbps = COMPUTE / 2

    def repair(self, hosts: list[Host]) -> None:
        """All cables of these hosts are as they should be; what happened within the hour is still told."""
        for host in hosts:
            for device in self.devices():
                fault = self.faults.get((host.index, device))
                if fault is not None:
                    fault.gbps = None

    # -- what is seen --------------------------------------------------------------------------------------------------

    def devices(self) -> tuple[str, ...]:
        """The devices of a node that have a cable, in their order."""
        return (*(f"mlx5_{n}" for n in range(self._site.gpus + 1)), ETHERNET)

    def ports(self, host: Host) -> tuple[Port, ...]:
        """Every port of a node that has a cable; none where the node does not answer."""
        return () if host.silent else tuple(self.port(host, device) for device in self.devices())

    def sampled(self, host: Host) -> tuple[Port, ...]:
        """The same with when each was sampled, for who looks at the node."""
        at = int(self._timeline.now) // SAMPLE_S * SAMPLE_S
        return tuple(replace(port, sampled_at=at) for port in self.ports(host))

    def port(self, host: Host, device: str) -> Port:
        """One port as it is now."""
        now = self._timeline.now
        fault = self.faults.get((host.index, device)) or PortFault()
        said = host.fault.reason if host.fault is not None else ""
        named, flapping = _NAMED.search(said), _FLAPPING.search(said)
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
        """The speed of a device."""
        if device == ETHERNET:
            return MANAGEMENT
        return STORAGE if device == f"mlx5_{self._site.gpus}" else COMPUTE

    def downs(self, host: Host, device: str) -> int:
        """How often the link went down since the node booted: the counter."""
        port = self.port(host, device)
        fault = self.faults.get((host.index, device))
        old = sum(at < self._timeline.now - HOUR for at in fault.downs) if fault is not None else 0
        return zlib.crc32(f"{device}/{host.name}".encode()) % 3 + old + (port.downed or 0)

    def unhealthy(self) -> dict[str, Port]:
        """The ports that are not well, of nodes that answer."""
        hosts = self._site.hosts
        affected = {index for index, _ in self.faults}
        affected.update(host.index for host in hosts if host.fault is not None)
        ports = (port for index in sorted(affected) for port in self.ports(hosts[index]))
        return {port.key: port for port in ports if port.wrong}

    def fabric(self, unhealthy: dict[str, Port]) -> Fabric:
        """All of them in figures."""
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

"""NVLink domains of a cluster of NVL72 racks: the clique of each tray, its fabric and IMEX state.

Computed on demand. Trays whose exporter does not answer have no row, as at a real site.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import cache

from collectors.model import Domain, Gpu, Tray
from collectors.nvml.labels import fabric_problems
from collectors.sim.exporters.dcgm import ExporterOptions, labels_of
from collectors.sim.host import Host, answers

from .site_layout import SimSite

#: NVL72: 18 trays of 4 GPUs.
TRAYS, GPUS = 18, 4
#: Health masks of nvmlGpuFabricInfo: healthy (all pairs of bits say false, the configuration is right), and faults.
WELL = 0x1AA
DEGRADED = WELL & ~0x3 | 0x1
NO_ROUTE = WELL & ~0x30 | 0x10
#: Health summary of the driver.
_HEALTHY, _UNHEALTHY, _LIMITED = 1, 2, 3
_SEVERITY = (_HEALTHY, _LIMITED, _UNHEALTHY)
_WORDS = {_HEALTHY: "healthy", _LIMITED: "degraded", _UNHEALTHY: "unhealthy"}
#: State of the IMEX daemon by the console's name for it.
_DAEMON = {"up": 5, "waiting for peers": 2, "unavailable": 7}
_FAMILIES = (
    ("DCGM_FI_DEV_FABRIC_CLIQUE_ID", "ID of the fabric clique to which the GPU belongs."),
    ("DCGM_FI_DEV_FABRIC_HEALTH_MASK", "GPU fabric health status mask."),
    ("DCGM_FI_DEV_FABRIC_HEALTH_SUMMARY", "GPU fabric health summary."),
    ("DCGM_FI_IMEX_DAEMON_STATUS", "Status of the IMEX daemon."),
)


class NvLink:
    """The fabric of all domains; `enabled` is False for servers without NVLink between nodes."""

    def __init__(self, site: SimSite, on: bool) -> None:
        self.enabled = on
        self._site = site
        self.apart: dict[int, int] = {}
        """Host index to its clique, if not its domain's."""
        self.masks: dict[int, dict[int, int]] = {}
        """Host index to the health masks of its unhealthy GPUs."""
        self.imex: dict[int, str] = {}
        """Host index to the state of its IMEX daemon, if not up."""
        self.degraded: set[str] = set()
        """Racks whose domain IMEX reports as degraded."""
        self._rows: dict[int, tuple[object, Tray]] = {}
        if on and len(site.hosts) > 2 * TRAYS:
            # A bad cable from the start, for the console to find.
            self.masks[TRAYS + 5] = {1: DEGRADED}

    def domains(self) -> dict[str, Domain]:
        """The blocks of Slurm's topology: one for each rack."""
        if not self.enabled:
            return {}
        names = [host.name for host in self._site.hosts]
        return {
            rack: Domain(name=rack, nodes=tuple(names[index] for index in indices), said_by="Slurm's blocks")
            for rack, indices in self._site.racks.items()
        }

    def trays(self) -> dict[str, Tray]:
        """The state of every node whose exporter answers. An unchanged row is the same object."""
        if not self.enabled:
            return {}
        return {host.name: self._tray(host) for host in self._site.hosts if answers(host)}

    def _tray(self, host: Host) -> Tray:
        index = host.index
        masks = self.masks.get(index, {})
        clique, imex = self._clique(host), self.imex.get(index, "up")
        key = (clique, imex, host.lost_gpus, tuple(masks.items()), host.rack in self.degraded)
        known = self._rows.get(index)
        if known is not None and known[0] == key:
            return known[1]
        alive = [gpu for gpu in range(self._site.gpus) if not host.lost_gpus >> gpu & 1]
        unhealthy = {gpu: mask for gpu, mask in masks.items() if gpu in alive}
        wrong = tuple(dict.fromkeys(word for gpu in sorted(unhealthy) for word in fabric_problems(unhealthy[gpu])))
        worst = max((_summary(mask) for mask in unhealthy.values()), key=_SEVERITY.index, default=_HEALTHY)
        tray = Tray(
            node=host.name,
            domain=domain_of(host.rack),
            clique=str(clique),
            gpus=len(alive),
            ready=len(alive) - len(unhealthy),
            fabric=_WORDS[worst],
            wrong=wrong,
            imex=imex,
            imex_domain="degraded" if host.rack in self.degraded else "up",
        )
        self._rows[index] = (key, tray)
        return tray

    def _clique(self, host: Host) -> int:
        return self.apart.get(host.index) or 1 + int(domain_of(host.rack)[:2], 16) % 9

    def text(self, gpus: Iterable[Gpu], options: ExporterOptions) -> str:
        """The fabric metrics of these GPUs as dcgm-exporter serves them; "" without NVLink between nodes."""
        if not self.enabled:
            return ""
        samples: dict[str, list[str]] = {name: [] for name, _ in _FAMILIES}
        for gpu in gpus:
            if gpu.lost is not None:
                continue
            host = self._site.hosts[self._site.by_name[gpu.node]]
            mask = self.masks.get(host.index, {}).get(gpu.index, WELL)
            daemon = _DAEMON[self.imex.get(host.index, "up")]
            word = "DEGRADED" if host.rack in self.degraded else "UP"
            texts = f'DCGM_FI_DEV_FABRIC_CLUSTER_UUID="{domain_of(host.rack)}",DCGM_FI_IMEX_DOMAIN_STATUS="{word}"'
            for labels, _ in labels_of(gpu, options):
                values = (self._clique(host), mask, _summary(mask), daemon)
                for (name, _), value in zip(_FAMILIES, values, strict=True):
                    samples[name].append(f"{name}{{{labels},{texts}}} {value}")
        lines = []
        for name, about in _FAMILIES:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge", *samples[name]] if samples[name] else []
        return "\n".join(lines) + "\n" if lines else ""

    # -- faults --------------------------------------------------------------------------------------------------------

    def split(self, hosts: Iterable[Host]) -> None:
        """Move these hosts to a clique of their own: their GPUs cannot reach the rest of the domain."""
        for host in hosts:
            self.apart[host.index] = self._clique(host) + 1
            self.degraded.add(host.rack)

    def degrade(self, host: Host, mask: int, imex: str = "up") -> None:
        """Set the health mask of all GPUs of a tray, and the state of its IMEX daemon."""
        self.masks[host.index] = dict.fromkeys(range(self._site.gpus), mask)
        if imex != "up":
            self.imex[host.index] = imex
            self.degraded.add(host.rack)

    def repair(self, rack: str) -> None:
        """Repair the domain of a rack."""
        self.degraded.discard(rack)
        for index in self._site.racks[rack]:
            for held in (self.apart, self.masks, self.imex):
                held.pop(index, None)


@cache
def domain_of(rack: str) -> str:
    """The UUID of a rack's domain."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"nvlink/{rack}"))


def _summary(mask: int) -> int:
    return _HEALTHY if mask == WELL else _LIMITED if mask == DEGRADED else _UNHEALTHY

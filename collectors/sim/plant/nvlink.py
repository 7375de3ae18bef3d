"""NVLink domains of a machine of NVL72 racks: which tray is in which clique, how its fabric and its IMEX service are.

All of it is worked out when somebody asks. Trays whose exporter is silent have no row, as at a real site.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import cache

from collectors.model import Domain, Gpu, Tray
from collectors.nvml.labels import fabric_troubles
from collectors.sim.exporters.dcgm import ExporterOptions, labels_of

from .site_layout import Host, SimSite, answers

#: NVL72: 18 trays of 4 GPUs.
TRAYS, GPUS = 18, 4
#: nvmlGpuFabricInfo: nothing wrong (every pair of bits says false, the configuration is right), and what may be.
WELL = 0x1AA
DEGRADED = WELL & ~0x3 | 0x1
NO_ROUTE = WELL & ~0x30 | 0x10
#: The driver's summary.
_HEALTHY, _UNHEALTHY, _LIMITED = 1, 2, 3
_SEVERITY = (_HEALTHY, _LIMITED, _UNHEALTHY)
_WORDS = {_HEALTHY: "healthy", _LIMITED: "degraded", _UNHEALTHY: "unhealthy"}
#: The IMEX daemon, by what the console calls it.
_DAEMON = {"up": 5, "waiting for peers": 2, "unavailable": 7}
_FAMILIES = (
    ("DCGM_FI_DEV_FABRIC_CLIQUE_ID", "ID of the fabric clique to which the GPU belongs."),
    ("DCGM_FI_DEV_FABRIC_HEALTH_MASK", "GPU fabric health status mask."),
    ("DCGM_FI_DEV_FABRIC_HEALTH_SUMMARY", "GPU fabric health summary."),
    ("DCGM_FI_IMEX_DAEMON_STATUS", "Status of the IMEX daemon."),
)


class NvLink:
    """The fabric of all domains; `on` is False on a machine of servers that have none between them."""

    def __init__(self, site: SimSite, on: bool) -> None:
        self.enabled = on
        self._site = site
        self.apart: dict[int, int] = {}
        """Host to the clique in which it came up, where that is not its domain's own."""
        self.masks: dict[int, dict[int, int]] = {}
        """Host to the health masks of its GPUs that are not well."""
        self.imex: dict[int, str] = {}
        """Host to the state of its IMEX daemon, where it is not up."""
        self.degraded: set[str] = set()
        """Racks of which IMEX says that the domain is degraded."""
        self._rows: dict[int, tuple[object, Tray]] = {}
        if on and len(site.hosts) > 2 * TRAYS:
            # A cable that was never quite in: what a console should find by itself.
            self.masks[TRAYS + 5] = {1: DEGRADED}

    def domains(self) -> dict[str, Domain]:
        """The blocks of Slurm's topology: a rack is one."""
        if not self.enabled:
            return {}
        names = [host.name for host in self._site.hosts]
        return {
            rack: Domain(name=rack, nodes=tuple(names[index] for index in indices), said_by="Slurm's blocks")
            for rack, indices in self._site.racks.items()
        }

    def trays(self) -> dict[str, Tray]:
        """Every node whose exporter answers. A row that looks as before is the same object as before."""
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
        ill = {gpu: mask for gpu, mask in masks.items() if gpu in alive}
        wrong = tuple(dict.fromkeys(word for gpu in sorted(ill) for word in fabric_troubles(ill[gpu])))
        worst = max((_summary(mask) for mask in ill.values()), key=_SEVERITY.index, default=_HEALTHY)
        tray = Tray(
            node=host.name,
            domain=domain_of(host.rack),
            clique=str(clique),
            gpus=len(alive),
            ready=len(alive) - len(ill),
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
        """What dcgm-exporter would serve of these GPUs' fabric; "" on a machine that has none."""
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

    # -- what goes wrong -----------------------------------------------------------------------------------------------

    def split(self, hosts: Iterable[Host]) -> None:
        """These came up in a clique of their own: no GPU of theirs reaches the rest of the domain."""
        for host in hosts:
            self.apart[host.index] = self._clique(host) + 1
            self.degraded.add(host.rack)

    def degrade(self, host: Host, mask: int, imex: str = "up") -> None:
        """All GPUs of a tray are ill in this way, and its IMEX daemon is in this state."""
        self.masks[host.index] = dict.fromkeys(range(self._site.gpus), mask)
        if imex != "up":
            self.imex[host.index] = imex
            self.degraded.add(host.rack)

    def repair(self, rack: str) -> None:
        """The domain is whole again."""
        self.degraded.discard(rack)
        for index in self._site.racks[rack]:
            for held in (self.apart, self.masks, self.imex):
                held.pop(index, None)


@cache
def domain_of(rack: str) -> str:
    """The UUID that the fabric manager of a rack gives its domain."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"nvlink/{rack}"))


def _summary(mask: int) -> int:
    return _HEALTHY if mask == WELL else _LIMITED if mask == DEGRADED else _UNHEALTHY

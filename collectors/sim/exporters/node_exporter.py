"""The exposition of node_exporter for ports and mounts of a simulated node, and of lustre_exporter on its servers:
names, labels and units of node_exporter 1.9 and GSI's lustre_exporter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from collectors.sim.host import Host
from collectors.sim.plant.fabric import DOWN_GBPS, ETHERNET, SPARE_ETHERNET, Links
from collectors.sim.plant.site_layout import SimSite
from collectors.sim.plant.storage import LUSTRE_FS, TB, SimFileSystem, Storage

PORT = 9100

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


class Family(Struct, frozen=True):
    """One metric of a node, and its samples."""

    name: str
    kind: str
    help: str
    samples: Callable[[Host], Iterable[Sample]]


class NodeExporterText:
    """Writes the exposition of one node, or of all in one answer."""

    def __init__(self, site: SimSite, links: Links, storage: Storage) -> None:
        self._site = site
        self._links = links
        self._storage = storage
        ib, eth, fs = "node_infiniband", "node_network", "node_filesystem"
        self._families = (
            Family(f"{ib}_state_id", "gauge", "State of the InfiniBand port.", self._states),
            Family(f"{ib}_physical_state_id", "gauge", "Physical state of the InfiniBand port.", self._physical),
            Family(f"{ib}_rate_bytes_per_second", "gauge", "Maximum signal transfer rate", self._rates),
            Family(f"{ib}_link_downed_total", "counter", "Number of times the link went down", self._downs),
            Family(f"{ib}_symbol_error_total", "counter", "Number of minor link errors detected.", self._errors),
            Family(f"{eth}_up", "gauge", "Value is 1 if operstate is 'up', 0 otherwise.", self._eth_up),
            Family(f"{eth}_speed_bytes", "gauge", "Network device property: speed_bytes", self._eth_speed),
            Family(f"{eth}_carrier_changes_total", "counter", "Network device property: carrier_changes_total",
                   self._eth_changes),
            Family(f"{fs}_device_error", "gauge", "Whether an error occurred while getting statistics.", self._hangs),
            Family(f"{fs}_readonly", "gauge", "Filesystem read-only status.", self._readonly),
            Family(f"{fs}_size_bytes", "gauge", "Filesystem size in bytes.", self._sizes),
            Family(f"{fs}_avail_bytes", "gauge", "Filesystem space available to non-root users.", self._free),
        )  # fmt: skip

    def text(self, hosts: Iterable[Host], one: bool) -> str:
        """The exposition of these hosts; with `one` as the node's own exporter, without `instance`. Hosts that do
        not answer are left out."""
        answering = [host for host in hosts if not host.silent]
        lines: list[str] = []
        for family in self._families:
            samples = [
                f"{family.name}{{{','.join(f'{k}={v!r}'.replace(chr(39), chr(34)) for k, v in labels)}}} {value:.10g}"
                for host in answering
                for labels, value in (self._named(host, sample, one) for sample in family.samples(host))
            ]
            if samples:
                lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}", *samples]
        return "\n".join(lines) + "\n" if lines else ""

    def lustre(self) -> str:
        """The exposition of lustre_exporter on all servers; lost targets are missing."""
        store = self._storage.file_systems["/scratch"]
        count = (store.targets or 0) - store.lost
        name = "lustre_capacity_kibibytes"
        size = store.size_tb * TB / 1024 / max(1, store.targets or 1)
        lines = [f'{name}{{component="ost",target="{LUSTRE_FS}-OST{n:04x}"}} {size:.10g}' for n in range(count)]
        head = [f"# HELP {name} Capacity of the pool in kibibytes", f"# TYPE {name} gauge"]
        return "\n".join([*head, *lines]) + "\n"

    def links(self) -> str:
        """The switch of each port, as a site would export it from its fabric manager."""
        lines = ["# HELP ib_link_info The switch behind a port.", "# TYPE ib_link_info gauge"]
        for host in self._site.hosts:
            for port in self._links.ports(host):
                if port.switch is not None:
                    lines.append(
                        f'ib_link_info{{node="{host.name}",device="{port.device}",switch="{port.switch}",'
                        f'switch_port="{port.switch_port}"}} 1'
                    )
        return "\n".join(lines) + "\n"

    # -- inside --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _named(host: Host, sample: Sample, one: bool) -> Sample:
        labels, value = sample
        return (labels if one else (("instance", f"{host.name}:{PORT}"), *labels)), value

    def _ib(self, host: Host, spare: float, of: Callable[[str], float]) -> Iterator[Sample]:
        """One sample for each port, and one for the port without a cable."""
        for device in self._links.devices():
            if device != ETHERNET:
                yield (("device", device), ("port", "1")), of(device)
        yield (("device", f"mlx5_{self._site.gpus + 1}"), ("port", "1")), spare

    def _states(self, host: Host) -> Iterator[Sample]:
        return self._ib(host, 1, lambda device: 4 if self._links.port(host, device).up else 1)

    def _physical(self, host: Host) -> Iterator[Sample]:
        return self._ib(host, 3, lambda device: 5 if self._links.port(host, device).up else 2)

    def _rates(self, host: Host) -> Iterator[Sample]:
        def rate(device: str) -> float:
            return (self._links.port(host, device).speed_gbps or DOWN_GBPS) * 1e9 / 8

        return self._ib(host, DOWN_GBPS * 1e9 / 8, rate)

    def _downs(self, host: Host) -> Iterator[Sample]:
        return self._ib(host, 0, lambda device: self._links.downs(host, device))

    def _errors(self, host: Host) -> Iterator[Sample]:
        return self._ib(host, 0, lambda device: self._links.port(host, device).errors or 0)

    def _eth_up(self, host: Host) -> Iterator[Sample]:
        for device, up in ((ETHERNET, 1.0), (SPARE_ETHERNET, 0.0), ("lo", 0.0)):
            yield (("device", device),), up

    def _eth_speed(self, host: Host) -> Iterator[Sample]:
        yield (("device", ETHERNET),), self._links.usual(ETHERNET) * 1e9 / 8
        yield (("device", SPARE_ETHERNET),), -125000.0

    def _eth_changes(self, host: Host) -> Iterator[Sample]:
        yield (("device", ETHERNET),), 2.0
        yield (("device", SPARE_ETHERNET),), 1.0

    def _shared(self, host: Host) -> Iterator[tuple[SimFileSystem, Labels, bool]]:
        for name, answers in self._storage.mounts(host).items():
            store = self._storage.file_systems[name]
            error = "" if answers else "mountpoint timeout"
            yield store, (("device", store.device), ("device_error", error), ("fstype", store.kind),
                          ("mountpoint", name)), answers  # fmt: skip

    _ROOT: Labels = (("device", "/dev/nvme0n1p2"), ("device_error", ""), ("fstype", "ext4"), ("mountpoint", "/"))

    def _hangs(self, host: Host) -> Iterator[Sample]:
        yield self._ROOT, 0.0
        for _, labels, answers in self._shared(host):
            yield labels, float(not answers)

    def _readonly(self, host: Host) -> Iterator[Sample]:
        yield self._ROOT, 0.0
        for _, labels, answers in self._shared(host):
            if answers:
                yield labels, 0.0

    def _sizes(self, host: Host) -> Iterator[Sample]:
        yield self._ROOT, 1.9 * TB
        for store, labels, answers in self._shared(host):
            if answers:
                yield labels, store.size_tb * TB

    def _free(self, host: Host) -> Iterator[Sample]:
        yield self._ROOT, 1.2 * TB
        for store, labels, answers in self._shared(host):
            if answers:
                yield labels, store.size_tb * TB * (1 - self._storage.used_pct(store) / 100)

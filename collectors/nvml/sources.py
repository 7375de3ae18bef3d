"""Opens NVML: the source with the console's chip, and the telemetry of this host. Both share one child."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence

from collectors.model import Attached, Collector, Facts, Gpu, Load, Series, SourceFault

from . import NvmlSettings
from .client import Nvml, Point, Sample

#: Points of a chart; more readings are averaged.
POINTS = 360
IDLE_BELOW_PCT = 5

_open: dict[tuple[str, NvmlSettings], tuple[Nvml, int]] = {}
_opening = threading.Lock()


def this_node() -> str:
    """This host's likely name in Slurm: its host name without the domain."""
    return socket.gethostname().partition(".")[0]


def acquire_nvml(settings: NvmlSettings, node: str | None = None) -> Nvml:
    """The shared child of this host; `release_nvml` gives it back."""
    key = (node or this_node(), settings)
    with _opening:
        nvml, held = _open.get(key) or (Nvml(*key), 0)
        _open[key] = (nvml, held + 1)
        return nvml


def release_nvml(nvml: Nvml) -> None:
    """Give it back; the last user ends the child."""
    key = (nvml.node, nvml.settings)
    with _opening:
        known, held = _open.get(key) or (nvml, 0)
        if known is not nvml or held > 1:
            _open[key] = (known, held - (known is nvml))
            return
        _open.pop(key, None)
    nvml.close()


class NvmlSource:
    """This host's GPUs as a source. Details are read through the telemetry."""

    name = "nvml.gpus"

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self.floor_s = nvml.settings.interval_s

    def collect(self) -> Facts:
        """Read every GPU of this host. Raises SourceFault."""
        sample = self._nvml.read()
        lost = [f"GPU {gpu.index} is lost: {gpu.lost}" for gpu in sample.gpus if gpu.lost]
        warnings = (*lost, *sample.warnings)
        if not self._nvml.settings.facts:
            return Facts(warnings=warnings)
        return Facts(loads={sample.node: load_of(sample, self._nvml.points[-1])}, xids=sample.xids, warnings=warnings)

    def close(self) -> None:
        """Give the child back."""
        release_nvml(self._nvml)


def load_of(sample: Sample, point: Point) -> Load:
    """A reading as the Load for the map, the lists and the totals. GPU power is not node power: that stays unknown."""
    utils = [gpu.util_pct for gpu in sample.gpus if gpu.lost is None and gpu.util_pct is not None]
    newest = max(sample.xids.values(), key=lambda xid: xid.last_at or 0, default=None)
    return Load(
        node=sample.node,
        sampled_at=int(sample.at),
        gpu_util_pct=point.util_pct,
        util_gpus=len(utils),
        gpu_memory_pct=point.memory_pct,
        temp_c=point.temp_c,
        gpu_power_w=point.power_w,
        gpus_seen=sum(gpu.lost is None for gpu in sample.gpus),
        gpus_idle=sum(util < IDLE_BELOW_PCT for util in utils) if utils else None,
        xid=None if newest is None else newest.code,
    )


class NvmlTelemetry:
    """Telemetry of this host, on demand; other nodes are unknown. Its history is what it has read itself."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml

    @property
    def node(self) -> str:
        """This node."""
        return self._nvml.node

    def sample(self) -> Sample:
        """The last reading, or a new one if that is older than one and a half intervals. Raises SourceFault."""
        return self._nvml.read(1.5 * self._nvml.settings.interval_s)

    def gpus(self, nodes: Sequence[str]) -> Mapping[str, tuple[Gpu, ...]]:
        """Every GPU of this host, if it is among the nodes. Raises SourceFault."""
        return {self.node: self.sample().gpus} if self.node in nodes else {}

    def site_history(self, seconds: int) -> Sequence[Series]:
        """Empty: one host is not the site."""
        return ()

    def attached(self, node: str) -> Attached:
        """Always raises SourceFault: a driver knows only GPUs."""
        raise SourceFault("missing", "the driver reports no ports and no file systems", "node_exporter does")

    def energy_j(self, nodes: Sequence[str], since: int) -> float | None:
        """Joules that this host's GPUs have used since then; None for other nodes and before the first reading."""
        points = [point for point in list(self._nvml.points) if point.energy_j is not None]
        if set(nodes) != {self.node} or not points or points[0].at > since + self._nvml.settings.interval_s:
            return None
        first = next((point for point in points if point.at >= since), points[-1])
        used = (points[-1].energy_j or 0.0) - (first.energy_j or 0.0)
        return used if used >= 0 else None  # the counter restarts with the driver

    def history(self, node: str, seconds: int) -> Sequence[Series]:
        """Charts of this host over the last `seconds`, an hour at most: its own readings, gaps as None."""
        if node != self.node:
            return ()
        points = list(self._nvml.points)
        if not points:
            return ()
        step = max(1, round(self._nvml.settings.interval_s), seconds // POINTS)
        newest = int(points[-1].at)
        begins = max(int(points[0].at), newest - seconds)
        rows: dict[int, list[Point]] = {}
        for point in points:
            if point.at >= begins:
                rows.setdefault(newest - (newest - int(point.at)) // step * step, []).append(point)
        times = range(newest - (newest - begins) // step * step, newest + 1, step)

        def series(name: str, unit: str, field: str) -> Series:
            return Series(name=name, unit=unit, points=tuple((at, _mean(rows.get(at, ()), field)) for at in times))

        return (
            series("utilisation", "%", "util_pct"), series("memory", "%", "memory_pct"),
            series("temperature", "°C", "temp_c"), series("power", "W", "power_w"),
        )  # fmt: skip

    def close(self) -> None:
        """Give the child back."""
        release_nvml(self._nvml)


def _mean(points: Sequence[Point], field: str) -> float | None:
    values = [value for point in points if (value := getattr(point, field)) is not None]
    return sum(values) / len(values) if values else None


def open_sources(cluster: str, settings: NvmlSettings) -> Sequence[Collector]:
    """The source of this host. Starts nothing."""
    return [NvmlSource(acquire_nvml(settings))]


def open_telemetry(cluster: str, settings: NvmlSettings) -> NvmlTelemetry:
    """The telemetry of this host. Starts nothing."""
    return NvmlTelemetry(acquire_nvml(settings))

"""Opens a cluster: from the configuration, from the Slurm on PATH, or the embedded machine."""

from __future__ import annotations

import importlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from collectors import process
from collectors.clock import Clock, SystemClock
from collectors.model import Collector, Gpu, Series, SourceFault, Telemetry, Transport
from collectors.registry import descriptors, open_sources
from collectors.sim import SimSettings
from collectors.slurm import SlurmSettings
from console.config import ClusterConfig, Config
from console.errors import Told

#: The commands that wacht cannot do without.
NEEDED = ("squeue", "scontrol", "sinfo")


class NoCluster(Told):
    """There is nothing to watch; the text says what was looked for and what to do."""


class Site(Struct, frozen=True, kw_only=True):
    """A cluster ready to be opened. `slurm` holds the settings of what schedules it, real or embedded."""

    name: str
    demo: bool
    slurm: SlurmSettings | SimSettings
    others: Mapping[str, Struct]

    def collectors(self) -> Sequence[Collector]:
        """Open every source. Heavy imports happen here; nothing is read yet."""
        known = descriptors()
        opened = list(open_sources(known["sim" if self.demo else "slurm"], self.name, self.slurm))
        for key, chosen in self.others.items():
            opened += open_sources(known[key], self.name, chosen)
        return opened

    def telemetry(self) -> Telemetry:
        """Telemetry on demand: of the embedded machine, of Prometheus, or none."""
        if self.demo:
            made: Telemetry = importlib.import_module("collectors.sim.sources").open_telemetry(self.name, self.slurm)
        elif (chosen := self.others.get("prometheus")) is not None:
            made = importlib.import_module("collectors.prometheus.sources").open_telemetry(self.name, chosen)
        else:
            made = NoTelemetry()
        return made

    def transport(self) -> Transport:
        """Reads of named things, from the same machine as the sources."""
        module = "collectors.sim.sources" if self.demo else "collectors.slurm.sources"
        made: Transport = importlib.import_module(module).open_transport(self.name, self.slurm)
        return made


class NoTelemetry:
    """Stands where no source of telemetry is configured: every question gets the same named answer."""

    def _none(self) -> SourceFault:
        return SourceFault(
            "missing", "no source of telemetry is configured", "add prometheus = { url = … } to the cluster"
        )

    def gpus(self, nodes: Sequence[str]) -> Mapping[str, tuple[Gpu, ...]]:
        """Raises SourceFault."""
        raise self._none()

    def history(self, node: str, seconds: int) -> Sequence[Series]:
        """Raises SourceFault."""
        raise self._none()

    def site_history(self, seconds: int) -> Sequence[Series]:
        """Raises SourceFault."""
        raise self._none()

    def energy_j(self, nodes: Sequence[str], since: int) -> float | None:
        """Nothing is known."""
        return None


def demo(settings: SimSettings) -> Site:
    """The embedded machine."""
    return Site(name="demo", demo=True, slurm=settings, others={})


def choose(config: Config, wanted: str | None) -> Site:
    """The cluster of that name, or the first configured, or the Slurm on PATH. Raises NoCluster."""
    if config.clusters:
        name = wanted or next(iter(config.clusters))
        if name not in config.clusters:
            raise NoCluster(f"no cluster {name} is configured; there are: {', '.join(config.clusters)}")
        return _configured(config.clusters[name])
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        looked = ", ".join(config.files) or "~/.config/wacht/config.toml, /etc/wacht/config.toml"
        raise NoCluster(
            f"no cluster to watch: no [cluster.NAME] in {looked}, and {', '.join(missing)} not on PATH.\n"
            "Write a configuration, or load the site's Slurm commands; to see wacht without either: wacht demo"
        )
    name = slurm_name()
    if wanted not in (None, name):
        raise NoCluster(f"no cluster {wanted} is configured; the Slurm on PATH is {name}")
    return Site(name=name, demo=False, slurm=SlurmSettings(), others={})


def _configured(chosen: ClusterConfig) -> Site:
    sources = dict(chosen.sources)
    slurm = sources.pop("slurm", None) or SlurmSettings()
    sim = sources.pop("sim", None)
    if isinstance(sim, SimSettings):
        return Site(name=chosen.name, demo=True, slurm=sim, others=sources)
    assert isinstance(slurm, SlurmSettings)
    slurm = msgspec.structs.replace(slurm, racks=chosen.racks)
    return Site(name=chosen.name, demo=False, slurm=slurm, others=sources)


def slurm_name() -> str:
    """The name that the Slurm on PATH gives its cluster; "slurm" where neither controller nor slurm.conf tells."""
    text = ""
    try:
        ended = process.run([process.find("scontrol"), "show", "config"], deadline_s=2.0, cap_bytes=1 << 20)
        text = ended.out.decode("utf-8", "replace")
    except SourceFault:
        pass
    if "ClusterName" not in text:
        try:
            text = Path(os.environ.get("SLURM_CONF", "/etc/slurm/slurm.conf")).read_text("utf-8", "replace")
        except OSError:
            text = ""
    match = re.search(r"^\s*ClusterName\s*=\s*([A-Za-z0-9][A-Za-z0-9._-]*)", text, re.M | re.I)
    return match[1] if match else "slurm"


def system_clock() -> Clock:
    """The clock of a live console."""
    return SystemClock()

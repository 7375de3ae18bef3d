"""Opens a cluster: from the configuration, from the Slurm on PATH, or the simulated cluster."""

from __future__ import annotations

import importlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
from msgspec import Struct

from collectors import files, process
from collectors.clock import Clock, SystemClock
from collectors.model import AccountingReader, AlertReader, Collector, Queueing, SourceFault, Telemetry, Transport
from collectors.nvml import NvmlSettings
from collectors.prometheus import PrometheusSettings
from collectors.sim import SimSettings
from collectors.slurm import SlurmSettings
from collectors.source_registry import descriptors, open_sources
from console.config.settings import ClusterConfig, Config
from console.runtime.errors import UserError
from console.runtime.null_sources import NoAccounting, NoAlerts, NoQueueing, NoSlurm, NoTelemetry

#: The commands that wacht requires.
NEEDED = ("squeue", "scontrol", "sinfo")


class NoCluster(UserError):
    """There is no cluster to watch; the message says what was looked for and what to do."""


class ClusterSources(Struct, frozen=True, kw_only=True):
    """A cluster ready to be opened. `slurm` holds the settings of Slurm, real or simulated; None without Slurm, on a
    node with only its driver.
    """

    recorded: ClassVar[bool] = False
    """True for a recording, which can be neither queried nor changed."""

    name: str
    demo: bool
    slurm: SlurmSettings | SimSettings | None
    others: Mapping[str, Struct]

    @property
    def reach(self) -> str:
        """Which Slurm it reads, as far as the configuration shows; "" without Slurm. Two with the same value are
        one cluster.
        """
        slurm = self.slurm
        if not isinstance(slurm, SlurmSettings):
            return ""
        return slurm.url or slurm.socket or slurm.conf or os.environ.get("SLURM_CONF", "/etc/slurm/slurm.conf")

    def clock_of(self) -> Clock:
        """The clock for the ages of its facts."""
        return SystemClock()

    def collectors(self) -> Sequence[Collector]:
        """Open every source. Imports heavy modules; reads nothing yet."""
        known = descriptors()
        opened: list[Collector] = []
        if self.slurm is not None:
            opened += open_sources(known["sim" if self.demo else "slurm"], self.name, self.slurm)
        for key, chosen in self.others.items():
            if key in known:
                opened += open_sources(known[key], self.name, chosen)
            else:
                from console.config.plugins import open_own

                opened += open_own(key, self.name, chosen)
        return opened

    def telemetry(self) -> Telemetry:
        """Telemetry on demand: of this node's driver, Prometheus or the simulated cluster; else a null source."""
        module, chosen = next(
            ((f"collectors.{key}.sources", self.others[key]) for key in ("nvml", "prometheus") if key in self.others),
            ("collectors.sim.sources", self.slurm),
        )
        if not self.demo and module.endswith("sim.sources"):
            return NoTelemetry()
        made: Telemetry = importlib.import_module(module).open_telemetry(self.name, chosen)
        return made

    def transport(self) -> Transport:
        """The transport to Slurm or to the simulated cluster, for reads of named objects; else a null source."""
        if self.slurm is None:
            return NoSlurm()
        module = "collectors.sim.sources" if self.demo else "collectors.slurm.sources"
        made: Transport = importlib.import_module(module).open_transport(self.name, self.slurm)
        return made

    def ledger(self) -> AccountingReader:
        """Accounting on demand: of Slurm or of the simulated cluster; else a null source."""
        if self.slurm is None:
            return NoAccounting()
        module = "collectors.sim.sources" if self.demo else "collectors.slurm.sources"
        made: AccountingReader = importlib.import_module(module).open_accounting(self.name, self.slurm)
        return made

    def queueing(self) -> Queueing:
        """Queue factors on demand: of Slurm or of the simulated cluster; else a null source."""
        if self.slurm is None:
            return NoQueueing()
        module = "collectors.sim.slurmctld.queue_factors" if self.demo else "collectors.slurm.commands.queue_factors"
        made: Queueing = importlib.import_module(module).open_queueing(self.name, self.slurm)
        return made

    def alert_reader(self) -> AlertReader:
        """Reads of named alerts and silences: of Alertmanager or of the simulated cluster; else a null source."""
        if not self.demo and "alertmanager" not in self.others:
            return NoAlerts()
        module = "collectors.sim.sources" if self.demo else "collectors.alertmanager.sources"
        chosen = self.slurm if self.demo else self.others["alertmanager"]
        made: AlertReader = importlib.import_module(module).open_alert_reader(self.name, chosen)
        return made


def this_node(name: str) -> ClusterSources:
    """This node itself: its driver, and Slurm if its commands are installed."""
    slurm = SlurmSettings() if all(shutil.which(program) for program in NEEDED) else None
    return ClusterSources(
        name=slurm_name() if slurm else name, demo=False, slurm=slurm, others={"nvml": NvmlSettings(facts=True)}
    )


def demo(settings: SimSettings, at: int = 0) -> ClusterSources:
    """The simulated cluster; with `at` a further one."""
    chosen = msgspec.structs.replace(settings, seed=settings.seed + at)
    return ClusterSources(name=f"demo-{at + 1}" if at else "demo", demo=True, slurm=chosen, others={})


def choose(config: Config, wanted: str | None) -> ClusterSources:
    """The cluster of that name, else the first configured, else the Slurm on PATH. Raises NoCluster."""
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
    return ClusterSources(name=name, demo=False, slurm=SlurmSettings(), others={})


def other_clusters(config: Config, chosen: ClusterSources) -> Sequence[ClusterSources]:
    """The other configured clusters; none when `chosen` is not configured."""
    if chosen.name not in config.clusters:
        return ()
    return [_configured(one) for name, one in config.clusters.items() if name != chosen.name]


def _configured(chosen: ClusterConfig) -> ClusterSources:
    sources = dict(chosen.sources)
    slurm = sources.pop("slurm", None) or SlurmSettings()
    sim = sources.pop("sim", None)
    if isinstance(sim, SimSettings):
        return ClusterSources(name=chosen.name, demo=True, slurm=sim, others=sources)
    assert isinstance(slurm, SlurmSettings)
    slurm = msgspec.structs.replace(slurm, racks=chosen.racks)
    if isinstance(prometheus := sources.get("prometheus"), PrometheusSettings):
        sources["prometheus"] = msgspec.structs.replace(prometheus, power=chosen.power, cooling=chosen.cooling)
    return ClusterSources(name=chosen.name, demo=False, slurm=slurm, others=sources)


def slurm_name() -> str:
    """The cluster name from the Slurm on PATH; "slurm" when neither the controller nor slurm.conf gives it."""
    text = ""
    try:
        ended = process.run([process.find("scontrol"), "show", "config"], deadline_s=2.0, cap_bytes=1 << 20)
        text = ended.out.decode("utf-8", "replace")
    except SourceFault:
        pass
    if "ClusterName" not in text:
        try:
            # Only a name is read, so the file may belong to any user, such as Slurm's own.
            path = Path(os.environ.get("SLURM_CONF", "/etc/slurm/slurm.conf"))
            text = files.read(path, 1 << 20, None).decode("utf-8", "replace")
        except (OSError, files.UntrustedFile):
            text = ""
    match = re.search(r"^\s*ClusterName\s*=\s*([A-Za-z0-9][A-Za-z0-9._-]*)", text, re.M | re.I)
    return match[1] if match else "slurm"


def system_clock() -> Clock:
    """The clock of a live console."""
    return SystemClock()

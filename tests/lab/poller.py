"""A console's poller over the queue, without its screen."""

from __future__ import annotations

from collectors.clock import SystemClock
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import open_sources
from console.ingest.poller import Poller


def poller(publish) -> Poller:
    """A console's reading of the queue of the Slurm on PATH, without its screen."""
    sources = [one for one in open_sources("lab", SlurmSettings(interval_s=1.0)) if one.name == "slurm.jobs"]
    return Poller("lab", sources, SystemClock(), publish)

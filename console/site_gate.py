"""Opens the gate of a site: the same for the screen and for `wacht act`."""

from __future__ import annotations

from pathlib import Path

from collectors.clock import Clock
from collectors.model import Transport
from console.config import Config
from console.gate import Gate, open_writer
from console.journal import Journal, default_path
from console.site import Site


def journal_path(site_name: str, config: Config) -> Path:
    """Where the journal of a cluster lies: the configured folder, else the default."""
    return Path(config.journal).expanduser() / f"{site_name}.jsonl" if config.journal else default_path(site_name)


def open_gate(site: Site, config: Config, transport: Transport, clock: Clock) -> Gate:
    """The gate of this cluster. Opens no writer and touches no journal until something is sent."""
    return Gate(
        site.name,
        lambda: open_writer("sim" if site.demo else "slurm", site.name, site.slurm),
        transport,
        lambda: Journal(journal_path(site.name, config), site.name, clock),
        clock,
        read_only=config.read_only,
    )

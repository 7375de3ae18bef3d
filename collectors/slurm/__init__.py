"""Slurm through its own commands. This file is the light descriptor; the reading starts in `sources`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from collectors.model import Budget
from collectors.racks import RackRule
from collectors.registry import Descriptor
from collectors.shared import Published


class SlurmSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`slurm = { transport = "cli", prefix = ["sudo", "-n"] }` in the configuration of a cluster."""

    transport: Literal["cli"] = "cli"
    prefix: tuple[str, ...] = ()
    """What a site's operators put before a writing command; reads go without it."""
    deadline_s: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    """Longest that one read may take."""
    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    """Least seconds between two reads of nodes or jobs (10 is the floor of Slurm's own advice)."""
    budget: Budget = Budget()
    """What each of its sources may cost in a minute."""
    share: bool = True
    """Let the consoles of one user on this computer share their readings."""
    published: Published | None = None
    """Take the readings of a site's recorder, where they are fresh enough."""
    racks: RackRule | None = None
    """Filled in from the cluster's own `racks`."""


DESCRIPTOR = Descriptor(
    key="slurm",
    title="Slurm",
    settings=SlurmSettings,
    opens="collectors.slurm.sources:open_sources",
    automatic=True,
)

"""Slurm, over its own commands, slurmrestd or pyslurm: everything that depends on a transport.

This file holds the settings and the light descriptor; reading starts in `sources`. What all transports share is here:
`transport` (interfaces and limits), `fields` (Slurm's text formats), `topology`, `probe`. Facts that do not depend on
Slurm's protocols belong in `collectors.model`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Literal

from msgspec import Meta, Struct

from collectors.model import Budget
from collectors.racks import RackRule
from collectors.shared_readings import Published
from collectors.source_registry import Descriptor
from collectors.web import check_url

TransportName = Literal["cli", "rest", "native"]


class SlurmSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`slurm = { transport = "cli", prefix = ["sudo", "-n"] }` in the configuration of a cluster."""

    transport: TransportName = "cli"
    """How Slurm is reached: by its commands, slurmrestd or pyslurm (docs/slurm.md)."""
    prefix: tuple[str, ...] = ()
    """Words put before commands that change something; reads run without them."""
    deadline_s: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    """Maximum seconds for one read; reading the whole queue over rest may take four times as long."""
    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    """Minimum seconds between two reads of nodes or jobs (Slurm advises at least 10)."""
    reboot_s: Annotated[float, Meta(ge=60, le=86400)] = 1800.0
    """A node that reboots for longer than this is shown as down: more than the ResumeTimeout of the site, after which
    slurmctld itself gives up on it."""
    budget: Budget = Budget()
    """Limit for what each source may cost per minute."""
    share: bool = True
    """Let the consoles of one user on this computer share their readings."""
    published: Published | None = None
    """Use the readings of a site's recorder if they are fresh enough."""
    fallback: tuple[TransportName, ...] = ()
    """Transports for what `transport` cannot do, in this order; without any it is refused with the reason."""
    url: str | None = None
    """rest: the address of slurmrestd, up to where /slurm begins."""
    socket: str | None = None
    """rest: its unix socket instead, where it identifies the caller itself (rest_auth/local)."""
    token_file: str | None = None
    """rest: file with a JSON Web Token, readable only by its owner; without it `scontrol token` makes them."""
    user: str | None = None
    """rest: the user of the token; None for this account."""
    ca: str | None = None
    """rest: file with the certificates to trust; None for those of this computer."""
    conf: str | None = None
    """The slurm.conf of this cluster, if its commands must read one other than this computer's default."""
    racks: RackRule | None = None
    """Filled in from the cluster's own `racks`."""

    @property
    def command_environment(self) -> Mapping[str, str]:
        """Extra environment variables of its commands."""
        return {} if self.conf is None else {"SLURM_CONF": self.conf}

    @property
    def transports(self) -> tuple[TransportName, ...]:
        """The transports in use, in order."""
        return (self.transport, *self.fallback)

    def __post_init__(self) -> None:
        if len(set(self.transports)) != len(self.transports):
            raise ValueError("fallback names a transport twice, or the one that it replaces")
        if self.conf is not None:
            if not self.conf.startswith("/"):
                raise ValueError("conf must begin at /")
            if self.transports != ("cli",):
                raise ValueError('conf is for transport = "cli" alone')
            if self.prefix and PurePath(self.prefix[0]).name != "sudo":
                # sudo passes the file on and refuses what its rules do not allow. What another prefix does with it is
                # unknown, and a change must not reach another cluster.
                raise ValueError("with conf only sudo is allowed in prefix: another one must set SLURM_CONF itself")
        if "rest" in self.transports:
            if (self.url is None) == (self.socket is None):
                raise ValueError("rest needs either url or socket")
            if self.url is not None:
                check_url(self.url, True)
            if self.user is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@$-]*", self.user):
                raise ValueError("user must be the name of an account")
            if self.socket is not None and not self.socket.startswith(("/", "~/")):
                raise ValueError("socket must begin at /")
        elif any((self.url, self.socket, self.token_file, self.user, self.ca)):
            raise ValueError('url, socket, token_file, user and ca are for transport = "rest"')


DESCRIPTOR = Descriptor(
    key="slurm",
    title="Slurm",
    settings=SlurmSettings,
    opens="collectors.slurm.sources:open_sources",
)

"""Settings of the fabric and the file systems, for what wacht cannot detect by itself."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

from collectors.web import check_label


class FabricSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`prometheus = { url = …, fabric = { links = "ib_link_info" } }`: all of it may be left out.

    Which switch a port leads to is told by `links`, a series a port; where no series tells it, by `switch` or `leaf` in
    the nodes' Extra, else ports are folded by rack.
    """

    ethernet: str = "(en|eth)[^.:]*"
    """The Ethernet devices that are looked at, a regular expression; "" is none, where RDMA's series have them all."""
    flaps_s: Annotated[int, Meta(ge=5, le=86_400)] = 3600
    """Seconds in which a link that goes down twice flaps, and over which errors are counted."""
    errors: Annotated[int, Meta(ge=1)] = 1000
    """So many errors in that time are told."""
    links: str | None = None
    """A series a port (UFM's, or the site's own): a metric, or any PromQL, with the labels below."""
    node_label: str = "node"
    """The label of it that holds the node, with or without a domain."""
    device_label: str = "device"
    """The label of it that holds the adapter as the node calls it; may be missing where a node has one switch."""
    switch_label: str = "switch"
    """The label of it that holds the switch."""
    port_label: str = "switch_port"
    """The label of it that holds the switch's port."""

    def __post_init__(self) -> None:
        _check_pattern("ethernet", self.ethernet)
        for name in ("node_label", "device_label", "switch_label", "port_label"):
            check_label(name, getattr(self, name))


class StorageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`prometheus = { url = …, storage = { mounts = ["/scratch", "/home"] } }`: all of it may be left out."""

    mounts: tuple[str, ...] = ()
    """Where every node should have a shared file system mounted; without it what nine of ten nodes have."""
    fstypes: str = "lustre|wekafs|nfs4?|gpfs|beegfs.*|ceph|panfs|pvfs2"
    """The kinds of file systems that are shared, a regular expression."""

    def __post_init__(self) -> None:
        _check_pattern("fstypes", self.fstypes)
        for mount in self.mounts:
            if not mount.startswith("/"):
                raise ValueError(f"mounts: {mount!r} is no path from the root, as /scratch is")


def _check_pattern(key: str, pattern: str) -> None:
    """Raises ValueError for an invalid regular expression, or one that would end its string."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{key} is no regular expression: {error}") from None
    if '"' in pattern or "\\" in pattern:
        raise ValueError(f"{key} must hold neither quotes nor backslashes")

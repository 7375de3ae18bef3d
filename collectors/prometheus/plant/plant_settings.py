"""Settings of the fabric and the file systems, for what wacht cannot detect by itself."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

from collectors.web import check_label


class FabricSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`prometheus = { url = …, fabric = { links = "ib_link_info" } }`. Every key is optional.

    `links`, one series per port, gives the switch of a port. Without it `switch` or `leaf` in the nodes' Extra
    does; otherwise ports are grouped by rack.
    """

    ethernet: str = "(en|eth)[^.:]*"
    """Regular expression for the Ethernet devices to read; "" for none, where RDMA's series include them all."""
    flaps_s: Annotated[int, Meta(ge=5, le=86_400)] = 3600
    """A link that goes down twice within this many seconds flaps; errors are counted over the same period."""
    errors: Annotated[int, Meta(ge=1)] = 1000
    """Errors within `flaps_s` from which a port is reported."""
    links: str | None = None
    """One series per port (UFM's, or the site's own): a metric, or any PromQL, with the labels below."""
    node_label: str = "node"
    """Label of `links` that holds the node, with or without a domain."""
    device_label: str = "device"
    """Label of `links` that holds the adapter under its name on the node; not needed where a node has one switch."""
    switch_label: str = "switch"
    """Label of `links` that holds the switch."""
    port_label: str = "switch_port"
    """Label of `links` that holds the switch's port."""

    def __post_init__(self) -> None:
        _check_pattern("ethernet", self.ethernet)
        for name in ("node_label", "device_label", "switch_label", "port_label"):
            check_label(name, getattr(self, name))


class StorageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`prometheus = { url = …, storage = { mounts = ["/scratch", "/home"] } }`. Every key is optional."""

    mounts: tuple[str, ...] = ()
    """Mount points that every node should have; without it those that nine of ten nodes have."""
    fstypes: str = "lustre|wekafs|nfs4?|gpfs|beegfs.*|ceph|panfs|pvfs2"
    """Regular expression for the types of shared file systems."""

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

"""The GPUs of this node, through NVIDIA's own library. This file is the light descriptor.

NVML runs in a child process that can be killed (`worker`), since a wedged driver may hang any call for ever; `client`
keeps that child, `sources` opens what the console reads. What all sources share about GPUs belongs in `model`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from collectors.source_registry import Descriptor


class NvmlSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`nvml = {}` in the configuration of a cluster: for a console that runs on a GPU node."""

    interval_s: Annotated[float, Meta(ge=0.2, le=3600)] = 1.0
    """Least seconds between two readings."""
    deadline_s: Annotated[float, Meta(gt=0, le=600)] = 5.0
    """Longest that one reading may take; then the child is killed and started anew."""
    start_deadline_s: Annotated[float, Meta(gt=0, le=600)] = 30.0
    """The same for the first reading of a child: without persistence mode the driver wakes every GPU first."""
    facts: bool = False
    """Hand this node's load and XIDs to the cluster's facts: only where no Prometheus gives them for every node."""


DESCRIPTOR = Descriptor(
    key="nvml",
    title="NVML",
    settings=NvmlSettings,
    opens="collectors.nvml.sources:open_sources",
)

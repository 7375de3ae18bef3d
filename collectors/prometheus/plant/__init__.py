"""The plant around the nodes, from Prometheus: cooling, fabric, NVLink domains, storage, checkups.

A `*_queries` module has the PromQL of a subject, and its `SOURCE` where only some sites have it; the module of that
name reads the answers. They are found by themselves.
"""

from __future__ import annotations

from types import ModuleType

from msgspec import Struct

from collectors.source_registry import modules_with

#: The order of the first ones in the documentation and in the console; others follow by name.
_FIRST = ("domain_queries", "fabric_queries", "storage_queries", "cooling_queries", "checkup_queries")


class PlantSource(Struct, frozen=True, kw_only=True):
    """A source that only some sites have."""

    name: str
    subject: str
    """Its name for a fault: "the fabric's ports"."""
    reader: str
    """`module:Class` in this package, made of the site's queries, a client and the monotonic clock."""
    floor_s: float = 60.0
    """Least seconds between two readings."""


def query_modules(having: str = "QUERIES") -> tuple[ModuleType, ...]:
    """The modules of queries, or those that have this attribute too."""
    return modules_with(having, __name__, _FIRST, "_queries")

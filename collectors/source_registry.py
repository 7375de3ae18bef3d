"""Finds the collectors: one light descriptor a subpackage; heavy modules are imported when a source is opened."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

from msgspec import Struct

import collectors

from .decoding import convert
from .model import Collector


class Descriptor(Struct, frozen=True, kw_only=True):
    """What a subpackage of `collectors` offers.

    `key` is its table in a cluster's configuration and the first part of its sources' names. `settings` is the Struct
    that checks that table. `opens` names `module:function`; the function takes the cluster's name and the settings and
    returns the Collectors.
    """

    key: str
    title: str
    settings: type[Struct]
    opens: str


@cache
def modules_with(attribute: str, package: str, first: tuple[str, ...] = (), ending: str = "") -> tuple[ModuleType, ...]:
    """The modules of a package whose names end so and that have this attribute: those of `first`, then by name."""
    names = [one.name for one in pkgutil.iter_modules(importlib.import_module(package).__path__)]
    names = [*first, *(name for name in names if name not in first and name.endswith(ending))]
    modules = (importlib.import_module(f"{package}.{name}") for name in names)
    return tuple(module for module in modules if hasattr(module, attribute))


@cache
def descriptors() -> dict[str, Descriptor]:
    """Every descriptor by key. Imports only the `__init__` of each subpackage."""
    found = {}
    for info in pkgutil.iter_modules(collectors.__path__):
        if info.ispkg:
            descriptor = getattr(importlib.import_module(f"collectors.{info.name}"), "DESCRIPTOR", None)
            if descriptor is not None:
                found[descriptor.key] = descriptor
    return found


def settings(descriptor: Descriptor, table: dict[str, Any]) -> Struct:
    """Check a configuration table. Raises msgspec.ValidationError, whose text names the key and what is allowed."""
    return convert(table, descriptor.settings)


def open_sources(descriptor: Descriptor, cluster: str, chosen: Struct) -> Sequence[Collector]:
    """Open the sources of one descriptor. Heavy imports happen here."""
    module, _, function = descriptor.opens.partition(":")
    opened: Sequence[Collector] = getattr(importlib.import_module(module), function)(cluster, chosen)
    return opened

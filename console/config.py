"""The configuration: TOML in layers, checked down to the key; errors name file, line, key and what is allowed.

`/etc/wacht/config.toml` is always read beneath the first of `--config`, `$WACHT_CONFIG` and
`~/.config/wacht/config.toml`; what its `[lock]` table sets wins over everything.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Struct, field

from collectors.racks import RackRule, rack_of
from collectors.registry import Descriptor, descriptors
from console.errors import Told

SITE_FILE = Path("/etc/wacht/config.toml")
LARGEST = 1 << 20
_GENERAL = {"read_only": bool, "theme": str, "screen": str, "cluster_name": str, "log": str, "journal": str}
_LOCKABLE = ("read_only", "journal")
_OWN_KEYS = ("racks",)


class ConfigError(Told):
    """A configuration that cannot be used; the text is for the person who mends it."""


class ClusterConfig(Struct, frozen=True, kw_only=True):
    """One cluster: the settings of its sources by descriptor key, and its racks."""

    name: str
    sources: Mapping[str, Struct] = field(default_factory=dict)
    racks: RackRule | None = None


class Config(Struct, frozen=True, kw_only=True):
    """Everything configured. `files` are those that were read, lowest first."""

    clusters: Mapping[str, ClusterConfig] = field(default_factory=dict)
    read_only: bool = False
    theme: str | None = None
    screen: str | None = None
    log: str | None = None
    journal: str | None = None
    files: tuple[str, ...] = ()


class _Layer:
    """One file: its text, to find lines in, and its table. One that may be missing is empty then."""

    def __init__(self, path: Path, may_be_missing: bool = False) -> None:
        self.path = path
        self.text = ""
        self.table: dict[str, Any] = {}
        self.found = True
        try:
            with path.open("rb") as handle:
                status = os.fstat(handle.fileno())
                # Who can write the configuration can name a prefix that runs as the operator.
                if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    raise ConfigError(f"{path}: others can write it; try: chmod go-w {path}")
                if status.st_uid not in (0, os.getuid()):
                    raise ConfigError(
                        f"{path}: it belongs to another user (uid {status.st_uid}); copy it to a file of your own"
                    )
                raw = handle.read(LARGEST + 1)
        except (FileNotFoundError, NotADirectoryError) as error:
            if may_be_missing:
                self.found = False
                return
            raise ConfigError(f"{path}: {error.strerror}") from None
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        if len(raw) > LARGEST:
            raise ConfigError(f"{path}: is larger than {LARGEST >> 20} MB")
        try:
            self.text = raw.decode("utf-8")
            self.table = tomllib.loads(self.text)
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: is not UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: {error}") from None

    def fail(self, table: str, key: str, what: str) -> ConfigError:
        """The error for one key, with its line."""
        line = _line_of(self.text, table, key)
        where = f"{self.path}:{line}" if line else str(self.path)
        full = f"{table}.{key}" if table and key else (table or key)
        return ConfigError(f"{where}: {full}: {what}")


def _line_of(text: str, table: str, key: str) -> int | None:
    """Line of `key` of `table`, in whatever form it is written: under its head, dotted, or in an inline table."""
    wanted = ".".join(part for part in (table, key) if part)
    here, head = "", None
    for number, line in enumerate(text.splitlines(), 1):
        opened = re.match(r"\s*\[+([^\]]+)\]", line)
        written = re.match(r"\s*([A-Za-z0-9_.\"' -]+?)\s*=", line)
        if opened:
            here = _bare(opened[1]) + "."
            if wanted.startswith(here) or here.startswith(f"{wanted}."):
                head = number
        elif written and f"{wanted}.".startswith(f"{here}{_bare(written[1])}."):
            return number
    return head


def _bare(key: str) -> str:
    """A key as TOML means it: without quotes, and without blanks around the dots."""
    return ".".join(part.strip(" \"'") for part in key.split("."))


def load(path: str | None = None, environ: Mapping[str, str] = os.environ, site: Path = SITE_FILE) -> Config:
    """Read and merge the layers. Raises ConfigError. No file at all is an empty Config."""
    own = path or environ.get("WACHT_CONFIG")
    if own:
        own_layer = _Layer(Path(own).expanduser())
    else:
        import platformdirs

        own_layer = _Layer(Path(platformdirs.user_config_dir("wacht")) / "config.toml", may_be_missing=True)
    # A file of the site that is there and cannot be read is an error: it may hold the lock.
    layers = [layer for layer in (_Layer(site, may_be_missing=True), own_layer) if layer.found]
    known = descriptors()
    merged: dict[str, Any] = {}
    clusters: dict[str, ClusterConfig] = {}
    locked: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.table.items():
            if key == "cluster":
                if not isinstance(value, dict):
                    raise layer.fail("", "cluster", "needs a name, as in [cluster.groningen]")
                for name, table in value.items():
                    clusters[name] = _cluster(layer, known, name, table, clusters.get(name))
            elif key == "lock":
                given = _general(layer, "lock", value, _LOCKABLE)
                if layer.path != site:
                    # Whoever writes it believes to be safe: silence would leave them wrong.
                    what = "locks only in " + str(site) + "; here, write the keys without [lock]"
                    raise layer.fail("", "lock", what)
                locked = given
            else:
                merged.update(_general(layer, "", {key: value}, tuple(_GENERAL)))
    merged.update(locked)
    merged.pop("cluster_name", None)
    return Config(clusters=clusters, files=tuple(str(layer.path) for layer in layers), **merged)


def _general(layer: _Layer, table: str, values: Any, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise layer.fail("", table, "must be a table")
    for key, value in values.items():
        if key not in allowed:
            names = ", ".join(sorted((*allowed, *(() if table else ("cluster", "lock")))))
            raise layer.fail(table, key, f"unknown key; allowed: {names}")
        if not isinstance(value, _GENERAL[key]):
            raise layer.fail(table, key, f"must be {_GENERAL[key].__name__}, is {type(value).__name__}")
    return dict(values)


def _cluster(
    layer: _Layer, known: Mapping[str, Descriptor], name: str, table: Any, beneath: ClusterConfig | None
) -> ClusterConfig:
    where = f"cluster.{name}"
    if not isinstance(table, dict):
        raise layer.fail("cluster", name, "must be a table")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise layer.fail("cluster", name, "a cluster's name is letters, digits, dots and dashes")
    sources: dict[str, Struct] = dict(beneath.sources) if beneath else {}
    racks = beneath.racks if beneath else None
    for key, value in table.items():
        if key not in known and key not in _OWN_KEYS:
            raise layer.fail(where, key, f"unknown key; allowed: {', '.join(sorted((*known, *_OWN_KEYS)))}")
        kind = RackRule if key == "racks" else known[key].settings
        try:
            made = msgspec.convert(value, kind)
            if isinstance(made, RackRule):
                rack_of(made)
        except (msgspec.ValidationError, ValueError) as error:
            raise _explained(layer, where, key, kind, str(error)) from None
        if isinstance(made, RackRule):
            racks = made
        else:
            sources[key] = made
    return ClusterConfig(name=name, sources=sources, racks=racks)


def _explained(layer: _Layer, where: str, key: str, kind: type[Struct], error: str) -> ConfigError:
    """msgspec names the path as `$.prefix[0]`; people want the key and what it may be."""
    inner = re.search(r"at `\$\.?([^`\[]*)", error)
    unknown = re.search(r"unknown field `([^`]+)`", error)
    names = ", ".join(name for name in kind.__struct_fields__ if not (name == "racks" and key != "racks"))
    if unknown:
        return layer.fail(f"{where}.{key}", unknown[1], f"unknown key; allowed: {names}")
    what = re.sub(r" - at `.*", "", error)
    if inner and "enum value" in what:
        what += f"; allowed: {', '.join(map(str, get_args(get_type_hints(kind)[inner[1]])))}"
    return layer.fail(f"{where}.{key}", inner[1] if inner and inner[1] else "", f"{what}; keys: {names}")

"""The configuration: TOML in layers, checked down to the key; errors name file, line, key and what is allowed.

`/etc/wacht/config.toml` is always read beneath the first of `--config`, `$WACHT_CONFIG` and
`~/.config/wacht/config.toml`; what its `[lock]` table sets wins over everything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from collectors.decoding import convert
from collectors.prometheus import PowerSettings
from collectors.prometheus.plant.cooling_queries import CoolingSettings
from collectors.racks import RackRule, rack_of
from collectors.source_registry import Descriptor, descriptors
from console.actions.options import Guard
from console.health.automation import Automation
from console.runtime.toml_file import ConfigError, TomlFile

from .keymap import KeyLine
from .site_commands import NAME, SiteCommand

SITE_FILE = Path("/etc/wacht/config.toml")
_GENERAL = {
    "read_only": bool, "theme": str, "screen": str, "log": str, "journal": str, "xid_policy": str,
    "bell": bool, "notify": str, "links": bool,
}  # fmt: skip
#: Allowed values of a text that has a fixed set of them.
_WORDS: Mapping[str, tuple[str, ...]] = {"notify": ("off", "osc9", "osc777")}
_LOCKABLE = ("read_only", "journal")
_TABLES = ("automation", "cluster", "command", "filters", "guard", "keys", "lock", "recording")
#: Tables that belong to the cluster, not to one of its sources.
_OWN: Mapping[str, type[Struct]] = {"racks": RackRule, "power": PowerSettings, "cooling": CoolingSettings}


class RecordingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`recording = { hours = 24, max_mb = 512 }`: the readings that a console records for replay."""

    on: bool = True
    """Whether a console records."""
    hours: Annotated[float, Meta(gt=0, le=8760)] = 24
    """Hours that are kept."""
    max_mb: Annotated[int, Meta(ge=8, le=1_000_000)] = 512
    """Maximum size of the file: near it readings are recorded less often, and the oldest are deleted first."""
    path: str | None = None
    """The folder, instead of `$XDG_STATE_HOME/wacht/recordings`."""


class ClusterConfig(Struct, frozen=True, kw_only=True):
    """One cluster: the settings of its sources by descriptor key, and its racks."""

    name: str
    sources: Mapping[str, Struct] = field(default_factory=dict)
    racks: RackRule | None = None
    power: PowerSettings | None = None
    cooling: CoolingSettings | None = None


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration. `files` are the files read, lowest layer first."""

    clusters: Mapping[str, ClusterConfig] = field(default_factory=dict)
    read_only: bool = False
    """No key or command can change the cluster."""
    theme: str | None = None
    """The colours: the name of a theme, or a theme file; None selects one that fits the terminal (docs/themes.md)."""
    screen: str | None = None
    """The first screen; None is the overview."""
    log: str | None = None
    """A file to log to; None logs nowhere (docs/files.md)."""
    journal: str | None = None
    """The folder of the journals, instead of `$XDG_STATE_HOME/wacht/journal`."""
    xid_policy: str | None = None
    """The site's own XID policy, which overrides the shipped one (console/health/xid_policy.py)."""
    bell: bool = True
    """The terminal's bell for a new critical group of alerts."""
    notify: Literal["off", "osc9", "osc777"] = "off"
    """A desktop notification for it, by an escape sequence that the terminal must support."""
    links: bool = False
    """Runbooks as links (OSC 8) instead of plain text only."""
    guard: Guard = Guard()
    """`[guard]`: limits for confirmations. Values in the site's file cannot be overridden."""
    recording: RecordingSettings = RecordingSettings()
    automation: Automation = Automation()
    """`[automation]`: the site's own programs that drain nodes (console/health/automation.py)."""
    keys: tuple[KeyLine, ...] = ()
    """`keys`: key bindings. Errors are reported at start (console/config/keymap.py)."""
    filters: tuple[KeyLine, ...] = ()
    """`[filters]`: unparsed (console/config/saved_filters.py)."""
    commands: Mapping[str, SiteCommand] = field(default_factory=dict)
    """`[command.NAME]`: commands of the site's own."""
    files: tuple[str, ...] = ()


def load(path: str | None = None, environ: Mapping[str, str] = os.environ, site: Path = SITE_FILE) -> Config:
    """Read and merge the layers. Raises ConfigError. Without any file the Config is empty."""
    own = path or environ.get("WACHT_CONFIG")
    if own:
        own_layer = TomlFile(Path(own).expanduser())
    else:
        import platformdirs

        own_layer = TomlFile(Path(platformdirs.user_config_dir("wacht")) / "config.toml", may_be_missing=True)
    # An unreadable site file is an error: it may hold the lock.
    layers = [layer for layer in (TomlFile(site, may_be_missing=True), own_layer) if layer.found]
    known = descriptors()
    merged: dict[str, Any] = {}
    clusters: dict[str, ClusterConfig] = {}
    locked: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    recording: dict[str, Any] = {}
    programs: dict[str, tuple[str, ...]] = {}
    lines: dict[str, list[KeyLine]] = {"keys": [], "filters": []}
    if any(_strange(layer.table.get("cluster"), known) for layer in layers):
        from . import plugins

        known = {**known, **plugins.collectors()}
    for layer in layers:
        for key, value in layer.table.items():
            if key == "cluster":
                if not isinstance(value, dict):
                    raise layer.fail("", "cluster", "needs a name, as in [cluster.groningen]")
                for name, table in value.items():
                    clusters[name] = _cluster(layer, known, name, table, clusters.get(name))
            elif key == "guard":
                # The site's file comes first and takes precedence.
                figures = {**_checked(layer, key, value, Guard), **figures}
            elif key == "recording":
                recording |= _checked(layer, key, value, RecordingSettings)
            elif key == "automation":
                # Both files add to the list.
                for kind, found in _checked(layer, key, value, Automation).items():
                    programs[kind] = (*programs.get(kind, ()), *found)
            elif key == "command":
                merged["commands"] = _commands(layer, value, site)
            elif key in lines:
                lines[key] += _lines(layer, key, value)
            elif key == "lock":
                given = _general(layer, "lock", value, _LOCKABLE)
                if layer.path != site:
                    # Ignoring it would leave the author with a false sense of safety.
                    what = "locks only in " + str(site) + "; here, write the keys without [lock]"
                    raise layer.fail("", "lock", what)
                locked = given
            else:
                merged.update(_general(layer, "", {key: value}, tuple(_GENERAL)))
    merged.update(locked)
    merged["guard"] = Guard(**figures)
    merged["recording"] = RecordingSettings(**recording)
    merged["automation"] = Automation(**programs)
    merged |= {key: tuple(found) for key, found in lines.items()}
    return Config(clusters=clusters, files=tuple(str(layer.path) for layer in layers), **merged)


def _commands(layer: TomlFile, tables: Any, site: Path) -> dict[str, SiteCommand]:
    """The site's commands. They decide what an operator's key runs, so only root may write them."""
    if layer.path != site:
        raise layer.fail("", "command", f"commands are accepted only in {site}")
    if layer.owner != 0:
        raise layer.fail(
            "", "command", f"commands are accepted only from a file that belongs to root: chown root {site}"
        )
    if not isinstance(tables, dict):
        raise layer.fail("", "command", "needs a name, as in [command.bmc-log]")
    found = {}
    for name, table in tables.items():
        if not NAME.fullmatch(name):
            raise layer.fail("command", name, "a command's name is lower case letters, digits, - and _")
        try:
            found[name] = convert(table, SiteCommand)
        except (msgspec.ValidationError, ValueError) as error:
            raise _explained(layer, f"command.{name}", SiteCommand, str(error)) from None
    return found


def _lines(layer: TomlFile, table: str, value: Any) -> list[KeyLine]:
    """Every line of a table; its users validate it. `keys = "vim"` is the line `base`."""
    found = value if isinstance(value, dict) else {"base": value}
    return [KeyLine(layer.where(table, key if isinstance(value, dict) else ""), key, one) for key, one in found.items()]


def _strange(clusters: Any, known: Mapping[str, Descriptor]) -> bool:
    """Whether a cluster has a key that wacht does not know; an installed package may."""
    tables = clusters.values() if isinstance(clusters, dict) else ()
    return any(isinstance(table, dict) and not {*table} <= {*known, *_OWN} for table in tables)


def _general(layer: TomlFile, table: str, values: Any, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise layer.fail("", table, "must be a table")
    for key, value in values.items():
        if key not in allowed:
            names = ", ".join(sorted((*allowed, *(() if table else _TABLES))))
            raise layer.fail(table, key, f"unknown key; allowed: {names}")
        if not isinstance(value, _GENERAL[key]):
            raise layer.fail(table, key, f"must be {_GENERAL[key].__name__}, is {type(value).__name__}")
        if key in _WORDS and value not in _WORDS[key]:
            raise layer.fail(table, key, f"is {value!r}; allowed: {', '.join(_WORDS[key])}")
    return dict(values)


def _checked(layer: TomlFile, name: str, table: Any, kind: type[Struct]) -> dict[str, Any]:
    """The checked content of one file's table."""
    try:
        convert(table, kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise _explained(layer, name, kind, str(error)) from None
    return dict(table)


def _cluster(
    layer: TomlFile, known: Mapping[str, Descriptor], name: str, table: Any, beneath: ClusterConfig | None
) -> ClusterConfig:
    where = f"cluster.{name}"
    if not isinstance(table, dict):
        raise layer.fail("cluster", name, "must be a table")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise layer.fail("cluster", name, "a cluster's name is letters, digits, dots and dashes")
    sources: dict[str, Struct] = dict(beneath.sources) if beneath else {}
    own: dict[str, Struct] = {}
    if beneath is not None:
        own = {key: found for key in _OWN if (found := getattr(beneath, key)) is not None}
    for key, value in table.items():
        if key not in known and key not in _OWN:
            raise layer.fail(where, key, f"unknown key; allowed: {', '.join(sorted((*known, *_OWN)))}")
        kind = _OWN[key] if key in _OWN else known[key].settings
        for other in _OWN:
            if key not in _OWN and isinstance(value, dict) and other in value:
                raise layer.fail(f"{where}.{key}", other, f"unknown key; it belongs in [{where}], beside {key}")
        try:
            made = convert(value, kind)
            if isinstance(made, RackRule):
                rack_of(made)
        except (msgspec.ValidationError, ValueError) as error:
            raise _explained(layer, f"{where}.{key}", kind, str(error)) from None
        (own if key in _OWN else sources)[key] = made
    return ClusterConfig(name=name, sources=sources, **own)  # type: ignore[arg-type]


def _explained(layer: TomlFile, table: str, kind: type[Struct], error: str) -> ConfigError:
    """The error in terms of the key and its allowed values, instead of msgspec's path (`$.prefix[0]`)."""
    inner = re.search(r"at `\$\.?([^`\[]*)", error)
    unknown = re.search(r"unknown field `([^`]+)`", error)
    names = ", ".join(name for name in kind.__struct_fields__ if name not in _OWN)
    if unknown:
        return layer.fail(table, unknown[1], f"unknown key; allowed: {names}")
    what = re.sub(r" - at `.*", "", error)
    if inner and "enum value" in what:
        allowed = get_args(get_type_hints(kind).get(inner[1]))
        what += f"; allowed: {', '.join(map(str, allowed))}" if allowed else ""
    return layer.fail(table, inner[1] if inner and inner[1] else "", f"{what}; keys: {names}")

"""docs/configuration.md: every key, from the Structs that check it; the docstring of each field is its description."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from collectors.model import Budget
from collectors.prometheus.plant.cooling_queries import CoolingLimits
from collectors.prometheus.plant.plant_settings import FabricSettings, StorageSettings
from collectors.racks import RackRule
from collectors.shared_readings import Published
from collectors.source_registry import descriptors
from console.config import settings
from console.config.settings import Config, RecordingSettings
from console.config.site_commands import SiteCommand
from console.health.automation import Automation, known_automations

from .oncall import field_docs, guard

EXAMPLE = """\
theme = "daylight"
notify = "osc9"
recording = { hours = 48 }

[guard]
take_s = 1800

[cluster.groningen]
slurm = { prefix = ["sudo", "-n"], published = { folder = "/run/wacht", owner = "root" } }
racks = { pattern = "gpu(?P<n>\\\\d{4})", nodes_per_rack = 18 }
prometheus = { url = "https://prometheus.example", token_file = "~/.config/wacht/prom.token" }
alertmanager = { url = "https://alertmanager.example", matchers = 'cluster="groningen"' }
power = { budget_mw = 6.5, node_series = "ipmi_dcmi_power_consumption_watts" }
cooling = { supply_c = "cdu_supply_celsius", leak = "redfish_leak_detector_state", limits = { supply_high = 34 } }
"""

_HEAD = f"""\
# Configuration

Every key, from the code that checks it; made by `make docs`. With Slurm's commands on `PATH` none is needed.

`/etc/wacht/config.toml` is the site's file. Over it comes one's own: the first of `--config FILE`, `$WACHT_CONFIG` and
`~/.config/wacht/config.toml`. Every key may stand in both, and one's own wins, but for three tables of the site's:

- `[lock]`, in the site's file alone: {{lock}}. What is locked wins over everything, the
  command line too.
- `[guard]`: what the site's file sets there applies, key by key.
- `[command.NAME]`, in the site's file alone, and only where it belongs to root.

Of a cluster that is in both, a source in one's own file replaces that source whole: `slurm = …` all of
`slurm = …`. Files must be yours or root's, and others must not be able to write them ([files.md](files.md)). A key that
is unknown or wrong ends the start with its file, line and what is allowed. `wacht doctor` tries what is configured.

```toml
{EXAMPLE}```

"""


_COMMANDS = """\
```toml
[command.bmc-log]
label = "BMC log"
key = "f6"
target = "node"
argv = ["/opt/site/bin/bmc", "sel", "list", "{node}"]

[command.open-case]
label = "open a case"
target = "node"
argv = ["/opt/site/bin/case", "--node={node}", "--text={reason}"]
changes = true
```

`:bmc-log gpu0001`, its key and the palette run the first on one node, and its output has a screen of its own; Esc ends
it. The second goes through the preview, asks for a reason and is in the journal; `wacht act open-case gpu0001` does the
same. Only names of Slurm's form become arguments. A command whose name is taken is left out, one whose key is taken has
none, and the console says so at its start. The simulated cluster runs none on its nodes and jobs.
"""


def page() -> str:
    """The whole page."""
    lock = " and ".join(f"`{key}`" for key in settings._LOCKABLE)
    lines = [_HEAD.replace("{lock}", lock).rstrip() + "\n", "## For everything\n", *_table(Config, general()), ""]
    lines += ["`keys` and `filters` are tables of their own: [keys.md](keys.md).\n"]
    lines += ["## `[guard]`\n", guard(), "[on-call.md](on-call.md) says what is asked when.\n"]
    lines += ["## `[automation]`\n", _about(Automation), *_table(Automation), *_known(), ""]
    lines += ["## `recording`\n", _about(RecordingSettings), *_table(RecordingSettings), ""]
    lines += ["## `[command.NAME]`\n", _about(SiteCommand), *_table(SiteCommand), "", _COMMANDS]
    lines += ["## `[cluster.NAME]`\n", "A table a cluster; the first is shown unless `--cluster` names another.\n"]
    tables: dict[str, tuple[str, type[Struct]]] = {
        key: (f"`{key}`: {one.title}", one.settings) for key, one in sorted(descriptors().items())
    }
    tables |= {key: (f"`{key}`", kind) for key, kind in settings._OWN.items()}
    for key, (title, kind) in tables.items():
        lines += [
            f"### {title}\n",
            _about(kind),
            *_table(kind, [n for n in fields(kind) if n not in settings._OWN]),
            "",
        ]
        if key == "cooling":
            lines += ["#### `cooling.limits`\n", _about(CoolingLimits), *_table(CoolingLimits), ""]
        if key == "prometheus":
            for name, own in (("fabric", FabricSettings), ("storage", StorageSettings)):
                lines += [f"#### `prometheus.{name}`\n", _about(own), *_table(own), ""]
        if key == "slurm":
            for name, inner in (("budget", Budget), ("published", Published)):
                lines += [f"#### `slurm.{name}`\n", _about(inner), *_table(inner), ""]
    return "\n".join(lines).rstrip() + "\n"


def _known() -> Iterator[str]:
    """The automations that ship."""
    yield "\nA pattern that matches what people write is refused. Known without it (console/automation.toml):\n"
    for one in known_automations():
        yield f"- {one.name}: {one.source}"


def general() -> list[str]:
    """The keys outside any table."""
    return [name for name in fields(Config) if name in settings._GENERAL]


def fields(kind: type[Struct]) -> list[str]:
    """The keys of a Struct."""
    return [one.name for one in msgspec.structs.fields(kind)]


def _about(kind: type[Struct]) -> str:
    return " ".join((kind.__doc__ or "").split()) + "\n"


def _table(kind: type[Struct], names: list[str] | None = None) -> Iterator[str]:
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, Struct) and base.__module__.partition(".")[0] != "msgspec":
            docs |= field_docs(inspect.getsource(base))
    hints = typing.get_type_hints(kind, include_extras=True)
    yield from ("| key | value | default | what it is |", "|---|---|---|---|")
    for one in msgspec.structs.fields(kind):
        if names is None or one.name in names:
            yield f"| `{one.name}` | {_type(hints[one.name])} | {_default(one)} | {_linked(docs[one.name])} |"


def _linked(text: str) -> str:
    """The text for a page: page names as links, and no Python None."""
    return re.sub(r"\bNone\b", "unset", re.sub(r"docs/([a-z-]+\.md)", r"[\1](\1)", text)).replace("|", "\\|")


def _default(one: msgspec.structs.FieldInfo) -> str:
    if one.required:
        return "must be given"
    value = one.default if one.default is not msgspec.NODEFAULT else None
    if isinstance(value, Struct):
        return "as below"
    if value in (None, "", (), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:.10g}`"
    return f"`{msgspec.json.encode(value).decode()}`".replace('","', '", "').replace("|", "\\|")


def _type(hint: Any, meta: Meta | None = None) -> str:
    """The allowed values as text."""
    if typing.get_origin(hint) is Annotated:
        inner, *more = typing.get_args(hint)
        return _type(inner, next((one for one in more if isinstance(one, Meta)), None))
    if typing.get_origin(hint) is Literal:
        return " or ".join(f'`"{word}"`' for word in typing.get_args(hint))
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        return " or ".join(_type(one, meta) for one in typing.get_args(hint) if one is not type(None))
    if typing.get_origin(hint) is tuple:
        return f"list of {_type(typing.get_args(hint)[0])}".replace("list of text", "list of texts")
    if typing.get_origin(hint) is dict:
        return "table of texts"
    if inspect.isclass(hint) and issubclass(hint, Struct):
        return "table, below" if hint is not RackRule else "table"
    words: Mapping[type, str] = {bool: "true or false", str: "text", int: "whole number", float: "number"}
    return words[hint] + (_bounds(meta) if meta is not None and hint in {int, float} else "")


def _bounds(meta: Meta) -> str:
    low = f" above {meta.gt:g}" if meta.gt is not None else f" from {meta.ge:g}" if meta.ge is not None else ""
    return low + (f" to {meta.le:.10g}" if meta.le is not None else "")

"""All themes: those that ship with wacht and those from theme files.

`/etc/wacht/themes/NAME.toml` is the site's, `~/.config/wacht/themes/NAME.toml` the user's, which takes precedence; the
configuration may also name a file. A theme file overrides roles of a shipped theme. It is only data, and trusted like
the configuration. A broken theme file never prevents the start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from msgspec import Struct, structs

from collectors.clean import clean
from console.runtime.toml_file import ConfigError, TomlFile
from themes import DEFAULT, default_theme, themes
from themes.colour_difference import contrast
from themes.roles import ROLES, STATE_ROLES, TEXT_ROLES
from themes.theme_spec import ThemeSpec, paint

SITE_FOLDER = Path("/etc/wacht/themes")
LEAST_CONTRAST = 3.0
"""Least contrast of readable text; a theme with less gets a warning."""
_KEYS = ("base", "says", "roles")


class ThemeChoice(Struct, frozen=True, kw_only=True):
    """Every theme by name. `first` is the initial theme, `message` is about the one asked for, `faults` the errors
    of the files.
    """

    known: Mapping[str, ThemeSpec]
    first: str
    message: str = ""
    faults: Mapping[str, str] = {}

    def theme_fault(self, name: str) -> str | None:
        """Why a theme cannot be used; None when it can."""
        if name in self.known:
            return None
        return self.faults.get(name) or f"no theme {clean(name)}; there are: {', '.join(self.known)}"


def folders() -> tuple[Path, ...]:
    """The folders of theme files; a later one takes precedence."""
    import platformdirs

    return SITE_FOLDER, Path(platformdirs.user_config_dir("wacht")) / "themes"


def read_themes(
    wanted: str | None, environ: Mapping[str, str], colours: str | None, places: Sequence[Path] | None = None
) -> ThemeChoice:
    """Every theme, and the initial one: `wanted` by name or file, else the one that fits the terminal."""
    known, faults, bases = dict(themes()), dict[str, str](), dict[str, str]()
    paths = [path for place in (folders() if places is None else places) for path in _files(place)]
    name = wanted
    if wanted is not None and (wanted.endswith(".toml") or "/" in wanted):
        paths.append(Path(wanted).expanduser())
        name = paths[-1].stem
    for path in paths:
        try:
            layer = TomlFile(path)
            bases[path.stem] = _base(layer)
            look = known[path.stem] = _theme(layer, bases[path.stem])
            faults[path.stem] = _weak(layer, look)
        except ConfigError as error:
            faults[path.stem] = clean(str(error))
    if name is None:
        return ThemeChoice(known=known, first=default_theme(environ, colours), faults=faults)
    if name in known:
        return ThemeChoice(known=known, first=name, message=faults.get(name, ""), faults=faults)
    first = bases.get(name, DEFAULT)
    why = ThemeChoice(known=known, first=first, faults=faults).theme_fault(name)
    return ThemeChoice(known=known, first=first, message=f"{why}; this is {first}", faults=faults)


def _files(folder: Path) -> list[Path]:
    """The theme files of a folder, which may not exist."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except OSError:
        return []


def _base(layer: TomlFile) -> str:
    """The theme that the file is based on. Raises ConfigError."""
    base = layer.table.get("base", DEFAULT)
    if base not in list(themes()):
        raise layer.fail("", "base", f"is {base!r}; allowed: {', '.join(themes())}")
    return str(base)


def _theme(layer: TomlFile, base: str) -> ThemeSpec:
    """The theme described by a file. Raises ConfigError with file, line, key and what to do."""
    name = layer.path.stem
    if name in themes():
        raise ConfigError(f"{layer.path}: a theme that ships is called {name}; give the file another name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", name):
        raise ConfigError(f"{layer.path}: a theme's name is letters, digits, dots and dashes; give it another name")
    for key in layer.table:
        if key not in _KEYS:
            where = "; it belongs under [roles]" if key in ROLES else ""
            raise layer.fail("", key, f"unknown key; allowed: {', '.join(_KEYS)}{where}")
    says, roles = layer.table.get("says", f"{base} with other colours"), layer.table.get("roles", {})
    if not isinstance(says, str):
        raise layer.fail("", "says", f"must be a text, is {type(says).__name__}")
    if not isinstance(roles, dict):
        raise layer.fail("", "roles", "must be a table, as in [roles]")
    under = themes()[base]
    for role, style in roles.items():
        if role not in ROLES:
            near = get_close_matches(role, ROLES, 3) or ROLES[:3]
            raise layer.fail("roles", role, f"no such role; near it: {', '.join(near)}; docs/themes.md has them all")
        if not isinstance(style, str):
            raise layer.fail("roles", role, f'must be a text, as in "{under.roles[role]}"')
        try:
            paint(style, under.colours)
        except ValueError as error:
            raise layer.fail("roles", role, str(error)) from None
    try:
        return structs.replace(under, name=name, says=clean(says), roles={**under.roles, **roles})
    except ValueError as error:
        role = str(error).partition(":")[0]
        raise layer.fail("roles", role, str(error).partition(": ")[2]) from None


def _weak(layer: TomlFile, look: ThemeSpec) -> str:
    """A message about roles with too little contrast; "" when there are none."""
    if look.colours != "all":
        return ""
    found = {role: contrast(look.ink(role), look.ground(role)) for role in (*TEXT_ROLES, *STATE_ROLES)}
    weak = [f"{role} {ratio:.1f}:1" for role, ratio in found.items() if ratio < LEAST_CONTRAST]
    return f"{layer.path}: hardly to be read: {', '.join(weak)}; make it {LEAST_CONTRAST:g}:1 or more" if weak else ""

"""The themes: every module in this folder with a LOOK is discovered as one."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from themes.theme_spec import ThemeSpec

if TYPE_CHECKING:
    from textual.app import App

DEFAULT = "groningen"


@lru_cache(maxsize=1)
def themes() -> dict[str, ThemeSpec]:
    """Every theme by its name, the default first. A broken file is reported in a warning and left out."""
    found: dict[str, ThemeSpec] = {}
    for info in pkgutil.iter_modules(__path__):
        try:
            look = getattr(importlib.import_module(f"{__name__}.{info.name}"), "LOOK", None)
        except Exception as error:  # a theme may come from anyone: it must not prevent the start
            warnings.warn(f"theme {info.name} is left out: {error}", stacklevel=2)
            continue
        if isinstance(look, ThemeSpec):
            found[look.name] = look
    return dict(sorted(found.items(), key=lambda item: (item[0] != DEFAULT, item[0])))


def default_theme(environ: Mapping[str, str], colours: str | None) -> str:
    """The theme when none was chosen. `colours` is Rich's name for what the terminal supports: truecolor, 256,
    standard, None.

    NO_COLOR is https://no-color.org: any non-empty value requests no colour.
    """
    if environ.get("NO_COLOR"):
        return "monochrome"
    return DEFAULT if colours in {"truecolor", "256"} else "16-colour"


def register(app: App[Any], name: str = DEFAULT, looks: Mapping[str, ThemeSpec] | None = None) -> None:
    """Register every theme with the App and activate one; an unknown name gets the default."""
    known = looks or themes()
    for look in known.values():
        app.register_theme(look.textual_theme())
    app.theme = name if name in known else DEFAULT

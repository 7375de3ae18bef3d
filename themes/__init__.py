"""The themes: every file in this folder that has a LOOK is one, found by itself."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from themes.look import ThemeSpec

if TYPE_CHECKING:
    from textual.app import App

DEFAULT = "groningen"


@lru_cache(maxsize=1)
def themes() -> dict[str, ThemeSpec]:
    """Every theme by its name, the default first. A broken file is told of in a warning and left out."""
    found: dict[str, ThemeSpec] = {}
    for info in pkgutil.iter_modules(__path__):
        try:
            look = getattr(importlib.import_module(f"{__name__}.{info.name}"), "LOOK", None)
        except Exception as error:  # a theme may be anybody's: it must not keep the console from starting
            warnings.warn(f"theme {info.name} is left out: {error}", stacklevel=2)
            continue
        if isinstance(look, ThemeSpec):
            found[look.name] = look
    return dict(sorted(found.items(), key=lambda item: (item[0] != DEFAULT, item[0])))


def default_theme(environ: Mapping[str, str], colours: str | None) -> str:
    """The theme for who has chosen none. `colours` is what Rich makes of the terminal: truecolor, 256, standard, None.

    NO_COLOR is https://no-color.org: anything but an empty text asks for no colour.
    """
    if environ.get("NO_COLOR"):
        return "monochrome"
    return DEFAULT if colours in {"truecolor", "256"} else "16-colour"


def register(app: App[Any], name: str = DEFAULT, looks: Mapping[str, ThemeSpec] | None = None) -> None:
    """Make every theme known to the App and put one on; an unknown name gets the default."""
    known = looks or themes()
    for look in known.values():
        app.register_theme(look.textual_theme())
    app.theme = name if name in known else DEFAULT

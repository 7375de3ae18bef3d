"""Screen classes by name, each imported when it is first needed: the first frame shows one of them."""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

from console.actions.action import Kind
from console.actions.screen_rows import SCREEN_ROWS
from console.screens.layout.screen import Inspection, WachtScreen

if TYPE_CHECKING:
    from console.screens.layout.list_detail_screen import ListDetailSpec
    from console.screens.layout.two_table_screen import TwoTableSpec

_PACKAGES = {row.id: "console.screens.plant" if row.plant else "console.screens" for row in SCREEN_ROWS}


@cache
def view(name: str) -> type[WachtScreen] | TwoTableSpec | ListDetailSpec:
    """The class of a screen of `SCREEN_ROWS`, or its data: what its module calls NameScreen or SCREEN. Raises
    KeyError."""
    module = importlib.import_module(f"{_PACKAGES[name]}.{name}")
    found: type[WachtScreen] | TwoTableSpec | ListDetailSpec = getattr(module, "SCREEN", None) or getattr(
        module, f"{name.capitalize()}Screen"
    )
    return found


def make(name: str) -> WachtScreen:
    """A new screen by its name."""
    made = view(name)
    return made() if isinstance(made, type) else made.screen()


def inspection(kind: Kind, key: str) -> Inspection:
    """The inspection screen of a node or a job."""
    if kind == "node":
        from console.screens.node import NodeScreen

        return NodeScreen(key)
    from console.screens.job import JobScreen

    return JobScreen(key)


def rest() -> None:
    """Import in a thread, after the start, what keys need later, so that no key waits for an import."""
    from console.actions import option_parsing, targets  # noqa: F401
    from console.journal import undo  # noqa: F401
    from console.screens import help, job, node  # noqa: F401
    from console.session import site_gate  # noqa: F401

    from . import confirm_dialog, palette_screen  # noqa: F401


def help_screen(about: WachtScreen, refused: dict[str, str | None]) -> WachtScreen:
    """The help for the screen `about`; `refused` maps an action to why it is refused now."""
    from console.screens.help import HelpScreen

    return HelpScreen(about, refused)

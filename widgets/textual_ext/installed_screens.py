"""The screens that an app holds, shown or not.

Needed: several clusters keep several screens each, and each of them takes new facts while hidden, so that old facts are
freed. Textual 8.2.8 shows only the stack of the current mode (`App.screen_stack`), and `App.uninstall_screen` neither
returns the screen nor removes it.

When Textual changes: if there are public names for the stacks of the modes and for the installed screens, use those.
"""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.screen import Screen


def made_screens(app: App[Any]) -> list[Screen[Any]]:
    """The installed screens that were made."""
    return [one for one in app._installed_screens.values() if isinstance(one, Screen)]


def mode_stack(app: App[Any], mode: str) -> list[Screen[Any]] | None:
    """The screens of a mode, the lowest first; None if it was never shown."""
    return app._screen_stacks.get(mode)


async def remove_installed(app: App[Any], name: str) -> None:
    """Uninstall a screen and free it."""
    made = app._installed_screens.pop(name, None)
    if isinstance(made, Screen) and made.is_attached:
        await made.remove()

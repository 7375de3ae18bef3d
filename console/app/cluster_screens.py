"""The screens of each cluster: every cluster has a stack of its own (a mode of Textual's), and named screens."""

from __future__ import annotations

from typing import Any

from textual.app import App

from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.config.commands import SCREENS
from console.screens.layout.screen import WachtScreen
from widgets.terminal.quiet_app import QuietScreen
from widgets.textual_ext.installed_screens import made_screens, mode_stack, remove_installed

from . import screen_factory


class ClusterScreens:
    """Finds, shows and removes the screens of a cluster."""

    def __init__(self, fleet: Fleet, app: App[Any]) -> None:
        self._fleet, self._app = fleet, app

    def of(self, session: ClusterSession) -> list[WachtScreen]:
        """Every screen that was made for this cluster, shown or not."""
        every = {*made_screens(self._app), *(mode_stack(self._app, session.mode) or ())}
        return [one for one in every if isinstance(one, WachtScreen) and one.at.name == session.name]

    def installed(self, name: str) -> str:
        """The name under which a screen of the cluster that is shown is installed; makes it if there is none."""
        key = _installed_name(self._fleet.session, name)
        if key != name and not self._app.is_screen_installed(key):
            self._app.install_screen(screen_factory.make(name), key)
        return key

    def show(self, session: ClusterSession) -> bool:
        """Show the stack of a cluster; returns whether it is new, and empty."""
        new = mode_stack(self._app, session.mode) is None
        if new:
            self._app.add_mode(session.mode, QuietScreen)
        self._app.switch_mode(session.mode)
        return new

    def close(self, session: ClusterSession) -> None:
        """Remove the stack and the screens of a cluster that is not shown."""
        if mode_stack(self._app, session.mode) is not None:
            self._app.remove_mode(session.mode)
        self._app.call_later(self._drop, session)

    async def _drop(self, session: ClusterSession) -> None:
        for key in [_installed_name(session, one) for one in SCREENS]:
            await remove_installed(self._app, key)


def _installed_name(session: ClusterSession, name: str) -> str:
    """The first cluster uses plain names."""
    return name if session.mode == "_default" else f"{session.mode}/{name}"

"""Messages in the corner of the screen, and the bell."""

from __future__ import annotations

from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.screens.layout.screen import WachtScreen

from .ports import Terminal


class Notifications:
    """Shows messages, each with the name of its cluster where there are several."""

    def __init__(self, fleet: Fleet, port: Terminal) -> None:
        self._fleet, self._port = fleet, port

    def show(self, text: str, severity: str = "information") -> None:
        """Show a message about the cluster on the screen."""
        self.show_for(self._fleet.session, text, severity)

    def show_for(self, session: ClusterSession, text: str, severity: str = "information") -> None:
        """Show a message about cluster `session`, whichever is on the screen by now. Not markup: the text may be
        foreign."""
        named = f"{session.name}: {text}" if len(self._fleet.available) > 1 else text
        self._port.notify(named, severity=severity, markup=False, timeout=6)

    def still_on(self, screen: object) -> bool:
        """Whether this screen is still on top and its prompt is closed."""
        now = self._port.screen
        return now is screen and not (isinstance(now, WachtScreen) and now.prompt.is_open)

    def user_moved_on(self, screen: object, what: str) -> bool:
        """Whether the user has left `screen` or is typing on it; shows a message if so.

        A dialog that opened then would take keys that were meant for something else."""
        if self.still_on(screen):
            return False
        self.show(f"{what}: you went on meanwhile; ask for it again", "warning")
        return True

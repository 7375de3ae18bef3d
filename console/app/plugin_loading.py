"""Actions and fields from installed plugin packages: loaded off the event loop after the first frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from console.actions.action import Action
from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.screens.layout.screen import WachtScreen

from . import screen_factory
from .input_handling import InputHandling
from .notifications import Notifications
from .ports import Terminal

if TYPE_CHECKING:
    from console.config.plugins import OwnField
    from console.fields.field import Field

#: Messages about plugins that are shown; `wacht doctor` has the others.
_MAX_MESSAGES = 3


class PluginLoading:
    """Loads plugins, and gives their actions a key and their fields a column."""

    def __init__(self, fleet: Fleet, notifications: Notifications, input: InputHandling, port: Terminal) -> None:
        self._fleet, self._notify, self._input, self._port = fleet, notifications, input, port
        self._own: Mapping[str, tuple[Field, ...]] = {}

    def read(self) -> None:
        """Load the plugins in a thread."""

        def work() -> None:
            screen_factory.rest()
            from console.config import plugins

            found = plugins.actions(), plugins.fields()
            self._port.call_from_thread(self.take, *found, plugins.messages())

        self._port.run_in_thread(work, "plugins")

    def take(self, actions: Sequence[Action], fields: Sequence[OwnField], messages: Sequence[str]) -> None:
        """Use what was loaded."""
        from console.config import plugin_fields, plugins

        plugins.register(actions)
        for one in actions:
            if self._input.add_key(one.id, one.key):
                self._port.bind(one.key, f"act('{one.id}')", description=one.help, show=False)
        self._own = plugin_fields.register(fields)
        for session in self._fleet.sessions.values():
            self.add_columns(session)
        if isinstance(self._port.screen, WachtScreen):
            self._port.screen.refresh_keys()
        if messages:
            more = len(messages) - _MAX_MESSAGES
            self._notify.show(
                "\n".join(messages[:_MAX_MESSAGES]) + (f"\nand {more} more: wacht doctor" if more > 0 else ""),
                "warning",
            )

    def add_columns(self, session: ClusterSession) -> None:
        """Add the columns of plugins to the lists of a cluster."""
        if any(self._own.values()):
            from console.screens.layout.list_screen import ListScreen

            for one in session.ahead:
                if isinstance(one, ListScreen):
                    there = {column.key for column in one.table.columns}
                    own = (field.column for field in self._own.get(one.kind, ()) if field.column is not None)
                    new = [column for column in own if column.key not in there]
                    one.table.set_columns((*one.table.columns, *new))

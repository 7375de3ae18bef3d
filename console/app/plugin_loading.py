"""Actions and columns from installed plugin packages: loaded off the event loop after the first frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from collectors.clean import clean
from console.actions.action import Action
from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.runtime import log
from console.screens.layout.screen import WachtScreen
from widgets.cells import Cell
from widgets.table_column import Column
from widgets.units import UNKNOWN

from . import screen_factory
from .input_handling import InputHandling
from .notifications import Notifications
from .ports import Terminal

if TYPE_CHECKING:
    from console.config.plugins import OwnColumn

#: Characters of a plugin cell that are shown.
_MAX_CHARS = 200
#: Messages about plugins that are shown; `wacht doctor` has the others.
_MAX_MESSAGES = 3


class PluginLoading:
    """Loads plugins, and gives their actions a key and their columns a list."""

    def __init__(self, fleet: Fleet, notifications: Notifications, input: InputHandling, port: Terminal) -> None:
        self._fleet, self._notify, self._input, self._port = fleet, notifications, input, port
        self._own_columns: Sequence[OwnColumn] = ()

    def read(self) -> None:
        """Load the plugins in a thread."""

        def work() -> None:
            screen_factory.rest()
            from console.config import plugins

            found = plugins.actions(), plugins.columns()
            self._port.call_from_thread(self.take, *found, plugins.messages())

        self._port.run_in_thread(work, "plugins")

    def take(self, actions: Sequence[Action], columns: Sequence[OwnColumn], messages: Sequence[str]) -> None:
        """Use what was loaded."""
        from console.config import plugins

        plugins.register(actions)
        for one in actions:
            if self._input.add_key(one.id, one.key):
                self._port.bind(one.key, f"act('{one.id}')", description=one.help, show=False)
        self._own_columns = columns
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
        """Add the plugin columns to the lists of a cluster."""
        if self._own_columns:
            from console.screens.layout.list_screen import ListScreen

            for one in session.ahead:
                if not isinstance(one, ListScreen):
                    continue
                own = [column for column in self._own_columns if column.on == one.kind]
                one.table.set_columns(with_plugin_columns(one.table.columns, own))


def with_plugin_columns(columns: Sequence[Column], own: Sequence[OwnColumn]) -> tuple[Column, ...]:
    """The columns, followed by those of plugins. A plugin column whose key is taken is left out."""
    taken = {one.key for one in columns}
    return (*columns, *(_column(one) for one in own if one.key not in taken))


def _column(own: OwnColumn) -> Column:
    """A table column of a plugin: its text is cleaned and cut; if it raises, the cell says so and the log has
    it once."""
    broke = False

    def text(row: Any) -> str | None:
        nonlocal broke
        try:
            said = own.text(row)
        except Exception as error:
            if not broke:
                broke = True
                log.warning("plugin", f"the column {own.key} broke: {type(error).__name__}: {error}")
            return "broken"
        return None if said is None else clean(str(said)[:_MAX_CHARS])

    def cell(row: Any, _: Any) -> Cell:
        said = text(row)
        return UNKNOWN if said is None else (said, "warn") if broke and said == "broken" else said

    return Column(own.key, own.title, own.width, cell, text, priority=own.priority, grow=1, max_width=own.width + 20)

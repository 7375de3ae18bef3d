"""What a site's own packages add to the console: looked for once the first frame is there, off the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from console.actions.action import Action
from console.clusters.cluster_session import ClusterSession
from console.config.keymap import Keymap
from console.screens.layout.screen import WachtScreen

from . import views
from .fleet import Fleet

if TYPE_CHECKING:
    from console.config.plugins import OwnColumn


class Plugged(Fleet):
    """The part of the app that takes plugins in."""

    keymap: Keymap
    _own_columns: Sequence[OwnColumn] = ()

    def read_plugins(self) -> None:
        """Look for them."""

        def work() -> None:
            views.rest()
            from console.config import plugins

            found = plugins.actions(), plugins.columns()
            self.call_from_thread(self._plugins_came, *found, plugins.messages())

        self.run_worker(work, thread=True, group="plugins", exit_on_error=False)

    def _plugins_came(self, actions: Sequence[Action], columns: Sequence[OwnColumn], told: Sequence[str]) -> None:
        from console.config import plugins

        plugins.register(actions)
        for one in actions:
            self.keymap = self.keymap.beside(one.id, one.key)
            if self.keymap.keys[one.id]:
                self.bind(one.key, f"act('{one.id}')", description=one.help, show=False)
        self._own_columns = columns
        for at in self.sessions.values():
            self.take_columns(at)
        if isinstance(self.screen, WachtScreen):
            self.screen.refresh_keys()
        if told:
            self.tell(
                "\n".join(told[:3]) + (f"\nand {len(told) - 3} more: wacht doctor" if len(told) > 3 else ""), "warning"
            )

    def take_columns(self, session: ClusterSession) -> None:
        """Show the columns of packages in the lists of a cluster."""
        if self._own_columns:
            from console.screens.layout.list_screen import ListScreen
            from console.tables.plugin_columns import placed

            for one in session.ahead:
                if not isinstance(one, ListScreen):
                    continue
                own = [column for column in self._own_columns if column.on == one.kind]
                one.table.set_columns(placed(one.table.columns, own))

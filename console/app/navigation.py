"""Which screen is shown: the screens by name, the view before, inspections, help, and ssh to a node."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from textual.app import SuspendNotSupported

from collectors import process
from collectors.model import SourceFault
from console.actions.action import Kind
from console.actions.registry import ACTIONS
from console.clusters.fleet import Fleet
from console.config.commands import SCREENS
from console.runtime.errors import FilterError
from console.screens.layout.screen import Inspection, WachtScreen

from . import screen_factory
from .input_handling import InputHandling
from .notifications import Notifications
from .ports import Terminal

View = tuple[str, list[tuple[type[Inspection], str]]]
"""What `-` goes back to: the name of a screen, and the inspections that were open on it."""
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Navigation:
    """Opens screens."""

    def __init__(
        self, fleet: Fleet, notifications: Notifications, input: InputHandling,
        refusal: Callable[[str], str | None], port: Terminal,
    ) -> None:  # fmt: skip
        """`refusal` tells why an action is refused now."""
        self._fleet, self._notify, self._input, self._port = fleet, notifications, input, port
        self._refusal = refusal
        self._previous: dict[str, View] = {}
        """Cluster name to the view that was left last."""

    def go(self, name: str, filter_text: str | None = None) -> None:
        """Show one of the screens, with a filter if one is given, and close everything that is open on top."""
        view = self._view()
        if view is not None and view != (name, []):
            self._previous[self._fleet.session.name] = view
        while len(self._port.screen_stack) > 2:
            self._port.pop_screen()
        self._port.switch_screen(name)
        if filter_text is not None:
            from console.screens.layout.filtered_screen import FilteredScreen

            screen = self._port.get_screen(name)
            if isinstance(screen, FilteredScreen):
                try:
                    screen.set_filter(self._input.filters.expand(filter_text, name))
                except FilterError as error:
                    self._notify.show(str(error), "warning")

    def _view(self) -> View | None:
        """The screen that is shown and the inspections on top of it; None while neither has a name."""
        shown = [one for one in self._port.screen_stack if isinstance(one, WachtScreen)]
        if not shown or shown[0].crumb not in SCREENS:
            return None
        return shown[0].crumb, [(type(one), one.key) for one in shown if isinstance(one, Inspection)]

    def go_back(self) -> None:
        """Key `-`: go back to the previous view."""
        view, before = self._view(), self._previous.get(self._fleet.session.name)
        if before is None:
            self._notify.show("there is no view before this one")
            return
        self.go(before[0])
        for inspect, key in before[1]:
            self._port.push_screen(inspect(key))
        if view is not None:
            self._previous[self._fleet.session.name] = view

    def open_row(self, kind: Kind, key: str) -> None:
        """Open the inspection of a node or a job."""
        self._port.push_screen(screen_factory.inspection(kind, key))

    def open_help(self) -> None:
        """Show the keys of the screen, each action with the reason if it is refused now; close it if it is open."""
        screen = self._port.screen
        if isinstance(screen, WachtScreen) and screen.crumb == "help":
            self._port.pop_screen()
        elif isinstance(screen, WachtScreen):
            refused = {one.id: self._refusal(one.id) for one in ACTIONS}
            self._port.push_screen(screen_factory.help_screen(screen, refused))

    def open_log(self, job: str = "") -> None:
        """Show the output of a job; by default of that under the cursor. Raises CommandError."""
        from console.screens.job_output import JobOutputScreen, job_to_read

        screen = self._port.screen
        wanted = job_to_read(screen, job)
        if isinstance(screen, JobOutputScreen) and screen.key == wanted:
            screen.read()
        else:
            self._port.push_screen(JobOutputScreen(wanted))

    def compare(self, names: Sequence[str] = ()) -> None:
        """Show what these nodes have in common; without names, the marked ones."""
        from console.screens.traits import CommonScreen

        screen = self._port.screen
        chosen = tuple(names) or (screen.targets("node") if isinstance(screen, WachtScreen) else ())
        known = [name for name in chosen if name in self._fleet.cluster.nodes]
        if len(known) < 2:
            self._notify.show("this compares nodes: mark two or more (Space)", "warning")
            return
        self._port.push_screen(CommonScreen(known))

    def copy(self) -> None:
        """Copy the command behind what is shown, through the terminal (OSC 52)."""
        screen = self._port.screen
        text = screen.copy_text() if isinstance(screen, WachtScreen) else None
        if text:
            self._port.copy_to_clipboard(text)
            self._notify.show(f"copied: {text}")

    def ssh(self, name: str) -> None:
        """Hand the terminal to ssh on a node, and take it back when ssh ends."""
        show, session = self._notify.show, self._fleet.session
        node = session.cluster.nodes.get(name)
        if session.site.recorded:
            show(session.gate.read_only_reason, "warning")
            return
        if node is None or not _NODE_NAME.fullmatch(name):
            show(f"{name} is no node that ssh could go to", "warning")
            return
        if session.cluster.demo:
            show("the simulated cluster has no nodes to ssh to")
            return
        try:
            with self._port.suspend():
                # Use Slurm's node name: the screen must not choose an address.
                code = process.run_in_foreground(["ssh", "--", name])
        except SuspendNotSupported:
            show(f"ssh {name}: there is no terminal here that it could have", "warning")
            return
        except SourceFault as error:
            show(f"ssh {name}: {error}", "error")
            return
        show(f"back from {name}" + (f": ssh ended with {code}" if code else ""))

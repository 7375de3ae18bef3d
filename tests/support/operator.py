"""An operator at the console, in an operator's words: looks, moves, filters, acts. Runs on the simulated cluster."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot

from collectors.clock import ManualClock
from collectors.model import Cluster, Node
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from collectors.sim.sources import forget, running
from console.app.app import WachtApp
from console.app.confirm_dialog import ConfirmDialog
from console.config.keymap import KeyLine
from console.config.settings import Config
from console.config.site_commands import SiteCommand
from console.screens.layout.list_screen import ListScreen
from console.session import cluster_sources

#: Seconds that a condition may take to come true, on a busy machine: bounded, so that a test fails instead of hanging.
PATIENCE_S = 60.0


class Operator:
    """Hands and eyes. Every wait is for a condition, none for a time."""

    def __init__(self, app: WachtApp, pilot: Pilot[Any], machine: Machine | None = None) -> None:
        self.app = app
        self.pilot = pilot
        self._machine = machine

    @property
    def machine(self) -> Machine:
        """The simulated cluster, where it is one."""
        assert self._machine is not None
        return self._machine

    async def arrive(self, kinds: set[str]) -> None:
        """Wait for the first readings."""
        await self.until(lambda: kinds <= self.app.cluster.known, "the first readings")
        await self.pilot.pause()

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Wait until something is true. Fails with the screen when it does not come true."""
        end = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end, f"never came true: {what}\n{self.screen()}"
            await self.pilot.pause(0.005)

    def screen(self) -> str:
        """The screen as text."""
        strips = self.app.screen._compositor.render_strips(self.app.size)
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    def sees(self, *texts: str) -> None:
        """All of these are on the screen."""
        shown = self.screen()
        for text in texts:
            assert text in shown, f"{text!r} is not on the screen:\n{shown}"

    def sees_not(self, *texts: str) -> None:
        """None of these is on the screen."""
        shown = self.screen()
        for text in texts:
            assert text not in shown, f"{text!r} is on the screen:\n{shown}"

    async def comes(self, text: str) -> None:
        """It will be on the screen."""
        await self.until(lambda: text in self.screen(), f"{text!r} on the screen")

    async def press(self, *keys: str) -> None:
        """Press keys, and let the console answer."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def burst(self, text: str) -> None:
        """Keys that arrive all at once, as from a paste into a terminal that does not tell of pastes."""
        for char in text:
            key = "enter" if char == "\n" else _character_to_key(char)
            self.app.post_message(events.Key(key, None if key == "enter" else char))
        await self.pilot.pause()
        await self.until(lambda: self.app.input_settled, "all that was typed is done")
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Type a text."""
        names = {
            " ": "space",
            "[": "left_square_bracket",
            "]": "right_square_bracket",
            "=": "equals_sign",
            "-": "minus",
        }
        await self.pilot.press(*(names.get(char, char) for char in text))
        await self.pilot.pause()

    async def select(self, key: str) -> None:
        """Put the cursor of the list on a node or job."""
        assert self.list.table.select(key), f"{key} is not in the list"
        await self.pilot.pause()

    async def filter(self, text: str) -> None:
        """`/`, the text, Enter."""
        await self.press("slash")
        await self.type(text)
        await self.press("enter")

    async def command(self, text: str) -> None:
        """`:`, the text, Enter."""
        await self.press("colon")
        await self.type(text)
        await self.press("enter")

    async def confirm(self, *, reason: str | None = None, answer: str) -> None:
        """Answer the dialog that is open: the reason, then y or the count."""
        await self.until(lambda: isinstance(self.app.screen, ConfirmDialog), "a dialog")
        await self.until(lambda: self.dialog._armed_at is not None, "the dialog listens")
        if reason is not None:
            await self.type(reason)
            await self.press("enter")
            await self.until(
                lambda: not self.dialog.plan.missing_reason and self.dialog._armed_at is not None, "the plan"
            )
        await self.type(answer)
        if answer != "y":
            await self.press("enter")
        await self.until(lambda: not isinstance(self.app.screen, ConfirmDialog), "the dialog closes")

    @property
    def list(self) -> ListScreen:
        """The list on the screen."""
        assert isinstance(self.app.screen, ListScreen)
        return self.app.screen

    @property
    def dialog(self) -> ConfirmDialog:
        """The dialog on the screen."""
        assert isinstance(self.app.screen, ConfirmDialog)
        return self.app.screen

    @property
    def cluster(self) -> Cluster:
        """What the console knows."""
        return self.app.cluster

    def node(self, display: str, most: int = 1) -> list[str]:
        """Names of nodes in that state, as the machine has them."""
        found = [name for name, node in self.machine.nodes().items() if node.display == display]
        assert len(found) >= most, f"the machine has {len(found)} {display} nodes"
        return found[:most]

    def truth(self, name: str) -> Node:
        """A node as the machine has it, whatever the console shows."""
        return self.machine.nodes()[name]

    async def look_again(self) -> None:
        """A newer reading of everything."""
        before = self.cluster
        self.app.session.poller.refresh_now()
        await self.until(lambda: self.cluster is not before, "a newer reading")
        await self.pilot.pause()


@asynccontextmanager
async def console(
    size: tuple[int, int] = (120, 40),
    *,
    read_only: bool = False,
    theme: str | None = None,
    screen: str | None = None,
    keys: Sequence[KeyLine] = (),
    filters: Sequence[KeyLine] = (),
    commands: Mapping[str, SiteCommand] | None = None,
    clock: ManualClock | None = None,
    **settings: Any,
) -> AsyncIterator[Operator]:
    """A console on a small simulated cluster whose clock stands still."""  # fmt: skip
    name = "groningen"
    clock = clock or ManualClock()
    chosen = SimSettings(**{"nodes": 64, **settings})
    machine = running(name, chosen, clock)
    place = cluster_sources.ClusterSources(name=name, demo=True, slurm=chosen, others={})
    config = Config(
        read_only=read_only, theme=theme, screen=screen, keys=tuple(keys), filters=tuple(filters),
        commands=commands or {},
    )  # fmt: skip
    app = WachtApp(place, config, clock)
    try:
        async with app.run_test(size=size, notifications=True) as pilot:
            operator = Operator(app, pilot, machine)
            await operator.arrive({"nodes", "jobs", "partitions", "reservations", "loads", "diag"})
            yield operator
    finally:
        app.acting.stop_sending()  # what is paused would wait for ever, and the event loop for its thread
        app.session.poller.stop()
        forget(name)


@asynccontextmanager
async def console_on(
    place: cluster_sources.ClusterSources, size: tuple[int, int] = (120, 40), **config: Any
) -> AsyncIterator[Operator]:
    """A console on a real Slurm, the one whose commands are on PATH."""
    app = WachtApp(place, Config(**config))
    try:
        async with app.run_test(size=size, notifications=True) as pilot:
            operator = Operator(app, pilot)
            await operator.arrive({"nodes", "jobs", "partitions", "reservations", "diag"})
            yield operator
    finally:
        app.acting.stop_sending()  # what is paused would wait for ever, and the event loop for its thread
        app.session.poller.stop()

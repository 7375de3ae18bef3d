"""The site's own commands (`[command.NAME]`): their keys, and running those that only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from collectors.clean import clean
from collectors.site_command import Template, argv_for
from console.clusters.fleet import Fleet
from console.config.commands import CommandError, is_job
from console.config.keymap import textual_key
from console.config.site_commands import SiteCommand, register
from console.runtime.operator_identity import login_name
from console.screens.layout.screen import WachtScreen

from .input_handling import InputHandling
from .notifications import Notifications
from .palette import PaletteEntry
from .ports import Terminal


class CommandRuns:
    """Runs commands. One that changes something is an action: `Acting` has it."""

    def __init__(
        self, fleet: Fleet, notifications: Notifications, input: InputHandling, port: Terminal,
        commands: Mapping[str, SiteCommand],
    ) -> None:  # fmt: skip
        self._fleet, self._notify, self._input, self._port = fleet, notifications, input, port
        self.known, self._left_out = register(commands)

    def bind_keys(self) -> None:
        """Give each command its key, if that is free; say what was left out."""
        told = list(self._left_out)
        for name, one in self.known.items():
            key = textual_key(one.key) if one.key else ""
            has = self._input.keymap.owner(key) if key else ""
            if self._input.add_key(name, key):
                press = f"act('{name}')" if one.changes else f"site_command('{name}')"
                self._port.bind(key, press, description=one.help, show=False)
            elif key:
                told.append(f"command.{name} has no key: {one.key} is {has or 'taken'}; :{name} runs it")
        if told:
            self._notify.show("\n".join(told), "warning")

    def reads(self) -> Iterator[str]:
        """The names of those that only read."""
        return (name for name, one in self.known.items() if not one.changes)

    def run(self, name: str, typed: str = "") -> None:
        """Run a command that only reads, on what is typed or under the cursor. Raises CommandError."""
        from console.screens.command_output import CommandOutputScreen

        one, session = self.known[name], self._fleet.session
        if session.site.recorded or self._fleet.in_replay_mode:
            raise CommandError(f"{one.label}: this is a recording, and the command would show the present")
        if session.site.demo and one.target != "none":
            raise CommandError(f"{one.label}: the simulated cluster has no {one.target} that it could run on")
        target = self._target(one, typed)
        template = Template(kind=one.target, argv=one.argv, deadline_s=one.timeout_s)
        try:
            argv = argv_for(template, target, {"cluster": session.name, "user": clean(login_name())})
        except ValueError as error:
            raise CommandError(f"{one.label}: {error}") from None
        self._port.push_screen(CommandOutputScreen(one.label, argv, one.timeout_s))

    def _target(self, one: SiteCommand, typed: str) -> str:
        """The one target of a command, "" where it has none. Raises CommandError."""
        if one.target == "none":
            return ""
        screen, cluster = self._port.screen, self._fleet.cluster
        names = (typed,) if typed else screen.targets(one.target) if isinstance(screen, WachtScreen) else ()
        if len(names) != 1:
            raise CommandError(f"{one.label} runs on one {one.target}: put the cursor on it, or name it")
        known = names[0] in cluster.nodes if one.target == "node" else names[0] in cluster.jobs or is_job(names[0])
        if not known:
            raise CommandError(f"no {one.target} {clean(names[0])[:60]} is known")
        return names[0]

    def palette_entries(self) -> Iterator[PaletteEntry]:
        """An entry for each command that only reads."""
        for name in self.reads():
            one = self.known[name]
            title = one.label[0].upper() + one.label[1:] + (f" {one.target}" if one.target != "none" else "")
            yield PaletteEntry(
                title, one.help, partial(self.run, name), self._input.keymap.first(name), synonyms=(name,)
            )

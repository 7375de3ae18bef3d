"""Commands of a site: `[command.NAME]` in the site's file, without a package. Pure; `register` adds them to the tables.

One that changes something is an action like every other, behind the gate. One that only reads shows its output.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from collectors.clean import clean
from collectors.site_command import template_fault
from console.actions.action import Action
from console.actions.registry import ACTIONS, BY_ID

from .commands import SITE_COMMANDS, CommandRow, entries
from .keymap import action_key, textual_key

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


class SiteCommand(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[command.bmc-log]`: a program of the site's with a key, a label and a line in help and palette. Only in
    `/etc/wacht/config.toml`, which must belong to root and be writable by root alone."""

    label: str
    """What it is called in help, palette and preview."""
    argv: tuple[str, ...]
    """The program by its absolute path, and its arguments. One field in braces in an argument: {node} or {job} (the
    target), {cluster}, {user}, and {reason} where it changes something. No shell: each stays one argument."""
    target: Literal["node", "job", "none"] = "none"
    """What it runs on: the row under the cursor, or what is typed after its name."""
    key: str = ""
    """A key that is free (docs/keys.md); without one it is typed, or found in the palette."""
    changes: bool = False
    """Whether it changes something: then it has a preview, is confirmed and stands in the journal, one run a target.
    Without it the console runs it at once, read-only too."""
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0
    """Seconds for one run; then it is killed with all that it started."""

    def __post_init__(self) -> None:
        if not self.label or self.label != clean(self.label) or len(self.label) > 40:
            raise ValueError("label must be a plain text of at most 40 characters")
        if self.changes and self.target == "none":
            raise ValueError("changes = true needs a target, node or job: the gate acts on what was confirmed")
        if why := template_fault(self.target, self.argv, reads=not self.changes):
            raise ValueError(f"argv: {why}")
        if self.key:
            try:
                action_key(self.key)
            except ValueError as error:
                raise ValueError(f"key: {error}") from None

    @property
    def help(self) -> str:
        """What it does: its command line."""
        return f"{self.label}: {shlex.join(self.argv)}"


def register(commands: Mapping[str, SiteCommand]) -> tuple[dict[str, SiteCommand], list[str]]:
    """Add these commands to the actions and to what may be typed. Returns those that were added, and why others were
    left out. A command that was added before stays."""
    added: dict[str, SiteCommand] = {}
    left_out: list[str] = []
    for name, one in commands.items():
        mine = SITE_COMMANDS.pop(name, None) is not None or (name in BY_ID and BY_ID[name].argv == one.argv)
        every = entries()
        if not mine and (name in every or any(name in entry.synonyms for entry in every.values())):
            left_out.append(f"command.{name} is left out: {name} is a command already")
            continue
        added[name] = one
        if not one.changes:
            arguments = "" if one.target == "none" else f"[{one.target.upper()}]"
            SITE_COMMANDS[name] = CommandRow(arguments, one.help, (one.label.lower(),))
        elif name not in BY_ID:
            BY_ID[name] = _action(name, one)
            ACTIONS.append(BY_ID[name])
    return added, left_out


def _action(name: str, one: SiteCommand) -> Action:
    assert one.target != "none"
    key = textual_key(one.key) if one.key else ""
    reason = any("{reason}" in word for word in one.argv)
    return Action(
        id=name, key=key, kind=one.target, label=one.label, help=one.help, doing=f"{one.label}…",
        done=f"{one.label}: sent", needs_reason=reason, refuse=lambda *_: None, argv=one.argv, deadline_s=one.timeout_s,
    )  # fmt: skip

"""Look: one theme as a value. A theme file makes one and calls it LOOK; nothing else is needed to add a theme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from themes.roles import ROLES

if TYPE_CHECKING:
    from textual.theme import Theme

ROLE_PREFIX = "role-"
"""Roles travel to the widgets as variables of the Textual theme: `role-state-idle`."""


@dataclass(frozen=True)
class Look:
    """A theme. `base` holds Textual's own colours (primary, background, ...), `roles` ours as Rich style strings."""

    name: str
    dark: bool
    base: Mapping[str, str]
    roles: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError where a role is missing: half a theme would show as invisible text much later."""
        if missing := [role for role in ROLES if role not in self.roles]:
            raise ValueError(f"theme {self.name} lacks {', '.join(missing)}")

    def textual_theme(self) -> Theme:
        """The theme as Textual takes it. Imports Textual only now: listing the themes must stay cheap."""
        from textual.theme import Theme

        variables = {**self.variables, **{ROLE_PREFIX + role: style for role, style in self.roles.items()}}
        return Theme(self.name, dark=self.dark, variables=variables, **dict[str, Any](self.base))

"""One theme as a value, ThemeSpec. A theme file creates one and calls it LOOK; nothing else is needed to
add a theme.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from themes.roles import ROLES

if TYPE_CHECKING:
    from textual.theme import Theme

ROLE_PREFIX = "role-"
"""Roles travel to the widgets as variables of the Textual theme: `role-state-idle`."""

Colours = Literal["all", "16", "none"]
"""The colours that a theme may use: any, the sixteen of the terminal's own palette, or its foreground and
background only.
"""

ATTRIBUTES = ("bold", "dim", "italic", "underline", "reverse")
_EIGHT = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
NAMES = ("default", *_EIGHT, *(f"bright_{name}" for name in _EIGHT))
"""The terminal's own colours by name; `default` is its foreground or its background."""
_ALLOWED: Mapping[Colours, tuple[str, ...]] = {"all": (), "16": NAMES, "none": ("default",)}
_COLOUR: Mapping[Colours, str] = {
    "all": "a colour is #rrggbb",
    "16": f"a colour is one of {', '.join(NAMES)}",
    "none": "the one colour is default",
}


class Paint(Struct, frozen=True):
    """The parsed style of a role. `ink` and `ground` None are those of the surrounding text."""

    attributes: tuple[str, ...] = ()
    ink: str | None = None
    ground: str | None = None


@lru_cache(maxsize=1024)
def paint(style: str, colours: Colours = "all") -> Paint:
    """Parse a style like `bold #ffffff on #101010`. Raises ValueError, which says what is allowed."""
    front, on, back = f" {style} ".partition(" on ")
    words = front.split()
    attributes = tuple(word for word in words if word in ATTRIBUTES)
    inks = [word for word in words if word not in ATTRIBUTES]
    grounds = back.split()
    right = len(inks) <= 1 and len(grounds) == bool(on)
    for word in (*inks, *grounds):
        right = right and (word in _ALLOWED[colours] or (colours == "all" and _HEX.fullmatch(word) is not None))
    if not right or not style.split():
        raise ValueError(
            f"{style!r} is no style: it is {' '.join(ATTRIBUTES)}, a colour, on a colour; {_COLOUR[colours]}"
        )
    return Paint(attributes, inks[0] if inks else None, grounds[0] if grounds else None)


_HEX = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)


class ThemeSpec(Struct, frozen=True):
    """A theme. `roles` gives the style of each role, as Rich writes styles; Textual's own colours are
    derived from them.
    """

    name: str
    says: str
    """Its purpose, in a few words."""
    roles: Mapping[str, str]
    colours: Colours = "all"

    def __post_init__(self) -> None:
        """Raises ValueError where a role is missing or has an invalid style, which would otherwise show later as
        invisible text.
        """
        if missing := [role for role in ROLES if role not in self.roles]:
            raise ValueError(f"theme {self.name} lacks {', '.join(missing)}")
        for role, style in self.roles.items():
            try:
                paint(style, self.colours)
            except ValueError as error:
                raise ValueError(f"{role}: {error}") from None
        for role in ("text", "cursor", "panel", "bar", "header"):
            if self.colours == "all" and not (self.paint(role).ink and self.paint(role).ground):
                raise ValueError(f"{role}: needs both its ink and its ground, as in #c3ccd6 on #10151b")

    def paint(self, role: str) -> Paint:
        """The parsed style of a role."""
        return paint(self.roles[role], self.colours)

    def ink(self, role: str) -> str:
        """The text colour of a role; that of the text where it has none of its own."""
        return self.paint(role).ink or self.paint("text").ink or "default"

    def ground(self, role: str) -> str:
        """The background colour of a role, unless another is given."""
        return self.paint(role).ground or self.paint("text").ground or "default"

    @property
    def dark(self) -> bool:
        """Whether it is light on dark. With the terminal's own colours this is unknown, and assumed."""
        ground = self.ground("text")
        return self.colours != "all" or sum(int(ground[at : at + 2], 16) for at in (1, 3, 5)) < 3 * 128

    def textual_theme(self) -> Theme:
        """The theme for Textual. Imports Textual only when called: listing the themes must stay cheap."""
        from textual.theme import Theme

        def ink(role: str) -> str:
            return _textual(self.ink(role))

        def ground(role: str) -> str:
            return _textual(self.ground(role))

        text, page, raised, thumb = ink("text"), ground("text"), ground("panel"), ink("thumb")
        variables = {
            "panel": raised,
            "surface": raised,
            "boost": raised,
            "ansi-background": page,
            "ansi-foreground": text,
            **self._block_cursor(),
            "text-muted": ink("text-dim"),
            "text-disabled": ink("text-dim"),
            "border": ink("border-focus"),
            "border-blurred": ink("border"),
            "input-selection-background": ground("map-cursor"),
            "input-selection-foreground": ink("map-cursor"),
            "scrollbar": thumb,
            "scrollbar-hover": thumb,
            "scrollbar-active": ink("border-focus"),
            "scrollbar-background": page,
            "scrollbar-background-hover": page,
            "scrollbar-background-active": page,
            "scrollbar-corner-color": page,
        }
        variables |= {ROLE_PREFIX + role: style for role, style in self.roles.items()}
        return Theme(
            self.name,
            primary=ink("accent"),
            secondary=ink("title"),
            accent=ink("key"),
            warning=ink("warn"),
            error=ink("bad"),
            success=ink("good"),
            foreground=text,
            background=page,
            surface=raised,
            panel=raised,
            dark=self.dark,
            ansi=self.colours != "all",
            variables=variables,
        )

    def _block_cursor(self) -> dict[str, str]:
        """The cursor of Textual's own lists, which cannot reverse a line."""
        cursor, front, back = self.paint("cursor"), self.ink("cursor"), self.ground("cursor")
        style = [word for word in cursor.attributes if word != "reverse"]
        if self.colours != "all":
            front, back, style = "black", "white", ["underline"]
        elif "reverse" in cursor.attributes:
            front, back = back, front
        parts = {"background": _textual(back), "foreground": _textual(front), "text-style": " ".join(style) or "none"}
        return {f"block-cursor{which}-{part}": said for which in ("", "-blurred") for part, said in parts.items()}


def _textual(colour: str) -> str:
    """A colour in the syntax of Textual's style sheets."""
    return colour if colour.startswith("#") else f"ansi_{colour}"

"""The keymap: a shipped set (`default`, `vim`, `k9s`), changed by lines of the configuration.

    keys = "vim"                 # or, to change single keys as well:
    [keys]
    base = "vim"
    drain = "ctrl+d"             # an action or a navigation key by its id; several keys as a list, "" for none

The code knows every key by its default in `console/actions/registry.py`. A pressed key is translated to that default
first, so screens, widgets and bindings are the same in every set. An invalid line is reported with file and line and
left out; it never prevents the start. The configuration is data; no part is executed. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import Struct

from collectors.clean import clean
from console.actions.registry import ACTIONS, BY_ID, NAVIGATION

#: Keys with the same meaning in every set, beside the set's own letters for it. The configuration cannot move them.
FIXED = frozenset({"enter", "escape", "space", "tab", "shift+tab", "backspace", "up", "down", "left", "right", "pageup",
                   "pagedown", "home", "end", "ctrl+c", "ctrl+q", "ctrl+z"})  # fmt: skip
#: What each set changes of the keys in `console/actions/registry.py`. docs/keys.md gives the reasons.
SETS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "default": {},
    "vim": {
        "first": ("g",), "last": ("G",), "page_down": ("ctrl+f", "ctrl+d"), "page_up": ("ctrl+b", "ctrl+u"),
        "charts": ("f",), "previous": ("minus", "ctrl+o"),
    },
    "k9s": {
        "open": ("d",), "drain": ("c",), "cancel": ("ctrl+k",), "ssh": ("s",), "silence": ("S",), "charts": ("f",),
        "first": ("g",), "last": ("G",), "page_down": ("ctrl+f",), "page_up": ("ctrl+b",), "beside": ("ctrl+w",),
        "storage": ("x",), "cooling": ("ctrl+o",), "log": ("l",), "cursor_right": (),
    },
}  # fmt: skip
#: Command-line words that quit, as in the program that a set imitates; `:quit` works in every set.
LEAVES: Mapping[str, tuple[str, ...]] = {
    "vim": ("q", "q!", "qa", "qa!", "wq", "wq!", "x", "x!"),
    "k9s": ("q", "q!", "qa", "exit"),
}
_MOVES = ("cursor_left", "cursor_down", "cursor_up", "cursor_right", "page_down", "page_up", "first", "last")
_ACTIONS = {one.id for one in ACTIONS}
#: The default keys of each id.
OWN: Mapping[str, tuple[str, ...]] = {
    **{one.id: (one.key,) if one.key else () for one in ACTIONS},
    **{one.id: one.keys for one in NAVIGATION},
}
#: Keys that move the cursor in some set: an action there would be triggered while moving. `y` and digits answer
#: confirmations.
MOVING = frozenset(
    key
    for changes in SETS.values()
    for move in _MOVES
    for key in (*OWN[move], *changes.get(move, ()))
    if key not in FIXED and "+" not in key
)
_ANSWERS = frozenset("y0123456789")
#: Keys that a terminal sends as another key.
_SAME = {
    "ctrl+i": "Tab", "ctrl+m": "Enter", "ctrl+j": "Enter in many terminals", "ctrl+h": "Backspace in many terminals",
    "ctrl+[": "Esc", "ctrl+s": "stop in many terminals", "alt+b": "Ctrl+Left", "alt+f": "Ctrl+Right",
}  # fmt: skip
#: Unicode names that Textual shortens.
_SHORT = {"solidus": "slash", "reverse_solidus": "backslash", "commercial_at": "at", "hyphen_minus": "minus",
          "plus_sign": "plus", "low_line": "underscore"}  # fmt: skip
_SHOWN = {"enter": "Enter", "escape": "Esc", "space": "Space", "tab": "Tab", "up": "↑", "down": "↓", "left": "←",
          "right": "→", "pageup": "PgUp", "pagedown": "PgDn", "home": "Home", "end": "End", "insert": "Ins",
          "delete": "Del"}  # fmt: skip
_MOST = 4
"""Most keys of one id."""


class KeyLine(Struct, frozen=True):
    """One line of the configuration: its place (`FILE:LINE`), name and value."""

    where: str
    name: str
    value: Any


class Keymap(Struct, frozen=True):
    """The current keymap. `keys` holds Textual's key names by id, `messages` the lines left out and why."""

    base: str
    keys: Mapping[str, tuple[str, ...]]
    turned: Mapping[str, str]
    """Pressed key to default key, where they differ; "" for a key without a meaning."""
    messages: tuple[str, ...] = ()

    def beside(self, name: str, key: str) -> Keymap:
        """The keymap with a plugin's action added, at its key if that is free, else without one."""
        taken = not key or any(key in given for given in self.keys.values()) or key in self.turned
        return msgspec.structs.replace(self, keys={**self.keys, name: () if taken else (key,)})

    def owner(self, key: str) -> str:
        """The id that has a key; "" for none."""
        return next((name for name, keys in self.keys.items() if key in keys), "")

    @property
    def leaves(self) -> tuple[str, ...]:
        """Command-line words that quit, beside `:quit`."""
        return LEAVES.get(self.base, ())

    def turn(self, key: str) -> str:
        """The default key that a pressed key is bound to."""
        return self.turned.get(key, key)

    def shown(self, name: str) -> str:
        """All keys of an id as displayed; "" for none."""
        if self.keys[name] and self.keys[name] == OWN.get(name):
            return next((key.shown for key in NAVIGATION if key.id == name), shown(OWN[name][0]))
        return " ".join(map(shown, self.keys[name]))

    def first(self, name: str) -> str:
        """The first key of an id as displayed; "" for none."""
        keys = self.keys.get(name)
        return shown(keys[0]) if keys else ""

    def press(self, name: str) -> str:
        """How to trigger an id, for a hint: `press 6`, or its name in the palette when it has no key."""
        return f"press {self.first(name)}" if self.keys[name] else f"{name}, in the palette"

    def instead(self, key: str) -> str:
        """The current key for a default key as the key bar shows it ("d", "Enter"); "" for none."""
        name = _BY_SHOWN.get(key)
        return key if name is None else self.first(name)

    def every(self) -> Mapping[str, str]:
        """All ids with their keys as displayed."""
        return {name: self.shown(name) for name in self.keys}


def shown(key: str) -> str:
    """A key of Textual's as displayed: `Ctrl+D`, `?`, `F5`."""
    head, plus, last = key.rpartition("+")
    if plus:
        return f"{head.capitalize()}+{last.upper() if head == 'ctrl' else last}"
    if key in _SHOWN or len(key) == 1:
        return _SHOWN.get(key, key)
    return _CHARS.get(key) or key.capitalize()


def pressed(text: str) -> str:
    """Textual's key for a displayed one: the inverse of `shown`."""
    named = next((key for key, word in _SHOWN.items() if word == text), None)
    return named or (_key_of(text) if len(text) == 1 else text.lower())


def textual_key(text: str) -> str:
    """Textual's name of a key as a user writes it (`ctrl+d`, `D`, `?`, `f5`). Raises ValueError with the reason."""
    if len(text) == 1 and text.isprintable() and text != " ":
        return _key_of(text)
    low = "space" if text == " " else text.strip().lower()
    if (same := text.strip() if low.startswith("alt+") else low) in _SAME:
        raise ValueError(f"a terminal sends {same} as {_SAME[same]}")
    if low in FIXED or low in {"return", "esc", "pgup", "pgdn"}:
        raise ValueError("this key means the same under every set")
    head, plus, last = low.rpartition("+")
    if not plus:
        if low in {"insert", "delete"} or (low[:1] == "f" and low[1:].isdigit() and 1 <= int(low[1:]) <= 12):
            return low
        raise ValueError("is no key; write one character, ctrl+ and a letter, alt+ and a letter or digit, or f1 to f12")
    if head == "ctrl" and len(last) == 1 and last.isascii() and last.isalpha():
        return low
    if head == "alt" and len(last) == 1 and last.isascii() and last.isalnum():
        return f"alt+{text.strip()[-1]}"
    raise ValueError("not every terminal can send it; ctrl+ and a letter, or alt+ and a letter or digit, all can")


def _key_of(char: str) -> str:
    if char.isalnum():
        return char
    name = unicodedata.name(char, char).lower().replace("-", "_").replace(" ", "_")
    return _SHORT.get(name, name)


_CHARS = {_key_of(chr(code)): chr(code) for code in range(33, 127)}
_BY_SHOWN = {shown(keys[0]) if keys else BY_ID[name].binding: name for name, keys in OWN.items()}


def read_keys(lines: Sequence[KeyLine] = ()) -> Keymap:
    """The keymap of these lines; a later line for the same id wins."""
    messages: list[str] = []
    base = "default"
    wanted: dict[str, tuple[KeyLine, tuple[str, ...]]] = {}
    for line in lines:
        try:
            if line.name == "base":
                base = _base(line.value)
            else:
                keys = _keys(line)
                wanted.pop(line.name, None)
                wanted[line.name] = line, keys
        except ValueError as error:
            messages.append(_left_out(line, str(error)))
    # Drop the last line that clashes with another, then check again without it.
    while clash := _clash(base, wanted):
        name, why = clash
        messages.append(_left_out(wanted.pop(name)[0], why))
    laid = _laid(base, {name: given for name, (_, given) in wanted.items()})
    return Keymap(base, laid, _turned(laid), tuple(messages))


def _left_out(line: KeyLine, why: str) -> str:
    return clean(f"{line.where}: keys.{line.name}: {why}; this line is left out")


def _base(value: Any) -> str:
    if not isinstance(value, str) or value not in SETS:
        raise ValueError(f"is {value!r}; allowed: {', '.join(SETS)}")
    return value


def _keys(line: KeyLine) -> tuple[str, ...]:
    if line.name not in OWN:
        near = get_close_matches(line.name, OWN, 3)
        hint = f"near it: {', '.join(near)}" if near else "docs/keys.md has all names"
        raise ValueError(f"no action and no way is called that; {hint}")
    given = [line.value] if isinstance(line.value, str) else line.value
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given) or len(given) > _MOST:
        raise ValueError(f"must be a key, or a list of at most {_MOST}")
    found = []
    for one in filter(None, given):
        found.append(action_key(one) if line.name in _ACTIONS else _named_key(one))
    return tuple(dict.fromkeys(found))


def _named_key(text: str) -> str:
    """As `textual_key`; the reason names the key."""
    try:
        return textual_key(text)
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from None


def action_key(text: str) -> str:
    """Textual's name of a key that an action may have. Raises ValueError with the reason."""
    key = _named_key(text)
    if key in MOVING:
        raise ValueError(f"{text} moves the cursor in a set that ships: no action may be there")
    if key in _ANSWERS:
        raise ValueError(f"{text} answers what an action asks: none may be there")
    return key


def _laid(base: str, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Every id with its keys: the fixed ones, then those of its line, of the set, or its own."""
    found = {}
    for name, own in OWN.items():
        loose = tuple(key for key in own if key not in FIXED)
        chosen = wanted.get(name, SETS[base].get(name, loose))
        found[name] = (*(key for key in own if key in FIXED), *chosen)
    return found


def _clash(base: str, wanted: Mapping[str, tuple[KeyLine, tuple[str, ...]]]) -> tuple[str, str] | None:
    """The last line that gives a key a second meaning, and why it cannot; None when there is none."""
    keys = _laid(base, {name: given for name, (_, given) in wanted.items()})
    for name in reversed(list(wanted)):
        for key in wanted[name][1]:
            other = next((one for one in keys if one != name and key in keys[one]), None)
            if other is not None:
                return name, f"{shown(key)} is {other}: give {other} another key as well"
    # A key freed by a line stays free: the id that had it before may need it.
    return None


def _code(name: str) -> str:
    """The default key of an id."""
    return OWN[name][0] if OWN[name] else BY_ID[name].binding


def _turned(keys: Mapping[str, Iterable[str]]) -> dict[str, str]:
    turned = {key: "" for own in OWN.values() for key in own}
    for name, given in keys.items():
        for key in given:
            turned[key] = key if key in OWN[name] else _code(name)
    return {key: to for key, to in turned.items() if key != to}

"""Generated parts of docs/on-call.md (action keys, their inverses, the guard's figures), docs/themes.md (themes with
measured contrasts, roles) and docs/keys.md (key sets).

A test compares the pages with it. Nothing else imports this module: it parses source files for the docstrings of the
guard's fields.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Mapping
from itertools import combinations

import msgspec
from msgspec import Struct

from console.actions.options import Guard
from console.actions.registry import ACTIONS, NAVIGATION
from console.config.keymap import SETS, KeyLine, read_keys
from themes.colour_difference import VISIONS, contrast, difference
from themes.roles import HEAT, QUIET_ROLES, STATE_ROLES, TEXT_ROLES
from themes.theme_spec import ThemeSpec
from widgets.role_styles import RoleStyles

#: docs/on-call.md lists actions with a key; the others are in docs/week.md and docs/actions.md.
_KEYED = tuple(one for one in ACTIONS if one.key)


def actions() -> str:
    """Every key that changes something, a line for each kind of target: `- job: `K` cancel (count), …`."""
    made: dict[str, list[str]] = {}
    for action in _KEYED:
        count = action.danger == "kills" or action.count_confirmed
        asks = [word for word, needed in (("reason", action.needs_reason), ("count", count)) if needed]
        made.setdefault(action.kind, []).append(
            f"`{action.key}` {action.id}" + (f" ({', '.join(asks)})" if asks else "")
        )
    return "\n".join(f"- {kind}: {', '.join(those)}" for kind, those in made.items()) + "\n"


def key_sets() -> str:
    """Every action and navigation key: its id in `[keys]`, its keys in each set (– is the default), other words."""
    maps = [read_keys([KeyLine("", "base", base)]) for base in SETS]
    lines = [f"| name | {' | '.join(SETS)} | what it does | other words |", "|---|" + "---|" * (len(SETS) + 2)]
    words = {one.id: ", ".join(one.synonyms) for one in ACTIONS} | {
        one.id: ", ".join(one.synonyms) for one in NAVIGATION
    }
    helps = {one.id: f"{one.kind}: {one.help}" for one in ACTIONS} | {one.id: one.help for one in NAVIGATION}
    for name, help in helps.items():
        own, *others = (_ticked(one.shown(name)) for one in maps)
        cells = [own, *("–" if other == own else other for other in others)]
        lines.append(f"| `{name}` | {' | '.join(cells)} | {help} | {words[name]} |")
    return "\n".join(lines) + "\n"


def _ticked(keys: str) -> str:
    return " ".join(f"`{key}`" for key in keys.split()).replace("`|`", "`\\|`")


def undo() -> str:
    """How to undo each action with a key: `drain by undrain; undrain and resume by drain`."""
    by: dict[str, list[str]] = {}
    for action in _KEYED:
        if action.inverse is not None:
            by.setdefault(action.inverse, []).append(action.id)
    return "; ".join(f"{' and '.join(taken)} by {inverse}" for inverse, taken in by.items())


def guard() -> str:
    """Every figure of the guard: key, default and docstring."""
    docs = field_docs(inspect.getsource(Guard))
    lines = ["| `[guard]` | default | what it is |", "|---|---|---|"]
    lines += [f"| `{one.name}` | {one.default:g} | {docs[one.name]} |" for one in msgspec.structs.fields(Guard)]
    return "\n".join(lines) + "\n"


class Measured(Struct, frozen=True):
    """Measured values of a theme with its own colours: the least contrast of texts, of states and figures, and of both
    under the cursor, and the least difference of two states (CIEDE2000) for each kind of vision.
    """

    words: float
    states: float
    cursor: float
    apart: Mapping[str, float]


#: Roles that can be in the cursor's line.
_UNDER = ("text", "text-dim", "text-strong", "accent", "mark", "pending", "good", "warn", "bad", *STATE_ROLES, *HEAT)
#: Roles next to each other on the map or in a list; on the map a healthy node has a colour of its own.
_SIDE_BY_SIDE = [
    pair
    for pair in combinations([*(role for role in STATE_ROLES if role.startswith("state-")), "map-healthy"], 2)
    if pair[1] != "map-healthy" or pair[0] not in {"state-allocated", "state-mixed", "state-idle"}
]


def measured(look: ThemeSpec) -> Measured:
    """The figures of a theme, from its colours as painted."""
    styles = RoleStyles(dict(look.roles), look.ink("text"), look.ground("text"))

    def least(roles: Iterable[str], on: str = "") -> float:
        found = []
        for role in roles:
            style = styles(role, on=on)
            assert style.color is not None and style.bgcolor is not None  # RoleStyles always gives both
            found.append(contrast(style.color.get_truecolor().hex, style.bgcolor.get_truecolor().hex))
        return min(found)

    return Measured(
        words=least(TEXT_ROLES),
        states=least((*STATE_ROLES, *HEAT)),
        cursor=least(_UNDER, "cursor"),
        apart={
            vision: min(difference(look.ink(one), look.ink(other), vision) for one, other in _SIDE_BY_SIDE)
            for vision in VISIONS
        },
    )


def themes(looks: Iterable[ThemeSpec]) -> str:
    """A line for each theme: its purpose and its figures."""
    lines = [
        "| theme | for | words | states, heat | at the cursor | " + " | ".join(VISIONS) + " |",
        "|---|---|" + "---:|" * (3 + len(VISIONS)),
    ]
    for look in looks:
        cells = ["the terminal's"] + ["—"] * (2 + len(VISIONS))
        if look.colours == "all":
            found = measured(look)
            cells = [f"{one:.1f}:1" for one in (found.words, found.states, found.cursor)]
            cells += [f"{one:.1f}" for one in found.apart.values()]
        lines.append(f"| `{look.name}` | {look.says} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def roles() -> str:
    """Every role with its purpose."""
    groups = {"words": TEXT_ROLES, "states": STATE_ROLES, "lines and grounds": QUIET_ROLES, "heat": HEAT}
    return "\n".join(f"- {what}: {', '.join(f'`{one}`' for one in those)}" for what, those in groups.items()) + "\n"


def field_docs(source: str) -> dict[str, str]:
    """Field name to the docstring below it, from a class's source."""
    (made,) = ast.parse(source).body
    assert isinstance(made, ast.ClassDef)
    found: dict[str, str] = {}
    for line, under in zip(made.body, made.body[1:], strict=False):
        if isinstance(line, ast.AnnAssign) and isinstance(under, ast.Expr) and isinstance(under.value, ast.Constant):
            found[ast.unparse(line.target)] = " ".join(str(under.value.value).split())
    return found

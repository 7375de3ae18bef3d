"""What docs/on-call.md takes from the code: the keys of the actions, what takes each back, the guard's figures.

A test holds the page to it. Nothing else imports this: it reads the source for what stands under the guard's fields.
"""

from __future__ import annotations

import ast
import inspect

import msgspec

from console.actions import ACTIONS
from console.plan import Guard


def actions() -> str:
    """Every key that changes something, a line for each kind of target: `- job: `K` cancel (count), …`."""
    made: dict[str, list[str]] = {}
    for action in ACTIONS:
        count = action.danger == "kills" or action.counts
        asks = [word for word, needed in (("reason", action.needs_reason), ("count", count)) if needed]
        made.setdefault(action.kind, []).append(
            f"`{action.key}` {action.id}" + (f" ({', '.join(asks)})" if asks else "")
        )
    return "\n".join(f"- {kind}: {', '.join(those)}" for kind, those in made.items()) + "\n"


def undo() -> str:
    """What takes each action back: `drain by undrain; undrain and resume by drain`."""
    by: dict[str, list[str]] = {}
    for action in ACTIONS:
        if action.inverse is not None:
            by.setdefault(action.inverse, []).append(action.id)
    return "; ".join(f"{' and '.join(taken)} by {inverse}" for inverse, taken in by.items())


def guard() -> str:
    """Every figure of the guard: its key, its default, and what its docstring says."""
    said = _said(inspect.getsource(Guard))
    lines = ["| `[guard]` | default | what it is |", "|---|---|---|"]
    lines += [f"| `{one.name}` | {one.default:g} | {said[one.name]} |" for one in msgspec.structs.fields(Guard)]
    return "\n".join(lines) + "\n"


def _said(source: str) -> dict[str, str]:
    """Field to the docstring under it, of the source of a class."""
    (made,) = ast.parse(source).body
    assert isinstance(made, ast.ClassDef)
    found: dict[str, str] = {}
    for line, under in zip(made.body, made.body[1:], strict=False):
        if isinstance(line, ast.AnnAssign) and isinstance(under, ast.Expr) and isinstance(under.value, ast.Constant):
            found[ast.unparse(line.target)] = " ".join(str(under.value.value).split())
    return found

"""The command of a site's own action: a template of argv words, filled in for one target.

Pure, and the last check before a command runs: only plain names are accepted; nothing is split, joined or passed to a
shell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from .clean import clean, decode
from .model import Change

#: Names allowed in braces; `node` or `job` is the target, by the action's kind.
FIELDS = ("node", "job", "reason", "cluster", "user")
_FIELD = re.compile(r"\{([^{}]*)\}")
#: Kind of target to the form of its names; a command without a target has the empty name.
_NAMES = {"node": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), "job": re.compile(r"[0-9]+(_[0-9]+|\+[0-9]+)?"),
          "none": re.compile("")}  # fmt: skip
#: Most lines of an output, and characters of a line.
_MOST_LINES, _MOST_CHARS = 5000, 1000


class Template(Struct, frozen=True, kw_only=True):
    """`["/opt/site/bin/ticket", "--node", "{node}", "--reason", "{reason}"]`, run once for each target."""

    kind: str
    argv: tuple[str, ...]
    deadline_s: float = 30.0
    """Seconds for one command; then it is killed, and its effect is unknown."""


def template_fault(kind: str, argv: Sequence[str], reads: bool = False) -> str | None:
    """What is wrong with a template, None if it is valid. One that only `reads` gets no reason."""
    fields = tuple(one for one in FIELDS if one not in {"node", "job"} - {kind} and not (reads and one == "reason"))
    if not argv or not all(isinstance(one, str) and one and one == clean(one) for one in argv):
        return "its argv must be a list of plain texts, none of them empty"
    if not argv[0].startswith("/") or "{" in argv[0]:
        return f"its program must be an absolute path, is {argv[0]}"
    for one in argv[1:]:
        names = _FIELD.findall(one)
        if "{" in _FIELD.sub("", one) or "}" in _FIELD.sub("", one) or len(names) > 1:
            return f"one field in braces is what an element may hold: {one}"
        if names and names[0] not in fields:
            of = "without a target" if kind == "none" else f"for a {kind}"
            return f"there is no {{{names[0]}}} {of}; there is {', '.join(f'{{{one}}}' for one in fields)}"
    if kind == "none":
        return None
    if not any(f"{{{kind}}}" in one for one in argv):
        return f"{{{kind}}} must be in it: it acts on what was confirmed"
    return None


def argv_for(template: Template, target: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """The command for one target. Raises ValueError for a value that is no plain name, or reads as an option."""
    if not _NAMES[template.kind].fullmatch(target):
        raise ValueError(f"{clean(target)[:40]} is no name of a {template.kind}")
    known = {**values, template.kind: target}
    made = []
    for element in template.argv:
        found = _FIELD.search(element)
        value = known.get(found[1], "") if found else ""
        if found and not value:
            raise ValueError(f"there is no {found[1]} to put into it")
        if found and found.start() == 0 and value.startswith("-"):
            raise ValueError(f"a {found[1]} that begins with - would be read as an option")
        made.append(element if found is None else clean(element[: found.start()] + value + element[found.end() :]))
    return tuple(made)


def calls(template: Template, change: Change, cluster: str, user: str) -> list[tuple[str, ...]]:
    """One command for each target, in order. Raises ValueError."""
    values = {"reason": change.reason or "", "cluster": cluster, "user": user}
    return [argv_for(template, target, values) for target in change.targets]


def output_lines(out: bytes) -> tuple[str, ...]:
    """The output of a command as clean lines, the first ones of a long output."""
    lines = decode(out).splitlines()
    shown = [clean(line[:_MOST_CHARS].expandtabs()) + ("…" if len(line) > _MOST_CHARS else "") for line in lines]
    more = len(lines) - _MOST_LINES
    return (*shown[:_MOST_LINES], *([f"… and {more:,} more lines"] if more > 0 else ()))


def error_lines(cleaned: str) -> tuple[str, ...]:
    """The error output of a command (`ProcessResult.err`, in which a line feed is written out) as lines."""
    return tuple(line for line in cleaned.split("\\n") if line)

"""How an action is typed after a `:`: its signature and examples, from its row. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from .action import Action, Kind
from .reservations import CREATION as RESERVATION

#: Kind of target to examples of it, a name first, then a filter where there are filters.
_TARGETS: Mapping[Kind, tuple[str, ...]] = {
    "node": ("gpu[0001-0004]", "rack=R07 & state=idle"), "job": ("4711", "user=alice & state=pending"),
    "partition": ("long",), "reservation": ("maint",), "user": ("alice",),
}  # fmt: skip
_OPTIONS: Mapping[str, str] = {
    "resume_after_s": "2h", "seconds": "4h", "next_state": "resume | down", "waves": "", "canary": "R07",
    "redrain": "drain | stay",
}  # fmt: skip
_REASON = "bad DIMM"


def signature(action: Action) -> str:
    """`timelimit JOBS 4h | +2h | UNLIMITED`, `drain NODES REASON [--resume-after 2h]`."""
    from .option_parsing import OPTION_OF  # not needed for the first frame

    words = [action.id]
    if action.kind in _TARGETS:
        words.append(f"{action.kind.upper()}S")
    if action.value is not None:
        words.append(action.value.form)
    if action.needs_reason:
        words.append("REASON")
    if action.creates is RESERVATION:
        return " ".join((*words, "--name NAME --start WHEN --for 4h --users USERS"))
    words += [f"[--{OPTION_OF[field]} {_OPTIONS[field]}".rstrip() + "]" for field in action.option_fields]
    return " ".join(words)


def examples(action: Action) -> tuple[str, ...]:
    """Lines that could be typed."""
    if action.creates is not None:
        return ()  # its key puts all that it needs in the line
    after = ""
    if action.value is not None:
        first = action.value.form.partition(" ")[0]
        placeholder = first.isalpha() and first.isupper()
        after = f" {action.sample if placeholder else first}"
    if action.needs_reason:
        after += f" {_REASON}"
    return tuple(f"{action.id} {target}{after}" for target in _TARGETS.get(action.kind, ()))

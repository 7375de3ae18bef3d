"""Command lines that set node fields, power nodes up and down, and cancel a reboot.

Of Slurm's ways to power a node down, POWER_DOWN_ASAP is the one that loses nothing and finishes: it drains and waits
for the jobs. POWER_DOWN also waits but does not drain (24.11.5, 26.05.5): new jobs keep starting there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from collectors.model import Change

from .argv_base import REASON_CAP, Call, CommandSpec, checked_nodeset, targets_by_value

TEXT = re.compile(rf"[^\x00-\x1f\x7f]{{0,{REASON_CAP}}}")
FEATURES = re.compile(r"[A-Za-z0-9_.=:-]+(?:,[A-Za-z0-9_.=:-]+)*|")


def _update(field: str, form: re.Pattern[str]) -> CommandSpec:
    def calls(change: Change, names: tuple[str, ...]) -> list[Call]:
        return [
            (("scontrol", "update", f"NodeName={checked_nodeset(those)}", f"{field}={value}"), those)
            for value, those in targets_by_value(change, names)
        ]

    return CommandSpec(calls=calls, value=form)


def _state(state: str) -> CommandSpec:
    def calls(change: Change, names: tuple[str, ...]) -> list[Call]:
        return [(("scontrol", "update", f"NodeName={checked_nodeset(names)}", f"State={state}"), names)]

    return CommandSpec(calls=calls)


def _cancel_reboot(change: Change, names: tuple[str, ...]) -> list[Call]:
    return [(("scontrol", "cancel_reboot", checked_nodeset(names)), names)]


COMMAND_SPECS: Mapping[str, CommandSpec] = {
    "comment": _update("Comment", TEXT),
    "ticket": _update("Comment", TEXT),
    "features": _update("ActiveFeatures", FEATURES),
    "cancel_reboot": CommandSpec(calls=_cancel_reboot),
    "powerdown": _state("POWER_DOWN_ASAP"),
    "powerup": _state("POWER_UP"),
}

"""Command lines that set a partition's state: `scontrol update PartitionName= State=`, one call each.

Verified on live 24.11.5 and 26.05.5 controllers: running jobs continue, new ones are accepted and wait (PartitionDown).
"""

from __future__ import annotations

from collections.abc import Mapping

from collectors.model import Change

from .argv_base import Call, CommandSpec


def _state(state: str) -> CommandSpec:
    def calls(change: Change, names: tuple[str, ...]) -> list[Call]:
        return [(("scontrol", "update", f"PartitionName={name}", f"State={state}"), (name,)) for name in names]

    return CommandSpec(calls=calls)


COMMAND_SPECS: Mapping[str, CommandSpec] = {"partition-down": _state("DOWN"), "partition-up": _state("UP")}

"""Command lines that set job fields, suspend, resume and signal jobs.

Verified on live 24.11.5 and 26.05.5 controllers: an update takes many ids, joined by commas; scancel signals a job's
steps but not its batch script, or (`--batch`) the script only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from collectors.model import Change

from .argv_base import Call, CommandSpec, Words, batches, targets_by_value

#: Slurm's word for no time limit; 24.11.5 and 26.05.5 accept it for running and waiting jobs.
UNLIMITED = "UNLIMITED"
#: A time limit as Slurm prints it: whole minutes, ten years at most; or unlimited.
TIME_LIMIT = re.compile(rf"(?:[0-9]{{1,4}}-)?[0-9]{{1,2}}:[0-9]{{2}}:00|{UNLIMITED}")
#: Names of Slurm objects; a pending job may request several partitions.
NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:,[A-Za-z0-9][A-Za-z0-9._-]*)*")
NICE = re.compile(r"-?[0-9]{1,10}")
#: The highest value; larger ones have special meanings in Slurm.
NICE_MOST = 2_147_483_645
#: A node set; "" clears it.
NODES = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._,\[\]-]{0,99999})?")
SIGNALS = ("USR1", "USR2", "TERM", "INT", "HUP", "QUIT", "KILL", "STOP", "CONT")
#: scontrol would read a message that begins with a dash as an option.
MESSAGE = re.compile(r"(?!-)[^\x00-\x1f\x7f]{1,1000}")


def _update(field: str) -> CommandSpec:
    def calls(change: Change, names: tuple[str, ...]) -> list[Call]:
        return [
            (("scontrol", "update", f"JobId={','.join(some)}", f"{field}={value}"), some)
            for value, those in targets_by_value(change, names)
            for some in batches(those)
        ]

    return CommandSpec(calls=calls, value=_VALUES[field])


_VALUES = {"TimeLimit": TIME_LIMIT, "Partition": NAMES, "QOS": NAMES, "Nice": NICE, "ExcNodeList": NODES}


def _listed(*head: str) -> CommandSpec:
    def calls(change: Change, names: tuple[str, ...]) -> list[Call]:
        return [((*head, ",".join(some)), some) for some in batches(names)]

    return CommandSpec(calls=calls)


def _signal(change: Change, names: tuple[str, ...]) -> list[Call]:
    found: list[Call] = []
    for value, those in targets_by_value(change, names):
        batch, _, name = value.rpartition(":")
        head: Words = ("scancel", *(("--batch",) if batch else ()), f"--signal={name}")
        found += [((*head, *some), some) for some in batches(those)]
    return found


def _notify(change: Change, names: tuple[str, ...]) -> list[Call]:
    return [(("scontrol", "notify", name, change.values[name]), (name,)) for name in names]


COMMAND_SPECS: Mapping[str, CommandSpec] = {
    "timelimit": _update("TimeLimit"),
    "jobpartition": _update("Partition"),
    "qos": _update("QOS"),
    "nice": _update("Nice"),
    "exclude": _update("ExcNodeList"),
    "suspend": _listed("scontrol", "suspend"),
    "unsuspend": _listed("scontrol", "resume"),
    "signal": CommandSpec(calls=_signal, value=re.compile(f"(?:B:)?(?:{'|'.join(SIGNALS)})")),
    "notify": CommandSpec(calls=_notify, value=MESSAGE),
}

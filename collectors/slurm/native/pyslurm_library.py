"""Loads pyslurm in a child process and turns its errors into faults with texts for operators.

Only `worker` and `write_worker` import this module. They keep pyslurm's own output away from the messages: pyslurm
25.11.2 prints each TRES that it does not know.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from collectors.clean import clean

from .protocol import CONTROLLER_FAULTS

#: The only tested release of pyslurm; each uses the libslurm of one Slurm release.
KNOWN = "25.11."
INSTALL = "SLURM_INCLUDE_DIR=… SLURM_LIB_DIR=… pip install 'pyslurm==25.11.*'"

FaultParts = tuple[str, str, str]
"""Kind, what and mend of a Fault."""

_UP = "is slurmctld up? try: scontrol ping"
#: Slurm's error numbers (slurm_errno.h, 25.11) to a fault's kind and its fix.
_NAMED = {
    1001: ("refused", _UP),
    1004: ("refused", _UP),
    1005: ("refused", f"pyslurm {KNOWN}x needs a controller of 25.11 or later: use another transport"),
    1007: ("auth", f"munge here has another key, or the controller is older than {KNOWN[:-1]}: its log says which"),
    1800: ("refused", _UP),
    1801: ("refused", _UP),
    1802: ("refused", _UP),
    1803: ("refused", _UP),
    1804: ("backoff", "the controller limits this user's calls; wacht waits longer"),
    1805: ("backoff", "the controller limits this user's calls; wacht waits longer"),
    2002: ("auth", "ask the site for the right to read this"),
    2010: ("auth", "this user is unknown to the controller"),
    5004: ("timeout", "the controller is overloaded or hung; try: sdiag"),
}  # fmt: skip


class PyslurmFault(Exception):
    """Raised if nothing can be read or changed; carries the fault."""

    def __init__(self, kind: str, what: str, mend: str = "") -> None:
        super().__init__(what)
        self.told: FaultParts = (kind, what, mend)


def load() -> Any:
    """The initialised pyslurm module. Raises PyslurmFault; without a slurm.conf libslurm may end the process."""
    conf = os.environ.get("SLURM_CONF")
    if conf and not Path(conf).exists():
        # libslurm would retry for a minute.
        raise PyslurmFault("missing", clean(f"SLURM_CONF names {conf}, which is not there"), "correct SLURM_CONF")
    try:
        import pyslurm
    except ModuleNotFoundError as error:
        if error.name != "pyslurm":
            raise PyslurmFault("missing", clean(f"pyslurm cannot be loaded: {error}"), INSTALL) from None
        raise PyslurmFault("missing", "the Python package pyslurm is not installed", INSTALL) from None
    except ImportError as error:
        # libslurm's name holds its release: this pyslurm was built for another one.
        raise PyslurmFault(
            "missing",
            clean(f"pyslurm does not fit the Slurm that is installed here: {error}"),
            f"build it anew: {INSTALL}",
        ) from None
    version = str(getattr(pyslurm, "__version__", "?"))
    if not version.startswith(KNOWN):
        raise PyslurmFault("missing", clean(f"this is pyslurm {version}; wacht knows {KNOWN}x"), INSTALL)
    return pyslurm


def fault_of(pyslurm: Any, error: BaseException, what: str) -> FaultParts:
    """A pyslurm error as a fault; `what` was requested."""
    number = getattr(error, "errno", None)
    text = clean(str(error))[:200] or type(error).__name__
    if not isinstance(error, pyslurm.RPCError):
        return "internal", f"pyslurm, {what}: {type(error).__name__}: {text}", "report it"
    kind, mend = _NAMED.get(number if isinstance(number, int) else -1, ("refused", "try: scontrol ping"))
    asked = (
        "" if kind in CONTROLLER_FAULTS else f", {what}"
    )  # the same words for every question, so they are shown once
    return kind, f"pyslurm{asked}: {text}", mend

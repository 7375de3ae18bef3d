"""Predicts which actions Slurm would refuse to this person. Unknown rights refuse nothing.

The prediction comes from a reading that may be minutes old; Slurm decides.
"""

from __future__ import annotations

from collectors.model import Job, Rights, Row
from console.actions.action import Action

#: Level of rights to the kinds of targets that it may change.
_SUFFICE = {
    **dict.fromkeys(
        ("root", "SlurmUser", "Administrator"), frozenset({"node", "job", "partition", "reservation", "user"})
    ),
    "Operator": frozenset({"job", "reservation", "user"}),
}


def refused(action: Action, rights: Rights | None, row: Row | None = None) -> str | None:
    """Why Slurm would refuse this action to this person, on this row or (None) on any; None where it would not.

    Without a row an action on jobs is refused only where it would be on the person's own jobs too.
    """
    if rights is None or action.result_kind in {"alert", "silence"} or action.argv:
        return None  # Slurm's rights do not apply to Alertmanager or to a site's own program
    if (rights.nodes if action.result_kind in {"node", "partition"} else rights.jobs) is not False:
        return None
    if action.result_kind in _SUFFICE.get(rights.level, ()):
        # The level is enough, so the site's command prefix (sudo) refuses it.
        return f"{action.label} is refused: {rights.why}"
    you = rights.level if rights.level in _SUFFICE else f"{rights.user} ({rights.level})"
    if action.kind != "job":
        return f"{action.label} needs {action.admin_level}; you are {you}"
    if not isinstance(row, Job):
        return None
    if row.user != rights.user:
        return f"{action.label} of {row.user}'s job needs {action.admin_level}; you are {you}"
    if action.admin_only is not None and action.admin_only(row):
        return f"{action.label} of an admin's hold needs {action.admin_level}; you are {you}"
    return None

"""Why an action is refused: why its key is grey, and which targets a plan skips. Pure.

Refused is what would have no effect (`Action.refuse`) and what Slurm would refuse to this person; unknown rights refuse
nothing. Both come from a reading that may be minutes old; Slurm decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from collectors.model import Cluster, Job, Rights, Row

from .action import Action, rows_of

#: Most rows that are checked for a key. For more, only the gate checks them: a possible key is never shown as refused.
_MAX_ROWS_CHECKED = 20_000

#: Level of rights to the kinds of targets that it may change.
_SUFFICE = {
    **dict.fromkeys(
        ("root", "SlurmUser", "Administrator"), frozenset({"node", "job", "partition", "reservation", "user"})
    ),
    "Operator": frozenset({"job", "reservation", "user"}),
}


def key_refusal(action: Action, cluster: Cluster, names: Sequence[str]) -> str | None:
    """Why the key of an action is grey with these targets selected; None when it applies to at least one of them."""
    why = rights_refusal(action, cluster.rights)
    if why is not None:
        return why
    if action.kind == "user":
        return None  # the user is typed, and read by name
    rows = rows_of(action, cluster)
    found = [rows[name] for name in names if name in rows]
    if not found:
        return f"no {action.kind} is under the cursor"
    for row in found[:_MAX_ROWS_CHECKED]:
        why = target_refusal(action, cluster, row)
        if why is None:
            return None
    return why if len(found) <= _MAX_ROWS_CHECKED else None


def target_refusal(action: Action, cluster: Cluster, row: Row) -> str | None:
    """Why this target is skipped; None where the action applies."""
    return action.refuse(cluster, row) or rights_refusal(action, cluster.rights, row)


def rights_refusal(action: Action, rights: Rights | None, row: Row | None = None) -> str | None:
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

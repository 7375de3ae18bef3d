"""Messages to the users of jobs: one for each user, sent through one of the jobs, which names the others. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from collectors.model import Cluster, Job, Row
from collectors.nodeset import expand, fold
from collectors.nodestate import UNAVAILABLE
from console.actions.options import Options

#: Placeholder in a message: replaced by the jobs of the user who gets it.
JOBS_FIELD = "{jobs}"
#: Most jobs that a message names; the rest are counted.
_NAMED = 8
#: Most nodes that a draft names with their reasons.
_NODES = 3


def one_per_user(
    rows: Mapping[str, Row], options: Options, _: Cluster
) -> tuple[dict[str, Row], Options, dict[str, str]]:
    """The first job of each user, the messages, and each other job with the job whose message covers it."""
    by_user: dict[str, list[str]] = {}
    for target, row in rows.items():
        assert isinstance(row, Job)
        by_user.setdefault(row.user, []).append(target)
    chosen: dict[str, Row] = {}
    values: dict[str, str] = {}
    rest: dict[str, str] = {}
    for targets in by_user.values():
        first, *others = targets
        chosen[first] = rows[first]
        rest |= dict.fromkeys(others, f"its user gets the message through {first}")
        if options.value is not None:
            values[first] = options.value.replace(JOBS_FIELD, _listed(targets))
    return chosen, msgspec.structs.replace(options, values=values or options.values), rest


def _listed(targets: Sequence[str]) -> str:
    more = f" and {len(targets) - _NAMED:,} more" if len(targets) > _NAMED else ""
    return ", ".join(targets[:_NAMED]) + more


def draft(cluster: Cluster, jobs: Sequence[str]) -> str:
    """A draft of the message: which nodes of the jobs go out, and why. `{jobs}` is filled in for each user."""
    nodes = [
        cluster.nodes[name]
        for job in jobs
        if (row := cluster.jobs.get(job)) is not None
        for name in expand(row.nodes or "")
        if name in cluster.nodes
    ]
    out = list(dict.fromkeys(node for node in nodes if node.display in UNAVAILABLE))
    if not out:
        return f"your jobs {JOBS_FIELD}: "
    why = f" ({out[0].reason})" if len(out) == 1 and out[0].reason else ""
    more = f" and {len(out) - _NODES:,} more" if len(out) > _NODES else ""
    names = fold(node.name for node in out[:_NODES]) + more
    return f"{names} {'goes' if len(out) == 1 else 'go'} down for repair{why}; your jobs {JOBS_FIELD} are on it"

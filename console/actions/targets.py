"""Parses the typed targets of an action into explicit names. Pure.

Nodes and jobs are given by name, by a short form (`@rack:R07`, `@loop:cdu-2`), or by a filter as in `/` (`rack=R07 &
state=idle`, `user=alice state=pending`). All are expanded here, once: the preview shows names and only names are sent.
Never `scancel -u`, and never an expression that Slurm would expand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from collectors.model import Cluster
from collectors.nodeset import expand, natural_key
from collectors.nodestate import DISPLAYS
from console.fields.filter_fields import FIELDS
from console.fields.job_fields import JOB_STATE_WORDS, JOB_STATES
from console.fields.node_fields import NODE_BASES, NODE_STATES
from console.filters.language import (
    PLACES,
    Filter,
    begins_with_filter,
    compile_filter,
    split_filter,
    unknown_values,
    unread_fields,
)
from console.health import cooling_loops, hidden_jobs
from console.runtime.errors import FilterError

from .action import Action, Kind, rows_of

_BRACKETS = re.compile(r"\[[0-9,/\- ]*\]")
_SIGNS = re.compile(r"[&|!=~<>()]|\bin\s*\(", re.IGNORECASE)
_WIDE = tuple(PLACES)
#: Fields that name a job or its owner. A filter by place without one could miss jobs hidden from this user.
_WHOSE = frozenset({"user", "account", "id"})
#: Words that describe nodes but are also common in drain reasons.
_REASONS = frozenset({"down", "failed", "invalid", "unknown", "maintenance", "reserved", "blocked"})


def is_filter(word: str) -> bool:
    """True for a word that selects rows by a property and does not name them."""
    return _SIGNS.search(_BRACKETS.sub("", word)) is not None


def split_line(kind: Kind, text: str) -> tuple[list[str], str]:
    """Split a line into the targets at its start and the rest (a reason, a value). Raises ValueError.

    The targets are one word, a filter up to the first plain word that is not joined to it, or a text in quotes.
    """
    if kind in {"node", "job"}:
        if text[:1] in {'"', "'"}:
            end = text.find(text[0], 1)
            if end < 0:
                raise ValueError("this quote is not closed")
            return [text[1:end].strip()], text[end + 1 :].strip()
        rows: Literal["node", "job"] = "job" if kind == "job" else "node"
        if begins_with_filter(text, rows):
            found, said = split_filter(text, rows)
            return [found], said
    first, *more = text.split(maxsplit=1)
    return [first], more[0].strip() if more else ""


def resolve_nodes(word: str, cluster: Cluster) -> tuple[str, ...]:
    """The typed nodes by name: a node set, or all nodes of racks or cooling loops (`@rack:R[07-10]`, `@loop:cdu-2`).

    Raises ValueError. Names that the cluster does not know are kept: the gate refuses them by name.
    """
    if word.startswith("@loop:"):
        of_loop = cooling_loops.racks_by_loop(cluster)
        names = expand(word.removeprefix("@loop:"))
        strange = [name for name in names if name not in of_loop]
        if not names or strange:
            known = ", ".join(of_loop) or "none"
            raise ValueError(f"no cooling loop {strange[0] if strange else ''} is known; there is {known}")
        racks: Sequence[str] = list(dict.fromkeys(rack for name in names for rack in of_loop[name]))
    elif word.startswith("@rack:"):
        racks = expand(word.removeprefix("@rack:"))
        if not racks:
            raise ValueError(f"{word} names no rack: @rack:R07 does")
    else:
        names = expand(word)
        rack = next((one for one in names if one in cluster.racks and one not in cluster.nodes), None)
        if rack is not None:
            raise ValueError(f"no node is called {rack}; the nodes of the rack are @rack:{rack}")
        return names
    unknown = [rack for rack in racks if not cluster.racks.get(rack)]
    if unknown:
        raise ValueError(f"no rack {unknown[0]} is known")
    return tuple(dict.fromkeys(node for rack in racks for node in cluster.racks[rack]))


def resolve_jobs(words: Sequence[str], cluster: Cluster, now: float | None = None) -> tuple[str, ...]:
    """The typed jobs by id: ids, or a filter: `user=alice nodes=gpu0412` selects Alice's jobs on that node.

    Raises ValueError, also where no job matches.
    """
    if any(is_filter(word) or word.startswith(_WIDE) for word in words):
        return resolve_filter("job", words, cluster, now)
    return tuple(dict.fromkeys(job for word in words for job in _named(word, cluster)))


def resolve_filter(
    kind: Literal["node", "job"], words: Sequence[str], cluster: Cluster, now: float | None = None
) -> tuple[str, ...]:
    """The names of the rows that a filter selects in the list of its kind. Raises ValueError, also where it selects
    none."""
    if words and not is_filter(words[0]) and not words[0].startswith(_WIDE) and len(words) > 1:
        joined = is_filter(words[1]) and words[1][:1] in {"&", "|"}
        if not joined:
            text = " & ".join(words)
            raise ValueError(f"give {kind}s by name or by a filter, not both; of these names alone: {text}")
    text = joined_filter(words, kind)
    found = compile_filter(text, kind)
    _refuse_unclear(found, cluster)
    rows: Mapping[str, Any] = cluster.nodes if kind == "node" else cluster.jobs
    names = [name for name, row in rows.items() if found.matches(row, cluster, now)]
    if not names:
        raise ValueError(f"no {kind} matches {text}")
    return tuple(sorted(names, key=natural_key))


def joined_filter(words: Sequence[str], kind: Literal["node", "job"]) -> str:
    """Words that select rows, joined to one filter: all must hold. Several places are combined, as names are."""
    if all(word.startswith(_WIDE) and not is_filter(word) for word in words):
        return " | ".join(words)
    return " ".join(f"({word})" if len(words) > 1 and "|" in word and _whole(word, kind) else word for word in words)


def _whole(word: str, kind: Literal["node", "job"]) -> bool:
    try:
        compile_filter(word, kind)
    except FilterError:
        return False
    return True


def needed_facts(kind: Kind, words: Sequence[str]) -> frozenset[str]:
    """Fields of the Cluster needed to find the targets, besides their own rows; none for an invalid filter."""
    found = {"cooling"} if any("@loop:" in word for word in words) else set()
    if kind in {"node", "job"} and any(is_filter(word) for word in words):
        rows: Literal["node", "job"] = "job" if kind == "job" else "node"
        try:
            asked = compile_filter(joined_filter(words, rows), rows).fields
        except FilterError:
            return frozenset(found)
        found |= {field.facts for field in FIELDS[rows] if field.name in asked and field.facts}
    return frozenset(found)


def _refuse_unclear(found: Filter, cluster: Cluster) -> None:
    """Raise ValueError where a filter is ambiguous, or where it is unknown whether its matches are complete."""
    if f"{found.kind}s" not in cluster.known:
        raise ValueError(f"which {found.kind}s there are is not known: they were not read")
    if unread := unread_fields(found, cluster):
        raise ValueError(unread[0])
    if found.stray_comma:
        # A stray comma would select the jobs for which Slurm reports no account.
        raise ValueError(f"{found.stray_comma} names nothing next to a comma")
    strange = unknown_values(found, cluster)
    if strange:
        raise ValueError("; ".join(strange))
    if found.places and (found.has_or or found.fields.isdisjoint(_WHOSE)):
        near = [
            name for name, node in cluster.nodes.items()
            if any(place(node, cluster, cluster.at) for place in found.places)
        ]  # fmt: skip
        if hidden := hidden_jobs.nodes_with_hidden_jobs(cluster, near):
            # A partial list would silently leave out jobs of other users.
            raise ValueError(
                f"whose jobs is {hidden_jobs.hidden_jobs_text(hidden)}; "
                "say whose as well (user=alice), or name their ids"
            )


def resolve(kind: Kind, words: Sequence[str], cluster: Cluster, now: float | None = None) -> tuple[str, ...]:
    """All typed targets by name. Raises ValueError. Ages in a filter are relative to `now` (epoch), or to the newest
    reading.

    Names that the cluster does not know are kept: the gate refuses them by name.
    """
    match kind:
        case "job":
            return resolve_jobs(words, cluster, now)
        case "node":
            # Several places in one text are a filter, as in `/`: all of them must hold.
            if any(is_filter(word) or (word.startswith(_WIDE) and " " in word.strip()) for word in words):
                return resolve_filter("node", words, cluster, now)
            return tuple(dict.fromkeys(node for word in words for node in resolve_nodes(word, cluster)))
        case "alert":
            # An alert is also accepted by its name, since its fingerprint is not shown.
            found = [[one.id for one in cluster.alerts.values() if one.name == word] or [word] for word in words]
            return tuple(dict.fromkeys(one for some in found for one in some))
    if wide := next((word for word in words if is_filter(word)), None):
        raise ValueError(f"{kind}s are given by name, not by a filter: {wide}")
    each = words if kind == "silence" else [one for word in words for one in word.split(",") if one]
    return tuple(dict.fromkeys(each))


def check_no_targets_in(action: Action, first: str, words: Sequence[str], cluster: Cluster) -> None:
    """Raise ValueError where the words after the targets are targets too and would be taken for the reason: a space in
    place of a comma, or another word of the filter. A value may be the number of a job."""
    if not words or action.value is not None:
        return
    if is_filter(first) or first.startswith(_WIDE):
        _refuse_narrower(action, first, words, cluster)
    word = words[0].strip(",")
    known = {"node": cluster.nodes, "job": cluster.jobs}.get(action.kind)
    if not word or known is None or is_filter(word):
        return
    try:
        names = resolve(action.kind, [word], cluster)
    except ValueError:
        return
    if names and all(name in known for name in names):
        both = f"{first.strip(',')},{word}"
        raise ValueError(f"{word} is a {action.kind} too: write {both} without a blank, then the reason")


def _refuse_narrower(action: Action, first: str, words: Sequence[str], cluster: Cluster) -> None:
    """Raise ValueError where the words after a filter would select fewer rows as part of it: taken for the reason, the
    action would affect more than was meant."""
    said = " ".join(words)
    which = f"({first})" if "|" in first else first
    try:
        found = compile_filter(f"{which} {said}", "job" if action.kind == "job" else "node")
    except FilterError:
        if not _unfinished(said):
            return
        raise ValueError(f"{said} is half a filter: finish it, or write '{first}' {said} for a reason") from None
    states = _STATES[action.kind] - (_REASONS if action.needs_reason else frozenset())
    rows = rows_of(action, cluster)
    acts = (
        row for row in rows.values()
        if found.matches(row, cluster) and action.refuse(cluster, row) is None
    )  # fmt: skip
    if (
        all(word.lower().strip(",") in states for word in words)
        or _names_something(words[0].strip(","), cluster)
        or next(acts, None) is not None
    ):
        raise ValueError(
            f"is {said} the reason, or does it say which of them? {which} & {said} chooses by it; "
            f"'{first}' {said} makes it the reason"
        )


def _unfinished(said: str) -> bool:
    """Whether the words end like an incomplete filter: `pending &`, `idle (`."""
    return said[-1:] in set("&|!=~<>(")


def _names_something(word: str, cluster: Cluster) -> bool:
    """Whether a word is a value that a filter can select: a node, rack, partition, user, or pending reason. It counts
    even where no row has it now, since a reader would take it for part of the filter."""
    if word in cluster.nodes or word in cluster.racks or word in cluster.partitions or word in cluster.reservations:
        return True
    return any(word in {job.user, job.account, job.qos, job.reason} for job in cluster.jobs.values())


_STATES = {
    "node": frozenset(DISPLAYS) | NODE_BASES | NODE_STATES.keys(),
    "job": JOB_STATE_WORDS | JOB_STATES.keys(),
}


def _named(word: str, cluster: Cluster) -> Sequence[str]:
    # A component of a heterogeneous job (101+0) is not a node set.
    names = word.split(",") if "+" in word else expand(word)
    return [job for name in names for job in _tasks(cluster, name)]


def _tasks(cluster: Cluster, job: str) -> Sequence[str]:
    """`101`, where only its array tasks or components are listed: all of these."""
    if job in cluster.jobs or not job.isdigit():
        return [job]
    return sorted((one for one in cluster.jobs if one.startswith((f"{job}_", f"{job}+"))), key=natural_key) or [job]

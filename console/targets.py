"""What a person types for the targets of an action, and the explicit names it stands for. Pure.

Whatever is typed wide (`@rack:R07`, `user=alice`) is taken apart here, once: the preview shows names, and names are all
that is ever sent. Never `scancel -u`, and never a word that Slurm would take apart by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from collectors.model import Cluster
from collectors.nodeset import expand, natural_key
from console import loops, unseen
from console.action import Action, Kind

#: Whose jobs: `user=alice`, `account=ml`, `nodes=gpu[001-004]`.
WHOSE = ("user", "account", "nodes")
_WIDE = ("@rack:", "@loop:")


def is_whose(word: str) -> bool:
    """True for a word that says whose jobs are meant, not which."""
    return word.startswith((*_WIDE, *(f"{one}=" for one in WHOSE)))


def nodes_of(word: str, cluster: Cluster) -> tuple[str, ...]:
    """The nodes that were typed, each by its own name: a node set, or all of some racks or of cooling loops:
    `@rack:R[07-10]`, `@loop:cdu-2`.

    Raises ValueError. Names that the cluster does not know are kept: the gate refuses them by name.
    """
    if word.startswith("@loop:"):
        of_loop = loops.racks_of(cluster)
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


def jobs_of(words: Sequence[str], cluster: Cluster) -> tuple[str, ...]:
    """The jobs that were typed, each by its own id: ids, or whose they are. Of several such words about different
    things all must hold: `user=alice nodes=gpu0412` are Alice's jobs on that node.

    Raises ValueError, also where nobody's job is meant: nothing is no target.
    """
    whose = [word for word in words if is_whose(word)]
    if not whose:
        return tuple(dict.fromkeys(job for word in words for job in _named(word, cluster)))
    if len(whose) < len(words):
        raise ValueError("name jobs by their ids or say whose they are, not both")
    if "jobs" not in cluster.known:
        raise ValueError("whose jobs there are is not known: the queue was not read")
    found: dict[str, set[str]] = {}
    near: list[str] = []
    for word in whose:
        key, _, value = word.partition("=") if not word.startswith("@") else ("nodes", "", word)
        found.setdefault(key, set()).update(_of(key, value, cluster))
        near += nodes_of(value, cluster) if key == "nodes" else ()
    if found.keys() == {"nodes"} and (hidden := unseen.on(cluster, near)):
        # Some of them for all of them would pass over people without a word.
        raise ValueError(f"whose jobs is {unseen.words(hidden)}; say whose as well (user=alice), or name their ids")
    both = set.intersection(*found.values())
    if not both:
        raise ValueError(f"no job in the queue is of {' and '.join(whose)}")
    return tuple(sorted(both, key=natural_key))


def offered(text: str, cluster: Cluster) -> Iterable[str]:
    """What the words for jobs may become: ids, or whose."""
    key, equals, _ = text.partition("=")
    if not equals:
        return chain(cluster.jobs, (f"{one}=" for one in WHOSE))
    if key == "nodes":
        return (f"nodes={name}" for name in cluster.nodes)
    found = {job.user if key == "user" else job.account for job in cluster.jobs.values()}
    return (f"{key}={one}" for one in sorted(filter(None, found)))


def named(kind: Kind, words: Sequence[str], cluster: Cluster) -> tuple[str, ...]:
    """The targets that were typed, in full. Raises ValueError.

    Names that the cluster does not know are kept: the gate refuses them by name.
    """
    match kind:
        case "job":
            return jobs_of(words, cluster)
        case "node":
            return tuple(dict.fromkeys(node for word in words for node in nodes_of(word, cluster)))
        case "alert":
            # An alert goes by its name too: people do not know its fingerprint.
            found = [[one.id for one in cluster.alerts.values() if one.name == word] or [word] for word in words]
            return tuple(dict.fromkeys(one for some in found for one in some))
    each = words if kind == "silence" else [one for word in words for one in word.split(",") if one]
    return tuple(dict.fromkeys(each))


def taken(kind: Kind, words: Sequence[str]) -> int:
    """How many of the words of a command are its targets: one, or all that say whose jobs are meant."""
    count = 0
    while kind == "job" and count < len(words) and is_whose(words[count]):
        count += 1
    return count or min(1, len(words))


def refuse_more(action: Action, first: str, words: Sequence[str], cluster: Cluster) -> None:
    """Raises ValueError where the word behind the targets is a target itself and would be taken for the reason: a blank
    stood where a comma was meant. A value may well be the number of a job."""
    word = words[0].strip(",") if words and action.value is None and action.id != "priority" else ""
    known = {"node": cluster.nodes, "job": cluster.jobs}.get(action.kind)
    if not word or known is None:
        return
    try:
        names = named(action.kind, [word], cluster)
    except ValueError:
        return
    if names and all(name in known for name in names):
        both = f"{first.strip(',')},{word}"
        raise ValueError(f"{word} is a {action.kind} too: write {both} without a blank, then the reason")


def _of(key: str, value: str, cluster: Cluster) -> set[str]:
    if not value:
        raise ValueError(f"{key}= names nobody")
    if key == "nodes":
        names = nodes_of(value, cluster)
        strange = [name for name in names if name not in cluster.nodes]
        if strange:
            raise ValueError(f"unknown node {strange[0]}")
        return {job for name in names for job in cluster.jobs_on.get(name, ())}
    wanted = frozenset(value.split(","))
    if "" in wanted:
        # A comma too many would mean the jobs that Slurm names no account of.
        raise ValueError(f"{key}={value} names nobody between two commas")
    return {job.id for job in cluster.jobs.values() if (job.user if key == "user" else job.account) in wanted}


def _named(word: str, cluster: Cluster) -> Sequence[str]:
    # A component of a heterogeneous job, 101+0, is no node set.
    names = word.split(",") if "+" in word else expand(word)
    return [job for name in names for job in _tasks(cluster, name)]


def _tasks(cluster: Cluster, job: str) -> Sequence[str]:
    """`101` where only its array tasks or components are listed: all of them."""
    if job in cluster.jobs or not job.isdigit():
        return [job]
    return sorted((one for one in cluster.jobs if one.startswith((f"{job}_", f"{job}+"))), key=natural_key) or [job]

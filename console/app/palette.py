"""Search of the command palette. `found` ranks entries; `named` searches the cluster for nodes, racks and jobs, too
slow for the event loop at 100,000 jobs. Both are pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from msgspec import Struct

from collectors.model import Cluster
from widgets.units import plural

#: Names of each kind that are offered.
MOST = 8
_WORD_START = 8
_RUN = 4
#: Bonus of a recent choice over an equally good match.
_RECENT = 6
_SYNONYM = 64
"""Bonus of another word that is typed whole."""
#: Characters from which the description is searched.
_TOLD = 3


class PaletteEntry(Struct, frozen=True, eq=False):
    """One line of the palette."""

    name: str
    description: str
    run: Callable[[], object]
    key: str = ""
    """The key with the same effect."""
    refused: bool = False
    synonyms: tuple[str, ...] = ()
    """Other words for it, in lower case."""
    does: str = ""
    """What it does, where the description says something else."""


def score(query: str, name: str) -> int | None:
    """How well a name matches the query; None when a letter is missing. Words may be in any order."""
    text, total = name.lower(), 0
    for word in query.lower().split():
        one = _word_score(word, text)
        if one is None:
            return None
        total += one
    # Of two equal matches the shorter name wins.
    return total * 8 - min(len(text), 60)


def _word_score(word: str, text: str) -> int | None:
    at = text.find(word)
    if at >= 0:
        begins = at == 0 or not text[at - 1].isalnum()
        return len(word) * _RUN + (_WORD_START * 2 if begins else _WORD_START)
    got, at, before = 0, 0, -2
    for letter in word:
        at = text.find(letter, before + 1 if before >= 0 else 0)
        if at < 0:
            return None
        got += _RUN if at == before + 1 else 0
        got += 2 if at == 0 or not text[at - 1].isalnum() else 0
        before = at
    return got


def _points(query: str, entry: PaletteEntry) -> int | None:
    """How well an entry matches: by its name, else by one of its other words, else by what it does."""
    named, low = score(query, entry.name), query.strip().lower()
    found = [] if named is None else [named]
    found += [len(low) * _RUN * 8 + (_SYNONYM if one == low else 0) for one in entry.synonyms if one.startswith(low)]
    if not found and len(low) >= _TOLD:
        text = f" {' '.join(entry.synonyms)} {(entry.does or entry.description).lower()}"
        if all(f" {word}" in text for word in low.split()):
            found.append(len(low))
    return max(found, default=None)


def found(every: Iterable[PaletteEntry], query: str, recent: Sequence[str]) -> list[PaletteEntry]:
    """The matching entries, best first: recent choices before equal matches, refused ones after them."""
    ages = {name: age for age, name in enumerate(reversed(recent))}
    if not query.strip():
        listed = list(every)
        return sorted(listed, key=lambda one: ages.get(one.name, len(ages)))
    fits = []
    for one in every:
        points = _points(query, one)
        if points is not None:
            age = ages.get(one.name)
            extra = 0 if age is None else max(1, _RECENT * 8 - age)
            fits.append((points + extra - 8 * one.refused, one))
    fits.sort(key=lambda pair: -pair[0])
    return [one for _, one in fits]


NamedRow = tuple[str, str, str]
"""Kind (node, rack or job), name, description."""


def named(cluster: Cluster, query: str) -> list[NamedRow]:
    """Nodes, racks and jobs that match, best first, a few of each. Takes some 30 ms at 100,000 jobs."""
    wanted = query.strip()
    if not wanted or " " in wanted:
        return []
    low = wanted.lower()
    nodes = [("node", name, _of_node(cluster, name)) for name in _best_names(cluster.nodes, low)]
    racks = [
        ("rack", name, f"{plural(len(cluster.racks[name]), 'node')}") for name in _best_names(cluster.racks, low)[:4]
    ]
    ids = islice((job for job in cluster.jobs if job.startswith(wanted)), MOST)
    jobs = [("job", job, _of_job(cluster, job)) for job in ids]
    if len(jobs) < MOST and len(low) >= 3:
        by_name = (
            job.id
            for job in cluster.jobs.values()
            if (low in job.name.lower() or job.user == wanted) and not job.id.startswith(wanted)
        )
        jobs += [("job", job, _of_job(cluster, job)) for job in islice(by_name, MOST - len(jobs))]
    return [*nodes, *racks, *jobs]


def _best_names(names: Iterable[str], low: str) -> list[str]:
    """Names that start with the text, then those that contain it, then those that have its letters in order."""
    begin: list[str] = []
    hold: list[str] = []
    letters: list[str] = []
    loose = re.compile(".*?".join(map(re.escape, low[:20])))
    for name in names:
        text = name.lower()
        if text.startswith(low):
            begin.append(name)
            if len(begin) >= MOST:
                break
        elif low in text:
            hold.append(name)
        elif len(letters) < MOST and len(low) > 2 and loose.search(text):
            letters.append(name)
    return [*begin, *hold, *letters][:MOST]


def _of_node(cluster: Cluster, name: str) -> str:
    node = cluster.nodes[name]
    return node.display + (f"  {node.rack}" if node.rack else "")


def _of_job(cluster: Cluster, key: str) -> str:
    job = cluster.jobs[key]
    return f"{job.state.lower()}  {job.user}  {job.name}"

"""The entries of the command palette: screens, actions, keys, `:` commands, themes, saved filters; nodes, racks and
jobs by name.

An action that is refused now says why. `found` ranks the entries; `named` searches the cluster, too slow for the event
loop at 100,000 jobs. Both are pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

from collectors.model import Cluster
from console.actions.registry import ACTIONS, NAVIGATION
from console.config.commands import OTHERS, SCREENS
from widgets.units import plural

if TYPE_CHECKING:
    from console.screens.layout.app_port import ConsoleApp

#: Names of each kind that are offered.
MOST = 8
#: Navigation keys that make sense as palette entries.
_KEYS_OFFERED = ("help", "quit", "filter", "command", "copy", "copy_rows", "measure", "zoom", "charts", "ssh", "beside",
         "refresh", "redraw", "undo", "previous", "log", "look_back", "suspend_process")  # fmt: skip
#: Those of them that the screen handles, not the app.
_SCREEN_KEYS = frozenset({"filter", "measure", "zoom", "charts", "ssh", "beside"})
_WORD_START = 8
_RUN = 4
#: Bonus of a recent choice over an equally good match.
_RECENT = 6


class PaletteEntry(Struct, frozen=True, eq=False):
    """One line of the palette."""

    name: str
    description: str
    run: Callable[[], object]
    key: str = ""
    """The key with the same effect."""
    refused: bool = False


def entries(app: ConsoleApp) -> Iterator[PaletteEntry]:
    """Every entry that does not depend on what is typed. `run` is called after the palette has closed."""
    keys = app.keymap
    for screen in SCREENS:
        yield PaletteEntry(f"Show {screen}", "screen", partial(app.action_go, screen), keys.first(screen))
    for action in ACTIONS:
        why = app.acting.refusal(action.id)
        description = action.help if why is None else f"not now: {why}"
        run = partial(app.acting.act, action.id)
        name = f"{action.label.capitalize()} {action.kind}"
        yield PaletteEntry(name, description, run, keys.first(action.id), why is not None)
    for key in NAVIGATION:
        if key.id in _KEYS_OFFERED:
            run_it = partial(_run_key, app, key.id)
            yield PaletteEntry(key.help[0].upper() + key.help[1:], "key", run_it, keys.first(key.id))
    for verb, help in OTHERS.items():
        yield PaletteEntry(f":{verb}", help, partial(app.open_command_line, f"{verb} "))
    for one in app.filters.known.values():
        for screen in one.on:
            yield PaletteEntry(f"Filter {screen} @{one.name}", one.text, partial(app.action_go, screen, f"@{one.name}"))
    for name in app.sites if len(app.sites) > 1 else ():
        yield PaletteEntry(f"Cluster {name}", "show it", partial(app.go_to_cluster, name))
    for name, look in app.looks.known.items():
        yield PaletteEntry(f"Theme {name}", look.says, partial(app.set_theme, name))


async def _run_key(app: ConsoleApp, name: str) -> None:
    await app.run_action(name, app.screen if name in _SCREEN_KEYS else app)


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


def found(every: Iterable[PaletteEntry], query: str, recent: Sequence[str]) -> list[PaletteEntry]:
    """The matching entries, best first: recent choices before equal matches, refused ones after them."""
    ages = {name: age for age, name in enumerate(reversed(recent))}
    if not query.strip():
        listed = list(every)
        return sorted(listed, key=lambda one: ages.get(one.name, len(ages)))
    fits = []
    for one in every:
        points = score(query, one.name)
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

"""`:` commands: parsing, completion and help. Pure; the app executes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec import Struct

from collectors.model import Cluster
from console.actions.registry import ACTIONS, BY_ID
from console.actions.screen_rows import SCREEN_ROWS
from console.filters.completion import LineCompletions
from console.filters.completion import matching_names as names_of

#: Screens with all their names; the first one is canonical.
SCREENS: dict[str, tuple[str, ...]] = {row.id: (row.id, *row.names) for row in SCREEN_ROWS}
#: Commands that are neither a screen nor an action, with their arguments and help.
OTHERS = {
    "node": "NAME: inspect a node",
    "job": "ID: inspect a job, one that has ended too",
    "log": "[ID]: the end of what a job wrote, where you may read it",
    "filter": "TEXT: filter this list; @NAME: by a saved filter",
    "save": "NAME: save the filter of this list",
    "forget": "NAME: drop a saved filter",
    "theme": "NAME: other colours",
    "cluster": "NAME: show another cluster; filters, marks and the cursor of this one stay",
    "close": "NAME: read another cluster no more",
    "refresh": "read every source again now",
    "at": "MOMENT: in a recording, go there (03:12, -15m, 2026-11-24T03:12:07+01:00)",
    "next": "[alert|action|failure]: in a recording, go to the next one",
    "undo": "take your last action back, where that can be",
    "export": "csv|json|md|svg|text [FILE|clipboard]: the table or the screen; export! writes over FILE",
    "progress": "how far it is what goes out in batches or waves, to pause and to stop it",
    "report": "[12h] [FILE|clipboard]: what broke, what was done, what is open, in Markdown",
    "common": "[NODES]: what the marked nodes have in common that most others have not",
    "vendor": "[FILE|clipboard]: a vendor's ticket of this node: serial, slots, firmware, XIDs, timeline, jobs",
    "help": "all keys",
    "quit": "leave",
}
#: Formats of `export`.
FORMATS = ("csv", "json", "md", "svg", "text")
#: Commands that write a file, and with a `!` overwrite one.
_WRITE = frozenset({"export", "report", "vendor"})
_MOST = 50


_JOB = re.compile(r"[0-9]{1,10}(?:[_+][0-9]{1,10})?")


def is_job(text: str) -> bool:
    """Whether this can be the id of a job, an array task, or a component of a heterogeneous job."""
    return _JOB.fullmatch(text) is not None


class CommandError(ValueError):
    """A command that cannot be parsed; the message says what would be valid."""


class Command(Struct, frozen=True):
    """A parsed command: `verb` is a screen, an action or one of OTHERS; `words` are its arguments."""

    verb: str
    words: tuple[str, ...] = ()
    rest: str = ""
    """Everything after the verb, as typed."""
    over: bool = False
    """Whether it may overwrite an existing file (`export!`)."""


def parse(text: str, leaves: Collection[str] = ()) -> Command:
    """Parse one line; `leaves` are words that mean `quit` in the current keymap. Raises CommandError."""
    head, *more = text.strip().lstrip(":").split(maxsplit=1) or [""]
    rest = more[0].strip() if more else ""
    if not head:
        raise CommandError("type a command, as in: nodes state=drained")
    if head in leaves and not rest:
        return Command("quit")
    word, over = head.lower(), len(head) > 1 and head.endswith("!")
    word = word[:-1] if over else word
    verb = next((screen for screen, names in SCREENS.items() if word in names), None)
    if verb is None:
        known = [*OTHERS, *BY_ID]
        found = [name for name in known if name == word] or [name for name in known if name.startswith(word)]
        if not found:
            import difflib  # only needed after a typo, so not imported at the start

            names = [name for names in SCREENS.values() for name in names]
            near = " or ".join(difflib.get_close_matches(word, [*names, *known], 2, 0.6))
            help = f"did you mean {near}?" if near else "Ctrl+P finds every command and key by what it does"
            raise CommandError(f"no command {word}; {help}")
        if len(found) != 1:
            raise CommandError(f"which of {', '.join(found)}?")
        verb = found[0]
    if verb in {"node", "job", "theme", "at", "cluster", "close", "save", "forget"} and not rest:
        raise CommandError(f"{verb} {OTHERS[verb]}")
    if over and verb not in _WRITE:
        raise CommandError(f"only {' and '.join(sorted(_WRITE))} take a !: they write over a file with it")
    return Command(verb, tuple(rest.split()), rest, over)


def completer(
    cluster: Callable[[], Cluster], themes: Iterable[str], offers: LineCompletions | None = None
) -> Callable[[str], Sequence[str]]:
    """The completions of a partly typed command, best first; `offers` completes filters."""
    names = tuple(themes)
    offers = offers or LineCompletions(cluster)

    def complete(text: str) -> Sequence[str]:
        head, space, rest = text.partition(" ")
        if not space:
            verbs = [*SCREENS, *OTHERS, *BY_ID]
            return [verb for verb in verbs if verb.startswith(head.lower())]
        now = cluster()
        rows: Iterable[str] = ()
        screen = next((screen for screen, words in SCREENS.items() if head.lower() in words), "")
        if screen or head == "filter":
            return [f"{head} {one}" for one in offers.filters(screen or offers.screen, rest)]
        if head == "theme":
            rows = names
        elif head == "forget":
            rows = offers.saved_names()
        elif head in {"cluster", "close"}:
            rows = offers.clusters
        elif head in {"export", "export!"}:
            form, more, _ = rest.partition(" ")
            rows = [f"{form} clipboard"] if more else FORMATS
        elif head in BY_ID and BY_ID[head].kind in {"node", "job"}:
            return [f"{head} {one}" for one in offers.targets(BY_ID[head].kind, rest)]
        elif head == "node":
            rows = names_of(now.nodes, rest)
        elif head in BY_ID and BY_ID[head].kind in {"partition", "reservation"}:
            rows = now.partitions if BY_ID[head].kind == "partition" else now.reservations
        elif head in BY_ID and BY_ID[head].kind == "user":
            rows = sorted({job.user for job in now.jobs.values() if job.user.startswith(rest)})
        elif head in {"job", "log"} or head in BY_ID:
            rows = now.jobs
        found = []
        for name in rows:
            if name.startswith(rest):
                found.append(f"{head} {name}")
                if len(found) >= _MOST:
                    break
        return found

    return complete


def command_help() -> list[tuple[str, str]]:
    """Every command with its help, for the help screen."""
    screens = [
        (":" + ", :".join(names), f"the screen {screen}; words after it filter") for screen, names in SCREENS.items()
    ]
    others = [(f":{name}", text) for name, text in OTHERS.items()]
    acts = [
        (f":{one.id} TARGETS" + " VALUE" * (one.value is not None) + " REASON" * one.needs_reason, one.help)
        for one in ACTIONS
    ]
    return [*screens, *others, *acts]

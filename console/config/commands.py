"""`:` commands: parsing, completion and help. Pure; the app executes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.model import Cluster
from console.actions.registry import ACTIONS, BY_ID, NAVIGATION
from console.actions.screen_rows import SCREEN_ROWS
from console.actions.signature import examples, signature
from console.filters.completion import KINDS, LineCompletions
from console.filters.completion import matching_names as names_of

#: Screens with all their names; the first one is canonical.
SCREENS: dict[str, tuple[str, ...]] = {row.id: (row.id, *row.names) for row in SCREEN_ROWS}


class CommandRow(Struct, frozen=True):
    """A command that is neither a screen nor an action."""

    arguments: str
    """What is typed after it, in short; "" for nothing."""
    help: str
    synonyms: tuple[str, ...] = ()
    """Other words for it, in lower case, beside those of the key that has its name."""
    examples: tuple[str, ...] = ()
    needs: bool = False
    """Whether it is nothing without its arguments."""


#: Commands that are neither a screen nor an action, by name.
OTHERS: Mapping[str, CommandRow] = {
    "node": CommandRow("NAME", "inspect a node", ("scontrol show node",), ("node gpu0001",), needs=True),
    "job": CommandRow(
        "ID", "inspect a job, one that has ended too", ("scontrol show job", "sacct -j", "sacct", "why pending"),
        ("job 4711",), needs=True,
    ),
    "log": CommandRow("[ID]", "the end of what a job wrote, where you may read it", (), ("log 4711",)),
    "ssh": CommandRow("[NODE]", "a shell on the node, and back", (), ("ssh gpu0001",)),
    "filter": CommandRow("TEXT", "filter this list; @NAME: by a saved filter", (), ("filter state=drained",)),
    "save": CommandRow("NAME", "save the filter of this list", needs=True),
    "forget": CommandRow("NAME", "drop a saved filter", needs=True),
    "theme": CommandRow("NAME", "other colours", ("colours", "colors"), ("theme daylight",), needs=True),
    "cluster": CommandRow(
        "NAME", "show another cluster; filters, marks and the cursor of this one stay", ("switch cluster",), needs=True,
    ),
    "close": CommandRow("NAME", "read another cluster no more", needs=True),
    "refresh": CommandRow("", "read every source again now"),
    "at": CommandRow(
        "MOMENT", "in a recording, go there (03:12, -15m, 2026-11-24T03:12:07+01:00)", (), ("at -15m",), needs=True,
    ),
    "next": CommandRow("[alert|action|failure]", "in a recording, go to the next one"),
    "undo": CommandRow("", "take your last action back, where that can be"),
    "export": CommandRow(
        "csv|json|md|svg|text [FILE|clipboard]", "the table or the screen; export! writes over FILE",
        ("screenshot", "download"), ("export csv clipboard",),
    ),
    "progress": CommandRow("", "how far it is what goes out in batches or waves, to pause and to stop it"),
    "report": CommandRow("[12h] [FILE|clipboard]", "what broke, what was done, what is open, in Markdown"),
    "common": CommandRow("[NODES]", "what the marked nodes have in common that most others have not"),
    "vendor": CommandRow(
        "[FILE|clipboard]", "a vendor's ticket of this node: serial, slots, firmware, XIDs, timeline, jobs",
        ("support case", "nvidia-bug-report"),
    ),
    "help": CommandRow("", "all keys"),
    "quit": CommandRow("", "leave"),
}  # fmt: skip
#: The site's own commands that only read (`console.config.site_commands`), by name.
SITE_COMMANDS: dict[str, CommandRow] = {}
#: Formats of `export`.
FORMATS = ("csv", "json", "md", "svg", "text")
#: Commands that write a file, and with a `!` overwrite one.
_WRITE = frozenset({"export", "report", "vendor"})
_MOST = 50
#: Most entries that an unknown or unclear word is answered with.
_NEAREST = 3
_LEAST_LIKE = 0.6
"""How like a word must be to what was typed (`difflib`)."""
_PART = 0.9
"""How much one of several words counts."""
#: The screens that a filter can follow.
FILTERED = frozenset({*KINDS, "accounts", "journal"})
_KEYS = {key.id: key for key in NAVIGATION}


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


class Entry(Struct, frozen=True):
    """What may be typed after a `:`, whatever it is."""

    id: str
    signature: str
    help: str
    synonyms: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Its signature and what it does."""
        return f"{self.signature}  {self.help}"


def entries() -> dict[str, Entry]:
    """All that may be typed, by id: screens, commands, actions. Made anew, since plugins and sites add some."""
    found = {}
    for screen, names in SCREENS.items():
        key = _KEYS.get(screen)
        found[screen] = Entry(
            screen, f"{screen} [FILTER]" if screen in FILTERED else screen,
            f"the screen {screen}" if key is None or key.help.lower() == screen else key.help,
            (*names[1:], *(() if key is None else key.synonyms)),
            (f"{screen} state={'drained' if screen == 'nodes' else 'pending'}",) if screen in KINDS else (),
        )  # fmt: skip
    for name, row in {**OTHERS, **SITE_COMMANDS}.items():
        words = (*row.synonyms, *(_KEYS[name].synonyms if name in _KEYS else ()))
        found[name] = Entry(name, f"{name} {row.arguments}".rstrip(), row.help, words, row.examples)
    for action in ACTIONS:
        found[action.id] = Entry(action.id, signature(action), action.help, action.synonyms, examples(action))
    return found


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
    verb, rest = _verb(word, rest)
    if verb in OTHERS and OTHERS[verb].needs and not rest:
        raise CommandError(f"{verb} {OTHERS[verb].arguments}: {OTHERS[verb].help}")
    if over and verb not in _WRITE:
        raise CommandError(f"only {' and '.join(sorted(_WRITE))} take a !: they write over a file with it")
    return Command(verb, tuple(rest.split()), rest, over)


def _verb(word: str, rest: str) -> tuple[str, str]:
    """The id that the first words of a line mean, and what follows them. Raises CommandError.

    Words of several words come first ("power off" is not the screen power with a filter), then names, other words, and
    the beginnings of names."""
    every = entries()
    line = f"{word} {rest}"
    said = [
        one
        for entry in every.values()
        for one in entry.synonyms
        if " " in one and f"{line.lower()} ".startswith(f"{one} ")
    ]
    if said:
        word = max(said, key=len)
        rest = line[len(word) :].strip()
    else:
        if (screen := next((screen for screen, names in SCREENS.items() if word in names), None)) is not None:
            return screen, rest
        if word in every:
            return word, rest
    found = [entry for entry in every.values() if word in entry.synonyms]
    found = found or [entry for entry in every.values() if entry.id not in SCREENS and entry.id.startswith(word)]
    if len(found) == 1:
        return found[0].id, rest
    if found:
        which = f"which of {', '.join(one.id for one in found)}?"
        raise CommandError("\n  ".join((which, *(one.text for one in found if len(found) <= _NEAREST))))
    near = nearest(word, every.values())
    if not near:
        raise CommandError(f"no command {word}; Ctrl+P finds every command and key by what it does")
    raise CommandError("\n  ".join((f"no command {word}; nearest to it:", *(one.text for one in near))))


def nearest(word: str, every: Iterable[Entry]) -> list[Entry]:
    """The entries whose name, other words or help are most like this word, best first."""
    import difflib  # only needed after a typo, so not imported at the start

    likes: list[tuple[float, Entry]] = []
    for entry in every:
        like = max(difflib.SequenceMatcher(None, word, one).ratio() for one in (entry.id, *entry.synonyms))
        parts = {part for one in entry.synonyms for part in one.split()}
        like = max(like, *(_PART * difflib.SequenceMatcher(None, word, part).ratio() for part in parts), 0.0)
        if len(word) > 3 and any(part.startswith(word[:-1]) for part in re.findall(r"[a-z]+", entry.help.lower())):
            like = max(like, _LEAST_LIKE)
        if like >= _LEAST_LIKE:
            likes.append((like, entry))
    return [entry for _, entry in sorted(likes, key=lambda pair: -pair[0])[:_NEAREST]]


def hint(text: str) -> str:
    """For the line below a command that is being typed: its signature, an example, what it does; "" for none."""
    said = " ".join(text.lower().lstrip(":").split())
    head, _, rest = said.partition(" ")
    every = entries()
    entry = next((one for one in every.values() if rest and any(word.startswith(said) for word in one.synonyms)), None)
    if head and entry is None:
        try:
            entry = every[_verb(head, rest)[0]]
        except CommandError:
            begins = (one for one in every.values() if one.id.startswith(head))
            means = (one for one in every.values() if any(word.startswith(head) for word in one.synonyms))
            entry = next(begins, None) or next(means, None)
    if entry is None:
        return ""
    such = f"   e.g. {entry.examples[0]}" if entry.examples else ""
    return f"{entry.signature}{such}   {entry.help}"


def completer(
    cluster: Callable[[], Cluster], themes: Iterable[str], offers: LineCompletions | None = None
) -> Callable[[str], Sequence[str]]:
    """The completions of a partly typed command, best first; `offers` completes filters."""
    names = tuple(themes)
    offers = offers or LineCompletions(cluster)

    def complete(text: str) -> Sequence[str]:
        head, space, rest = text.partition(" ")
        if not space:
            every = entries()
            return _offers(head.lower(), [*every], every.values() if head else ())
        if words := _offers(text.lower(), (), entries().values()):
            return words
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
        elif head == "node" or (head in SITE_COMMANDS and SITE_COMMANDS[head].arguments == "[NODE]"):
            rows = names_of(now.nodes, rest)
        elif head in BY_ID and BY_ID[head].kind in {"partition", "reservation"}:
            rows = now.partitions if BY_ID[head].kind == "partition" else now.reservations
        elif head in BY_ID and BY_ID[head].kind == "user":
            rows = sorted({job.user for job in now.jobs.values() if job.user.startswith(rest)})
        elif head in {"job", "log"} or head in BY_ID or head in SITE_COMMANDS:
            rows = now.jobs
        found = []
        for name in rows:
            if name.startswith(rest):
                found.append(f"{head} {name}")
                if len(found) >= _MOST:
                    break
        return found

    return complete


def _offers(begun: str, names: Iterable[str], every: Iterable[Entry]) -> list[str]:
    """The names that begin so, then the other words of these entries that do."""
    words = (word for entry in every for word in entry.synonyms)
    return [*dict.fromkeys(word for word in (*names, *words) if word.startswith(begun))]


def command_help() -> list[tuple[str, str]]:
    """The signature of every command with its help, for the help screen."""
    return [(f":{entry.signature}", entry.help) for entry in entries().values()]

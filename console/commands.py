"""`:` commands: what can be typed, what it completes to, and what it means. Pure; the app carries it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from collectors.model import Cluster
from collectors.nodeset import natural_key
from console.actions import ACTIONS, BY_ID

#: Screens by every word people use for them; the first of each is its name.
SCREENS: dict[str, tuple[str, ...]] = {
    "overview": ("overview", "ov", "home"),
    "nodes": ("nodes", "no"),
    "jobs": ("jobs", "jo", "queue", "q"),
    "gpus": ("gpus", "gpu"),
    "power": ("power", "po"),
    "alerts": ("alerts", "al"),
    "inbox": ("inbox", "in", "drains"),
    "journal": ("journal", "jou"),
    "partitions": ("partitions", "parts", "pa", "reservations", "res"),
}
_OTHERS = {
    "node": "NAME: inspect a node",
    "job": "ID: inspect a job",
    "filter": "TEXT: filter this list",
    "theme": "NAME: other colours",
    "refresh": "read every source again now",
    "undo": "take your last action back, where that can be",
    "help": "all keys",
    "quit": "leave",
}
_MOST = 50


class CommandError(ValueError):
    """A command that means nothing; the text says what would."""


class Command(Struct, frozen=True):
    """What was typed: `verb` is a screen, an action or one of the others; `words` what followed."""

    verb: str
    words: tuple[str, ...] = ()
    rest: str = ""
    """Everything after the verb, as typed."""


def parse(text: str) -> Command:
    """Read one line. Raises CommandError."""
    head, *more = text.strip().lstrip(":").split(maxsplit=1) or [""]
    rest = more[0].strip() if more else ""
    if not head:
        raise CommandError("type a command, as in: nodes state=drained")
    word = head.lower()
    verb = next((screen for screen, names in SCREENS.items() if word in names), None)
    if verb is None:
        known = [*_OTHERS, *BY_ID]
        found = [name for name in known if name == word] or [name for name in known if name.startswith(word)]
        if len(found) != 1:
            near = ", ".join(found or [*SCREENS, *known])
            raise CommandError(
                f"{'which of' if found else f'no command {word}; there are:'} {near}{'?' if found else ''}"
            )
        verb = found[0]
    if verb in {"node", "job", "theme"} and not rest:
        raise CommandError(f"{verb} {_OTHERS[verb]}")
    return Command(verb, tuple(rest.split()), rest)


def completer(cluster: Callable[[], Cluster], themes: Iterable[str]) -> Callable[[str], Sequence[str]]:
    """What a half typed command may become, best first."""
    names = tuple(themes)

    def complete(text: str) -> Sequence[str]:
        head, space, rest = text.partition(" ")
        if not space:
            verbs = [*SCREENS, *_OTHERS, *BY_ID]
            return [verb for verb in verbs if verb.startswith(head.lower())]
        now = cluster()
        rows: Iterable[str] = ()
        if head == "theme":
            rows = names
        elif head == "node" or (head in BY_ID and BY_ID[head].kind == "node"):
            rows = sorted(now.nodes, key=natural_key)
        elif head == "job" or head in BY_ID:
            rows = now.jobs
        found = []
        for name in rows:
            if name.startswith(rest):
                found.append(f"{head} {name}")
                if len(found) >= _MOST:
                    break
        return found

    return complete


def helps() -> list[tuple[str, str]]:
    """Every command with what it does, for the help screen."""
    screens = [
        (":" + ", :".join(names), f"the screen {screen}; words after it filter") for screen, names in SCREENS.items()
    ]
    others = [(f":{name}", text) for name, text in _OTHERS.items()]
    acts = [(f":{one.id} TARGETS" + (" REASON" if one.needs_reason else ""), one.help) for one in ACTIONS]
    return [*screens, *others, *acts]

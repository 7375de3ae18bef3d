"""Plugins: collectors, fields and actions that a site's installed packages add through entry points. See
docs/plugins.md.

    [project.entry-points."wacht.actions"]
    case = "site_wacht:CASE"

Plugins are loaded when needed: after the first frame, or for a configuration key or an action that wacht does not know.
A broken plugin (it raises, has the wrong type, hangs, or takes a used name or key) is reported once and left out. Only
installed packages run code; the site's file may name programs (`site_commands`).
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from collectors.clean import clean
from collectors.decoding import convert
from collectors.model import Collector, Facts, SourceFault
from collectors.site_command import template_fault
from collectors.source_registry import Descriptor, descriptors, open_sources
from console.actions.action import Action
from console.actions.registry import ACTIONS, BY_ID, NAVIGATION

from .commands import OTHERS, SCREENS, SITE_COMMANDS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

#: Seconds that one import may take.
WITHIN_S = 2.0
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
#: Kinds of facts that only Slurm may provide.
_SLURMS = ("nodes", "jobs", "partitions", "reservations", "diag", "rights", "control", "cluster", "taken")

_told: list[str] = []
_lock = threading.RLock()


class OwnAction(Struct, frozen=True, kw_only=True):
    """An action of a site's own: a command for each target, behind the same gate as every other."""

    id: str
    """As typed: `:ID`, `wacht act ID`."""
    kind: Literal["node", "job"]
    label: str
    help: str
    argv: tuple[str, ...]
    """The command, each element as it will be; one field in braces in an element: {node} or {job}, {reason}, {cluster},
    {user}. Its program is an absolute path."""
    key: str = ""
    """A key that is free; "" leaves it to the `:` line and the palette."""
    needs_reason: bool = False
    kills: bool = False
    """It ends work: the count is typed, and it goes out in batches."""
    deadline_s: float = 30.0


class OwnField(Struct, frozen=True, kw_only=True):
    """A field of a site's own: a column in the list of nodes or of jobs that is filtered, ordered and exported by."""

    on: Literal["node", "job"]
    name: str
    """As typed in a filter: `/NAME=value`."""
    title: str
    width: int
    read: Callable[[Any], str | float | None]
    """Its value for a row (collectors.model.Node or Job): a pure function, called for every row. None is unknown."""
    shape: Literal["text", "number", "size", "duration", "watts", "percent", "degrees"] = "text"
    """text, or a number in MB, seconds, W, % or °C: how it is shown and compared."""
    help: str = ""
    priority: int = 4
    """On a narrow screen the highest number vanishes first."""


def messages() -> list[str]:
    """What was left out and why; each message once."""
    with _lock:
        found = list(_told)
        _told.clear()
    return found


def _leave_out(entry: EntryPoint, why: str) -> None:
    package = entry.dist.name if entry.dist is not None else "an unknown package"
    with _lock:
        _told.append(clean(f"{entry.group.removeprefix('wacht.')} {entry.name} of {package} is left out: {why}")[:400])


def _loaded(group: str, kind: type[T]) -> list[tuple[EntryPoint, T]]:
    """Every object of a group that was imported in time and has the right type."""
    from importlib.metadata import entry_points

    found: list[tuple[EntryPoint, T]] = []
    for entry in sorted(entry_points(group=f"wacht.{group}"), key=lambda one: one.name):
        answer: list[Any] = []
        worker = threading.Thread(target=_import, args=(entry, answer), name=f"plugin {entry.name}", daemon=True)
        worker.start()
        worker.join(WITHIN_S)
        if not answer:
            _leave_out(entry, f"its import took longer than {WITHIN_S:g} s")
        elif isinstance(answer[0], BaseException):
            _leave_out(entry, f"{type(answer[0]).__name__}: {answer[0]}")
        elif not isinstance(answer[0], kind):
            _leave_out(entry, f"{entry.value} is no {kind.__name__}, it is of the type {type(answer[0]).__name__}")
        else:
            found.append((entry, answer[0]))
    return found


def _import(entry: EntryPoint, answer: list[Any]) -> None:
    try:
        made = importlib.import_module(entry.module)
        for name in entry.attr.split(".") if entry.attr else ():
            made = getattr(made, name)
    except BaseException as error:  # an import may even raise SystemExit
        answer.append(error)
    else:
        answer.append(made)


def _checked(entry: EntryPoint, made: Struct) -> bool:
    """Whether its fields have their declared types: a Struct constructed in Python checks nothing."""
    hints = {name: getattr(made, name) for name in made.__struct_fields__ if name != "read"}
    try:
        convert(hints, _plain(type(made)))
    except msgspec.ValidationError as error:
        _leave_out(entry, str(error))
        return False
    return True


@cache
def _plain(kind: type[Struct]) -> Any:
    """The same fields without functions, for msgspec to check."""
    from typing import get_type_hints

    hints = {name: hint for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__}
    return msgspec.defstruct(f"Plain{kind.__name__}", [(name, hints[name]) for name in hints if name != "read"])


@cache
def collectors() -> Mapping[str, Descriptor]:
    """The descriptors of installed packages, by key."""
    own = descriptors()
    found: dict[str, Descriptor] = {}
    for entry, made in _loaded("collectors", Descriptor):
        if not _NAME.fullmatch(made.key) or made.key in own or made.key in found:
            _leave_out(entry, f"the key {made.key} is taken, or no name")
        else:
            found[made.key] = made
    return found


def open_own(key: str, cluster: str, chosen: Struct) -> Sequence[Collector]:
    """Open the sources of an installed package's descriptor. An error becomes a fault of each reading."""
    try:
        return [CheckedCollector(key, one) for one in open_sources(collectors()[key], cluster, chosen)]
    except Exception as error:
        return [UnopenedCollector(key, f"{type(error).__name__}: {error}"[:300])]


class CheckedCollector:
    """Wraps a package's collector and enforces the collector contract: facts of the right types, cleaned."""

    def __init__(self, key: str, inner: Collector) -> None:
        self._inner = inner
        self.name = inner.name if inner.name.startswith(f"{key}.") else f"{key}.{clean(inner.name)[:40]}"
        self.floor_s = max(1.0, float(inner.floor_s))

    def collect(self) -> Facts:
        """Read it. Raises SourceFault."""
        facts = self._inner.collect()
        if not isinstance(facts, Facts):
            raise SourceFault("malformed", f"{self.name} gave no Facts but {type(facts).__name__}")
        taken = [kind for kind in _SLURMS if getattr(facts, kind) is not None]
        if taken:
            raise SourceFault("malformed", f"{self.name} returns {', '.join(taken)}, which only Slurm may return")
        try:
            return convert(_cleaned(msgspec.to_builtins(facts)), Facts)
        except (msgspec.ValidationError, TypeError) as error:
            raise SourceFault("malformed", f"{self.name}: {error}") from None

    def close(self) -> None:
        """Close it."""
        self._inner.close()


class UnopenedCollector:
    """Stands in for a package's source that cannot be opened."""

    floor_s = 60.0

    def __init__(self, key: str, why: str) -> None:
        self.name, self._why = f"{key}.source", why

    def collect(self) -> Facts:
        """Raises SourceFault."""
        raise SourceFault("missing", f"it could not be opened: {self._why}", "report it to the package's maintainer")

    def close(self) -> None:
        """Does nothing."""


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(one) for key, one in value.items()}
    return [_cleaned(one) for one in value] if isinstance(value, list) else value


@cache
def actions() -> Sequence[Action]:
    """The actions of installed packages; `register` adds them to the registry."""
    added: list[Action] = []
    screens = (name for names in SCREENS.values() for name in names)
    words = {"undo", *BY_ID, *OTHERS, *SITE_COMMANDS, *screens}
    for entry, made in _loaded("actions", OwnAction):
        keys = {one.key for one in (*ACTIONS, *added)} | {key for one in NAVIGATION for key in one.keys}
        texts = (made.id, made.label, made.help, made.key)
        if not _checked(entry, made):
            continue
        if not _NAME.fullmatch(made.id) or made.id in words:
            _leave_out(entry, f"an action {made.id} is there already, or it is no name")
        elif any(text != clean(text) for text in texts) or not made.label or not made.help:
            _leave_out(entry, "its label and help must be plain texts")
        elif made.key and (made.key in keys or made.key.isdigit() or made.key == "y" or len(made.key) != 1):
            _leave_out(entry, f"the key {made.key} is taken, or no single character")
        elif why := template_fault(made.kind, made.argv):
            _leave_out(entry, why)
        else:
            one = Action(
                id=made.id, key=made.key, kind=made.kind, label=made.label, help=made.help,
                doing=f"{made.label}…", done=f"{made.label}: sent", danger="kills" if made.kills else "reversible",
                needs_reason=made.needs_reason, refuse=lambda *_: None, argv=made.argv, deadline_s=made.deadline_s,
            )  # fmt: skip
            words.add(one.id)
            added.append(one)
    return tuple(added)


def register(those: Sequence[Action]) -> None:
    """Add these actions to the registry, from which everything else derives. Once; in the console on its event loop."""
    for one in those:
        if one.id not in BY_ID:
            ACTIONS.append(one)
            BY_ID[one.id] = one


@cache
def fields() -> Sequence[OwnField]:
    """The fields of installed packages."""
    from console.fields.filter_fields import taken_names

    found: list[OwnField] = []
    for entry, made in _loaded("fields", OwnField):
        if not _checked(entry, made):
            continue
        taken = {one.name for one in found if one.on == made.on} | taken_names(made.on)
        if not _NAME.fullmatch(made.name) or made.name in taken:
            _leave_out(entry, f"the field {made.name} is there already, or it is no name")
        elif not callable(made.read) or not 1 <= made.width <= 60 or made.title != clean(made.title):
            _leave_out(entry, "read must be a function, its width 1 to 60, its title a plain text")
        else:
            found.append(made)
    return tuple(found)

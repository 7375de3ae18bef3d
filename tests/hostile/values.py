"""Every text of a value, however deep; and answers with hostile text in every field, one after the other."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from collectors.clean import hostile


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and text of every string in a value, keys too."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from texts(getattr(value, field), f"{path}.{field}")
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from texts(key, f"{path} key")
            yield from texts(one, f"{path}[{str(key)[:20]!r}]")
    elif isinstance(value, list | tuple | set | frozenset):
        for number, one in enumerate(value):
            yield from texts(one, f"{path}[{number}]")


def foul(value: Any) -> list[str]:
    """Where in a value there is a text that should have been cleaned."""
    return [f"{path}: {text[:60]!r}" for path, text in texts(value) if hostile(text)]


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a JSON document that is neither list nor object."""
    if isinstance(document, dict | list):
        for key, one in document.items() if isinstance(document, dict) else enumerate(document):
            yield from leaves(one, (*path, key))
    else:
        yield path


def planted(document: Any, path: tuple[Any, ...], text: Any) -> Any:
    """A copy of a JSON document with something else at that place."""
    made = copy.deepcopy(document)
    at = made
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = text
    return made

"""Reads a pyslurm object field by field: an unreadable field is unknown, and hides no other.

Seen in pyslurm 25.11.2: a text that is not UTF-8 raises, as do numbers that Slurm shortened (`1.50K`), TRES of an
unknown form, and reservation flags newer than it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.clean import clean, decode
from collectors.slurm.commands.read_command import value_or_none
from collectors.slurm.fields import is_slice

#: A larger number is not a count of Slurm's, and JSON could not carry it.
_MOST = 1 << 62


def field(source: Any, name: str) -> Any:
    """A field as pyslurm gives it, None if it cannot be read."""
    try:
        return getattr(source, name)
    except UnicodeDecodeError as error:
        return decode(bytes(error.object))
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError):
        return None


def word(source: Any, name: str) -> str | None:
    """A short text that many rows share, None for Slurm's words for nothing."""
    value = field(source, name)
    return value_or_none(value) if isinstance(value, str) else None


def text(source: Any, name: str) -> str | None:
    """A free text, cleaned; None if empty."""
    value = field(source, name)
    return clean(value) if isinstance(value, str) and value else None


def number(source: Any, name: str) -> int | None:
    """A whole number; None for unset and for "UNLIMITED"."""
    value = field(source, name)
    return value if type(value) is int and abs(value) < _MOST else None


def yes(source: Any, name: str) -> bool | None:
    """A flag."""
    value = field(source, name)
    return value if isinstance(value, bool) else None


def words(source: Any, name: str) -> tuple[str, ...]:
    """A list of texts."""
    value = field(source, name)
    return tuple(clean(str(one)) for one in value if one) if isinstance(value, list | tuple) else ()


def joined(source: Any, name: str) -> str | None:
    """A list of texts as Slurm writes it, None if empty."""
    return ",".join(words(source, name)) or None


def gpus_in(gres: Any) -> tuple[int, str | None, str | None]:
    """GPUs in a dict of GRES as pyslurm gives it: count, type, indices where it has them.

    Keys are `gpu`, `gpu:h100`, `gres/gpu:h100`; values a count, or a dict of count and indexes.
    """
    count, kind, indices = 0, None, []
    for key, value in gres.items() if isinstance(gres, Mapping) else ():
        name, _, of = str(key).removeprefix("gres/").partition(":")
        amount = value.get("count") if isinstance(value, Mapping) else value
        if name != "gpu" or type(amount) is not int:
            continue
        count += amount
        kind = kind or clean(of) or None
        if isinstance(value, Mapping) and value.get("indexes"):
            indices.append(str(value["indexes"]))
    return count, kind, ",".join(indices) or None


def types_in(gres: Any) -> tuple[str | None, int]:
    """As `fields.gpu_types`, for a dict of GRES."""
    rows = gres.items() if isinstance(gres, Mapping) else ()
    found = [(kind, count) for key, value in rows for count, kind, _ in (gpus_in({key: value}),) if kind and count]
    return "+".join(dict.fromkeys(kind for kind, _ in found)) or None, sum(n for kind, n in found if is_slice(kind))


def gpus_of_tres(tres: Any) -> int | None:
    """GPUs in TRES as pyslurm gives them (`gres` of names to objects with a count): the untyped total, else the sum.

    None without a GPU.
    """
    gres = field(tres, "gres")
    if not isinstance(gres, Mapping):
        return None
    counts = {str(key): number(one, "count") for key, one in gres.items() if str(key).partition(":")[0] == "gpu"}
    known = [one for one in counts.values() if one is not None]
    return counts["gpu"] if counts.get("gpu") is not None else sum(known) if known else None

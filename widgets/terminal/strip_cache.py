"""Strips that cost little to make, and are freed when nobody paints them any more.

A Strip of Textual 8.2.8 is made with seven caches, of which a line that is painted once never fills one: five sixths of
what it takes to make it, 0.8 KB, and two of five objects that a collection of garbage has to walk over. And a line that
is not cut keeps itself as its only piece: it refers to itself then, and only a full collection frees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.segment import Segment
from textual.cache import FIFOCache
from textual.strip import Strip

_SIZES = {
    "_divide_cache": 4,
    "_crop_cache": 16,
    "_style_cache": 16,
    "_filter_cache": 4,
    "_line_length_cache": 4,
    "_crop_extend_cache": 4,
    "_offsets_cache": 4,
}
"""What `Strip.__init__` gives each."""
_divide = Strip.divide


def divide_uncached(strip: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
    """`Strip.divide`, which keeps nothing of a line that is not cut."""
    cuts = list(cuts)
    return [strip] if cuts == [strip.cell_length] else _divide(strip, cuts)


def init_without_caches(strip: Strip, segments: Iterable[Segment], cell_length: int | None = None) -> None:
    """`Strip.__init__`, which leaves the caches to `cache`."""
    strip._segments = list(segments)
    strip._cell_length = cell_length
    strip._render_cache = strip._link_ids = strip._cell_count = None


def create_cache(strip: Strip, name: str) -> Any:
    """`Strip.__getattr__`: a cache that is used for the first time. Raises AttributeError for all else."""
    if (size := _SIZES.get(name)) is None:
        raise AttributeError(f"{type(strip).__name__!r} object has no attribute {name!r}")
    fresh: FIFOCache[Any, Any] = FIFOCache(size)
    setattr(strip, name, fresh)
    return fresh


def patch_strips() -> None:
    """From now on, in this process."""
    Strip.divide = divide_uncached  # type: ignore[assignment, method-assign]
    Strip.__init__ = init_without_caches  # type: ignore[assignment, method-assign]
    Strip.__getattr__ = create_cache  # type: ignore[attr-defined]

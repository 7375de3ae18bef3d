"""Strips that are cheap to create, and are freed once they are no longer painted.

Needed for the budgets of time and memory: a Strip of Textual 8.2.8 is created with seven caches, which a line that is
painted once never uses. Without them it takes 0.2 us instead of 1.1, 240 bytes instead of 1,140, and two objects that
garbage collection visits instead of nine; a page of the table takes 6.0 ms instead of 7.1, a full repaint of 200x50 4.2
instead of 5.7, and the console at 12,000 nodes 15 MB less. And a line that is not cut stores itself as its only piece:
it then refers to itself, and only a full collection frees it.

When Textual changes: `Strip.__init__` sets exactly the attributes that are named here; if it has others, name those. If
it creates its caches when they are used, drop this module.
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
"""The caches that `Strip.__init__` creates."""
_divide = Strip.divide


def divide_uncached(strip: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
    """Replaces `Strip.divide`; stores nothing for a line that is not cut."""
    cuts = list(cuts)
    return [strip] if cuts == [strip.cell_length] else _divide(strip, cuts)


def init_without_caches(strip: Strip, segments: Iterable[Segment], cell_length: int | None = None) -> None:
    """Replaces `Strip.__init__`; leaves the caches to `create_cache`."""
    strip._segments = list(segments)
    strip._cell_length = cell_length
    strip._render_cache = strip._link_ids = strip._cell_count = None


def create_cache(strip: Strip, name: str) -> Any:
    """`Strip.__getattr__`: creates a cache at its first use. Raises AttributeError for all other names."""
    if (size := _SIZES.get(name)) is None:
        raise AttributeError(f"{type(strip).__name__!r} object has no attribute {name!r}")
    fresh: FIFOCache[Any, Any] = FIFOCache(size)
    setattr(strip, name, fresh)
    return fresh


def patch_strips() -> None:
    """Replace these methods in this process from now on."""
    Strip.divide = divide_uncached  # type: ignore[assignment, method-assign]
    Strip.__init__ = init_without_caches  # type: ignore[assignment, method-assign]
    Strip.__getattr__ = create_cache  # type: ignore[attr-defined]

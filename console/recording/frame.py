"""One moment of a recording as bytes: a whole Cluster, or the difference to the Cluster before. Pure.

Joins and sums are not stored: `console.ingest.reduce` recomputes them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from collectors.clean import clean
from collectors.decoding import msgpack_decoder
from collectors.model import Cluster, Control, Cost, Diag, Diff, Fabric, Power, SlurmCounts, Source
from console.ingest.reduce import differing, join

from .row_codec import ROWS, MalformedFrame, Table, pack_rows, tame, unpack_rows

#: Kinds that are a single value. `rights` is left out: the recording person's rights do not apply to the viewer.
SINGLES: Mapping[str, type[Struct]] = {
    "power": Power, "counts": SlurmCounts, "diag": Diag, "cost": Cost, "fabric": Fabric, "control": Control,
}  # fmt: skip
#: Largest decompressed frame in bytes; 100,000 jobs and 12,000 nodes take 14 MB.
LARGEST = 128 << 20
_LEVEL = 6


class _Frame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    demo: bool
    at: float
    known: list[str]
    sources: dict[str, Source]
    singles: dict[str, msgspec.Raw]
    """Value by kind of SINGLES; nil when it is no longer known."""
    tables: dict[str, Table]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[_Frame] = msgpack_decoder(_Frame)
_SINGLE = {kind: msgpack_decoder(made | None) for kind, made in SINGLES.items()}


def pack(before: Cluster | None, after: Cluster, shift: float, diff: Diff | None = None) -> bytes:
    """The difference from `before` to `after`, or all of `after` when there is nothing before.

    `shift` turns the monotonic clock of the readings into the recording's own time. `diff` holds at least what
    differs; None: it is computed.
    """
    old = before or Cluster(name=after.name)
    tables = {}
    for kind in ROWS:
        was, now = getattr(old, kind), getattr(after, kind)
        if was is now:
            continue
        keys = diff.keys.get(kind, frozenset()) if diff is not None and before is not None else differing(was, now)
        if keys:
            tables[kind] = pack_rows(kind, was, now, keys)
    frame = _Frame(
        name=after.name,
        demo=after.demo,
        at=after.at,
        known=sorted(after.known - {"rights"}),
        sources={
            name: one if one.read_mono is None else replace(one, read_mono=one.read_mono + shift)
            for name, one in after.sources.items()
            if one is not old.sources.get(name)
        },
        singles={
            kind: msgspec.Raw(_ENCODER.encode(_fit(value)))
            for kind in SINGLES
            if (value := getattr(after, kind)) is not getattr(old, kind)
        },
        tables=tables,
    )
    return zlib.compress(_ENCODER.encode(frame), _LEVEL)


def unpack(raw: bytes, before: Cluster | None) -> tuple[Cluster, Diff]:
    """The Cluster that a frame leads to, and what differs. Raises MalformedFrame."""
    cluster, diff = unjoined(raw, before)
    return joined(before, cluster, diff), diff


def joined(before: Cluster | None, cluster: Cluster, diff: Diff) -> Cluster:
    """The Cluster with joins and sums; `before` is the last one that has them, `diff` what differs since."""
    changed = {kind: getattr(cluster, kind) for kind in ROWS} | {"known": cluster.known}
    join(before or Cluster(name=""), changed, diff.keys)
    return replace(cluster, **changed)


def unjoined(raw: bytes, before: Cluster | None) -> tuple[Cluster, Diff]:
    """As `unpack`, but with the joins and sums of the Cluster before: intermediate frames do not need their own."""
    old = before or Cluster(name="")
    try:
        frame = _DECODER.decode(inflated(raw))
        singles = {kind: tame(_SINGLE[kind].decode(value)) for kind, value in frame.singles.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
        raise MalformedFrame("a frame is not of its form") from None
    if not frame.tables.keys() <= ROWS.keys():
        raise MalformedFrame("a frame has unknown kinds of rows")
    changed: dict[str, Any] = dict(singles)
    keys: dict[str, frozenset[str]] = {kind: frozenset() for kind in singles if kind != "cost"}
    for kind, table in frame.tables.items():
        changed[kind], keys[kind] = unpack_rows(kind, table, getattr(old, kind))
    changed |= {
        "name": clean(frame.name),
        "demo": frame.demo,
        "at": tame(frame.at),
        "known": frozenset(frame.known) & (ROWS.keys() | SINGLES.keys()),
        "sources": {**old.sources, **{clean(name): tame(one) for name, one in frame.sources.items()}},
    }
    return replace(old, **changed), Diff(kinds=frozenset(keys) | {"sources"}, keys=keys)


def _fit(value: Any) -> Any:
    """A value safe to read back; a value with a number out of bounds becomes None (unknown)."""
    try:
        return tame(value)
    except MalformedFrame:
        return None


def inflated(raw: bytes) -> bytes:
    """The decompressed bytes, limited to LARGEST. Raises MalformedFrame."""
    machine = zlib.decompressobj()
    try:
        out = machine.decompress(raw, LARGEST)
    except zlib.error:
        raise MalformedFrame("a frame is damaged") from None
    if not machine.eof:
        raise MalformedFrame("a frame is cut, or larger than one can be")
    return out

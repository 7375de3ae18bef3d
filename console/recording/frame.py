"""One moment of a recording as bytes: a whole Cluster, or what leads to it from the one before. Pure.

The joins and sums are not kept: `console.ingest.reduce` makes them again.
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

#: Kinds that are one value. What the person who records may do is nobody's who plays: `rights` is left out.
SINGLES: Mapping[str, type[Struct]] = {
    "power": Power, "counts": SlurmCounts, "diag": Diag, "cost": Cost, "fabric": Fabric, "control": Control,
}  # fmt: skip
#: 100,000 jobs and 12,000 nodes are 14 MB.
LARGEST = 128 << 20
_LEVEL = 6


class _Frame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    demo: bool
    at: float
    known: list[str]
    sources: dict[str, Source]
    singles: dict[str, msgspec.Raw]
    """A kind of SINGLES; nil is that it is not known any more."""
    tables: dict[str, Table]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[_Frame] = msgpack_decoder(_Frame)
_SINGLE = {kind: msgpack_decoder(made | None) for kind, made in SINGLES.items()}


def pack(before: Cluster | None, after: Cluster, shift: float, diff: Diff | None = None) -> bytes:
    """What leads from `before` to `after`, or all of it where there is nothing before.

    `shift` makes the recording's own time of the monotonic clock of the readings. `diff` holds at least what differs;
    None: it is looked for.
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
    """The Cluster that a frame leads to, and what differs. Raises Malformed."""
    cluster, diff = unjoined(raw, before)
    return joined(before, cluster, diff), diff


def joined(before: Cluster | None, cluster: Cluster, diff: Diff) -> Cluster:
    """A Cluster with its joins and sums; `before` is the last that has them, `diff` what differs since then."""
    changed = {kind: getattr(cluster, kind) for kind in ROWS} | {"known": cluster.known}
    join(before or Cluster(name=""), changed, diff.keys)
    return replace(cluster, **changed)


def unjoined(raw: bytes, before: Cluster | None) -> tuple[Cluster, Diff]:
    """As `unpack`, with the joins and sums of the one before: on the way to another frame nobody looks at them."""
    old = before or Cluster(name="")
    try:
        frame = _DECODER.decode(inflated(raw))
        singles = {kind: tame(_SINGLE[kind].decode(value)) for kind, value in frame.singles.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
        raise MalformedFrame("a frame is not of its form") from None
    if not frame.tables.keys() <= ROWS.keys():
        raise MalformedFrame("a frame has kinds of rows that nobody knows")
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
    """A value that will be read back; what holds a number that no machine says is unknown."""
    try:
        return tame(value)
    except MalformedFrame:
        return None


def inflated(raw: bytes) -> bytes:
    """What was packed, as long as it is no larger than a frame can be. Raises Malformed."""
    machine = zlib.decompressobj()
    try:
        out = machine.decompress(raw, LARGEST)
    except zlib.error:
        raise MalformedFrame("a frame is damaged") from None
    if not machine.eof:
        raise MalformedFrame("a frame is cut, or larger than one can be")
    return out

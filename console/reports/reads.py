"""Gathers the inputs of a report: journal, recording, telemetry and current facts. Blocks.

A missing input does not prevent the report: it lists what is unknown and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from msgspec import Struct

from collectors.model import Cluster, Diff, SourceFault, Telemetry
from console.health.xid_policy import Policy
from console.journal import chain
from console.journal.chain import JournalFault
from console.journal.entries import join
from console.journal.reader import JournalSnapshot
from console.journal.writer import LOOKBACK, may_still_end
from console.recording.frame import joined, unjoined
from console.recording.row_codec import MalformedFrame
from console.recording.store import FrameTime, RecordingFault, RecordingReader
from console.runtime.operator_identity import login_name
from widgets.units import duration, when

from .period import Span
from .report import ShiftReport, make
from .shift_watch import GAP_S, Peak, ShiftWatch

#: Largest age in seconds of a period's end for which the current facts count as the facts at its end.
_NOW_S = 120.0


class ReportSources(Struct, frozen=True, kw_only=True):
    """The sources of a report."""

    name: str
    now: float
    mono: float
    cluster: Cluster | None
    """The current facts; None: only the recording."""
    recording: Path | None
    journal: Callable[[], JournalSnapshot]
    """Raises JournalFault."""
    telemetry: Telemetry | None
    policy: Policy


def book_of(path: Path, now: float) -> JournalSnapshot:
    """The journal of a cluster; empty when it does not exist yet. Raises JournalFault."""
    records = chain.read(path, LOOKBACK) if chain.there(path) else []
    journal = JournalSnapshot.of(join(records))
    going = frozenset(one.key for one in journal.entries.values() if one.orphan and may_still_end(one, now))
    return JournalSnapshot(
        entries=journal.entries, under_way=going, users=journal.users, undone=journal.undone, by=journal.by
    )


def of_recording(path: Path, policy: Policy) -> ReportSources:
    """The sources of a report made from a recording only. Raises RecordingFault."""
    with closing(RecordingReader(path)) as recording:
        last = recording.last()
        if last is None:
            raise RecordingFault(f"{path}: nothing was recorded yet")
        lines = [chain.record(line) for _, line in recording.actions(last.at)]
    return ReportSources(name="", now=last.wall, mono=last.at, cluster=None, recording=path,
                   journal=lambda: JournalSnapshot.of(join(lines)), telemetry=None, policy=policy)  # fmt: skip


def gather(sources: ReportSources, span: Span) -> ShiftReport:
    """The report of that period."""
    watch, limits = ShiftWatch(span.since, span.until), []
    cluster = sources.cluster if sources.now - span.until <= _NOW_S else None
    seen = Cluster(name=sources.name)
    if sources.recording is None:
        limits.append("nothing is recorded here: what went out and came back in between is not known")
    else:
        try:
            for moment, seen, keys in moments(sources.recording, span):
                watch.see(seen, moment.wall, keys)
        except (RecordingFault, MalformedFrame) as error:
            limits.append(f"the recording cannot be read: {error}")
    if cluster is not None:
        watch.see(cluster, max(span.until, cluster.at), None)
    past = watch.past()
    recorded = past.begins if seen.known else None
    if recorded is not None and recorded > span.since + GAP_S:
        limits.append(f"nothing was recorded before {when(recorded, now=span.until)}: of the time before only the "
                      "journal is known, and the nodes that are out since")  # fmt: skip
    limits += [
        f"nothing was recorded from {when(a, now=span.until)} to {when(b, now=span.until)}" for a, b in past.gaps
    ]
    if cluster is None:
        every = Diff(keys={kind: frozenset(getattr(seen, kind)) for kind in ("nodes", "jobs", "loads")})
        cluster = joined(None, seen, every)
        if not cluster.known:
            limits.append(
                f"no facts of the time at {when(span.until, now=sources.now)} are there: what is open is not known"
            )
    journal, fault = JournalSnapshot(), ""
    try:
        journal = sources.journal()
    except JournalFault as error:
        fault = str(error)
    peak = past.peak
    whole = recorded is not None and recorded <= span.since + GAP_S and not past.gaps
    if not whole and sources.telemetry is not None:
        peak, said = _asked(sources, span, peak)
        limits += said
    return make(
        cluster, past, journal, span, sources.policy, peak=peak, limits=limits, journal_fault=fault, by=login_name(),
        made=sources.now, mono=sources.mono, watched=recorded is not None, whole=whole,
    )  # fmt: skip


def moments(path: Path, span: Span) -> Iterator[tuple[FrameTime, Cluster, Mapping[str, frozenset[str]] | None]]:
    """The recorded moments of that period, starting with the one that applies at its begin: rows only, without joins
    and sums. Raises RecordingFault, MalformedFrame.
    """
    with closing(RecordingReader(path)) as recording:
        here = recording.on_the_wall(span.since) or recording.first()
        if here is None:
            return
        begin = here
        here = recording.whole_before(begin) or recording.first()
        cluster: Cluster | None = None
        fresh = True
        while here is not None and here.wall <= span.until:
            step, whole = recording.frame(here)
            afresh = cluster is None or step is None
            diff: Diff
            cluster, diff = unjoined((whole if afresh else step) or b"", None if afresh else cluster)
            if here.id >= begin.id:
                yield here, cluster, None if afresh or fresh else diff.keys
                fresh = False
            here = recording.after(here)


def _asked(sources: ReportSources, span: Span, peak: Peak | None) -> tuple[Peak | None, list[str]]:
    """The peak including unrecorded time, for which Prometheus is queried; and what remains unknown."""
    seconds = int(sources.now - span.since)
    try:
        series: Any = sources.telemetry.site_history(seconds) if sources.telemetry is not None else ()
    except SourceFault as error:
        return peak, [f"the power of the time that was not recorded is not known: {error.fault}"]
    points = next((one.points for one in series if one.unit == "W"), ())
    inside = [(value, at) for at, value in points if value is not None and span.since <= at <= span.until]
    if not inside:
        return peak, ["the power of the time that was not recorded is not known: no source gives a history of it"]
    most, at = max(inside)
    step = min((b[1] - a[1] for a, b in pairwise(inside)), default=0)
    if peak is not None and peak.watts >= most:
        return peak, []
    return Peak(most, at, f"history, a point every {duration(step)}"), []

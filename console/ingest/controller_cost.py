"""The console's cost for slurmctld, and the back-off when slurmctld is overloaded. Pure.

sdiag counts the calls of each user, which includes all consoles and shell loops of that user. Root's count is no
measure, because slurmd also calls as root.
"""

from __future__ import annotations

import msgspec

from collectors.model import Cluster, Cost, Diag

#: Thresholds of an overloaded slurmctld: a main cycle of 2 s holds the locks that every answer needs; slurmctld has at
#: most 256 server threads; queued agent messages are undelivered work.
CYCLE_US = 2_000_000
THREADS = 100
AGENT_QUEUE = 500
#: Milliseconds of controller time a minute from which the user contributes to the overload.
SHARE_MS = 1_200.0
#: Largest total factor by which an interval is stretched.
MOST = 6.0
#: Number of samples of the slurmdbd queue that are kept.
DBD_KEPT = 6
#: Least seconds between two readings that allow a rate a minute.
_LEAST_S = 5.0


def between(before: Diag, after: Diag, seconds: float) -> Cost | None:
    """The reader's cost between two readings of sdiag taken `seconds` apart. None when it cannot be computed: the
    counters were reset, the user is not listed, or too little time passed.
    """
    user = after.reader
    if user is None or seconds < _LEAST_S or before.since != after.since:
        return None
    calls = _more(before.user_calls.get(user), after.user_calls.get(user))
    time_us = _more(before.user_time_us.get(user), after.user_time_us.get(user))
    if calls is None or time_us is None:
        return None
    return Cost(user=user, calls_min=calls * 60.0 / seconds, ms_min=time_us / 1e3 * 60.0 / seconds)


def _more(before: int | None, after: int | None) -> int | None:
    """The growth of a counter; None when it was missing or was reset."""
    return None if before is None or after is None or after < before else after - before


def with_cost(before: Cluster, after: Cluster) -> Cluster:
    """The newer Cluster with its cost and the recent slurmdbd queue lengths (`dbd_queues`); unchanged when sdiag is no
    newer.
    """
    then, now = (one.sources.get("slurm.diag") for one in (before, after))
    was = None if then is None else then.read_mono
    diag = after.diag
    if now is None or now.read_mono is None or diag is None or now.read_mono == was:
        return after
    waits = diag.dbd_queue
    queues = () if waits is None else (*before.dbd_queues, (now.read_mono, waits))[-DBD_KEPT:]
    after = after if queues == after.dbd_queues else msgspec.structs.replace(after, dbd_queues=queues)
    if was is None or before.diag is None:
        return after
    return msgspec.structs.replace(after, cost=between(before.diag, diag, now.read_mono - was))


def strain(diag: Diag | None, cost: Cost | None) -> float:
    """The factor by which intervals of Slurm's sources are stretched: 1 when all is well, growing with the worst figure
    up to MOST.

    Unknown figures do not count: sdiag itself is read at its normal pace and reports within a minute.
    """
    shares = [1.0]
    if diag is not None:
        figures = ((diag.main_cycle_last_us, CYCLE_US), (diag.server_threads, THREADS), (diag.agent_queue, AGENT_QUEUE))
        shares += [figure / limit for figure, limit in figures if figure is not None]
    if cost is not None and cost.user != "root":
        shares.append(cost.ms_min / SHARE_MS)
    return min(MOST, max(shares))

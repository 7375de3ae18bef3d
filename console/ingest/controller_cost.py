"""What the console costs the controller, and when it holds back. Pure.

sdiag counts the calls of each user: all that the user runs counts, these consoles and the loops in the shells beside
them alike. Root's count is no measure of a console: the daemons of the nodes call as root too.
"""

from __future__ import annotations

import msgspec

from collectors.model import Cluster, Cost, Diag

#: From here on the controller strains. A main cycle of 2 s holds the locks that every answer waits for; slurmctld
#: serves with 256 threads at most; messages to the nodes that wait for delivery are work that piles up.
CYCLE_US = 2_000_000
THREADS = 100
AGENT_QUEUE = 500
#: A user who has this much of every minute of the controller takes part in the strain.
SHARE_MS = 1_200.0
#: Longest that all of it together stretches an interval.
MOST = 6.0
#: So many readings of the queue for slurmdbd are kept.
DBD_KEPT = 6
#: Fewer seconds between two readings say little about a minute.
_LEAST_S = 5.0


def between(before: Diag, after: Diag, seconds: float) -> Cost | None:
    """What the reader cost in the so many seconds between two readings of sdiag; None where that cannot be said:
    the counters began anew, the user is not among them, or too little time has passed."""
    user = after.reader
    if user is None or seconds < _LEAST_S or before.since != after.since:
        return None
    calls = _more(before.user_calls.get(user), after.user_calls.get(user))
    time_us = _more(before.user_time_us.get(user), after.user_time_us.get(user))
    if calls is None or time_us is None:
        return None
    return Cost(user=user, calls_min=calls * 60.0 / seconds, ms_min=time_us / 1e3 * 60.0 / seconds)


def _more(before: int | None, after: int | None) -> int | None:
    """How much a counter grew; None where it was not there, or began anew."""
    return None if before is None or after is None or after < before else after - before


def with_cost(before: Cluster, after: Cluster) -> Cluster:
    """The newer Cluster with what its sdiag shows against those before: the cost, and how the queue for slurmdbd goes
    (`dbd_queues`); itself where sdiag is no newer."""
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
    """How many times longer a source of Slurm waits: 1 while all is well, growing with what is worst, to six.

    What is not known does not strain: sdiag itself is read as ever, and tells in a minute.
    """
    shares = [1.0]
    if diag is not None:
        figures = ((diag.main_cycle_last_us, CYCLE_US), (diag.server_threads, THREADS), (diag.agent_queue, AGENT_QUEUE))
        shares += [figure / limit for figure, limit in figures if figure is not None]
    if cost is not None and cost.user != "root":
        shares.append(cost.ms_min / SHARE_MS)
    return min(MOST, max(shares))

"""Whether somebody laid a hand on a partition, a reservation or a user between the question and the answer. Pure."""

from __future__ import annotations

from collectors.model import Partition, Reservation, User

from .action import Row

#: What a reservation is; whether it has begun moves by itself.
_IS = ("starts", "ends", "nodes", "users", "accounts", "flags", "partition")


def meanwhile(before: Row, now: Row) -> str | None:
    """What was changed, None where nothing was, or the kind is another's affair."""
    if isinstance(before, Partition) and isinstance(now, Partition) and now.state != before.state:
        return f"it was set {now.state} meanwhile"
    if isinstance(before, User) and isinstance(now, User) and now.associations != before.associations:
        return f"its limits were changed meanwhile: {now.state}"
    if isinstance(before, Reservation) and isinstance(now, Reservation):
        what = [word for word in _IS if getattr(before, word) != getattr(now, word)]
        return f"its {', '.join(what)} {'was' if len(what) == 1 else 'were'} changed meanwhile" if what else None
    return None

"""The bell: rings once for each new critical alert group, however many alerts it has. Pure.

It does not ring for alerts that were active at the start, acked or silenced.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Cluster
from console.health.failure_domains import GAP_S

if TYPE_CHECKING:
    from .groups import AlertGroup

Notify = Literal["off", "osc9", "osc777"]

_BELL = "\x07"
#: Longest notification text, in characters.
_TEXT_CAP = 160


class BellState(Struct, frozen=True):
    """What the bell has already rung for."""

    active: frozenset[str] | None = None
    """Critical alerts that were active at the last reading; None until alerts were read for the first time."""
    ended: Mapping[str, float] = {}
    """Alerts that ended within GAP_S, and when (epoch): one that flaps does not ring each time."""

    def next(self, cluster: Cluster, groups: Sequence[AlertGroup], now: float) -> tuple[BellState, list[AlertGroup]]:
        """The state after a reading of the alerts, and the groups to ring for."""
        from .groups import severity_of

        if "alerts" not in cluster.known:
            return self, []
        loud = frozenset(
            one
            for group in groups
            if group.critical
            for one in group.alerts[: len(group.alerts) - group.suppressed]
            if severity_of(cluster.alerts[one]) == "critical"
        )
        if self.active is None:
            return BellState(loud), []
        kept = {one: at for one, at in self.ended.items() if now - at <= GAP_S}
        old = self.active.union(kept)
        gone = {one: at for one, at in kept.items() if one not in loud} | dict.fromkeys(self.active - loud, now)
        return BellState(loud, gone), [group for group in groups if _is_new(group, loud, old, cluster)]


def _is_new(group: AlertGroup, loud: Container[str], old: Container[str], cluster: Cluster) -> bool:
    """Whether a critical alert began in the group that is not part of an earlier ring."""
    mine = [one for one in group.alerts if one in loud]
    fresh = [cluster.alerts[one].starts for one in mine if one not in old]
    before = [cluster.alerts[one].starts or 0 for one in mine if one in old]
    if not fresh or not before:
        return bool(fresh)
    newest = max(before)
    return any(at is not None and at - newest > GAP_S for at in fresh)


def bell_text(new: Sequence[AlertGroup]) -> str:
    """The first group and the number of others, as text that may be shown and sent to the terminal."""
    first, more = new[0], len(new) - 1
    text = first.title + (f" ({len(first.nodes):,} nodes)" if len(first.nodes) > 1 else "")
    return clean(text) + (f" and {more:,} more" if more else "")


def bell_sequences(cluster: str, new: Sequence[AlertGroup], bell: bool, notify: Notify) -> str:
    """The bytes to write to the terminal for these groups: the bell, a notification, both, or nothing.

    No semicolon of the text is sent: it is a separator in OSC 777, and in some terminals' own OSC 9.
    """
    if not new:
        return ""
    text = clean(bell_text(new)).replace(";", ",")[:_TEXT_CAP]
    title = clean(f"wacht {cluster}").replace(";", ",")[:_TEXT_CAP]
    sent = {
        "off": "",
        "osc9": f"\x1b]9;{title}: {text}\x1b\\",
        "osc777": f"\x1b]777;notify;{title};{text}\x1b\\",
    }[notify]
    return sent + (_BELL if bell else "")

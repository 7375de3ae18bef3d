"""Actions in a journal, in the gate's own form, and the nodes, jobs, alerts and silences that they changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec

from collectors.model import Matcher, Silence
from console.actions.registry import BY_ID
from console.gate.outcome import journal_row
from console.journal.entries import join
from console.journal.undo import undo_of
from tests.support import make
from tests.support.make import NOW

HOUR = 3600


class Book:
    """A journal in the gate's own form, made of rows as they were before."""

    def __init__(self) -> None:
        self.records: list[dict] = []

    def act(self, plan, action, rows, states="done", reason=None, ago=HOUR, who="jdv", **more):
        """One action on these rows, and what came of each; None: nobody wrote it down."""
        kind = BY_ID[action].kind if action in BY_ID else "node"
        targets = [getattr(row, "id", None) or row.name for row in rows]
        states = [states] * len(rows) if isinstance(states, str) else states
        about = {"id": plan, "action": action, "kind": kind, "targets": targets}
        seen = {target: journal_row(row, BY_ID.get(action)) for target, row in zip(targets, rows, strict=True)}
        time = datetime.fromtimestamp(NOW - ago, UTC).isoformat()
        self.records.append({"event": "intent", **about, "time": time, "login": who, "uid": 1001, "host": "ops1",
                             "reason": reason, "seen": seen, "argv": [], **more})  # fmt: skip
        if states is not None:
            outcome = {target: {"state": state, "why": ""} for target, state in zip(targets, states, strict=True)}
            self.records.append({"event": "result", **about, "outcome": outcome, "sent": []})
        return self

    @property
    def entries(self):
        return join(json.loads(json.dumps(self.records, default=msgspec.to_builtins)))

    def undo(self, plan, cluster, **more):
        return undo_of(self.entries[plan], self.entries, cluster, NOW, **more)


def drained(name, reason="bad DIMM", by="jdv", state="IDLE+DRAIN"):
    return make.node(name, state, reason=reason, reason_by=by, reason_at=int(NOW - HOUR))


def nodes(*rows):
    return make.cluster(nodes=list(rows))


def jobs(*rows):
    return make.cluster(jobs=list(rows))


def waiting(id, reason="Priority", **more):
    return make.job(id, "PENDING", reason=reason, **{"priority": 4100, **more})


def alert(id, node):
    return make.alert(node=node, id=id)


def matchers(node):
    return (Matcher("alertname", "NodeDown"), Matcher("node", node))


def silence(id, node, comment="PDU work", by="jdv", ends=4 * HOUR, starts=-HOUR, state="active"):
    return Silence(id=id, state=state, matchers=matchers(node), starts=int(NOW + starts), ends=int(NOW + ends), by=by,
                   comment=comment)  # fmt: skip

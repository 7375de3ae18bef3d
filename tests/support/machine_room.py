"""A machine room in which things break: racks of nodes with their PDUs and switches, alerts, XIDs and loads."""

from __future__ import annotations

import json

from collectors.model import Load, Xid
from console.triage.attention import attention_lines
from tests.support import make
from tests.support.make import NOW

MINUTE, HOUR, DAY = 60, 3600, 86400


def node(number, state="IDLE", ago=None, reason=None, by="slurm", rack=7, **more):
    """gpu0001 to gpu0016 hang in R07: the first half on pdu-a, the second on pdu-b."""
    half = "a" if (number - 1) % 16 < 8 else "b"
    extra = json.dumps({"pdu": f"R{rack:02d}-pdu-{half}", "switch": f"leaf-R{rack:02d}"})
    given = {"rack": f"R{rack:02d}", "extra": extra, "boot_at": int(NOW - 30 * DAY)} | more
    if reason is not None:
        given |= {"reason": reason, "reason_by": by, "reason_at": None if ago is None else int(NOW - ago)}
    return make.node(f"gpu{number:04d}", state, **given)


def rack(broken=(), rack=7, size=16, first=1):
    """A whole rack of well nodes, with those put in their place."""
    named = {one.name: one for one in broken}
    return [named.get(f"gpu{n:04d}") or node(n, rack=rack) for n in range(first, first + size)]


def down(number, ago=HOUR, reason="Not responding", **more):
    return node(number, "DOWN*", ago, reason, **more)


def alert(name, severity="critical", about=None, ago=HOUR, summary=None, state="active", **labels):
    return make.alert(name, about, labels=labels, severity=severity, state=state, starts=int(NOW - ago),
                      summary=summary)  # fmt: skip


def site(*nodes, alerts=(), xids=None, loads=None, jobs=None, sources=()):
    return make.cluster(nodes=nodes, alerts=alerts, xids=xids, loads=loads, jobs=jobs, sources=sources, at=NOW)


def xid(number, code=79, ago=4 * MINUTE, gpu=3):
    at = int(NOW - ago)
    return Xid(node=f"gpu{number:04d}", gpu=gpu, code=code, first_at=at, last_at=at, count=1)


def texts(cluster, **more):
    """The list, as its texts."""
    return [one.text for one in attention_lines(cluster, NOW, **more)]


def well(number, **more):
    given = {"sampled_at": int(NOW - 5), "gpus_seen": 8, "util_gpus": 8, "gpus_idle": 8} | more
    return Load(node=f"gpu{number:04d}", **given)

"""Nodes, GPUs and loads in good order, and what the pre-flight checks say of them."""

from __future__ import annotations

from collectors.model import Gpu, Load, Xid
from console.actions.registry import BY_ID
from console.gate.preflight_reads import run_checks
from console.health.xid_policy import default_policy
from console.preflight.checks import PreflightReads
from tests.support import make
from tests.support.make import NOW

HOUR, DAY = 3600, 86400
FINE = (
    "GPUs 8 of 8, the driver asks for nothing, no remap failed, no remap pending, no uncorrected ECC error, none busy"
)


def node(name="gpu0001", state="IDLE+DRAIN", **more):
    return make.node(name, state, **({"boot_at": int(NOW - 9 * DAY), "busy_at": int(NOW - HOUR)} | more))


def gpu(index=0, name="gpu0001", **more):
    """A GPU of which everything is known and good."""
    good = {
        "sampled_at": int(NOW - 20), "util_pct": 0.0, "memory_used_mb": 4, "ecc_uncorrected": 0, "remap_pending": False,
        "remap_failed": False, "recovery": "none",
    }  # fmt: skip
    return Gpu(node=name, index=index, **(good | more))


def eight(at=None, name="gpu0001", **odd):
    """Eight good GPUs, one of them odd."""
    return tuple(gpu(index, name, **(odd if index == at else {})) for index in range(8))


def load(ago=20.0, name="gpu0001", **more):
    return Load(node=name, sampled_at=int(NOW - ago), **({"gpus_seen": 8, "util_gpus": 8, "gpus_idle": 8} | more))


def xid(code=79, ago=300.0, gpu=3, name="gpu0001", **more):
    return Xid(node=name, gpu=gpu, code=code, first_at=int(NOW - ago), last_at=int(NOW - ago), count=1, **more)


def site(*nodes, jobs=(), loads=(), xids=(), sources=(), **facts):
    """A cluster read just now. Kinds that are None were never read."""
    return make.cluster(nodes=nodes, jobs=jobs, loads=loads, xids=xids, sources=sources, at=NOW, **facts)


def said(cluster, action="resume", gpus=None, policy=None, details=(), **extra):
    """Level and text of every check of all targets that the action takes."""
    rows = cluster.nodes if BY_ID[action].kind == "node" else cluster.jobs
    rows = {key: row for key, row in rows.items() if BY_ID[action].refuse(cluster, row) is None}
    about = PreflightReads(gpus=gpus, details={one.id: one for one in details}, **extra)
    found = run_checks(BY_ID[action], cluster, rows, about, NOW, policy or default_policy())
    assert {one.target for one in found} <= {*rows, ""}
    return [(one.level, one.text) for one in found]


def of(level, found):
    return [text for had, text in found if had == level]

"""What each screen says of an XID: the one before it, and how severe the kernel's line says it is."""

from __future__ import annotations

import pytest

from collectors.model import Xid
from console.cli.node import NodeReport, _xid_lines
from console.health.inconsistencies import inconsistencies
from console.health.xid_policy import default_policy
from console.plant.gpus import newest_xids
from console.tables.gpu_lines import xid_lines
from console.tables.inspection_lines import problem_lines
from console.triage.attention import attention_lines
from tests.support import make
from tests.support.make import NOW

POLICY = default_policy()


def cluster(*rows: Xid):
    nodes = [make.node("gpu0001", "ALLOCATED", boot_at=int(NOW - 9000))]
    return make.cluster(at=NOW, nodes=nodes, jobs=(), xids=rows)


def row(code: int, ago: int, **more) -> Xid:
    return Xid(node="gpu0001", gpu=3, code=code, first_at=int(NOW - ago), last_at=int(NOW - ago), count=1, **more)


def text(lines) -> str:
    return "\n".join("".join(span[0] for span in line.spans) for line in lines)


def test_every_screen_shows_the_62_before_a_45():
    known = cluster(row(45, 60), row(62, 62))
    listed = text(xid_lines(newest_xids(known), known, POLICY, NOW))
    assert "XID 45 after 62" in listed
    assert "before it XID 62" in text(problem_lines("gpu0001", known, POLICY, NOW))
    look = NodeReport(node="gpu0001", at=NOW, here=True, xids=tuple(known.xids.values()))
    assert "before it XID 62: drain, reset the GPU" in "\n".join(_xid_lines(look, POLICY))
    assert "XID 62 ×1 GPU 3: micro-controller of the GPU halted" in text(problem_lines("gpu0001", known, POLICY, NOW))
    (found,) = [one for one in inconsistencies(known, NOW, POLICY) if one.kind == "xid"]
    assert (found.code, found.severity) == (62, "bad")
    assert any("XID 62" in one.text for one in attention_lines(known, NOW, POLICY))


@pytest.mark.parametrize(
    ("severity", "said", "level"),
    [("fatal", "drain, reset the GPU", "bad"), (None, "look at the kernel's line", "warn"), ("nonfatal", None, None)],
)
def test_the_severity_of_an_nvlink_error_decides_on_every_screen(severity, said, level):
    known = cluster(row(145, 60, severity=severity))
    found = [(one.severity, one.text) for one in inconsistencies(known, NOW, POLICY) if one.kind == "xid"]
    look = NodeReport(node="gpu0001", at=NOW, here=True, xids=tuple(known.xids.values()))
    shown = [text(xid_lines(newest_xids(known), known, POLICY, NOW)),
             text(problem_lines("gpu0001", known, POLICY, NOW)),
             "\n".join(_xid_lines(look, POLICY))]  # fmt: skip
    if severity is not None:
        assert all(f" {severity}" in one for one in shown)
    if said is None:
        assert found == [] and all("leave the node" in one for one in shown[1:])
    else:
        ((was, words),) = found
        assert was == level and said in words and all(said in one for one in shown[1:])

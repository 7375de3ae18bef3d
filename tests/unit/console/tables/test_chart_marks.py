"""What a chart marks: known times only, of the node or job that it is about."""

from __future__ import annotations

from collectors.model import Alert, PastJob
from console.tables import chart_marks
from tests.support import make
from widgets.chart_layout import ChartMark

CLUSTER = make.cluster(
    jobs=[make.job("7", nodes="gpu0001", started=500), make.job("8", nodes="gpu0002", started=600)],
    nodes=[make.node("gpu0001"), make.node("gpu0002")],
    alerts=[
        Alert(id="a", name="GpuHot", severity="warning", node="gpu0001", starts=300),
        Alert(id="b", name="NodeDown", severity="critical", node="gpu0002", starts=400),
        Alert(id="c", name="NodeDown", severity="critical", node="gpu0001"),
    ],
)


def test_a_node_has_its_own_alerts_actions_and_jobs():
    ended = (PastJob(id="5", name="x", state="COMPLETED", started=100, ended=200), PastJob(id="6", name="x", state="?"))
    assert chart_marks.node_marks(CLUSTER, "gpu0001", ended, (250.0,)) == (
        ChartMark(300, "alert"), ChartMark(250.0, "action"),
        ChartMark(100, "job start"), ChartMark(500, "job start"), ChartMark(200, "job end"),
    )  # fmt: skip


def test_the_site_has_critical_alerts_and_no_jobs():
    assert chart_marks.site_marks(CLUSTER, (1.0,)) == (ChartMark(400, "alert"), ChartMark(1.0, "action"))


def test_a_job_has_the_alerts_of_its_nodes_and_its_start():
    assert chart_marks.job_marks(CLUSTER, "8", ("gpu0002",), ()) == (
        ChartMark(400, "alert"),
        ChartMark(600, "job start"),
    )
    assert chart_marks.job_marks(CLUSTER, "9", (), ()) == ()

"""Power and GPUs, summed: by rack, row and job; what is not measured stays unknown."""

from __future__ import annotations

import msgspec
import pytest

from collectors.model import Cluster, Load, Power
from console.plant import gpus, power
from console.tables import overview_figures
from tests.support import make


def cluster(**more) -> Cluster:
    nodes = [
        make.node(name, state, gpus_alloc=used, rack=rack, extra=f'{{"row": "{row}"}}')
        for name, state, used, rack, row in (
            ("n1", "ALLOCATED", 8, "R1", "A"),
            ("n2", "MIXED", 4, "R1", "A"),
            ("n3", "IDLE", 0, "R2", "A"),
            ("n4", "ALLOCATED", 8, "R3", "B"),
        )
    ]
    jobs = [
        make.job("1", nodes="n1", started=0),
        make.job("2", nodes="n2", gpus=1, user="bob", started=0),
        make.job("3", nodes="n2", gpus=3, user="eve", started=0),
        make.job("4", nodes="n4", started=0),
    ]
    loads = [
        Load(node="n1", power_w=6000.0, gpus_idle=3, temp_c=70.0, gpu_power_w=4600.0),
        Load(node="n2", power_w=4000.0, gpus_idle=5, temp_c=60.0),
        Load(node="n3", power_w=2000.0, gpus_idle=8, temp_c=30.0),
    ]
    return msgspec.structs.replace(make.cluster(nodes=nodes, jobs=jobs, loads=loads), **more)


def test_racks_rows_and_what_a_drained_rack_gives_back():
    racks = power.by_rack(cluster())
    assert racks["R1"].power_w == 10_000 and racks["R1"].freed_w == 6_000
    assert racks["R3"].power_w is None and racks["R3"].freed_w is None, "a silent node is not nought watts"
    assert racks["R2"].freed_w == 0
    assert power.by_row(racks.values()) == {"A": 12_000, "B": None}


def test_a_rack_that_its_pdu_measures_is_what_the_pdu_says():
    racks = power.by_rack(cluster(power=Power(source="PDU", rack_w={"R1": 11_500.0})))
    assert racks["R1"].power_w == 11_500


def test_jobs_share_a_node_by_their_gpus():
    drawn = {one.job.id: (one.power_w, one.complete) for one in power.by_job(cluster())}
    assert drawn == {"1": (6000.0, True), "2": (1000.0, True), "3": (3000.0, True), "4": (None, False)}


@pytest.mark.parametrize(
    ("trend", "hours"),
    [(100_000.0, 10.0), (-5_000.0, None), (100.0, None), (None, None)],
    ids=["rising", "falling", "flat", "unknown"],
)
def test_hours_to_the_ceiling(trend, hours):
    known = Power(source="PDU", site_w=5_000_000.0, budget_w=6_000_000.0, trend_w_h=trend)
    assert power.hours_to_ceiling(cluster(power=known)) == hours


def test_idle_gpus_are_counted_only_where_they_have_one_owner_that_has_settled():
    found = gpus.idle_jobs(cluster(), 10_000)
    assert [(one.job.id, one.idle, one.held, one.nodes) for one in found] == [("1", 3, 8, ("n1",))]
    assert gpus.idle_jobs(cluster(), 60) == []


def test_hottest_and_hungriest_leave_out_what_is_unknown():
    assert [load.node for load in gpus.hottest(cluster())] == ["n1", "n2", "n3"]
    assert [load.node for load in gpus.top_power(cluster())] == ["n1", "n2", "n3"]


@pytest.mark.parametrize(("metered", "told"), [(0, "unmetered"), (1, "2 silent"), (3, "all")])
def test_nodes_that_no_site_meters_are_not_called_silent(metered, told):
    """On a narrow screen, where a site has no meters: "32 silent" of 32 nodes wakes somebody for nothing."""
    known = make.cluster(
        nodes=[make.node(f"n{n}") for n in range(3)],
        loads={f"n{n}": Load(node=f"n{n}", power_w=6000.0 if n < metered else None) for n in range(3)},
        power=Power(source="sum of GPUs"),
    )
    lines = ["".join(text for text, _ in one.spans) for one in overview_figures.power_lines(known, 16, 4)]
    assert f"nodes  {told}" in lines

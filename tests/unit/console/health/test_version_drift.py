"""Versions that differ from the neighbours': only where most run the same."""

from __future__ import annotations

import pytest

from collectors.model import Checkup, Source
from console.filters.language import compile_filter
from console.health.inconsistencies import inconsistencies
from console.health.version_drift import drift_by_node, drifts
from console.runtime.memo import forget
from tests.support import make
from tests.support.machine_room import node, rack
from tests.support.make import NOW
from tests.support.yardstick import cost

SAME = {"driver": "570.133", "kernel": "5.14"}


def checked(number, **versions):
    return Checkup(node=f"gpu{number:04d}", versions=SAME | versions)


def site(*nodes, checkups=(), sources=()):
    return make.cluster(sources=sources, at=NOW, nodes=nodes, checkups=checkups)


def told(cluster):
    return [str(one) for one in drifts(cluster)]


def test_what_differs_in_a_rack_is_one_line():
    odd = {4: "570.86", 12: "570.86", 15: "550.1"}
    rows = [checked(n, driver=odd.get(n, "570.133")) for n in range(1, 17)]
    assert told(site(*rack(), checkups=rows)) == [
        "gpu[0004,0012]: driver 570.86 where 13 of 16 of rack R07 run 570.133",
        "gpu0015: driver 550.1 where 13 of 16 of rack R07 run 570.133",
    ]


def test_each_rack_is_judged_by_itself():
    """A roll-out that goes rack by rack is no drift."""
    nodes = [*rack(), *rack(rack=8, first=17)]
    rows = [checked(n, driver="570.133" if n < 17 else "580.1") for n in range(1, 33)]
    assert told(site(*nodes, checkups=rows)) == []
    rows[20] = checked(21)
    assert told(site(*nodes, checkups=rows)) == ["gpu0021: driver 570.133 where 15 of 16 of rack R08 run 580.1"]


@pytest.mark.parametrize(("new", "lines"), [(7, 1), (8, 0), (9, 1)])
def test_in_the_middle_of_a_roll_out_nobody_is_wrong(new, lines):
    rows = [checked(n, driver="580.1" if n <= new else "570.133") for n in range(1, 17)]
    assert len(told(site(*rack(), checkups=rows))) == lines


def test_what_is_not_known_is_in_no_majority():
    rows = [checked(1, driver="570.86"), *(checked(n) for n in (2, 3))]
    assert told(site(*rack(), checkups=rows)) == [], "three of sixteen tell"
    rows.append(checked(4))
    assert told(site(*rack(), checkups=rows)) == ["gpu0001: driver 570.86 where 3 of 4 of rack R07 run 570.133"]


def test_kinds_of_nodes_in_one_rack_are_held_apart():
    nodes = [node(n, gpu_type="h100" if n <= 8 else "l40s") for n in range(1, 17)]
    rows = [checked(n, vbios="96" if n <= 8 else "95") for n in range(1, 17)]
    assert told(site(*nodes, checkups=rows)) == []


def test_a_short_rack_is_held_against_all_of_its_kind():
    nodes = [*rack(), node(17, rack=9), node(18, rack=9), node(19, rack=10)]
    rows = [checked(n, **({"driver": "570.86"} if n in {3, 17} else {})) for n in range(1, 20)]
    assert told(site(*nodes, checkups=rows)) == [
        "gpu0017: driver 570.86 where 17 of 19 of all gpu nodes run 570.133",
        "gpu0003: driver 570.86 where 15 of 16 of rack R07 run 570.133",
    ]


def test_what_slurmd_runs_comes_from_slurm():
    nodes = [node(n, version="26.05.5" if n != 2 else "26.05.3") for n in range(1, 17)]
    assert told(site(*nodes)) == ["gpu0002: slurmd 26.05.3 where 15 of 16 of rack R07 run 26.05.5"]


def test_of_one_node_everything_that_differs():
    rows = [checked(n, **({"driver": "570.86", "bios": "1"} if n == 5 else {"bios": "2"})) for n in range(1, 17)]
    cluster = site(*rack(), checkups=rows)
    assert [one.what for one in drift_by_node(cluster)["gpu0005"]] == ["bios", "driver"]
    assert "gpu0004" not in drift_by_node(cluster)


def test_the_inbox_tells_all_of_a_kind_in_one_line_and_never_from_old_facts():
    rows = [checked(n, driver="570.86" if n in {4, 12} else "570.133") for n in range(1, 17)]
    fresh = Source(name="prom.checkups", ok=True, tried=True, read_mono=100.0, due_s=300.0)
    cluster = site(*rack(), checkups=rows, sources=[fresh])
    (one,) = (row for row in inconsistencies(cluster, NOW, mono=101.0) if row.kind == "drift")
    assert (one.node, one.nodes, one.severity) == ("gpu0004", ("gpu0004", "gpu0012"), "warn")
    assert one.text == "driver 570.86 where 14 of 16 of rack R07 run 570.133"
    (alone,) = (row for row in inconsistencies(cluster, NOW, mono=101.0, node="gpu0012") if row.kind == "drift")
    assert (alone.node, alone.nodes) == ("gpu0012", ())
    assert [row for row in inconsistencies(cluster, NOW, mono=2000.0) if row.kind == "drift"] == []


def test_twelve_thousand_nodes_are_soon_compared():
    nodes = [node(n, rack=n // 16) for n in range(1, 12_001)]
    rows = [checked(n, **({"driver": "570.86"} if n % 500 == 0 else {})) for n in range(1, 12_001)]
    cluster = site(*nodes, checkups=rows)
    assert len(drifts(cluster)) == 24
    assert cost(lambda: (forget(cluster.name), drifts(cluster))) < 21  # 7 where it was measured


def test_the_node_list_finds_what_differs_and_who_has_a_ticket():
    rows = [checked(n, driver="570.86" if n in {4, 12} else "570.133") for n in range(1, 17)]
    cluster = site(*rack([node(9, comment="ticket=KubeGPU-9")]), checkups=rows)

    def found(text):
        keep = compile_filter(text, "node")
        return [name for name, one in cluster.nodes.items() if keep.matches(one, cluster)]

    assert found("drift=driver") == ["gpu0004", "gpu0012"] and found("drift=vbios") == []
    assert found("ticket~KubeGPU") == ["gpu0009"]

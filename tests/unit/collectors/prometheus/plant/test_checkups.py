"""A node's own checks and versions: read from Prometheus, shown on its screen, looked at before it goes back."""

from __future__ import annotations

import time

import msgspec
import pytest

from collectors.model import Checkup, Fault, Source, SourceFault
from collectors.prometheus.sources import PLANT
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from collectors.sim.plant.checkups import Checks
from console.health.inconsistencies import fresh_facts
from console.preflight.plant_checks import check_health as look
from console.tables import node_health_lines
from tests.support import make
from tests.support.machine_room import DAY, HOUR, rack
from tests.support.machine_room import node as slurm_node
from tests.support.make import NOW
from tests.support.prometheus_server import StandIn, node, refusing

AT = int(time.time()) - 240


@pytest.fixture
def prom():
    with StandIn() as server:
        yield server


def read(server):
    return PLANT["prom.checkups"](server.settings).collect()


def on(name, **labels):
    return {"node": name, **labels}


# -- reading -----------------------------------------------------------------------------------------------------------


def test_versions_come_from_whoever_has_them(prom):
    prom.rows |= {
        "gpu_versions": [
            (on("gpu1", DCGM_FI_DRIVER_VERSION="570.133", DCGM_FI_DEV_VBIOS_VERSION="96.1"), 7),
            (on("gpu1", DCGM_FI_DRIVER_VERSION="570.133", DCGM_FI_DEV_VBIOS_VERSION="96.2"), 1),
            (on("gpu2", DCGM_FI_SYSTEM_DRIVER_VERSION="580.95"), 8),
        ],
        "kernel": [(on("gpu1", release="5.14"), 1)],
        "dmi": [(on("gpu1", bios_version="2.4", product_serial="J1"), 1), (on("gpu2", bios_version="N/A"), 1)],
        "bmc": [(on("gpu2", firmware_revision="24.09"), 1), (on("-oProxy", firmware_revision="1"), 1)],
    }
    found = read(prom).checkups
    assert found.keys() == {"gpu1", "gpu2"}
    assert found["gpu1"].versions == {"driver": "570.133", "vbios": "96.1 + 96.2", "kernel": "5.14", "bios": "2.4"}
    assert found["gpu1"].serial == "J1" and found["gpu2"].serial is None
    assert found["gpu2"].versions == {"driver": "580.95", "bmc": "24.09"}
    assert found["gpu1"].nhc is found["gpu1"].diag is found["gpu1"].health is None, "nobody tells: unknown"


def test_nodes_that_run_the_same_share_one_mapping(prom):
    prom.rows["kernel"] = [(on(f"gpu{n}", release="5.14"), 1) for n in range(3)]
    one, *others = read(prom).checkups.values()
    assert all(other.versions is one.versions for other in others)


def test_checks_with_their_dates(prom):
    prom.rows |= {
        "nhc": [(node("gpu1"), 1), (node("gpu2"), 0), (node("gpu3"), 0)],
        "nhc_failed": [(on("gpu2", check="check_ib"), 1), (on("gpu2", check="check_fs"), 1)],
        "nhc_at": [(node("gpu1"), AT)],
        "diag": [(on("gpu1", level="1"), 1), (on("gpu1", level="3"), 0), (on("gpu2", level="3"), 1)],
        "diag_failed": [(on("gpu1", level="3", test="memory"), 1)],
        "diag_at": [(on("gpu1", level="1"), AT - 90), (on("gpu1", level="3"), AT), (node("gpu2"), AT - DAY)],
        "gpu_health": [(node("gpu1"), 0), (node("gpu2"), 20)],
        "gpu_ailing": [(on("gpu2", health_watch="NVLINK"), 20), (on("gpu2", health_watch="PCIE"), 10)],
    }
    one, two, three = (read(prom).checkups[f"gpu{n}"] for n in (1, 2, 3))
    assert (one.nhc, one.nhc_at, one.nhc_ok) == ("ok", AT, True)
    assert (two.nhc, two.nhc_at, two.nhc_ok) == ("check_fs, check_ib", None, False) and three.nhc == "failed"
    assert (one.diag, one.diag_at, one.diag_ok) == ("r3 failed: memory", AT, False), "the newer one"
    assert (two.diag, two.diag_at, two.diag_ok) == ("r3 pass", AT - DAY, True)
    assert (one.health, two.health, three.health) == ("ok", "nvlink fails, pcie warns", None)


def test_words_from_outside_are_cleaned(prom):
    prom.rows |= {"nhc": [(node("gpu1"), 0)], "nhc_failed": [(on("gpu1", check="a\x1b]52;c;x\x07"), 1)]}
    assert read(prom).checkups["gpu1"].nhc == "a\\e]52;c;x\\x07"


def test_a_site_without_any_of_it_has_no_checkups_and_no_fault(prom):
    assert read(prom).checkups is None


def test_series_that_were_there_and_are_gone_are_a_fault(prom):
    source = PLANT["prom.checkups"](prom.settings)
    prom.rows["kernel"] = [(on("gpu1", release="5.14"), 1)]
    assert source.collect().checkups
    prom.rows.clear()
    with pytest.raises(SourceFault, match="versions and health checks of nodes: the series were there and are gone"):
        source.collect()


def test_a_query_that_is_refused_costs_only_itself(prom):
    prom.rows["kernel"] = [(on("gpu1", release="5.14"), 1)]
    prom.odd["nhc"] = refusing(422, "no such function")
    facts = read(prom)
    assert facts.checkups["gpu1"].versions and any("nhc" in text for text in facts.warnings)


def test_a_site_names_its_own_series():
    with StandIn(queries={"nhc": "min by ($exported) (my_nhc_ok)"}) as prom:
        prom.rows["nhc"] = [(node("gpu1"), 1)]
        assert read(prom).checkups["gpu1"].nhc == "ok"
        sent = [params["query"] for _, params, _ in prom.seen if "my_nhc_ok" in params.get("query", "")]
        assert len(sent) == 1 and sent[0].startswith("max by (instance, node, ")


# -- before a node goes back -------------------------------------------------------------------------------------------


def looked(one, *, ok=True, **more):
    given = {"boot_at": int(NOW - 5 * HOUR)} | more
    nodes = rack([slurm_node(1, **given)])
    source = Source(name="prom.checkups", ok=ok, tried=True, read_mono=100.0, due_s=300.0,
                    fault=None if ok else Fault("timeout", "x"))  # fmt: skip
    made = make.cluster(nodes=nodes, checkups=[one] if one is not None else [])
    cluster = msgspec.structs.replace(made, at=NOW, sources={source.name: source})
    found = []
    look(cluster.nodes["gpu0001"], cluster, NOW, fresh_facts(cluster, NOW, 101.0), found)
    return [(check.level, check.text) for check in found]


def ago(seconds):
    return int(NOW - seconds)


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        ({"nhc": "ok", "nhc_at": ago(60)}, "ok", "NHC ok at"),
        ({"nhc": "check_ib", "nhc_at": ago(60)}, "bad", "check_ib"),
        ({"nhc": "check_ib"}, "bad", "NHC fails: check_ib"),
        ({"nhc": "ok", "nhc_at": ago(2 * HOUR)}, "unknown", "NHC has not run since"),
        ({"diag": "r3 failed: memory", "diag_at": ago(HOUR)}, "bad", "r3 failed: memory since it booted"),
        ({"diag": "r3 failed", "diag_at": ago(9 * HOUR)}, "warn", "before it booted, and did not run since"),
        ({"health": "nvlink fails"}, "warn", "dcgmi health: nvlink fails"),
    ],
)
def test_what_speaks_for_and_against_a_return(facts, level, words):
    ((found, text),) = looked(Checkup(node="gpu0001", **facts))
    assert found == level and words in text


def test_old_facts_accuse_nobody_and_a_site_without_checks_is_not_nagged():
    assert looked(Checkup(node="gpu0001", nhc="check_ib"), ok=False) == [
        ("unknown", "its health checks were not read lately")
    ]
    assert looked(None) == []


def test_a_driver_that_differs_is_a_warning_any_other_version_a_note():
    rows = [Checkup(node=f"gpu{n:04d}", versions={"driver": "570", "bios": "2"} if n > 1 else
                    {"driver": "550", "bios": "1"}) for n in range(1, 17)]  # fmt: skip
    made = make.cluster(nodes=rack(), checkups=rows)
    cluster = msgspec.structs.replace(made, at=NOW)
    found = []
    look(cluster.nodes["gpu0001"], cluster, NOW, fresh_facts(cluster, NOW), found)
    assert {check.level: check.text.split()[0] for check in found} == {"warn": "driver", "note": "bios"}


# -- on its screen -----------------------------------------------------------------------------------------------------


def test_the_lines_of_a_node():
    rows = [Checkup(node=f"gpu{n:04d}", versions={"driver": "570" if n > 1 else "550"}) for n in range(1, 17)]
    rows[0] = msgspec.structs.replace(
        rows[0], nhc="ok", nhc_at=ago(60), diag="r3 pass", diag_at=ago(3 * DAY), health="ok", serial="J1"
    )
    nodes = rack([slurm_node(1, comment="ticket=KubeGPU-9", version="26.05")])
    cluster = make.cluster(nodes=nodes, checkups=rows)
    health, runs, ticket = (
        "".join(text for text, _ in one.spans) for one in node_health_lines.health_lines(cluster, "gpu0001", NOW)
    )
    assert "NHC ok" in health and "dcgmi diag r3 pass 3 d ago" in health and "dcgmi health ok" in health
    assert "driver 550 (most of rack R07: 570)" in runs and "slurmd" not in runs
    assert "KubeGPU-9, age unknown: it has no date (comment)" in ticket and "serial J1" in ticket
    assert node_health_lines.health_lines(make.cluster(nodes=rack()), "gpu0001", NOW) == []
    assert node_health_lines.health_lines(cluster, "gpu9999", NOW) == []


# -- the simulated cluster ---------------------------------------------------------------------------------------------


def test_most_of_the_simulated_cluster_runs_the_same_and_a_failed_check_follows_a_fault():
    machine = Machine(SimSettings(nodes=256))
    checks = Checks(machine.site)
    first = checks.rows(machine.now)
    drivers = [one.versions["driver"] for one in first.values()]
    assert 0 < sum(driver != max(set(drivers), key=drivers.count) for driver in drivers) < 10
    assert len({id(one.versions) for one in first.values()}) < 20
    same = checks.rows(machine.now)
    assert all(same[name] is one for name, one in first.items())
    name = next(name for name, one in first.items() if one.nhc == "ok")
    machine.break_node(name, "NHC: check_ib mlx5_0 link down", down=False)
    assert checks.rows(machine.now)[name].nhc == "check_ib"
    machine.break_node(name)
    assert name not in checks.rows(machine.now), "a node that is down tells nothing"

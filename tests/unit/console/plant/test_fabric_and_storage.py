"""What the console makes of ports and file systems: folds, lines that need somebody, checks, the chip. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from collectors.model import Attached, Cluster, Fabric, Fault, FileSystem, Port, Source
from console.health.inconsistencies import fresh_facts
from console.plant import fabric, storage
from console.preflight import plant_checks
from console.preflight.checks import Check
from console.tables import port_and_mount_lines
from console.triage import attention_fabric_storage
from console.triage.attention import attention_lines
from tests.support import make
from widgets.chips import storage_chip, top_spans

NOW, MONO = 1100.0, 100.0


def port(node: str, *wrong: str, device: str = "mlx5_0", **more: Any) -> Port:
    given = {"link": "InfiniBand", "up": "down" not in wrong, "usual_gbps": 400.0} | more
    return Port(node=node, device=device, wrong=wrong, **given)


def site(
    ports: Sequence[Port] = (),
    stores: Sequence[FileSystem] = (),
    jobs: Sequence[Any] = (),
    switches: Mapping[str, int] | None = None,
    state: str = "IDLE",
    **sources: Source,
) -> Cluster:
    nodes = [make.node(f"gpu{n:04d}", state, rack=f"R0{1 + n // 16}") for n in range(1, 40)]
    read = [Source(name=name, ok=True, tried=True, read_mono=MONO, due_s=60.0)
            for name in ("slurm.nodes", "slurm.jobs", "prom.fabric", "prom.storage")]  # fmt: skip
    facts = {"nodes": nodes, "jobs": list(jobs)}
    if ports or switches:
        facts |= {
            "ports": {one.key: one for one in ports},
            "fabric": Fabric(ports=360, up=358, switches=switches or {}),
        }
    if stores:
        facts["storage"] = {one.name: one for one in stores}
    return make.cluster(sources=[*read, *sources.values()], **facts)


def said(cluster: Cluster) -> list[str]:
    good = fresh_facts(cluster, NOW, MONO)
    return [
        one.text
        for one in (
            *attention_fabric_storage.storage_items(cluster, good),
            *attention_fabric_storage.port_items(cluster, good),
        )
    ]


def stale(name: str) -> Source:
    return Source(name=name, ok=False, tried=True, read_mono=MONO - 900, due_s=60.0, fault=Fault("timeout", "x"))


# -- the fabric --------------------------------------------------------------------------------------------------------


def test_ports_fold_by_switch_and_by_rack_where_none_is_known():
    ports = [port("gpu0001", "down", switch="leaf-03"), port("gpu0002", "slow", "flapping", switch="leaf-03"),
             port("gpu0017", "down"), port("gpu0018", "errors")]  # fmt: skip
    jobs = [make.job("7", nodes="gpu[0001-0002]"), make.job("8", nodes="gpu0017")]
    cluster = site(ports, jobs=jobs, switches={"leaf-03": 64, "leaf-04": 64})
    rows = fabric.by_switch(cluster)
    assert list(rows) == ["rack/R02", "switch/leaf-03", "switch/leaf-04"]
    rack, leaf, well = rows.values()
    assert (leaf.ports, leaf.count("down"), leaf.count("slow"), leaf.nodes, leaf.jobs) == (
        64, 1, 1, ("gpu0001", "gpu0002"), 1,
    )  # fmt: skip
    assert (rack.ports, rack.count("errors"), rack.jobs) == (None, 1, 1)
    assert (well.unhealthy, well.nodes, well.jobs) == ((), (), 0)


def test_a_switch_may_stand_in_extra_but_not_for_ethernet():
    extra = '{"switch": "leaf-9"}'
    cluster = make.cluster(
        nodes=[make.node("gpu0001", rack="R01", extra=extra)],
        ports={
            one.key: one for one in (port("gpu0001", "down"), port("gpu0001", "down", device="eno1", link="Ethernet"))
        },
    )
    assert set(fabric.by_switch(cluster)) == {"switch/leaf-9", "rack/R01"}
    assert all(row.jobs is None for row in fabric.by_switch(cluster).values()), "no queue was read"


def test_a_switch_that_loses_links_is_one_line():
    ports = [port(f"gpu{n:04d}", "down", switch="leaf-03") for n in range(1, 13)]
    ports.append(port("gpu0013", "slow", switch="leaf-03"))
    cluster = site(ports, jobs=[make.job("7", nodes="gpu[0001-0008]")])
    assert said(cluster) == ["leaf-03: 12 ports down, 1 slow on 13 nodes, 1 job there"]
    assert [one.text for one in attention_lines(cluster, NOW, mono=MONO)] == said(cluster)


def test_a_switch_whose_nodes_were_drained_for_it_is_told_of_once():
    ports = [port(f"gpu{n:04d}", "down", switch="leaf-03") for n in range(1, 13)]
    why = {"reason": "NHC: check_ib mlx5_0 link down", "reason_by": "root", "reason_at": int(NOW) - 60}
    cluster = site(ports)
    drained = [make.node(f"gpu{n:04d}", "IDLE+DRAIN", rack="R01", **why) for n in range(1, 13)]
    cluster = make.cluster(
        sources=cluster.sources.values(), nodes=[*cluster.nodes.values(), *drained], ports=cluster.ports,
        fabric=cluster.fabric,
    )  # fmt: skip
    assert said(cluster) == ["leaf-03: 12 ports down on 12 nodes"]
    (line,) = [one.text for one in attention_lines(cluster, NOW, mono=MONO)]
    assert line.startswith("R01: 12 of 15 nodes drained")


def test_many_switches_are_one_line():
    ports = [port(f"gpu{n:04d}", "down", switch=f"leaf-{n // 4}") for n in range(4, 24)]
    (line,) = said(site(ports))
    assert line == "20 ports behind 5 switches are not well: leaf-1, leaf-2, leaf-3, leaf-4, …"


def test_ports_one_by_one_only_where_the_node_takes_work():
    ports = [port("gpu0001", "down", state="Down, Polling")]
    assert said(site(ports)) == ["gpu0001 mlx5_0 down (Down, Polling), the node takes work"]
    assert said(site(ports, state="IDLE+DRAIN")) == []
    two = [port("gpu0001", "slow", speed_gbps=200.0), port("gpu0030", "errors", errors=4000)]
    assert said(site(two)) == ["2 ports not well on nodes that take work: gpu[0001,0030]"]


def test_nobody_is_accused_on_old_facts():
    ports = [port(f"gpu{n:04d}", "down") for n in range(1, 9)]
    hangs = [FileSystem(name="/scratch", hung=("gpu0001",), mounted=39)]
    assert len(said(site(ports, hangs))) == 2
    old = site(ports, hangs, a=stale("prom.fabric"), b=stale("prom.storage"))
    assert said(old) == []
    found: list[Check] = []
    plant_checks.check_ports_and_storage(old.nodes["gpu0001"], old, fresh_facts(old, NOW, MONO), found)
    assert [one.level for one in found] == ["unknown", "unknown"]


# -- storage -----------------------------------------------------------------------------------------------------------


def test_what_hangs_when_a_file_system_hangs():
    hung = tuple(f"gpu{n:04d}" for n in range(12, 16))
    store = FileSystem(name="/scratch", kind="lustre", hung=hung, mounted=39, targets=24, targets_up=22,
                       wrong=("2 of 24 targets do not answer",))  # fmt: skip
    jobs = [make.job("7", nodes="gpu[0012-0013]"), make.job("8", nodes="gpu0014", user="bob"),
            make.job("9", nodes="gpu0001", user="carol")]  # fmt: skip
    cluster = site([], [store], jobs)
    stuck = make.node("gpu0012", "MIXED+DRAIN", reason="Kill task failed", reason_by="slurm")
    ends = make.node("gpu0013", "MIXED+COMPLETING")
    cluster = make.cluster(
        sources=cluster.sources.values(), jobs=jobs, storage=cluster.storage,
        nodes=[*cluster.nodes.values(), stuck, ends],
    )  # fmt: skip
    row = storage.store_rows(cluster)["/scratch"]
    assert (row.state, row.jobs, row.users, row.stuck) == (
        "hangs",
        ("7", "8"),
        ("alice", "bob"),
        ("gpu0012", "gpu0013"),
    )
    assert said(cluster)[0].startswith("/scratch hangs on gpu[0012-0015]: 2 jobs, on 2 a job cannot end; 2 of 24")
    hit = storage.nodes_of(row, cluster)
    assert [(one.how, one.stuck, one.users) for one in hit.values()] == [
        ("hangs", "Kill task failed", ("alice",)), ("hangs", "COMPLETING", ("alice",)), ("hangs", None, ("bob",)),
        ("hangs", None, ()),
    ]  # fmt: skip


def test_missing_counts_on_nodes_in_service_only():
    store = FileSystem(name="/home", mounted=37, missing=("gpu0001", "login1"))
    assert storage.store_rows(site([], [store]))["/home"].missing == ("gpu0001",)
    out = site([], [store], state="DOWN")
    assert storage.store_rows(out)["/home"].state == "well" and said(out) == []
    assert said(site([], [store])) == ["/home is not mounted on gpu0001"]


@pytest.mark.parametrize(
    ("store", "text", "role"),
    [
        ({"hung": ("gpu0001", "gpu0002")}, "storage /scratch hangs on 2", "chip-fault"),
        ({"missing": ("gpu0001",)}, "storage /scratch missing on 1", "chip-stale"),
        ({"missing": ("login1",)}, "storage ok", "chip-ok"),
        ({"wrong": ("97 % full",)}, "storage /scratch 97 % full", "chip-stale"),
        ({}, "storage ok", "chip-ok"),
    ],
)
def test_the_chip(store, text, role):
    chip = storage_chip(site([], [FileSystem(name="/scratch", mounted=39, **store)]), MONO)
    assert chip is not None and (chip.text, chip.role) == (text, role)


def test_the_chip_is_there_only_with_a_source_and_never_calls_old_facts_well():
    assert storage_chip(site(), MONO) is None
    old = site([], [FileSystem(name="/scratch", mounted=39)], a=stale("prom.storage"))
    chip = storage_chip(old, MONO)
    assert chip is not None and chip.text == "storage unknown"


def test_on_a_narrow_line_ok_goes_first_and_a_hang_stays():
    def line(cells: int, *stores: FileSystem) -> str:
        return "".join(text for text, _ in top_spans(site([], list(stores)), NOW, MONO, (), cells))

    well, hangs = FileSystem(name="/scratch", mounted=39), FileSystem(name="/scratch", hung=("gpu0001",), mounted=39)
    assert "storage ok" in line(160, well) and "storage" not in line(60, well)
    assert "storage /scratch hangs on 1" in line(160, hangs) and "/scratch hangs" in line(60, hangs)


# -- one node ----------------------------------------------------------------------------------------------------------


def test_a_node_that_is_to_come_back_is_looked_at():
    ports = [port("gpu0001", "down", state="Down, Polling"), port("gpu0001", "slow", device="mlx5_1", speed_gbps=200.0)]
    cluster = site(
        ports, [FileSystem(name="/scratch", hung=("gpu0001",)), FileSystem(name="/home", missing=("gpu0001",))]
    )
    found: list[Check] = []
    plant_checks.check_ports_and_storage(cluster.nodes["gpu0001"], cluster, fresh_facts(cluster, NOW, MONO), found)
    assert [(one.level, one.text) for one in found] == [
        ("bad", "mlx5_0 down (Down, Polling)"), ("warn", "mlx5_1 slow: 200 Gb/s of 400 Gb/s"),
        ("bad", "/scratch hangs there: jobs would hang"), ("bad", "/home is not mounted there"),
    ]  # fmt: skip
    well: list[Check] = []
    plant_checks.check_ports_and_storage(cluster.nodes["gpu0002"], cluster, fresh_facts(cluster, NOW, MONO), well)
    assert well == [], "nothing is called fine: of a silent node nothing is known"


def test_a_row_an_adapter_and_one_for_the_mounts():
    cluster = site([port("gpu0001", "slow", speed_gbps=200.0)], [FileSystem(name="/home", missing=("gpu0001",))])
    attached = Attached(
        ports=(port("gpu0001", speed_gbps=400.0, state="Active, LinkUp"),
               port("gpu0001", "down", "flapping", device="mlx5_1", state="Down, Polling", downed=4, switch="leaf-1"),
               Port(node="gpu0001", device="eno1", link="Ethernet", sampled_at=500)),
        mounts={"/scratch": False, "/apps": True},
    )  # fmt: skip

    def text(attached: Attached | None, node: str = "gpu0001") -> list[str]:
        return [
            "".join(part for part, _ in one.spans) for one in port_and_mount_lines.lines(attached, cluster, node, NOW)
        ]

    mounts, down, well, old = text(attached)
    assert "mlx5_0" in well and "400 Gb/s" in well and "● well" in well
    assert "✖ down" in down and "(Down, Polling)" in down and "down 4× in 1 h" in down and "leaf-1" in down
    assert "? unknown" in old and "last sample 10m ago" in old
    assert "● /apps" in mounts and "▼ /home missing" in mounts and "✖ /scratch hangs" in mounts
    assert "▼ slow" in text(None)[1], "until it is read, what the machine's sums know"
    assert text(None, "gpu0002") == []

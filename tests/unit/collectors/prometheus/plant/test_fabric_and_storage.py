"""Ports and file systems from the answers of a stand-in for Prometheus: what is usual, what is not, what is unknown."""

from __future__ import annotations

import time

import msgspec
import pytest

from collectors.model import SourceFault
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.plant.fabric import FabricReader, usual_of
from collectors.prometheus.plant.plant_settings import FabricSettings, StorageSettings
from collectors.prometheus.plant.storage import StorageReader
from collectors.prometheus.site_queries import SiteQueries
from collectors.prometheus.sources import PLANT
from tests.support.prometheus_server import StandIn

HDR, NDR = 25_000_000_000, 50_000_000_000


class Clock:
    """Real time on the wall, and a monotonic clock that tests move."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return time.time()

    def mono(self) -> float:
        return self.at


def what(word: str, **labels: str) -> dict[str, str]:
    return {**labels, "what": word}


def port(name: str, device: str, number: str = "1") -> dict[str, str]:
    return {"node": name, "device": device, "port": number}


def fabric_of(prom: StandIn, clock: Clock | None = None) -> FabricReader:
    clock = clock or Clock()
    return FabricReader(SiteQueries(prom.settings), PrometheusClient(prom.settings, clock), clock.mono)


def storage_of(prom: StandIn, clock: Clock | None = None) -> StorageReader:
    clock = clock or Clock()
    return StorageReader(SiteQueries(prom.settings), PrometheusClient(prom.settings, clock), clock.mono)


def well(prom: StandIn, nodes: int = 100) -> None:
    """mlx5_0 with a cable, mlx5_9 without one, and Ethernet."""
    cabled = {"device": "mlx5_0", "port": "1"}
    prom.rows = {
        "ports": [
            (what("all", **cabled), nodes), (what("up", **cabled), nodes - 3),
            (what("all", device="mlx5_9", port="1"), nodes), (what("all", device="eno1"), nodes),
            (what("up", device="eno1"), nodes),
        ],
        "port_speeds": [({**cabled, "rate": str(NDR)}, nodes - 4), ({**cabled, "rate": str(HDR)}, 1),
                        ({"device": "eno1", "rate": "3.125e+09"}, nodes)],
        "fabric_sampled": [({}, time.time() - 7)],
        "ports_down": [(port("gpu0007", "mlx5_0"), 12), (port("gpu0008", "mlx5_0"), 13)],
        "ports_slow": [(port("gpu0009", "mlx5_0"), HDR)],
        "ports_flapping": [(port("gpu0007", "mlx5_0"), 5), (port("gpu0001", "eno1", ""), 2)],
        "ports_ill": [(port("gpu0003", "mlx5_0"), 12_345)],
    }  # fmt: skip


# -- what is usual -----------------------------------------------------------------------------------------------------


def test_a_device_that_is_down_nearly_everywhere_all_day_has_no_cable():
    counts = {("a", "1", "all"): 100, ("a", "1", "up"): 97, ("b", "1", "all"): 100, ("b", "1", "up"): 2,
              ("c", "", "all"): 100}  # fmt: skip
    assert usual_of(counts, (), {}).uncabled == {("b", "1"), ("c", "")}
    # It was up within the day: the fabric died, nobody pulled a hundred cables.
    assert usual_of(counts, (), {("b", "1"): 100.0}).uncabled == {("c", "")}
    dead = {("a", "1", "all"): 100, ("b", "1", "all"): 100}
    assert usual_of(dead, (), {}).uncabled == frozenset(), "where nothing would be left, nothing is left out"


def test_the_usual_speed_is_that_of_most_and_of_no_small_rest():
    def speed(*rates: tuple[float, int]) -> float:
        return usual_of({}, [("a", "1", rate, count) for rate, count in rates], {}).speeds["a", "1"]

    assert speed((NDR, 99), (HDR, 1)) == NDR
    assert speed((NDR, 60), (HDR, 40)) == HDR, "nodes of another kind: two speeds are usual, the lower one counts"
    assert speed((NDR, 80), (HDR, 15), (1e9, 5)) == NDR


# -- ports -------------------------------------------------------------------------------------------------------------


def test_what_is_not_well_with_each_port_and_all_in_figures():
    with StandIn() as prom:
        well(prom)
        facts = fabric_of(prom).read()
    assert facts.warnings == () and facts.fabric is not None and facts.ports is not None
    one = facts.fabric
    assert (one.ports, one.up, one.uncabled, one.source, one.switches) == (200, 197, 100, "node_exporter", {})
    found = facts.ports
    assert found.keys() == {
        "gpu0007/mlx5_0/1", "gpu0008/mlx5_0/1", "gpu0009/mlx5_0/1", "gpu0001/eno1/1", "gpu0003/mlx5_0/1",
    }  # fmt: skip
    down = found["gpu0007/mlx5_0/1"]
    assert (down.wrong, down.state, down.up, down.downed) == (("down", "flapping"), "Down, Polling", False, 5)
    assert found["gpu0008/mlx5_0/1"].state == "Down, Disabled" and found["gpu0008/mlx5_0/1"].speed_gbps is None
    slow = found["gpu0009/mlx5_0/1"]
    assert (slow.wrong, slow.speed_gbps, slow.usual_gbps, slow.up) == (("slow",), 200.0, 400.0, True)
    ethernet = found["gpu0001/eno1/1"]
    assert (ethernet.link, ethernet.wrong, ethernet.usual_gbps) == ("Ethernet", ("flapping",), 25.0)
    assert (found["gpu0003/mlx5_0/1"].wrong, found["gpu0003/mlx5_0/1"].errors) == (("errors",), 12_345)


def test_devices_without_a_cable_are_left_out_by_the_server():
    with StandIn() as prom:
        well(prom)
        prom.rows["ports_down"] = [(port("gpu0001", "mlx5_9"), 13)]
        facts = fabric_of(prom).read()
        sent = next(
            params["query"] for _, params, _ in prom.seen if "topk" in params["query"] and "!= 4" in params["query"]
        )
    assert 'device!~"mlx5_9"' in sent
    assert facts.ports is not None and "gpu0001/mlx5_9/1" not in facts.ports, "and here too, should it not"


def test_the_day_is_looked_at_once_an_hour():
    clock = Clock()
    with StandIn() as prom:
        well(prom)
        reader = fabric_of(prom, clock)
        for at in (0.0, 60.0, 3600.0):
            clock.at = at
            reader.read()
        assert prom.asked.count("ports_of_day") == 2


def test_ports_that_were_sampled_long_ago_are_not_how_they_are_now():
    with StandIn() as prom:
        well(prom)
        prom.rows["fabric_sampled"] = [({}, time.time() - 1000)]
        with pytest.raises(SourceFault, match="the newest sample of a port is 1000 s old"):
            fabric_of(prom).read()


def test_no_series_is_nothing_and_series_that_are_gone_are_a_fault():
    with StandIn() as prom:
        source = PLANT["prom.fabric"](prom.settings)
        nothing = source.collect()
        assert nothing.ports is nothing.fabric is None and nothing.warnings == () and prom.asked == ["ports"]
        well(prom)
        assert source.collect().fabric is not None
        prom.rows["ports"] = [row for row in prom.rows["ports"] if row[0]["device"] == "eno1"]
        with pytest.raises(SourceFault, match="InfiniBand ports were there and are gone"):
            source.collect()
        prom.rows = {}
        with pytest.raises(SourceFault, match="the fabric's ports: the series were there and are gone"):
            source.collect()


def test_odd_answers_are_gaps():
    with StandIn() as prom:
        well(prom)
        prom.rows["ports_down"] = [
            (port("gpu0007", "mlx5_0"), "NaN"), (port("-oProxyCommand=x", "mlx5_0"), 12), (port("", "mlx5_0"), 12),
            ({"node": "gpu0001", "device": ""}, 12), (port("gpu0002", "mlx5_0\x1b]52;c;x\x07", "999999"), 12),
        ]  # fmt: skip
        prom.rows["ports_flapping"] = prom.rows["ports_slow"] = prom.rows["ports_ill"] = []
        facts = fabric_of(prom).read()
    assert facts.ports is not None
    (only,) = facts.ports.values()
    assert (only.node, only.port) == ("gpu0002", 1) and "\x1b" not in only.device
    assert any("of no node's name" in text for text in facts.warnings)


def test_a_series_of_the_site_names_switches():
    with StandIn(fabric=FabricSettings(links="ib_links", switch_label="peer")) as prom:
        well(prom)
        prom.rows["switch_ports"] = [({"peer": "leaf-03"}, 64)]
        prom.rows["switch_of"] = [
            ({"node": "gpu0007.example", "device": "mlx5_0", "peer": "leaf-03", "switch_port": "12"}, 1),
            ({"node": "gpu0009", "peer": "leaf-04"}, 1),
        ]
        reader = fabric_of(prom)
        facts, again = reader.read(), reader.read()
        assert prom.asked.count("switch_of") == 1, "what is known is not asked again"
    assert facts.fabric is not None and facts.ports is not None and again.ports == facts.ports
    assert facts.fabric.switches == {"leaf-03": 64}
    seven, nine = facts.ports["gpu0007/mlx5_0/1"], facts.ports["gpu0009/mlx5_0/1"]
    assert (seven.switch, seven.switch_port, nine.switch, nine.switch_port) == ("leaf-03", "12", "leaf-04", None)


# -- file systems ------------------------------------------------------------------------------------------------------

LUSTRE = {"mountpoint": "/scratch", "fstype": "lustre", "device": "10.0.0.1@o2ib:/fs1"}
HOME = {"mountpoint": "/home", "fstype": "nfs4", "device": "nas:/export/home"}


def mounted(prom: StandIn, nodes: int = 100) -> None:
    prom.rows = {
        "mounts": [(what("all", **LUSTRE), nodes), (what("hung", **LUSTRE), 2), (what("all", **HOME), nodes - 1),
                   (what("all", mountpoint="/home/alice", fstype="nfs4", device="nas:/a"), 1)],
        "mount_nodes": [({}, nodes)],
        "mounts_hung": [({"node": "gpu0008", "mountpoint": "/scratch"}, 1),
                        ({"node": "gpu0007", "mountpoint": "/scratch"}, 1)],
        "mounts_missing": [({"node": "gpu0005", "mountpoint": "/home"}, 1)],
        "mounts_sampled": [({}, time.time())],
        "mount_space": [(what("size", mountpoint="/scratch"), 5e15), (what("avail", mountpoint="/scratch"), 1e14)],
        "storage_targets": [(what("up", fs="fs1"), 22), (what("up", fs="fs2"), 4)],
        "storage_targets_of_day": [({"fs": "fs1"}, 24)],
    }  # fmt: skip


def test_a_row_a_file_system():
    with StandIn() as prom:
        mounted(prom)
        found = storage_of(prom).read().storage
        assert prom.asked.count("mounts_missing") == 1, "asked only for what is not on every node"
    assert found is not None and found.keys() == {"/scratch", "/home", "fs2"}, "/home/alice is alice's own"
    scratch, home = found["/scratch"], found["/home"]
    assert (scratch.kind, scratch.hung, scratch.missing, scratch.mounted) == ("lustre", ("gpu0007", "gpu0008"), (), 100)
    assert (scratch.size_tb, scratch.used_pct, scratch.targets, scratch.targets_up) == (5000.0, 98.0, 24, 22)
    assert scratch.wrong == ("2 of 24 targets do not answer", "98 % full")
    assert (home.missing, home.hung, home.used_pct, home.targets) == (("gpu0005",), (), None, None)
    assert (found["fs2"].kind, found["fs2"].targets, found["fs2"].mounted) == ("lustre", 4, None)


def test_a_mount_that_vanishes_from_all_nodes_is_missing_on_them():
    with StandIn() as prom:
        mounted(prom)
        prom.rows["mounts_of_day"] = [({"mountpoint": "/scratch"}, 100), ({"mountpoint": "/old"}, 7)]
        reader = storage_of(prom)
        reader.read()
        prom.rows["mounts"] = [row for row in prom.rows["mounts"] if row[0]["mountpoint"] == "/home"]
        prom.rows["mounts_missing"] = [({"node": f"gpu{n:04d}"}, 1) for n in range(1, 101)]
        found = reader.read().storage
    assert found is not None and len(found["/scratch"].missing) == 100 and found["/scratch"].mounted == 0
    assert (found["/scratch"].kind, "/old" in found) == ("lustre", False)


def test_what_the_configuration_names_every_node_should_have():
    with StandIn(storage=StorageSettings(mounts=("/apps",))) as prom:
        mounted(prom)
        prom.rows["mounts_missing"] = [({"node": "gpu0001", "mountpoint": "/apps"}, 1)]
        found = storage_of(prom).read().storage
    assert found is not None and found["/apps"].missing == ("gpu0001",)


def test_weka_and_a_silent_nfs_server_are_told():
    with StandIn() as prom:
        weka = {"mountpoint": "/w", "fstype": "wekafs", "device": "default"}
        prom.rows = {
            "mounts": [(what("all", **weka), 10), (what("all", **HOME), 10), (what("readonly", **HOME), 1)],
            "mount_nodes": [({}, 10)],
            "storage_targets": [(what("up", fs="w1"), 7), (what("all", fs="w1"), 8), (what("risk", fs="w1"), 3)],
            "nfs_silent": [({"export": "nas:/export/home"}, 4)],
        }
        found = storage_of(prom).read().storage
    assert found is not None and found.keys() == {"/w", "/home"}
    assert found["/w"].wrong == ("1 of 8 targets do not answer", "data is short of its protection")
    assert found["/home"].wrong == ("its server does not answer 4 nodes in time", "read-only on 1 node")


def test_file_systems_that_are_gone_are_a_fault():
    with StandIn() as prom:
        source = PLANT["prom.storage"](prom.settings)
        assert source.collect().storage is None
        mounted(prom)
        assert source.collect().storage
        servers = {"storage_targets": prom.rows["storage_targets"]}
        prom.rows = servers
        with pytest.raises(SourceFault, match="the nodes' view of the shared file systems was there and is gone"):
            source.collect()


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"fabric": {"ethernet": "eth("}}, "no regular expression"),
        ({"fabric": {"ethernet": 'x"} or up{a="'}}, "neither quotes nor backslashes"),
        ({"fabric": {"switch_label": "a-b"}}, "no label"),
        ({"storage": {"mounts": ["scratch"]}}, "no path from the root"),
        ({"storage": {"fstypes": 'a"'}}, "neither quotes"),
        ({"node_labels": ["a b"]}, "no label"),
    ],
)
def test_settings_are_checked(table, told):
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert({"url": "https://prometheus.example", **table}, PrometheusSettings)


def test_a_hostile_mount_point_cannot_leave_its_string():
    book = SiteQueries(PrometheusSettings(url="https://prometheus.example"))
    with StandIn() as prom:
        mounted(prom)
        name = '/x"} or up{a="'
        prom.rows["mounts"] = [(what("all", mountpoint=name, fstype="nfs", device="d"), 95)]
        storage_of(prom).read()
        sent = [params["query"] for _, params, _ in prom.seen if "unless" in params["query"]]
    assert sent == [book.asking("mounts_missing", expected='/x\\"} or up{a=\\"')]

"""Which node of Slurm a host in a label is: short, full, addresses, several; and which label it is read from."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.alertmanager import AlertmanagerSettings
from collectors.alertmanager.sources import AlertSource
from collectors.clock import ManualClock
from collectors.hosts import ADDRESS, HOST_PATTERN, HOSTNAME, NAME, SHORT, NodeNames, host_of, is_ip, node_ids_of
from collectors.model import Facts, SourceFault
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.host_labels import Hosts
from collectors.prometheus.site_queries import SiteQueries
from collectors.prometheus.sources import Loads, open_telemetry
from collectors.prometheus.values import Notes
from collectors.slurm.commands import nodes as slurm_nodes
from collectors.slurm.rest import answers
from console.doctor import host_check as checked
from console.doctor.finding import FindingGroup
from console.ingest.node_naming import Naming
from console.ingest.poller import Poller, read
from tests.support import alertmanager_server, make
from tests.support.prometheus_server import StandIn

TEMP = "DCGM_FI_DEV_GPU_TEMP"


def names(*ids):
    return NodeNames(tuple(one if isinstance(one, tuple) else (one, None, None) for one in ids))


# -- what a host is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slurm", "value", "node", "how"),
    [
        (["gpu1"], "gpu1", "gpu1", NAME),
        (["gpu1"], "gpu1:9400", "gpu1", NAME),
        (["gpu1"], "gpu1.cluster.example:9400", "gpu1", SHORT),
        (["gpu1.cluster.example"], "gpu1:9400", "gpu1.cluster.example", SHORT),
        (["gpu1.cluster.example"], "gpu1.cluster.example", "gpu1.cluster.example", NAME),
        (["gpu1.cluster.example"], "gpu1.other.example", None, "foreign"),
        ([("n1", "gpu1", "10.0.10.160")], "gpu1:9400", "n1", HOSTNAME),
        ([("n1", "gpu1", "10.0.10.160")], "gpu1.cluster", "n1", SHORT),
        ([("n1", "gpu1", "10.0.10.160")], "10.0.10.160:9100", "n1", ADDRESS),
        ([("n1", "gpu1", "10.0.10.160")], "10.0.10.161:9100", None, "IP address"),
        ([("n1", None, "fd00::1")], "[fd00::1]:9100", "n1", ADDRESS),
        (["gpu1", "10"], "10.0.10.160:9100", None, "IP address"),
        (["10.0.0.5"], "10.0.0.5:9100", "10.0.0.5", NAME),
        (["gpu1.a", "gpu1.b"], "gpu1:9400", None, "ambiguous"),
        (["gpu1.a", "gpu1.b"], "gpu1.b:9400", "gpu1.b", NAME),
        ([("n1", "host", "127.0.0.1"), ("n2", "host", "127.0.0.1")], "host", None, "ambiguous"),
        ([("n1", "host", "127.0.0.1"), ("n2", "host", "127.0.0.1")], "127.0.0.1:1", None, "ambiguous"),
        ([("n1", "host", "127.0.0.1"), ("n2", "host", "127.0.0.1")], "n2", "n2", NAME),
        (["gpu1"], "login1", None, "foreign"),
        # Each name by itself: a NodeName without a domain fits any, whatever the others have.
        ([("gpu1", "gpu1", "gpu1.ib.site")], "gpu1.site:9400", "gpu1", SHORT),
        ([("gpu1", "gpu1.site", "gpu1.ib.site")], "gpu1.mgmt.site", "gpu1", SHORT),
        ([("gpu1", "gpu1", "gpu1.ib.site")], "gpu1.ib.site:9400", "gpu1", ADDRESS),
        ([("n1", "gpu1.site", "gpu1.ib.site")], "gpu1:9400", "n1", SHORT),
        ([("n1", "gpu1.site", "gpu1.ib.site")], "gpu1.mgmt.site", None, "foreign"),
        ([("gpu1", None, "gpu1.ib.site"), "gpu1.other"], "gpu1.site", "gpu1", SHORT),
        ([("n1", "gpu1", None), ("n2", "gpu2", "gpu1.ib.site")], "gpu1.site", "n1", SHORT),
        ([("gpu1", "n1", None), ("gpu2", "n1.a", "n2")], "n1.b", "gpu1", SHORT),
    ],
)
def test_a_host_is_the_node_that_slurm_means(slurm, value, node, how):
    fit = names(*slurm).fit(value)
    assert (fit.node, fit.how) == (node, how)


def test_hosts_of_two_domains_are_never_one_node():
    known = names("gpu1", "gpu2")
    fits = [known.fit(value, family="GPUs") for value in ("gpu1.a", "gpu1.b", "gpu2.a")]
    known.learn("GPUs", fits)
    assert [known.fit(value, family="GPUs").node for value in ("gpu1.a", "gpu1.b", "gpu2.a", "gpu1")] == [
        None,
        None,
        "gpu2",
        "gpu1",
    ]
    known.learn("GPUs", [known.fit(value, family="GPUs") for value in ("gpu1.a", "gpu1.b")])
    assert known.fit("gpu1.a", family="GPUs").node is None, "it is learned again from hosts that are ambiguous already"
    known.learn("GPUs", [known.fit("gpu1.a", family="GPUs")])
    assert known.fit("gpu1.a", family="GPUs").node == "gpu1", "the other one is gone"


def test_a_host_that_slurm_calls_so_stays_the_node_and_one_of_another_domain_is_not_merged_with_it():
    known = names(("gpu1", "gpu1", "gpu1.ib.site"))
    for _ in range(2):
        known.learn("GPUs", [known.fit(value, family="GPUs") for value in ("gpu1.ib.site", "gpu1.site")])
        assert (
            known.fit("gpu1.ib.site", family="GPUs").how == ADDRESS
            and known.fit("gpu1.site", family="GPUs").how == "ambiguous"
        )
    known.learn("GPUs", [known.fit(value, family="GPUs") for value in ("gpu1.site", "gpu1", "10.0.0.1")])
    assert known.fit("gpu1.site", family="GPUs").node == "gpu1"
    addressed = names(("gpu1", "gpu1", "10.0.0.1"))
    addressed.learn("GPUs", [addressed.fit(value, family="GPUs") for value in ("gpu1.site", "10.0.0.1:9400")])
    assert addressed.fit("gpu1.site", family="GPUs").node == "gpu1", "an address has no domain"


def test_hosts_of_two_domains_among_the_ports_leave_the_gpus_alone():
    for known, rule in ((names("gpu1"), None), (names("gpu1"), re.compile(r"([^.:]+).*")), (NodeNames(), None)):
        known.learn("ports", [known.fit(value, rule, "ports") for value in ("gpu1.site:9100", "gpu1.bmc:9100")])
        assert known.fit("gpu1.site:9100", rule, "ports").how == "ambiguous"
        assert known.fit("gpu1.site:9400", rule, "GPUs").node == known.fit("gpu1.site:9400", rule).node == "gpu1"


def test_a_node_whose_ports_come_from_two_hosts_keeps_its_gpus():
    known = names("gpu1")
    with StandIn() as ports, StandIn() as gpus:
        for server, hosts in ((ports, ["gpu1.site", "gpu1.bmc"]), (gpus, ["gpu1.site"])):
            server.rows = labelled("instance", hosts)
        book, client = SiteQueries(ports.settings), PrometheusClient(ports.settings, ManualClock(time.time()))
        fabric = Hosts(book, client, "node_labels", "ports", ("x",), time.monotonic)
        fabric.set_node_names(known)
        fabric.look(Notes())
        assert fabric.host_mappings().ambiguous == ("gpu1.site", "gpu1.bmc")
        source = Loads(gpus.settings)
        source.set_node_names(known)
        assert list(source.collect().loads) == ["gpu1"] and source.host_mappings()[0].ambiguous == ()


def test_a_rule_of_the_site_wins_and_makes_no_node_of_an_address():
    rule = re.compile(r"([^.:]+).*")
    known = names("gpu1", "10")
    assert known.fit("gpu1.a:9400", rule).node == "gpu1"
    assert known.fit("login1:9400", rule).node is None
    assert names("gpu1").fit("10.0.10.160:9100", rule).node is None
    assert NodeNames().fit("10.0.10.160:9100", rule).node is None
    assert names("gpu0007").fit("gpu0007-bmc", re.compile("(gpu[0-9]+)-bmc")).node == "gpu0007"


def test_until_slurm_has_named_its_nodes_a_host_goes_by_its_first_part():
    assert NodeNames().fit("gpu1.cluster:9400").node == "gpu1"
    assert NodeNames().fit("10.0.10.160:9100").node is None


@given(st.ip_addresses())
def test_an_address_is_never_a_node(address):
    text = f"[{address}]" if address.version == 6 else str(address)
    for known in (NodeNames(), names("gpu1", "10", "fd00")):
        assert known.fit(f"{text}:9100").node is None and known.fit(str(address)).node is None
    assert is_ip(host_of(f"{text}:9100"))


@given(st.sets(st.from_regex(r"\A[a-c]{1,2}(\.[ab])?(:[0-9]{1,3})?\Z"), min_size=2, max_size=8))
def test_what_a_node_is_spelled_like_matches_all_that_fit_it(values):
    known = names("a", "b.a", "c.a", "c.b", ("ab", "ba", "10.0.0.1"), ("bb", "cb", "bb.b"), ("x", "ca.a", "ca.c"))
    for value in (*values, "10.0.0.1:9100"):
        node = known.fit(value).node
        assert node is None or re.fullmatch(known.spelled(node), value)


@given(st.lists(st.from_regex(r"\A[a-z0-9.]{1,6}(:[0-9]{1,3})?\Z"), min_size=2, max_size=2, unique=True))
def test_a_server_that_does_not_know_slurm_makes_one_of_two_hosts_never(pair):
    one, two = ("".join(re.fullmatch(HOST_PATTERN, value).groups(default="")) for value in pair)
    assert (one == two) is (host_of(pair[0]) == host_of(pair[1]))


# -- what Slurm says ---------------------------------------------------------------------------------------------------


def test_names_and_addresses_come_over_every_transport():
    line = "NodeName=n1 NodeAddr=10.0.0.1 NodeHostName=gpu1.cluster State=IDLE"
    record = answers.NodeRecord(name="n1", state=["IDLE"], address="10.0.0.1", hostname="gpu1.cluster")
    for one in (slurm_nodes.node(line, None), answers.node(record)):
        assert node_ids_of([one]) == (("n1", "gpu1.cluster", "10.0.0.1"),)


# -- which label -------------------------------------------------------------------------------------------------------


def labelled(label, hosts, **more):
    """What the exporters of these hosts answer, by this label."""
    rows = [{label: host, **more} for host in hosts]
    return {
        "hosts": [(row, 1) for row in rows],
        "util": [(row, 40) for row in rows], "gpus": [(row, 8) for row in rows],
        "xids": [({**rows[0], "gpu": "3", "UUID": "GPU-1"}, 48)],
    }  # fmt: skip


def loads(server, *slurm):
    source = Loads(server.settings)
    source.set_node_names(names(*slurm))
    return source


@pytest.mark.parametrize(
    ("label", "hosts", "slurm"),
    [
        ("Hostname", ["gpu1", "gpu2"], ["gpu1", "gpu2"]),
        ("Hostname", ["gpu1", "gpu2"], ["gpu1.cluster", "gpu2.cluster"]),
        ("instance", ["gpu1.cluster:9400", "gpu2.cluster:9400"], ["gpu1", "gpu2"]),
        ("instance", ["10.0.10.1:9400", "10.0.10.2:9400"], [("gpu1", None, "10.0.10.1"), ("gpu2", None, "10.0.10.2")]),
        ("nodename", ["gpu1", "gpu2"], ["gpu1", "gpu2"]),
        ("Hostname", ["gpu1.site", "gpu2.site"], [("gpu1", "gpu1", "gpu1.ib.site"), ("gpu2", "gpu2", "gpu2.ib.site")]),
    ],
)
def test_an_xid_48_is_seen_whatever_hosts_are_called(label, hosts, slurm):
    with StandIn() as server:
        server.rows = labelled(label, hosts)
        source = loads(server, *slurm)
        facts = source.collect()
        own = [one[0] if isinstance(one, tuple) else one for one in slurm]
        assert sorted(facts.loads) == own and f"{own[0]}/3/48" in facts.xids
        (host_mappings,) = source.host_mappings()
        assert (host_mappings.labels, host_mappings.hosts, host_mappings.known, host_mappings.unknown) == (
            (label,),
            2,
            2,
            (),
        )
        sent = [params["query"] for _, params, _ in server.seen if "DCGM_FI_DEV_XID" in params["query"]]
        assert any(f"max by ({label}, gpu, UUID)" in query for query in sent), "the label is pushed down"


def test_addresses_that_slurm_does_not_give_are_a_fault_and_three_hosts_never_one():
    with StandIn() as server:
        server.rows = labelled("instance", ["10.0.10.160:9400", "10.0.10.161:9400", "10.0.10.162:9400"])
        source = loads(server, "gpu1", "10")
        with pytest.raises(SourceFault, match="none of 3 hosts of GPUs and XIDs is a node of Slurm"):
            source.collect()
        server.rows["util"].append(({"instance": "gpu1:9400"}, 40))
        server.rows["hosts"].append(({"instance": "gpu1:9400"}, 1))
        facts = loads(server, "gpu1", "10").collect()
        assert list(facts.loads) == ["gpu1"] and any("10.0.10.160" in text for text in facts.warnings)


def test_the_label_is_chosen_anew_when_slurms_nodes_change():
    with StandIn() as server:
        server.rows = labelled("instance", ["10.0.10.1:9400"], Hostname="pod-a")
        source = loads(server, "pod-a")
        assert list(source.collect().loads) == ["pod-a"] and source.host_mappings()[0].labels == ("Hostname",)
        asked = server.asked.count("hosts")
        source.collect()
        assert server.asked.count("hosts") == asked, "not with each reading"
        source.set_node_names(names(("gpu1", None, "10.0.10.1")))
        facts = source.collect()
        assert list(facts.loads) == ["gpu1"] and source.host_mappings()[0].labels == ("instance",)
        assert facts.xids["gpu1/3/48"].first_at is None, "an XID is not new because its node got another name"


def test_series_without_any_of_the_labels_are_a_fault_that_says_so():
    with StandIn(host_labels=("Hostname",)) as server:
        server.rows = {"hosts": [({}, 1)], "util": [({}, 40)]}
        with pytest.raises(SourceFault, match="have no label Hostname"):
            loads(server, "gpu1").collect()


def test_half_by_one_label_and_half_by_another():
    with StandIn() as server:
        rows = [{"Hostname": "gpu1.cluster", "instance": "10.0.10.1:9400"},
                {"Hostname": "pod-b", "instance": "10.0.10.2:9400"}]  # fmt: skip
        server.rows = {"hosts": [(row, 1) for row in rows], "util": [(row, 40) for row in rows]}
        source = loads(server, "gpu1", ("gpu2", None, "10.0.10.2"))
        assert sorted(source.collect().loads) == ["gpu1", "gpu2"]
        assert source.host_mappings()[0].labels == ("Hostname", "instance")


def test_two_exporters_of_a_node_are_one_node_with_the_higher_value():
    with StandIn() as server:
        rows = [({"hostname": "gpu1"}, 40), ({"hostname": "gpu1.cluster"}, 60)]
        server.rows = {"hosts": rows, "util": rows}
        assert loads(server, "gpu1").collect().loads["gpu1"].gpu_util_pct == 60


def test_a_machine_that_slurm_does_not_know_keeps_its_own_name():
    with StandIn() as server:
        server.rows = labelled("Hostname", ["gpu1", "login1.cluster"])
        source = loads(server, "gpu1")
        assert sorted(source.collect().loads) == ["gpu1", "login1.cluster"]
        assert source.host_mappings()[0].unknown == ("login1.cluster",)


def test_what_is_asked_for_some_nodes_is_asked_by_their_hosts():
    with StandIn() as server:
        server.rows = labelled("instance", ["10.0.10.1:9400", "10.0.10.2:9400"])
        series = {"gpu": "0", "UUID": "u", "__name__": TEMP}
        server.rows["gpu_fields"] = [({"instance": "10.0.10.1:9400", **series}, 50)]
        telemetry = open_telemetry("x", server.settings)
        telemetry.set_node_names(names(("gpu1.cluster", None, "10.0.10.1"), ("gpu2.cluster", None, "10.0.10.2")))
        (gpu,) = telemetry.gpus(["gpu1.cluster"])["gpu1.cluster"]
        assert (gpu.node, gpu.temp_c) == ("gpu1.cluster", 50.0)
        asked = [params["query"] for _, params, _ in server.seen if TEMP in params["query"]]
        assert 'instance="10.0.10.1:9400"' in asked[-1] and "10.0.10.2" not in asked[-1]


# -- alerts ------------------------------------------------------------------------------------------------------------


def test_alerts_go_to_the_same_nodes():
    labels = [
        {"instance": "10.0.10.1:9100"},
        {"Hostname": "gpu2", "instance": "exporter:1"},
        {"instance": "10.9.9.9:1"},
        {"node": "gpu2.other"},
        {"instance": "nas1.site:9100"},
    ]
    with alertmanager_server.StandIn() as server:
        made = [alertmanager_server.row(n) | {"labels": {"alertname": "A", **one}} for n, one in enumerate(labels)]
        server.answers["/alerts"] = json.loads(json.dumps(made))
        source = AlertSource(AlertmanagerSettings(url=server.settings.url))
        source.set_node_names(names(("gpu1.cluster", None, "10.0.10.1"), "gpu2.cluster"))
        alerts = source.collect().alerts
        assert [one.node for one in alerts.values()] == [
            "gpu1.cluster", "gpu2.cluster", None, "gpu2.other", "nas1.site",
        ]  # fmt: skip
        (host_mappings,) = source.host_mappings()
        assert (host_mappings.hosts, host_mappings.known) == (5, 2) and not host_mappings.whole


# -- who is told, and when ---------------------------------------------------------------------------------------------


class Nodes:
    """Slurm's nodes, once they may come."""

    name, floor_s = "slurm.nodes", 60.0

    def __init__(self, *named):
        self.rows = {one: make.node(one) for one in named}
        self.may = threading.Event()

    def collect(self):
        assert self.may.wait(10)
        return Facts(nodes=self.rows)

    def close(self):
        self.may.set()


class Knowing:
    """What looks for nodes: it notes the names that it had at each reading."""

    name, floor_s = "prom.loads", 60.0

    def __init__(self):
        self.names, self.had, self.read = NodeNames(), [], threading.Event()

    def set_node_names(self, known):
        self.names = known

    def collect(self):
        self.had.append(self.names.nodes)
        self.read.set()
        return Facts(loads={})

    def close(self):
        """Nothing is open."""


def test_the_first_reading_waits_for_slurms_nodes_and_what_is_asked_on_demand_is_told():
    slurm, source, asked = Nodes("gpu1.cluster"), Knowing(), Knowing()
    published = threading.Event()
    poller = Poller("x", [source, slurm], ManualClock(time.time()), lambda *_: published.set(), asked=(asked,))
    poller.start()
    try:
        slurm.may.set()
        assert source.read.wait(10) and source.had == [{"gpu1.cluster"}]
        assert published.wait(10) and asked.names.nodes == {"gpu1.cluster"}
    finally:
        poller.stop()


def test_what_was_read_under_other_names_is_read_again():
    slurm, source = Nodes("gpu1"), Knowing()
    naming = Naming([slurm, source], wait_s=0.0)
    naming.wait(source)
    slurm.may.set()
    clock = ManualClock(0.0)
    assert naming.see(read("x", slurm, clock)), "it did not wait long enough"
    assert not naming.see(read("x", slurm, clock)), "nothing changed"
    slurm.rows = {**slurm.rows, "gpu2": make.node("gpu2", address="10.0.0.2")}
    assert naming.see(read("x", slurm, clock)) and source.names.fit("10.0.0.2:1").node == "gpu2"


def test_who_waits_is_let_go_when_slurm_cannot_be_read():
    class Broken(Nodes):
        def collect(self):
            raise SourceFault("timeout", "x")

    slurm, source = Broken(), Knowing()
    naming = Naming([slurm, source], wait_s=60.0)
    naming.see(read("x", slurm, ManualClock(0.0)))
    naming.wait(source)
    assert Naming([source], wait_s=60.0).wait(source) is None, "without Slurm there is nothing to wait for"


# -- doctor ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "slurm", "marks", "words"),
    [
        (["gpu1", "gpu2"], ["gpu1", "gpu2"], ["ok"], "2 of 2 hosts of GPUs and XIDs are nodes of Slurm, by Hostname"),
        (["gpu1", "login1"], ["gpu1"], ["note"], "unknown: login1"),
        (["gpu1", "login[12]"], ["gpu1", "gpu2"], ["warn"], "unknown: login[12]"),
        (["gpu1", "10.0.10.7:9400"], ["gpu1"], ["warn"], "unknown: 10.0.10.7"),
        (["login1", "login2"], ["gpu1"], ["bad"], "unknown: login[1-2]"),
        (
            ["gpu1.a", "gpu1.b", "gpu2"],
            ["gpu1", "gpu2"],
            ["ok", "warn"],
            "fit several nodes, or share one: gpu1.a,gpu1.b",
        ),
        (["gpu1"], [], ["note"], "not compared"),
    ],
)
def test_doctor_says_which_hosts_slurm_knows(hosts, slurm, marks, words):
    with StandIn() as server:
        server.rows = {"hosts": [({"Hostname": host}, 1) for host in hosts],
                       "util": [({"Hostname": host}, 40) for host in hosts]}  # fmt: skip
        source = loads(server, *slurm)
        try:
            source.collect()
        except SourceFault:
            assert marks == ["bad"]
        group = FindingGroup("Sources")
        for one in source.host_mappings():
            checked.add_findings(group, source.name, one)
        assert [one.mark for one in group.found] == marks
        assert any(words in one.said for one in group.found)

"""Alerts folded by what failed together, and what each group knows."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import TAKEN, Matcher, Silence
from console.alerts.groups import alert_groups, drain_reason_text, recommended_action, sort_key
from console.triage.attention import attention_lines
from tests.support import make
from tests.support.machine_room import DAY, HOUR, MINUTE, alert, down, node, rack, site
from tests.support.make import NOW
from tests.support.yardstick import cost


def folded(cluster):
    return {one.key: one for one in alert_groups(cluster, NOW)}


def titles(cluster):
    return [one.title for one in alert_groups(cluster, NOW)]


def half(name="NodeDown", numbers=range(9, 17), ago=5 * MINUTE, **more):
    """Alerts about the nodes on R07's pdu-b."""
    return [alert(name, about=f"gpu{n:04d}", ago=ago + n, **more) for n in numbers]


def kept(one, *ids, inhibited=()):
    return msgspec.structs.replace(one, state="suppressed", silenced_by=ids, inhibited_by=inhibited)


def silence(id, by="jdv", comment="", ends=HOUR, state="active"):
    return Silence(id=id, state=state, matchers=(Matcher("alertname", "NodeDown"),), by=by, comment=comment,
                   starts=int(NOW), ends=int(NOW + ends))  # fmt: skip


def with_silences(cluster, *silences):
    return msgspec.structs.replace(
        cluster, silences={one.id: one for one in silences}, known=cluster.known | {"silences"}
    )


# -- folding -----------------------------------------------------------------------------------------------------------


def test_a_pdu_that_dies_is_one_group_with_its_nodes_and_its_own_alert():
    about = alert("PduPowerLost", ago=6 * MINUTE, summary="R07-pdu-b lost its input", pdu="R07-pdu-b", rack="R07")
    cluster = site(*rack(), alerts=[about, *half()], jobs=[])
    (one,) = alert_groups(cluster, NOW)
    assert (one.key, one.title) == ("pdu=R07-pdu-b", "R07-pdu-b: PduPowerLost")
    assert one.nodes == tuple(f"gpu{n:04d}" for n in range(9, 17))
    assert one.names == (("NodeDown", 8), ("PduPowerLost", 1))
    assert len(one.alerts) == 9
    assert (one.severity, one.state, one.racks, one.gpus, one.place_size) == ("critical", "active", ("R07",), 64, 8)


def test_without_an_alert_about_the_place_the_nodes_tell_of_it():
    cluster = site(*rack(), alerts=half())
    assert titles(cluster) == ["R07-pdu-b: NodeDown"]


def test_a_place_that_is_ill_while_its_nodes_are_well_still_names_them():
    cluster = site(*rack(), alerts=[alert("RackHot", severity="warning", rack="R07")])
    (one,) = alert_groups(cluster, NOW)
    assert (one.title, len(one.nodes), one.severity) == ("R07: RackHot", 16, "warning")


@pytest.mark.parametrize(("number", "key"), [(2, "name=NodeDown"), (3, "pdu=R07-pdu-b")])
def test_three_nodes_make_an_event_two_are_chance(number, key):
    assert list(folded(site(*rack(), alerts=half(numbers=range(9, 9 + number))))) == [key]


def test_nodes_that_went_hours_apart_did_not_go_together():
    apart = [alert("NodeDown", about=f"gpu{n:04d}", ago=n * HOUR) for n in range(9, 17)]
    (one,) = alert_groups(site(*rack(), alerts=apart), NOW)
    assert (one.key, one.title) == ("name=NodeDown", "NodeDown on 8 nodes of R07")


def test_an_old_alert_of_a_node_stays_out_of_what_happens_to_its_place_now():
    fan = alert("NodeFanSlow", severity="warning", about="gpu0010", ago=2 * DAY)
    found = folded(site(*rack(), alerts=[fan, *half()]))
    assert set(found) == {"pdu=R07-pdu-b", "name=NodeFanSlow"}
    assert fan.id not in found["pdu=R07-pdu-b"].alerts


def test_a_storm_of_one_name_over_the_whole_machine_is_one_line_with_a_count():
    nodes = [one for at in range(8) for one in rack(rack=at, first=1 + 16 * at)]
    storm = [alert("TargetDown", severity="warning", about=one.name, ago=MINUTE) for one in nodes]
    (one,) = alert_groups(site(*nodes, alerts=storm), NOW)
    assert (one.title, len(one.alerts)) == ("TargetDown on 128 nodes", 128)
    assert one.racks == tuple(f"R{at:02d}" for at in range(8))


def test_what_is_local_is_found_within_what_is_everywhere():
    nodes = [one for at in range(8) for one in rack(rack=at, first=1 + 16 * at)]
    everywhere = [alert("TargetDown", severity="warning", about=one.name, ago=MINUTE) for one in nodes]
    here = [alert("NodeDown", about=f"gpu{n:04d}", ago=MINUTE) for n in range(9, 17)]
    assert titles(site(*nodes, alerts=[*everywhere, *here])) == ["R00-pdu-b: NodeDown", "TargetDown on 128 nodes"]


def test_many_places_that_fall_ill_in_one_moment_are_one_line():
    nodes = [one for at in range(8) for one in rack(rack=at, first=1 + 16 * at)]
    ill = [alert("PduPowerLost", ago=MINUTE, pdu=f"R{at:02d}-pdu-a") for at in range(8)]
    (one,) = alert_groups(site(*nodes, alerts=ill), NOW)
    assert (one.title, len(one.nodes)) == ("PduPowerLost at 8 places", 64)


def test_a_storm_of_somebodys_code_folds_by_name_and_hides_no_lost_gpu():
    noise = [alert("GpuXid", "info", f"gpu{n:04d}", ago=n, gpu=str(g), xid=code)
             for n in range(1, 17) for g, code in enumerate(("31", "43"))]  # fmt: skip
    lost = alert("GpuXid", about="gpu0004", ago=MINUTE, summary="XID 79 on GPU 3", gpu="3", xid="79")
    assert titles(site(*rack(), alerts=[*noise, lost])) == ["XID 79 on gpu0004", "XID 31, 43 on 16 nodes of R07"]


def test_a_switch_takes_what_speaks_of_links():
    links = [alert("IbLinkDown", about=f"gpu{n:04d}", ago=MINUTE) for n in range(1, 17)]
    assert titles(site(*rack(), alerts=links)) == ["leaf-R07: IbLinkDown"]
    assert titles(site(*rack(), alerts=half(numbers=range(1, 17)))) == ["R07: NodeDown"]


def test_where_slurm_says_nothing_the_labels_tell_where_a_node_hangs():
    bare = [make.node(f"gpu{n:04d}", rack="R07") for n in range(1, 17)]
    told = [alert("NodeDown", about=f"gpu{n:04d}", pdu="R07-pdu-b", pod="prometheus-0") for n in range(9, 17)]
    assert list(folded(site(*bare, alerts=told))) == ["pdu=R07-pdu-b"]


def test_hosts_that_slurm_does_not_know_are_listed_and_are_no_nodes():
    hosts = [alert("HostDown", about=f"nas{n}.site:9100", rack="R07") for n in range(1, 4)]
    known = alert("HostDown", about="gpu0001.cluster:9100")
    found = folded(site(*rack(), alerts=[*hosts, known]))
    (one,) = found.values()
    assert one.nodes == ("gpu0001",)
    assert one.unknown == ("nas1.site:9100", "nas2.site:9100", "nas3.site:9100")


def test_an_alert_about_nothing_in_particular_stands_alone():
    (one,) = alert_groups(site(*rack(), alerts=[alert("SlurmctldSlow", "warning", service="slurmctld")], jobs=[]), NOW)
    assert (one.title, one.nodes, one.jobs, one.gpus) == ("SlurmctldSlow", (), (), 0)
    assert recommended_action(one) == ""


def test_a_group_keeps_its_key_while_alerts_come_and_go_and_get_taken():
    first = site(*rack(), alerts=half(numbers=range(9, 13)))
    later = site(*rack(), alerts=half(numbers=range(10, 17)))
    taken = site(*rack(), alerts=[kept(one, "s1") for one in half(numbers=range(10, 17))])
    assert list(folded(first)) == list(folded(later)) == list(folded(taken))


# -- state and order ---------------------------------------------------------------------------------------------------


def test_taken_and_silenced_and_inhibited_are_told_apart():
    alerts = [
        kept(alert("A", about="gpu0001"), "s1"),
        kept(alert("B", about="gpu0002"), "s2"),
        kept(alert("C", about="gpu0003"), inhibited=("x",)),
        kept(alert("D", about="gpu0004")),
    ]
    alerts = [msgspec.structs.replace(one, starts=int(NOW - n * HOUR)) for n, one in enumerate(alerts)]
    cluster = with_silences(
        site(*rack(), alerts=alerts),
        silence("s1", comment=f"{TAKEN}I'm on it"), silence("s2", comment="known"),
    )  # fmt: skip
    assert {one.title[0]: one.state for one in alert_groups(cluster, NOW)} == {
        "A": "taken", "B": "silenced", "C": "inhibited", "D": "silenced"
    }  # fmt: skip
    assert folded(cluster)["name=A"].acked_by == ("jdv",)
    assert folded(cluster)["name=B"].acked_by == ()


def test_one_that_still_rings_keeps_its_group_active_and_says_how_much_is_taken():
    some = half(numbers=range(9, 13))
    alerts = [kept(some[0], "s1"), kept(some[1], "s1"), *some[2:]]
    (one,) = alert_groups(with_silences(site(*rack(), alerts=alerts), silence("s1", comment=f"{TAKEN}x")), NOW)
    assert (one.state, one.suppressed, one.acked_by, one.silences) == ("active", 2, ("jdv",), ("s1",))
    assert set(one.alerts[:2]) == {each.id for each in some[2:]}, "what rings stands first"


def test_what_inhibits_does_not_make_a_group_active():
    alerts = [kept(one, inhibited=("pdu",)) for one in half()]
    (one,) = alert_groups(site(*rack(), alerts=alerts), NOW)
    assert one.state == "inhibited"


def test_a_silenced_critical_alert_does_not_colour_an_active_warning():
    quiet = kept(alert("NodeDown", about="gpu0001"), "s1")
    warns = alert("NodeDown", severity="warning", about="gpu0002")
    (one,) = alert_groups(site(*rack(), alerts=[quiet, warns]), NOW)
    assert (one.severity, one.critical) == ("warning", False)


def test_order_is_critical_newest_first_then_warnings_then_taken_then_silenced():
    alerts = [
        alert("Old", ago=2 * HOUR), alert("New", ago=MINUTE), alert("Warn", severity="warning", ago=1),
        alert("None", severity=None, ago=1), alert("Info", severity="info", ago=1),
        kept(alert("Taken", ago=1), "s1"), kept(alert("Silenced", ago=1), "s2"),
    ]  # fmt: skip
    cluster = with_silences(site(alerts=alerts), silence("s1", comment=f"{TAKEN}x"), silence("s2"))
    assert titles(cluster) == ["New", "Old", "Warn", "None", "Info", "Taken", "Silenced"]


def test_what_is_taken_is_no_longer_on_the_list_of_needs():
    ring = alert("NodeHot", about="gpu0001", summary="gpu0001 is hot")
    assert [one.text for one in attention_lines(site(*rack(), alerts=[ring]), NOW)] == ["NodeHot: gpu0001 is hot"]
    assert attention_lines(site(*rack(), alerts=[kept(ring, "s1")]), NOW) == []


# -- what is known of a group ------------------------------------------------------------------------------------------


def test_jobs_and_users_hit_are_told_and_unknown_while_jobs_were_never_read():
    jobs = [make.job("1", nodes="gpu[0009-0010]"), make.job("2", nodes="gpu0011", user="bob"),
            make.job("3", nodes="gpu0001", user="eve")]  # fmt: skip
    (one,) = alert_groups(site(*rack(), alerts=half(), jobs=jobs), NOW)
    assert (one.jobs, one.users) == (("1", "2"), ("alice", "bob"))
    (blind,) = alert_groups(site(*rack(), alerts=half()), NOW)
    assert (blind.jobs, blind.users) == (None, None)


def test_gpus_are_unknown_where_one_node_does_not_say():
    nodes = [*rack(size=15), node(16, gpus=None)]
    (one,) = alert_groups(site(*nodes, alerts=half()), NOW)
    assert one.gpus is None


def test_what_is_safe_comes_from_the_policy_and_counts_what_is_out_already():
    xids = [alert("GpuXid", about=f"gpu{n:04d}", ago=MINUTE, xid="79") for n in (1, 9)]
    (one,) = alert_groups(site(*rack([down(1)]), alerts=xids), NOW)
    assert (
        recommended_action(one)
        == "1 of 2 nodes are out already; policy: drain, reboot the node, call support (NVIDIA XID catalogue)"
    )
    (well,) = alert_groups(site(*rack(), alerts=half()), NOW)
    assert recommended_action(well) == "all 8 nodes are in service"
    (strange,) = alert_groups(site(*rack(), alerts=[alert("GpuXid", about="gpu0001", xid="4242")]), NOW)
    assert recommended_action(strange) == "the node is in service; policy: no advice for XID 4242"


def test_since_is_the_first_and_newest_the_last():
    (one,) = alert_groups(site(*rack(), alerts=half(ago=0)), NOW)
    assert (one.since, one.newest) == (int(NOW - 16), int(NOW - 9))


def test_the_runbook_and_the_summary_are_those_of_the_alert_that_says_most():
    about = alert("PduPowerLost", pdu="R07-pdu-b", summary="R07-pdu-b lost its input, 8 nodes")
    about = msgspec.structs.replace(about, annotations={"runbook": "https://run/pdu"})
    (one,) = alert_groups(site(*rack(), alerts=[*half(summary="gone"), about]), NOW)
    assert (one.runbook, one.summary) == ("https://run/pdu", "R07-pdu-b lost its input, 8 nodes")
    assert drain_reason_text(one) == "PduPowerLost R07-pdu-b: lost its input, 8 nodes"


def test_a_reason_speaks_for_the_whole_group_and_is_never_long():
    each = [alert("NodeHot", about=f"gpu{n:04d}", ago=n * HOUR, summary=f"gpu{n:04d} is hot") for n in (1, 2)]
    (one,) = alert_groups(site(*rack(), alerts=each), NOW)
    assert drain_reason_text(one) == "NodeHot"
    (alone,) = alert_groups(site(*rack(), alerts=each[:1]), NOW)
    assert drain_reason_text(alone) == "NodeHot: is hot"
    (long,) = alert_groups(site(alerts=[alert("A" * 300, summary="b" * 300)]), NOW)
    assert len(drain_reason_text(long)) == 120 and drain_reason_text(long).endswith("…")


# -- many --------------------------------------------------------------------------------------------------------------


def test_ten_thousand_alerts_are_folded_in_time_that_grows_with_their_number():
    def folding(number):
        nodes = [node(n, rack=(n - 1) // 16) for n in range(1, number + 1)]
        cluster = site(*nodes, alerts=[alert("NodeDown", about=one.name, ago=at % 600) for at, one in enumerate(nodes)])
        assert [len(one.alerts) for one in alert_groups(cluster, NOW)] == [number]
        return lambda: alert_groups(cluster, NOW)

    few, many = folding(1000), folding(10_000)
    # 13 where it was measured.
    assert cost(many, of=few, rounds=3) < 40, "ten times the alerts must not take a hundred times as long"


LABELS = st.dictionaries(
    st.sampled_from(["node", "rack", "pdu", "switch", "row", "xid", "pod"]),
    st.sampled_from(["gpu0001", "gpu0002", "R07", "R07-pdu-a", "79", "31", "", "x y", "gpu0003:9"]),
)
ROWS = st.tuples(
    st.sampled_from("ABC"),
    LABELS,
    st.sampled_from(["critical", "info", None, "odd"]),
    st.none() | st.integers(0, 100_000),
    st.sampled_from(["active", "suppressed", "unprocessed"]),
)


@given(st.lists(ROWS, max_size=40))
def test_every_alert_is_in_exactly_one_group(rows):
    alerts = [
        make.alert(name, id=str(at), severity=severity, state=state, labels=labels,
                   starts=None if ago is None else int(NOW - ago))
        for at, (name, labels, severity, ago, state) in enumerate(rows)
    ]  # fmt: skip
    found = alert_groups(site(*rack(), alerts=alerts), NOW)
    assert sorted(one for group in found for one in group.alerts) == sorted(one.id for one in alerts)
    assert len({group.key for group in found}) == len(found)
    assert found == sorted(found, key=sort_key)
    ringing = {one.id for one in alerts if one.state != "suppressed"}
    for group in found:
        assert (group.state == "active") == (not ringing.isdisjoint(group.alerts))
        assert set(group.nodes) <= {f"gpu{n:04d}" for n in range(1, 17)}


def test_extra_that_is_no_table_costs_nothing_but_the_place():
    odd = [make.node(f"gpu{n:04d}", extra=json.dumps([n]), rack=None) for n in range(1, 5)]
    cluster = site(*odd, alerts=[alert("NodeDown", about=one.name, ago=MINUTE) for one in odd])
    assert titles(cluster) == ["NodeDown on 4 nodes"]

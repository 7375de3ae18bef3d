"""What needs a person: one line for what failed together, no node twice, worst first."""

from __future__ import annotations

import json

import pytest

from collectors.model import Fault, Source
from console.filters.language import compile_filter
from console.health.xid_policy import load_policy
from console.triage.attention import attention_lines
from tests.support import make
from tests.support.machine_room import DAY, HOUR, MINUTE, alert, down, node, rack, site, texts, well, xid
from tests.support.make import NOW

# -- one thing is one line -------------------------------------------------------------------------------------------


def test_nothing_known_is_nothing_told():
    assert attention_lines(make.cluster(), NOW) == []
    assert attention_lines(site(*rack()), NOW) == []


def test_a_node_that_is_down_is_told_with_its_reason_and_since_when():
    (one,) = attention_lines(site(*rack([down(3)])), NOW)
    assert (one.glyph, one.role, one.text, one.opens) == ("✖", "bad", "gpu0003 down: Not responding", "gpu0003")
    assert one.since == NOW - HOUR and not one.event


def test_half_a_rack_on_one_pdu_is_the_pdu():
    lost = [down(n, 2 * MINUTE + n) for n in range(9, 17)]
    (one,) = attention_lines(site(*rack(lost)), NOW)
    assert one.text == "R07-pdu-b: 8 nodes down: Not responding"
    assert (one.opens, one.event, one.since) == ("gpu[0009-0016]", True, NOW - 2 * MINUTE - 16)


def test_the_alert_about_the_pdu_says_why_and_is_not_told_again():
    lost = [down(n, 2 * MINUTE) for n in range(9, 17)]
    said = alert("PduPowerLost", ago=3 * MINUTE, summary="R07-pdu-b lost its input", rack="R07", pdu="R07-pdu-b")
    each = [alert("NodeDown", about=f"gpu{n:04d}") for n in range(9, 17)]
    (one,) = attention_lines(site(*rack(lost), alerts=[said, *each]), NOW)
    assert one.text == "R07-pdu-b: 8 nodes down: lost its input" and one.since == NOW - 3 * MINUTE


def test_an_alert_about_a_place_is_told_before_its_first_node_falls():
    said = alert("IbSwitchUnhealthy", summary="leaf-R07 loses links", rack="R07", switch="leaf-R07")
    (one,) = attention_lines(site(*rack(), alerts=[said]), NOW)
    assert (one.text, one.opens, one.event) == ("IbSwitchUnhealthy: leaf-R07 loses links", "gpu[0001-0016]", True)
    (one,) = attention_lines(site(*rack([down(4, MINUTE)]), alerts=[said]), NOW)
    assert one.text == "leaf-R07: 1 of 16 nodes down: loses links" and one.opens == "gpu0004"


def test_part_of_a_rack_is_told_as_a_part():
    (one,) = attention_lines(site(*rack([down(n, n * MINUTE) for n in (1, 2, 10, 12)])), NOW)
    assert one.text == "R07: 4 of 16 nodes down: Not responding"


def test_links_that_go_down_point_at_the_switch():
    drained = [node(n, "IDLE+DRAIN", n * 9, f"NHC: check_ib mlx5_{n} link down", "root") for n in range(1, 17)]
    (one,) = attention_lines(site(*rack(drained)), NOW)
    assert one.text == "leaf-R07: 16 nodes drained: network, fabric" and one.event


def test_what_went_at_different_times_did_not_go_together():
    apart = [down(1, HOUR, "a"), down(2, 5 * HOUR, "b"), down(3, 9 * HOUR, "c")]
    assert [one.event for one in attention_lines(site(*rack(apart)), NOW)] == [False] * 3


def test_two_of_a_rack_are_two_lines_and_many_alike_over_the_room_are_one():
    assert len(texts(site(*rack([down(1), down(2)])))) == 2
    spread = [
        one for at in range(4) for one in rack([down(1 + 16 * at, HOUR * (at + 1), rack=at)], at, 16, 1 + 16 * at)
    ]
    (one,) = attention_lines(site(*spread), NOW)
    assert one.text == "4 nodes down, each by itself: Not responding: gpu[0001,0017,0033,0049]"
    assert one.since == NOW - HOUR


def test_many_racks_at_once_are_one_line():
    broken = [down(n, 5 * MINUTE, rack=(n - 1) // 16) for n in range(1, 16 * 8 + 1)]
    (one,) = attention_lines(site(*broken), NOW)
    assert one.text == "8 racks: 128 nodes down: Not responding"


def test_a_row_is_found_where_the_site_tells_of_it():
    broken = []
    for n in range(1, 33):
        extra = json.dumps({"row": "B", "rack": f"R{(n - 1) // 16}"})
        broken.append(down(n, 5 * MINUTE, rack=(n - 1) // 16, extra=extra))
    assert texts(site(*broken)) == ["row B: 32 nodes down: Not responding"]


@pytest.mark.parametrize("extra", ["", "{", "[1]", '{"pdu": 3}', '{"pdu": ""}', "pdu=a", '{"a": ' * 600])
def test_any_extra_is_taken(extra):
    broken = [down(n, rack=1, extra=extra) for n in range(1, 5)]
    assert texts(site(*broken)) == ["R01: 4 nodes down: Not responding"]


# -- XIDs ------------------------------------------------------------------------------------------------------------


def test_a_node_with_a_policy_action_that_is_not_drained_is_in_it():
    (one,) = attention_lines(site(*rack(), xids=[xid(12)]), NOW)
    assert one.text == "gpu0012 XID 79 GPU 3, not drained: drain, reboot the node, call support"
    assert (one.role, one.opens, one.since) == ("bad", "gpu0012", NOW - 4 * MINUTE)


def test_the_sites_own_words_are_told(tmp_path):
    path = tmp_path / "xid.toml"
    path.write_text('[xid.79]\naction = "drain"\nfirst_step = "call Sietse"\nsource = "us"\n')
    assert texts(site(*rack(), xids=[xid(12)]), policy=load_policy(path)) == [
        "gpu0012 XID 79 GPU 3, not drained: call Sietse"
    ]


def test_one_code_on_many_nodes_is_one_line():
    (one,) = attention_lines(site(*rack(), xids=[xid(n, 119) for n in (1, 5, 9)]), NOW)
    assert (
        one.text.startswith("XID 119 on 3 nodes, not drained: drain, reset the GPU")
        and one.opens == "gpu[0001,0005,0009]"
    )


def test_an_unknown_code_is_told_and_a_harmless_one_is_not():
    found = attention_lines(site(*rack(), xids=[xid(1, 999), xid(2, 43), xid(3, 31)]), NOW)
    assert [one.text for one in found] == ["gpu0001 XID 999 GPU 3: no advice for XID 999"]
    assert found[0].role == "warn"


def test_when_the_sources_are_dead_the_line_stays_and_says_so():
    dead = Source(name="slurm.nodes", tried=True, read_mono=1.0, fault=Fault("timeout", "late"))
    found = texts(site(*rack(), xids=[xid(12)], sources=[dead]))
    assert found == ["gpu0012 XID 79 GPU 3, not drained when last read: drain, reboot the node, call support"]


def test_a_storm_of_a_users_code_is_one_line():
    held = [make.job("88121", nodes="gpu[0001-0012]", started=int(NOW - HOUR))]
    noise = [xid(n, code, gpu=code % 8) for n in range(1, 13) for code in (31, 43)]
    alerts = [alert("GpuXid", "warning", f"gpu{n:04d}", MINUTE, xid="31") for n in range(1, 13)]
    (one,) = attention_lines(site(*rack(), xids=noise, jobs=held, alerts=alerts), NOW)
    assert one.text.startswith("XID 31, 43 on 12 nodes of alice's job 88121: look at the job, leave the node")
    assert one.event and one.opens == "gpu[0001-0012]" and one.role == "warn"


def test_an_xid_that_takes_a_node_out_is_no_part_of_a_storm():
    held = [make.job("88121", nodes="gpu[0001-0012]", started=int(NOW - HOUR))]
    noise = [*(xid(n, 31) for n in range(1, 13)), xid(12, 79)]
    drained = node(12, "ALLOCATED+DRAIN", MINUTE, "NHC: XID 79", "root")
    assert texts(site(*rack([drained]), xids=noise, jobs=held))[0].startswith("XID 31 on 12 nodes of alice's job")
    found = texts(site(*rack(), xids=noise, jobs=held))
    assert found[0].startswith("gpu0012 XID 79") and found[1].startswith("XID 31 on 11 nodes")


def test_who_came_after_the_storm_is_not_blamed():
    late = [make.job("9", user="bob", nodes="gpu[0001-0012]", started=int(NOW - MINUTE))]
    noise = [xid(n, 31) for n in range(1, 13)]
    assert "bob" not in "".join(texts(site(*rack(), xids=noise, jobs=late)))
    assert texts(site(*rack(), xids=noise, jobs=late))[0].startswith("XID 31 on 12 nodes whose jobs have ended")


def test_a_few_xids_or_old_ones_are_no_storm():
    held = [make.job("88121", nodes="gpu[0001-0012]", started=int(NOW - DAY))]
    assert texts(site(*rack(), xids=[xid(n, 31) for n in (1, 2, 3)], jobs=held)) == []
    assert texts(site(*rack(), xids=[xid(n, 31, 2 * HOUR) for n in range(1, 13)], jobs=held)) == []


# -- drains ----------------------------------------------------------------------------------------------------------


def test_what_a_robot_drained_in_the_last_day_is_one_line():
    drained = [
        node(1, "IDLE+DRAIN", 2 * HOUR, "NHC: check_gpu GPU 5 XID 119", "root"),
        node(9, "IDLE+DRAIN", 9 * HOUR, "Kill task failed"),
        node(3, "IDLE+DRAIN", 30 * HOUR, "Epilog error"),
    ]
    (one,) = attention_lines(site(*rack(drained)), NOW)
    assert one.text == ("2 drained by automation in 24 h, newest gpu0001 drained by root: NHC: check_gpu GPU 5 XID 119"
                        "; reset the GPU; if it returns, driver or firmware")  # fmt: skip
    assert (one.role, one.since, one.opens) == ("state-draining", NOW - 2 * HOUR, "gpu[0001,0009]")


def test_what_a_person_took_out_is_in_their_hands():
    mine = [node(1, "IDLE+DRAIN", HOUR, "bad DIMM", "jdv"), node(2, "DOWN+DRAIN", HOUR, "bad DIMM", "root"),
            node(3, "DOWN*", HOUR, "RMA 4471", "jdv"), node(4, "IDLE+FAIL", HOUR, "OPS-12", "jdv")]  # fmt: skip
    assert texts(site(*rack(mine))) == []


def test_a_persons_old_reason_does_not_hide_a_node_that_went_down_later():
    fallen = node(1, "DOWN*", 9 * HOUR, "bad DIMM", "jdv", busy_at=int(NOW - HOUR))
    (one,) = attention_lines(site(*rack([fallen])), NOW)
    assert one.text == "gpu0001 down: bad DIMM" and one.since is None


def test_forgotten_nodes_are_one_line_that_says_whether_there_is_a_ticket():
    old = [node(1, "IDLE+DRAIN", 8 * DAY, "fan [OPS-1]", "jdv"), node(2, "IDLE+DRAIN", 30 * DAY, "bench", "sbos")]
    (one,) = attention_lines(site(*rack(old)), NOW)
    assert one.text == "2 drained > 7 days, 1 without a ticket: gpu[0001-0002]" and one.since == NOW - 30 * DAY
    assert texts(site(*rack(old[:1]))) == ["1 drained > 7 days, all with a ticket: gpu0001"]
    gone = down(3, 9 * DAY)
    assert texts(site(*rack([old[1], gone]))) == ["2 out > 7 days, no ticket: gpu[0002-0003]"]


def test_a_node_that_registered_wrongly_is_told_as_such():
    short = node(6, "IDLE+DRAIN+INVALID_REG", HOUR, "gres/gpu count reported lower than configured (7 < 8)")
    (one,) = attention_lines(site(*rack([short])), NOW)
    assert one.glyph == "⊘" and one.text.startswith("gpu0006 registered wrongly: gres/gpu count")


# -- alerts ----------------------------------------------------------------------------------------------------------


def test_alerts_of_one_name_are_one_line_and_quiet_ones_none():
    alerts = [*(alert("NodeHot", "warning", f"gpu{n:04d}") for n in (1, 2, 3)), alert("Watchdog", "none"),
              alert("Info", "info", "gpu0004"), alert("Gone", "critical", "gpu0005", state="suppressed")]  # fmt: skip
    assert texts(site(*rack(), alerts=alerts)) == ["NodeHot on 3 nodes in R07: gpu[0001-0003]"]


def test_an_alert_about_no_node_is_told_as_it_is():
    (one,) = attention_lines(site(*rack(), alerts=[alert("SlurmctldSlow", "warning", summary="answers in 4 s")]), NOW)
    assert (one.text, one.opens, one.role) == ("SlurmctldSlow: answers in 4 s", "", "warn")


def test_the_name_in_an_alert_may_have_a_port_or_a_domain_or_be_unknown():
    alerts = [alert("A", about="gpu0001:9100"), alert("B", about="gpu0002.cluster.local"), alert("C", about="a;b")]
    found = attention_lines(site(*rack(), alerts=alerts), NOW)
    assert sorted(one.opens for one in found) == ["", "gpu0001", "gpu0002"]
    assert any("a;b, which Slurm does not know" in one.text for one in found)


def test_an_alert_about_a_node_that_is_out_is_told_only_when_it_is_new():
    drained = node(1, "IDLE+DRAIN", HOUR, "bad DIMM", "jdv")
    assert texts(site(*rack([drained]), alerts=[alert("NodeHot", about="gpu0001", ago=2 * HOUR)])) == []
    assert texts(site(*rack([drained]), alerts=[alert("NodeHot", about="gpu0001", ago=MINUTE)])) == ["NodeHot"]


# -- facts that disagree ---------------------------------------------------------------------------------------------


def test_counts_and_strays_are_told_by_node_or_together():
    loads = [well(n) for n in range(3, 17)] + [well(1, gpus_seen=7, gpus_idle=7), well(2, gpus_idle=7)]
    found = texts(site(*rack(), loads=loads, jobs=[]))
    assert sorted(found) == [
        "gpu0001 Slurm sees 8 GPUs, telemetry sees 7",
        "gpu0002 idle in Slurm, 1 GPU busy, no job on the node",
    ]
    many = [well(n, gpus_seen=7, gpus_idle=7) for n in range(1, 5)] + [well(n) for n in range(5, 17)]
    assert texts(site(*rack(), loads=many, jobs=[])) == [
        "4 nodes: other GPUs in telemetry than in Slurm: gpu[0001-0004]"]  # fmt: skip


def test_silent_exporters_are_told_by_place_and_all_of_them_as_the_telemetry():
    some = [well(n) for n in range(1, 17) if n != 4]
    assert texts(site(*rack(), loads=some, jobs=[])) == ["gpu0004 idle in Slurm, its exporter is silent"]
    big = [*rack(), *rack(rack=8, first=17), *rack(rack=9, first=33)]
    rest = [well(n) for n in range(1, 49) if not 9 <= n <= 16]
    assert texts(site(*big, loads=rest, jobs=[])) == ["R07-pdu-b: 8 nodes work, their exporters are silent"]
    assert texts(site(*rack(), loads=[well(1)], jobs=[])) == ["no telemetry of 15 of 16 nodes that work"]
    late = [well(n, sampled_at=int(NOW - HOUR)) for n in range(1, 17)]
    assert texts(site(*rack(), loads=late, jobs=[])) == ["no exporter was sampled since then, or the clocks differ"]


def test_idle_gpus_inside_jobs_come_last_with_who_holds_them():
    held = [node(n, "ALLOCATED", gpus_alloc=8) for n in (1, 2, 3)]
    jobs = [make.job(str(n), user=user, nodes=f"gpu000{n}", started=int(NOW - HOUR))
            for n, user in ((1, "alice"), (2, "alice"), (3, "bob"))]  # fmt: skip
    found = attention_lines(site(*rack([*held, down(9)]), loads=[well(n) for n in range(1, 17)], jobs=jobs), NOW)
    assert [one.text for one in found] == [
        "gpu0009 down: Not responding", "3 nodes held with all GPUs idle: alice 2, bob 1"]  # fmt: skip


# -- the list as a whole ---------------------------------------------------------------------------------------------


def test_worst_first_and_of_equals_the_newest():
    nodes = [
        *rack([down(n, 3 * HOUR) for n in range(9, 17)]),
        *rack([down(17, 2 * HOUR, rack=8), down(18, HOUR, "no power", rack=8),
               node(19, "IDLE+DRAIN", 10 * MINUTE, "Kill task failed", rack=8),
               node(21, "IDLE+DRAIN", 30 * DAY, "x", "jdv", rack=8)], 8, 16, 17),
    ]  # fmt: skip
    found = attention_lines(site(*nodes, xids=[xid(20)], alerts=[alert("Full", "warning")]), NOW)
    assert [one.text.partition(":")[0] for one in found] == [
        "R07-pdu-b", "gpu0020 XID 79 GPU 3, not drained", "gpu0019 drained by slurm", "gpu0018 down", "gpu0017 down",
        "Full", "1 drained > 7 days, no ticket",
    ]  # fmt: skip


def test_an_event_of_yesterday_is_no_news():
    nodes = [*rack([down(n, 30 * HOUR) for n in range(9, 17)]), *rack([down(17, HOUR, rack=8)], 8, 16, 17)]
    assert [one.event for one in attention_lines(site(*nodes), NOW)] == [True, False]
    found = attention_lines(site(*nodes, xids=[xid(20)]), NOW)
    assert found[0].text.startswith("gpu0020 XID 79")


def test_a_set_that_no_filter_can_hold_is_opened_by_what_it_shares():
    scattered = [down(n, n * 700, rack=n) for n in range(1, 400, 2)]
    (one,) = attention_lines(site(*scattered), NOW)
    assert one.opens == "state=down"
    compile_filter(one.opens, "node")


WIDE = (
    "state=drain & age<24h",
    "(state=drain | state=down) & age>7d",
    "state=allocated util<5",
    "xid=79",
    "state=down",
)


@pytest.mark.parametrize("text", WIDE)
def test_what_stands_for_too_many_nodes_is_a_filter(text):
    compile_filter(text, "node")
    drained = node(1, "IDLE+DRAIN", HOUR, "NHC: x", "root")
    assert compile_filter("state=drain & age<24h", "node").matches(drained, site(drained), NOW)

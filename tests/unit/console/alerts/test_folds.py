"""What makes no fold: quiet alerts alone, a few nodes of a large place, a name that is everywhere."""

from __future__ import annotations

import pytest

from console.alerts.folds import QUIET_SEVERITIES, Fold, folds
from console.health.xid_policy import default_policy
from tests.support.machine_room import HOUR, MINUTE, alert, node, rack, site
from tests.support.make import NOW


def made(nodes, alerts) -> dict[str, Fold]:
    return {one.key: one for one in folds(site(*nodes, alerts=alerts), NOW, default_policy())}


def about(numbers, name="NodeDown", **more):
    return [alert(name, about=f"gpu{number:04d}", ago=5 * MINUTE + number, **more) for number in numbers]


def keys(nodes, alerts) -> list[str]:
    return list(made(nodes, alerts))


@pytest.mark.parametrize("severity", sorted(QUIET_SEVERITIES))
def test_quiet_alerts_alone_make_no_fold(severity):
    """What asks nothing of anybody is no event of a place, however many of them there are."""
    quiet = about(range(9, 17), "FirmwareOld", severity=severity)
    assert keys(rack(), quiet) == ["name=FirmwareOld"]
    assert keys(rack(), about(range(9, 17), "FirmwareOld", severity="warning")) == ["pdu=R07-pdu-b"]


@pytest.mark.parametrize(("loud", "key"), [(2, None), (3, "pdu=R07-pdu-b")])
def test_quiet_alerts_do_not_make_up_the_number(loud, key):
    alerts = [*about(range(9, 9 + loud)), *about(range(9 + loud, 17), severity="info")]
    found = made(rack(), alerts)
    assert (key in found) is (key is not None) and sum(len(one.members) for one in found.values()) == 8
    assert key is not None or list(found) == ["name=NodeDown"]


@pytest.mark.parametrize(("count", "places"), [(3, 0), (6, 0), (7, 1), (16, 1)])
def test_a_few_nodes_of_a_large_place_make_no_fold(count, places):
    """Of 64 nodes in a rack 6 are less than a tenth: they went by chance."""
    nodes = [node(number, extra="{}") for number in range(1, 65)]
    found = made(nodes, about(range(1, count + 1)))
    assert sum(one.place is not None for one in found.values()) == places
    if not places:
        assert list(found) == ["name=NodeDown"]
    assert sum(len(one.members) for one in found.values()) == count


@pytest.mark.parametrize("severity", sorted(QUIET_SEVERITIES))
def test_a_quiet_alert_about_a_place_hints_at_nothing(severity):
    """Two nodes beside it stay two nodes; a loud one makes all three one event."""
    pdu = {"pdu": "R07-pdu-b", "rack": "R07"}
    two = about(range(9, 11))
    assert keys(rack(), [alert("PduFirmware", severity=severity, ago=6 * MINUTE, **pdu), *two]) == [
        "name=PduFirmware", "name=NodeDown",
    ]  # fmt: skip
    assert keys(rack(), [alert("PduPowerLost", ago=6 * MINUTE, **pdu), *two]) == ["pdu=R07-pdu-b"]


def test_a_name_that_is_everywhere_tells_of_no_place():
    """Three of R07 have it, and so has every other rack at that time."""
    rows = [one for at in range(7, 17) for one in rack(rack=at, first=16 * at + 1)]
    everywhere = [16 * at + of for at in range(7, 17) for of in (9, 10, 11)]
    assert keys(rows, about(everywhere)) == ["name=NodeDown"]
    assert keys(rows, about(everywhere[:3])) == ["pdu=R07-pdu-b"]


def test_xids_that_a_job_causes_tell_of_no_place():
    assert keys(rack(), about(range(9, 17), "GpuXid", xid="31")) == ["name=GpuXid xid=of jobs"]
    assert keys(rack(), about(range(9, 17), "GpuXid", xid="79")) == ["pdu=R07-pdu-b"]


def test_what_went_hours_apart_did_not_go_together():
    apart = [alert("NodeDown", about=f"gpu{at:04d}", ago=at * HOUR) for at in range(9, 17)]
    assert keys(rack(), apart) == ["name=NodeDown"]


def test_every_alert_is_in_exactly_one_fold():
    alerts = [*about(range(9, 17)), alert("RackHot", severity="warning", ago=6 * MINUTE, rack="R07"),
              *about(range(1, 3), "GpuXid", xid="31"), *about(range(3, 5), severity="info")]  # fmt: skip
    told = [id(one.alert) for fold in made(rack(), alerts).values() for one in fold.members]
    assert sorted(told) == sorted(map(id, alerts))


def test_what_a_narrower_place_explains_makes_no_wider_one_out_of_the_rest():
    """Eight nodes of pdu-b, and two beside them on pdu-a: the two alone are no event of the rack."""
    found = made(rack(), about([*range(9, 17), 1, 2]))
    assert {key: len(one.members) for key, one in found.items()} == {"pdu=R07-pdu-b": 8, "name=NodeDown": 2}

"""The NVLink fabric from Prometheus: a row a node, blanks are no cliques, and a site without one hears nothing."""

from __future__ import annotations

import pytest

from collectors.model import SourceFault, Tray
from collectors.prometheus.plant.domain_queries import DOMAIN, IMEX
from collectors.prometheus.sources import PLANT
from tests.support.prometheus_server import StandIn, node

ID, OTHER = "8f1d2c3b-0000-4000-8000-000000000007", "11111111-0000-4000-8000-000000000009"
WELL, NO_ROUTE, SLOW = 0x1AA, 0x19A, 0x1A9


@pytest.fixture
def server():
    with StandIn() as started:
        yield started


def part(name, clique, gpus=4, domain=ID, imex="UP"):
    return {**node(name), DOMAIN: domain, IMEX: imex, "clique": clique}, gpus


def told(server):
    return PLANT["prom.trays"](server.settings).collect().trays


def test_a_tray_that_is_well(server):
    server.rows = {
        "nvlink_cliques": [part("gpu0001", "3")],
        "nvlink_health": [({**node("gpu0001"), "summary": "1"}, 4)],
        "nvlink_masks": [({**node("gpu0001"), "mask": str(WELL)}, 4)],
        "imex": [(node("gpu0001"), 5)],
    }
    assert told(server) == {"gpu0001": Tray(node="gpu0001", domain=ID, clique="3", gpus=4, ready=4, fabric="healthy",
                                            imex="up", imex_domain="up")}  # fmt: skip


def test_what_is_not_well_is_said_in_the_drivers_words(server):
    server.rows = {
        "nvlink_cliques": [part("gpu0001", "3"), part("gpu0002", "3", imex="DEGRADED"), part("gpu0003", "3")],
        "nvlink_health": [({**node("gpu0001"), "summary": word}, count) for word, count in (("1", 3), ("3", 1))]
        + [({**node("gpu0002"), "summary": "2"}, 4)],
        "nvlink_masks": [
            ({**node("gpu0001"), "mask": str(SLOW)}, 1), ({**node("gpu0001"), "mask": str(WELL)}, 3),
            ({**node("gpu0002"), "mask": str(NO_ROUTE)}, 2), ({**node("gpu0003"), "mask": "0"}, 4),
        ],
        "imex": [(node("gpu0001"), 2), (node("gpu0002"), 7), (node("gpu0003"), -1)],
    }  # fmt: skip
    trays = told(server)
    first, second, third = trays.values()
    assert (first.fabric, first.ready, first.wrong) == ("degraded", 3, ("degraded bandwidth",))
    assert (second.fabric, second.ready, second.wrong) == ("unhealthy", 0, ("route unhealthy",))
    assert (first.imex, second.imex, second.imex_domain) == ("waiting for peers", "unavailable", "degraded")
    # Nought is "not supported", and a daemon that is not installed is none: both unknown, never well.
    assert third.fabric is third.ready is third.imex is None and third.clique == "3"


@pytest.mark.parametrize(
    ("series", "wrong"),
    [("nvlink_health", ("limited capacity",)), ("nvlink_masks", ("degraded bandwidth",))],
)
def test_either_of_the_two_series_will_do(server, series, wrong):
    label = {"nvlink_health": ("summary", "3"), "nvlink_masks": ("mask", str(SLOW))}[series]
    server.rows = {"nvlink_cliques": [part("gpu0001", "3")], series: [({**node("gpu0001"), label[0]: label[1]}, 1)]}
    (one,) = told(server).values()
    assert (one.fabric, one.ready, one.wrong) == ("degraded", 3, wrong)


def test_gpus_that_are_not_in_one_clique(server):
    server.rows = {"nvlink_cliques": [part("gpu0001", "3", 3), part("gpu0001", "5", 1),
                                      part("gpu0002", "3", 3), part("gpu0002", "3", 1, domain=OTHER)]}  # fmt: skip
    first, second = told(server).values()
    assert (first.clique, first.gpus, first.domain) == ("3,5", 4, ID)
    assert (second.clique, second.domain) == ("3,11111111/3", ID)


def test_no_fabric_between_nodes_is_nothing(server):
    """An HGX server has a fabric of its own: an id of zeros, clique 0. DCGM's blanks are no cliques either."""
    zeros = "00000000-0000-0000-0000-000000000000"
    server.rows = {"nvlink_cliques": [part("gpu0001", "0", 8, domain=zeros), part("gpu0002", "0", 8, domain=""),
                                      part("gpu0003", "2147483632"), part("gpu0004", "9223372036854775794"),
                                      part("gpu0005", "-1"), part("gpu0006", "NaN"), part("", "3")]}  # fmt: skip
    facts = PLANT["prom.trays"](server.settings).collect()
    assert facts.trays is None and server.asked == ["hosts", "nvlink_cliques"], "and nothing more is asked"


def test_without_the_label_of_the_domain_the_clique_is_known(server):
    server.rows = {"nvlink_cliques": [part("gpu0001", "32766", domain="", imex="")]}
    (one,) = told(server).values()
    assert (one.domain, one.clique, one.imex_domain) == ("", "32766", None)


def test_what_was_there_and_is_gone_is_a_fault(server):
    source = PLANT["prom.trays"](server.settings)
    server.rows = {"nvlink_cliques": [part("gpu0001", "3")]}
    assert source.collect().trays
    server.rows = {}
    with pytest.raises(SourceFault, match="the NVLink fabric: the series were there and are gone"):
        source.collect()


def test_text_from_outside_is_cleaned(server):
    server.rows = {"nvlink_cliques": [part("gpu0001", "3", domain="\x1b[2Jevil" * 40)]}
    (one,) = told(server).values()
    assert "\x1b" not in one.domain and one.domain.startswith("\\e[2Jevil") and len(one.domain) < 80

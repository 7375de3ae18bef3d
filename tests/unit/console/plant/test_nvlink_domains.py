"""NVLink domains: usable trays are right at once, what fits follows from the counts alone, and nothing is made up."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import Domain, Source, Tray
from collectors.nodestate import display_word, parse_state
from console.gate.preview import text
from console.health.inconsistencies import fresh_facts
from console.plant import nvlink_domains
from console.preflight.plant_checks import check_nvlink as look
from console.tables.domain_columns import node_domain_lines
from console.triage.attention import attention_lines
from tests.support import make
from tests.support.make import NOW
from tests.support.previews import lines, plan

OWN, OTHER = "8f1d2c3b-0000-4000-8000-000000000007", "11111111-0000-4000-8000-000000000009"


def names(count, first=1):
    return [f"gpu{at:04d}" for at in range(first, first + count)]


def node(name, state="IDLE", rack="R07", **more):
    return make.node(name, state, rack=rack, **({"gpus": 4} | more))


def tray(name, clique="3", **more):
    given = {"domain": OWN, "gpus": 4, "ready": 4, "fabric": "healthy", "imex": "up", "imex_domain": "up"}
    return Tray(node=name, clique=clique, **(given | more))


def site(states=None, trays=None, blocks=True, count=18, old=False):
    """R07: 18 trays, all idle and well but for those of `states` and `trays`."""
    every = names(count)
    rows = [node(name, (states or {}).get(name, "IDLE")) for name in every]
    told = {name: tray(name) for name in every} | (trays or {})
    facts = {"nodes": rows, "trays": [one for one in told.values() if one is not None]}
    if blocks:
        facts["domains"] = [Domain(name="R07", nodes=tuple(every), said_by="Slurm's blocks")]
    sources = [
        Source(name=name, ok=True, tried=True, read_mono=0.0 if old and name == "prom.trays" else 500.0)
        for name in ("slurm.nodes", "slurm.topology", "prom.trays")
    ]
    return make.cluster(sources=sources, at=NOW, **facts)


def told(cluster):
    return [one.text for one in attention_lines(cluster, NOW, mono=500.0)]


def checks(cluster, name):
    found = []
    look(cluster.nodes[name], cluster, fresh_facts(cluster, NOW, 500.0), found)
    return [(check.level, check.text) for check in found]


# -- what stands -------------------------------------------------------------------------------------------------------


def test_a_domain_that_is_well():
    one = nvlink_domains.domain_states(site())["R07"]
    assert (len(one.usable), len(one.free), one.largest_job, one.largest_job_now) == (18, 18, 18, 18)
    assert (one.gpus, one.gpus_ready, one.fabric, one.imex, one.rack) == (72, 72, "healthy", "up", "R07")
    assert [part.id for part in one.cliques] == ["3"] and not one.split and not one.broken


def test_usable_is_in_service_and_free_is_idle_for_anybody():
    states = {"gpu0001": "IDLE+DRAIN", "gpu0002": "DOWN", "gpu0003": "ALLOCATED+DRAIN", "gpu0004": "MIXED",
              "gpu0005": "IDLE+PLANNED", "gpu0006": "IDLE+RESERVED", "gpu0007": "IDLE*"}  # fmt: skip
    one = nvlink_domains.domain_states(site(states))["R07"]
    assert one.usable == tuple(names(15, 4)) and one.free == tuple(names(11, 8))
    assert (one.largest_job, one.largest_job_now) == (15, 11)
    assert (one.gpus, one.gpus_ready) == (72, 60), "those that are out are not ready, whatever their fabric says"


def test_it_is_right_at_once_when_a_node_is_drained():
    before = site()
    base, flags = parse_state("IDLE+DRAIN")
    drained = msgspec.structs.replace(before.nodes["gpu0004"], flags=flags, display=display_word(base, flags))
    after = msgspec.structs.replace(before, nodes={**before.nodes, "gpu0004": drained})
    assert (
        len(nvlink_domains.domain_states(before)["R07"].usable) == 18
        and len(nvlink_domains.domain_states(after)["R07"].usable) == 17
    )


def test_two_cliques_are_told_loudly():
    apart = {name: tray(name, "4") for name in names(4, 15)}
    cluster = site(trays=apart)
    one = nvlink_domains.domain_states(cluster)["R07"]
    assert one.split and one.broken and (one.largest_job, one.largest_job_now, one.gpus_ready) == (14, 14, 56)
    assert nvlink_domains.cliques_text(one) == "14 in 3, 4 in 4"
    (line,) = told(cluster)
    assert line == "R07 fell apart: 14 trays in clique 3, 4 trays in clique 4; no 15-tray job fits"
    # The four taken out: nothing needs anybody for it any more, and the domain is what it can be.
    calm = site(dict.fromkeys(apart, "IDLE+DRAIN"), apart)
    assert (
        not nvlink_domains.domain_states(calm)["R07"].split
        and nvlink_domains.domain_states(calm)["R07"].largest_job == 14
    )
    assert not any("fell apart" in text for text in told(calm))


def test_another_domains_id_is_another_clique_though_its_number_is_the_same():
    one = nvlink_domains.domain_states(site(trays={"gpu0018": tray("gpu0018", "3", domain=OTHER)}))["R07"]
    assert [(part.id, len(part.nodes)) for part in one.cliques] == [("3", 17), ("11111111/3", 1)] and one.split


def test_what_nobody_tells_is_no_trouble_and_no_health():
    silent = site(trays=dict.fromkeys(names(18)))
    one = nvlink_domains.domain_states(silent)["R07"]
    assert one.gpus_ready is one.fabric is one.imex is None and one.cliques == () and not one.broken
    assert (one.largest_job, len(one.usable)) == (18, 18) and told(silent) == []
    bare = {name: tray(name, ready=None, fabric=None, imex=None, imex_domain=None) for name in names(18)}
    one = nvlink_domains.domain_states(site(trays=bare))["R07"]
    assert one.gpus_ready is one.fabric is one.imex is None and [part.id for part in one.cliques] == ["3"]


def test_a_tray_that_tells_no_clique_may_be_in_any():
    """Nothing is said not to fit that might."""
    apart = {name: tray(name, "4") for name in names(4, 15)} | dict.fromkeys(names(2))
    one = nvlink_domains.domain_states(site(trays=apart))["R07"]
    assert [len(part.nodes) for part in one.cliques] == [12, 4] and one.largest_job == 14


def test_who_says_what_a_domain_is():
    by_fabric = nvlink_domains.domain_states(site(blocks=False))
    assert list(by_fabric) == ["R07"] and by_fabric["R07"].said_by == nvlink_domains.BY_FABRIC
    # Two ids in one rack: each by its id.
    two = {name: tray(name, domain=OTHER) for name in names(4, 15)}
    states = nvlink_domains.domain_states(site(trays=two, blocks=False))
    assert {name: len(one.nodes) for name, one in states.items()} == {
        "R07 11111111": 4, "R07 8f1d2c3b": 14,
    }  # fmt: skip
    # What was laid out wins: only so is it seen that a tray has left.
    assert (
        list(nvlink_domains.domain_states(site(trays=two))) == ["R07"]
        and nvlink_domains.domain_states(site(trays=two))["R07"].split
    )
    assert nvlink_domains.domain_states(make.cluster()) == {}
    assert nvlink_domains.domain_states(make.cluster(trays=[tray("gpu0001", domain="")], nodes=[node("gpu0001")])) == {}


def test_nodes_that_slurm_does_not_know_are_not_usable():
    cluster = make.cluster(nodes=[node("gpu0001")], domains=[Domain(name="b1", nodes=("gpu0001", "gpu0002"))])
    one = nvlink_domains.domain_states(cluster)["b1"]
    assert one.usable == ("gpu0001",) and one.nodes == ("gpu0001", "gpu0002") and one.gpus == 4


@given(
    st.lists(st.sampled_from(["3", "4", "5", None]), min_size=1, max_size=18),
    st.sets(st.integers(0, 17)),
)
def test_what_fits_is_a_bound_that_holds(cliques, gone):
    """Whatever the silent trays turn out to be in, no clique has more usable trays than `fits`, and one way has as
    many."""
    every = names(len(cliques))
    out = {every[at]: "DOWN" for at in gone if at < len(every)}
    told_by = {
        name: None if clique is None else tray(name, clique) for name, clique in zip(every, cliques, strict=True)
    }
    one = nvlink_domains.domain_states(site(out, told_by, count=len(every)))["R07"]
    usable = [clique for name, clique in zip(every, cliques, strict=True) if name not in out]
    largest = max((usable.count(clique) for clique in ("3", "4", "5")), default=0)
    assert one.largest_job == largest + usable.count(None) <= len(one.usable)


# -- the preview of what takes nodes out -------------------------------------------------------------------------------


def test_a_drain_says_what_the_domain_loses():
    states = {"gpu0001": "DOWN", "gpu0002": "IDLE+DRAIN"}
    made = plan(site(states), "drain", ["gpu0003"], why="x")
    assert lines(made, "NVLink") == ["R07 15 of 18 trays usable (now 16): no 16-tray job fits"]
    assert any("no 16-tray job fits" in line for line in text(made))
    assert lines(plan(site(states), "down", ["gpu0003", "gpu0004"], why="x"), "NVLink") == [
        "R07 14 of 18 trays usable (now 16): no 15-tray job fits"
    ]
    assert lines(plan(site(), "reboot", names(18), why="x"), "NVLink")[0].startswith(
        "R07 0 of 18 trays usable (now 18)"
    )


def test_a_tray_apart_takes_nothing_from_the_largest_job():
    apart = {name: tray(name, "4") for name in names(4, 15)}
    made = plan(site(trays=apart), "drain", ["gpu0018"], why="x")
    assert lines(made, "NVLink") == [
        "R07 17 of 18 trays usable (now 18): a job of 14 trays is the largest, as it is now"
    ]


def test_what_takes_nothing_out_says_nothing():
    out = {"gpu0001": "IDLE+DRAIN"}
    assert nvlink_domains.capacity_loss_texts(site(out), ["gpu0001"]) == []
    assert lines(plan(site(out), "undrain", ["gpu0001"]), "NVLink") == []
    bare = make.cluster(nodes=[node("gpu0001")])
    assert lines(plan(bare, "drain", ["gpu0001"], why="x"), "NVLink") == []


# -- before a node takes work again ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "level", "says"),
    [
        (tray("gpu0001"), "ok", "NVLink clique 3 with 17 other trays of R07, fabric healthy, IMEX up"),
        (tray("gpu0001", "4"), "bad", "it is in NVLink clique 4, 17 trays of R07 are in 3: no job runs over both"),
        (tray("gpu0001", fabric="unhealthy", ready=0, wrong=("route unhealthy",)), "bad",
         "its NVLink fabric is unhealthy: route unhealthy"),
        (tray("gpu0001", fabric="degraded", wrong=("degraded bandwidth",)), "warn",
         "its NVLink fabric is degraded: degraded bandwidth"),
        (tray("gpu0001", imex="waiting for peers"), "warn", "its IMEX service is not up: waiting for peers"),
        (tray("gpu0001", gpus=3), "warn", "3 of its 4 GPUs are in the NVLink fabric"),
        (None, "unknown", "its NVLink fabric is unknown: its exporter is silent"),
    ],
)  # fmt: skip
def test_the_pre_flight_of_a_resume(mine, level, says):
    assert checks(site({"gpu0001": "IDLE+DRAIN"}, {"gpu0001": mine}), "gpu0001") == [(level, says)]


def test_nobody_is_accused_on_old_facts():
    ill = site({"gpu0001": "IDLE+DRAIN"}, {"gpu0001": tray("gpu0001", "4", fabric="unhealthy")}, old=True)
    assert checks(ill, "gpu0001") == [("unknown", "what is known of its NVLink fabric is old")]
    assert told(site(trays={name: tray(name, "4") for name in names(4, 15)}, old=True)) == []


def test_a_node_in_no_fabric_is_not_looked_at():
    assert checks(msgspec.structs.replace(make.cluster(nodes=[node("gpu0001")]), at=NOW), "gpu0001") == []
    lone = site(trays=dict.fromkeys(names(18)))
    assert checks(lone, "gpu0001") == [], "no tray of its domain tells a fabric: nothing is missed"


def test_a_tie_accuses_neither_half():
    half = {name: tray(name, "4") for name in names(9, 10)}
    cluster = site({"gpu0001": "IDLE+DRAIN"}, {**half, "gpu0018": None})
    assert [level for level, _ in checks(cluster, "gpu0001")] == ["ok"]


# -- attention, and the node's own line --------------------------------------------------------------------------------


def test_an_ill_fabric_and_imex_need_somebody():
    ill = {"gpu0002": tray("gpu0002", fabric="unhealthy", ready=0, wrong=("route unhealthy",))}
    assert told(site(trays=ill)) == ["R07 NVLink fabric unhealthy on gpu0002: route unhealthy"]
    down = {"gpu0002": tray("gpu0002", imex="unavailable", imex_domain="degraded")}
    assert told(site(trays=down))[0].startswith("R07 IMEX down on gpu0002")
    lame = {"gpu0002": tray("gpu0002", fabric="degraded", wrong=("degraded bandwidth",))}
    assert told(site(trays=lame)) == [], "a cable with less bandwidth wakes nobody"
    out = told(site({"gpu0002": "IDLE+DRAIN"}, ill))
    assert not any("NVLink" in text for text in out), "out already: in somebody's hands"


def test_many_at_once_are_one_line():
    rows, trays, laid = [], [], []
    for number in range(4):
        mine = names(18, 1 + 18 * number)
        rows += [node(name, rack=f"R{number + 1:02d}") for name in mine]
        trays += [tray(name, "3" if at < 9 else "4", domain=f"{number}") for at, name in enumerate(mine)]
        laid.append(Domain(name=f"R{number + 1:02d}", nodes=tuple(mine)))
    made = make.cluster(nodes=rows, trays=trays, domains=laid)
    sources = {name: Source(name=name, ok=True, read_mono=500.0) for name in ("slurm.nodes", "prom.trays")}
    assert told(msgspec.structs.replace(made, sources=sources, at=NOW)) == [
        "4 NVLink domains fell apart: R01, R02, R03, R04"
    ]


def test_the_line_on_the_nodes_screen():
    def said(cluster, name="gpu0001"):
        return [
            "".join(text for text, _ in line.spans).split(maxsplit=1)[-1] for line in node_domain_lines(name, cluster)
        ]

    assert said(site({"gpu0003": "DOWN", "gpu0004": "IDLE+DRAIN", "gpu0005": "IDLE+DRAIN"})) == [
        "R07 clique 3: 15 of 18 trays usable, fabric healthy, IMEX up"
    ]
    assert said(site(trays={"gpu0001": None})) == ["R07: 18 of 18 trays usable, fabric healthy, IMEX up"]
    assert "it fell apart: trays 14 in 3, 4 in 4" in node_domain_lines("gpu0001", site(
        trays={name: tray(name, "4") for name in names(4, 15)}))[1].spans[-1][0]  # fmt: skip
    assert node_domain_lines("gpu0001", make.cluster(nodes=[node("gpu0001")])) == []

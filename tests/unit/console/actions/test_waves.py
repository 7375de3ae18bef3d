"""A mass return in waves: every node comes once and in order, and a ramp is never exceeded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import Cluster, Load, Power, Source
from console.actions.options import Guard, Options
from console.actions.plan import Waves
from console.actions.registry import BY_ID
from console.actions.waves import MINUTE, earliest_start, plan_waves, steps
from tests.support import make
from tests.support.gate_world import node
from tests.support.make import NOW
from tests.support.rollout_world import NAMES, down


def waves_of(count: int, guard: Guard | None = None, **options: object) -> Waves:
    acting = {name: down(name) for name in NAMES[:count]}
    found = plan_waves(
        BY_ID["resume"], acting, make.cluster(), Options(waves=True, **options), guard or Guard(), NOW, 0.0
    )
    assert found is not None
    return found


# -- which nodes in which wave -----------------------------------------------------------------------------------------


@given(st.integers(1, 160), st.floats(0, 300), st.floats(0.5, 40))
def test_every_node_comes_once_and_in_order(count: int, ramp: float, kw: float) -> None:
    made = waves_of(count, Guard(ramp_kw_min=ramp, node_kw=kw))
    assert [name for wave in made.waves for name in wave.nodes] == NAMES[:count]
    assert all(step for wave in made.waves for step in wave.steps)


def test_a_canary_a_tenth_and_the_rest_by_quarters() -> None:
    assert [(wave.name, len(wave.nodes)) for wave in waves_of(160).waves] == [
        ("canary R01", 16), ("10 %", 16), ("the rest 1 of 4", 40), ("the rest 2 of 4", 40), ("the rest 3 of 4", 40),
        ("the rest 4 of 4", 8),
    ]  # fmt: skip
    # A rack that is all of it makes no canary.
    assert [len(wave.nodes) for wave in waves_of(16).waves] == [2, 2, 4, 4, 4]
    assert [len(wave.nodes) for wave in waves_of(1).waves] == [1]


def test_the_canary_can_be_named() -> None:
    made = waves_of(64, canary="R03")
    assert made.waves[0].nodes == tuple(NAMES[32:48])
    assert sorted(name for wave in made.waves for name in wave.nodes) == NAMES[:64]
    with pytest.raises(ValueError, match="none of the nodes is in rack R99"):
        waves_of(64, canary="R99")


@pytest.mark.parametrize(
    ("action", "count", "options", "comes"),
    [("resume", 100, Options(), True), ("resume", 99, Options(), False), ("undrain", 100, Options(), True),
     ("drain", 160, Options(), False), ("resume", 4, Options(waves=True), True),
     ("resume", 4, Options(redrain=True), True)],
)  # fmt: skip
def test_when_it_comes_in_waves(action: str, count: int, options: Options, comes: bool) -> None:
    acting = {name: down(name) for name in NAMES[:count]}
    found = plan_waves(BY_ID[action], acting, make.cluster(), options, Guard(), NOW, 0.0)
    assert (found is not None) is comes


# -- the ramp ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.1, 60), min_size=1, max_size=60), st.floats(5, 120))
def test_the_ramp_is_never_exceeded(kws: list[float], ramp: float) -> None:
    node_kw = dict(zip(NAMES, kws, strict=False))
    sent: list[tuple[float, float]] = []
    now = 0.0
    for step in steps(tuple(node_kw), node_kw, ramp):
        kw = sum(node_kw[name] for name in step)
        now = max(now, earliest_start(sent, kw, ramp))
        sent.append((now, kw))
    for at, kw in sent:
        within = sum(more for when, more in sent if at <= when < at + MINUTE)
        # One node that alone is more than the ramp must come some time: then it comes alone.
        assert within <= ramp * (1 + 1e-9) or (within == kw and kw in kws)
    # Over all of it, too: what came takes at least as long as the ramp says, but for the last step.
    total = sum(kw for _, kw in sent[:-1])
    assert sent[-1][0] >= (total - ramp) / ramp * MINUTE - 1e-6


def test_the_ramp_is_used() -> None:
    made = steps(NAMES[:7], dict.fromkeys(NAMES, 10.0), 30.0)
    assert made == (tuple(NAMES[:3]), tuple(NAMES[3:6]), (NAMES[6],))
    assert earliest_start([], 30, 30) == -math.inf
    assert earliest_start([(0, 10)], 20, 30) == -math.inf
    assert earliest_start([(0, 10), (20, 20)], 20, 30) == 80
    assert earliest_start([(0, 60)], 10, 30) == 120


def busy(*watts: float) -> Cluster:
    names = NAMES[100 : 100 + len(watts)]
    return make.cluster(
        nodes=[node(name, "ALLOCATED", gpus=8) for name in names], jobs=[make.job("1", nodes=",".join(names))],
        loads=[Load(node=name, sampled_at=NOW - 10, power_w=w) for name, w in zip(names, watts, strict=True)],
        power=Power(source="BMC"), sources=[Source(name="prom.loads", ok=True, read_mono=0.0)],
    )  # fmt: skip


def test_what_a_node_draws_is_what_its_kind_draws_at_work() -> None:
    acting = {name: down(name) for name in NAMES[:3]} | {"cpu01": node("cpu01", "DOWN", gpus=0)}
    made = plan_waves(
        BY_ID["resume"], acting, busy(9000, 10_000, 10_200), Options(waves=True), Guard(ramp_kw_min=25), NOW, 0.0
    )
    assert made is not None and dict(made.node_kw) == dict.fromkeys(NAMES[:3], 10.0) and made.unknown_power == 1
    told = " ".join(made.describe())
    assert "25 kW a minute at 10.0 kW a node (BMC: what busy nodes of their kind draw)" in told
    assert "what 1 will draw is not known" in told
    # Old samples are no figure, and what nobody knows is said.
    made = plan_waves(BY_ID["resume"], acting, busy(9000), Options(waves=True), Guard(ramp_kw_min=25), NOW + 3600, 0.0)
    assert made is not None and not made.node_kw and "no ramp can be kept" in " ".join(made.describe())
    assert "no power ramp is configured" in " ".join(waves_of(20).describe())

"""A mass return against its preview: what was confirmed with the glass and what was looked at stands; what nobody could
know then, and what is another trouble, does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from collectors.model import Cluster, Gpu, Process, Xid
from console.actions.options import Options
from console.actions.plan import Plan
from console.actions.registry import BY_ID
from console.config.settings import Config
from console.gate.preflight_reads import run_checks
from console.health.xid_policy import default_policy
from console.preflight.checks import Check, PreflightReads
from console.session import site_gate
from tests.support.gate_world import World
from tests.support.gpu_checks import DAY, eight, node, site, xid
from tests.support.make import NOW
from tests.support.rollout_world import NAMES, Hand, Machine, down, facts, plan_of, sick


@pytest.fixture
def world(tmp_path: Path) -> World:
    return Machine(tmp_path, [down(name) for name in NAMES[:64]])


def sent(world: World) -> list[str]:
    return [name for change in world.sent if change.action == "resume" for name in change.targets]


def an_hour_old(world: World) -> Xid:
    at = int(world.clock.now()) - 3600
    return Xid(node="gpu0041", gpu=3, code=79, first_at=at, last_at=at, count=1)


def with_xids(cluster: Cluster, *xids: Xid) -> Cluster:
    """The facts with these XIDs, and no other, among them."""
    return msgspec.structs.replace(cluster, xids={one.key: one for one in xids}, known=cluster.known | {"xids"})


def test_another_gpu_of_the_same_node_was_never_accepted(world: World) -> None:
    gate, hand = world.gate(), Hand(world)
    fifth = {"gpu0020": (Gpu(node="gpu0020", index=5, lost="fell off the bus"),)}
    gate.reread = lambda names: (facts(world)(names)[0], PreflightReads(gpus=fifth))
    plan = gate.plan("resume", NAMES[:64], "go", world.cluster(), Options(waves=True, break_glass=True),
                     PreflightReads(gpus=sick("gpu0020")))  # fmt: skip
    assert isinstance(plan, Plan) and plan.confirmation.kind == "break"
    outcome = gate.send(plan, plan.confirmation.prompt, hand)
    assert "gpu0020" not in sent(world) and "GPU 5 is lost" in outcome.aside["gpu0020"]


def test_what_was_accepted_stands_though_its_words_move(world: World) -> None:
    """The driver says something else of the same lost GPU before its step: the same trouble."""
    gate, hand = world.gate(), Hand(world)
    other = {"gpu0020": (Gpu(node="gpu0020", index=3, lost="no answer"),)}
    gate.reread = lambda names: (facts(world)(names)[0], PreflightReads(gpus=other))
    plan = gate.plan("resume", NAMES[:64], "go", world.cluster(), Options(waves=True, break_glass=True),
                     PreflightReads(gpus={"gpu0020": (Gpu(node="gpu0020", index=3,
                         lost="fell off the bus"),)}))  # fmt: skip
    assert isinstance(plan, Plan) and any("fell off" in check.text for check in plan.checks)
    outcome = gate.send(plan, plan.confirmation.prompt, hand)
    assert "gpu0020" in sent(world) and "gpu0020" not in outcome.aside


def bad(gpus: Sequence[Gpu] = (), xids: Sequence[Xid] = (), at: float = NOW, **more: Any) -> list[Check]:
    """What speaks against one node that comes back, as it is known at this moment."""
    gpus = [msgspec.structs.replace(gpu, sampled_at=int(at - 20)) for gpu in gpus or eight()]
    row = node(**more.pop("row", {}))
    cluster = msgspec.structs.replace(site(row, loads=(), xids=xids, **more), at=at)
    found = run_checks(
        BY_ID["resume"], cluster, cluster.nodes, PreflightReads(gpus={row.name: tuple(gpus)}), at, default_policy()
    )
    return [check for check in found if check.level == "bad"]


def test_no_check_is_known_again_by_its_words() -> None:
    one = Check("gpu0001", "bad", "gpu-lost", (3,), {"lost": "fallen off the bus"})
    later = msgspec.structs.replace(one, params={"lost": "no answer"})
    assert one.text != later.text and one.identity == later.identity


def lost(index: int, why: str = "fallen off the bus") -> dict[str, Any]:
    return {"gpus": eight(index, lost=why)}


def stray(pid: int) -> dict[str, Any]:
    return {"gpus": eight(2, processes=(Process(pid=pid, name="python", user="bob"),))}


#: One state of a node, another, and whether what speaks against it is the same trouble.
STATES: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "why a GPU is lost": (lost(3), lost(3, "no answer"), True),
    "another GPU is lost": (lost(3), lost(5), False),
    "fewer GPUs are seen": ({"gpus": eight()[:7]}, {"gpus": eight()[:1]}, False),
    "another XID": ({"xids": [xid(79)]}, {"xids": [xid(48)]}, False),
    "of one more GPU": ({"xids": [xid(79)]}, {"xids": [xid(79), xid(79, gpu=5)]}, False),
    "the XID again": ({"xids": [xid(79)]}, {"xids": [xid(79, ago=20)]}, True),
    "a day later": ({"xids": [xid(79)]}, {"xids": [xid(79)], "at": NOW + DAY}, True),
    "busy at another load": ({"gpus": eight(3, util_pct=97.0)}, {"gpus": eight(3, util_pct=40.0)}, True),
    "another GPU busy": ({"gpus": eight(3, util_pct=97.0)}, {"gpus": eight(4, util_pct=97.0)}, False),
    "another process": (stray(4711), stray(4712), False),
    "another recovery": ({"gpus": eight(3, recovery="reset")}, {"gpus": eight(3, recovery="reboot")}, False),
}


@pytest.mark.parametrize("what", STATES)
def test_the_same_trouble_a_minute_later_is_no_other(what: str) -> None:
    before, after, same = STATES[what]
    first, second = bad(**before), bad(**after)
    assert first and second
    assert ({one.identity for one in first} == {one.identity for one in second}) is same
    if same:
        assert what == "a day later" or [one.text for one in first] != [one.text for one in second]


@pytest.mark.parametrize("put_back", ["never", "by this return", "before"])
def test_an_xid_that_nobody_could_know_at_the_preview_counts(world: World, put_back: str) -> None:
    """No telemetry then; from the first wave on it is there: what is an hour old was never looked at."""
    gate, hand, now = world.gate(), Hand(world), world.clock.now()
    ill = an_hour_old(world)
    resumed = {"never": {}, "by this return": {"gpu0041": now}, "before": {"gpu0041": now - 3000}}[put_back]
    gate.reread = lambda names: (with_xids(facts(world)(names)[0], ill), PreflightReads(resumed=resumed))
    outcome = gate.send(plan_of(world, gate), "64", hand)
    settled = put_back == "before"
    assert ("gpu0041" in sent(world)) is settled and len(sent(world)) == 63 + settled
    assert settled or outcome.aside["gpu0041"].startswith("XID 79 on GPU 3")


def test_an_xid_that_the_preview_looked_at_is_settled(world: World) -> None:
    gate, hand, now = world.gate(), Hand(world), world.clock.now()
    ill = an_hour_old(world)
    gate.reread = lambda names: (with_xids(facts(world)(names)[0], ill), PreflightReads())
    known = with_xids(facts(world)(NAMES[:64])[0], ill)
    plan = gate.plan(
        "resume", NAMES[:64], None, known, Options(waves=True), PreflightReads(resumed={"gpu0041": now - 3000})
    )
    assert isinstance(plan, Plan), plan
    outcome = gate.send(plan, "64", hand)
    assert len(sent(world)) == 64 and not outcome.aside


def test_this_return_itself_settles_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`wacht act`: when a node was put back before is asked of the journal once, before anything is sent."""
    gate = world.gate()
    monkeypatch.setattr(site_gate, "journal_path", lambda name, config: world.path)
    site = SimpleNamespace(name="lab")
    resumed, late = site_gate.last_resumed(site, Config()), site_gate.last_resumed(site, Config())
    assert resumed() == {}
    gate.reread = lambda names: (facts(world)(names)[0], PreflightReads(resumed=resumed()))
    gate.send(plan_of(world, gate, 17), "17", Hand(world))
    assert resumed() == {} and set(late()) == set(NAMES[:17])

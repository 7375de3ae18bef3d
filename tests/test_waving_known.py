"""A mass return against its preview: what was confirmed with the glass and what was looked at stands; what nobody could
know then, and what is another trouble, does not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from collectors.model import Cluster, Gpu, Xid
from console import site_gate
from console.config import Config
from console.plan import Check, Extra, Options, Plan
from console.waving import _kind_of
from tests.test_gate import World
from tests.test_waves import NAMES, down
from tests.test_waving import Hand, Machine, facts, plan_of, sick


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
    gate.look = lambda names: (facts(world)(names)[0], Extra(gpus=fifth))
    plan = gate.plan("resume", NAMES[:64], "go", world.cluster(), Options(waves=True, break_glass=True),
                     Extra(gpus=sick("gpu0020")))  # fmt: skip
    assert isinstance(plan, Plan) and plan.confirm.kind == "break"
    outcome = gate.send(plan, plan.confirm.words, hand)
    assert "gpu0020" not in sent(world) and "GPU 5 is lost" in outcome.aside["gpu0020"]


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("GPU 3 is lost: fallen off the bus", "GPU 5 is lost: fallen off the bus", False),
        ("7 of the 8 GPUs that Slurm counts are seen", "1 of the 8 GPUs that Slurm counts are seen", False),
        ("1 GPU busy, and no job holds any", "3 GPUs busy, and no job holds any", False),
        ("XID 79 on GPU 3 since boot (14:02): reboot", "XID 48 on GPU 3 since boot (14:02): reboot", False),
        ("XID 79 on GPU 3 since boot (14:02): reboot", "XID 79 on GPU 3,5 since boot (14:02): reboot", False),
        ("XID 79 on GPU 3 since boot (14:02): reboot", "XID 79 on GPU 3 since boot (2026-11-26 14:02): reboot", True),
        ("XID 79 on GPU 3 since boot (when is not known): x", "XID 79 on GPU 3 since boot (14:02): x", True),
        ("GPU 3 busy at 97 % and no job holds it", "GPU 3 busy at 4 % and no job holds it", True),
        ("GPU 3 busy at 97 % and no job holds it", "GPU 4 busy at 97 % and no job holds it", False),
        ("GPU 0-3 busy at 35 to 99 % and no job holds them", "GPU 0-3 busy at 40 % and no job holds them", True),
        ("low flow, flow 54 l/min, 269 below its limit", "low flow, flow 1,002 l/min, 1 below its limit", True),
        ("cdu-3 warm, supply 48.1 °C", "cdu-2 warm, supply 48.1 °C", False),
        ("the last sample is 9 d old", "the last sample is 1h 05m old", True),
    ],
)
def test_the_same_trouble_a_minute_later_is_no_other(before: str, after: str, same: bool) -> None:
    assert (_kind_of(Check("gpu0001", "bad", before)) == _kind_of(Check("gpu0001", "bad", after))) is same


@pytest.mark.parametrize("put_back", ["never", "by this return", "before"])
def test_an_xid_that_nobody_could_know_at_the_preview_counts(world: World, put_back: str) -> None:
    """No telemetry then; from the first wave on it is there: what is an hour old was never looked at."""
    gate, hand, now = world.gate(), Hand(world), world.clock.now()
    ill = an_hour_old(world)
    resumed = {"never": {}, "by this return": {"gpu0041": now}, "before": {"gpu0041": now - 3000}}[put_back]
    gate.look = lambda names: (with_xids(facts(world)(names)[0], ill), Extra(resumed=resumed))
    outcome = gate.send(plan_of(world, gate), "64", hand)
    settled = put_back == "before"
    assert ("gpu0041" in sent(world)) is settled and len(sent(world)) == 63 + settled
    assert settled or outcome.aside["gpu0041"].startswith("XID 79 on GPU 3")


def test_an_xid_that_the_preview_looked_at_is_settled(world: World) -> None:
    gate, hand, now = world.gate(), Hand(world), world.clock.now()
    ill = an_hour_old(world)
    gate.look = lambda names: (with_xids(facts(world)(names)[0], ill), Extra())
    known = with_xids(facts(world)(NAMES[:64])[0], ill)
    plan = gate.plan("resume", NAMES[:64], None, known, Options(waves=True), Extra(resumed={"gpu0041": now - 3000}))
    assert isinstance(plan, Plan), plan
    outcome = gate.send(plan, "64", hand)
    assert len(sent(world)) == 64 and not outcome.aside


def test_this_return_itself_settles_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`wacht act`: when a node was put back before is asked of the journal once, before anything is sent."""
    gate = world.gate()
    monkeypatch.setattr(site_gate, "journal_path", lambda name, config: world.path)
    site = SimpleNamespace(name="lab")
    resumed, late = site_gate.put_back(site, Config()), site_gate.put_back(site, Config())
    assert resumed() == {}
    gate.look = lambda names: (facts(world)(names)[0], Extra(resumed=resumed()))
    gate.send(plan_of(world, gate, 17), "17", Hand(world))
    assert resumed() == {} and set(late()) == set(NAMES[:17])

"""Nodes that return in waves: down nodes, a world that brings them back, and an operator whose time passes at once."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from collectors.model import Gpu, Load, Node, Source
from console.actions.options import Options
from console.actions.plan import Plan
from console.gate.outcome import Progress
from console.preflight.checks import PreflightReads
from tests.support.gate_world import World, node

NAMES = [f"gpu{number:04d}" for number in range(1, 161)]


def down(name: str, **more: object) -> Node:
    return node(name, "DOWN", reason="maintenance", rack=f"R{(int(name[3:]) - 1) // 16 + 1:02}", gpus=8, **more)


class Hand(Progress):
    """Somebody whose time passes at once."""

    def __init__(self, world: World, on_hold: Callable[[Hand], object] = lambda hand: hand.stop()) -> None:
        super().__init__()
        self.world, self.waited = world, 0.0
        self.on_hold = lambda: on_hold(self)
        self.at_rest: Callable[[], object] = lambda: None

    def wait(self, seconds: float) -> bool:
        self.world.clock.advance(seconds)
        self.waited += seconds
        self.at_rest()
        return self.stopped


class Machine(World):
    """Its nodes come back with their GPUs."""

    def node(self, name: str, state: str, **more: object) -> None:
        super().node(name, state, gpus=8, gpus_alloc=0, **more)


def facts(world: World, gpus: dict[str, tuple[Gpu, ...]] | None = None, late: float = 0.0):
    """What the gate reads between two waves."""

    def look(names):
        at = int(world.clock.now() - late)
        loads = {name: Load(node=name, sampled_at=at, gpus_seen=8, gpus_idle=8) for name in names}
        sources = {"prom.loads": Source(name="prom.loads", ok=True, read_mono=world.clock.mono())}
        one = world.cluster(loads=loads, known=frozenset({"nodes", "jobs", "loads"}))
        # Of a node that is down nobody hears.
        heard = {name: rows for name, rows in (gpus or {}).items() if world.nodes[name].state != "DOWN"}
        return msgspec.structs.replace(one, sources={**one.sources, **sources}), PreflightReads(gpus=heard)

    return look


def sick(*names: str) -> dict[str, tuple[Gpu, ...]]:
    return {name: (Gpu(node=name, index=3, lost="fell off the bus"),) for name in names}


def silent(world: World, *names: str) -> Callable[..., None]:
    """What a resume does where these do not register."""

    def do(change, name):
        if name in names:
            world.nodes[name] = msgspec.structs.replace(down(name), display="down*")
        else:
            world.node(name, "IDLE")

    return do


def plan_of(world: World, gate, count: int = 64, **options: object) -> Plan:
    plan = gate.plan("resume", NAMES[:count], None, world.cluster(), Options(waves=True, **options))
    assert isinstance(plan, Plan), plan
    return plan

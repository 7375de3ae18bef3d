"""How much of the machine a partition holds decides what must be typed to shut it."""

from __future__ import annotations

import pytest

from collectors.model import Partition, Reservation
from console.actions.options import Guard, Options
from console.actions.plan import Confirmation, Plan
from console.cli.act import run_act
from console.gate.preview import text
from tests.support.gate_world import World, job, node
from tests.support.make import NOW

PARTS = {name: Partition(name=name, state="UP") for name in ("gpu", "debug", "all")}


class Machine(World):
    """Ten nodes: six of gpu, two of debug, all of all, with as many jobs as somebody wants."""

    def cluster(self, **more):
        known = frozenset({"nodes", "jobs", "partitions"})
        return super().cluster(**{"partitions": dict(PARTS), "known": known, **more})

    def read_partitions(self, names):
        return {name: PARTS[name] for name in names if name in PARTS}


def machine(folder, *, gpu: int = 6, runs: tuple[str, ...] = ()) -> Machine:
    sorts = [("gpu", "all")] * gpu + [("debug", "all")] * 2 + [("all",)] * (8 - gpu)
    nodes = [node(f"n{at}", partitions=parts) for at, parts in enumerate(sorts, 1)]
    waits = [job(str(at), "PENDING", partition="debug") for at in range(50, 60)]
    return Machine(folder, nodes, [*(job(str(at), partition=part) for at, part in enumerate(runs, 1)), *waits])


def confirm(world: Machine, *parts: str, guard: Guard | None = None, **more) -> Confirmation:
    plan = world.gate(guard=guard).plan("partition-down", parts, "cooling", world.cluster(**more))
    assert isinstance(plan, Plan), plan
    return plan.confirmation


def test_one_that_holds_most_of_the_nodes_takes_its_name(tmp_path):
    world = machine(tmp_path)
    found = confirm(world, "gpu")
    assert (found.kind, found.word, found.why) == ("break", "gpu", "it shuts 6 of 10 nodes, 60 % of the machine")
    assert confirm(world, "debug") == Confirmation("plain", 1)
    assert confirm(machine(tmp_path, gpu=5), "gpu").why == "it shuts 5 of 10 nodes, 50 % of the machine", "half is much"
    assert confirm(machine(tmp_path, gpu=4), "gpu") == Confirmation("plain", 1)
    assert confirm(world, "gpu", guard=Guard(part_pct=61)) == Confirmation("plain", 1)


def test_several_count_together_and_the_largest_is_named(tmp_path):
    world = machine(tmp_path, gpu=5)
    assert confirm(world, "debug", "gpu").word == "gpu"
    assert "7 of 10 nodes" in confirm(world, "debug", "gpu").why, "a node of both is one node"
    assert confirm(machine(tmp_path, gpu=2), "debug", "gpu") == Confirmation("count", 2)


def test_one_in_which_most_jobs_run_takes_its_name_however_small(tmp_path):
    found = confirm(machine(tmp_path, runs=("debug",) * 7 + ("gpu",) * 3), "debug")
    assert found.word == "debug" and found.why.startswith("7 of 10 running jobs are in it, 70 %")
    assert confirm(machine(tmp_path, runs=("debug",) * 5 + ("gpu",) * 5), "debug").why.startswith("5 of 10 running")
    assert confirm(machine(tmp_path, runs=("debug",) * 4 + ("gpu",) * 6), "debug") == Confirmation("plain", 1)


def test_how_large_it_is_must_be_known(tmp_path):
    found = confirm(machine(tmp_path), "debug", nodes={}, known=frozenset({"jobs", "partitions"}))
    assert found.word == "debug" and found.why == "how much of the machine it shuts is not known"


def test_opening_it_takes_a_y(tmp_path):
    world = machine(tmp_path)
    down = {"gpu": Partition(name="gpu", state="DOWN")}
    plan = world.gate().plan("partition-up", ["gpu"], None, world.cluster(partitions=down))
    assert isinstance(plan, Plan) and plan.confirmation.kind == "plain"


def hundred(folder, *, down: int = 0) -> World:
    return World(folder, [node(f"n{at}", "DOWN" if at <= down else "IDLE") for at in range(1, 101)])


def kept(world: World, *names: str) -> Plan:
    said = {"name": "maint", "start": "now", "flags": "MAINT,IGNORE_JOBS"}
    options = Options(settings=said, seconds=30 * 24 * 3600)
    known = frozenset({"nodes", "jobs", "partitions", "reservations"})
    plan = world.gate().plan("reserve", names, "firmware", world.cluster(known=known), options)
    assert isinstance(plan, Plan), plan
    return plan


def test_a_reservation_is_weighed_as_what_takes_its_nodes_out(tmp_path):
    world, names = hundred(tmp_path), [f"n{at}" for at in range(1, 101)]
    most = kept(world, *names[:99])
    assert most.confirmation == Confirmation("break", 99, "gpu", "it takes 99 % of gpu out, more than 20 %")
    assert any("takes out" in line and "99 of 100 healthy nodes newly out" in line for line in text(most))
    assert kept(world, *names[:20]).confirmation == Confirmation("count", 20) and kept(
        world, "n1"
    ).confirmation == Confirmation("plain", 1)
    less = hundred(tmp_path, down=1)
    whole = kept(less, *names[1:]).confirmation
    assert (whole.kind, whole.why) == ("break", "it sets every node in service of the machine aside")
    assert kept(hundred(tmp_path, down=99), *names[:90]).confirmation == Confirmation("count", 90), "these serve nobody"


def test_an_end_that_is_later_keeps_its_nodes_longer(tmp_path):
    world = hundred(tmp_path)
    row = Reservation(name="maint", state="ACTIVE", nodes="n[1-90]", starts=NOW, ends=NOW + 3600)
    cluster = world.cluster(reservations={"maint": row}, known=frozenset({"nodes", "jobs", "reservations"}))

    def ends(by: str) -> Confirmation:
        plan = world.gate().plan("extend", ["maint"], None, cluster, Options(value=by))
        assert isinstance(plan, Plan), plan
        return plan.confirmation

    assert ends("+3600") == Confirmation("break", 1, "gpu", "it takes 90 % of gpu out, more than 20 %")
    assert ends("-1800") == Confirmation("count", 1), "sooner ends what runs in it"


def test_a_y_or_the_count_does_not_shut_it(tmp_path):
    world = machine(tmp_path)
    for answer in ("y", "yes", "1", "debug", "gpu "):
        gate = world.gate()
        plan = gate.plan("partition-down", ["gpu"], "cooling", world.cluster())
        assert "not confirmed: gpu was asked for" in (gate.send(plan, answer).refused or "")
    assert not world.sent
    gate = world.gate()
    plan = gate.plan("partition-down", ["gpu"], "cooling", world.cluster())
    assert "BREAK GLASS" in text(plan)[1]
    assert gate.send(plan, "gpu").refused is None and world.sent
    assert world.journal()[0]["broke_glass"].startswith("it shuts 6 of 10")


@pytest.mark.parametrize(("glass", "count", "code"), [(False, None, 2), (False, 1, 2), (True, None, 2), (True, 1, 1)])
def test_in_a_shell_it_takes_the_glass_and_the_count(tmp_path, glass, count, code):
    world = machine(tmp_path)
    ended = run_act(world.gate(), world.cluster(), "partition-down", ["gpu"], reason="cooling", yes=True, count=count,
                    options=Options(break_glass=glass), sleep=world.clock.advance)  # fmt: skip
    assert ended == code and bool(world.sent) is (code == 1), "the small Slurm of the tests shows nothing of it"

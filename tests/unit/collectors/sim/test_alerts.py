"""The simulated machine's Alertmanager: silences keep alerts quiet, end by themselves, and can be lifted."""

from __future__ import annotations

import pytest

from collectors.clock import ManualClock
from collectors.model import Matcher
from collectors.sim import SimSettings
from collectors.sim.sources import forget, open_alert_reader, open_sources, running
from collectors.sim.write import open_writer
from console.actions import silences
from tests.support.make import change_of

SETTINGS = SimSettings(nodes=64, seed=5)


@pytest.fixture
def clock():
    forget("alerts")
    yield ManualClock(now=1_795_500_000.0)
    forget("alerts")


@pytest.fixture
def machine(clock):
    made = running("alerts", SETTINGS, clock)
    for name in ("gpu0003", "gpu0004"):
        made.break_node(name)
    return made


def read():
    source = next(one for one in open_sources("alerts", SETTINGS) if one.name == "alerts.alerts")
    return source.collect()


def down(facts, *names):
    return [one for one in facts.alerts.values() if one.name == "NodeDown" and one.node in names]


def taking(facts, seconds=3600, names=("gpu0003", "gpu0004")):
    named = down(facts, *names)
    made = silences.build(named, facts.alerts, seconds=seconds, by="jdv", comment="taken: I'm on it")
    return change_of(action="take", kind="alert", targets=tuple(one.id for one in named), silences=made)


def test_a_taken_alert_is_suppressed_and_says_by_whom(machine):
    before = read()
    change = taking(before)
    writer = open_writer("alerts", SETTINGS)
    (argv,) = writer.commands(change)
    assert argv[:4] == ("amtool", "silence", "add", "--alertmanager.url=http://alertmanager:9093")
    assert read().silences.keys() == before.silences.keys(), "showing does nothing"
    (sent,) = writer.send(change)
    assert (sent.rc, sent.argv, set(sent.targets), sent.refused) == (0, argv, set(change.targets), {})
    after = read()
    for one in down(after, "gpu0003", "gpu0004"):
        assert one.state == "suppressed" and silences.taker(after.silences, one).by == "jdv"
    changed = {key for key in after.alerts if after.alerts[key] is not before.alerts[key]}
    assert changed == set(change.targets), "the others are the same objects as before"


def test_a_silence_ends_by_itself(machine, clock):
    open_writer("alerts", SETTINGS).send(taking(read(), seconds=600))
    made = next(one for one in read().silences.values() if one.taken)
    assert made.ends - made.starts == 600
    clock.advance(599)
    assert made.id in read().silences
    clock.advance(2)
    facts = read()
    assert made.id not in facts.silences
    assert {one.state for one in down(facts, "gpu0003", "gpu0004")} == {"active"}


def test_a_silence_can_be_lifted_once(machine):
    writer, desk = open_writer("alerts", SETTINGS), open_alert_reader("alerts", SETTINGS)
    writer.send(taking(read()))
    made = next(one for one in read().silences.values() if one.taken)
    assert desk.read_silences([made.id, "nobody"]) == {made.id: made}
    lift = change_of(action="lift", kind="silence", targets=(made.id,))
    assert writer.commands(lift)[0][-2:] == ("--alertmanager.url=http://alertmanager:9093", made.id)
    assert writer.send(lift)[0].rc == 0
    assert desk.read_silences([made.id]) == {}
    ids = [one.id for one in down(read(), "gpu0003", "gpu0004")]
    assert {one.state for one in desk.read_alerts([*ids, "nobody"]).values()} == {"active"}
    (again,) = writer.send(lift)
    assert again.rc == 1 and "not found" in again.refused[made.id]


def test_what_fails_later_elsewhere_rings(machine):
    open_writer("alerts", SETTINGS).send(taking(read()))
    machine.break_node("gpu0005")
    machine.repair_node("gpu0003")
    machine.break_node("gpu0003")
    facts = read()
    assert [one.state for one in down(facts, "gpu0005")] == ["active"]
    assert [one.state for one in down(facts, "gpu0003")] == ["suppressed"], "the same failure of the same node"


def test_the_machine_has_a_silence_of_old(machine):
    facts = read()
    (old,) = facts.silences.values()
    assert old.by == "rvdberg" and not old.taken and Matcher("alertname", "NodeFanSlow") in old.matchers
    assert [one.name for one in facts.alerts.values() if old.id in one.silenced_by] == ["NodeFanSlow"]


def test_what_is_not_plain_is_refused(machine):
    change = change_of(action="take", kind="alert", targets=("00000000000000a1",))
    with pytest.raises(ValueError, match="exactly the alerts"):
        open_writer("alerts", SETTINGS).send(change)


def test_two_machines_of_one_seed_have_the_same_silences(machine):
    other = running("alerts", SETTINGS, ManualClock(now=1_795_500_000.0))
    assert machine.silences() == other.silences()

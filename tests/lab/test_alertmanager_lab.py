"""Against the real Alertmanager, 0.28 and 0.33: read, take, silence, lift; hostile text; dead, hanging, very many."""

from __future__ import annotations

import subprocess
import time

import pytest

from collectors.alertmanager import AlertmanagerSettings
from collectors.alertmanager.sources import open_alert_reader, open_sources
from collectors.alertmanager.write import open_writer
from collectors.model import SourceFault
from console.actions import silences
from tests.faults import fault
from tests.support.make import change_of
from tests.support.yardstick import cost

from .alertmanager import Alertmanager
from .place import wait_for

EVIL = "\x1b]52;c;aGk=\x07[@click=app.quit]x[/]\u202e|.*(\n"


def settings(am: Alertmanager, **more) -> AlertmanagerSettings:
    return AlertmanagerSettings(url=am.url, **({"timeout_s": 5.0} | more))


def read(am: Alertmanager, **more):
    source = open_sources("lab", settings(am, **more))[0]
    try:
        return source.collect()
    finally:
        source.close()


def fire_nodes(am: Alertmanager, *numbers: int) -> None:
    am.fire_all(
        ({"alertname": "NodeDown", "severity": "critical", "node": f"gpu{n:04d}", "instance": f"gpu{n:04d}:9400",
          "rack": "R01", "pdu": "R01-a"}, {"summary": f"gpu{n:04d} does not answer"})
        for n in numbers
    )  # fmt: skip
    am.wait_for_alerts(len(numbers), alertname="NodeDown")


def silencing(facts, names, action="take", seconds=3600, comment="taken: I'm on it"):
    named = [one for one in facts.alerts.values() if one.node in names]
    made = silences.build(named, facts.alerts, seconds=seconds, by="jdv", comment=comment)
    return change_of(action=action, kind="alert", targets=tuple(one.id for one in named), silences=made)


def states(facts):
    return {one.node: one.state for one in facts.alerts.values()}


def test_nothing_rings_only_where_it_says_so(alertmanager: Alertmanager) -> None:
    facts = read(alertmanager)
    assert facts.alerts == {} and facts.silences == {} and facts.warnings == ()


def test_an_alert_is_read_as_it_was_fired(alertmanager: Alertmanager) -> None:
    alertmanager.fire({"alertname": "NodeDown", "severity": "critical", "node": "gpu0007", "rack": "R01"},
                      {"summary": "no answer", "runbook_url": "https://r.example/x"}, ago_s=90)  # fmt: skip
    alertmanager.wait_for_alerts(1)
    (alert,) = read(alertmanager).alerts.values()
    assert (alert.name, alert.severity, alert.state, alert.node) == ("NodeDown", "critical", "active", "gpu0007")
    assert alert.summary == "no answer" and alert.annotations["runbook_url"] == "https://r.example/x"
    assert abs(alert.starts - (time.time() - 90)) < 20
    assert open_alert_reader("lab", settings(alertmanager)).read_alerts([alert.id, "nobody"]) == {alert.id: alert}


def test_take_then_lift(alertmanager: Alertmanager) -> None:
    fire_nodes(alertmanager, 1, 2, 3, 4)
    writer = open_writer(settings(alertmanager))
    change = silencing(read(alertmanager), ("gpu0001", "gpu0003"))
    (sent,) = writer.send(change)
    assert (sent.rc, sent.err, set(sent.targets)) == (0, "", set(change.targets))
    facts = read(alertmanager)
    assert states(facts) == {"gpu0001": "suppressed", "gpu0002": "active", "gpu0003": "suppressed", "gpu0004": "active"}
    (made,) = facts.silences.values()
    assert made.taken and (made.by, made.state) == ("jdv", "active")
    assert made.ends - made.starts in {3599, 3600}, "it begins when Alertmanager takes it, in whole seconds"
    assert made.matchers == change.silences[0].matchers
    taken = next(one for one in facts.alerts.values() if one.node == "gpu0001")
    assert silences.taker(facts.silences, taken) == made
    assert all(silences.match(made, one) is (one.state == "suppressed") for one in facts.alerts.values())
    desk = open_alert_reader("lab", settings(alertmanager))
    assert desk.read_silences([made.id, "00000000-0000-4000-8000-000000000000"]) == {made.id: made}
    fire_nodes(alertmanager, 1, 2, 3, 4, 5)
    assert states(read(alertmanager))["gpu0005"] == "active", "the same failure elsewhere rings"
    (lifted,) = writer.send(change_of(action="lift", kind="silence", targets=(made.id,)))
    assert lifted.rc == 0
    facts = read(alertmanager)
    assert facts.silences == {} and set(states(facts).values()) == {"active"}
    assert desk.read_silences([made.id]) == {}
    assert [one["status"]["state"] for one in alertmanager.silences()] == ["expired"], "it remembers, and we do not"


def test_a_silence_that_does_not_exist_cannot_be_lifted(alertmanager: Alertmanager) -> None:
    gone = "00000000-0000-4000-8000-000000000000"
    (sent,) = open_writer(settings(alertmanager)).send(change_of(action="lift", kind="silence", targets=(gone,)))
    assert sent.rc == 1 and sent.refused == {gone: "Alertmanager knows no such silence"}


def test_a_silence_ends_by_itself(alertmanager: Alertmanager) -> None:
    fire_nodes(alertmanager, 1)
    change = silencing(read(alertmanager), ("gpu0001",), "silence", seconds=1, comment="swapping the PDU")
    assert open_writer(settings(alertmanager)).send(change)[0].rc == 0

    def missing() -> str:
        facts = read(alertmanager)
        return "" if not facts.silences and states(facts) == {"gpu0001": "active"} else "it still stands"

    wait_for(missing, 60)


def test_the_command_that_is_shown_does_the_same(alertmanager: Alertmanager) -> None:
    """Run by amtool, which reads matchers by its own grammar, with every character that means something to it."""
    fire_nodes(alertmanager, 1, 2)
    odd = {"alertname": "Odd", "what": EVIL, "path": 'C:\\new "x"', "é": "ü", "sum": "a=b,c{d}~!"}
    alertmanager.fire(odd)
    alertmanager.fire(odd | {"what": "another"})
    alertmanager.wait_for_alerts(2, alertname="Odd")
    facts = read(alertmanager)
    named = [one for one in facts.alerts.values() if one.node == "gpu0001" or "click" in one.labels.get("what", "")]
    made = silences.build(named, facts.alerts, seconds=3600, by="jdv", comment='taken: it\'s -- "mine"')
    change = change_of(action="take", kind="alert", targets=tuple(one.id for one in named), silences=made)
    writer = open_writer(settings(alertmanager))
    for argv in writer.commands(change):
        assert all(word.isprintable() for word in argv)
        done = subprocess.run(["chroot", str(alertmanager.cell.state.root), *argv], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    by_hand = read(alertmanager)
    assert {one.id for one in by_hand.alerts.values() if one.state == "suppressed"} == set(change.targets)
    for silence in by_hand.silences.values():
        (argv,) = writer.commands(change_of(action="lift", kind="silence", targets=(silence.id,)))
        subprocess.run(["chroot", str(alertmanager.cell.state.root), *argv], check=True)
    assert set(states(read(alertmanager)).values()) == {"active"}
    assert [sent.rc for sent in writer.send(change)] == [0, 0]
    ours = read(alertmanager)
    assert {one.id for one in ours.alerts.values() if one.state == "suppressed"} == set(change.targets)

    def whole(found):
        rows = ((one.matchers, one.by, one.comment) for one in found.silences.values())
        return sorted(rows, key=str)

    assert whole(ours) == whole(by_hand)
    lasts = {one.ends - one.starts for one in (*ours.silences.values(), *by_hand.silences.values())}
    assert lasts <= {3599, 3600}, "amtool takes its two times one after the other"


def test_hostile_text_is_shown_and_still_met(alertmanager: Alertmanager) -> None:
    alertmanager.fire({"alertname": "Evil\x1b[2J", "what": EVIL + "a" * 10_000}, {"summary": EVIL * 100})
    alertmanager.wait_for_alerts(1)
    facts = read(alertmanager)
    (alert,) = facts.alerts.values()
    told = (alert.name, alert.summary, *alert.labels.values())
    assert all(not set(text) & set("\x1b\x07\n\u202e") for text in told) and len(alert.labels["what"]) > 10_000
    made = silences.build([alert], facts.alerts, seconds=60, by="jdv", comment="x")
    change = change_of(action="silence", kind="alert", targets=(alert.id,), silences=made)
    assert open_writer(settings(alertmanager)).send(change)[0].rc == 0
    assert [one.state for one in read(alertmanager).alerts.values()] == ["suppressed"]


def test_only_this_clusters_alerts(alertmanager: Alertmanager) -> None:
    for cluster in ("groningen", "delft"):
        alertmanager.fire({"alertname": "NodeDown", "node": f"{cluster}1", "cluster": cluster})
    alertmanager.wait_for_alerts(2)
    mine = {"matchers": 'cluster="groningen"'}
    assert states(read(alertmanager, **mine)) == {"groningen1": "active"}
    writer = open_writer(settings(alertmanager))
    for cluster in ("groningen", "delft"):
        assert writer.send(silencing(read(alertmanager), (f"{cluster}1",)))[0].rc == 0
    (silence,) = read(alertmanager, **mine).silences.values()
    assert any(str(one) == 'cluster="groningen"' for one in silence.matchers)


def test_very_many(alertmanager: Alertmanager) -> None:
    fire_nodes(alertmanager, *range(1, 1001))
    facts = read(alertmanager)
    assert len(facts.alerts) == 1000
    assert cost(lambda: read(alertmanager), rounds=3) < 33  # 11 where it was measured
    change = silencing(facts, {one.node for one in facts.alerts.values() if one.node > "gpu0010"})
    assert {sent.rc for sent in open_writer(settings(alertmanager)).send(change)} == {0}
    facts = read(alertmanager)
    assert sum(one.state == "suppressed" for one in facts.alerts.values()) == 990
    assert len(facts.silences) < 10, "each is a question of its own to Alertmanager"


@fault("Alertmanager", "Alertmanager down", "alerts unknown, never no alerts")
def test_down_is_a_fault_and_never_no_alerts(alertmanager: Alertmanager) -> None:
    fire_nodes(alertmanager, 1)
    change = silencing(read(alertmanager), ("gpu0001",))
    quick = settings(alertmanager, timeout_s=0.4)
    alertmanager.freeze()
    try:
        with pytest.raises(SourceFault, match="did not answer /alerts within"):
            open_sources("lab", quick)[0].collect()
        (sent,) = open_writer(quick).send(change)
        assert (sent.rc, sent.refused) == (None, {}), "it may have been done"
    finally:
        alertmanager.thaw()
    # What was in doubt is settled by reading: it had reached the daemon, or it had not, and is in no case there twice.
    assert len(read(alertmanager).silences) <= 1
    alertmanager.kill()
    try:
        with pytest.raises(SourceFault, match="refuses the connection"):
            open_sources("lab", quick)[0].collect()
        with pytest.raises(SourceFault, match="refuses the connection"):
            open_alert_reader("lab", quick).read_alerts(["x"])
        (sent,) = open_writer(quick).send(change)
        assert sent.rc == 1 and set(sent.refused) == set(change.targets)
    finally:
        alertmanager.revive()


def test_a_source_survives_a_restart(alertmanager: Alertmanager) -> None:
    source = open_sources("lab", settings(alertmanager))[0]
    assert source.collect().alerts == {}
    alertmanager.kill()
    alertmanager.revive()
    assert source.collect().alerts == {}
    source.close()

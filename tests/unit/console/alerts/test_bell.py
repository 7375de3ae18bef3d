"""When the bell rings, what is sent to the terminal for it, and the keys of the configuration for both."""

from __future__ import annotations

import re

import msgspec
import pytest

from console.alerts.bell import BellState, bell_sequences, bell_text
from console.alerts.groups import alert_groups
from console.config import settings
from console.config.settings import ConfigError
from tests.support import make
from tests.support.machine_room import HOUR, MINUTE, alert, rack, site
from tests.support.make import NOW
from tests.support.operator import console


def power(*numbers, ago=MINUTE, **more):
    return [alert("NodeDown", about=f"gpu{n:04d}", ago=ago + n, **more) for n in numbers]


class Ear:
    """Hears what rings, reading after reading."""

    def __init__(self, *alerts):
        self.ring = BellState()
        self.now = NOW
        self.hears(*alerts)

    def hears(self, *alerts, later=10):
        """The titles that ring in a reading with these alerts."""
        self.now += later
        cluster = site(*rack(), alerts=alerts)
        self.ring, new = self.ring.next(cluster, alert_groups(cluster, self.now), self.now)
        return [one.title for one in new]


def quiet(one):
    return msgspec.structs.replace(one, state="suppressed", silenced_by=("s1",))


def test_what_was_there_at_the_start_rings_nobody():
    old = alert("NodeHot", about="gpu0001")
    ear = Ear(old)
    assert ear.hears(old) == []
    assert ear.hears(old, alert("NodeDown", about="gpu0002", ago=1)) == ["NodeDown on gpu0002"]


def test_the_first_reading_is_the_start_however_late_it_comes():
    blind = make.cluster(nodes=rack())
    ring, new = BellState().next(blind, [], NOW)
    assert (ring.active, new) == (None, [])
    ring, new = ring.next(site(*rack()), [], NOW)
    assert (ring.active, new) == (frozenset(), [])


def test_each_group_rings_once_and_a_storm_once():
    ear = Ear()
    assert ear.hears(*power(9)) == ["NodeDown on gpu0009"]
    assert ear.hears(*power(9, 10, 11, 12)) == [], "it grows, and is folded otherwise now"
    assert ear.hears(*power(*range(9, 17))) == []
    assert ear.hears(*power(*range(9, 17)), later=5 * HOUR) == [], "it goes on"


def test_a_group_rings_again_when_something_new_begins_in_it_much_later():
    ear = Ear(alert("NodeDown", about="gpu0001", ago=5 * HOUR))
    both = [alert("NodeDown", about="gpu0001", ago=5 * HOUR), alert("NodeDown", about="gpu0002", ago=1)]
    assert ear.hears(*both) == ["NodeDown on 2 nodes"]


def test_one_that_flaps_rings_once_and_one_that_comes_back_after_long_rings_again():
    one = alert("NodeHot", about="gpu0001", ago=1)
    ear = Ear()
    assert ear.hears(one) == ["NodeHot on gpu0001"]
    assert ear.hears() == []
    assert ear.hears(one) == []
    assert ear.hears() == []
    assert ear.hears(later=HOUR) == []
    assert ear.hears(one) == ["NodeHot on gpu0001"]


def test_taken_silenced_and_lesser_ones_ring_nobody_and_one_whose_silence_ended_does():
    one = alert("NodeDown", about="gpu0001", ago=1)
    ear = Ear()
    assert ear.hears(quiet(one), alert("NodeWarm", severity="warning", about="gpu0002")) == []
    assert ear.hears(one) == ["NodeDown on gpu0001"]


def test_a_warning_that_becomes_critical_rings():
    ear = Ear(alert("NodeHot", severity="warning", about="gpu0001"))
    assert ear.hears(alert("NodeHot", about="gpu0001")) == ["NodeHot on gpu0001"]


def new_groups(*alerts):
    return alert_groups(site(*rack(), alerts=alerts), NOW)


def test_several_at_once_are_one_word_and_one_bell():
    new = new_groups(*power(*range(9, 17)), alert("SlurmctldDown", ago=HOUR))
    assert bell_text(new) == "R07-pdu-b: NodeDown (8 nodes) and 1 more"
    assert bell_sequences("groningen", new, True, "off") == "\x07"


@pytest.mark.parametrize(
    ("bell", "notify", "sent"),
    [
        (True, "off", "\x07"),
        (False, "off", ""),
        (False, "osc9", "\x1b]9;wacht groningen: NodeHot on gpu0001\x1b\\"),
        (True, "osc777", "\x1b]777;notify;wacht groningen;NodeHot on gpu0001\x1b\\\x07"),
    ],
)
def test_what_is_sent_is_what_is_configured(bell, notify, sent):
    assert bell_sequences("groningen", new_groups(alert("NodeHot", about="gpu0001")), bell, notify) == sent
    assert bell_sequences("groningen", [], bell, notify) == ""


@pytest.mark.parametrize("notify", ["osc9", "osc777"])
def test_a_hostile_name_cannot_end_the_sequence_or_begin_another(notify):
    hostile = "a\x1b\\\x1b]52;c;aGk=\x07;b\x9c\u202e" + "x" * 500
    sent = bell_sequences("gron;ingen\x1b", new_groups(alert(hostile, about="gpu0001")), False, notify)
    inside = re.fullmatch(r"\x1b\](9;|777;notify;)(.*)\x1b\\", sent, re.DOTALL)
    assert inside is not None
    assert inside[2].isprintable() and len(inside[2]) < 400
    assert inside[2].count(";") == (1 if notify == "osc777" else 0)


async def test_the_console_says_it_and_the_next_reading_does_not_say_it_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with console((120, 40), incident="pdu") as op:
        assert op.app.session.ring.active is not None
        op.app.clock.advance(60)
        await op.look_again()
        await op.comes("critical: R")
        op.sees("PduPowerLost", "(press 6)")
        told = len(op.app._notifications)
        op.app.clock.advance(10)
        await op.look_again()
        assert len(op.app._notifications) == told


def write(tmp_path, text):
    file = tmp_path / "config.toml"
    file.write_text(text)
    file.chmod(0o600)
    return settings.load(str(file), {}, tmp_path / "none.toml")


def test_bell_notifications_and_links_are_configured(tmp_path):
    plain = write(tmp_path, "")
    assert (plain.bell, plain.notify, plain.links) == (True, "off", False)
    chosen = write(tmp_path, 'bell = false\nnotify = "osc777"\nlinks = true\n')
    assert (chosen.bell, chosen.notify, chosen.links) == (False, "osc777", True)
    with pytest.raises(ConfigError, match=r"notify.*'beep'.*off, osc9, osc777"):
        write(tmp_path, 'notify = "beep"\n')
    with pytest.raises(ConfigError, match="bell"):
        write(tmp_path, 'bell = "yes"\n')

"""The writing half: what is sent is what was shown, once, and what came of it is told as it is."""

from __future__ import annotations

from datetime import datetime

import pytest
from msgspec.structs import replace

from collectors.alertmanager import AlertmanagerSettings
from collectors.alertmanager.write import AlertWriter, open_writer
from collectors.clock import ManualClock
from collectors.model import Change, Matcher, NewSilence
from tests.support.alertmanager_server import MADE, StandIn
from tests.support.make import NOW, change_of
from tests.support.prometheus_server import cut, drip, hang, raw, refusing

ONE, TWO, THREE = ("00000000000000a1", "00000000000000a2", "00000000000000a3")
DOWN = Matcher("alertname", "NodeDown")
NODES = (DOWN, Matcher("node", "gpu1|gpu2", regex=True))


def new(*alerts: str, matchers=NODES, **more) -> NewSilence:
    given = {"seconds": 3600, "by": "jdv", "comment": "taken: I'm on it"} | more
    return NewSilence(alerts=alerts, matchers=tuple(matchers), **given)


def take(*silences: NewSilence, targets=None) -> Change:
    named = tuple(alert for one in silences for alert in one.alerts) if targets is None else targets
    return change_of(action="take", kind="alert", targets=named, silences=silences)


def lift(*ids: str) -> Change:
    return change_of(action="lift", kind="silence", targets=ids)


@pytest.fixture
def server():
    with StandIn(timeout_s=20) as started:
        yield started


def send(server: StandIn, change: Change, **settings):
    return AlertWriter(replace(server.settings, **settings), ManualClock(now=NOW)).send(change)


# -- what is shown is what is sent -------------------------------------------------------------------------------------


def test_a_silence_is_made(server):
    writer = open_writer(server.settings)
    change = take(new(ONE, TWO), new(THREE, matchers=[Matcher("alertname", 'odd "name"')], seconds=60))
    where = f"--alertmanager.url={server.settings.url}"
    assert writer.commands(change) == (
        ("amtool", "silence", "add", where, "--author=jdv", "--duration=3600s", "--comment=taken: I'm on it",
         'alertname="NodeDown"', 'node=~"gpu1|gpu2"'),
        ("amtool", "silence", "add", where, "--author=jdv", "--duration=60s", "--comment=taken: I'm on it",
         'alertname="odd \\"name\\""'),
    )  # fmt: skip
    first, second = send(server, change)
    assert (first.rc, first.targets, first.refused, first.argv) == (0, (ONE, TWO), {}, writer.commands(change)[0])
    assert (second.rc, second.targets) == (0, (THREE,))
    assert server.asked == ["POST /silences"] * 2
    _, _, body, headers = server.seen[0]
    starts, ends = (datetime.fromisoformat(body[key]).timestamp() for key in ("startsAt", "endsAt"))
    assert (starts, ends) == (NOW, NOW + 3600)
    assert (body["createdBy"], body["comment"]) == ("jdv", "taken: I'm on it")
    assert body["matchers"] == [
        {"name": "alertname", "value": "NodeDown", "isRegex": False, "isEqual": True},
        {"name": "node", "value": "gpu1|gpu2", "isRegex": True, "isEqual": True},
    ]
    assert headers["Content-Type"] == "application/json" and "id" not in body


def test_a_silence_is_lifted(server):
    writer = open_writer(server.settings)
    where = f"--alertmanager.url={server.settings.url}"
    assert writer.commands(lift(MADE)) == (("amtool", "silence", "expire", where, MADE),)
    (sent,) = send(server, lift(MADE))
    assert (sent.rc, sent.targets) == (0, (MADE,)) and server.asked == [f"DELETE /silence/{MADE}"]


def test_showing_sends_nothing(server):
    open_writer(server.settings).commands(take(new(ONE)))
    assert server.seen == []


# -- what came of it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [hang, drip, cut, refusing(500), refusing(502), refusing(504), raw(b"<html>log in")])
def test_without_a_certain_answer_it_is_unknown_and_never_sent_again(server, odd):
    server.odd["POST /silences"] = odd
    (sent,) = send(server, take(new(ONE), new(TWO)), timeout_s=0.5 if odd in {hang, drip} else 20)
    assert (sent.rc, sent.targets, sent.refused, sent.fatal) == (None, (ONE,), {}, True)
    assert sent.err.startswith("no certain answer; it may have been done.")
    assert server.asked == ["POST /silences"], "sent once, and nothing after it"


def test_a_refusal_is_alertmanagers_own_words_and_the_others_go_on(server):
    def refuse_first(handler):
        handler.send(b'{"code":400,"message":"silence invalid: \\u001b"}' if len(server.seen) == 1 else
                     b'{"silenceID":"x"}', 400 if len(server.seen) == 1 else 200)  # fmt: skip

    server.odd["POST /silences"] = refuse_first
    first, second = send(server, take(new(ONE, TWO), new(THREE)))
    assert (first.rc, first.refused) == (1, dict.fromkeys((ONE, TWO), "silence invalid: \\e"))
    assert (second.rc, first.fatal) == (0, False)


@pytest.mark.parametrize("code", [401, 403, 405, 429, 503, 302])
def test_what_would_meet_the_next_one_too_ends_it(server, code):
    server.odd["*"] = refusing(code)
    (sent,) = send(server, take(new(ONE), new(TWO)))
    assert sent.rc == 1 and sent.fatal and set(sent.refused) == {ONE} and len(server.seen) == 1


def test_a_server_that_is_not_there_has_done_nothing(server):
    dead = replace(server.settings, url="http://127.0.0.1:9")
    (sent,) = AlertWriter(dead).send(take(new(ONE), new(TWO)))
    assert (sent.rc, sent.fatal) == (1, True) and "refuses the connection" in sent.refused[ONE]


def test_a_token_that_cannot_be_read_sends_nothing(tmp_path, server):
    (sent,) = AlertWriter(replace(server.settings, token_file=str(tmp_path / "none"))).send(take(new(ONE)))
    assert sent.rc == 1 and "token file" in sent.refused[ONE] and server.seen == []
    (sent,) = AlertWriter(replace(server.settings, ca=str(tmp_path / "none"))).send(take(new(ONE)))
    assert sent.rc == 1 and "there is no file" in sent.refused[ONE] and server.seen == []


def test_lifting_what_is_gone_fails_by_itself(server):
    server.odd[f"DELETE /silence/{MADE}"] = refusing(404)
    first, second = send(server, lift(MADE, "22222222-2222-4333-8444-555555555555"))
    assert first.refused == {MADE: "Alertmanager knows no such silence"} and second.rc == 0


# -- the last door -----------------------------------------------------------------------------------------------------


ANY = Matcher("node", ".*", regex=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_of(action="drain", kind="alert", targets=(ONE,)), "is not an action"),
        (change_of(action="lift", kind="node", targets=("gpu1",)), "is not an action"),
        (take(targets=()), "no targets"),
        (take(targets=(ONE,)), "exactly the alerts"),
        (take(new(ONE), targets=(ONE, TWO)), "exactly the alerts"),
        (take(new(ONE, TWO), targets=(ONE,)), "exactly the alerts"),
        (take(new(ONE), new(ONE), targets=(ONE,)), "exactly the alerts"),
        (take(new("../x")), "cannot|is no alert that can be named"),
        (lift(MADE, MADE), "named twice"),
        (lift("../alerts"), "is no silence that can be named"),
        (take(new(ONE, matchers=())), "without alerts or matchers"),
        (take(new(ONE, matchers=[DOWN, ANY])), "does not list what it meets"),
        (take(new(ONE, matchers=[DOWN, Matcher("node", "gpu[12]", regex=True)])), "does not list"),
        (take(new(ONE, matchers=[DOWN, Matcher("node", "gpu1", equal=False)])), "does not list"),
        (take(new(ONE, matchers=[DOWN, Matcher("node", "a|", regex=True)])), "without that label too"),
        (take(new(ONE, matchers=[Matcher("node", "")])), "silence everything"),
        (take(new(ONE, matchers=[DOWN, Matcher("", "x")])), "no matcher that can be shown"),
        (take(new(ONE, matchers=[DOWN, Matcher("node", "\x1b[2J")])), "no matcher that can be shown"),
        (take(new(ONE, matchers=[DOWN, DOWN])), "two matchers for one label"),
        (take(new(ONE, seconds=0)), "lasts up to 31 days"),
        (take(new(ONE, seconds=10**8)), "lasts up to 31 days"),
        (take(new(ONE, by=" ")), "the author"),
        (take(new(ONE, comment="")), "the comment"),
        (take(new(ONE, comment="a\nb")), "the comment"),
        (take(new(ONE, comment="a" * 1001)), "the comment"),
    ],
)
def test_what_is_not_plain_is_not_sent(server, change, told):
    writer = open_writer(server.settings)
    for do in (writer.commands, writer.send):
        with pytest.raises(ValueError, match=told):
            do(change)
    assert server.seen == []


def test_a_label_that_must_not_be_there_may_stand_beside_one_that_must(server):
    (sent,) = send(server, take(new(ONE, matchers=[DOWN, Matcher("gpu", "")])))
    assert sent.rc == 0


def test_the_address_may_end_in_a_slash():
    writer = open_writer(AlertmanagerSettings(url="https://x.example/am/"))
    assert "--alertmanager.url=https://x.example/am" in writer.commands(lift(MADE))[0]

"""`:` commands: what is typed means one thing or is refused with what would mean something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.actions.registry import ACTIONS, BY_ID
from console.actions.signature import examples, signature
from console.actions.targets import split_line
from console.config.commands import SCREENS, Command, CommandError, command_help, completer, entries, hint, parse
from tests.support.make import cluster, job, node

HERE = cluster(
    nodes=[node(f"gpu{n}") for n in (10, 9, 1)], jobs=[job("101"), job("102_3", "PENDING"), job("7+1", "PENDING")]
)
COMPLETE = completer(lambda: HERE, ["groningen", "daylight"])


@pytest.mark.parametrize(
    ("text", "verb", "words"),
    [
        ("nodes", "nodes", ()),
        (":nodes state=drained gpus>4", "nodes", ("state=drained", "gpus>4")),
        ("  :  NODES\tstate=drained ", "nodes", ("state=drained",)),
        ("q", "jobs", ()),
        ("ov", "overview", ()),
        ("res", "partitions", ()),
        ("node gpu1", "node", ("gpu1",)),
        ("job 101", "job", ("101",)),
        ("th daylight", "theme", ("daylight",)),
        ("quit", "quit", ()),
        ("requeue 101", "requeue", ("101",)),
        ("requeueh 101", "requeuehold", ("101",)),
        ("dr gpu[1-3] bad DIMM", "drain", ("gpu[1-3]", "bad", "DIMM")),
        ("hold", "hold", ()),
    ],
)
def test_means(text, verb, words):
    command = parse(text)
    assert (command.verb, command.words) == (verb, words)
    assert tuple(command.rest.split()) == words


def test_what_follows_is_kept_as_typed():
    assert parse("drain gpu1   bad  DIMM  ").rest == "gpu1   bad  DIMM"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "type a command"),
        (" : ", "type a command"),
        ("zzz", "no command zzz; Ctrl+P finds every command and key by what it does"),
        ("partitons", "no command partitons; nearest to it:\n  partitions  Partitions and Reservations\n  partition"),
        ("resmue gpu1", "no command resmue; nearest to it:\n  resume NODES [--waves]"),
        ("re 101", "which of refresh, re"),
        ("reservation", "which of reserve, extend, unreserve?\n  reserve NODES --name NAME --start WHEN"),
        ("node", "node NAME: inspect a node"),
        ("theme ", "theme NAME: other colours"),
        ("job\t", "job ID: inspect a job"),
    ],
)
def test_refuses_with_what_would_mean_something(text, says):
    with pytest.raises(CommandError) as caught:
        parse(text)
    assert str(caught.value).startswith(says)


@given(st.text())
def test_any_text_is_a_command_or_a_refusal(text):
    try:
        command = parse(text)
    except CommandError as error:
        assert str(error)
        return
    assert isinstance(command, Command) and command.verb == command.verb.lower()


@pytest.mark.parametrize("name", [*SCREENS, *BY_ID, "node", "job", "filter", "theme", "refresh", "help", "quit"])
def test_a_whole_word_means_itself(name):
    assert parse(f"{name} x").verb == name


def test_no_word_means_two_screens():
    words = [word for names in SCREENS.values() for word in names]
    assert len(set(words)) == len(words) and all(names[0] == screen for screen, names in SCREENS.items())


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("dra", ["drain", "drains", "drained nodes", "drain reasons"]),
        ("DRA", ["drain", "drains", "drained nodes", "drain reasons"]),
        ("kil", ["kill"]),
        ("power o", ["power off", "power on"]),
        ("scontrol h", ["scontrol hold"]),
        ("xyz", []),
        ("theme ", ["theme groningen", "theme daylight"]),
        ("theme d", ["theme daylight"]),
        ("node ", ["node gpu1", "node gpu9", "node gpu10"]),
        ("drain gpu1", ["drain gpu1", "drain gpu10"]),
        ("job 10", ["job 101", "job 102_3"]),
        ("cancel 7", ["cancel 7+1"]),
        ("cancel us", ["cancel user="]),
        ("cancel user=al & stat", ["cancel user=al & state="]),
        ("cancel user=al state=pen", ["cancel user=al state=pending"]),
        ("cancel user=al bad stat", []),
        ("drain gpu1 stat", []),
        ("drain gpu1 & stat", ["drain gpu1 & state="]),
        ("drain state=idle gpu1", ["drain state=idle gpu1", "drain state=idle gpu10"]),
        ("drain @r", ["drain @rack:"]),
        ("nodes gpu", ["nodes gpu>", "nodes gpu1", "nodes gpu9", "nodes gpu10"]),
        ("no rea", ["no reason="]),
        ("jobs state=pen", ["jobs state=pending"]),
        ("jobs gpu>4 & us", ["jobs gpu>4 & user="]),
        ("jobs !us", ["jobs !user="]),
        ("nodes name=gpu9", ["nodes name=gpu9"]),
        ("journal dra", []),
        ("forget ", []),
        ("nonsense gpu", []),
    ],
)
def test_completes(text, becomes):
    assert list(COMPLETE(text)) == becomes


def test_an_empty_line_offers_everything():
    assert set(COMPLETE("")) >= {*SCREENS, *BY_ID, "node", "quit"}


def test_never_offers_more_than_a_screenful():
    many = completer(lambda: cluster(jobs=[job(str(id)) for id in range(1000)]), [])
    assert len(many("job ")) == 50


@given(st.text(max_size=20))
def test_what_is_offered_goes_on_with_what_is_typed(text):
    for offer in COMPLETE(text):
        assert offer.lower().startswith(text.lower())


def test_every_command_is_explained():
    told = dict(command_help())
    assert all(any(word in keys for keys in told) for word in [*SCREENS, "node", "quit"])
    for one in ACTIONS:
        assert told[f":{signature(one)}"] == one.help


@pytest.mark.parametrize(
    ("action", "typed"),
    [
        ("timelimit", "timelimit JOBS 4h | +2h | UNLIMITED"),
        ("drain", "drain NODES REASON [--resume-after 2h]"),
        ("resume", "resume NODES [--waves] [--canary R07] [--failed drain | stay]"),
        ("reserve", "reserve NODES --name NAME --start WHEN --for 4h --users USERS"),
        ("take", "take [--for 4h]"),
    ],
)
def test_a_signature_is_what_may_be_typed(action, typed):
    assert signature(BY_ID[action]) == typed


@pytest.mark.parametrize("action", ACTIONS, ids=lambda one: one.id)
def test_an_example_can_be_typed(action):
    for line in examples(action):
        command = parse(line)
        assert command.verb == action.id
        _, said = split_line(action.kind, command.rest)
        if action.value is not None:
            assert action.value.parse(said) is not None
        else:
            assert bool(said) == action.needs_reason


@pytest.mark.parametrize(
    ("typed", "verb", "rest"),
    [
        ("kill 4711", "cancel", "4711"), ("cancel 4711", "cancel", "4711"), ("scancel 4711", "cancel", "4711"),
        ("power off gpu1", "powerdown", "gpu1"), ("Power Cycle gpu1 hung", "reboot", "gpu1 hung"),
        ("exit", "quit", ""), ("quit", "quit", ""), ("dmesg gpu1", "ssh", "gpu1"), ("console", "ssh", ""),
        ("log 4711", "log", "4711"), ("requeue 4711", "requeue", "4711"), ("who drained", "inbox", ""),
        ("who drained gpu1", "inbox", "gpu1"), ("sinfo -R", "inbox", ""), ("squeue user=alice", "jobs", "user=alice"),
        ("scontrol show node gpu1", "node", "gpu1"), ("scontrol hold 4711", "hold", "4711"),
        ("power rack=R01", "power", "rack=R01"), ("walltime 4711 +2h", "timelimit", "4711 +2h"),
    ],
)  # fmt: skip
def test_other_words_mean_the_command_that_has_them(typed, verb, rest):
    command = parse(typed)
    assert (command.verb, command.rest) == (verb, rest)


def test_a_word_of_several_commands_names_them_with_what_they_do():
    with pytest.raises(CommandError) as caught:
        parse("maintenance")
    first, *more = str(caught.value).split("\n  ")
    assert first == "which of drain, reserve?"
    assert [line.split()[0] for line in more] == ["drain", "reserve"]
    assert more[0].endswith("no new work on the node; running jobs go on until they end")


def test_an_unknown_word_names_the_nearest_three():
    with pytest.raises(CommandError) as caught:
        parse("pwoerdown gpu1")
    first, *near = str(caught.value).split("\n  ")
    assert first == "no command pwoerdown; nearest to it:" and len(near) == 3
    assert near[0].startswith("powerdown NODES  no new work, and power off")


def test_other_words_are_of_one_form_and_none_is_the_name_of_something_else():
    known = entries()
    for entry in known.values():
        for word in entry.synonyms:
            assert word == " ".join(word.split()).lower()
            assert word not in known or word == entry.id, word


@pytest.mark.parametrize(
    ("typed", "explained"),
    [
        ("time", "timelimit JOBS 4h | +2h | UNLIMITED   e.g. timelimit 4711 4h   give a job another"),
        ("timelimit 4711 ", "timelimit JOBS 4h | +2h"), ("kill", "cancel JOBS   e.g. cancel 4711   end the job"),
        ("power of", "powerdown NODES"), ("power", "power"), ("zzz", ""), ("", ""),
    ],
)  # fmt: skip
def test_what_is_typed_is_explained_meanwhile(typed, explained):
    assert hint(typed).startswith(explained) and bool(hint(typed)) == bool(explained)

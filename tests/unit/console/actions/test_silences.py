"""Which silences are made of the named alerts: they meet all of these, and none of the others that are known."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.clean import clean
from collectors.matchers import meets, one_of, quoted, spelled, words
from collectors.model import Matcher, Silence
from console.actions import silences
from tests.support import make
from tests.support.yardstick import cost

WRITTEN = {"seconds": 3600, "by": "jdv", "comment": "taken: I'm on it"}


def alert(name="NodeDown", **labels):
    return make.alert(name, labels={"severity": "critical"} | labels)


def down(number, **more):
    return alert(node=f"gpu{number:04d}", instance=f"gpu{number:04d}:9400", rack=f"R{number // 16:02d}", **more)


def build(named, *others):
    known = {one.id: one for one in (*named, *others)}
    return silences.build(named, known, **WRITTEN)


def rings(made, one):
    """What Alertmanager would say, by its own way of reading: anchored expressions, a missing label is empty."""
    return not any(all(_meets(matcher, one.labels) for matcher in silence.matchers) for silence in made)


def _meets(matcher: Matcher, labels) -> bool:
    value = labels.get(matcher.name, "")
    if not matcher.regex:
        return (value == matcher.value) is matcher.equal
    pattern = re.sub(r"\\x\{([0-9a-f]+)\}", lambda point: re.escape(chr(int(point[1], 16))), matcher.value)
    return (re.fullmatch(f"(?:{pattern})", value) is not None) is matcher.equal


def texts(made):
    return [" ".join(str(matcher) for matcher in one.matchers) for one in made]


# -- few silences ------------------------------------------------------------------------------------------------------


def test_one_alert_is_named_by_all_its_labels():
    (made,) = build([down(1)])
    assert texts([made]) == [
        'alertname="NodeDown" instance="gpu0001:9400" node="gpu0001" rack="R00" severity="critical"'
    ]
    assert (made.alerts, made.seconds, made.by, made.comment) == ((down(1).id,), 3600, "jdv", "taken: I'm on it")


def test_a_rack_is_one_silence_and_its_neighbours_ring_on():
    named = [down(n) for n in range(1, 9)]
    (made,) = build(named, down(9), down(17))
    assert made.alerts == tuple(one.id for one in named)
    node = next(one for one in made.matchers if one.name == "node")
    assert node.regex and node.value == "|".join(f"gpu{n:04d}" for n in range(1, 9))
    assert rings([made], down(9)) and rings([made], down(12)) and not rings([made], down(3))
    assert rings([made], alert("GpuXid", node="gpu0001", instance="gpu0001:9400", rack="R00"))


def test_what_fails_later_on_the_same_node_rings_unless_it_is_the_same():
    named = [down(1, gpu="0", xid="79"), down(2, gpu="3", xid="48")]
    made = build(named)
    assert len(made) == 2
    assert rings(made, down(1, gpu="3", xid="48")) and rings(made, down(1, gpu="0", xid="48"))


def test_all_gpus_of_some_nodes_are_one_silence():
    named = [down(n, gpu=str(gpu)) for n in (1, 2, 3) for gpu in range(8)]
    (made,) = build(named)
    assert len(made.alerts) == 24 and rings([made], down(4, gpu="0")) and rings([made], down(1, gpu="8"))


def test_different_alerts_are_different_silences():
    made = build([down(1), down(2), alert("PduPowerLost", rack="R00", pdu="R00-a")])
    assert sorted(len(one.alerts) for one in made) == [1, 2]


def test_an_alert_with_a_label_more_is_not_met():
    named, other = down(1), down(1, gpu="3")
    (made,) = build([named], other)
    assert Matcher("gpu", "") in made.matchers
    assert rings([made], other) and not rings([made], named)


def test_a_group_that_would_meet_another_is_split():
    named = [alert(node="a", rack="1"), alert(node="b", rack="2")]
    other = alert(node="a", rack="2")
    made = build(named, other)
    assert len(made) == 2 and rings(made, other)
    assert not any(rings(made, one) for one in named)


def test_places_that_nobody_named_together_ring():
    named = [alert(node=node, row=row) for node, row in (("a", "1"), ("a", "2"), ("b", "1"))]
    made = build(named)
    assert rings(made, alert(node="b", row="2")), "no such alert is known yet; it would be news"
    assert not any(rings(made, one) for one in named)


def test_what_cannot_be_told_apart_is_refused():
    one, two = down(1), make.alert(id="twin", labels=down(1).labels)
    with pytest.raises(ValueError, match="do not distinguish it from another"):
        build([one], two)
    assert len(build([one, two])) == 1
    with pytest.raises(ValueError):
        build([msgspec.structs.replace(down(1), labels={})])
    assert build([]) == ()


def test_a_thousand_nodes_stay_short_and_quick():
    named = [down(n) for n in range(1000)]
    others = [down(n) for n in range(1000, 2000)] + [down(n, gpu=str(n % 8)) for n in range(8000)]
    made = build(named, *others)
    assert sum(len(one.alerts) for one in made) == 1000 and len(made) <= 8
    assert all(len(matcher.value) <= silences.LONGEST for one in made for matcher in one.matchers)
    assert cost(lambda: build(named, *others), rounds=3) < 36  # 12 where it was measured


def test_text_that_was_cleaned_meets_what_alertmanager_has():
    raw = "a\x1b]52;c;x\x07|.*\nb"
    (made,) = build([alert(what=clean(raw))])
    assert not rings([made], alert(what=raw)) and not rings([made], alert(what=clean(raw)))
    assert rings([made], alert(what="a")) and rings([made], alert(what=raw + "x"))
    assert all(str(matcher).isprintable() for matcher in made.matchers)
    (made,) = build([alert(**{clean("x\x1b"): "1", "node": "a"})])
    assert [matcher.name for matcher in made.matchers] == ["alertname", "node", "severity"]


NAMES = st.sampled_from(["node", "instance", "rack", "gpu", "xid", "job"])
VALUES = st.sampled_from(["a", "b", "a|b", "a.b", ".*", "axb", "(", "\\", "a\\e", "é", "", "|", "^a$", "a\\x07"])
ALERTS = st.lists(
    st.tuples(st.sampled_from(["X", "Y"]), st.dictionaries(NAMES, VALUES, max_size=4)), min_size=1, max_size=14
)


@given(ALERTS, st.data())
def test_all_named_are_met_and_no_other(rows, data):
    """The labels are those of clean alerts; what Alertmanager does with the silence is tried with Python's engine."""
    known = {}
    for name, labels in rows:
        one = make.alert(name, labels={key: value for key, value in labels.items() if value})
        known[one.id] = one
    chosen = data.draw(st.sets(st.sampled_from(sorted(known)), min_size=1))
    made = silences.build([known[one] for one in chosen], known, **WRITTEN)
    assert sorted(one for silence in made for one in silence.alerts) == sorted(chosen)
    for key, one in known.items():
        assert rings(made, one) is (key not in chosen)
        assert any(meets(silence.matchers, one.labels) for silence in made) is (key in chosen)


# -- who has it --------------------------------------------------------------------------------------------------------


def silence(number, comment="taken: I'm on it", ends=100, state="active", matchers=()):
    return Silence(id=f"s{number}", state=state, matchers=tuple(matchers), ends=ends, by="jdv", comment=comment)


def test_the_taker_is_whose_silence_lasts_longest():
    made = {one.id: one for one in (silence(1), silence(2, ends=200), silence(3, "maintenance", ends=900),
                                    silence(4, ends=900, state="pending"))}  # fmt: skip
    held = make.alert(silenced_by=("s1", "s2", "s3", "s4", "gone"))
    assert silences.taker(made, held).id == "s2"
    assert silences.taker(made, make.alert(silenced_by=("s3",))) is None
    assert silences.taker(made, make.alert()) is None


def test_what_a_silence_meets():
    listed = silence(1, matchers=[Matcher("node", "gpu1|gpu2", regex=True), Matcher("rack", "R02", equal=False)])
    assert silences.match(listed, alert(node="gpu1", rack="R01"))
    assert not silences.match(listed, alert(node="gpu1", rack="R02"))
    assert not silences.match(listed, alert(node="gpu11"))
    assert not silences.match(silence(1), alert())


def test_a_foreign_expression_is_never_run_but_believed_to_alertmanager():
    evil = silence(1, matchers=[Matcher("node", "(a+)+$", regex=True)])
    one = alert(node="a" * 40 + "b")
    assert not silences.match(evil, one)
    assert silences.match(evil, msgspec.structs.replace(one, silenced_by=("s1",)))
    certain = silence(1, matchers=[Matcher("node", ".*", regex=True), Matcher("alertname", "Other")])
    assert not silences.match(certain, msgspec.structs.replace(one, silenced_by=("s1",)))


# -- matchers ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=8), min_size=1, max_size=5))
def test_words_are_what_was_quoted(values):
    assert words("|".join(map(quoted, values))) == frozenset(values)


@pytest.mark.parametrize("pattern", ["a.", "a+", "[ab]", "(a)", "a{2}", "^a", "a$", "\\d", "\\", "\\x{}", "\\x{1g}"])
def test_more_than_words_is_not_listed(pattern):
    assert words(pattern) is None


def test_matchers_are_spelled_for_amtool():
    assert spelled(one_of("node", ["b", "a"])) == 'node=~"a|b"'
    assert spelled(Matcher("n", 'a"\\', equal=False)) == 'n!="a\\"\\\\"'
    assert spelled(Matcher("n", "a.b", regex=True, equal=False)) == 'n!~"a.b"'

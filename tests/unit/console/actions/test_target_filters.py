"""One language: what `/` understands names targets, and is never sent as a reason; targets are what `/` shows."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.actions.options import Options
from console.actions.plan import Plan, Refusal
from console.actions.registry import ACTIONS, BY_ID
from console.actions.targets import check_no_targets_in, is_filter, resolve, split_line
from console.filters.language import compile_filter, filter_in_reason
from console.runtime.errors import FilterError
from tests.support import make
from tests.support.act_terminal import Terminal
from tests.support.gate_world import node, planned, small
from tests.support.operator import console

CLUSTER = make.cluster(
    nodes=[
        make.node(f"gpu000{n}", "MIXED" if n < 3 else "IDLE", rack=f"R0{(n + 1) // 2}", gpus=8) for n in range(1, 5)
    ],
    jobs=[
        make.job("101", nodes="gpu0001", user="alice", account="ml"),
        make.job("102", nodes="gpu0002", user="alice", account="bio"),
        make.job("103", "PENDING", user="bob", account="ml"),
        make.job("104", "PENDING", user="root", account="ml"),
    ],
)
ROWS = {"node": CLUSTER.nodes, "job": CLUSTER.jobs}
CONDITIONS = {
    "node": [
        "rack=R01",
        "state=idle",
        "gpu>4",
        "name=gpu0002",
        "user=alice",
        "state in (idle, mixed)",
        "@rack:R02",
        "gpu > 4",
    ],
    "job": ["user=alice", "state=pending", "account=ml", "id<104", "nodes=gpu0001", "user in (bob, root)", "@rack:R01"],
}


def expressions(kind):
    plain = st.sampled_from(["idle", "mixed", "ml", "gpu0001", "'bad DIMM'"])
    return st.recursive(
        st.sampled_from(CONDITIONS[kind]),
        lambda inner: st.one_of(
            st.builds("({} & {})".format, inner, inner), st.builds("{} {}".format, inner, inner),
            st.builds("{} | {}".format, inner, inner), st.builds("!{}".format, inner),
            st.builds("{} & {}".format, inner, plain), st.builds("({} {})".format, inner, plain),
        ),
        max_leaves=5,
    )  # fmt: skip


KINDS = st.sampled_from(["node", "job"])
PIECES = st.sampled_from(
    [
        *"()|&!=~<>,'\"",
        " ",
        " ",
        "in ",
        "gpu",
        "state",
        "idle",
        "pending",
        "R01",
        "rack",
        "user",
        "alice",
        "bad",
        "DIMM",
        "2",
    ]
)
TEXTS = st.one_of(expressions("node"), expressions("job"), st.lists(PIECES, max_size=10).map("".join))
WORDS = st.sampled_from(["", "bad DIMM", "PDU work", "4h", "see ticket 7"])


def shown(kind, text):
    """The rows that a list shows with this filter."""
    found = compile_filter(text, kind)
    return {name for name, row in ROWS[kind].items() if found.matches(row, CLUSTER)}


def is_condition(text):
    """Whether it parses as a filter that is more than words: of the text alone, not of what the parser says of it."""
    bare = re.sub(r"\"[^\"]*\"|'[^']*'|\[[^\]]*\]", "", text)
    if not re.search(r"[=~<>&|!@]|\bin\s*\(", bare):
        return False
    for kind in ("node", "job"):
        try:
            compile_filter(text, kind)
        except FilterError:
            continue
        return True
    return False


@given(
    TEXTS, st.sampled_from([one.id for one in ACTIONS if one.needs_reason or one.id in {"cancel", "hold", "undrain"}])
)
@settings(max_examples=150, deadline=None)
def test_no_text_that_parses_as_a_filter_is_ever_sent_as_a_reason(text, action):
    if not is_condition(text.strip('" ')):
        return
    assert filter_in_reason(text.strip('" '))
    with TemporaryDirectory() as folder:
        world = small(Path(folder))
        world.nodes["gpu0003"] = node("gpu0003")
        gate, rows = world.gate(), {"node": ["gpu0001"], "job": ["88133"]}
        targets = rows.get(BY_ID[action].kind, ["gpu0001"])
        answer = gate.plan(action, targets, text, world.cluster())
        assert isinstance(answer, Refusal) or answer.reason is None, answer
        bare = gate.plan(action, targets, None, world.cluster())
        if isinstance(bare, Plan):
            assert isinstance(gate.with_reason(bare, text), Refusal)


@pytest.mark.slow
@given(KINDS, st.data(), WORDS)
@settings(max_examples=200, deadline=None)
def test_no_target_set_is_larger_than_the_same_filter_shows(kind, data, said):
    text = data.draw(expressions(kind))
    try:
        which, rest = split_line(kind, f"{text} {said}".strip())
        names = resolve(kind, which, CLUSTER)
    except ValueError:
        return
    assert rest == said and set(names) == shown(kind, text)
    assert set(resolve(kind, [text], CLUSTER)) == shown(kind, text)


@given(KINDS, TEXTS, st.sampled_from(["cancel", "hold"]))
@settings(max_examples=300, deadline=None)
def test_a_line_that_is_a_filter_hits_what_it_shows_or_is_refused(kind, text, job_action):
    action = BY_ID["drain" if kind == "node" else job_action]
    text = text.strip()
    if not text or not is_condition(text):
        return
    try:
        which, said = split_line(kind, text)
        names = resolve(kind, which, CLUSTER)
        if text[0] not in "\"'":
            check_no_targets_in(action, which[0], said.split(), CLUSTER)
    except ValueError:
        return
    if filter_in_reason(said):
        return
    assert "=" not in said and "&" not in said and "|" not in said
    if not said:
        assert set(names) <= shown(kind, text) or not is_filter(which[0])


@given(st.lists(st.sampled_from(CONDITIONS["job"]) | expressions("job"), min_size=2, max_size=3))
@settings(max_examples=150, deadline=None)
def test_of_several_words_all_must_hold(words):
    if all(word.startswith("@") for word in words):
        return
    try:
        names = resolve("job", words, CLUSTER)
    except ValueError:
        return
    assert set(names) == set.intersection(*(shown("job", word) for word in words))


@pytest.fixture
def act(tmp_path):
    return Terminal(small(tmp_path))


@pytest.mark.parametrize(
    ("action", "words", "targets"),
    [
        ("cancel", ["user=alice & state=pending"], "88133"), ("cancel", ["user=alice", "state=pending"], "88133"),
        ("cancel", ["state=running | state=pending"], "88121 88133"), ("drain", ["state=idle & !gpu0009"], "gpu0001"),
        ("drain", ["state=idle | state=mixed"], "gpu0001 gpu0002"),
    ],
)  # fmt: skip
def test_act_takes_a_filter_and_sends_names(act, action, words, targets):
    names = targets.split()
    assert act(action, *words, reason="PDU work", count=len(names), as_json=True) in {0, 1}
    assert act.told["targets"] == names
    assert {name for change in act.world.sent for name in change.targets} == set(names)


@pytest.mark.parametrize(
    ("action", "words", "options", "why"),
    [
        ("cancel", ["88133"], {"reason": "state=pending"}, "reads as a filter and was not taken for the reason"),
        ("cancel", ["88133"], {"reason": "& state=pending"}, "(TARGETS & state=pending)"),
        ("drain", ["gpu0001"], {"reason": "rack=R07"}, "reads as a filter"),
        ("hold", ["88133"], {"reason": "| x"}, "reads as a filter"),
        ("cancel", ["user=alice & state=pendin"], {}, "no state is called pendin: did you mean pending?"),
        ("drain", ["state=drian"], {"reason": "x"}, "no state is called drian: did you mean drain?"),
        ("drain", ["hottest>80"], {"reason": "x"}, "in a filter its name is temp"),
        ("drain", ["power>6"], {"reason": "x"}, "needs a unit: 6kW or 6W?"),
        ("drain", ["state=idle & name=gpu0004"], {"reason": "x"}, "no node matches"),
        ("drain", ["temp>80"], {"reason": "x"}, "temp is not known of any node"),
        ("partition-down", ["state=up"], {"reason": "x"}, "partitions are given by name"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_act_refuses_with_2_what_means_something_else(act, action, words, options, why, as_json):
    assert act(action, *words, yes=True, as_json=as_json, **options) == 2
    assert why in act.err.getvalue() and not act.world.sent


def test_what_an_undo_puts_back_was_typed_by_no_one(tmp_path):
    world = small(tmp_path)
    again = Options(undoes="abc", reasons={"gpu0001": "NHC: temp=95"})
    plan = world.gate().plan("drain", ["gpu0001"], "temp=95", world.cluster(), again)
    assert isinstance(plan, Plan) and plan.reason == "temp=95"


def test_what_an_alert_says_is_offered_and_may_be_kept(tmp_path):
    world = small(tmp_path)
    gate = world.gate()
    plan = gate.plan("drain", ["gpu0001"], None, world.cluster())
    assert isinstance(plan, Plan)
    text = "temp > 90 & rising"
    assert isinstance(gate.with_reason(plan, text), Refusal)
    ready = gate.with_reason(plan, f"{text} again", Options(prefilled_reason=f"{text} "))
    assert isinstance(ready, Plan) and ready.reason == f"{text} again"


def test_an_ordinary_reason_is_sent(tmp_path):
    world = small(tmp_path)
    assert planned(world.gate(), "drain", "gpu0001", reason="bad DIMM", cluster=world.cluster()).reason == "bad DIMM"


@pytest.mark.slow
async def test_a_list_says_which_value_there_is_not():
    async with console((160, 40), screen="nodes") as op:
        await op.filter("state=drian")
        op.sees("0 of 64", "no state is called drian: did you mean drain?")
        await op.press("escape")
        await op.filter("state=drian | rack=R01")
        op.sees("no state is called drian: did you mean drain?")
        await op.press("escape")
        op.sees_not("drian")
        await op.press("slash")
        await op.type("hottest>80")
        await op.press("enter")
        op.sees("hottest is the title of a column, in a filter its name is temp")


async def test_a_key_is_grey_only_where_every_marked_row_refuses():
    async with console((160, 40), screen="nodes", nodes=512) as op:
        screen = op.list
        rows = op.cluster.nodes
        drained = make.node("x", "IDLE+DRAIN")
        names = sorted(rows)
        last = names[-1]
        marked = {name: drained if name != last else make.node(name, "IDLE") for name in names}
        cluster = make.cluster(nodes=[])
        screen.cluster = type(op.cluster)(name=cluster.name, nodes=marked, known=frozenset({"nodes"}))
        screen.targets = lambda kind: tuple(names)
        assert len(names) > 200 and screen.refusal("drain") is None
        screen.cluster = type(op.cluster)(
            name=cluster.name, nodes=dict.fromkeys(names, drained), known=frozenset({"nodes"})
        )
        assert "already drained" in screen.refusal("drain")


@pytest.mark.slow
async def test_a_saved_filter_names_targets_too():
    async with console((160, 40), screen="nodes") as op:
        await op.filter("rack=R01")
        await op.command("save mine")
        await op.command("drain @mine PDU work")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        rack = {name for name, one in op.cluster.nodes.items() if one.rack == "R01"}
        assert set(op.dialog.plan.rows) <= rack and op.dialog.plan.reason == "PDU work"
        await op.press("escape")
        await op.command("drain @other PDU work")
        op.sees("no filter is saved as other")

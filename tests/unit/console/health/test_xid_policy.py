"""The XID policy: what ships, what a site lays over it, and what is said when the file is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import Xid
from console.config.settings import load
from console.health.xid_policy import (
    ACTIONS,
    SHIPPED_FILE,
    ConfigError,
    Policy,
    default_policy,
    load_policy,
    preceding_xid,
)

#: Code to action, as the reference's XID guide has it.
GUIDE = {
    **dict.fromkeys((13, 31), "job"),
    **dict.fromkeys((43, 45), "ignore"),
    **dict.fromkeys((48, 62, 64, 95, 109, 119, 120, 136, 140, 143, 158), "drain+reset"),
    74: "drain+link", **dict.fromkeys((144, 145, 146, 149, 150), "check-log"), **dict.fromkeys((147, 148), "watch"),
    63: "reset", 79: "drain+reboot", 92: "watch", 94: "job", 154: "recovery",
}  # fmt: skip


@pytest.fixture
def site(tmp_path):
    def write(text: str):
        path = tmp_path / "xid.toml"
        path.write_text(text)
        return path

    return write


def test_every_code_of_the_guide_has_its_action_a_step_and_a_source():
    policy = default_policy()
    for code, action in GUIDE.items():
        advice = policy.advice_for(code)
        assert advice is not None and advice.action == action, code
        assert advice.meaning and advice.first_step and advice.source
    assert policy.step(79).startswith("drain, reboot the node")


def test_where_the_sources_disagree_they_are_all_there():
    advice = default_policy().advice_for(63)
    said = {one.action: one.source for one in (advice.followed, *advice.others)}
    assert "NVIDIA XID catalogue" in said["ignore"] and "AWS" in said["drain"]
    assert advice.action == "reset" and advice.acts and not advice.drains


def test_a_code_that_nobody_speaks_of_is_said_to_be_one():
    assert default_policy().advice_for(999) is None
    assert default_policy().step(999) == "no advice for XID 999"


def test_the_worst_of_several_is_the_one_to_go_by():
    policy = default_policy()
    assert policy.worst([43, 79, 31, 63]) == 79
    assert policy.worst([43, 31, 999]) == 999
    assert policy.worst([999, 63]) == 63
    assert policy.worst([]) is None


def test_a_site_lays_its_own_over_it_code_by_code(site):
    path = site(
        '[xid.79]\naction = "watch"\nfirst_step = "we know"\nsource = "Sietse"\n'
        '[xid."900-902,910"]\nmeaning = "ours"\naction = "drain"\nfirst_step = "out"\nsource = "us"\n'
    )
    policy = load_policy(path)
    assert policy.step(79) == "we know"
    assert policy.advice_for(79).meaning == default_policy().advice_for(79).meaning
    assert policy.advice_for(79).others == ()
    assert [policy.advice_for(code).action for code in (900, 902, 910)] == ["drain"] * 3
    assert policy.advice_for(903) is None
    assert policy.advice_for(48) == default_policy().advice_for(48)
    assert policy.files == (str(SHIPPED_FILE), str(path))


def test_a_site_may_say_what_to_do_by_the_severity_of_the_kernels_line(site):
    path = site(
        '[xid.145]\naction = "drain"\nfirst_step = "out"\nsource = "us"\n'
        '[xid.145.nonfatal]\naction = "ignore"\nfirst_step = "let it be"\nsource = "us"\n'
    )
    policy = load_policy(path)
    said = [policy.step(145, severity) for severity in (None, "fatal", "nonfatal")]
    assert said == ["out", "out", "let it be"], "a code of the site replaces the whole row"
    assert default_policy().advice_for(145, "fatal").action == "drain+reset"


def test_the_worst_of_several_knows_their_severity():
    policy = default_policy()
    rows = [Xid(node="a", gpu=0, code=145, severity=severity) for severity in ("nonfatal", None, "fatal")]
    assert policy.worst_of(rows) is rows[2] and policy.worst_of(rows[:2]) is rows[1]
    assert policy.worst_of([]) is None
    assert policy.worst_of([rows[0], Xid(node="a", gpu=0, code=63)]).code == 63


def test_the_xid_before_one_that_follows_is_of_the_same_gpu_and_not_later():
    after = Xid(node="a", gpu=0, code=45, first_at=100, last_at=100)
    before = Xid(node="a", gpu=0, code=62, first_at=90, last_at=90)
    older = Xid(node="a", gpu=0, code=31, first_at=10, last_at=20)
    rows = [after, older, before, Xid(node="a", gpu=1, code=79, first_at=95, last_at=95),
            Xid(node="a", gpu=0, code=48, first_at=110, last_at=110), Xid(node="a", gpu=0, code=43),
            ]  # fmt: skip
    assert preceding_xid(after, rows) is before and preceding_xid(after, [after, older]) is older
    assert preceding_xid(before, rows) is None and preceding_xid(after, [after]) is None


GOOD = '[xid.79]\naction = "drain"\nfirst_step = "x"\nsource = "y"\n'
OTHER = '[[xid.79.other]]\naction = "{}"\nfirst_step = "a"\nsource = "b"\n'
BAD = [
    ('[xid.79]\naction = "reboot"\nfirst_step = "x"\nsource = "y"', ":2: xid.79.action: is 'reboot'; allowed: ignore"),
    ('[xid.79]\naction = "drain"\nfirst_step = 3\nsource = "y"', ":3: xid.79.first_step: must be a text, is int"),
    ('[xid.79]\naction = "drain"\nfirst = "x"', ":3: xid.79.first: unknown key; allowed: action, fatal, first_step"),
    ('[xid.79]\naction = "drain"\nfirst_step = " "\nsource = "y"', ":3: xid.79.first_step: is empty"),
    ('[xid.79]\naction = "drain"\nsource = "y"', ":1: xid.79: needs first_step"),
    ('[xid.901]\naction = "drain"\nfirst_step = "x"\nsource = "y"', ":1: xid.901: needs a meaning"),
    ('[xid.gpu]\naction = "drain"', ":1: xid.gpu: must be a code"),
    ('[xid."9-3"]\naction = "drain"', ":1: xid.9-3: 9-3 runs backwards"),
    ("[xids.79]\n", ": xids: unknown key; allowed: xid"),
    ("xid = 3\n", ":1: xid: needs a code"),
    ("[xid.79\n", "at line 1"),
    (f'{GOOD}[xid."79-80"]\n', ":5: xid.79-80: XID 79 is in this file twice"),
    (f"{GOOD}other = 3", ":5: xid.79.other: must be tables"),
    (f'{GOOD}[xid.79.fatal]\naction = "drain"\n', ":5: xid.79.fatal: needs first_step"),
    (GOOD + OTHER.format("watch") + OTHER.format("no"), ":10: xid.79.other.action: is 'no'"),
    (GOOD + "[[xid.79.other]]\n" + OTHER.format("watch"), ":5: xid.79.other: needs action"),
]


@pytest.mark.parametrize(("text", "said"), BAD)
@pytest.mark.slow
def test_an_error_names_file_line_key_and_what_is_allowed(site, text, said):
    path = site(text)
    with pytest.raises(ConfigError) as caught:
        load_policy(path)
    assert str(path) in str(caught.value) and said in str(caught.value)


def test_a_file_that_others_can_write_or_that_is_not_there_is_refused(site, tmp_path):
    path = site("")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="others can write it"):
        load_policy(path)
    with pytest.raises(ConfigError, match="No such file"):
        load_policy(tmp_path / "none.toml")


def test_the_configuration_names_the_file(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('xid_policy = "/etc/wacht/xid-policy.toml"\n')
    assert load(str(config), {}, tmp_path / "no").xid_policy == "/etc/wacht/xid-policy.toml"
    config.write_text("xid_policy = 3\n")
    with pytest.raises(ConfigError, match=r":1: xid_policy: must be str, is int"):
        load(str(config), {}, tmp_path / "no")


def test_texts_of_a_site_cannot_steer_the_terminal(site):
    path = site('[xid.79]\naction = "drain"\nfirst_step = "a\\u001b]52;c;x\\u0007 b"\nsource = "y"')
    assert "\x1b" not in load_policy(path).step(79) and "\\e" in load_policy(path).step(79)


@given(st.lists(st.integers(0, 300), max_size=8))
def test_the_worst_is_one_of_them_and_none_asks_for_more(codes):
    policy: Policy = default_policy()
    worst = policy.worst(codes)
    assert (worst is None) == (not codes)
    if worst is not None:
        assert worst in codes
        ranks = [advice.rank for code in codes if (advice := policy.advice_for(code))]
        advice = policy.advice_for(worst)
        assert advice is None or advice.rank == max(ranks)


def test_the_words_are_in_order_from_harmless_to_worst():
    assert next(iter(ACTIONS)) == "ignore" and list(ACTIONS)[-1] == "drain+reboot"

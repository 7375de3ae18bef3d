"""The XID policy against NVIDIA's catalogue, code by code: tests/data/xids holds what the catalogue says, and when."""

from __future__ import annotations

import pytest

from collectors.model import FOLLOWERS
from console.health.xid_policy import default_policy
from tests.support.paths import DATA


def table(name: str) -> list[list[str]]:
    lines = (DATA / "xids" / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


CATALOGUE = {int(code): (mnemonic, now, later) for code, mnemonic, now, later in table("catalogue.tsv")}
SUBCODES = table("subcodes.tsv")
#: What the policy may say, by the catalogue's immediate action.
ALLOWED = {
    "RESTART_APP": {"job"},
    "IGNORE": {"ignore", "watch"},
    "WORKFLOW_XID_45": {"ignore"},
    "RESET_GPU": {"drain+reset"},
    "WORKFLOW_XID_48": {"drain+reset"},
    "WORKFLOW_NVLINK_ERR": {"drain+link"},
    "RESTART_BM": {"drain+reboot"},
    "RESTART_VM": {"drain+reboot"},
    "CHECK_MECHANICALS": {"drain"},
    "CHECK_UVM": {"reset"},
    "CONTACT_SUPPORT": {"watch"},
    "UPDATE_SWFW": {"job"},
    "XID_154": {"recovery"},
    "WORKFLOW_NVLINK5_ERR": {"check-log", "watch"},
}
#: Where the policy follows another source, or the catalogue names no action, and what it says then.
ELSEWHERE = {
    63: ("reset", "NVIDIA memory errors"),
    137: ("job", "NVIDIA XID catalogue (IGNORE, then as for 31)"),
    **dict.fromkeys((162,), ("ignore", "NVIDIA XID catalogue (no action named")),
    **dict.fromkeys((163, 164, 165), ("watch", "NVIDIA XID catalogue (no action named; trigger conditions")),
    **dict.fromkeys((166, 170), ("watch", "site practice (the NVIDIA XID catalogue names no action")),
    167: ("drain+reboot", "site practice (the NVIDIA XID catalogue names no action"),
    168: ("reset", "NVIDIA XID catalogue (no action named; trigger conditions"),
    169: ("drain+reset", "site practice (the NVIDIA XID catalogue names no action"),
    **dict.fromkeys((171, 172), ("watch", "NVIDIA XID catalogue")),
}


def test_every_code_of_the_catalogue_and_no_other_has_a_row():
    assert default_policy().advice.keys() == CATALOGUE.keys()


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_the_policy_says_what_the_catalogue_says(code):
    _, immediate, _ = CATALOGUE[code]
    advice = default_policy().advice_for(code)
    assert advice is not None
    if code in ELSEWHERE:
        action, source = ELSEWHERE[code]
        assert advice.action == action and advice.source.startswith(source)
    else:
        assert advice.action in ALLOWED[immediate] and advice.source.startswith("NVIDIA XID catalogue")
        assert immediate in advice.source


def test_a_code_that_the_catalogue_gives_no_action_says_on_what_its_row_rests():
    without = {code for code, (_, immediate, _) in CATALOGUE.items() if not immediate}
    assert without == set(range(162, 173)) and without <= ELSEWHERE.keys()


@pytest.mark.parametrize("code", range(144, 151))
def test_an_nvlink_error_drains_where_the_kernel_says_fatal_and_only_there(code):
    policy = default_policy()
    severities = {row[4] for row in SUBCODES if int(row[0]) == code}
    can_be_fatal = any(not one.startswith("Non-fatal") for one in severities)
    assert policy.advice_for(code).drains is False, "without the kernel's line it is not known to be fatal"
    assert policy.advice_for(code, "nonfatal").action == "watch"
    if not can_be_fatal:
        assert (
            code in {147, 148} and policy.advice_for(code, "fatal").action == policy.advice_for(code).action == "watch"
        )
    else:
        assert policy.advice_for(code).action == "check-log" and "kernel's line" in policy.step(code)
        assert policy.advice_for(code, "fatal").drains
        fatal = {row[3] for row in SUBCODES if int(row[0]) == code and not row[4].startswith("Non-fatal")}
        assert "RESET_GPU" in fatal


def test_what_follows_another_says_to_look_at_the_one_before():
    for code in (43, 45):
        assert code in FOLLOWERS and default_policy().step(code).startswith("look at the one before")

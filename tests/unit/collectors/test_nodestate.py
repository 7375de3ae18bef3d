"""Node states: what Slurm prints becomes one base word, its flags, and the word that people say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.nodestate import BASES, DISPLAYS, UNAVAILABLE, display_word, parse_state

#: Words of node_state_string and node_state_flag_string (slurm_protocol_defs.c, 22.05 to 26.05).
FLAGS = (
    "BLOCKED", "CLOUD", "COMPLETING", "DRAIN", "DYNAMIC_FUTURE", "DYNAMIC_NORM", "EXTERNAL", "FAIL", "INVALID_REG",
    "MAINTENANCE", "NOT_RESPONDING", "PLANNED", "POWERED_DOWN", "POWERING_DOWN", "POWERING_UP", "POWER_DOWN",
    "REBOOT_CANCELED", "REBOOT_ISSUED", "REBOOT_REQUESTED", "RESERVED",
)  # fmt: skip
STATES = st.builds(lambda base, flags: (base, tuple(flags)), st.sampled_from(sorted(BASES)),
                   st.lists(st.sampled_from(FLAGS), unique=True, max_size=5))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "base", "flags", "says"),
    [
        ("IDLE", "IDLE", (), "idle"),
        ("ALLOCATED", "ALLOCATED", (), "allocated"),
        ("MIXED+PLANNED", "MIXED", ("PLANNED",), "mixed"),
        ("IDLE+PLANNED", "IDLE", ("PLANNED",), "planned"),
        ("IDLE+DRAIN", "IDLE", ("DRAIN",), "drained"),
        ("ALLOCATED+DRAIN", "ALLOCATED", ("DRAIN",), "draining"),
        ("MIXED+DRAIN+MAINTENANCE", "MIXED", ("DRAIN", "MAINTENANCE"), "draining"),
        ("IDLE+COMPLETING+DRAIN", "IDLE", ("COMPLETING", "DRAIN"), "draining"),
        ("IDLE+COMPLETING", "IDLE", ("COMPLETING",), "completing"),
        ("DOWN", "DOWN", (), "down"),
        ("DOWN+DRAIN", "DOWN", ("DRAIN",), "down"),
        ("DOWN+DRAIN+INVALID_REG", "DOWN", ("DRAIN", "INVALID_REG"), "invalid"),
        ("DOWN*", "DOWN", ("NOT_RESPONDING",), "down"),
        ("down*+drain", "DOWN", ("NOT_RESPONDING", "DRAIN"), "down"),
        ("IDLE+NOT_RESPONDING", "IDLE", ("NOT_RESPONDING",), "resuming"),
        ("ALLOCATED*", "ALLOCATED", ("NOT_RESPONDING",), "unknown"),
        ("IDLE+FAIL", "IDLE", ("FAIL",), "failed"),
        ("MIXED+FAIL", "MIXED", ("FAIL",), "failing"),
        ("IDLE+POWERED_DOWN", "IDLE", ("POWERED_DOWN",), "powered off"),
        ("IDLE~", "IDLE", ("POWERED_DOWN",), "powered off"),
        ("IDLE#", "IDLE", ("POWERING_UP",), "powering"),
        ("IDLE%", "IDLE", ("POWERING_DOWN",), "powering"),
        ("IDLE+REBOOT_REQUESTED", "IDLE", ("REBOOT_REQUESTED",), "rebooting"),
        ("ALLOCATED@", "ALLOCATED", ("REBOOT_REQUESTED",), "allocated"),
        ("DOWN^", "DOWN", ("REBOOT_ISSUED",), "rebooting"),
        ("IDLE+MAINT", "IDLE", ("MAINTENANCE",), "maintenance"),
        ("IDLE$", "IDLE", ("MAINTENANCE",), "maintenance"),
        ("IDLE+RESERVED", "IDLE", ("RESERVED",), "reserved"),
        ("IDLE+MAINTENANCE+RESERVED", "IDLE", ("MAINTENANCE", "RESERVED"), "maintenance"),
        ("IDLE+BLOCKED", "IDLE", ("BLOCKED",), "blocked"),
        ("IDLE+DYNAMIC_NORM+CLOUD", "IDLE", ("DYNAMIC_NORM", "CLOUD"), "idle"),
        ("FUTURE", "FUTURE", (), "future"),
        ("UNKNOWN", "UNKNOWN", (), "unknown"),
        ("UNKNOWN+DRAIN", "UNKNOWN", ("DRAIN",), "drained"),
        ("alloc", "ALLOCATED", (), "allocated"),
        ("mix-", "MIXED", ("PLANNED",), "mixed"),
        ("drained", "UNKNOWN", ("DRAIN",), "drained"),
        ("IDLE+SOMETHING_NEW", "IDLE", ("SOMETHING_NEW",), "idle"),
        ("SOMETHING_NEW", "UNKNOWN", ("SOMETHING_NEW",), "unknown"),
        ("", "UNKNOWN", (), "unknown"),
        ("IDLE+IDLE", "IDLE", ("IDLE",), "idle"),
    ],
)
def test_words(text, base, flags, says):
    assert parse_state(text) == (base, flags)
    assert display_word(base, flags) == says


@given(STATES)
def test_what_is_joined_comes_apart(state):
    base, flags = state
    assert parse_state("+".join((base, *flags))) == state
    assert parse_state("+".join((base, *flags)).lower()) == state


@given(STATES)
def test_every_state_has_a_word_that_lists_know(state):
    assert display_word(*state) in DISPLAYS


@given(STATES)
def test_the_order_of_flags_does_not_matter(state):
    base, flags = state
    assert display_word(base, flags) == display_word(base, tuple(reversed(flags)))


@given(STATES)
def test_no_work_starts_where_slurm_starts_none(state):
    """DOWN, DRAIN, FAIL and INVALID_REG keep Slurm from starting anything: such a node must never look usable."""
    base, flags = state
    if base in {"DOWN", "FUTURE"} or {"DRAIN", "FAIL", "INVALID_REG"} & set(flags):
        assert display_word(base, flags) in UNAVAILABLE


@given(st.text())
def test_any_text_is_some_state(text):
    base, flags = parse_state(text)
    assert base in BASES
    assert display_word(base, flags) in DISPLAYS
    assert len(set(flags)) == len(flags)


def test_the_words_that_are_out_are_words():
    assert set(DISPLAYS) >= UNAVAILABLE and len(set(DISPLAYS)) == len(DISPLAYS)

"""The action table: one meaning a key, all the words, and what each action leaves alone."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from collectors.slurm import operations
from console.actions.action import ROWS, clean_reason
from console.actions.registry import ACTIONS, BY_ID, NAVIGATION, key_table, keys_for
from tests.support import make
from tests.support.make import job, node

NOTHING = make.cluster()


def test_no_letter_has_two_meanings():
    keys = [action.binding for action in ACTIONS] + [key for one in NAVIGATION for key in one.keys]
    assert [key for key, times in Counter(keys).items() if times > 1] == []


def test_ids_and_words_are_complete_and_unique():
    assert list(BY_ID) == [
        *("drain", "undrain", "resume", "down", "reboot"),
        *("comment", "ticket", "features", "reboot-now", "cancel_reboot", "powerdown", "powerup"),
        *("requeue", "requeuehold", "hold", "uhold", "release", "priority", "cancel"),
        *("timelimit", "jobpartition", "qos", "nice", "exclude", "suspend", "unsuspend", "signal", "notify"),
        *("take", "silence", "lift"),
        *("partition-down", "partition-up", "reserve", "extend", "unreserve", "block", "unblock", "incident"),
    ]
    assert len({action.label for action in ACTIONS}) == len(ACTIONS)
    for action in ACTIONS:
        assert action.label and action.doing.endswith("…") and action.done and action.help
    assert {one.id for kind in ROWS for one in keys_for(kind)} == set(BY_ID)
    assert all(action.inverse is None or action.inverse in BY_ID for action in ACTIONS)


def test_the_writer_knows_exactly_these_actions():
    slurms = {one for one in vars(operations).values() if isinstance(one, operations.SlurmOperation)}
    assert slurms == {one.operation for one in ACTIONS if isinstance(one.operation, operations.SlurmOperation)}
    assert all(one.operation is not None and one.operation.kind == one.kind for one in ACTIONS)


def test_key_table_names_every_key():
    table = key_table()
    for action in ACTIONS:
        key = f"`{action.key}`" if action.key else "—"
        # By its name it is typed, and `wacht act` is given it.
        assert f"| {key} | `{action.id}` | {action.label} | {action.kind} |" in table
    for key in NAVIGATION:
        assert f"| `{key.shown}` | {key.help} |" in table
    assert "a reason" in table and "the count" in table


@pytest.mark.parametrize(
    ("action", "state", "why"),
    [
        ("drain", "IDLE", None),
        ("drain", "MIXED", None),
        ("drain", "DOWN*", None),
        ("drain", "IDLE+DRAIN", "already drained"),
        ("drain", "MIXED+DRAIN", "already draining"),
        ("undrain", "MIXED+DRAIN", None),
        ("undrain", "DOWN+DRAIN", None),
        ("undrain", "DOWN", "nothing to undrain: down"),
        ("undrain", "IDLE", "nothing to undrain: idle"),
        ("undrain", "IDLE+DRAIN+INVALID_REG", "registered wrongly"),
        ("resume", "DOWN", None),
        ("resume", "IDLE+DRAIN", None),
        ("resume", "ALLOCATED+FAIL", None),
        ("resume", "IDLE@", None),
        ("resume", "IDLE", "nothing to resume: idle"),
        ("resume", "ALLOCATED", "nothing to resume: allocated"),
        ("resume", "IDLE~", "nothing to resume: powered off"),
        ("resume", "DOWN+DRAIN+INVALID_REG", "registered wrongly"),
        ("down", "IDLE", None),
        ("down", "ALLOCATED+DRAIN", None),
        ("down", "DOWN*", "already down"),
        ("reboot", "MIXED", None),
        ("reboot", "DOWN+DRAIN", None),
        ("reboot", "IDLE@", "a reboot is under way"),
        ("reboot", "IDLE~", "powered off"),
        ("reboot", "FUTURE", "Slurm knows it as FUTURE"),
    ],
)
def test_nodes_that_are_left_alone(action, state, why):
    refused = BY_ID[action].refuse(NOTHING, node(state=state))
    assert refused is None if why is None else refused is not None and refused.startswith(why)


def test_a_second_drain_says_who_was_first():
    drained = node(state="IDLE+DRAIN", reason="NHC: check_gpu", reason_by="nhc")
    assert BY_ID["drain"].refuse(NOTHING, drained) == 'already drained by nhc "NHC: check_gpu"'


@pytest.mark.parametrize(
    ("action", "row", "why"),
    [
        ("requeue", job(state="RUNNING"), None),
        ("requeue", job(state="SUSPENDED"), None),
        ("requeue", job(state="PENDING", reason="Priority"), "already pending"),
        ("requeue", job(state="PENDING", reason="JobHeldUser"), "already pending"),
        ("requeue", job(state="COMPLETED"), "it has ended: COMPLETED"),
        ("requeue", job(state="COMPLETING"), "it is ending"),
        ("requeuehold", job(state="RUNNING"), None),
        ("requeuehold", job(state="REQUEUE_HOLD"), "already pending"),
        ("hold", job(state="PENDING", reason="Priority", priority=7), None),
        ("hold", job(state="PENDING", reason="JobHeldUser", priority=0), None),
        ("hold", job(state="PENDING", reason="JobHeldAdmin", priority=0), "already held: JobHeldAdmin"),
        ("hold", job(state="RUNNING"), "only a waiting job can be held: RUNNING"),
        ("hold", job(state="FAILED"), "it has ended: FAILED"),
        ("uhold", job(state="PENDING", reason="JobHeldAdmin", priority=0), None),
        ("uhold", job(state="PENDING", reason="JobHeldUser", priority=0), "already held: JobHeldUser"),
        ("release", job(state="PENDING", reason="JobHeldUser"), None),
        ("release", job(state="PENDING", reason="job requeued in held state"), None),
        ("release", job(state="PENDING", priority=0), None),
        ("release", job(state="RUNNING", reason="JobHeldAdmin"), None),
        ("release", job(state="PENDING", reason="Priority", priority=9), "not held: PENDING"),
        ("priority", job(state="PENDING", reason="Priority", priority=9), None),
        (
            "priority",
            job(state="PENDING", reason="JobHeldUser", priority=0),
            "it is held: Slurm changes its priority only",
        ),
        ("priority", job(state="RUNNING"), "only a waiting job has a priority to change: RUNNING"),
        ("release", job(state="RUNNING", reason="None"), "not held: RUNNING"),
        ("release", job(state="CANCELLED", priority=0), "it has ended"),
        ("cancel", job(state="PENDING"), None),
        ("cancel", job(state="RUNNING"), None),
        ("cancel", job(state="COMPLETING"), "it is ending"),
        ("cancel", job(state="TIMEOUT"), "it has ended: TIMEOUT"),
    ],
)
def test_jobs_that_are_left_alone(action, row, why):
    refused = BY_ID[action].refuse(NOTHING, row)
    assert refused is None if why is None else refused is not None and refused.startswith(why)


def test_what_kills():
    assert {action.id for action in ACTIONS if action.danger == "kills"} == {
        "down", "requeue", "requeuehold", "cancel", "signal", "reboot-now",
    }  # fmt: skip
    drain = BY_ID["drain"]
    assert drain.danger_of(node(state="ALLOCATED")) == "reversible"
    assert drain.danger_of(node(state="ALLOCATED~")) == drain.danger_of(node(state="ALLOCATED#")) == "kills"
    assert BY_ID["resume"].danger_of(node(state="DOWN~")) == "reversible"


def test_a_reason_is_one_harmless_line():
    assert clean_reason("  bad\n DIMM\t3 ") == "bad DIMM 3"
    assert clean_reason("\x1b]52;c;eA==\x07 \u202e") == r"\e]52;c;eA==\x07 \u202e"
    assert clean_reason('"quoted"') == "quoted"
    assert len(clean_reason("x" * 5000)) == operations.REASON_CAP
    assert clean_reason(" \n ") == ""


def test_the_gate_needs_no_screen():
    """Neither Textual nor Rich, and no Writer before an action is planned."""
    code = (
        "import sys, console.actions.registry, console.gate.gate, console.actions.plan, console.actions.verification;"
        "import console.journal.writer, console.cli.act;"
        "bad = {'textual', 'rich', 'collectors.slurm.commands.write', 'collectors.sim.write'} & set(sys.modules);"
        "sys.exit(f'imported: {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

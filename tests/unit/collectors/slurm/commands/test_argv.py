"""How the week's actions are spelt for Slurm, and what the last door lets through."""

from __future__ import annotations

import pytest

from collectors.slurm import operations
from collectors.slurm.operations import calls
from console.actions.registry import ACTIONS
from tests.support.make import change_of

TARGETS = {"node": ("gpu0001", "gpu0002"), "job": ("101", "104_2")}


def words(action: str, value: str | None = None, kind: str = "job", **more) -> list[str]:
    targets = TARGETS[kind]
    values = {} if value is None else dict.fromkeys(targets, value)
    return [
        " ".join(argv) for argv, _ in calls(change_of(action=action, kind=kind, targets=targets, values=values, **more))
    ]


@pytest.mark.parametrize(
    ("action", "value", "kind", "spelt"),
    [
        ("timelimit", "4:00:00", "job", ["scontrol update JobId=101,104_2 TimeLimit=4:00:00"]),
        ("timelimit", "UNLIMITED", "job", ["scontrol update JobId=101,104_2 TimeLimit=UNLIMITED"]),
        ("jobpartition", "gpu,debug", "job", ["scontrol update JobId=101,104_2 Partition=gpu,debug"]),
        ("qos", "high", "job", ["scontrol update JobId=101,104_2 QOS=high"]),
        ("nice", "-100", "job", ["scontrol update JobId=101,104_2 Nice=-100"]),
        ("exclude", "gpu[0001-0002]", "job", ["scontrol update JobId=101,104_2 ExcNodeList=gpu[0001-0002]"]),
        ("exclude", "", "job", ["scontrol update JobId=101,104_2 ExcNodeList="]),
        ("suspend", None, "job", ["scontrol suspend 101,104_2"]),
        ("unsuspend", None, "job", ["scontrol resume 101,104_2"]),
        ("signal", "USR1", "job", ["scancel --signal=USR1 101 104_2"]),
        ("signal", "B:TERM", "job", ["scancel --batch --signal=TERM 101 104_2"]),
        ("notify", "a b", "job", ["scontrol notify 101 a b", "scontrol notify 104_2 a b"]),
        ("comment", "spare PSU", "node", ["scontrol update NodeName=gpu[0001-0002] Comment=spare PSU"]),
        ("ticket", "ticket=A-1 since=2026-11-25", "node",
         ["scontrol update NodeName=gpu[0001-0002] Comment=ticket=A-1 since=2026-11-25"]),
        ("features", "h100,ib", "node", ["scontrol update NodeName=gpu[0001-0002] ActiveFeatures=h100,ib"]),
        ("cancel_reboot", None, "node", ["scontrol cancel_reboot gpu[0001-0002]"]),
        ("powerdown", None, "node", ["scontrol update NodeName=gpu[0001-0002] State=POWER_DOWN_ASAP"]),
        ("powerup", None, "node", ["scontrol update NodeName=gpu[0001-0002] State=POWER_UP"]),
    ],
)  # fmt: skip
def test_it_is_spelt(action, value, kind, spelt):
    assert words(action, value, kind) == spelt


def test_a_reboot_now_sets_down_first():
    states = dict.fromkeys(TARGETS["node"], "RESUME")
    assert words("reboot-now", kind="node", reason="fw", next_state=states) == [
        "scontrol update NodeName=gpu[0001-0002] State=DOWN Reason=fw",
        "scontrol reboot ASAP nextstate=RESUME reason=fw gpu[0001-0002]",
    ]


@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("drain", {"reason": "fw"}), ("undrain", {}), ("resume", {}), ("down", {"reason": "fw"}), ("powerdown", {}),
        ("cancel_reboot", {}), ("reboot", {"reason": "fw", "next_state": {"r1n1": "RESUME", "r2n1": "RESUME"}}),
        ("comment", {"values": {"r1n1": "x", "r2n1": "x"}}),
        ("reserve", {"values": {"r1n1": "fw", "r2n1": "fw"},
                     "settings": {"name": "fw", "start": "now", "for": "3600", "users": "bob"}}),
    ],
)  # fmt: skip
def test_no_text_stands_behind_a_range(action, more):
    """Slurm before 23.11 refuses `r[1-2]n1`."""
    found = calls(change_of(action=action, kind="node", targets=("r1n1", "r2n1"), **more))
    assert len(found) == 1 and any(word.split("=")[-1] == "r1n1,r2n1" for word in found[0][0])


def test_each_value_has_a_call_of_its_own():
    change = change_of(
        action="comment", kind="node", targets=("a1", "a2", "a3"), values={"a1": "x", "a2": "y", "a3": "x"}
    )
    assert [(argv[2:], targets) for argv, targets in calls(change)] == [
        (("NodeName=a[1,3]", "Comment=x"), ("a1", "a3")), (("NodeName=a2", "Comment=y"), ("a2",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "kind", "values", "why"),
    [
        ("timelimit", "job", {"101": "1:00:00"}, "a target has no value"),
        ("timelimit", "job", {"101": "1:00:00", "104_2": "x"}, "nothing that can be sent"),
        ("timelimit", "job", {"101": "INFINITE", "104_2": "unlimited"}, "nothing that can be sent"),
        ("exclude", "job", {"101": "-x", "104_2": "gpu1"}, "nothing that can be sent"),
        ("signal", "job", dict.fromkeys(("101", "104_2"), "SEGV"), "nothing that can be sent"),
        ("notify", "job", dict.fromkeys(("101", "104_2"), "--help"), "nothing that can be sent"),
        ("notify", "job", dict.fromkeys(("101", "104_2"), "a\nb"), "nothing that can be sent"),
        ("comment", "node", dict.fromkeys(("gpu0001", "gpu0002"), "a\x1b[2J"), "nothing that can be sent"),
        ("cancel", "job", {"101": "x"}, "takes no value"),
        ("suspend", "job", {"101": "x"}, "takes no value"),
        ("nice", "job", {"101": "1", "104_2": "1", "7": "1"}, "no target"),
    ],
)
def test_the_last_door(action, kind, values, why):
    with pytest.raises(ValueError, match=why):
        calls(change_of(action=action, kind=kind, targets=TARGETS[kind], values=values))


@pytest.mark.parametrize("name", ["ALL", "-a", "a;b", "101 102", ""])
def test_no_other_name_gets_through(name):
    for kind, action in (("job", "suspend"), ("node", "powerup")):
        with pytest.raises(ValueError, match=r"."):
            calls(change_of(action=action, kind=kind, targets=(name,)))


def test_every_action_of_slurms_is_spelt():
    for action in ACTIONS:
        slurms = isinstance(action.operation, operations.SlurmOperation)
        if slurms and action.creates is None and action.kind in {"node", "job"}:
            assert (action.operation.value_form is not None) == (action.value is not None), action.id

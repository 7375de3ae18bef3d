"""`wacht act`: exit status, what is printed where, what is asked, and that refused means nothing sent."""

from __future__ import annotations

import io
import os
import signal
import threading

import pytest

from collectors import process
from console.actions.options import Guard
from console.actions.plan import Plan
from console.cli.act import resolved_targets, run_act
from console.cli.rollout_text import stoppable
from console.gate.preview import text as preview
from tests.support.act_terminal import Terminal
from tests.support.gate_world import job, node, small


class Screen(io.StringIO):
    """Where somebody reads what is printed."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def act(tmp_path):
    return Terminal(small(tmp_path))


def test_a_drain_from_preview_to_done(act):
    assert act("drain", "gpu[0001-0003]", reason="bad DIMM", count=2) == 0
    assert act.out.getvalue().splitlines() == [
        "Drain gpu[0001-0002] on lab",
        "  now           1 idle  gpu0001",
        "                1 mixed  gpu0002",
        "  takes out     gpu: 2 of 2 healthy nodes newly out (100.0 %); out of service then 100.0 %",
        "                all: 2 of 2 healthy nodes newly out (100.0 %); out of service then 100.0 %",
        "  running there 88121 alice train  1 node  8 GPUs  1h 00m done, 1h 00m left",
        "                they go on until they end; the last frees its nodes within 1h 00m",
        '  left alone    1 of 3: gpu0003: already drained by nhc "NHC: check_gpu"',
        "  reason        bad DIMM",
        "  runs          do drain 'Reason=bad DIMM' gpu0001 gpu0002",
        "drained  2  gpu[0001-0002]",
    ]
    assert act.err.getvalue() == "" and len(act.world.sent) == 1


@pytest.mark.parametrize(
    ("action", "words", "options", "why"),
    [
        ("drain", ["gpu9999"], {"reason": "x", "yes": True}, "unknown node gpu9999"),
        ("drain", ["gpu0001"], {"yes": True}, "a reason is required"),
        ("drain", ["gpu0001"], {"yes": True, "reason": " "}, "a reason is required"),
        ("drain", ["gpu0001"], {"yes": True, "dry_run": True}, "a reason is required"),
        ("drain", [], {"reason": "x", "yes": True}, "no nodes were named"),
        ("drain", ["ALL"], {"reason": "x", "yes": True}, "ALL is never sent"),
        ("drain", ["gpu[0001"], {"reason": "x", "yes": True}, "bracket"),
        ("drain", ["@all"], {"reason": "x", "yes": True}, "groups (@)"),
        ("drain", ["gpu[0-90000000]"], {"reason": "x", "yes": True}, "too many"),
        ("drain", ["-oProxyCommand=x"], {"reason": "x", "yes": True}, "-oProxyCommand=x"),
        ("drain", ["$(x)"], {"reason": "x", "yes": True}, "$(x)"),
        ("drain", ["gpu0001"], {"reason": "x"}, "not confirmed: there is no terminal to ask at; --yes would answer"),
        ("drain", ["gpu[0001-0002]"], {"reason": "x", "yes": True}, "--count 2 would answer"),
        ("drain", ["gpu[0001-0003]"], {"reason": "x", "count": 3}, "--count 3: it would act on 2"),
        ("drain", ["gpu[0001-0003]"], {"reason": "x", "count": 3, "dry_run": True}, "--count 3: it would act on 2"),
        ("drain", ["gpu0001"], {"reason": "x", "types": "n"}, "not confirmed"),
        ("drain", ["gpu0001"], {"reason": "x", "types": ""}, "not confirmed"),
        ("cancel", ["88121"], {"yes": True}, "--count 1 would answer"),
        ("cancel", ["88121"], {"types": "y"}, "not confirmed: 1 was asked for"),
        ("resume", ["gpu0001"], {"yes": True}, "gpu0001: nothing to resume: idle"),
        ("nuke", ["gpu0001"], {"yes": True}, "unknown action nuke"),
        ("drain", ["gpu0001"], {"reason": "x", "yes": True, "gate": {"read_only": True}}, "read-only"),
        ("drain", ["gpu0001"], {"reason": "x", "dry_run": True, "gate": {"read_only": True}}, "read-only"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_refused_is_2_with_the_reason_on_stderr_and_nothing_sent(act, action, words, options, why, as_json):
    assert act(action, *words, as_json=as_json, **options) == 2
    assert why in act.err.getvalue()
    assert act.world.sent == [] and act.world.journal() == []
    if as_json:
        assert why in act.told["refused"] and act.told["exit"] == 2 and act.told["outcomes"].values() is not None


def test_a_dry_run_shows_and_sends_nothing(act):
    assert act("drain", "gpu[0001-0003]", reason="bad DIMM", dry_run=True) == 0
    assert "dry run: nothing was sent" in act.out.getvalue() and "Reason=bad DIMM" in act.out.getvalue()
    assert act("cancel", "88121", dry_run=True, as_json=True) == 0
    assert act.told == {
        "version": 1, "cluster": "lab", "action": "cancel", "targets": ["88121"], "reason": None, "dry_run": True,
        "outcomes": {"88121": {"outcome": "planned", "why": None}}, "commands": [["do", "cancel", "88121"]], "exit": 0,
    }  # fmt: skip
    assert act.world.sent == [] and act.world.journal() == [] and act.world.reads == 0


def test_the_terminal_is_asked(act):
    assert act("drain", "gpu0001", reason="x", types="y") == 0
    assert act("cancel", "88121,88133", types="2") == 0
    assert act.asked == ["drain gpu0001? type y to go on: ", "type 2 to go on: "]


def test_the_end_of_input_is_a_no(act):
    def ask(_: str) -> str:
        raise EOFError

    err = io.StringIO()
    assert run_act(act.world.gate(), act.world.cluster(), "cancel", ["88121"], ask=ask, out=io.StringIO(), err=err) == 2
    assert act.world.sent == []


def test_some_failed_is_1(act):
    act.world.rc, act.world.refuses = 1, {"88121": "Access/permission denied"}
    assert act("cancel", "88121", "88133", count=2, as_json=True) == 1
    assert act.told["outcomes"] == {
        "88121": {"outcome": "failed", "why": "Access/permission denied"},
        "88133": {"outcome": "done", "why": None},
    }


def test_unknown_is_1_and_waits_no_longer_than_told(act):
    act.world.rc, act.world.deaf = None, True
    assert act("drain", "gpu0001", reason="x", yes=True, deadline_s=5) == 1
    assert "unknown  1  gpu0001: not seen after" in act.out.getvalue()
    assert act.world.clock.mono() < 10


def test_dropped_is_1(act):
    gate, cluster = act.world.gate(), act.world.cluster()
    act.world.node("gpu0002", "MIXED+DRAIN", reason_by="jdv")
    out = io.StringIO()
    status = run_act(gate, cluster, "drain", ["gpu[0001-0002]"], reason="x", count=2, out=out, err=io.StringIO(),
                     sleep=act.world.clock.advance)  # fmt: skip
    assert status == 1 and "dropped  1  gpu0002: already draining by jdv" in out.getvalue()


def test_json_names_what_was_left_alone(act):
    assert act("drain", "gpu[0001,0003]", reason="x", yes=True, as_json=True) == 0
    assert act.told["targets"] == ["gpu0001"]
    assert act.told["outcomes"]["gpu0003"]["outcome"] == "skipped"
    assert act.err.getvalue() == ""


def test_array_tasks_components_and_doubles_are_expanded(act):
    world = act.world
    world.jobs |= {one: job(one) for one in ("7_1", "7_2", "7_3", "8+0", "8+1", "77_1")}
    cluster = world.cluster()
    assert resolved_targets(cluster, "cancel", ["7"]) == ("7_1", "7_2", "7_3")
    assert resolved_targets(cluster, "cancel", ["7_[1-2]", "7_2", "88121"]) == ("7_1", "7_2", "88121")
    assert resolved_targets(cluster, "cancel", ["8+1"]) == ("8+1",) and resolved_targets(cluster, "cancel", ["8"]) == (
        "8+0",
        "8+1",
    )
    assert resolved_targets(cluster, "drain", ["gpu[0001-0002],gpu0001", "gpu0002"]) == ("gpu0001", "gpu0002")
    assert resolved_targets(cluster, "cancel", ["999"]) == ("999",)


def test_unknown_is_shown_as_unknown(act):
    world = act.world
    world.jobs["88121"] = job("88121", nodes="gpu0002", started=None)
    plan = world.gate().plan("drain", ["gpu0002"], None, world.cluster())
    assert isinstance(plan, Plan)
    text = "\n".join(preview(plan))
    assert "nodes unknown  GPUs unknown  run time unknown, time left unknown" in text
    assert "when the last will end is unknown" in text and "not given yet" in text and "Reason=…" in text
    world.jobs["88121"] = job("88121", nodes="gpu0002", started=None, unlimited=True)
    endless = world.gate().plan("drain", ["gpu0002"], "x", world.cluster())
    assert isinstance(endless, Plan) and "run time unknown, no time limit" in "\n".join(preview(endless))
    blind = world.gate().plan("drain", ["gpu0002"], "x", world.cluster(known=frozenset({"nodes"})))
    assert isinstance(blind, Plan) and "unknown: the jobs were never read" in "\n".join(preview(blind))


def test_killing_says_what_is_lost(act):
    act("cancel", "88121", "88133", dry_run=True)
    assert "kills         88121" in act.out.getvalue() and "8.0 GPU-hours of work at risk" in act.out.getvalue()
    act.world.node("gpu0001", "IDLE~")
    act("drain", "gpu0001", dry_run=True, reason="x")
    assert "no job" in act.out.getvalue()


def test_a_resume_touches_no_job(act):
    act.world.node("gpu0002", "MIXED+DRAIN")
    act("resume", "gpu0002", dry_run=True)
    assert "88121" in act.out.getvalue() and "they are not touched" in act.out.getvalue()


def test_a_long_preview_stays_short(act):
    world = act.world
    for number in range(5000):
        world.jobs[str(number)] = job(str(number), nodes="gpu0001", node_count=1, gpus_held=1)
    world.batch = 500
    plan = world.gate().plan("cancel", [str(number) for number in range(5000)], None, world.cluster())
    assert isinstance(plan, Plan)
    text = preview(plan, 120)
    assert len(text) < 45 and "and 4,991 jobs more" in "\n".join(text) and "and 97 more like it" in "\n".join(text)
    assert text[0] == "Cancel 5,000 jobs on lab"
    assert max(map(len, text)) <= 120


@pytest.mark.parametrize(("tty", "dry", "whole"), [(True, False, False), (True, True, True), (False, False, True)])
def test_a_dry_run_prints_all_that_would_be_sent_and_a_question_stays_readable(act, monkeypatch, tty, dry, whole):
    monkeypatch.setenv("COLUMNS", "80")
    ids = [str(number) for number in range(400)]
    act.world.jobs |= {one: job(one, nodes="gpu0001", node_count=1, gpus_held=1) for one in ids}
    act.world.batch = 50
    act("cancel", *ids, dry_run=dry, types="400", on=Screen if tty else io.StringIO)
    said = act.out.getvalue().splitlines()
    runs = [one.split() for one in said if one[16:].startswith("do cancel")]
    assert (len([one for one in said if " alice train " in one]) == 400) is whole
    assert ({name for one in runs for name in one} >= set(ids)) is whole and (len(runs) == 8) is whole
    assert (len(said) > 400) is whole and (max(map(len, said)) <= 80) is not whole


def test_hostile_names_do_not_steer_the_terminal(act):
    act.world.nodes["gpu0005"] = node("gpu0005")
    assert act("drain", "gpu0005", "\x1b]52;c;eA==\x07", reason="x\x1b[2J", yes=True) == 2
    assert "\x1b" not in act.err.getvalue() + act.out.getvalue()


# -- Ctrl-C, and what else ends a program ------------------------------------------------------------------------------


def ended_by(number: int, times: int = 1):
    """What a person does while a command is on its way."""
    return lambda: [os.kill(os.getpid(), number) for _ in range(times)]


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGINT, 1), (signal.SIGINT, 3), (signal.SIGTERM, 1), (signal.SIGHUP, 1)]
)
def test_a_signal_leaves_the_rest_out_and_the_result_is_written(act, number, times):
    act.world.before_send = ended_by(number, times)
    before = signal.getsignal(number)
    assert act("cancel", "88121", "88133", reason="x", count=2, gate={"guard": Guard(batch=1)}) == 1
    intent, result, verified = act.world.journal()
    assert (intent["event"], result["event"], verified["event"]) == ("intent", "result", "verified")
    assert {target: told["state"] for target, told in result["outcome"].items()} == {
        "88121": "pending", "88133": "dropped",
    }  # fmt: skip
    said = act.out.getvalue()
    assert "stopping: what was sent is sent, the rest is left out" in said
    assert said.count("stopping still: the command at hand ends first") == times - 1
    assert "cancelled  1  88121" in said and "dropped  1  88133: not sent: you stopped it" in said
    assert signal.getsignal(number) is before


def test_a_signal_while_all_goes_out_at_once_changes_nothing(act):
    act.world.before_send = ended_by(signal.SIGINT)
    assert act("drain", "gpu[0001-0002]", reason="x", count=2, as_json=True) == 0
    assert {told["outcome"] for told in act.told["outcomes"].values()} == {"done"}
    assert "stopping" in act.err.getvalue(), "the standard output belongs to the object"


def test_before_the_intent_is_written_it_interrupts(act):
    read = act.world.read_nodes
    act.world.read_nodes = lambda names: (ended_by(signal.SIGINT)(), read(names))[1]
    with pytest.raises(KeyboardInterrupt):
        act("drain", "gpu0001", reason="x", yes=True)
    assert act.world.sent == [] and act.world.journal() == []


def test_the_command_at_hand_comes_to_its_end():
    said: list[str] = []
    with stoppable(None, said.append) as progress:
        progress.intent = {"targets": ()}
        ended = process.run(
            ["/bin/sh", "-c", f"kill -INT {os.getpid()}; echo done"], deadline_s=60, spared=True
        )  # fmt: skip
    assert (ended.rc, ended.out, progress.stopped, len(said)) == (0, b"done\n", True, 1)


def test_a_signal_in_the_midst_of_a_wait_holds_nothing_up(monkeypatch):
    """Where the waiting holds a lock already, and stopping takes the same one."""
    wait = threading.Condition.wait

    def interrupted(changed, seconds=None):
        monkeypatch.setattr(threading.Condition, "wait", wait)
        ended_by(signal.SIGINT)()
        return wait(changed, seconds)

    with stoppable(None, lambda line: None) as progress:
        progress.intent = {"targets": ()}
        monkeypatch.setattr(threading.Condition, "wait", interrupted)
        assert progress.wait(0.001) and not progress.wait_while_paused()


def test_what_nohup_has_it_ignore_stays_ignored(act):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        act.world.before_send = ended_by(signal.SIGHUP)
        assert act("cancel", "88121", "88133", reason="x", count=2, gate={"guard": Guard(batch=1)}) == 0
        assert "stopping" not in act.out.getvalue()
    finally:
        signal.signal(signal.SIGHUP, before)

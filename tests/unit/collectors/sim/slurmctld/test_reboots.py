"""A reboot of the simulated cluster: asked for, waited for, issued, and how the node comes back."""

from __future__ import annotations

from tests.support.sim_operator import START, Operator


def reboots(op: Operator, name: str, to: str = "RESUME", reason: str = "fw"):
    return op.does("reboot", name, reason=reason, next_state={name: to})


def test_a_reboot_waits_for_the_jobs_and_clears_the_reason():
    op = Operator()
    name = op.find("allocated")
    before = op.node(name)
    sent = reboots(op, name, reason="new fw = 2")
    assert sent.argv == ("scontrol", "reboot", "ASAP", "nextstate=RESUME", "reason=new fw = 2", name) and sent.rc == 0
    op.wait(30)
    node = op.node(name)
    assert (node.state, node.flags, node.reason) == ("ALLOCATED", ("DRAIN", "REBOOT_REQUESTED"), "new fw = 2")
    op.empty(name)
    op.wait(11)
    node = op.node(name)
    assert (node.state, node.flags, node.display) == ("DOWN", ("DRAIN", "REBOOT_ISSUED"), "rebooting")
    assert (node.reason, node.reason_by) == ("new fw = 2 : reboot issued", "slurm")
    assert not op.machine.gpus(name)
    op.wait(300)
    node = op.node(name)
    assert not {"DRAIN", "REBOOT_ISSUED"} & set(node.flags) and node.state != "DOWN" and node.reason is None
    assert node.boot_at > START > before.boot_at and op.machine.gpus(name)


def test_a_reboot_may_end_down():
    op = Operator()
    name = op.find("allocated")
    op.empty(name)
    reboots(op, name, "DOWN")
    op.wait(310)
    node = op.node(name)
    assert (node.state, node.flags, node.reason) == ("DOWN", (), "fw : reboot issued : reboot complete")
    assert node.boot_at > START


def test_a_dead_node_does_not_come_back_from_a_reboot():
    op = Operator()
    name = op.find("allocated")
    op.machine.break_node(name)
    reboots(op, name)
    op.wait(700)
    node = op.node(name)
    assert (node.state, node.reason) == ("DOWN", "fw : reboot issued : reboot timed out")
    assert "DRAIN" in node.flags and "REBOOT_ISSUED" not in node.flags


def test_a_reboot_does_not_mend():
    op = Operator()
    name = op.find("allocated")
    op.empty(name)
    op.machine.break_node(name, "NHC: check_gpu", down=False)
    reboots(op, name)
    op.wait(500)
    assert op.node(name).reason == "NHC: check_gpu" and "DRAIN" in op.node(name).flags


def test_a_reboot_under_way_is_skipped_and_a_resume_calls_a_waiting_one_off():
    op = Operator()
    name = op.find("allocated")
    reboots(op, name)
    sent = reboots(op, name, "DOWN", "again")
    why = f"Skipping reboot of nodes {name} due to current node state"
    assert (sent.rc, sent.err, sent.refused) == (0, f"scontrol: error: {why}.", {name: why})
    assert op.node(name).reason == "fw"
    assert op.does("resume", name).rc == 0
    op.empty(name)
    op.wait(60)
    assert op.node(name).boot_at < START and op.node(name).state in {"ALLOCATED", "MIXED"}

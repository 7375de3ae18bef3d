"""What a second pair of eyes found in the gate and around it: each of these was wrong once."""

from __future__ import annotations

import threading

import msgspec
import pytest
from textual import events

from collectors.model import Diff
from collectors.slurm.commands import write
from console.actions.action import Expected
from console.actions.options import Guard, Options
from console.actions.plan import Plan
from console.actions.verification import Settled, is_done
from console.app.cluster_updates import ClusterChanged
from console.app.confirm_dialog import ConfirmDialog
from console.app.progress_dialog import ProgressDialog
from console.cli.act import resolved_targets
from console.gate import preflight_reads
from console.gate.outcome import Progress, SendResult
from console.journal.chain import JournalFault
from console.journal.entries import join
from console.journal.undo import Undo, undo_of
from console.journal.writer import Journal, _Write
from console.screens.layout.screen import WachtScreen
from tests.faults import fault
from tests.support.gate_world import World, job, node, planned, small
from tests.support.operator import Operator, console


def crowd(folder, count: int) -> World:
    return World(folder, nodes=[node(f"gpu{at:04}") for at in range(1, count + 1)])


# -- the guard and the batches -----------------------------------------------------------------------------------------


def test_a_tiny_partition_hides_no_large_one(tmp_path):
    world = World(tmp_path, nodes=[node(f"gpu{at:04}") for at in range(1, 101)])
    for name in ("gpu0001", "gpu0002"):
        world.node(name, "IDLE", partitions=("gpu", "debug"))
    names = list(world.nodes)[:60]
    confirm = planned(world.gate(), "drain", *names, cluster=world.cluster()).confirmation
    assert (confirm.kind, confirm.word) == ("break", "gpu")
    assert planned(world.gate(), "drain", "gpu0001", "gpu0002", cluster=world.cluster()).confirmation.kind == "count"


def test_a_reason_that_a_robot_gave_between_two_batches_is_kept(tmp_path):
    world = crowd(tmp_path, 4)
    gate = world.gate(guard=Guard(batch=2, break_pct=100, share_pct=100))

    def nhc_drains() -> None:
        world.node("gpu0004", "IDLE+DRAIN", reason="NHC: check_gpu", reason_by="nhc")
        world.before_send = lambda: None

    world.before_send = nhc_drains
    outcome = gate.send(planned(gate, "down", *world.nodes, cluster=world.cluster()), "4")
    assert world.nodes["gpu0004"].reason == "bad DIMM [was by nhc: NHC: check_gpu]"
    assert [one.sent.reason for one in outcome.waiting if one.target == "gpu0004"] == [world.nodes["gpu0004"].reason]
    assert {one.state for one in gate.follow(outcome, sleep=world.clock.advance).results.values()} == {"done"}


def test_the_preview_and_the_intent_hold_the_very_commands_that_go_out(tmp_path):
    world = crowd(tmp_path, 5)
    gate = world.gate(guard=Guard(batch=2, break_pct=100))
    plan = planned(gate, "down", *world.nodes, cluster=world.cluster())
    outcome = gate.send(plan, "5")
    went = [list(one.argv) for one in outcome.sent]
    assert len(went) == 3 and [list(argv) for argv in plan.commands] == went == world.journal()[0]["argv"]


@pytest.mark.parametrize("hand", ["stop", "pause"])
def test_a_hand_raised_while_the_targets_are_read_again_counts(tmp_path, hand):
    world = crowd(tmp_path, 4)
    gate, progress = world.gate(guard=Guard(batch=2, break_pct=100)), Progress()
    plan = planned(gate, "down", *world.nodes, cluster=world.cluster())
    real, reads = world.read_jobs_on, []

    def slow(nodes):
        reads.append(nodes)
        if len(reads) == 2:
            getattr(progress, hand)()
            threading.Timer(0.2, progress.stop).start()
        return real(nodes)

    world.read_jobs_on = slow
    outcome = gate.send(plan, "4", progress)
    assert len(world.sent) == 1
    assert outcome.results["gpu0003"] == SendResult("dropped", "not sent: you stopped it")


@pytest.mark.parametrize("at", [1, 2])
def test_a_reading_that_breaks_stops_it_and_is_written_down(tmp_path, at):
    world = crowd(tmp_path, 4)
    gate = world.gate(guard=Guard(batch=2, break_pct=100))
    plan = planned(gate, "down", *world.nodes, cluster=world.cluster())
    real, reads = world.read_jobs_on, []

    def breaks(nodes):
        reads.append(nodes)
        return {"1": job("1", nodes="gpu[1-")} if len(reads) == at else real(nodes)

    world.read_jobs_on = breaks
    outcome = gate.send(plan, "4")
    assert len(world.sent) == at - 1
    if at == 1:
        assert "could not be read again, nothing was sent" in (outcome.refused or "")
    else:
        assert [line["event"] for line in world.journal()] == ["intent", "result"]
        assert [one.state for one in outcome.results.values()] == ["pending", "pending", "dropped", "dropped"]


def test_what_somebody_undrained_meanwhile_is_not_taken_out_again(tmp_path):
    world = World(tmp_path, nodes=[node("gpu0001", "IDLE+DRAIN", reason="bad DIMM", reason_by="bob")])
    gate = world.gate()
    plan = planned(gate, "reboot", "gpu0001", reason="new BIOS", cluster=world.cluster())
    assert plan.change.next_state == {"gpu0001": "DOWN"}
    world.node("gpu0001", "IDLE")
    outcome = gate.send(plan, "1")
    assert world.sent == [] and outcome.results["gpu0001"].why == "it was undrained meanwhile: idle"


# -- reasons, verification, the journal --------------------------------------------------------------------------------


def test_an_undo_keeps_the_reason_that_somebody_gave_since(tmp_path):
    world = World(tmp_path, nodes=[node("gpu0001", "IDLE+DRAIN", reason="XID 79", reason_by="jdv")])
    gate = world.gate()
    plan = planned(gate, "resume", "gpu0001", reason=None, cluster=world.cluster())
    gate.follow(gate.send(plan, plan.confirmation.prompt), sleep=world.clock.advance)
    world.node("gpu0001", "DOWN", reason="burnt PSU", reason_by="bob")
    entries = join(world.journal())
    undo = undo_of(entries[plan.id], entries, world.cluster(), world.clock.now())
    assert isinstance(undo, Undo)
    back = gate.plan(undo.action, undo.targets, undo.reason, world.cluster(), undo.options)
    assert isinstance(back, Plan) and gate.send(back, "y").refused is None
    assert world.nodes["gpu0001"].reason == "XID 79 [was by bob: burnt PSU]"


def test_an_undo_gives_a_healthy_node_its_old_reason_alone(tmp_path):
    world = World(tmp_path, nodes=[node("gpu0001", "IDLE", reason="history", reason_by="root")])
    options = Options(reasons={"gpu0001": "XID 79"}, undoes="x")
    plan = world.gate().plan("drain", ("gpu0001",), "undo", world.cluster(), options)
    assert isinstance(plan, Plan) and plan.change.reasons == {"gpu0001": "XID 79"}


def test_a_reboot_tells_who_drained_the_node_before(tmp_path):
    world = World(tmp_path, nodes=[node("gpu0001", "IDLE+DRAIN", reason="bad DIMM", reason_by="bob")])
    plan = planned(world.gate(), "reboot", "gpu0001", reason="new BIOS", cluster=world.cluster())
    assert any("drained by bob" in check.text and "bad DIMM" in check.text for check in plan.checks)


def test_however_long_a_reason_is_the_old_one_is_kept(tmp_path):
    world = World(tmp_path, nodes=[node("gpu0001", "IDLE+DRAIN", reason="XID 79 on GPU 3", reason_by="jdv")])
    gate = world.gate()
    plan = planned(gate, "down", "gpu0001", reason="x" * 1000, cluster=world.cluster())
    told = plan.change.reasons["gpu0001"]
    assert len(told) == 1000 and told.endswith("x [was by jdv: XID 79 on GPU 3]")
    outcome = gate.follow(gate.send(plan, "1"), sleep=world.clock.advance)
    assert outcome.results["gpu0001"] == SendResult("done", shown_state="down")
    world.node("gpu0001", "DOWN", reason="y" * 1000, reason_by="jdv")
    told = planned(gate, "drain", "gpu0001", reason="x" * 1000, cluster=world.cluster()).change.reasons["gpu0001"]
    assert len(told) == 1000 and told.count("x") == 500 and told.endswith("y…]")


def test_a_rack_is_typed_and_explicit_names_are_what_it_means(tmp_path):
    world = crowd(tmp_path, 4)
    cluster = world.cluster(racks={"R07": ("gpu0001", "gpu0002"), "R08": ("gpu0003",)})
    assert resolved_targets(cluster, "drain", ["@rack:R07"]) == ("gpu0001", "gpu0002")
    assert resolved_targets(cluster, "drain", ["@rack:R[07-08]", "gpu0001"]) == ("gpu0001", "gpu0002", "gpu0003")
    for wrong in ("@rack:R09", "@rack:", "@all", "@*", "@partition:gpu"):
        with pytest.raises(ValueError, match=r"is known|names no rack|groups \(@\)"):
            resolved_targets(cluster, "drain", [wrong])


def test_a_resume_that_calls_a_reboot_off_is_seen_only_once_it_is_off():
    before, after = node("gpu0001", "MIXED+REBOOT_REQUESTED"), node("gpu0001", "MIXED")
    assert is_done("resume", before, before, Expected()) is False
    assert is_done("resume", before, after, Expected()) is True


def test_a_fault_of_the_last_moment_is_no_line_on_the_disk(tmp_path, monkeypatch):
    world = small(tmp_path)
    book = Journal(world.path, "lab", world.clock, deadline_s=0.01, witness=None)
    monkeypatch.setattr(_Write, "start", lambda self: None)
    monkeypatch.setattr(_Write, "join", lambda self, timeout=None: None)

    def fails_now(self: _Write) -> bool:
        self.fault = "the disk is full"
        return False

    monkeypatch.setattr(_Write, "overdue", fails_now)
    with pytest.raises(JournalFault, match="the disk is full"):
        book.write("intent", id="x")


def test_every_refusal_of_a_long_list_is_told():
    jobs = [str(100000 + at) for at in range(200)]
    err = "\n".join(f"Job/step already completing or completed for job {one}" for one in jobs)
    assert len(err) > 5000 and list(write.refusals(1, err, jobs)) == jobs


# -- the console -------------------------------------------------------------------------------------------------------


async def settle(op: Operator, turns: int = 20) -> None:
    for _ in range(turns):
        await op.pilot.pause(0.01)


async def listens(op: Operator) -> None:
    await op.until(lambda: isinstance(op.app.screen, ConfirmDialog) and op.dialog._armed_at, "the dialog listens")


@fault("people", "y and n held down in a dialog", "one answer; no key goes to the screen below")
@pytest.mark.parametrize("keys", ["yy", "yyyyyyyyyy", "nn"])
@pytest.mark.slow
async def test_a_key_held_down_closes_one_dialog_and_no_screen_below(keys):
    async with console() as op:
        waits = next(job.id for job in op.cluster.jobs.values() if job.state == "PENDING" and job.reason == "Priority")
        await op.press("3")
        await op.select(waits)
        below = op.app.screen
        await op.press("H")
        await listens(op)
        await op.burst(keys)
        await settle(op)
        assert op.app.screen is below and "used already" not in op.screen()


async def test_escape_held_down_closes_one_dialog_and_no_screen_below():
    async with console() as op:
        await op.press("2")
        await op.select(op.node("allocated")[0])
        below = op.app.screen
        await op.press("u", "d")
        await listens(op)
        for _ in range(3):
            op.app.post_message(events.Key("escape", None))
        await settle(op)
        assert op.app.screen is below


async def test_ctrl_v_is_a_paste_too():
    async with console() as op:
        await op.press("2")
        op.list.table.mark(op.node("allocated", 2))
        await op.press("d")
        await op.type("why")
        await op.press("enter")
        await listens(op)
        op.app.copy_to_clipboard("2")
        await op.press("ctrl+v")
        assert op.dialog._count.value == ""


@pytest.mark.slow
async def test_a_question_never_comes_up_under_somebodys_hands(monkeypatch):
    looked, real = threading.Event(), preflight_reads.read_for

    def slow(*given, **more):
        looked.wait(60)
        return real(*given, **more)

    monkeypatch.setattr(preflight_reads, "read_for", slow)
    async with console() as op:
        back, out = op.node("allocated", 2)
        op.machine.break_node(back, "bad DIMM", down=False)
        await op.look_again()
        await op.press("2")
        for way in ("dialog", "prompt"):
            looked.clear()
            await op.select(back)
            await op.press("r")
            if way == "dialog":
                await op.select(out)
                await op.press("d")
                await listens(op)
            else:
                await op.press("colon")
            await op.type("fault")
            looked.set()
            await op.until(lambda: not op.app.acting.preflight_of, "it was looked")
            await settle(op)
            await op.type("y")
            await settle(op)
            assert "DRAIN" in op.truth(back).flags
            op.sees_not("you went on meanwhile")
            await op.press("escape")
            await op.comes("you went on meanwhile")


async def test_a_look_that_breaks_is_told_and_can_be_asked_for_again(monkeypatch):
    def breaks(*_given, **_more):
        raise KeyError("a bug")

    monkeypatch.setattr(preflight_reads, "read_for", breaks)
    async with console() as op:
        (name,) = op.node("allocated")
        op.machine.break_node(name, "bad DIMM", down=False)
        await op.look_again()
        await op.press("2")
        await op.select(name)
        await op.press("r")
        await listens(op)
        op.sees("the look broke: KeyError")
        assert op.app.acting.preflight_of == ""


@pytest.mark.parametrize(("broken", "says"), [("_open_journal", "nothing was sent"), ("_late_note", "sent is unknown")])
@pytest.mark.slow
async def test_a_send_that_breaks_is_told(broken, says):
    async with console() as op:

        def breaks(*_given, **_more):
            raise KeyError("a bug")

        setattr(op.app.session.gate, broken, breaks)
        await op.press("2")
        await op.select(op.node("allocated")[0])
        await op.press("d")
        await op.confirm(reason="why", answer="y")
        await op.comes(f"{says}: KeyError")
        assert not op.app.session.sending


async def batches(op: Operator, hold: threading.Event) -> Progress:
    """Six nodes on their way down, two at a time, held before the second batch."""
    op.app.session.gate.guard = Guard(batch=2, share_pct=100, break_pct=100)
    real, grip = op.app.session.gate._next, []

    def held(plan, batch, progress, results, waving):
        grip.append(progress)
        hold.wait(60)
        return real(plan, batch, progress, results, waving)

    op.app.session.gate._next = held
    await op.press("2")
    op.list.table.mark(op.node("allocated", 6))
    await op.press("D")
    await op.confirm(reason="fire", answer="6")
    await op.until(lambda: grip and isinstance(op.app.screen, ProgressDialog), "the progress")
    return grip[0]


@pytest.mark.slow
async def test_marks_are_spent_where_it_goes_in_batches():
    async with console() as op:
        hold = threading.Event()
        await batches(op, hold)
        hold.set()
        # It stays until it is closed: a key meant for it must not reach the list below.
        await op.comes("nothing more is sent")
        await op.press("s", "p")
        assert isinstance(op.app.screen, ProgressDialog)
        await op.press("escape")
        await op.until(lambda: isinstance(op.app.screen, WachtScreen), "the list")
        assert len(op.list.targets("node")) == 1


@pytest.mark.slow
async def test_what_is_paused_cannot_be_hidden_and_never_holds_up_the_end():
    async with console() as op:
        hold = threading.Event()
        progress = await batches(op, hold)
        await op.press("p", "escape")
        assert progress.paused and isinstance(op.app.screen, ProgressDialog)
        hold.set()
        op.app.leave()
        await op.until(lambda: progress.ended, "it ends")
        assert progress.stopped and sum(node.state == "DOWN" for node in op.machine.nodes().values()) >= 2


@pytest.mark.slow
async def test_a_second_enter_asks_no_second_time():
    async with console() as op:
        waits = next(job.id for job in op.cluster.jobs.values() if job.state == "PENDING" and job.reason == "Priority")
        below = op.app.screen
        await op.press("colon")
        await op.type(f"hold {waits}")
        await op.burst("\n\n\n")
        await listens(op)
        await op.press("escape")
        assert op.app.screen is below


async def test_many_targets_with_one_end_are_told_of_once():
    async with console() as op:
        names = op.node("allocated", 20)
        before = len(op.app._notifications)
        ends = [
            Settled(plan="p", action="drain", target=name, state="unknown", why="not seen after 60 s") for name in names
        ]
        op.app.acting.outcomes.show_settled(op.app.session, op.cluster, ends)
        await op.pilot.pause()
        assert len(op.app._notifications) == before + 1


async def test_a_reading_that_comes_while_it_closes_breaks_nothing(monkeypatch):
    async with console() as op:
        monkeypatch.setattr(type(op.app), "screen_stack", property(lambda app: []))
        known = op.app.session.cluster
        op.app.on_cluster_changed(ClusterChanged(msgspec.structs.replace(known, at=1.0), Diff()))
        op.app._tick()
        op.app.acting.outcomes.repaint()
        assert op.app.session.cluster is known
        monkeypatch.undo()

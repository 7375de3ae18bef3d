"""What a newcomer asks of the console, typed as they would: each request is met by its keys or in plain words."""

from __future__ import annotations

import pytest

from console.app.confirm_dialog import ConfirmDialog
from console.app.palette import found
from console.config.commands import CommandError, parse
from console.screens.job import JobScreen
from console.screens.node import NodeScreen
from tests.support.make import key_lines
from tests.support.operator import Operator, console


async def asked(op: Operator, action: str) -> None:
    """The dialog of an action is open and listens."""
    await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "a dialog")
    await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
    assert op.dialog.plan.action.id == action


async def settled(op: Operator) -> None:
    await op.look_again()
    await op.until(lambda: not op.app.session.sent_watch.waiting, "what was sent is seen")
    await op.pilot.pause()


@pytest.mark.slow
async def test_the_state_of_the_machine_and_its_worst_nodes():
    async with console((80, 24)) as op:
        op.sees("Nodes 64", "gpu0039 XID 48", "gpu0004 down")
        await op.press("2", "1")
        op.sees("Nodes 64")
        await op.command("state of the machine")
        assert op.app.screen.crumb == "overview"


@pytest.mark.slow
async def test_who_drained_a_node():
    async with console((120, 40)) as op:
        (name,) = op.node("draining")
        by = op.truth(name).reason_by
        await op.press("i")
        op.sees(f" {name} ", by)
        await op.press("1")
        await op.command(f"who drained {name}")
        assert isinstance(op.app.screen, NodeScreen) and op.app.screen.key == name
        op.sees(by)


@pytest.mark.slow
async def test_why_a_job_waits():
    async with console((120, 40)) as op:
        waits = next(job.id for job in op.cluster.jobs.values() if job.state == "PENDING" and job.reason == "Priority")
        await op.press("3")
        await op.select(waits)
        await op.press("enter")
        assert isinstance(op.app.screen, JobScreen)
        await op.comes("Priority")
        await op.press("escape", "1")
        await op.command(f"why pending {waits}")
        assert isinstance(op.app.screen, JobScreen) and op.app.screen.key == waits


@pytest.mark.slow
async def test_a_drain_with_a_reason_offers_its_undo_and_the_undo_does_not():
    async with console((120, 40)) as op:
        (name,) = op.node("allocated")
        await op.command(f"drain {name} bad DIMM")
        await asked(op, "drain")
        await op.confirm(answer="y")
        await op.until(lambda: "DRAIN" in op.truth(name).flags, "the drain")
        assert op.truth(name).reason == "bad DIMM"
        await settled(op)
        await op.comes("· Z undo")
        await op.press("Z")
        await asked(op, "undrain")
        await op.confirm(answer="y")
        await op.until(lambda: "DRAIN" not in op.truth(name).flags, "the undo")
        await settled(op)
        await op.comes("undrained: ")
        assert not [
            one for one in op.app._notifications if one.message.startswith("undrained") and "undo" in one.message
        ]


@pytest.mark.slow
async def test_the_undo_that_is_offered_has_the_key_in_force():
    async with console(keys=key_lines(undo="f5")) as op:
        (name,) = op.node("allocated")
        await op.command(f"drain {name} bad DIMM")
        await op.confirm(answer="y")
        await op.until(lambda: "DRAIN" in op.truth(name).flags, "the drain")
        await settled(op)
        await op.comes("· F5 undo")


@pytest.mark.parametrize("line", ["quit", "exit"])
@pytest.mark.slow
async def test_leave(line):
    async with console() as op:
        op.sees("q quit")
        await op.command(line)
        await op.until(lambda: not op.app.is_running or op.app._exit, "the end")


@pytest.mark.slow
async def test_another_time_limit_is_explained_while_it_is_typed():
    async with console((80, 24)) as op:
        job = next(job for job in op.cluster.jobs.values() if job.state == "RUNNING" and job.time_limit_s)
        await op.press("colon")
        await op.burst("timelimit ")
        op.sees("timelimit JOBS 4h | +2h | UNLIMITED")
        await op.burst(f"{job.id} +2h\n")
        await asked(op, "timelimit")
        assert op.dialog.plan.change.values[job.id] != "+2:00:00"
        await op.press("escape")
        await op.command(f"walltime {job.id} UNLIMITED")
        await asked(op, "timelimit")


@pytest.mark.slow
async def test_the_jobs_of_a_user_are_found_and_the_pending_ones_cancelled():
    async with console((120, 40)) as op:
        waits = [job for job in op.cluster.jobs.values() if job.state == "PENDING"]
        user = waits[0].user
        await op.command(f"squeue user={user}")
        assert op.list.table.keys and {op.cluster.jobs[key].user for key in op.list.table.keys} == {user}
        await op.command(f"scancel user={user} & state=pending")
        await asked(op, "cancel")
        assert set(op.dialog.plan.change.targets) == {job.id for job in waits if job.user == user}


@pytest.mark.slow
async def test_a_maintenance_is_reserved_in_slurms_spelling():
    async with console((120, 40)) as op:
        await op.command("maintenance")
        op.sees("which of drain, reserve?", "set nodes aside")
        await op.press("escape")
        await op.command(
            "scontrol create reservation gpu0001 --name fw --start tomorrow --for 4:00:00 --users root --flags MAINT"
        )
        await asked(op, "reserve")


#: What people type, and what the palette finds first (or one of them).
WORDS = {
    "kill": "Cancel job", "cancel": "Cancel job", "scancel": "Cancel job", "power off": "Power down node",
    "power cycle": "Reboot node", "maintenance": ("Drain node", "Reserve node"),
    "reservation": ("Reserve node", "Extend reservation", "Unreserve reservation", "Show partitions"),
    "exit": "Quit", "quit": "Quit", "dmesg": "Ssh to the node, and back", "console": "Ssh to the node, and back",
    "log": (":log", "The end of what a job wrote, where you may read it"), "requeue": "Requeue job",
    "who drained": "Show inbox", "squeue": "Show jobs", "sinfo": "Show nodes", "mute": "Silence alert",
    "hold job": "Hold job",
}  # fmt: skip


async def test_the_palette_finds_by_what_people_call_it():
    async with console() as op:
        every = list(op.app.command_line.palette_entries())
        for typed, wanted in WORDS.items():
            names = [one.name for one in found(every, typed, ())]
            assert names and names[0] in ((wanted,) if isinstance(wanted, str) else wanted), (typed, names[:4])
        assert "Cancel job" in [one.name for one in found(every, "running work is lost", ())][:3]


@pytest.mark.parametrize("typed", WORDS)
def test_the_command_line_knows_the_same_words(typed):
    try:
        assert parse(typed).verb
    except CommandError as error:
        assert str(error).startswith("which of ") and "\n  " in str(error)


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (200, 50)])
@pytest.mark.slow
async def test_quit_undo_inbox_and_help_are_in_the_key_bar_at_every_width(size):
    async with console(size) as op:
        for keys in (("1",), ("2",), ("enter",), ("escape", "3"), ("6",), ("7",), ("8",), ("i",), ("5",), ("V",)):
            await op.press(*keys)
            bar = op.app.screen.bar
            assert {"q", "Z", "i", "?", ":"} <= {key.key for _, key in bar.placed(bar.size.width)}, keys

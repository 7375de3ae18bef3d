"""What an operator does at the console, in their words."""

from __future__ import annotations

import pytest

from console.actions.action import Expected
from console.actions.verification import PendingTarget, Verification
from console.app.confirm_dialog import ConfirmDialog
from console.journal.writer import read
from console.screens.help import HelpScreen
from tests.support.operator import console


@pytest.fixture(autouse=True)
def _own_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_the_overview_tells_the_truth_at_a_glance(size):
    async with console(size) as op:
        counts = op.cluster.totals.nodes_by_display
        op.sees("DEMO", "Nodes 64", "GPUs 512", "Attention", "Queue", "R01", "slurm", "prom", "alerts")
        op.sees(f"{counts['allocated']}", "drained", "down")
        op.sees(f"pending {op.cluster.totals.jobs_by_state['PENDING']}")


async def test_digits_switch_screens_and_every_screen_says_demo():
    async with console((80, 24)) as op:
        for key, word in (("2", "Nodes"), ("3", "Jobs"), ("7", "Partitions"), ("1", "Attention")):
            await op.press(key)
            op.sees(word, "DEMO")


@pytest.mark.slow
async def test_a_drain_asks_for_a_reason_shows_what_it_hits_and_is_seen_in_slurm():
    async with console() as op:
        (name,) = op.node("allocated")
        await op.press("2")
        await op.select(name)
        await op.press("d")
        op.sees(f"Drain {name}", "reason, then Enter", "they go on until they end")
        await op.confirm(reason="bad DIMM", answer="y")
        await op.comes("draining: " + name)
        assert op.truth(name).display == "draining"
        assert op.truth(name).reason == "bad DIMM"
        await op.until(lambda: op.cluster.nodes[name].display == "draining", "the console shows it")


@pytest.mark.slow
async def test_what_is_changed_again_before_it_was_seen_is_written_down():
    async with console() as op:
        (name,) = op.node("allocated")
        about = {"kind": "node", "target": name, "before": op.cluster.nodes[name], "since": op.app.clock.mono()}
        op.app.session.sent_watch = Verification(
            (PendingTarget(plan="earlier", action="down", sent=Expected(reason="x"), **about),)
        )
        await op.press("2")
        await op.select(name)
        await op.press("d")
        await op.confirm(reason="bad DIMM", answer="y")
        await op.comes("draining: " + name)
        told = "drain came before it was seen: allocated"
        path = op.app.session.journal_path
        await op.until(lambda: [one["outcome"][name] for one in read(path) if one["id"] == "earlier"]
                       == [{"state": "unknown", "why": told}], "what became of it")  # fmt: skip


@pytest.mark.slow
async def test_several_marked_nodes_take_the_count_and_the_marks_are_spent():
    async with console() as op:
        names = op.node("allocated", 2)
        await op.press("2")
        op.list.table.mark(names)
        await op.press("d")
        op.sees("2 allocated")
        await op.confirm(reason="PDU work", answer="2")
        await op.until(lambda: all("DRAIN" in op.truth(name).flags for name in names), "both drained")
        await op.until(lambda: not op.list.table.marked, "no marks left")


@pytest.mark.slow
async def test_a_wrong_count_sends_nothing():
    async with console() as op:
        names = op.node("allocated", 2)
        await op.press("2")
        op.list.table.mark(names)
        await op.press("d")
        await op.type("why not")
        await op.press("enter")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        await op.type("4")
        await op.press("enter")
        op.sees("4 is not 2: nothing was sent")
        await op.press("escape")
        await op.comes("cancelled: nothing was sent")
        assert not any("DRAIN" in op.truth(name).flags for name in names)


@pytest.mark.slow
async def test_enter_alone_and_a_paste_confirm_nothing():
    async with console() as op:
        (name,) = op.node("allocated")
        await op.press("2")
        await op.select(name)
        await op.press("d")
        await op.press("enter", "enter", "enter")
        assert isinstance(op.app.screen, ConfirmDialog)
        op.sees("a reason is required")
        await op.type("because")
        await op.press("enter")
        await op.press("enter")
        assert "DRAIN" not in op.truth(name).flags


async def test_keys_typed_before_the_dialog_was_drawn_are_dropped():
    async with console() as op:
        job = next(job.id for job in op.cluster.jobs.values() if job.state == "PENDING" and job.reason == "Priority")
        await op.press("3")
        await op.select(job)
        await op.burst("Hyyy\n")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog) and op.dialog._armed_at, "the dialog")
        assert op.machine.jobs()[job].reason == "Priority"


@pytest.mark.slow
async def test_resume_and_undrain_bring_a_node_back():
    async with console() as op:
        (name,) = op.node("allocated")
        for key in ("u", "r"):
            op.machine.break_node(name, "bad DIMM", down=False)
            await op.look_again()
            await op.press("2")
            await op.select(name)
            await op.press(key)
            await op.confirm(answer="y")
            await op.until(lambda: "DRAIN" not in op.truth(name).flags, "it is back")


async def test_requeue_raises_the_restart_count():
    async with console() as op:
        job = next(job for job in op.cluster.jobs.values() if job.state == "RUNNING"
                   and op.app.session.transport.job_detail(job.id).requeueable)  # fmt: skip
        await op.press("3")
        await op.select(job.id)
        await op.press("Q")
        op.sees("kills", "GPU-hours")
        await op.confirm(answer="1")
        await op.comes(f"requeued: {job.id}")
        assert op.machine.jobs()[job.id].restarts == (job.restarts or 0) + 1


@pytest.mark.slow
async def test_hold_release_and_cancel_a_waiting_job():
    async with console() as op:
        job = next(job.id for job in op.cluster.jobs.values() if job.state == "PENDING" and job.reason == "Priority")
        await op.press("3")
        for key, answer, seen in (("H", "y", "JobHeldAdmin"), ("R", "y", None), ("U", "y", "JobHeldUser")):
            await op.select(job)
            await op.press(key)
            await op.confirm(answer=answer)
            await op.until(lambda s=seen: (op.machine.jobs()[job].reason == s) if s else
                           not (op.machine.jobs()[job].reason or "").startswith("JobHeld"), f"after {key}")  # fmt: skip
            await op.until(lambda: not op.app.session.sent_watch.waiting, "it was seen")
        await op.select(job)
        await op.press("K")
        await op.confirm(answer="1")
        await op.until(lambda: job not in op.machine.jobs(), "it is gone")


@pytest.mark.slow
async def test_read_only_sends_nothing_whatever_the_key():
    async with console(read_only=True) as op:
        op.sees("READ-ONLY")
        before = op.machine.nodes(), op.machine.jobs()
        for screen, keys in (("2", "dur"), ("3", "QWHURK")):
            await op.press(screen)
            for key in keys:
                await op.press(key)
                assert not isinstance(op.app.screen, ConfirmDialog)
                await op.comes("read-only")
        await op.command("drain gpu0001 why")
        assert not isinstance(op.app.screen, ConfirmDialog)
        assert (op.machine.nodes(), op.machine.jobs()) == before


async def test_a_refused_key_says_why():
    async with console() as op:
        (name,) = op.node("allocated")
        await op.press("2")
        await op.select(name)
        await op.press("r")
        await op.comes("nothing to resume: allocated")


@pytest.mark.slow
async def test_filters_narrow_the_list_and_escape_widens_it():
    async with console() as op:
        await op.press("2")
        await op.filter("state=down")
        op.sees("of 64", "state=down")
        assert op.list.table.keys
        assert all(op.cluster.nodes[key].display == "down" for key in op.list.table.keys)
        await op.press("escape")
        assert len(op.list.table.keys) == 64


@pytest.mark.slow
async def test_a_filter_with_a_mistake_says_what_is_allowed():
    async with console() as op:
        await op.press("2", "slash")
        await op.type("stat=down")
        op.sees("there is no field 'stat'")
        await op.press("escape")
        assert len(op.list.table.keys) == 64


@pytest.mark.slow
async def test_enter_opens_a_node_then_its_job_and_escape_comes_back():
    async with console() as op:
        (name,) = op.node("allocated")
        await op.press("2")
        await op.select(name)
        await op.press("enter")
        op.sees(name, "partitions", "GPU util", "Jobs here")
        await op.press("enter")
        await op.comes("requeueable")
        op.sees("More from Slurm", "submitted")
        await op.press("escape", "escape")
        assert op.list.table.cursor_key == name


@pytest.mark.slow
async def test_commands_go_where_they_say():
    async with console() as op:
        await op.command("jobs user=alice")
        assert {op.cluster.jobs[key].user for key in op.list.table.keys} <= {"alice"}
        await op.command("node gpu0003")
        op.sees("gpu0003", "Jobs here")
        await op.command("nonsense")
        op.sees("no command nonsense")
        await op.press("escape")
        await op.command("theme daylight")
        assert op.app.theme == "daylight"


@pytest.mark.slow
async def test_help_is_for_the_screen_and_names_each_refusal_once():
    async with console((120, 100)) as op:
        (name,) = op.node("allocated")
        await op.press("2")
        await op.select(name)
        await op.press("question_mark")
        assert isinstance(op.app.screen, HelpScreen)
        op.sees("Help: nodes", "Actions on nodes", "not now: nothing to resume: allocated")
        op.sees_not("requeue and hold", "keep the alerts quiet", "recording: slower")
        shown = op.screen()
        assert shown.index("Navigation") < shown.index("Actions on nodes")
        await op.press("question_mark")
        assert not isinstance(op.app.screen, HelpScreen)
        await op.command("alerts")
        await op.press("question_mark")
        op.sees("Actions on alerts", "Actions on silences")
    async with console((120, 100), read_only=True) as op:
        await op.press("2", "question_mark")
        assert op.screen().count("not now: ") == 1


@pytest.mark.slow
async def test_help_is_searched_and_no_key_acts_in_it():
    async with console() as op:
        await op.press("2")
        await op.select(op.node("allocated")[0])
        below = op.app.screen
        await op.press("question_mark")
        help = op.app.screen
        await op.press("d", "K", "Z", "i", "x", "3")
        assert op.app.screen is help and not op.app.acting.preflight_of
        op.sees("the help is open: Esc closes it, / searches it (x5)")
        await op.burst("/drain")
        op.sees("/ drain", "no new work on the node", ":drain NODES REASON", "the drain inbox")
        op.sees_not("quit")
        await op.press("enter", "d")
        assert op.app.screen is help
        await op.press("slash", "ctrl+u")
        await op.burst("scancel")
        op.sees("end the job; running work is lost")
        await op.press("escape")
        op.sees("Help: nodes")
        await op.press("escape")
        assert op.app.screen is below


@pytest.mark.slow
async def test_the_cursor_stays_on_its_node_when_rows_go():
    async with console() as op:
        await op.press("2")
        await op.filter("!down")
        await op.select("gpu0010")
        op.machine.break_node("gpu0002", "Not responding", down=True)
        await op.look_again()
        await op.until(lambda: "gpu0002" not in op.list.table.keys, "it left the list")
        assert op.list.table.cursor_key == "gpu0010"


async def test_a_dead_controller_dims_the_facts_and_says_so():
    async with console() as op:
        from collectors.model import SourceFault

        def dead():
            raise SourceFault("refused", "scontrol: Unable to contact slurm controller", "is slurmctld up?")

        op.app.session.poller._collectors["slurm.nodes"].collect = dead
        await op.press("2")
        op.app.session.poller.refresh_now(["slurm.nodes"])
        await op.comes("slurm refused")
        await op.until(lambda: op.list.table.dimmed, "the old facts are dim")
        assert len(op.list.table.keys) == 64
        op.sees("Unable to contact slurm controller")


@pytest.mark.slow
async def test_hostile_names_are_shown_and_do_nothing():
    async with console((200, 50), hostile=True) as op:
        await op.press("3")
        for _ in range(4):
            await op.press("pagedown")
        await op.press("2", "1", "7")
        assert op.app.is_running


@pytest.mark.slow
async def test_no_size_breaks_it():
    async with console((200, 50)) as op:
        for width, height in ((80, 24), (20, 5), (1, 1), (300, 80), (80, 24)):
            await op.pilot.resize_terminal(width, height)
            for key in ("1", "2", "3", "7"):
                await op.press(key)
        assert op.app.is_running


async def test_what_comes_in_one_burst_with_the_colon_is_a_command_and_no_keys() -> None:
    async with console() as op:
        await op.press("2")
        await op.burst(":drain gpu[0001-0003] bad fan\n")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the dialog")
        assert op.dialog.plan.change.targets == ("gpu0001", "gpu0002", "gpu0003")
        assert op.dialog.plan.reason == "bad fan"
        await op.press("escape")
        await op.burst("/gpu0004\n")
        await op.comes("/ gpu0004")


@pytest.mark.slow
async def test_star_marks_all_rows_shown_or_none() -> None:
    async with console() as op:
        await op.press("2")
        await op.filter("gpu[0001-0004]")
        await op.press("asterisk")
        assert op.list.table.marked == {"gpu0001", "gpu0002", "gpu0003", "gpu0004"}
        op.sees("4 marked", "* mark all")
        await op.press("asterisk")
        assert not op.list.table.marked


@pytest.mark.slow
async def test_a_preview_longer_than_the_screen_can_be_read_while_the_count_is_asked_for() -> None:
    async with console((80, 24)) as op:
        await op.press("2")
        await op.command("drain gpu[0001-0040] cooling")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the dialog")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        # What it does and what is asked stand still; what it hits is read on, to the last word of the command.
        op.sees("PgDn reads on", "scontrol update", "type the word")
        op.sees_not("jobs more")
        for _ in range(2):
            await op.press("pagedown")
        op.sees("26 jobs more", "type the word")
        for _ in range(4):
            await op.press("pagedown")
        op.sees("Not responding]'")
        await op.press("escape")

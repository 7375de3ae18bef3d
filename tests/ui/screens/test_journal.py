"""The journal on the screen, in an operator's words."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading

import pytest

from collectors.clock import ManualClock
from console.journal.reader import JournalFollower
from console.journal.writer import Journal
from console.screens.journal import JournalScreen
from console.screens.journal_entry import EntryScreen
from tests.support.operator import Operator, console

pytestmark = pytest.mark.slow

NODES = ["gpu0017", "gpu0018", "gpu0019"]


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    """Where the console of these tests has its journal."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "wacht" / "journal" / "groningen.jsonl"


def act(
    path, plan="a1", action="drain", kind="node", targets=NODES, states="done", reason="PDU work", ago=60.0, **more
):
    """What the gate writes of one action; `states` None: nobody wrote what came of it."""
    clock = ManualClock()
    mine = Journal(path, "groningen", ManualClock(clock.now() - ago))
    about = {"id": plan, "action": action, "kind": kind, "targets": targets}
    seen = {one: {"state": "ALLOCATED", "reason": None, "by": None, "at": None} for one in targets}
    argv = [["scontrol", "update", f"NodeName={','.join(targets)}", "State=DRAIN", f"Reason={reason}"]]
    mine.write("intent", **about, reason=reason, argv=argv, age_s=0.2, seen=seen, dropped={}, **more)
    if states is not None:
        every = [states] * len(targets) if isinstance(states, str) else states
        outcome = {one: {"state": state, "why": ""} for one, state in zip(targets, every, strict=True)}
        sent = [{"argv": argv[0], "rc": 0, "err": "", "took_s": 0.1}]
        mine.write("result", **about, sent=sent, failure=None, outcome=outcome)


def in_another_process(call, *args, **more) -> None:
    """Done by somebody whose process is gone afterwards."""
    other = multiprocessing.get_context("fork").Process(target=call, args=args, kwargs=more)
    other.start()
    other.join(60)
    assert other.exitcode == 0


async def journal(op: Operator) -> JournalScreen:
    """Go there, and wait until it was read and checked."""
    await op.press("8")
    assert isinstance(op.app.screen, JournalScreen)
    screen = op.app.screen
    await op.until(lambda: screen._read_once and not screen._verifying, "the journal was read")
    await op.pilot.pause()
    return screen


async def look(op: Operator, screen: JournalScreen) -> None:
    """A second later."""
    screen.tick(screen.ctx())
    await op.until(lambda: screen._reading_since is None and not screen._verifying, "read again")
    await op.pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_it_tells_who_did_what_and_what_came_of_it_the_newest_first(path, size):
    act(path, "a1", states=["done", "done", "unknown"], ago=7200)
    act(path, "a2", "hold", "job", ["101", "102"], "failed", None, ago=3600)
    async with console(size) as op:
        screen = await journal(op)
        op.sees("Journal", "chain whole (4 lines)", "gpu[0017-0019]", "2 done, 1 unknown", "2 refused", "drain", "hold")
        assert list(screen.table.keys) == ["a2", "a1"]


async def test_an_empty_journal_says_so(path):
    async with console() as op:
        await journal(op)
        op.sees("nothing was ever done from here")
        assert not path.exists()


async def test_what_is_done_here_appears_and_is_proven_without_another_key(path):
    async with console() as op:
        (name,) = op.node("allocated")
        await op.press("2")
        await op.select(name)
        await op.press("d")
        await op.confirm(reason="bad DIMM", answer="y")
        await op.comes("draining: " + name)
        screen = await journal(op)
        await op.until(lambda: screen.table.keys, "the entry")
        for _ in range(3):
            await look(op, screen)
        op.sees(name, "1 done", "bad DIMM", "chain whole (3 lines)")


async def test_lines_of_another_console_come_by_themselves_and_only_they_are_read(path):
    act(path, "a1")
    async with console() as op:
        screen = await journal(op)
        first = screen.journal.entries["a1"]
        act(path, "a2", "undrain", reason=None, undoes="a1", targets=NODES[:1])
        await look(op, screen)
        op.sees("undrain", "chain whole (4 lines)", "3 done (1 undone)")
        assert screen.journal.entries["a1"] is first
        before = screen.journal
        await look(op, screen)
        assert screen.journal is before


async def test_a_changed_line_is_loud(path):
    act(path, "a1")
    async with console() as op:
        screen = await journal(op)
        path.write_bytes(path.read_bytes().replace(b"PDU work", b"PDU play"))
        await look(op, screen)
        op.sees("BROKEN at line 1", "PDU play")


async def test_a_gap_is_told(path):
    mine = Journal(path, "groningen", ManualClock())
    mine._gap = 2
    mine.write("intent", id="a", action="drain", kind="node", targets=["gpu0001"])
    async with console((200, 50)) as op:
        await journal(op)
        op.sees("2 lines that only syslog had", "2 written late")


async def test_a_journal_that_cannot_be_read_says_why(path):
    path.mkdir(parents=True)
    async with console() as op:
        await op.press("8")
        await op.comes("unknown: ")
        op.sees("Is a directory")
        op.sees_not("nothing was ever done")


async def test_a_hung_disk_is_told_and_holds_up_nobody(path, monkeypatch):
    act(path, "a1")
    async with console() as op:
        screen = await journal(op)
        answers = threading.Event()
        read = JournalFollower.read
        monkeypatch.setattr(JournalFollower, "read", lambda *given: (answers.wait(60), read(*given))[1])
        screen.tick(screen.ctx())
        op.app.clock.advance(6)
        screen.tick(screen.ctx())
        await op.pilot.pause()
        op.sees("the journal's file system does not answer", "3 done")
        await op.press("enter", "escape", "1", "8")
        assert op.app.screen is screen
        answers.set()
        await op.until(lambda: screen._reading_since is None, "the disk is back")
        await look(op, screen)
        op.sees("chain whole (2 lines)")


@pytest.mark.slow
async def test_the_filter_looks_at_everything_that_is_shown(path):
    act(path, "a1", ago=300)
    act(path, "a2", targets=["gpu0033"], reason="XID 79", ago=200)
    act(path, "a3", "hold", "job", ["101"], "failed", None)
    async with console() as op:
        screen = await journal(op)
        for text, keys in (("xid", ["a2"]), ("gpu0018", ["a1"]), ("refused", ["a3"]), ("drain done", ["a2", "a1"])):
            await op.filter(text)
            assert list(screen.table.keys) == keys, text
            op.sees(f"{len(keys)} of 3", f"/ {text}")
            await op.press("escape")
        assert len(screen.table.keys) == 3
        await op.filter("nothing like it")
        op.sees("nothing in the journal has nothing like it")
        await op.press("escape")
        await op.command("journal gpu0033")
        assert list(screen.table.keys) == ["a2"]


async def test_enter_shows_all_of_it_and_escape_leads_back(path, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 5022 192.0.2.1 22")
    act(path, "a1", states=["done", "done", "unknown"])
    act(path, "a2", "undrain", reason=None, undoes="a1", targets=NODES[:1])
    async with console((100, 40)) as op:
        screen = await journal(op)
        assert screen.table.select("a1")
        await op.press("enter")
        assert isinstance(op.app.screen, EntryScreen)
        total = json.loads(path.read_bytes().splitlines()[0])["sum"]
        op.sees("2 done, 1 unknown", '"PDU work"', "UTC", f"uid {os.getuid()}", "from 192.0.2.7", "0s old",
                "scontrol update", "ended with 0", "gpu0019  unknown", "gpu[0017-0018]  done", "was ALLOCATED",
                "gpu0017 undone by", total)  # fmt: skip
        await op.press("escape")
        assert op.app.screen is screen
        assert screen.table.select("a2")
        await op.press("enter")
        op.sees("undo of", "a1 (drain by")


async def test_hostile_text_stays_text(path):
    act(path, "a1", reason="[/] \x1b]52;c;eA==\x07 [red]x", targets=["gpu0001\x1b[2J"])
    async with console((200, 50)) as op:
        await journal(op)
        op.sees("[/] \\e]52;c;eA==", "gpu0001\\e[2J")
        await op.press("enter")
        op.sees("[/] \\e]52;c;eA==")


async def test_no_result_is_loud_and_can_be_read_back(path, monkeypatch):
    in_another_process(act, path, "dead", states=None)
    act(path, "mine", states=None, targets=["gpu0001"])
    async with console() as op:
        asked = []
        monkeypatch.setattr(op.app.undoing, "read_back", asked.append)
        screen = await journal(op)
        op.sees("✖ no result", "under way")
        assert screen.table.select("mine")
        await op.press("v")
        op.sees("nothing to read back: it is under way, in process")
        assert screen.table.select("dead")
        await op.press("v")
        assert asked == ["dead"]
        await op.press("enter", "v")
        op.sees("its outcome was not recorded")
        assert asked == ["dead", "dead"]
        assert screen.undo_refusal() == "its outcome was not recorded: read it back first, in :journal"


async def test_undo_is_offered_where_there_is_one_and_says_why_where_not(path, monkeypatch):
    async with console() as op:
        asked = []
        monkeypatch.setattr(op.app.undoing, "undo", asked.append)
        (busy,) = op.node("allocated")
        act(path, "a1", "undrain", targets=[busy], reason=None)
        act(path, "a2", "cancel", "job", ["101"], reason=None)
        screen = await journal(op)
        assert screen.table.select("a1") and screen.undo_refusal() == ""
        await op.press("Z")
        assert asked == ["a1"]
        assert screen.table.select("a2")
        await op.pilot.pause()
        assert "cannot be undone" in screen.undo_refusal()
    async with console(read_only=True) as op:
        screen = await journal(op)
        assert screen.table.select("a1") and screen.undo_refusal() == "read-only"


async def test_an_orphan_is_read_back_for_good(path):
    async with console() as op:
        (busy,) = op.node("allocated")
        drained, reason = next(
            (name, one.reason) for name, one in op.machine.nodes().items() if "DRAIN" in one.flags and one.reason
        )
        in_another_process(act, path, "dead", states=None, targets=[drained, busy], reason=reason)
        screen = await journal(op)
        op.sees("✖ no result", "v read back")
        await op.press("v")
        await op.comes("read back: 1 done, 1 unknown")
        await look(op, screen)
        op.sees("1 done, 1 unknown", "chain whole (2 lines)")
        op.sees_not("✖ no result")
        await op.press("enter")
        op.sees("read back, not seen: now allocated", "read back by")


async def test_a_drain_is_undone_from_here_and_once(path):
    async with console((160, 50)) as op:
        (name,) = op.node("allocated")
        await op.press("2")
        await op.select(name)
        await op.press("d")
        await op.confirm(reason="bad DIMM", answer="y")
        await op.comes("draining: " + name)
        screen = await journal(op)
        (drain,) = screen.table.keys
        await op.look_again()
        await op.press("Z")
        await op.confirm(answer="y")
        await op.comes("undrained: " + name)
        assert op.truth(name).display == "allocated"
        await look(op, screen)
        op.sees("1 done (undone)")
        assert screen.table.select(drain) and screen.undo_refusal().startswith("undone already by")


async def test_the_key_never_undoes_another_persons_last_action(path, monkeypatch):
    act(path, "a1")
    monkeypatch.setattr("console.app.undo_actions.login_name", lambda: "nobody-here")
    async with console((160, 50)) as op:
        await op.press("Z")
        await op.comes("there is nothing of yours to undo")


async def test_y_copies_the_command_as_a_shell_would_take_it(path):
    act(path, "a1", reason="it's; rm -rf /")
    async with console() as op:
        screen = await journal(op)
        assert screen.copy_text().endswith("""State=DRAIN 'Reason=it'"'"'s; rm -rf /'""")
        await op.press("y")
        await op.comes("copied: scontrol update")


async def test_leaving_and_coming_back_reads_on(path):
    act(path, "a1")
    async with console() as op:
        await journal(op)
        await op.press("1")
        act(path, "a2")
        screen = await journal(op)
        await op.until(lambda: len(screen.table.keys) == 2, "both entries")


@pytest.mark.slow
def test_of_a_long_journal_only_what_is_new_is_read_again(path):
    act(path, "a0")
    reader = JournalFollower(path)
    journal = reader.read(0.0)
    assert reader.read(0.0) is journal
    lines = path.read_bytes()
    path.write_bytes(lines * 20_000)
    reader = JournalFollower(path)
    whole = reader.read(0.0)
    # Only the last 20,000 of them, and of a plan that stands there ten thousand times no intent is hidden.
    assert len(whole.entries) == 10_000
    with path.open("ab") as file:
        file.write(lines.replace(b'"a0"', b'"b1"'))
    grown = reader.read(0.0)
    assert len(grown.entries) == 10_001 and all(grown.entries[key] is one for key, one in whole.entries.items())

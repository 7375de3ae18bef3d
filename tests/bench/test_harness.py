"""The harness itself: it must see the moment, the screen, the bytes and the cost of a program that is known."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench import drawing, peers, procs, report, scale, screens, soak, targets
from tests.bench.keys import Pressed, move, rows
from tests.bench.report import Part, Results, Row
from tests.bench.screens import Stalls
from tests.bench.terminal import Answer, Terminal

# Shows a word at once, another after 0.6 s, and then answers every key with its name; x is not answered.
PROGRAM = """
import sys, time, tty
tty.setcbreak(0)
print("\\x1b[?2026$p\\x1b[>1u\\x1b[2J\\x1b[1;1Hempty", end="", flush=True)
time.sleep(0.6)
print("\\x1b[1;1H\\x1b[31mNodes\\x1b[0m 2\\x1b[1m56\\x1b[0m", end="", flush=True)
while (key := sys.stdin.read(1)) != "q":
    if key != "x":
        print(f"\\x1b[2;1H{key * 10}", end="", flush=True)
"""
# Asks where the cursor is, in two pieces, and tells what it was told and after how long; then 30,000 bytes for any key.
FAR = """
import os, sys, time, tty
tty.setraw(0)
began = time.monotonic()
os.write(1, b"\\x1b7\\x1b[2;")
time.sleep(0.01)
os.write(1, b"7H\\x1b[6n\\x1b8")
told = os.read(0, 100)
os.write(1, b"\\x1b[1;1H" + repr(told).encode() + f" after {time.monotonic() - began:.3f}.".encode())
os.read(0, 1)
os.write(1, b"." * 30_000)
os.read(0, 1)
"""
ENV = {**os.environ, "TERM": "xterm-256color"}


@pytest.mark.pty
def test_sees_frames_keys_and_costs():
    with Terminal([sys.executable, "-c", PROGRAM], ENV, (40, 10)) as terminal:
        first, useful, never = terminal.first(
            [re.compile(r"\S"), re.compile(r"Nodes\s+\d+"), re.compile("alerts")], 4.0
        )
        assert first is not None and useful is not None and never is None
        assert useful - first > 0.25
        answer = terminal.press("a", 30.0)
        assert answer is not None and answer.size == len("\x1b[2;1H") + 10
        assert 0 < answer.first_s <= answer.last_s
        assert terminal.press("x", timeout_s=0.1) is None
        assert terminal.text().splitlines()[:2] == ["Nodes 256", "a" * 10]
        assert 1 < procs.own_rss_mb(terminal.pid) <= procs.rss_mb(terminal.pid) < 500
        assert 0 <= procs.cpu_s(terminal.pid) < 10
        assert procs.threads(terminal.pid) == 1 and procs.descriptors(terminal.pid) >= 3
        assert terminal.pid in procs.children_named(os.getpid(), Path(f"/proc/{terminal.pid}/comm").read_text().strip())
        pid = terminal.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.pty
def test_a_program_that_ends_is_no_hang():
    began = time.monotonic()
    with Terminal(["/bin/true"], dict(os.environ)) as terminal:
        assert terminal.first([re.compile("never")], 30.0) == [None]
        assert terminal.ended
        with pytest.raises(RuntimeError, match="has ended"):
            terminal.send("a")
    assert time.monotonic() - began < 25


@pytest.mark.pty
@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_terminal_says_where_its_cursor_is_and_a_line_takes_its_time(delay_s):
    rate = 125_000.0 if delay_s else None
    with Terminal([sys.executable, "-c", FAR], ENV, (100, 10), rate=rate, delay_s=delay_s) as terminal:
        (told,) = terminal.first([re.compile(r"after (\d\.\d+)\.")], 60.0)
        assert told is not None
        found = re.match(r"b'\\x1b\[2;7R' after (\d\.\d+)", terminal.text())
        assert found, terminal.text()
        assert float(found[1]) >= 2 * delay_s
        answer = terminal.press("a", 30.0, 0.5)  # a busy machine may pause in the middle
        assert answer is not None and answer.size == 30_000
        assert answer.first_s >= 2 * delay_s
        if rate:
            assert answer.last_s - answer.first_s > 0.8 * (30_000 - rate / 20) / rate


@pytest.mark.pty
def test_moves_are_told_apart_by_whether_they_scroll():
    # A list of twenty lines: whoever goes beyond them is answered with a whole screen.
    program = """
import os, tty
tty.setraw(0)
at = 0
os.write(1, b"ready")
while key := os.read(0, 3):
    at += 1 if key.endswith(b"B") else -1
    os.write(1, b"." * (10 if 0 <= at < 20 else 1000))
"""
    with Terminal([sys.executable, "-c", program], ENV) as terminal:
        terminal.first([re.compile("ready")], 10.0)
        still, scrolling = move(terminal, 3.0)
    assert len(still) >= 5 and {one.size for one in still if one} == {10}
    assert scrolling and {one.size for one in scrolling if one} == {1000}


def test_only_counts_and_ratios_can_fail(tmp_path):
    measured = [
        Row("start", "first frame", 2.0, "s", target=0.6),
        Row("start", "bytes", 10, "B", "count", 20),
        Row("read", "poll", 2.5, "x", "ratio", 2.0),
        Row("read", "poll", 0, "x", program="turm"),
    ]
    assert [row.verdict for row in measured] == ["over", "ok", "MISSED", ""]
    assert re.search(r"first frame +2 +s +<= 0.6  over", report.table(measured))
    part = Part(at="now", took_s=1, machine=report.machine(), versions=report.versions(slurm="26.05"))
    report.write(report.merged(Results({}, ()), "reads", part, measured), tmp_path / "r.json")
    kept = report.load(tmp_path / "r.json")
    assert kept is not None and [row.key for row in kept.rows] == [row.key for row in measured]
    assert kept.value("read", "poll") == 2.5 and kept.value("read", "poll", "turm") == 0
    assert kept.parts["reads"].versions["textual"] and "cores" in kept.parts["reads"].machine


def test_a_second_run_keeps_what_the_first_had_and_leaves_other_parts_alone():
    monday, tuesday = Part("monday", 1, "a machine", {}), Part("tuesday", 1, "another", {})
    kept = report.merged(Results({}, ()), "demo", monday, [Row("a", "x", 1, "s"), Row("a", "gone", 1, "s")])
    kept = report.merged(kept, "far", monday, [Row("a", "x", 5, "s")])
    again = report.merged(kept, "demo", tuesday, [Row("a", "x", 2, "s")])
    assert [(row.part, row.what, row.value, row.before) for row in again.rows] == [
        ("demo", "x", 2, 1),
        ("far", "x", 5, None),
    ]
    assert again.parts["demo"].before_at == "monday" and again.parts["demo"].before_machine == "a machine"
    assert again.parts["far"] == monday


def test_a_controller_that_gives_way_has_the_lowest_rank_with_all_it_has_started():
    shell = ["sh", "-c", "sleep 60 & echo $!; wait"]
    with subprocess.Popen(shell, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        try:
            assert running.stdout is not None
            both = [running.pid, int(running.stdout.readline())]
            own = os.getpriority(os.PRIO_PROCESS, 0)
            assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in both] == [own, own]
            procs.lower_priority(running.pid)
            assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in both] == [19, 19]
            group = Path(f"/proc/{running.pid}/autogroup")
            assert not group.exists() or group.read_text().split()[-1:] in ([], ["19"])
            procs.lower_priority(2**22 + 1)  # it has ended meanwhile
        finally:
            os.killpg(running.pid, signal.SIGKILL)


def test_a_slope_is_a_slope():
    assert soak.slope([(0, 100), (60, 101), (120, 102)]) * 60 == pytest.approx(1.0)
    assert soak.slope([(0, 100), (60, 103), (120, 100)]) == pytest.approx(0.0)
    assert soak.slope([(0, 100)]) == 0.0


def test_what_must_not_be_more_than_turms():
    mine = [
        Row("a", "at rest: CPU of the process tree", 3, "%"),
        Row("a", "at rest: memory of the process tree", 90, "MB"),
    ]
    turm = [Row("a", row.what, row.value / 1.5, row.unit, program="turm") for row in mine]
    assert [row.verdict for row in peers.ratios("a", mine, turm, 256)] == ["MISSED", ""]
    assert [row.verdict for row in peers.ratios("a", mine, turm, 12_000)] == ["MISSED", "MISSED"]
    assert peers.ratios("a", mine, [], 256) == []


def test_stalls_belong_to_their_phase(tmp_path):
    stall_log = Stalls(tmp_path / "stalls")
    stall_log.end_phase("the start")
    stall_log.path.write_text("1.0 30.0 0.0\n")
    stall_log.end_phase("rest")
    stall_log.path.write_text("1.0 30.0 0.0\n2.0 120.0 84.5\n3.0 60.0 60.0\n")
    stall_log.end_phase("keys")
    assert stall_log.phases == {"the start": [], "rest": [(30.0, 0.0)], "keys": [(120.0, 84.5), (60.0, 60.0)]}
    found = {row.what: row for row in screens.stall_rows(screens.embedded(256), stall_log, 10)}
    assert found["longest stall of the event loop"].value == 120
    assert found["of it waiting for a core"].value == 84.5
    assert found["longest stall of the event loop"].verdict == "over"
    assert [found[f"stalls over {ms} ms"].verdict for ms in (20, 50, 100)] == ["", "MISSED", "MISSED"]
    assert found["of its own doing over 50 ms"].value == 0, "others held both cores"
    stall_log.path.write_text(stall_log.path.read_text() + "4.0 120.0 69.9\n")
    stall_log.end_phase("keys")
    found = {row.what: row for row in screens.stall_rows(screens.embedded(256), stall_log, 10)}
    assert found["of its own doing over 50 ms"].value == 1


def test_where_the_kernel_does_not_tell_nothing_waited_is_not_said(tmp_path):
    stall_log = Stalls(tmp_path / "stalls")
    stall_log.path.write_text("2.0 120.0 -\n")
    stall_log.end_phase("keys")
    found = {row.what: row for row in screens.stall_rows(screens.embedded(256), stall_log, 10)}
    assert found["longest stall of the event loop"].value == 120 and "of it waiting for a core" not in found
    assert found["of its own doing over 50 ms"].value == 1


def test_a_key_without_an_answer_is_missed():
    pressed = Pressed(still={"nodes": [Answer(0.01, 0.01, 5), None]}, scrolling={"nodes": []}, pages={"nodes": []})
    assert rows("a", pressed, targets.SMALL)[-1].verdict == "MISSED"


def test_the_page_is_made_from_what_is_kept():
    kept = report.load()
    assert kept is not None
    how = "write it: python -m tests.bench --docs"
    assert scale.PAGE.read_text() == scale.page(kept), how
    assert scale.DRAWING.read_text() == drawing.svg(scale.panels(kept)), how


def test_a_page_without_figures_says_how_to_measure_them():
    assert "not measured yet (`make bench" in scale.page(Results({}, ()))
    assert drawing.svg(scale.panels(Results({}, ()))).endswith("</svg>\n")

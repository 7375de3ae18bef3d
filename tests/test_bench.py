"""The harness itself: it must see the moment, the screen and the bytes of a program whose answers are known."""

from __future__ import annotations

import json
import os
import re
import sys
import time

import pytest

from tests.bench import procs, report
from tests.bench.report import Row
from tests.bench.terminal import Terminal

# Shows a word at once, another after 0.3 s, and then answers every key with its name; x is not answered.
PROGRAM = """
import sys, time, tty
tty.setcbreak(0)
print("\\x1b[?2026$p\\x1b[>1u\\x1b[2J\\x1b[1;1Hempty", end="", flush=True)
time.sleep(0.3)
print("\\x1b[1;1H\\x1b[31mNodes\\x1b[0m 2\\x1b[1m56\\x1b[0m", end="", flush=True)
while (key := sys.stdin.read(1)) != "q":
    if key != "x":
        print(f"\\x1b[2;1H{key * 10}", end="", flush=True)
"""


@pytest.mark.pty
def test_sees_frames_keys_and_costs():
    env = {**os.environ, "TERM": "xterm-256color"}
    with Terminal([sys.executable, "-c", PROGRAM], env, (40, 10)) as terminal:
        first, useful, never = terminal.first(
            [re.compile(r"\S"), re.compile(r"Nodes\s+\d+"), re.compile("alerts")], 2.0
        )
        assert first is not None and useful is not None and never is None
        assert 0.25 < useful - first < 1.5
        answer = terminal.press("a")
        assert answer is not None and answer.size == len("\x1b[2;1H") + 10
        assert 0 < answer.first_s <= answer.last_s < 1
        assert terminal.press("x", timeout_s=0.1) is None
        assert terminal.text().splitlines()[:2] == ["Nodes 256", "a" * 10]
        assert 1 < procs.rss_mb(terminal.pid) < 500
        assert 0 <= procs.cpu_s(terminal.pid) < 10
        pid = terminal.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.pty
def test_a_program_that_ends_is_no_hang():
    began = time.monotonic()
    with Terminal(["/bin/true"], dict(os.environ)) as terminal:
        assert terminal.first([re.compile("never")], 30.0) == [None]
        assert terminal.ended
    assert time.monotonic() - began < 10


def test_only_counts_and_ratios_can_fail(tmp_path):
    rows = [
        Row("start", "first frame", 2.0, "s", target=0.6),
        Row("start", "bytes", 10, "B", "count", 20),
        Row("read", "poll", 2.5, "x", "ratio", 2.0),
    ]
    assert [row.verdict for row in rows] == ["over", "ok", "MISSED"]
    assert "first frame" in report.table(rows) and "<= 0.600  over" in report.table(rows)
    report.write(rows, {"machine": report.machine(), "versions": report.versions(slurm="26.05")}, tmp_path / "r.json")
    kept = json.loads((tmp_path / "r.json").read_text())
    assert kept["rows"][2] == {
        "case": "read", "what": "poll", "value": 2.5, "unit": "x", "kind": "ratio", "target": 2.0, "verdict": "MISSED",
    }  # fmt: skip
    assert kept["machine"]["cores"] and kept["versions"]["textual"]

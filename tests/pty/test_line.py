"""The line to the terminal: it is slow, it stands still, it ends; and the console does not mind."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sys
import termios
import threading
import time

import pytest

from tests.bench.procs import cpu_s
from tests.support.far_terminal import FarTerminal
from widgets.terminal import tty_writer as line_module
from widgets.terminal.flow_control import SLOW_MAX_IN_FLIGHT
from widgets.terminal.tty_writer import MAX_MESSAGE_BYTES, TtyWriter

# The Line alone, on a pty.


QUESTION = b"\x1b7\x1b[2;1H\x1b[6n\x1b8"


class Ends:
    """A Line on a pty, and what it said."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        mode = termios.tcgetattr(self.slave)
        mode[1] &= ~termios.OPOST
        termios.tcsetattr(self.slave, termios.TCSANOW, mode)
        self.moved, self.lost = threading.Event(), threading.Event()
        self.line = TtyWriter(self.slave, self.moved.set, self.lost.set)

    def read(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            assert select.select([self.master], [], [], 30)[0], f"only {len(got)} of {size} came"
            got += os.read(self.master, size - len(got))
        return got

    def close(self) -> None:
        self.line.abandon()
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def ends():
    made = Ends()
    yield made
    made.close()


@pytest.fixture(params=["its own descriptor", "a copy that blocks"])
def either(request, monkeypatch):
    if request.param == "a copy that blocks":
        monkeypatch.setattr(line_module, "open_nonblocking", os.dup)
    made = Ends()
    yield made
    made.close()


def test_everything_comes_through_in_order_however_little_is_taken_at_a_time(either):
    text = "".join(f"{number}\n" for number in range(60_000))
    either.line.wanted = True
    either.line.write_frame(text)
    either.line.write_message("end")
    assert not either.moved.is_set()
    got = either.read(len(text))
    assert got == text.encode()
    assert either.read(len(QUESTION)) == QUESTION
    assert either.read(3) == b"end"
    assert either.moved.wait(30)
    assert either.line.state().unsent_bytes == 0


def test_words_that_nobody_reads_are_bounded_and_no_call_waits(either):
    either.line.write_frame("x" * 200_000)
    for _ in range(2_000):
        either.line.write_message("y" * 1_000)
    seen = either.line.state()
    assert 100_000 < seen.unsent_bytes <= 200_100 + MAX_MESSAGE_BYTES + 1_000
    assert either.line.state(time.monotonic() + 7).behind_s >= 7
    either.line.stop()
    assert either.line.state().unsent_bytes == 0


def test_the_end_is_put_where_a_stalled_terminal_finds_it_later(ends):
    ends.line.write_frame("\x1b[31mx" * 60_000)
    while ends.line.state().unsent_bytes > 355_000:
        pass
    ends.line.drop()
    ends.line.write_message("\x1b[?1049l")
    ends.line.stop()
    os.set_blocking(ends.master, False)
    got = b""
    while not got.endswith(b"\x1b[?1049l"):
        got += os.read(ends.master, 65_536)  # raises when no more is there
    assert b"\x18\x1b\\" in got and len(got) < 100_000


def test_a_terminal_that_answers_says_what_it_shows(ends):
    line = ends.line
    first = line.ask()
    assert line.is_shown(first)
    line.write_frame("a" * 5_000)
    assert ends.read(5_000 + len(QUESTION)).endswith(QUESTION)
    assert line.state().in_flight is None, "nobody has answered yet, and perhaps never will"
    assert not line.answer(1, 1) and not line.answer(2, 7), "a function key, an answer to somebody else"
    assert line.answer(2, 1)
    assert line.state().in_flight == 0
    line.write_frame("b" * 100)
    position = line.ask()
    ends.read(100 + len(QUESTION))
    assert line.state().in_flight == 100 + len(QUESTION) and not line.is_shown(position)
    line.write_frame("c" * 6_000)
    later = line.ask()
    assert line.answer(2, 3), "the answer in between was lost"
    assert line.is_shown(position) and not line.is_shown(later)
    assert line.answer(2, 4) and line.is_shown(later)
    line.write_frame("d" * 6_000)
    assert line.state(time.monotonic() + 2).behind_s >= 2
    assert line.state(time.monotonic() + 60).in_flight is None, "lost: it holds nothing up for ever"


def test_what_was_sent_before_the_first_answer_came_is_asked_for_too(ends):
    line = ends.line
    line.write_frame("a" * 5_000)
    for _ in range(4):
        line.write_frame("b" * 5_000)
    ends.read(25_000 + len(QUESTION))
    assert line.answer(2, 1)
    assert line.state().in_flight > SLOW_MAX_IN_FLIGHT, "on a slow line the next frame waits for these"
    assert ends.read(len(QUESTION)) == QUESTION.replace(b"2;1H", b"2;2H"), "so they are asked for, though none goes"
    assert line.answer(2, 2) and line.state().in_flight == 0


def test_a_terminal_that_has_gone_is_told_once(ends):
    ends.line.write_frame("x" * 300_000)
    os.close(ends.master)
    ends.master = -1
    assert ends.lost.wait(30)
    ends.line.write_frame("y" * 300_000)
    assert ends.line.state().unsent_bytes == 0


# A whole console at the end of a line.

pytestmark = pytest.mark.pty
NUMBERS = re.compile(r"poll=(\d+) keys=(\d+) armed=(\d+)")


class Far(FarTerminal):
    def __init__(self, report, *words, **options):
        self.report = report
        super().__init__([sys.executable, "-m", "tests.support.line_app", str(report), *words], **options)

    def number(self, which: int) -> int:
        """Of the first line: 1 polls, 2 keys, 3 questions that were seen."""
        found = NUMBERS.match(self.top)
        return int(found[which]) if found else -1

    def comes(self, until, seconds=60.0):
        assert self.pump(seconds, until), self.rows

    def says(self, text):
        return lambda: any(text in row for row in self.rows)

    def told(self):
        self.comes(self.ended)
        return json.loads(self.report.read_text())

    def settle_and_compare(self):
        """What stands there after all the frames is what stands there when everything is sent again."""
        self.type(b"s")
        self.rests()
        before = self.cells()
        self.wipe()
        self.type(b"r")
        self.rests()
        assert before == self.cells()

    def rests(self):
        """Wait until all of the last frame is there."""
        self.comes(lambda: self.number(1) >= 0 and self.rows[-1].endswith("still"))
        size = -1
        while size != len(self.out):
            size = len(self.out)
            self.pump(0.5)


@pytest.fixture
def far(tmp_path):
    made = []

    def begin(*words, **options):
        made.append(Far(tmp_path / "report", *words, **options))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def stall(one, seconds=2.5, keys=b"k"):
    """Nothing is read for so long; a key comes ten times a second."""
    end = time.monotonic() + seconds
    typed = 0
    while time.monotonic() < end:
        os.write(one.master, keys)
        typed += 1
        time.sleep(0.1)
    return typed


@pytest.mark.parametrize("answers", [True, False])
def test_a_terminal_that_stands_still_stops_nothing_and_gets_one_frame_of_the_newest(far, answers):
    one = far(answers=answers)
    one.comes(lambda: one.number(1) > 25)
    polls, size = one.number(1), len(one.out)
    typed = stall(one)
    one.comes(lambda: one.number(2) == typed)
    caught_up = len(one.out) - size
    assert one.number(1) > polls + 30, "the console went on"
    assert caught_up < 200_000, f"{caught_up} bytes: old frames were sent again"
    one.settle_and_compare()
    one.type(b"q")
    told = one.told()
    assert told["keys"] == typed
    assert told["longest_s"] < 2.0, "the event loop stood still with the terminal"
    assert told["grew_kb"] < 8_000


@pytest.mark.parametrize("how", ["q", "SIGTERM"])
def test_it_can_be_left_while_the_terminal_stands_still_and_the_terminal_is_well_afterwards(far, how):
    one = far()
    one.comes(lambda: one.number(1) > 25)
    stall(one, 1.5)
    asked = time.monotonic()
    if how == "q":
        os.write(one.master, b"q")
    else:
        one.child.send_signal(signal.SIGTERM)
    code = one.child.wait(60)
    took = time.monotonic() - asked
    assert code == (0 if how == "q" else 128 + signal.SIGTERM)
    assert took < 20, took
    assert termios.tcgetattr(one.slave) == one.before
    while select.select([one.master], [], [], 0.05)[0]:
        one.pump(0.05)
    for on, off in ((b"?1049h", b"?1049l"), (b"?1000h", b"?1000l"), (b"?25l", b"?25h"), (b"?2004h", b"?2004l")):
        assert one.out.rfind(b"\x1b[" + off) > one.out.rfind(b"\x1b[" + on), f"{on!r} stayed on"


@pytest.mark.parametrize("answers", [True, False])
def test_a_slow_line_is_noticed_and_keys_are_answered_all_the_same(far, answers):
    one = far(answers=answers)
    one.rate, one.delay_s = 125_000.0, 0.05
    one.comes(lambda: "SLOW LINE" in one.top)
    size, polls, began = len(one.out), one.number(1), time.monotonic()
    one.pump(3.0)
    frames = (one.number(1) - polls, (len(one.out) - size) / (time.monotonic() - began))
    assert frames[1] < 0.9 * one.rate, f"{frames[1]:.0f} B/s: it fills the line"
    for typed in range(1, 6):
        one.type(b"k")
        one.comes(lambda: one.number(2) == typed)  # noqa: B023 - it is called at once
    one.settle_and_compare()
    one.type(b"q")
    assert one.told()["longest_s"] < 2.0


def test_a_question_that_the_terminal_does_not_show_yet_cannot_be_answered(far):
    one = far("quiet")
    one.delay_s = 0.8  # a busy machine has so long to type the next key
    one.comes(lambda: one.number(1) == 0)
    one.type(b"d")
    one.pump(0.8)
    one.type(b"y")  # blind: it comes when the question was sent, and before the terminal has said that it shows it
    one.comes(one.says("armed=1 yes=1"))
    one.type(b"y")
    one.comes(one.says("armed=1 yes=2"))
    one.child.terminate()
    assert one.told()["yes"] == [0, 1]


def test_what_is_typed_blind_while_the_terminal_stands_still_drains_nothing(tmp_path):
    state = {"XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    words = ["demo", "--nodes", "64", "--screen", "nodes"]
    one = FarTerminal([sys.executable, "-c", "from console.cli.main import main; main()", *words], env=state)

    def says(text):
        return lambda: any(text in row for row in one.rows)

    try:
        assert one.pump(60, says("gpu0001")), one.rows
        one.pump(1.0)
        stall(one, 0.3, b"\x1b[B")
        os.write(one.master, b"d")
        stall(one, 0.5, b" ")
        os.write(one.master, b"blind\r")
        stall(one, 1.0, b"y")
        # The Enter was not taken: the dialog asks what it asked at first.
        assert one.pump(60, says("reason, then Enter")), one.rows
        one.pump(1.0)
        assert says("reason, then Enter")(), one.rows
        one.child.terminate()
        one.pump(60, one.ended)
    finally:
        one.close()
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"drain" in file.read_bytes()]


def test_a_terminal_that_goes_away_ends_it_at_once_although_it_hears_no_hang_up(far):
    one = far(ignore=[signal.SIGHUP])
    one.comes(lambda: one.number(1) > 25)
    before = cpu_s(one.child.pid)
    one.hang_up()
    assert one.child.wait(60) == 128 + signal.SIGHUP
    assert json.loads(one.report.read_text())["cpu_s"] < 2 * before, "it spins"


def test_another_program_gets_the_terminal_and_its_keys_and_the_console_comes_back(far):
    one = far()
    one.comes(lambda: one.number(1) > 25)
    one.type(b"x")
    one.comes(lambda: b"inside" in one.out)
    one.type(b"word\n")
    one.comes(lambda: b"got word" in one.out)
    one.comes(lambda: one.number(1) > 25)
    one.type(b"k")
    one.comes(lambda: one.number(2) == 1)
    one.settle_and_compare()
    one.type(b"q")
    one.told()


def test_a_paste_is_one_and_bytes_that_are_no_text_do_no_harm(far):
    one = far("quiet")
    one.comes(lambda: one.number(1) == 0)
    one.type(b"\x1b[200~q d\xc3\xa9j\xc3\xa0\x1b[201~")
    one.type(b"\xff\xfek")
    one.comes(lambda: one.number(2) == 1)
    one.type(b"q")
    assert one.told()["pasted"] == "q déjà"

"""The program in a real terminal: it starts, answers, quits, and gives the terminal back as it was."""

from __future__ import annotations

import pytest

from tests.support.pty_program import Pty, restored

pytestmark = pytest.mark.pty


@pytest.fixture
def start(tmp_path):
    made = []

    def begin(*words, **options):
        made.append(Pty(*words, XDG_STATE_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), **options))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def test_it_starts_quits_and_the_terminal_is_restored(start):
    one = start("demo", "--nodes", "32")
    one.read_until(b"Attention")
    one.type(b"2")
    one.read_until(b"gpu0001")
    one.type(b"q")
    assert one.end() == 0
    restored(one)


def test_a_demo_says_so_and_a_key_is_answered(start):
    one = start("demo", "--nodes", "32", "--screen", "jobs")
    one.read_until(b"DEMO")
    one.read_until(b"running")
    one.type(b"?")
    one.read_until(b"Help: jobs")
    one.out = b""
    one.type(b"\x1b")
    one.read_until(b"Jobs")  # Esc and a key at once would be Alt and that key
    one.type(b":quit\r")
    assert one.end() == 0
    restored(one)


def test_keys_that_come_faster_than_screens_do_no_harm(start):
    one = start("demo", "--nodes", "32")
    one.read_until(b"DEMO")
    one.type(b"i2i34i5i7i1?i?2dddyyq" * 3 + b"\x1b")
    code = None
    for _ in range(10):
        # A dialog that was asked for may come when the key that leaves has gone by already: q is a letter in it then.
        one.type(b"\x1b\x1b")
        one.type(b"\x03")
        one.type(b"q")
        try:
            code = one.end(3.0)
        except AssertionError:
            continue
        break
    assert code == 0
    restored(one)

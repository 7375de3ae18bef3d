"""Behind textual-serve: packets on a pipe in place of a terminal. The server is no part of wacht: its side is spoken
here (a letter, four bytes of length, the payload), as version 1.1.3 speaks it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time

import pytest

from console.runtime.browser_mode import in_browser
from tests.support.pty_program import WACHT

WEB = "textual.drivers.web_driver:WebDriver"


class Server:
    """The console as textual-serve starts it, at 100 x 30."""

    def __init__(self, folder, *words, width="100"):
        self.out = b""
        self.child = subprocess.Popen(
            [*WACHT, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "TEXTUAL_DRIVER": WEB, "TEXTUAL_FPS": "60", "TEXTUAL_COLOR_SYSTEM": "truecolor",
                 "COLUMNS": width, "ROWS": "30", "TERM": "dumb", "XDG_STATE_HOME": str(folder),
                 "XDG_CONFIG_HOME": str(folder)},
        )  # fmt: skip

    def send(self, kind: bytes, payload: bytes) -> None:
        self.child.stdin.write(kind + len(payload).to_bytes(4, "big") + payload)
        self.child.stdin.flush()

    def read_until(self, *signs: bytes, seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while not all(sign in self.out for sign in signs):
            ready, _, _ = select.select([self.child.stdout], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{signs!r} never came; it wrote {self.out[-400:]!r}"
            more = os.read(self.child.stdout.fileno(), 65536)
            assert more, f"it ended: {self.child.communicate()[1].decode()}"
            self.out += more

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            pipe.close()


@pytest.fixture
def serve(tmp_path):
    made = []

    def begin(*words, **options):
        made.append(Server(tmp_path, *words, **options))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def test_keys_of_a_browser_show_and_change_nothing(serve):
    wall = serve("--read-only", "demo", "--nodes", "16")
    wall.read_until(b"__GANGLION__\n", b"READ-ONLY", b"gpu0001")
    wall.send(b"D", b"2")
    wall.read_until(b"gpu0016")
    for keys in (b"d", b":drain gpu0001 test\r"):
        wall.out = b""
        wall.send(b"D", keys)
        wall.read_until(b"drain refused: read-only")
        wall.send(b"D", b"\x1b")
    wall.send(b"D", b"\x1a")  # Ctrl+Z: there is no shell behind it
    wall.out = b""
    wall.send(b"M", json.dumps({"type": "resize", "width": 120, "height": 40}).encode())
    wall.read_until(b"gpu0016")
    # The browser has gone.
    wall.send(b"M", json.dumps({"type": "quit"}).encode())
    rest, errors = wall.child.communicate(timeout=60)
    assert (wall.child.returncode, errors) == (0, b"") and b'{"type": "exit"}' in rest


def test_nobody_is_left_behind_when_the_server_is_killed(serve):
    wall = serve("--read-only", "demo", "--nodes", "16")
    wall.read_until(b"gpu0001")
    wall.child.stdout.close()
    wall.child.stdin.close()
    assert wall.child.wait(60) == 0
    assert wall.child.stderr.read() == b""


def test_a_browser_says_how_large_it_is_and_is_not_believed_without_end(serve):
    wall = serve("--read-only", "demo", "--nodes", "16", width="999999999")
    wall.read_until(b"gpu0001")
    wall.out = b""
    wall.send(b"M", json.dumps({"type": "resize", "width": 10**9, "height": 10**9}).encode())
    wall.send(b"M", json.dumps({"type": "resize", "width": 100, "height": 30}).encode())
    wall.send(b"D", b"2")
    wall.read_until(b"gpu0016")


def test_who_may_change_something_is_not_let_into_a_browser(serve):
    wall = serve("demo", "--nodes", "16")
    out, errors = wall.child.communicate(timeout=60)
    assert (wall.child.returncode, out) == (2, b"")
    assert b"start it with --read-only" in errors


@pytest.mark.parametrize("value", ["", "textual.drivers.linux_driver:LinuxDriver", "anything.at:All"])
def test_no_other_driver_is_taken_from_the_environment(value):
    assert not in_browser({"TEXTUAL_DRIVER": value})
    assert in_browser({"TEXTUAL_DRIVER": WEB})

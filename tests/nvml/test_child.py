"""A child that lives on: messages whole or not at all, deadlines, caps, and an end that is certain."""

from __future__ import annotations

import sys
import time

import pytest

from collectors import process
from collectors.model import SourceFault

#: Does what each message says, in Python; `say` sends a message back.
DOES = """
import os
say = lambda b: os.write(1, len(b).to_bytes(4, 'big') + b)
while head := os.read(0, 4):
    body = os.read(0, int.from_bytes(head, "big"))
    exec(body)
"""


@pytest.fixture
def child():
    made = process.Child([sys.executable, "-c", DOES], cap_bytes=1000)
    yield made
    made.close()


def receive(child: process.Child, within_s: float = 30.0) -> bytes:
    return child.receive(time.monotonic() + within_s)


def test_messages_come_whole_however_they_are_cut(child):
    child.send(
        b"say(b'one'); say(b''); os.write(1, b'\\0\\0\\0\\x04ab'); import time; time.sleep(.05); os.write(1, b'cd')"
    )
    assert [receive(child) for _ in range(3)] == [b"one", b"", b"abcd"]


def test_no_answer_in_time(child):
    with pytest.raises(SourceFault) as caught:
        receive(child, 0.05)
    assert caught.value.fault.kind == "timeout"
    child.send(b"say(b'late')")
    assert receive(child) == b"late", "it lives on until it is killed"


def test_too_long_a_message(child):
    child.send(b"os.write(1, b'\\xff\\xff\\xff\\xff')")
    with pytest.raises(SourceFault) as caught:
        receive(child)
    assert caught.value.fault.kind == "malformed"


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (b"os.kill(os.getpid(), 11)", "was ended by signal 11"),
        (b"os.write(2, b'first\\nno\\x1b room\\n'); os._exit(3)", "ended with 3: no\\e room"),
        (b"os._exit(0)", "ended with 0"),
    ],
)
def test_how_it_ended(child, does, said):
    child.send(does)
    with pytest.raises(SourceFault) as caught:
        receive(child)
    assert (caught.value.fault.kind, caught.value.fault.what) == ("cut", said)
    with pytest.raises(SourceFault):
        child.send(b"again")


def test_complaints_do_not_block_it(child):
    child.send(b"os.write(2, b'x' * 60000); os.write(2, b'x' * 60000); say(b'done')")
    assert receive(child) == b"done"


def test_a_program_that_is_not_there():
    with pytest.raises(SourceFault) as caught:
        process.Child(["/nowhere/python"])
    assert caught.value.fault.kind == "missing"


def test_kill_is_certain_and_may_be_called_twice(child):
    child.send(b"import signal; signal.signal(15, 1); say(b'deaf')")
    assert receive(child) == b"deaf"
    assert child.kill() and child.kill()
    assert child.how() == "was ended by signal 9"

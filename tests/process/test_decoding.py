"""Decoders are made one at a time: threads that meet a type first at one moment must not end the process."""

from __future__ import annotations

import subprocess
import sys
import threading

import msgspec
import pytest

from collectors.decoding import convert, from_json, json_decoder, msgpack_decoder
from tests.faults import fault
from tests.support.paths import ROOT

#: Types that nobody has decoded yet, nested as answers are, met by six threads at once that change at every chance.
RACE = """
import sys, threading, types
import msgspec
from collectors import decoding

sys.setswitchinterval(1e-6)
lines = ["from __future__ import annotations", "from msgspec import Struct"]
for level in range(20):
    inner = f"Level{level + 1}" if level < 19 else "int"
    lines += [f"class Level{level}(Struct):"]
    for at in range(10):
        lines += [f"    one{at}: {inner} | None = None", f"    many{at}: list[{inner}] | None = None"]
code = compile("\\n".join(lines), "fresh", "exec")
value = {f"one{at}": {"one0": {"many3": []}} for at in range(10)}
asked = {
    "json": lambda kind: decoding.from_json(msgspec.json.encode(value), kind),
    "msgpack": lambda kind: decoding.msgpack_decoder(kind).decode(msgspec.msgpack.encode(value)),
    "convert": lambda kind: decoding.convert(value, kind),
}
for turn in range(30):
    fresh = types.ModuleType(f"fresh{turn}")
    sys.modules[fresh.__name__] = fresh
    exec(code, fresh.__dict__)
    together, made = threading.Barrier(6), []

    def meet(how):
        together.wait()
        made.append(asked[how](fresh.Level0))

    threads = [threading.Thread(target=meet, args=(how,)) for how in [*asked] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6 and all(one == made[0] for one in made), made
print("all of them")
"""


@fault("process", "six threads meet a type that none has decoded before", "all of them decode it; the process lives")
def test_threads_that_meet_a_type_first_at_one_moment_all_decode_it():
    ended = subprocess.run([sys.executable, "-c", RACE], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "all of them\n"), ended.stderr[-2000:]


class Row(msgspec.Struct):
    name: str
    gpus: int | None = None


def test_a_decoder_is_made_once_and_says_what_is_wrong():
    assert json_decoder(list[Row]) is json_decoder(list[Row])
    assert msgpack_decoder(Row) is msgpack_decoder(Row)
    assert from_json(b'{"name":"gpu0001"}', Row) == convert({"name": "gpu0001"}, Row) == Row("gpu0001")
    for read in (lambda: from_json(b'{"gpus":4}', Row), lambda: convert({"gpus": 4}, Row)):
        with pytest.raises(msgspec.ValidationError, match="name"):
            read()


class Other(msgspec.Struct):
    name: str


class Asks(msgspec.Struct):
    """Settings that import, or wait, while they are made: others make decoders meanwhile."""

    made: bool = False

    def __post_init__(self) -> None:
        other = threading.Thread(target=json_decoder, args=(Other,), daemon=True)
        other.start()
        other.join(10)
        self.made = not other.is_alive()


def test_what_a_type_does_when_it_is_made_holds_up_no_other_thread():
    assert convert({}, Asks).made

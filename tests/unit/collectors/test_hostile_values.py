"""Hostile text in every field of every source, one field after the other: no value of ours holds it as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from unittest import mock

import pytest

from tests.faults import fault
from tests.fuzz import seeds
from tests.fuzz.targets import TARGETS, UnsafeText
from tests.hostile.corpus import CORPUS, HUGE
from tests.hostile.values import leaves, planted

#: Answers in JSON, one document or one a line.
JSON = frozenset({"job_json", "rest_nodes", "rest_queue", "rest_others", "prometheus", "alertmanager", "journal"})
#: Of another type than it should be.
ODD = (None, True, -1, 10**40, 1e308, [], [[]], {}, {"a": 1}, "")
SHORT = {key: text for key, text in CORPUS.items() if key not in {"long", "wide"}}
#: Where a field of a text answer begins and ends.
_FIELD = re.compile(rb"[^=|,\s:()]+")


def in_text(raw: bytes) -> Iterator[bytes]:
    """Each hostile text in place of each field, one after the other."""
    for match in _FIELD.finditer(raw):
        for text in SHORT.values():
            yield raw[: match.start()] + text.encode("utf-8", "surrogateescape") + raw[match.end() :]


def in_json(raw: bytes) -> Iterator[bytes]:
    """Each hostile text in place of each value, and what is no text; and in place of each key."""
    lines = raw.splitlines()
    for number, line in enumerate(lines):
        document = json.loads(line)
        for path in leaves(document):
            for value in (*SHORT.values(), *ODD):
                made = json.dumps(planted(document, path, value)).encode()
                yield b"\n".join([*lines[:number], made, *lines[number + 1 :]])
        for key in dict.fromkeys(re.findall(rb'"(\w+)":', line)):
            for text in SHORT.values():
                yield line.replace(b'"%s":' % key, json.dumps(text).encode() + b":")


def plant(name: str) -> int:
    """Every planted answer of a target through it; how many there were."""
    done = 0
    for seed in seeds(name):
        for raw in in_json(seed) if name in JSON else in_text(seed):
            TARGETS[name](raw)
            done += 1
    return done


@pytest.mark.slow
@fault("hostile text", "hostile string in every field", "visible escapes come out of every parser")
@pytest.mark.parametrize("name", TARGETS)
def test_no_field_of_a_source_carries_it_through(name: str) -> None:
    assert plant(name) > 100


@pytest.mark.slow
def test_ten_megabytes_in_one_field() -> None:
    row = {"metric": dict.fromkeys(("gpu", "UUID", "modelName", "node", "job"), HUGE), "value": [1.7e9, "40"]}
    TARGETS["edge"](HUGE.encode())
    TARGETS["queue"](b"|".join([b"1", b"RUNNING", *[b"x"] * 19, HUGE.encode()]) + b"@F\n")
    TARGETS["prometheus"](json.dumps({"status": "success", "data": {"resultType": "v", "result": [row]}}).encode())
    TARGETS["journal"](json.dumps({"event": "intent", "id": "a", "kind": "node", "reason": HUGE}).encode())
    TARGETS["alertmanager"](seeds("alertmanager")[0].replace(b"it does not answer", json.dumps(HUGE)[1:-1].encode()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "edge"),
    [
        ("nodes", "collectors.slurm.commands.nodes"), ("queue", "collectors.slurm.commands.jobs"),
        ("partitions", "collectors.slurm.commands.controller"),
        ("job_json", "collectors.slurm.commands.controller"), ("prometheus", "collectors.prometheus.gpu_rows"),
        ("alertmanager", "collectors.alertmanager.answers"), ("rest_nodes", "collectors.slurm.rest.answers"),
        ("rest_queue", "collectors.slurm.rest.jobs"), ("journal", "console.journal.entries"),
    ],
)  # fmt: skip
def test_without_the_edge_it_would_be_seen(name: str, edge: str) -> None:
    with mock.patch(f"{edge}.clean", str), pytest.raises(UnsafeText):
        plant(name)

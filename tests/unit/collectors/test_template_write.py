"""A site's own program as an action: what its end says of each target, and when the rest is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.site_command import Template
from collectors.site_command_write import TemplateWriter, open_writer
from console.gate.outcome import results_of
from tests.support.make import change_of

NODES = ("gpu1", "gpu2", "gpu3")


def writer(folder: Path, script: str, deadline_s: float = 60.0) -> TemplateWriter:
    """Of a program in sh, which is given a node."""
    program = folder / "program"
    program.write_text(f'#!/bin/sh\necho "$1" >> {folder / "ran"}\n{script}\n')
    program.chmod(0o755)
    return open_writer("lab", Template(kind="node", argv=(str(program), "{node}"), deadline_s=deadline_s))


def ran(folder: Path) -> list[str]:
    return (folder / "ran").read_text().split() if (folder / "ran").exists() else []


def states(sent) -> dict[str, tuple[str, str]]:
    change = change_of(action="ticket-vendor", kind="node", targets=NODES)
    return {target: (one.state, one.why) for target, one in results_of(change, sent, "").items()}


def send(one: TemplateWriter):
    return one.send(change_of(action="ticket-vendor", kind="node", targets=NODES))


def test_a_program_runs_once_for_each_target_in_order(tmp_path):
    sent = send(writer(tmp_path, "exit 0"))
    assert [(one.targets, one.rc, dict(one.refused)) for one in sent] == [((name,), 0, {}) for name in NODES]
    assert ran(tmp_path) == list(NODES)


@pytest.mark.parametrize(
    ("script", "why"),
    [("exit 3", "exit status 3"), ("echo no such rack >&2; exit 3", "exit status 3: no such rack"),
     ("echo told nobody; exit 3", "exit status 3")],
)  # fmt: skip
def test_an_exit_status_is_a_refusal_with_a_word_and_without(tmp_path, script, why):
    sent = send(writer(tmp_path, f'[ "$1" = gpu2 ] || exit 0\n{script}'))
    assert ran(tmp_path) == list(NODES), "one that is refused stops no other"
    assert [dict(one.refused) for one in sent] == [{}, {"gpu2": why}, {}]
    assert states(sent)["gpu2"] == ("failed", why)


@pytest.mark.parametrize(
    ("script", "deadline_s"),
    [("exec sleep 600", 0.2), ("exec head -c 3000000 /dev/zero", 60.0)],
)  # fmt: skip
def test_one_without_an_answer_is_unknown_and_the_rest_is_left_out(tmp_path, script, deadline_s):
    sent = send(writer(tmp_path, f'[ "$1" = gpu2 ] || exit 0\n{script}', deadline_s))
    assert ran(tmp_path) == ["gpu1", "gpu2"], "the next would fare alike"
    assert [one.rc for one in sent] == [0, None] and sent[-1].refused == {}
    assert "it may have been done" in sent[-1].err
    found = states(sent)
    assert found["gpu2"][0] == "unknown" and found["gpu3"][0] == "dropped"


def test_one_that_cannot_be_started_leaves_the_rest_out(tmp_path):
    one = writer(tmp_path, "exit 0")
    (tmp_path / "program").unlink()
    (sent,) = send(one)
    assert sent.fatal and sent.targets == ("gpu1",) and set(sent.refused) == {"gpu1"}
    found = states([sent])
    assert found["gpu1"][0] == "failed" and found["gpu2"][0] == found["gpu3"][0] == "dropped"


@pytest.mark.parametrize("target", ["gpu1\n", "gpu1;id", "-x", "gpu1 gpu2", "$(id)", ""])
def test_what_is_no_plain_name_starts_nothing(tmp_path, target):
    one = writer(tmp_path, "exit 0")
    with pytest.raises(ValueError, match="is no name of a node"):
        one.send(change_of(action="ticket-vendor", kind="node", targets=("gpu1", target)))
    assert ran(tmp_path) == []

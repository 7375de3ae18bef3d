"""A live Slurm in which alice and root write the whole hostile corpus everywhere that Slurm lets them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.clean import clean
from tests.faults import fault
from tests.hostile.corpus import ARGUMENTS
from tests.hostile.output import faults
from tests.support.far_terminal import ESCAPE, FarTerminal

from .roots import LabError
from .slurm import Lab

WACHT = (sys.executable, "-c", "from console.cli.main import main; main()")
#: A job's name may have 1,024 characters, a comment more.
OPENED = ("escape", "c1", "osc8", "unterminated", "bidi", "marks", "newline", "markup")
TEXTS = {key: text[:900] for key, text in ARGUMENTS.items()}


def written(lab: Lab) -> tuple[dict[str, str], int]:
    """Each text as a job of alice's and on a node of root's: name to job id, and how many fields Slurm took."""
    ids: dict[str, str] = {}
    took = 0
    for number, (word, text) in enumerate(TEXTS.items(), 1):
        extra = [f"--comment={text}", f"--chdir=/tmp/{text}", f"--output={text}"]
        try:
            (ids[word],) = lab.submit(user="alice", hold=True, name=text, extra=extra)
            took += 4
        except LabError:
            (ids[word],) = lab.submit(user="alice", hold=True, name=f"refused-{word}")
        node = ["scontrol", "update", f"NodeName=gpu{number:04d}"]
        for words in ((f"Comment={text}",), (f"Extra={text}",), ("State=DRAIN", f"Reason={text}")):
            took += _takes(lab, [*node, *words])
        took += _takes(lab, ["scontrol", "update", f"JobId={ids[word]}", f"AdminComment={text}"])
    return ids, took


def _takes(lab: Lab, argv: list[str]) -> bool:
    try:
        lab.check(argv)
    except LabError:
        return False
    return True


@fault(
    "hostile text",
    "hostile names, reasons and comments in a real Slurm",
    "all shown, none obeyed",
    case="hostile string in every field",
)
def test_it_is_all_shown_and_none_of_it_obeyed(lab: Lab, tmp_path: Path) -> None:
    lab.reset()
    ids, took = written(lab)
    assert took > 6 * len(TEXTS), f"Slurm took {took} fields"
    env = {"PATH": f"{lab.bin_dir}:/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path),
           "XDG_RUNTIME_DIR": str(tmp_path)}  # fmt: skip
    before = lab.node_states(), lab.job_states()
    terminal = FarTerminal(WACHT, (200, 50), env=env)

    def comes(text: str) -> None:
        shown = terminal.pump(60.0, lambda: text in "\n".join(terminal.rows))
        assert shown, f"{text!r} never came:\n" + "\n".join(terminal.rows)

    try:
        comes("Nodes ")
        terminal.type(b"2")
        comes("red\\e[31;5m\\e[2Jalarm")
        terminal.type(b"3")
        comes(clean(TEXTS["osc52"])[:10])
        opened = [ids[word] for word in OPENED]
        for job in opened:
            terminal.type(f":job {job}\r".encode())
            comes(f"Job {job}")
            terminal.type(b"y\x1b[F" + ESCAPE)
            terminal.pump(0.3)
        terminal.type(b":node gpu0001\r")
        comes("alarm")
        terminal.type(ESCAPE)
        terminal.pump(0.3)
        terminal.type(b"q")
        terminal.pump(60.0, terminal.ended)
        assert terminal.child.returncode == 0, "\n".join(terminal.rows)
    finally:
        terminal.close()
    assert not faults(terminal.out, copies=len(opened))
    assert (lab.node_states(), lab.job_states()) == before, "nothing was acted on"
    assert not Path("/tmp/wacht-was-here").exists()


@pytest.mark.parametrize("text", ["escape", "newline", "option"])
def test_a_reason_goes_through_act_as_one_word(lab: Lab, tmp_path: Path, text: str) -> None:
    lab.reset()
    env = {**os.environ, "PATH": f"{lab.bin_dir}:/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path),
           "XDG_CONFIG_HOME": str(tmp_path)}  # fmt: skip
    words = ("act", "drain", "gpu0001", "--reason", TEXTS[text], "--yes")
    done = subprocess.run([*WACHT, *words], env=env, capture_output=True, timeout=60)
    assert done.returncode == 0, done
    states = lab.node_states()
    assert states["gpu0001"] == "IDLE+DRAIN"
    assert not [name for name, state in states.items() if "DRAIN" in state and name != "gpu0001"]
    assert clean(lab.check(["scontrol", "show", "node", "gpu0001", "-o"]).rstrip("\n")).count("NodeName=gpu0001") == 1

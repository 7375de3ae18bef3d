"""The last door before Slurm: what goes with the targets is whole, fits the action, and lies within its range."""

from __future__ import annotations

import pytest

from collectors.slurm.commands.write import CliWriter
from collectors.slurm.operations import calls
from tests.support.make import change_of
from tests.support.slurm_scripts import Slurm, jobs, nodes, reboot


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Slurm(tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (nodes("drain", "a", reason="x", reasons={"b": "y"}), "no target"),
        (nodes("drain", "a", reason="x", reasons={"a": " "}), "needs a reason"),
        (nodes("down", "a"), "a down needs a reason"),
        (nodes("down", "a", "b", reasons={"a": "x"}), "a down needs a reason"),
        (nodes("resume", "a", reasons={"a": "x"}), "takes no reason"),
        (nodes("drain", "a", reason="x", resume_after_s=59), "60 s to 365 days"),
        (nodes("drain", "a", reason="x", resume_after_s=365 * 86_400 + 1), "60 s to 365 days"),
        (nodes("drain", "a", reason="x", resume_after_s=True), "60 s"),
        (nodes("drain", "a", reason="x", resume_after_s=600.5), "60 s"),
        (nodes("down", "a", reason="x", resume_after_s=600), "only a drain"),
        (nodes("reboot", "a", reason="x"), "reboot: a target has no next state"),
        (nodes("reboot", "a", next_state={"a": "RESUME"}), "a reboot needs a reason"),
        (nodes("reboot", "a", "b", reason="x", next_state={"a": "RESUME"}), "has no next state"),
        (nodes("reboot", "a", reason="x", next_state={"a": "RESUME", "b": "DOWN"}), "no target"),
        (nodes("drain", "a", reason="x", next_state={"a": "DOWN"}), "takes no next state"),
        (reboot(a="resume"), "RESUME or DOWN"),
        (reboot(a="DOWN ALL"), "RESUME or DOWN"),
        (jobs("priority", "1"), "has no value"),
        (jobs("priority", "1", "2", values={"1": "5"}), "has no value"),
        (jobs("priority", "1", values={"1": "5", "2": "5"}), "no target"),
        (jobs("hold", "1", values={"1": "5"}), "takes no value"),
        *((jobs("priority", "1", values={"1": bad}), "nothing that can be sent|a priority is a whole number")
          for bad in ("0", "-1", "4294967294", "4294967295", str(1 << 40), "1.5", "7x", "")),
        (change_of(action="take", kind="alert", targets=("f1",)), "not an action"),
        (change_of(action="priority", kind="node", targets=("a",), values={"a": "5"}), "not an action"),
    ],
)  # fmt: skip
def test_what_is_missing_or_out_of_range_never_reaches_slurm(slurm, change, why):
    for act in (CliWriter().send, CliWriter().commands, calls):
        with pytest.raises(ValueError, match=why):
            act(change)
    assert slurm.calls == []

"""A fenced answer is made into rows some at a time, and comes to the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm.commands import read_command
from collectors.slurm.commands.read_command import blocks
from tests.support import make


@given(st.lists(st.text("ab|\n@Fé€", max_size=30), max_size=20), st.integers(1, 60))
def test_an_answer_in_blocks_has_the_rows_of_one_in_one_piece(rows, size):
    end = f"{make.FENCE}\n"
    out = "".join(f"{row}{end}" for row in ("a|b", *rows)).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_command, "_BLOCK", size + len(end))
        found = [*blocks(["squeue"], make.FENCE, out, 2)]
    assert [row for block in found for row in block] == rows
    assert all(len(block) == 1 or sum(len(row.encode()) for row in block) < size + len(end) for block in found)
